"""Evaluations of detections: error rates by hand, intervals by brute force, held-out classes, planted truth."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from nlcli.data.config import AddNoise
from nlcli.data.derived.add_noise import add_noise
from nlcli.data.labels import LabelTable
from nlcli.detection.config import DetectNoise
from nlcli.detection.detect_noise import detect_noise
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import CheckedLabels, read_checked, write_checked
from nlcli.evaluation.comparison.analyse import analyse
from nlcli.evaluation.comparison.compare import compare, compare_evaluations, show_evaluations
from nlcli.evaluation.comparison.side_by_side_table import comparison_table
from nlcli.evaluation.config import Analyse, Compare, Evaluate
from nlcli.evaluation.evaluate import evaluate
from nlcli.metrics import bootstrap as of
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage
from worlds.evaluated import evaluated
from worlds.made_detections import CLASSES, checked_table, made_dataset, made_detection
from worlds.scored_chain import shared_chain

#          train, not verified     test
NOISY = [0, 0, 1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
TRUE_ = [0, 1, 1, 0, 2, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 1]
SCORE = [0.9, 0.2, 0.8, 0.6, 0.1, 0.3, 0.9, 0.4, 0.3, 0.8, 0.7, 0.2, 0.9, 0.6, 0.45, 0.55]
SPLIT = [0] * 6 + [2] * 10
# test, threshold 0.5: a  0.9 right ok, 0.4 right rejected, 0.3 wrong ok, 0.8 wrong missed: 2 of 4
#                      b  0.7 right ok, 0.2 wrong ok: 0 of 2
#                      c  0.9, 0.6 right ok, 0.45 right rejected, 0.55 wrong missed: 2 of 4
VERIFIED = [i >= 6 for i in range(16)]


@pytest.fixture
def table() -> LabelTable:
    return checked_table(NOISY, TRUE_, SPLIT, VERIFIED)


@pytest.fixture
def dataset(tmp_path: Path, table: LabelTable) -> Path:
    return made_dataset(tmp_path / "dataset", table)


def test_every_figure_by_hand(tmp_path: Path, table: LabelTable, dataset: Path) -> None:
    detection = made_detection(tmp_path / "detection", dataset, table, SCORE)
    output = evaluate(Evaluate(model=detection, bootstrap=80))
    assert output == tmp_path / "detection-test"
    metrics = read_json(output / "metrics.json")
    assert metrics["task"] == "label-noise"
    assert (metrics["images"], metrics["wrong"]) == (10, 4)
    assert metrics["average_error"] == pytest.approx((2 / 4 + 0 + 2 / 4) / 3)
    assert metrics["micro_error"] == pytest.approx(4 / 10)
    assert metrics["naive"]["average_error"] == pytest.approx((2 / 4 + 1 / 2 + 1 / 4) / 3)
    assert metrics["naive"]["micro_error"] == pytest.approx(0.4)
    right, score = np.array(TRUE_[6:]) == np.array(NOISY[6:]), np.array(SCORE[6:])
    assert metrics["AUC"] == pytest.approx(roc_auc_score(right, score))
    assert metrics["AP_wrong"] == pytest.approx(average_precision_score(~right, -score))
    assert metrics["average_error_interval"][0] <= metrics["average_error"] <= metrics["average_error_interval"][1]
    assert "held_out_error" not in metrics
    assert "planted_error" not in metrics
    assert metrics["selection"]["selected_by"] == {"split": "validation", "metric": "average error", "images": 6}
    assert metrics["selection"]["clean"]["images"] == 2
    with open(output / "per_class.csv", encoding="utf-8") as file:
        lines = {line["class"]: line for line in csv.DictReader(file)}
    told = {name: [line[c] for c in ("images", "wrong", "missed", "rejected")] for name, line in lines.items()}
    assert told == {"a": ["4", "2", "1", "1"], "b": ["2", "1", "0", "0"], "c": ["4", "1", "1", "1"]}
    assert [float(lines[c]["error"]) for c in CLASSES] == [0.5, 0, 0.5]
    assert [float(lines[c]["naive_error"]) for c in CLASSES] == [0.5, 0.5, 0.25]
    for name in ("per_class.png", "areas.png"):
        with Image.open(output / name) as image:
            assert image.width > 300
    assert read_stage(output).summary["average_error"] == metrics["average_error"]


def test_the_verdicts_that_count_are_those_of_the_detection(tmp_path: Path) -> None:
    """Cross-fitted verdicts differ from those by the threshold; no threshold is chosen here."""
    table = checked_table([0, 0, 1, 1], [0, 1, 1, 1], [1] * 4)
    dataset = made_dataset(tmp_path / "dataset", table)
    detection = made_detection(
        tmp_path / "detection",
        dataset,
        table,
        [0.9, 0.1, 0.8, 0.7],
        measured_on="validation",
        cross_fitted=True,
        verdicts={"k00": 0},
    )
    output = evaluate(Evaluate(model=detection, bootstrap=0))
    assert output.name == "detection-validation"
    metrics = read_json(output / "metrics.json")
    assert metrics["average_error"] == pytest.approx((1 / 2 + 0) / 2)
    assert "average_error_interval" not in metrics
    assert metrics["selection"]["selected_by"]["metric"] == "average error, each image's without its fold"
    with pytest.raises(NlcliError, match="measured on validation, not on test; leave out --split"):
        evaluate(Evaluate(model=detection, bootstrap=0, split="test", output=tmp_path / "other"))


def test_intervals_are_those_of_a_brute_force_bootstrap() -> None:
    rng = np.random.default_rng(0)
    n = 60
    noisy, right = rng.integers(0, 3, n), rng.random(n) < 0.6
    score = np.round(right * 0.3 + rng.random(n), 1).astype(np.float32)  # many are equal
    labels = CheckedLabels(
        CLASSES, np.array([f"k{i}" for i in range(n)], object), noisy, right, score >= 0.7, score, noisy == 2
    )
    found = labels.figures(70, 3)
    assert found.counts.tolist() == np.bincount(noisy).tolist()
    for b in range(70):
        drawn = np.random.default_rng([3, b]).integers(0, n, n, dtype=np.int32)
        wrongly = (right != (score >= 0.7))[drawn]
        per_class = [wrongly[noisy[drawn] == c].mean() for c in range(3)]
        np.testing.assert_allclose(found.per_class[b], per_class, atol=1e-12)
        expected = {
            "average_error": np.mean(per_class),
            "held_out_error": per_class[2],
            "micro_error": wrongly.mean(),
            "AUC": roc_auc_score(right[drawn], score[drawn]),
            "AP_wrong": average_precision_score(~right[drawn], -score[drawn]),
        }
        for name, value in expected.items():
            assert found.replicates[name][b] == pytest.approx(value, abs=1e-12), name
    # In a resample without an image of a class the average is over the others.
    few = labels.only(labels.keys[[0, 1, 2]])
    assert not np.isnan(few.figures(40, 0).replicates["average_error"]).any()
    assert np.isnan(few.figures(40, 0).per_class).any()


def test_held_out_classes_stand_apart(tmp_path: Path, table: LabelTable, dataset: Path) -> None:
    detection = made_detection(tmp_path / "d", dataset, table, SCORE, held_out=("b", "c"), hold_out=2)
    metrics = read_json(evaluate(Evaluate(model=detection, bootstrap=20)) / "metrics.json")
    assert metrics["held_out_error"] == pytest.approx((0 + 2 / 4) / 2)
    assert metrics["naive"]["held_out_error"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert metrics["held_out"]["classes"] == ["b", "c"]
    assert metrics["held_out"]["images"] == 6
    assert len(metrics["held_out_error_interval"]) == 2


def test_planted_truth_of_what_the_detector_did_not_see(tmp_path: Path) -> None:
    split = [0] * 6 + [2] * 10
    verified = [True, *VERIFIED[1:]]  # the first training image is verified, and so was seen
    table = checked_table(NOISY, TRUE_, split, verified)
    dataset = made_dataset(tmp_path / "dataset", table, TRUE_)
    seen = made_detection(tmp_path / "d", dataset, table, SCORE)
    metrics = read_json(evaluate(Evaluate(model=seen, bootstrap=20)) / "metrics.json")
    # train without k00: a 0.2 wrong ok; b 0.8 right ok, 0.6 wrong missed; c 0.1 right rejected, 0.3 wrong ok
    assert metrics["planted"]["images"] == 5
    assert metrics["planted"]["wrong"] == 3
    assert metrics["planted_error"] == metrics["planted"]["average_error"] == pytest.approx((0 + 1 / 2 + 1 / 2) / 3)
    assert metrics["planted"]["micro_error"] == pytest.approx(2 / 5)
    assert metrics["planted"]["naive"]["micro_error"] == pytest.approx(3 / 5)
    told = comparison_table(compare([seen.with_name("d-test")]).as_json())[2]
    assert "average error on unverified training images, whose noise was planted: average 0.333" in told
    withheld = made_detection(tmp_path / "w", dataset, table, SCORE, held_out=("a",), hold_out=1)
    assert read_json(evaluate(Evaluate(model=withheld, bootstrap=0)) / "metrics.json")["planted"]["images"] == 6


def test_several_detections_in_one_table(
    tmp_path: Path, table: LabelTable, dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    better = [0.9 if t == n else 0.1 for t, n in zip(TRUE_, NOISY, strict=True)]
    made = [
        made_detection(tmp_path / "average-0", dataset, table, SCORE),
        made_detection(tmp_path / "average-1", dataset, table, [1 - s for s in SCORE], seed=1),
        made_detection(tmp_path / "knn", dataset, table, better, method="knn"),
    ]
    evaluations = [evaluate(Evaluate(model=d, bootstrap=60)) for d in made]
    found = compare(evaluations)
    assert [(row.label, row.seeds) for row in found.rows] == [("average", (0, 1)), ("knn", (0,))]
    errors = [read_json(path / "metrics.json")["average_error"] for path in evaluations]
    assert found.rows[0].figures["average_error"].value == pytest.approx(np.mean(errors[:2]))
    assert found.rows[1].figures["average_error"].difference == pytest.approx(0 - np.mean(errors[:2]))
    replicates = [
        read_checked(path / "checked.parquet").figures(60, 0).replicates["average_error"] for path in evaluations
    ]
    paired = replicates[2] - (replicates[0] + replicates[1]) / 2
    assert found.rows[1].figures["average_error"].difference_interval == pytest.approx(
        [float(end) for end in of.interval(paired)]
    )
    capsys.readouterr()
    show_evaluations(evaluations)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split()[:5] == ["model", "clean", "seeds", "average", "error"]
    assert "↓: lower is better" in shown
    assert "thresholds chosen by: validation average error" in shown
    assert "calling every label right: average error 0.417, micro error 0.400" in shown
    report = compare_evaluations(Compare(evaluations=tuple(evaluations), output=tmp_path / "report"))
    summary = read_stage(report).summary
    assert (summary["best"], summary["best_average_error"]) == ("knn", 0)
    with open(report / "per_class.csv", encoding="utf-8") as file:
        assert next(csv.reader(file))[:2] == ["class", "images"]
    assert (report / "comparison.png").stat().st_size > 5000


def test_detections_and_classifiers_do_not_mix(
    tmp_path: Path,
    table: LabelTable,
    dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture,
) -> None:
    chain = shared_chain(tmp_path_factory, single=True)
    classifier = evaluated(chain.run(), output=tmp_path / "classifier")
    judged = evaluate(Evaluate(model=made_detection(tmp_path / "d", dataset, table, SCORE), bootstrap=20))
    with pytest.raises(NlcliError, match="compare one kind at a time"):
        compare([classifier, judged])
    with pytest.raises(NlcliError, match="evaluates a detection of label noise, not a classifier"):
        analyse(Analyse(evaluations=(judged,), dataset=dataset, output=tmp_path / "analysis"))
    show_evaluations([classifier, judged])  # a table for each kind
    shown = capsys.readouterr().out
    assert "top-1" in shown
    assert "average error ↓" in shown


def test_what_a_detection_cannot_be_evaluated_with(tmp_path: Path, table: LabelTable, dataset: Path) -> None:
    detection = made_detection(tmp_path / "d", dataset, table, SCORE)
    with pytest.raises(NlcliError, match="leave out --score"):
        evaluate(Evaluate(model=detection, score="clean"))
    other = made_dataset(tmp_path / "other", checked_table([0, 1, 2], [0, 1, 2], [2] * 3))
    with pytest.raises(NlcliError, match="is of another data set"):
        evaluate(Evaluate(model=detection, dataset=other))
    nothing = made_detection(tmp_path / "n", dataset, table, SCORE, measured_on=None)
    with pytest.raises(NlcliError, match="no noisy label of test or validation is verified"):
        evaluate(Evaluate(model=nothing))
    assert not list(tmp_path.glob("*.partial"))


def test_checked_labels_on_disk(tmp_path: Path) -> None:
    labels = CheckedLabels(
        CLASSES,
        np.array(["k1", "k2"], object),
        np.array([0, 2]),
        np.array([True, False]),
        np.array([True, True]),
        np.array([0.5, 0.25], np.float32),
        np.array([False, True]),
    )
    write_checked(tmp_path / "checked.parquet", labels)
    read = read_checked(tmp_path / "checked.parquet")
    assert read.label_hash() == labels.label_hash()
    assert (read.classes, read.score.tolist(), read.held_out.tolist()) == (CLASSES, [0.5, 0.25], [False, True])
    (tmp_path / "checked.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(NlcliError, match="evaluate the detection again"):
        read_checked(tmp_path / "checked.parquet")
    write_checked(tmp_path / "out.parquet", replace(labels, classes=("a",)))  # a label of no class
    with pytest.raises(NlcliError, match="does not hold the checked labels"):
        read_checked(tmp_path / "out.parquet")


@pytest.fixture(scope="module")
def noisy_chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set with planted noise, a part of train verified, and features of its images."""
    chain = shared_chain(tmp_path_factory, single=True)
    config = AddNoise(
        dataset=chain.dataset,
        output=tmp_path_factory.mktemp("planted") / "noisy",
        kind="symmetric",
        rate=0.4,
        verified=0.5,
    )
    return add_noise(config), chain.features


