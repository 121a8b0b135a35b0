"""Copies of one picture under several names: found, and drawn into one split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data import copies as module
from nlcli.data.config import BuildFolders, BuildTags
from nlcli.data.copies import copies, kept_together
from nlcli.data.label_files import read_dataset
from nlcli.data.sources.folders import build_folders
from nlcli.data.sources.tags import build_tags
from nlcli.networks.file_facts import look_at

LONG = bytes(range(256)) * 100


def write(root: Path, contents: dict[str, bytes]) -> np.ndarray:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return np.asarray(sorted(contents), object)


def test_files_of_one_size_and_one_end_are_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(
        tmp_path,
        {
            "a/1.jpg": LONG + b"end",
            "a/2.jpg": LONG + b"and",
            "b/1.jpg": LONG + b"end",
            "b/3.jpg": LONG + b"end",
            "b/4.jpg": b"",
            "b/5.jpg": b"",
        },
    )
    (tmp_path / "c.jpg").hardlink_to(tmp_path / "a" / "2.jpg")
    paths = np.append(paths, "c.jpg")
    facts = look_at(tmp_path, paths.tolist())
    assert copies(tmp_path, paths, facts) == [[0, 2, 3], [1, 6]]
    monkeypatch.setattr(module, "MOST_READ", 3)  # then names give reason to look
    assert copies(tmp_path, paths, facts) == [[0, 2], [1, 6]]


def test_groups_that_a_person_made_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {f"{i:03d}.jpg": LONG + bytes([i]) for i in range(40)}
    contents |= {"003.jpg": contents["001.jpg"], "005.jpg": contents["004.jpg"]}
    contents |= {f"{i:03d}.jpg": b"gone" for i in range(30, 40)}  # more than a twentieth
    paths = write(tmp_path, contents)
    group = np.full(40, -1)
    group[[1, 7]], group[[3, 8]] = 0, 1
    everyone = np.ones(40, bool)
    joined = kept_together(tmp_path, paths, group, everyone)
    assert joined is not None
    assert len(set(joined[[1, 3, 7, 8]])) == 1
    assert joined[4] == joined[5] != joined[1]
    assert sorted(np.flatnonzero(joined >= 0)) == [1, 3, 4, 5, 7, 8]
    told = "note: 4 of 40 images are copies of each other, 2 pictures in all (the first: '001.jpg' and '003.jpg')"
    assert told in capsys.readouterr().err
    assert kept_together(tmp_path, paths, None, ~everyone) is None


def test_splits_are_drawn_with_copies_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every picture twice, under other names: drawn by themselves most would be torn apart."""
    contents = {f"{c}/{i:02d}-{n}.jpg": LONG + f"{c}{i:02d}".encode() for c in "ab" for i in range(20) for n in (1, 2)}
    write(tmp_path / "photos", contents)
    shares = {"validation_share": 0.25, "test_share": 0.25, "output": tmp_path / "out"}
    table = tmp_path / "tags.csv"
    table.write_text("path,noisy\n" + "".join(f"{name},{name[0]}\n" for name in contents))
    for build in (
        lambda: build_folders(BuildFolders(images=tmp_path / "photos", **shares)),
        lambda: build_tags(BuildTags(table=table, images=tmp_path / "photos", **shares), force=True),
    ):
        made = read_dataset(build())
        split_of: dict[str, set[int]] = {}
        for key, split in zip(made.keys, made.split, strict=True):
            split_of.setdefault(key.rpartition("-")[0], set()).add(int(split))
        assert {len(splits) for splits in split_of.values()} == {1}
        assert min(np.bincount(made.split, minlength=3)) >= 16
        assert "are copies of each other in several splits" not in capsys.readouterr().err
