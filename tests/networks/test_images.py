"""Every kind of bad file has a defined behaviour; batches keep order whatever is in them."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.images import MAX_PIXELS, ImageError, Preprocessing, load_image

PRE = Preprocessing(size=32)


def gradient(height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth picture whose three channels and four corners all differ."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shrunk(array: np.ndarray, size: int = 32) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BILINEAR))


def reason(source: Path | bytes, pre: Preprocessing = PRE) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source, pre)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing: a decompression bomb's first bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


# --- what is converted -----------------------------------------------------------------------


def test_rgb_is_resized_with_pillows_bilinear_filter() -> None:
    loaded = load_image(encoded(Image.fromarray(gradient()), "PNG"), PRE)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, shrunk(gradient()))


def test_grey_gives_three_equal_channels() -> None:
    grey = gradient()[..., 0]
    loaded = load_image(encoded(Image.fromarray(grey), "JPEG", quality=95), PRE)
    assert (loaded[..., 0] == loaded[..., 1]).all()
    assert (loaded[..., 0] == loaded[..., 2]).all()
    np.testing.assert_allclose(loaded[..., 0].astype(int), shrunk(grey), atol=3)


def test_cmyk_jpeg_becomes_rgb() -> None:
    red = Image.new("RGB", (40, 40), (255, 0, 0)).convert("CMYK")
    loaded = load_image(encoded(red, "JPEG", quality=95), PRE)
    np.testing.assert_allclose(loaded.reshape(-1, 3).mean(0), [255, 0, 0], atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.full((4, 4), 25_700, np.uint16)  # 100 * 257; clipping would give 255
    values[2:] = 65_535
    loaded = load_image(encoded(Image.fromarray(values), kind), Preprocessing(size=16))
    assert (loaded[:4] == 100).all()
    assert (loaded[-4:] == 255).all()


def test_16_bit_pgm_is_scaled() -> None:
    content = b"P5 2 2 65535\n" + np.full(4, 25700, ">u2").tobytes()
    assert (load_image(content, Preprocessing(size=16)) == 100).all()


def test_16_bit_rgb_png_is_scaled() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + np.array([25700, 51400, 65535] * 4, ">u2").tobytes() for _ in range(4))
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    loaded = load_image(content, Preprocessing(size=16))
    np.testing.assert_array_equal(loaded[3, 3], [100, 200, 255])


def test_transparent_pixels_lie_over_white() -> None:
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, :10] = (200, 0, 0, 255)  # the left half is opaque red, the right half hidden black
    loaded = load_image(encoded(Image.fromarray(pixels), "PNG"), Preprocessing(size=20))
    np.testing.assert_array_equal(loaded[5, 5], [200, 0, 0])
    np.testing.assert_array_equal(loaded[5, 15], [255, 255, 255])


def test_palette_with_transparency_lies_over_white() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.paste(0, (10, 0, 20, 20))
    loaded = load_image(encoded(image, "GIF", transparency=0), Preprocessing(size=20))
    np.testing.assert_array_equal(loaded[5, 5], [0, 0, 255])
    np.testing.assert_array_equal(loaded[5, 15], [255, 255, 255])


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(load_image(content, PRE)[4, 4], [255, 0, 0])


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, resize: str) -> None:
    from PIL import ImageOps

    tagged = Image.fromarray(gradient(40, 60))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(tagged, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    pre = Preprocessing(size=20, resize=resize)
    expected = load_image(encoded(Image.fromarray(upright), "PNG"), pre)
    np.testing.assert_allclose(load_image(content, pre).astype(int), expected, atol=1)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_not_matter() -> None:
    content = encoded(Image.fromarray(gradient()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert load_image(content, PRE).shape == (32, 32, 3)


def test_crop_takes_the_middle() -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    loaded = load_image(encoded(Image.fromarray(pixels), "PNG"), Preprocessing(size=20, resize="crop"))
    assert (loaded == 200).all()


def test_30000_pixels_wide_is_decoded_when_it_is_low() -> None:
    pixels = np.repeat(np.linspace(0, 255, 30_000).astype(np.uint8)[None], 10, axis=0)
    loaded = load_image(encoded(Image.fromarray(pixels), "PNG"), PRE)
    assert loaded[0, 0, 0] < 10
    assert loaded[0, -1, 0] > 245


@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_fast_decoding_changes_pixels_a_little(decode: str) -> None:
    content = encoded(Image.fromarray(gradient(480, 640)), "JPEG", quality=95)
    exact = load_image(content, Preprocessing(size=64))
    loaded = load_image(content, Preprocessing(size=64, decode=decode))
    np.testing.assert_allclose(loaded.astype(int), exact, atol=0 if decode == "exact" else 6)


# --- what is refused -------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match=r"nothing\.jpg: there is no such file"):
        load_image(tmp_path / "nothing.jpg", PRE)


def test_zero_byte_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert reason(tmp_path / "a.jpg") == "the file is empty"


def test_directory_and_pipe(tmp_path: Path) -> None:
    assert reason(tmp_path) == "a directory, not an image file"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "not a regular file"


@pytest.mark.parametrize("content", [b"hello, world\n" * 50, b"\0" * 4096, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8"])
def test_not_an_image(content: bytes) -> None:
    assert reason(content) == "not an image in a known format"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_cut_short(kind: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    said = reason(content[: int(len(content) * part)])
    assert "cut short" in said or "not an image" in said


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused_by_its_header() -> None:
    assert f"more than {MAX_PIXELS:,}" in reason(png_header(30_000, 20_000))
    assert "cut short" in reason(png_header(30_000, 3_000))  # allowed by its size, but the pixels are not there


def test_float_pixels_are_refused() -> None:
    content = encoded(Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "TIFF")
    assert "floating-point" in reason(content)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_flipped_bytes_never_escape() -> None:
    """Damage anywhere gives a picture or an ImageError, nothing else."""
    rng = np.random.default_rng(0)
    contents = [encoded(Image.fromarray(gradient()), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")]
    for content in contents:
        for _ in range(40):
            damaged = bytearray(content)
            for place in rng.integers(0, len(damaged), 4):
                damaged[place] ^= int(rng.integers(1, 256))
            with contextlib.suppress(ImageError):
                assert load_image(bytes(damaged), PRE).shape == (32, 32, 3)


# --- batches ---------------------------------------------------------------------------------


def numbered(tmp_path: Path, count: int) -> list[Path]:
    paths = []
    for i in range(count):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (20, 20), (i, i, i)).save(paths[-1])
    return paths


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batches_keep_order_around_bad_files(tmp_path: Path, batch_size: int, workers: int) -> None:
    paths = numbered(tmp_path, 23)
    paths[5].write_bytes(b"")
    paths[6].unlink()
    paths[22].write_bytes(paths[22].read_bytes()[:50])
    rows: list[int] = []
    errors: dict[int, str] = {}
    for batch in iterate_images(paths, PRE, batch_size, workers):
        assert batch.images.shape == (len(batch.rows), 32, 32, 3)
        assert batch.rows.dtype == np.int64
        np.testing.assert_array_equal(batch.images[:, 0, 0, 0], batch.rows)
        rows += batch.rows.tolist()
        errors |= dict(batch.errors)
    assert rows == [i for i in range(23) if i not in (5, 6, 22)]
    assert set(errors) == {5, 6, 22}
    assert errors[5] == "the file is empty"


def test_start_skips_what_is_done(tmp_path: Path) -> None:
    batches = list(iterate_images(numbered(tmp_path, 10), PRE, 4, 2, start=6))
    assert [batch.rows.tolist() for batch in batches] == [[6, 7, 8, 9]]


def test_nothing_to_do() -> None:
    assert list(iterate_images([], PRE, 4)) == []


def test_a_batch_of_bad_files_only(tmp_path: Path) -> None:
    (batch,) = iterate_images([tmp_path / "a.jpg", tmp_path / "b.jpg"], PRE, 2)
    assert batch.images.shape == (0, 32, 32, 3)
    assert [row for row, _ in batch.errors] == [0, 1]


def test_look_ahead_is_bounded_and_threads_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def counted(source: object, pre: Preprocessing) -> np.ndarray:
        seen.append(source)
        return np.zeros((pre.size, pre.size, 3), np.uint8)

    monkeypatch.setattr("nlcli.networks.images.load_image", counted)
    before = _decoding_threads()
    batches = iterate_images([b"x"] * 1000, PRE, 10, 2)
    next(batches)
    assert len(seen) <= 40  # the batch given, and three ahead
    batches.close()
    assert _decoding_threads() == before


def _decoding_threads() -> int:
    return sum(thread.name.startswith("decode") for thread in threading.enumerate())


def test_a_margin_is_cut_off_around_the_middle(tmp_path: Path) -> None:
    """CaffeNet's: squeezed to 256 pixels, the middle 227 of them, from the 14th on."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (300, 410, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    pre = Preprocessing(size=227, scaling="caffe", margin=29)
    whole = load_image(tmp_path / "a.png", pre.whole())
    assert whole.shape == (256, 256, 3)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", pre), whole[14:241, 14:241])
    np.testing.assert_array_equal(whole, load_image(tmp_path / "a.png", Preprocessing(size=256, scaling="caffe")))
