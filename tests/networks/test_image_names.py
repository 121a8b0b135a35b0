"""Names of images as Arrow holds them: the same ones, in the same order, as objects of Python would have."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

import nlcli.networks.image_names as image_names
from nlcli.networks.image_files import find_images
from nlcli.networks.image_names import ImageNames, ListedImages
from nlcli.stages.files import fingerprint_json, fingerprint_json_parts

NAMES = [
    "a.jpg",
    "a/b.jpg",
    "a b/c.png",
    "a-b/1.jpg",
    "a/0.jpg",
    "Ä/é.jpg",
    "\U0001f600.png",
    "\uffee.png",
    "z/" * 9 + "q.gif",
]


def touch(root: Path, names: list[str]) -> None:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * i)


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_the_same_as_sorting_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(image_names, "_BLOCK", block)
    monkeypatch.chdir(tmp_path)
    folders = [Path("two words/images"), tmp_path / "two" / "images", Path("two words/images"), Path(".")]
    for folder in folders[:2]:
        touch(folder, NAMES)
    for given in (folders, folders[:1], [Path("two")]):
        objects = [image for found in find_images(given).values() for image in found.values()]
        objects.sort(key=lambda image: image.key)
        listed = ListedImages(random.Random(0).sample(objects, len(objects)))
        for names in (ImageNames.in_folders(given), listed):
            assert len(names) == len(objects) >= 9
            assert names.keys() == [image.key for image in objects]
            assert names.files() == [str(image.path) for image in objects]
            assert names.sizes() == [image.size for image in objects]
            for first, end in ((0, 1), (2, 5), (len(objects) - 1, len(objects)), (3, 3)):
                assert names.keys(first, end) == names.keys()[first:end]
                assert names.files(first, end) == names.files()[first:end]
                assert names.sizes(first, end) == names.sizes()[first:end]
            assert [row for part in names.blocks() for row in range(*part)] == list(range(len(objects)))


def test_names_in_a_folder_are_in_the_order_of_their_keys(tmp_path: Path) -> None:
    touch(tmp_path / "photos", NAMES)
    names = ImageNames.in_folders([tmp_path / "photos"])
    assert names.names() == sorted(NAMES)
    assert names.longest_name() == max(map(len, NAMES))


def test_the_fingerprint_of_parts_is_that_of_the_whole() -> None:
    values = [["a\u00e4\U0001f600", 1], {"b": None, "a": [2.5]}, "x", 3]
    for cut in range(5):
        assert fingerprint_json_parts([values[:cut], [], values[cut:]]) == fingerprint_json(values)
    assert fingerprint_json_parts([]) == fingerprint_json_parts([[], []]) == fingerprint_json([])


@pytest.mark.parametrize("in_order", [True, False])
def test_an_image_takes_the_bytes_of_its_name_and_little_more(in_order: bool) -> None:
    count = 150_000
    rows = range(count) if in_order else range(count - 1, -1, -1)
    ImageNames([("photos/", "/photos/")], [(0, "a", 1)])  # imports are counted to nobody
    tracemalloc.start()
    names = ImageNames([("photos/", "/photos/")], ((0, f"{row:08d}.jpg", row) for row in rows))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert names.keys(7, 8) == ["photos/00000007.jpg"]
    assert names.sizes(7, 8) == [7]
    assert held / count < len("photos/00000007.jpg") + 4 + 8 + 1 + 2
