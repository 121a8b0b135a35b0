"""The benchmark of accuracy: noise as it was asked for, metrics as scikit-learn has them, tables of made-up cells."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.accuracy.cases import Answer, Case, Truth
from benchmarks.accuracy.cells import Cell, Wanted, fill, read_cells
from benchmarks.accuracy.intervals import difference, interval
from benchmarks.accuracy.measure import area, average_error, chosen_threshold, measured
from benchmarks.accuracy.planting import by_image, by_matrix
from benchmarks.accuracy.rows import WORLDS, Row, World, _noisy, case, rows
from benchmarks.accuracy.summary import against_references
from benchmarks.accuracy.table import write_tables


def test_planted_noise_has_its_rate() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=6000)
    matrix = np.array([[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6]])
    noisy = by_matrix(true, matrix, 0.3, np.random.default_rng(1))
    assert np.mean(noisy != true) == pytest.approx(0.3, abs=0.02)
    assert not np.any((true == 0) & (noisy == 2))  # what the matrix rules out
    features = np.eye(3)[true] + 0.7 * rng.normal(size=(6000, 3))
    noisy = by_image(true, features, 0.25, np.random.default_rng(1))
    assert np.mean(noisy != true) == pytest.approx(0.25, abs=0.02)
    hard = features[np.arange(6000), true] < np.median(features[np.arange(6000), true])
    assert np.mean((noisy != true)[hard]) > 2 * np.mean((noisy != true)[~hard])


def test_area_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.3, np.round(rng.random(200), 1)  # with ties
    assert area(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_errors_by_hand() -> None:
    right, called = np.array([True, True, False, False]), np.array([True, False, False, True])
    # Class 0: one of three wrong; class 1: its one image wrong.
    assert average_error(right, called, np.array([0, 0, 0, 1])) == pytest.approx((1 / 3 + 1) / 2)
    threshold = chosen_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, False, True, True]), np.zeros(4, int))
    assert threshold == pytest.approx(0.4)


def test_what_is_measured_leaves_verified_images_out() -> None:
    case = Case(
        name="made-up",
        classes=2,
        several=False,
        features=np.zeros((4, 1)),
        noisy=np.array([0, 0, 1, 1]),
        verified=np.array([0]),
        known=np.array([1]),
        test_features=np.zeros((2, 1)),
        seed=0,
    )
    truth = Truth(labels=np.array([1, 0, 1, 0]), test=np.array([0, 1]))
    answer = Answer(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0.9, 0.8, 0.7, 0.1]), threshold=0.5)
    # Of the three that nobody looked at, the last is wrong and scores lowest.
    assert measured(case, truth, answer) == {"top_1": 0.5, "AUC": 1.0, "average_error": 0.0}


def test_verdicts_on_tags_by_hand() -> None:
    """Two classes; the first image is verified. Of the others' tags one of two is wrong, one of two others missing."""
    case = Case(
        name="made-up",
        classes=2,
        several=True,
        features=np.zeros((3, 1)),
        noisy=np.array([[1, 0], [1, 0], [1, 0]], np.uint8),
        verified=np.array([0]),
        known=np.array([[1, 0]], np.uint8),
        test_features=np.zeros((1, 1)),
        seed=0,
    )
    truth = Truth(labels=np.array([[1, 0], [1, 1], [0, 0]], np.uint8), test=np.zeros((1, 2), np.uint8))
    right = np.array([[0.9, 0.1], [0.8, 0.7], [0.2, 0.3]])
    areas = {"AUC_given": 1.0, "AUC_missing": 1.0}
    told = measured(case, truth, Answer(None, right, present=right > 0.25))
    # Called there are 0.8, 0.7 and 0.3: the wrong tag (0.2) is found, the last one is called missing wrongly.
    expected = {"label_error": 0.25, "precision_wrong": 1.0, "recall_wrong": 1.0}
    assert told == areas | expected | {"precision_missing": 0.5, "recall_missing": 1.0}
    # By thresholds of the verified image, 1/2 where nothing tells: 0.9 and above is right, 0.5 and above is missing.
    told = measured(case, truth, Answer(None, right))
    assert told == areas | {
        "label_error": 0.0, "precision_wrong": 1.0, "recall_wrong": 1.0, "precision_missing": 1.0, "recall_missing": 1.0
    }  # fmt: skip


def test_what_is_there_is_measured_again_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.array([0, 0, 1, 1])
    case = Case(
        name="made-up",
        classes=2,
        several=False,
        features=np.zeros((4, 1)),
        noisy=labels,
        verified=np.array([0]),
        known=np.array([1]),
        test_features=np.zeros((2, 1)),
        seed=0,
    )
    monkeypatch.setattr("benchmarks.accuracy.cells.case", lambda *_: (case, Truth(labels, labels[1:3])))
    wanted = Wanted([Row(WORLDS[0], 5)], ["believed"], 1, tmp_path, tmp_path)
    fill(wanted)
    (place,) = tmp_path.glob("cells/*/*.json")
    first = place.read_text()
    changed = first.replace('"note": ""', '"note": "of other code"')
    place.write_text(changed)
    fill(wanted)
    assert place.read_text() == changed != first
    fill(replace(wanted, again=True))
    assert [cell.note for cell in read_cells(tmp_path)] == [""]


