"""What pictures were: noticed when they change, found when they move."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data import pictures as module
from nlcli.data.config import BuildFolders, HashImages
from nlcli.data.derived.image_hashes import hash_images, read_hashes
from nlcli.data.label_files import read_dataset
from nlcli.data.pictures import (
    PICTURES,
    pictures_changed,
    read_pictures,
    record_pictures,
    require_pictures,
    tell_changed,
)
from nlcli.data.sources.folders import build_folders
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage


def write_png(path: Path, number: int) -> None:
    noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(noise).save(path, "PNG")


def pictures(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * (number + 1))


NAMES = tuple(f"{name}/{i}.jpg" for name in ("a", "b") for i in range(12))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    pictures(tmp_path / "one" / "img", *NAMES)
    return tmp_path / "one"


def build(project: Path, **options: object) -> Path:
    return build_folders(BuildFolders(images=project / "img", output=project / "ds", **options))


def test_what_the_pictures_were(project: Path) -> None:
    record = read_pictures(build(project))
    assert record is not None
    assert record.root == project / "img"
    assert dict(zip(record.paths, record.size.tolist(), strict=True)) == {n: i + 1 for i, n in enumerate(NAMES)}
    assert record.time.tolist() == [os.stat(project / "img" / path).st_mtime_ns for path in record.paths]
    assert record.contents is None
    assert pictures_changed(project / "ds") is None


def test_a_picture_that_changed_is_noticed_by_its_size_or_its_time(project: Path) -> None:
    dataset = build(project)
    os.utime(project / "img/b/3.jpg", ns=(1, 1))
    assert "1 of 24 pictures are others than it was made from (the first: " in str(pictures_changed(dataset))
    (project / "img/a/2.jpg").write_bytes(b"longer than before")
    assert str(pictures_changed(dataset)).startswith("2 of 24 pictures")


def test_pictures_that_are_gone_do_not_count_and_new_ones_do(project: Path) -> None:
    (project / "img/a/0.jpg").unlink()
    (project / "img/a/0.jpg").symlink_to(project / "later.jpg")
    dataset = build(project)
    (project / "img/a/1.jpg").unlink()
    assert pictures_changed(dataset) is None
    (project / "later.jpg").write_bytes(b"1")
    assert "1 of 24 pictures" in str(pictures_changed(dataset))


def test_contents_tell_a_touched_picture_from_one_that_changed(project: Path) -> None:
    dataset = build(project, check_contents=True)
    for name in NAMES:
        os.utime(project / "img" / name, ns=(1, 1))
    assert pictures_changed(dataset) is None
    content = (project / "img/b/3.jpg").read_bytes()
    (project / "img/b/3.jpg").write_bytes(b"y" * len(content))
    os.utime(project / "img/b/3.jpg", ns=(1, 1))
    record = read_pictures(dataset)
    assert record is not None
    record = record.__class__(record.root, record.paths, record.size, record.time * 0 + 1, record.contents)
    record.write(dataset)  # sizes and times are now those on disk
    assert pictures_changed(dataset) is None
    assert "1 of 24 pictures" in str(pictures_changed(dataset, contents=True))


def test_a_data_set_notes_that_its_pictures_changed_and_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = read_stage(build(project)).fingerprint
    (project / "img/a/2.jpg").write_bytes(b"longer than before")
    build(project)
    told = capsys.readouterr().err
    assert "1 of 24 pictures are others than it was made from" in told
    assert "is up to date" not in told.replace("the rest is up to date", "")
    assert read_stage(project / "ds").fingerprint == fingerprint
    build(project)
    assert f"{project / 'ds'} is up to date" in capsys.readouterr().err


def test_times_are_no_part_of_the_result(project: Path) -> None:
    first = read_stage(build(project)).fingerprint
    for name in NAMES:
        os.utime(project / "img" / name, ns=(1, 1))
    shutil.rmtree(project / "ds")
    assert read_stage(build(project)).fingerprint == first


def test_a_copied_project_uses_its_own_pictures_and_a_moved_one_goes_on(project: Path, tmp_path: Path) -> None:
    build(project)
    shutil.copytree(project, tmp_path / "two")
    assert read_dataset(tmp_path / "two/ds").image_root == tmp_path / "two/img"
    assert read_dataset(project / "ds").image_root == project / "img"
    project.rename(tmp_path / "moved")
    assert read_dataset(tmp_path / "moved/ds").image_root == tmp_path / "moved/img"
    (tmp_path / "else").mkdir()
    (tmp_path / "moved/ds").rename(tmp_path / "else/ds")  # the data set alone: its pictures stay where they are
    assert read_dataset(tmp_path / "else/ds").image_root == project / "img"


def test_a_data_set_without_a_record_is_read_as_before(project: Path) -> None:
    dataset = build(project)
    (dataset / PICTURES).unlink()
    assert read_dataset(dataset).image_root == project / "img"
    assert pictures_changed(dataset) is None


def test_pictures_that_are_gone_are_named_with_what_to_do(project: Path) -> None:
    with pytest.raises(
        NlcliError, match=r"the pictures of ds are gone: there is no folder .*/img; put them back there"
    ):
        require_pictures(project / "nowhere/img", "ds")


def test_a_damaged_record_is_a_sentence(project: Path) -> None:
    (build(project) / PICTURES).write_bytes(b"PAR1 nothing")
    with pytest.raises(NlcliError, match=r"cannot read .*pictures\.parquet: .*; make .*/ds again with --force"):
        pictures_changed(project / "ds")


def test_what_reads_pictures_is_made_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(NAMES):
        write_png(project / "img" / name, number)
    config = HashImages(dataset=build(project), output=project / "hashes")
    before = read_hashes(hash_images(config), 24).content
    write_png(project / "img/a/0.jpg", 99)
    after = read_hashes(hash_images(config), 24).content
    assert "1 of 24 pictures are others than it was made from" in capsys.readouterr().err
    assert np.flatnonzero((before != after).any(axis=1)).tolist() == [0]
    hash_images(config)
    assert "hashes is up to date" in capsys.readouterr().err


def test_a_record_of_a_killed_run_stays(project: Path) -> None:
    (project / "work").mkdir()
    record_pictures(project / "work", project / "img", [NAMES])
    before = (project / "work" / PICTURES).read_bytes()
    os.utime(project / "img/a/0.jpg", ns=(1, 1))
    record_pictures(project / "work", project / "img", [NAMES])
    assert (project / "work" / PICTURES).read_bytes() == before


def test_stages_that_take_a_directory_tell_that_its_pictures_were_replaced(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(NAMES):
        write_png(project / "img" / name, number)
    dataset = build(project)
    hash_images(HashImages(dataset=dataset, output=project / "hashes"))
    assert "were replaced" not in capsys.readouterr().err
    for name in NAMES[2:5]:
        write_png(project / "img" / name, 100)
    (project / "img" / NAMES[0]).unlink()  # tells nothing of the others
    hash_images(HashImages(dataset=dataset, output=project / "others"))
    told = (
        f"warning: 3 of 24 pictures were replaced, or copied with new times, since {dataset} was made from them (the "
        f"first: {project / 'img' / NAMES[2]}); if they show something else now, make {dataset} again"
    )
    assert told in capsys.readouterr().err
    monkeypatch.setattr(module, "_MOST_TOLD", 12)
    tell_changed(dataset)
    assert "of 12 looked at, of 24 pictures were replaced" in capsys.readouterr().err