@pytest.mark.parametrize(
    "settings", [{}, {"hold_out": 1}, {"hold_out": 1, "use_held_out": True}, {"clean_fraction": 0.5}]
)
def test_a_real_detection_has_the_errors_that_it_told_itself(
    noisy_chain: tuple[Path, Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    dataset, features = noisy_chain
    detection = detect_noise(
        DetectNoise(dataset=dataset, features=features, output=tmp_path / "d", method="average", suspects=0, **settings)
    )
    metrics = read_json(evaluate(Evaluate(model=detection, bootstrap=10)) / "metrics.json")
    told = read_json(detection / "detection.json")
    for found, own in ((metrics, told["errors"]), (metrics["planted"], told["planted"])):
        assert found["images"] == own["all"]["images"]
        assert found["average_error"] == pytest.approx(own["all"]["average"])
        assert found["micro_error"] == pytest.approx(own["all"]["micro"])
        assert found["naive"]["average_error"] == pytest.approx(own["all"]["naive_average"])
        if "hold_out" in settings:
            assert found["held_out_error"] == pytest.approx(own["held_out"]["average"])
    assert metrics["split"] == "test"
    assert metrics["backbone"] == "small_cnn"
    assert metrics["dataset"] == "test"
    assert metrics["model"]["settings"].get("hold_out") == settings.get("hold_out")