def test_a_table_of_cells(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / "digits-class-38@5"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for method, share in (("sklearn-noisy", 0.6), ("head:auto", 0.8), ("sklearn-true", 0.9)):
        for seed in range(2):
            outcome = rng.random(500) < share
            told = {
                "row": "digits-class-38@5",
                "method": method,
                "seed": seed,
                "metrics": {"top_1": float(outcome.mean())},
                "seconds": 1.0,
                "note": "",
            }
            (folder / f"{method.replace(':', '+')}~{seed}.json").write_text(json.dumps(told))
            np.savez(folder / f"{method.replace(':', '+')}~{seed}.npz", outcome=outcome)
    cells = read_cells(tmp_path)
    text = write_tables(cells, tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| digits-class-38@5"))
    mean = np.mean([cell.metrics["top_1"] for cell in cells if cell.method == "head:auto"])
    assert row.count("**") == 2  # the best one, which the true labels are not
    assert f"**{mean:.3f} ±" in row
    assert (tmp_path / "accuracy.png").stat().st_size > 1000
    with open(tmp_path / "accuracy.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {line["method"] for line in lines} == {"sklearn-noisy", "head:auto", "sklearn-true"}
    of: dict[str, list[Cell]] = {}
    for cell in cells:
        of.setdefault(cell.method, []).append(cell)
    gap, ends = difference(of["head:auto"], of["sklearn-noisy"], "top_1")
    assert ends is not None
    assert ends[0] < gap < ends[1]
    low_high = interval(of["head:auto"], "top_1")
    assert low_high is not None
    assert low_high[0] < np.mean([cell.metrics["top_1"] for cell in of["head:auto"]]) < low_high[1]


def test_at_least_half_of_the_worlds_are_held_back(tmp_path: Path) -> None:
    held = [world for world in WORLDS if world.held_back]
    assert 2 * len(held) >= len(WORLDS) - 1
    names = [row.name for row in rows(["digits-*@5"], tmp_path)]
    assert "digits-image-40@5" in names
    with pytest.raises(SystemExit, match="no row is like"):
        rows(["nothing"], tmp_path)


def test_what_chooses_itself_beside_the_references_by_hand() -> None:
    """Ahead of noisy labels by 0.10 and 0.30: t of one degree of freedom is 12.706, times 0.1 of standard error."""
    table = {
        ("coco@5", method): [cell(method, seed, value) for seed, value in enumerate(values)]
        for method, values in {
            "sklearn-true": (0.9, 0.7),
            "sklearn-noisy": (0.4, 0.2),
            "regression": (0.35, 0.2),
            "head:auto": (0.5, 0.5),
        }.items()
    }
    (line,) = against_references(table, "mAP").splitlines()[2:]
    row, defaults, seeds, true, noisy, careful, auto, less, kept, closed = line.strip("| ").split(" | ")
    assert (row, defaults, seeds, true, noisy, careful) == ("coco@5", "held back", "2", "0.800", "0.300", "0.275")
    assert auto == "**0.500** ± 0.000"
    assert less == "+0.200 (-1.071 to +1.471)"
    assert kept == "mixture 1, noisy 1"
    assert closed == "0.40"
    behind = {**table, ("coco@5", "regression"): [cell("regression", seed, 0.6) for seed in range(2)]}
    assert "| **0.600** | 0.500 ± 0.000 |" in against_references(behind, "mAP")
    assert against_references(table, "top_1") == ""
    finder = Cell("coco@5", "cleanlab", 0, {"AUC_given": 0.9}, 1.0, "", None)  # finds wrong tags, and is no classifier
    both = {**table, ("coco@5", "cleanlab"): [finder]}
    assert against_references(both, "mAP") == against_references(table, "mAP")


def cell(method: str, seed: int, value: float) -> Cell:
    return Cell("coco@5", method, seed, {"mAP": value}, 1.0, ("mixture", "noisy")[seed], None)


def test_verified_images_are_drawn_anew_while_noise_and_test_images_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=200)
    features = np.eye(3, dtype=np.float32)[truth] + rng.normal(size=(200, 3)).astype(np.float32)
    split = np.where(np.arange(200) < 40, 2, 0)
    monkeypatch.setattr(
        "benchmarks.accuracy.rows.images",
        lambda *_: SimpleNamespace(truth=truth, features=features, split=split, matrix=None),
    )
    _noisy.cache_clear()
    row = Row(World("made-up", "class", 20), 10)
    first, other = (case(row, 0, tmp_path, draw=draw)[0] for draw in (0, 1))
    _noisy.cache_clear()
    np.testing.assert_array_equal(first.noisy, other.noisy)
    np.testing.assert_array_equal(first.test_features, other.test_features)
    assert len(first.verified) == len(other.verified) == 16
    assert set(first.verified) != set(other.verified)
    np.testing.assert_array_equal(other.known, truth[40:][other.verified])
