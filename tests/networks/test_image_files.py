"""Finding image files in folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.networks.image_files import (
    LeftOut,
    class_folders,
    find_images,
    folder_labels,
    is_image,
    name_some,
    walk_files,
)
from worlds.folders import touch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, other files, hidden ones, links; ``linked`` leads to a folder beside."""
    root = tmp_path / "images"
    for name in ("b.JPG", "a/x.png", "a/y.tiff", "a/notes.txt", "._b.JPG", ".cache/z.png", "movie.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"12345")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "c.png").write_bytes(b"1")
    (root / "linked").symlink_to(tmp_path / "beside")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    return root


def test_images_by_their_path_in_the_folder(folder: Path) -> None:
    images = find_images([folder])[folder]
    assert {name: image.size for name, image in images.items()} == {
        "a/x.png": 5,
        "a/y.tiff": 5,
        "b.JPG": 5,
        "gone.png": -1,
        "linked/c.png": 1,
    }
    assert images["a/x.png"].key == "images/a/x.png"
    assert images["a/x.png"].path == folder / "a" / "x.png"


def test_files_of_all_kinds_in_order_links_followed(folder: Path) -> None:
    names = ["a/notes.txt", "a/x.png", "a/y.tiff", "b.JPG", "gone.png", "linked/c.png", "movie.mp4"]
    assert [name for name, _ in walk_files(folder)] == names
    assert [name for name, _ in walk_files(folder, "a/")] == names[:3]


def test_a_link_to_a_folder_above_is_refused(folder: Path) -> None:
    (folder / "a" / "up").symlink_to(folder)
    with pytest.raises(NlcliError, match=r"images/a/up/? is a link to a folder above it; remove the link"):
        list(walk_files(folder))


def test_a_link_to_itself_is_a_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "self.png").symlink_to(folder / "self.png")
    assert find_images([folder])[folder]["self.png"].size == -1


LEFT = (
    "a/@eaDir/x.png/SYNOPHOTO_THUMB_M.jpg",
    "a/Thumbs.db",
    "a/desktop.ini",
    "a/.DS_Store",
    "a/._x.png",
    "a/.thumbnails/x.png",
    "a/.picasaoriginals/x.png",
    "a/.ipynb_checkpoints/x-checkpoint.png",
    "a/.hidden.png",
    "__MACOSX/a/._x.png",
    "$RECYCLE.BIN/x.png",
    "System Volume Information/x.png",
    ".Spotlight-V100/x.png",
    "lost+found/x.png",
    "#recycle/x.png",
    "a/~$x.png",
    "a/z.png.crdownload",
    "a/z.jpg.tmp",
    "a/read me.txt",
)


def test_what_drives_and_desktops_leave_is_never_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/x.png", "b/y.png", *LEFT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_images([tmp_path])[tmp_path]) == ["a/x.png", "b/y.png"]
    left_out = LeftOut()
    assert class_folders(tmp_path, left_out) == ["a", "b"]
    assert left_out.counts == {"left by drives, desktops and programs": 6}
    told = capsys.readouterr().err
    assert "14 left by drives, desktops and programs (#recycle, $RECYCLE.BIN, .Spotlight-V100 ...)" in told
    assert "2 hidden (.hidden.png, ~$x.png)" in told
    assert "2 unfinished downloads and temporary files (z.jpg.tmp, z.png.crdownload)" in told
    assert "1 not images (read me.txt)" in told


def test_names_that_are_not_utf8_are_named_with_their_bytes(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/h\xfct")
    with pytest.raises(NlcliError, match=r"the name 'h\\xfct' in .* is not UTF-8; rename it"):
        class_folders(tmp_path)
    (tmp_path / "a").mkdir()
    open(os.fsencode(tmp_path) + b"/a/h\xfctchen.jpg", "w").close()
    with pytest.raises(NlcliError, match=r"the name 'h\\xfctchen.jpg' in .*/a is not UTF-8.*convmv -f latin1"):
        find_images([tmp_path / "a"])


def test_what_stages_made_beside_pictures_is_no_picture(tmp_path: Path) -> None:
    touch(
        tmp_path, "a/x.png", "b/y.jfif", "ds/stage.json", "ds/noise.png", "ds.partial/recipe.json", "ds.partial/p.png"
    )
    touch(tmp_path, "a/out/stage.json", "a/out/plot.png", "stage.json")
    left_out = LeftOut()
    assert class_folders(tmp_path, left_out) == ["a", "b"]
    assert left_out.counts == {"made by nlcli": 2, "beside the folders of classes": 1}
    assert list(find_images([tmp_path])[tmp_path]) == ["a/x.png", "b/y.jfif"]


def test_more_of_what_drives_leave_and_what_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ("RECYCLER", "Recycled", "FOUND.001", "$WinREAgent", "~snapshot", "@eaDir ", "_thumbs", "Thumbnails")
    touch(tmp_path, "a/x.png", "a/y.HEIC", "a/z.cr2", "a/film.mov", "a/n.txt", *(f"{name}/x.png" for name in folders))
    assert list(find_images([tmp_path])[tmp_path]) == ["a/x.png"]
    told = capsys.readouterr().err
    assert "8 left by drives, desktops and programs" in told
    assert "3 pictures, films and archives of kinds that are not read (film.mov, y.HEIC, z.cr2)" in told
    assert "1 not images (n.txt)" in told


@pytest.mark.parametrize(
    ("name", "image"),
    [("a.jpeg", True), ("a.JFIF", True), ("a.heic", False), ("A.WebP", True), ("a.jpg.txt", False), ("jpg", False)],
)
def test_suffixes(name: str, image: bool) -> None:
    assert is_image(name) is image


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match=r"image folder .*none does not exist; give the folder that holds the images"):
        find_images([tmp_path / "none"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed(folder: Path) -> None:
    (folder / "a").chmod(0)
    try:
        with pytest.raises(NlcliError, match=r"cannot list image folder .*/a/?: Permission denied"):
            find_images([folder])
    finally:
        (folder / "a").chmod(0o755)


def test_labels_tell_folders_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "x" / "train", tmp_path / "y" / "train"
    assert folder_labels([one, tmp_path / "val"]) == ["train", "val"]
    assert folder_labels([one, two]) == ["x/train", "y/train"]
    assert folder_labels([one, one]) == ["train", "train"]


def test_a_few_names() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(["a", "b", "c", "d"], "; ") == "a; b; c ..."
