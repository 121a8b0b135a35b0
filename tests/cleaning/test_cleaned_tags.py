"""Cleaned tags of several labels an image, from a detection of entries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nlcli
from nlcli.cleaning.clean_labels import plan_changes
from nlcli.cleaning.config import CleanDataset
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from worlds.cleaned import tag_dataset, tag_detection, tag_world

WORLD = tag_world()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tags")
    dataset = tag_dataset(folder / "dataset", WORLD[0], WORLD[1])
    return dataset, tag_detection(folder / "detection", dataset, WORLD[2])


@pytest.fixture(scope="module")
def cleaned(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("cleaned") / "clean"
    return nlcli.clean_labels(dataset=made[0], source=made[1], output=output, precision=0.8, max_changes=0.6)


def test_tags_go_and_come_by_their_own_thresholds(cleaned: Path) -> None:
    table, truth, probability = WORLD
    record = json.loads((cleaned / "cleaning.json").read_text())
    low = {claim["kind"]: claim["threshold"] for claim in record["claims"]}
    given, now = table.noisy.toarray() > 0, read_dataset(cleaned).noisy.toarray() > 0
    probability = probability.astype(np.float32).astype(np.float64)
    gone = given & (probability < 0.5) & (1 - probability >= low["remove"])
    come = ~given & (probability > 0.5) & (probability >= low["add"])
    expected = (given & ~gone) | come
    told = np.arange(len(table)) < 200
    expected[told & (table.split == 0)] = truth[told & (table.split == 0)]
    expected[table.split == 1] = given[table.split == 1]
    np.testing.assert_array_equal(now, expected)
    rest = ~told
    changed = now[rest] != given[rest]
    assert changed.sum() > 50
    assert np.mean(truth[rest][changed] == now[rest][changed]) > 0.75
    planted, train = record["planted"], table.split == 0
    assert planted["before"] == pytest.approx(np.mean(given[train] != truth[train]), abs=1e-6)
    assert planted["after"] == pytest.approx(np.mean(now[train] != truth[train]), abs=1e-6)
    assert planted["changes"] == changed.sum()
    assert planted["right"] == (truth[rest][changed] == now[rest][changed]).sum()
    for claim in record["claims"]:
        number = gone[rest].sum() if claim["kind"] == "remove" else come[rest].sum()
        assert claim["changed"] == number


def test_the_parents_tags_come_back(made: tuple[Path, Path], cleaned: Path, tmp_path: Path) -> None:
    again = nlcli.restore_labels(dataset=cleaned, output=tmp_path / "again")
    for name in ("images.parquet", "dataset.json", "truth.parquet"):
        assert (again / name).read_bytes() == (made[0] / name).read_bytes()


def test_rows_of_changes(cleaned: Path) -> None:
    rows = pq.read_table(cleaned / "changes.parquet").to_pylist()
    for row in rows:
        if row["rule"] == "kept":
            assert row["old"] == row["new"] != row["proposed"]
        else:
            assert row["new"] == row["proposed"] != row["old"]
        assert (row["old_confidence"] == 1) == (row["old"] == "given")
    assert {row["split"] for row in rows if row["rule"] != "kept"} == {"train"}


def test_drop_adds_nothing(made: tuple[Path, Path]) -> None:
    asked = {"dataset": made[0], "source": made[1], "output": "x", "precision": 0.8, "max_changes": 1}
    planned = plan_changes(CleanDataset.parse(asked | {"policy": "drop"}))
    assert [claim["kind"] for claim in planned["cleaning"]["claims"]] == ["remove"]


def test_of_a_runs_scores_only_validation_judges(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A run was fitted on the checked images of train, so what it says of these measures nothing."""
    by_run = tag_detection(tmp_path / "by-run", made[0], WORLD[2], by_run=True)
    asked = {"dataset": made[0], "output": "x", "precision": 0, "max_changes": 1}
    counts = []
    for source in (made[1], by_run):
        planned = plan_changes(CleanDataset.parse(asked | {"source": source}))
        counts.append({claim["kind"]: claim["verified"] for claim in planned["cleaning"]["claims"]})
    table, _, probability = WORLD
    given = table.noisy.toarray() > 0
    remove = given & (probability < 0.5)
    assert counts[0]["remove"] == remove[:200].sum()
    assert counts[1]["remove"] == remove[table.split == 1].sum()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("class", "no such", "column 'class' has a value that it cannot have"),
        ("key", "stranger", "names an image that the data set does not have"),
        ("tag", "other", "column 'tag' has a value that it cannot have"),
        ("tag", "missing", "has other tags than the data set"),
        ("probability", -0.5, "probability outside of 0 to 1"),
    ],
)
def test_a_changed_detection(made: tuple[Path, Path], tmp_path: Path, column: str, value: object, message: str) -> None:
    import shutil

    copy = tmp_path / "changed"
    shutil.copytree(made[1], copy)
    table = pq.read_table(copy / "noise.parquet")
    rows = table.to_pydict()
    # A given tag that is likelier wrong, which is a proposal; called missing, one that is likelier there.
    sure = (lambda p: p > 0.6) if value == "missing" else (lambda p: p < 0.4)
    place = next(i for i, p in enumerate(rows["probability"]) if sure(p) and rows["tag"][i] == "given")
    rows[column][place] = value
    pq.write_table(pa.table(rows, schema=table.schema), copy / "noise.parquet")
    with pytest.raises(NlcliError, match=message):
        plan_changes(CleanDataset.parse({"dataset": made[0], "source": copy, "output": "x"}))


def test_an_entry_twice(made: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "twice"
    shutil.copytree(made[1], copy)
    rows = pq.read_table(copy / "noise.parquet")
    pq.write_table(pa.concat_tables([rows, rows]), copy / "noise.parquet")
    with pytest.raises(NlcliError, match="names an entry twice"):
        plan_changes(CleanDataset.parse({"dataset": made[0], "source": copy, "output": "x"}))
