"""What clean-labels exports is read back with the same tags, confidences, verification and splits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from nlcli.data.config import BuildTags
from nlcli.data.exports import coco_labels, image_folder, label_studio, tables_of_images
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable, strings
from nlcli.data.sources.tags import build_tags
from nlcli.errors import NlcliError
from worlds.folders import touch

CLASSES = ("cat", "dog", "a|b", "Ünï", "=1+1", "back\\slash")
IMAGES = 40


@pytest.fixture
def table(tmp_path: Path) -> LabelTable:
    rng = np.random.default_rng(0)
    paths = [f"p/{i:02d} ü.jpg" for i in range(IMAGES)]
    touch(tmp_path / "pile", *paths)
    state = rng.integers(0, 3, IMAGES)
    seen = rng.random((IMAGES, 6))
    present = (seen < 0.3) & (state > 0)[:, None]
    absent = (seen > 0.7) & (state == 1)[:, None]
    state[(state == 1) & ~(present | absent).any(axis=1)] = 0
    noisy = rng.integers(1, 101, (IMAGES, 6)) / 100 * (rng.random((IMAGES, 6)) < 0.4)
    return LabelTable(
        task="multi-label",
        classes=CLASSES,
        keys=strings(paths),
        paths=strings(paths),
        image_root=tmp_path / "pile",
        split=rng.integers(0, 3, IMAGES).astype(np.int8),
        noisy=csr_array(noisy.astype(np.float32)),
        present=csr_array(present.astype(np.uint8)),
        absent=csr_array(absent.astype(np.uint8)),
        verification=state.astype(np.uint8),
    )


def the_same(again: LabelTable, table: LabelTable, name_of: dict[str, str] | None = None) -> None:
    names = [str(path) if name_of is None else name_of[str(path)] for path in again.paths]
    rows = [table.paths.tolist().index(name) for name in names]
    assert sorted(rows) == list(range(IMAGES))
    column = [again.classes.index(name) for name in table.classes]
    assert again.split.tolist() == table.split[rows].tolist()
    assert again.verification.tolist() == table.verification[rows].tolist()
    for part in ("noisy", "present", "absent"):
        np.testing.assert_array_equal(
            getattr(again, part).toarray()[:, column], getattr(table, part)[rows].toarray(), err_msg=part
        )


def built(tmp_path: Path, source: Path, **options: object) -> LabelTable:
    config = {"table": source, "output": tmp_path / "out", "images": tmp_path / "pile", **options}
    return read_dataset(build_tags(BuildTags.parse(config)))


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_tables(tmp_path: Path, table: LabelTable, name: str) -> None:
    (tmp_path / "x").mkdir()
    write = tables_of_images.write_as_csv if name == "csv" else tables_of_images.write_as_parquet
    write(tmp_path / "x", table)
    again = built(tmp_path, tmp_path / f"x/labels.{name}", classes=tmp_path / "x/classes.txt")
    assert again.classes == table.classes
    the_same(again, table)


def test_coco(tmp_path: Path, table: LabelTable) -> None:
    (tmp_path / "x").mkdir()
    groups = ("pet", "pet", *[None] * 4)
    coco_labels.write(tmp_path / "x", replace(table, groups=groups))
    again = built(tmp_path, tmp_path / "x")
    assert (again.classes, again.groups) == (table.classes, groups)
    the_same(again, table)
    (tmp_path / "x/val.json").write_text((tmp_path / "x/validation.json").read_text())
    with pytest.raises(NlcliError, match=r"val\.json and validation\.json for the same split"):
        built(tmp_path, tmp_path / "x")
    (tmp_path / "x/val.json").unlink()
    (tmp_path / "x/test.json").write_text((tmp_path / "x/train.json").read_text())
    with pytest.raises(NlcliError, match="is in two of the files"):
        built(tmp_path, tmp_path / "x")


def test_label_studio(tmp_path: Path, table: LabelTable) -> None:
    """All but the confidences, of which a prediction has one."""
    (tmp_path / "x").mkdir()
    flat = replace(table, noisy=(table.noisy > 0).astype(np.float32))
    label_studio.write(tmp_path / "x", flat)
    the_same(built(tmp_path, tmp_path / "x/tasks.json"), flat)


def test_image_folder(tmp_path: Path, table: LabelTable) -> None:
    image_folder.write(tmp_path / "x", table, copy_images=False)
    names = {}
    for path in (tmp_path / "x").glob("*/metadata.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            names[f"{path.parent.name}/{entry['file_name']}"] = entry["path"]
    the_same(built(tmp_path, tmp_path / "x", images=None), table, names)
