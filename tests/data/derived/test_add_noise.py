"""Planted noise: rates, targets, what stays known, and the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import AddNoise
from nlcli.data.derived.add_noise import add_noise, flip_chance, read_matrix, sample_by_class
from nlcli.data.derived.resemblance import Resemblance
from nlcli.data.label_confusion import write_confusion
from nlcli.data.label_files import read_dataset, read_truth
from nlcli.data.labels import (
    FULL,
    NONE,
    LabelTable,
    choose_clean,
    noisy_classes,
    one_label,
    single_label_table,
    true_classes,
)
from nlcli.errors import NlcliError
from worlds.feature_store import Store
from worlds.stage_builders import published

CLASSES = ("a", "b", "c", "d")


def clean_table(images: int = 6000, seed: int = 0) -> LabelTable:
    """Fully verified images of four classes, half of them a; noisy labels are the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.choice(4, images, p=[0.5, 0.2, 0.2, 0.1])
    split = np.repeat([0, 1, 2], [images - 2 * (images // 6), images // 6, images // 6])
    keys = [f"k{i:06d}" for i in rng.permutation(images)]
    return single_label_table(CLASSES, keys, keys, Path("/images"), split, true, true)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(clean_table(), tmp_path_factory.mktemp("noise") / "clean")


def planted(clean: Path, output: Path, **options: object) -> tuple[LabelTable, np.ndarray, np.ndarray]:
    path = add_noise(AddNoise(dataset=clean, output=output, **options))
    table = read_dataset(path)
    return table, read_truth(path, table), noisy_classes(table)


def confusion(true: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    counts = np.zeros((4, 4))
    np.add.at(counts, (true, noisy), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def test_classes_are_drawn_where_the_number_falls_in_their_distribution() -> None:
    matrix = np.array([[0.25, 0.5, 0.25, 0.0], [0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [0.1, 0.2, 0.3, 0.4]])
    true = np.array([2, 0, 0, 0, 0, 1, 1, 2, 2, 0])
    uniform = np.array([0.5, 0.0, 0.25, 0.7499, 0.75, 0.0, 0.999, 0.4999, 0.0, 0.9999999999])
    assert sample_by_class(matrix, true, uniform).tolist() == [2, 0, 1, 1, 2, 1, 1, 0, 0, 2]
    rows = np.random.default_rng(0).integers(0, 4, 500)
    numbers = np.random.default_rng(1).random(500)
    plain = [int(np.argmax(np.cumsum(matrix[c]) > u)) for c, u in zip(rows, numbers, strict=True)]
    assert sample_by_class(matrix, rows, numbers).tolist() == plain


def test_symmetric(clean: Path, tmp_path: Path) -> None:
    _, true, noisy = planted(clean, tmp_path / "out", rate=0.3)
    assert np.array_equal(true, true_classes(read_dataset(clean)))
    shares = confusion(true, noisy)
    assert np.diag(shares) == pytest.approx([0.7] * 4, abs=0.06)  # 600 images of d: 3 sd = 0.056
    assert shares[~np.eye(4, dtype=bool)] == pytest.approx([0.1] * 12, abs=0.04)


def test_pair(clean: Path, tmp_path: Path) -> None:
    _, true, noisy = planted(clean, tmp_path / "out", kind="pair", rate=0.4)
    assert set(np.unique((noisy - true) % 4)) == {0, 1}
    assert np.mean(noisy != true) == pytest.approx(0.4, abs=0.02)


def test_what_stays_known(clean: Path, tmp_path: Path) -> None:
    source = read_dataset(clean)
    table, true, noisy = planted(clean, tmp_path / "out", rate=0.5, verified=0.1, seed=4)
    train = table.rows("train")
    known = train[table.verification[train] == FULL]
    assert np.array_equal(known, choose_clean(source, 0.1, 4))
    hidden = np.setdiff1d(train, known)
    assert (table.verification[hidden] == NONE).all()
    assert table.present[hidden].nnz == 0  # the truth is not in the table
    others = np.concatenate((known, table.rows("validation"), table.rows("test")))
    assert np.array_equal(true_classes(table)[others], true[others])
    assert (noisy >= 0).all()  # every image has exactly one noisy label
    assert (np.diff(table.noisy.indptr) == 1).all()
    assert np.mean(noisy[table.rows("validation")] != true[table.rows("validation")]) > 0.4


def test_only_some_splits(clean: Path, tmp_path: Path) -> None:
    table, true, noisy = planted(clean, tmp_path / "out", rate=0.5, splits=("validation",), verified=0.1)
    for name in ("train", "test"):
        assert np.array_equal(noisy[table.rows(name)], true[table.rows(name)])
    assert (table.verification == FULL).all()
    assert np.mean(noisy != true) > 0.05


def test_the_seed_decides_and_the_order_of_rows_does_not(clean: Path, tmp_path: Path) -> None:
    _, _, first = planted(clean, tmp_path / "one", rate=0.3, seed=1)
    table, _, second = planted(clean, tmp_path / "two", rate=0.3, seed=2)
    assert not np.array_equal(first, second)
    source = read_dataset(clean)
    order = np.random.default_rng(0).permutation(len(source))
    for name in ("keys", "paths", "split", "verification", "noisy", "present", "absent"):
        setattr(source, name, getattr(source, name)[order])
    shuffled, _, third = planted(published(source, tmp_path / "shuffled"), tmp_path / "three", rate=0.3, seed=1)
    by_key = dict(zip(table.keys.tolist(), first.tolist(), strict=True))
    assert [by_key[key] for key in shuffled.keys.tolist()] == third.tolist()


def test_a_matrix_is_planted_as_it_is_or_scaled(clean: Path, tmp_path: Path) -> None:
    matrix = np.array([[8, 2, 0, 0], [0, 5, 5, 0], [1, 1, 8, 0], [0, 0, 0, 10]])
    write_confusion(tmp_path / "m.csv", CLASSES, matrix)
    _, true, noisy = planted(clean, tmp_path / "one", kind="matrix", matrix=tmp_path / "m.csv")
    assert confusion(true, noisy) == pytest.approx(matrix / 10, abs=0.05)
    assert confusion(true, noisy)[matrix == 0].max() == 0
    expected = np.mean((1 - np.diag(matrix) / 10)[true])
    assert np.mean(noisy != true) == pytest.approx(expected, abs=0.02)
    _, true, noisy = planted(clean, tmp_path / "two", kind="matrix", matrix=tmp_path / "m.csv", rate=0.38)
    assert np.mean(noisy != true) == pytest.approx(0.38, abs=0.02)
    assert confusion(true, noisy)[matrix == 0].max() == 0
    with pytest.raises(NlcliError, match="a class would be wrong with probability 1"):
        planted(clean, tmp_path / "three", kind="matrix", matrix=tmp_path / "m.csv", rate=0.6)


def test_the_planted_matrix_of_a_data_set_can_be_planted_again(clean: Path, tmp_path: Path) -> None:
    _, true, noisy = planted(clean, tmp_path / "pair", kind="pair", rate=0.4)
    counts = read_matrix(tmp_path / "pair" / "noise_matrix.csv", CLASSES, np.arange(4))
    assert counts == pytest.approx(confusion(true, noisy))
    matrix = read_matrix(tmp_path / "pair", CLASSES, np.arange(4))  # from its verified pairs outside test
    assert (matrix[~np.eye(4, dtype=bool) & ~np.roll(np.eye(4, dtype=bool), 1, axis=1)] == 0).all()
    assert np.diag(matrix) == pytest.approx([0.6] * 4, abs=0.12)
    reordered = read_matrix(tmp_path / "pair" / "noise_matrix.csv", ("d", "c", "b", "a"), np.arange(4))
    assert reordered == pytest.approx(counts[::-1, ::-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("true,a,b,c,d\na,1,0,0,0\n", "1 rows, expected each of the 4 classes once"),
        ("true,a,b,c,e\n", "line 1: unknown class 'e'"),
        ("true,a,b,c,d\na,1,0,0,0\nb,0,1,0,0\nc,0,0,1,0\nd,0,0,0,-1\n", "line 5: '-1' is not a number from 0 on"),
        ("true,a,b,c,d\na,1,0,0,0\nb,0,1,0,0\nc,0,0,nan,0\nd,0,0,0,1\n", "line 4: 'nan' is not"),
        ("true,a,b,c,d\na,1,0,0,0\nb,0,1,0\nc,0,0,1,0\nd,0,0,0,1\n", "line 3: 4 cells, expected 5"),
        ("true,a,b,c,d\na,0,0,0,0\nb,0,1,0,0\nc,0,0,1,0\nd,0,0,0,1\n", "the row of class 'a' sums to 0"),
        ("", "is empty"),
    ],
)
def test_malformed_matrices(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(NlcliError, match=message):
        read_matrix(tmp_path / "m.csv", CLASSES, np.arange(4))


def test_harder_images_flip_more_and_towards_what_they_resemble() -> None:
    """Classes 0 and 1 overlap, 2 and 3 stand apart: noise goes between 0 and 1."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 4000)
    centres = np.array([[1.0, 0, 0, 0, 1], [0.8, 0.3, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 0, 1, 1]])
    features = centres[true] + 0.15 * rng.standard_normal((4000, 5))
    fold = rng.integers(0, 5, 4000)
    scores = Resemblance(Store(features.astype(np.float32)), np.arange(4000), one_label(true, 4), fold).scores()
    assert np.mean(scores.argmax(axis=1) == true) > 0.85
    chance = flip_chance(scores, true, 0.3, 3.0)
    assert chance.mean() == pytest.approx(0.3, abs=1e-9)
    near = np.isin(true, [0, 1])
    assert chance[near].mean() > 2 * chance[~near].mean()
    flat = flip_chance(scores, true, 0.3, 0.0)
    assert flat == pytest.approx(np.full(4000, 0.3))
    assert (flip_chance(scores, true, 0.0, 3.0) == 0).all()


def test_scores_come_from_the_other_folds() -> None:
    """A label that only its own image supports must not be found again."""
    rng = np.random.default_rng(1)
    features = np.eye(50, dtype=np.float32)[:40]  # every image is alone in its direction
    true = rng.integers(0, 2, 40)
    scores = Resemblance(Store(features), np.arange(40), one_label(true, 2), np.arange(40) % 5).scores()
    margin = scores[np.arange(40), true] - scores[np.arange(40), 1 - true]
    others = np.array([np.mean(true[np.arange(40) % 5 != i % 5] == true[i]) for i in range(40)])
    assert np.sign(margin[others != 0.5]).tolist() == np.sign(others - 0.5)[others != 0.5].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--kind symmetric needs --rate"),
        ({"kind": "matrix"}, "--kind matrix needs --matrix"),
        ({"rate": 0.1, "matrix": Path("m.csv")}, "--kind symmetric takes no --matrix"),
        ({"kind": "features", "rate": 0.1}, "--kind features needs --features"),
        ({"rate": 0.1, "drop": 0.1}, "--drop, --add and --rates are of data with several labels an image"),
        ({"kind": "co-occurrence", "rate": 0.1}, "--kind co-occurrence, --drop"),
    ],
)
def test_options_that_do_not_fit(clean: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(NlcliError, match=message):
        planted(clean, tmp_path / "out", **options)


def test_data_sets_that_cannot_take_noise(clean: Path, tmp_path: Path) -> None:
    from worlds.stage_builders import verified_table

    with pytest.raises(NlcliError, match="give --drop and --add"):
        planted(published(verified_table(10, 3), tmp_path / "multi"), tmp_path / "out", rate=0.1)
    planted(clean, tmp_path / "noisy", rate=0.1)
    with pytest.raises(NlcliError, match="the true class of 3,600 of 6,000 images is not known"):
        planted(tmp_path / "noisy", tmp_path / "again", rate=0.1)
    with pytest.raises(NlcliError, match="only data sets made by nlcli add-noise"):
        read_truth(clean, read_dataset(clean))


def test_noise_in_a_data_set_for_testing_alone(tmp_path: Path) -> None:
    table = clean_table(600)
    table.split[:] = 2
    noised, true, noisy = planted(published(table, tmp_path / "clean"), tmp_path / "out", rate=0.5)
    assert (noised.verification == FULL).all()
    assert np.mean(true != noisy) == pytest.approx(0.5, abs=0.06)
