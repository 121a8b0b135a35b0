"""Lists as they are unpacked, edited and saved: what differs in a dot, a space or a mark is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.data.lists import find_file, plain_path, read_keys, read_labelled
from nlcli.errors import NlcliError
from worlds.folders import touch


def test_dots_and_spaces_around_paths(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_bytes(b"\xef\xbb\xbfa/1,2.jpg \r\n./b//2.jpg\r\n\r\n")
    assert read_keys(tmp_path / "keys.txt") == ["a/1,2.jpg", "b/2.jpg"]
    (tmp_path / "labels.txt").write_text("./a/1,2.jpg 3 \nb/2.jpg 0\n")
    assert read_labelled(tmp_path / "labels.txt", 4) == {"a/1,2.jpg": 3, "b/2.jpg": 0}
    (tmp_path / "twice.txt").write_text("a.jpg\n./a.jpg\n")
    with pytest.raises(NlcliError, match="line 2: 'a.jpg' already stands in line 1"):
        read_keys(tmp_path / "twice.txt")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("./a.jpg", "a.jpg"),
        ("a/./b", "a/b"),
        ("a//b/", "a/b"),
        ("a/.", "a"),
        (".", ""),
        ("/a//b", "/a//b"),
        ("a.b/c.", "a.b/c."),
    ],
)
def test_plain_paths(given: str, plain: str) -> None:
    assert plain_path(given) == plain


def test_a_file_beside_the_folder_is_pointed_at(tmp_path: Path) -> None:
    touch(tmp_path, "release/clothing1m/labels.txt", "release/clothing1m/images/1.jpg")
    for folder in ("release", "release/clothing1m/images", "."):
        with pytest.raises(
            NlcliError, match=r"give the folder where Clothing1M was unpacked \(it is in .*clothing1m\)"
        ):
            find_file([tmp_path / folder], "labels.txt", "Clothing1M")
    with pytest.raises(NlcliError, match="was unpacked$"):
        find_file([tmp_path / "release"], "nothing.txt", "Clothing1M")


def test_a_file_that_was_not_unpacked_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "labels.txt.gz").touch()
    with pytest.raises(NlcliError, match=r"was unpacked \(the archive 'labels.txt.gz' is there: unpack it\)"):
        find_file([tmp_path], "labels.txt", "Clothing1M")
    (tmp_path / "info.zip").touch()
    with pytest.raises(NlcliError, match=r"was unpacked \(the archive 'info.zip' is there: unpack it\)"):
        find_file([tmp_path / "info"], "classes.txt", "WebVision")
    (tmp_path / "Labels.txt").touch()
    with pytest.raises(NlcliError, match=r"\('Labels.txt' is there: names must be the same in capitals, too\)"):
        find_file([tmp_path], "labels.txt", "Clothing1M")
