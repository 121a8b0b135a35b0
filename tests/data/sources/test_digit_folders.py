"""The embedded single-label data: which digits are drawn where, the folders, the noise model beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.config import AddNoise, BuildDigits, BuildFolders
from nlcli.data.derived.add_noise import add_noise, read_matrix
from nlcli.data.label_files import read_dataset, read_truth
from nlcli.data.labels import FULL
from nlcli.data.sources import digit_folders, digits
from nlcli.data.sources.digit_folders import confusion, draw_digit, part_digits
from nlcli.data.sources.digit_painting import DIGITS, glyphs
from nlcli.data.sources.folders import build_folders
from nlcli.stages.stage import read_stage


def test_no_digit_is_in_two_splits() -> None:
    parts = part_digits(0)
    assert list(parts) == ["train", "validation", "test"]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(1797))
    _, values = glyphs()
    assert [len(part) for part in parts.values()] == [1078, 360, 359]
    assert [np.bincount(values[part]).min() for part in parts.values()] == [99, 28, 25]  # of the rarest digit
    assert not np.array_equal(parts["train"], part_digits(1)["train"])


def test_pictures_show_their_digit_and_neighbours_of_its_split_only(monkeypatch: pytest.MonkeyPatch) -> None:
    images, values = glyphs()
    looked_at: set[int] = set()

    class Recorded:
        def __getitem__(self, row: int) -> np.ndarray:
            looked_at.add(int(row))
            return images[row]

    pool = part_digits(0)["validation"]
    monkeypatch.setattr(digit_folders, "glyphs", lambda: (Recorded(), values))
    neighbours = 0
    for number, row in enumerate(pool[:60]):
        looked_at.clear()
        picture = draw_digit(int(row), pool, 32, np.random.default_rng([7, number]))
        assert (picture.shape, picture.dtype) == ((32, 32, 3), np.uint8)
        assert int(row) in looked_at
        assert looked_at <= set(pool.tolist())
        neighbours += len(looked_at) - 1
        assert np.array_equal(picture, draw_digit(int(row), pool, 32, np.random.default_rng([7, number])))
    assert neighbours == 53


def test_the_digit_stands_out_and_its_place_and_size_vary() -> None:
    """The same digit drawn often: no pixel is ink every time, and the mean is nearly flat."""
    pool = part_digits(0)["train"]
    stack = np.stack(
        [draw_digit(int(pool[0]), pool, 32, np.random.default_rng([8, number])).mean(axis=2) for number in range(300)]
    )
    assert np.ptp(stack.mean(axis=0)) == pytest.approx(16.2, abs=0.05)
    assert np.median(np.ptp(stack, axis=(1, 2))) > 80


def test_confusion_is_like_that_of_clothing1m() -> None:
    """Overall 38 % wrong (Xiao 2015, figure 6: 38.46 %), most of it in favour of one or two classes."""
    matrix = confusion()
    assert matrix.sum(axis=1) == pytest.approx(np.full(10, 100))
    assert 100 - np.diag(matrix).mean() == pytest.approx(38.0)
    wrong = matrix - np.diag(np.diag(matrix))
    assert (np.sort(wrong, axis=1)[:, -2:].sum(axis=1) > 0.8 * wrong.sum(axis=1)).all()
    assert (np.diag(matrix) == matrix.max(axis=1)).all()  # the right label is still the most frequent one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = BuildDigits(
        output=tmp_path_factory.mktemp("singles") / "digits", kind="single", train_images=600, val_images=300
    )
    return digits.build_digits(config)


def test_folders_become_a_data_set_and_a_noisy_one(made: Path, tmp_path: Path) -> None:
    first = made / "images" / "train" / "zero"
    with Image.open(next(first.iterdir())) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (32, 32), "RGB")
    clean = build_folders(
        BuildFolders(images=made / "images", output=tmp_path / "clean", verified=("train", "validation", "test"))
    )
    table = read_dataset(clean)
    assert table.classes == tuple(sorted(DIGITS))
    assert [len(table.rows(split)) for split in ("train", "validation", "test")] == [600, 150, 150]
    assert (table.verification == FULL).all()
    order = [DIGITS.index(name) for name in table.classes]
    matrix = read_matrix(made / digit_folders.CONFUSION, table.classes, np.arange(10))
    assert matrix == pytest.approx(confusion()[np.ix_(order, order)] / 100)
    noisy = add_noise(
        AddNoise(
            dataset=clean, output=tmp_path / "noisy", kind="matrix", matrix=made / digit_folders.CONFUSION, rate=0.38
        )
    )
    after = read_dataset(noisy)
    wrong = np.asarray(after.noisy.argmax(axis=1)).ravel() != read_truth(noisy, after)
    assert wrong.mean() == pytest.approx(0.38, abs=0.05)


def test_raw_pixels_do_not_tell_the_digits(made: Path) -> None:
    """Nearest neighbours in pixels are right for fewer than half of the pictures: there is something to learn."""

    def pixels(split: str) -> tuple[np.ndarray, np.ndarray]:
        files = sorted((made / "images" / split).rglob("*.png"))
        grey = np.stack([np.asarray(Image.open(file).convert("L"), np.float32).ravel() for file in files])
        grey = (grey - grey.mean(axis=1, keepdims=True)) / grey.std(axis=1, keepdims=True)
        return grey, np.asarray([DIGITS.index(file.parent.name) for file in files])

    (x, y), (near, truth) = pixels("train"), pixels("test")
    accuracy = np.mean(y[np.argmax(near @ x.T, axis=1)] == truth)
    assert 0.1 < accuracy < 0.5


@pytest.mark.slow
def test_resumed_and_uninterrupted_give_the_same(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BuildDigits(output=tmp_path / "again", kind="single", train_images=600, val_images=300)
    write = digit_folders.write_confusion
    monkeypatch.setattr(digit_folders, "write_confusion", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        digits.build_digits(config)
    assert not config.output.exists()
    monkeypatch.setattr(digit_folders, "write_confusion", write)
    assert read_stage(digits.build_digits(config)).fingerprint == read_stage(made).fingerprint
    assert read_stage(made).summary["images"] == {"train": 600, "validation": 150, "test": 150}


def test_the_recipe_of_scenes_is_what_it_was_before_there_were_kinds() -> None:
    assert BuildDigits(output=Path("x")).recipe() == {"train_images": 4000, "val_images": 2600, "size": 96, "seed": 0}
    assert BuildDigits(output=Path("x"), kind="single").recipe()["size"] == 32
