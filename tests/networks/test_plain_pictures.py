"""What is plain, what is not, and that what is not is bounded wherever it is decoded."""

from __future__ import annotations

import io
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.networks import decoders
from nlcli.networks.decoders import POOL
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.images import ImageError, Preprocessing, image_size, load_image
from nlcli.networks.photographs import read_photograph, thumbnail
from nlcli.networks.plain_pictures import MOST_SCANS, is_plain
from torture._pictures import exif, scans_jpeg, tile_tiff

PRE = Preprocessing(size=32)


def _saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    file = io.BytesIO()
    (image or Image.fromarray(noise)).save(file, kind, **options)
    return file.getvalue()


def test_photographs_are_plain() -> None:
    assert is_plain(_saved("JPEG"))
    assert is_plain(_saved("JPEG", progressive=True, comment=b"a" * 1000, icc_profile=b"p" * 200_000))
    assert is_plain(_saved("JPEG", exif=exif(40)))
    assert is_plain(_saved("PNG"))
    assert is_plain(_saved("PNG", Image.new("P", (9, 9)), transparency=0, dpi=(72, 72)))


def test_what_is_cut_short_is_plain() -> None:
    for kind in ("JPEG", "PNG"):
        content = _saved(kind)
        assert all(is_plain(content[:length]) for length in range(10, 60))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_other_formats_are_not(kind: str) -> None:
    assert not is_plain(_saved(kind))


def test_many_scans_are_not_plain() -> None:
    few = _saved("JPEG", Image.new("L", (64, 64)), progressive=True).count(b"\xff\xda")
    assert is_plain(scans_jpeg(64, MOST_SCANS - few))
    assert not is_plain(scans_jpeg(64, MOST_SCANS - few + 1))


def test_directories_of_many_entries_are_not_plain() -> None:
    assert not is_plain(_saved("JPEG", exif=exif(201)))
    assert not is_plain(_saved("JPEG", exif=b"Exif\0\0" + exif(201)))  # Pillow takes off the beginning twice
    twice = _saved("JPEG", exif=exif(2))
    at = twice.index(b"\xff\xe1")
    end = at + 2 + int.from_bytes(twice[at + 2 : at + 4], "big")
    assert is_plain(twice)
    assert not is_plain(twice[:end] + twice[at:end] + twice[end:])  # Pillow puts them together
    assert not is_plain(_saved("PNG", exif=exif(2)))


def test_a_segment_hides_no_scans() -> None:
    """A marker that has no length for a decoder has none here."""
    content = scans_jpeg(64, 200)
    for marker in (0x01, 0xC8, 0xD0, 0xD8, 0xD9, 0xF0, 0xFF):
        hidden = struct.pack(">BBH", 0xFF, marker, 60_000)
        assert not is_plain(content[:2] + hidden + content[2:] + _saved("JPEG"))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_the_pixels_are_the_same_in_a_process(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(_saved(kind))
    image = Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(load_image(path, PRE), np.asarray(image))
    assert POOL.waiting
    assert image_size(path.read_bytes()) == (90, 70)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (scans_jpeg(2000, 2000), "takes more time than a picture may"),
        (tile_tiff(40_000), "damaged or cut short|takes more memory than there is for it"),
    ],
    ids=["scans", "tiles"],
)
def test_pictures_that_would_take_hours_or_all_memory_are_refused(
    content: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "SECONDS", 0)
    monkeypatch.setattr(decoders, "MEMORY", 1 << 28)
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    assert len(content) < 1 << 18
    (batch,) = iterate_images([path], PRE, 4, 1)
    ((_, told),) = batch.errors
    assert re.search(reason, told)


def test_they_are_no_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "MEMORY", 1 << 28)
    path = tmp_path / "picture.tif"
    path.write_bytes(tile_tiff(40_000))
    with pytest.raises(ImageError):
        load_image(path, PRE)
    assert read_photograph(path) is None
    assert thumbnail(path, 32, 10_000) is None


def test_a_pipe_is_no_photograph(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert thumbnail(tmp_path / "pipe.jpg", 32, 10_000) is None
    assert read_photograph(tmp_path / "pipe.jpg") is None
