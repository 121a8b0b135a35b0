"""Evaluations of detections: error rates by hand, held-out classes, planted truth."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from nlcli.data.config import AddNoise
from nlcli.data.derived.add_noise import add_noise
from nlcli.data.detection_files import read_detection
from nlcli.data.labels import LabelTable
from nlcli.detection.config import DetectNoise
from nlcli.detection.detect_noise import detect_noise
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import read_checked
from nlcli.evaluation.comparison.analyse import analyse
from nlcli.evaluation.comparison.compare import compare, compare_evaluations, show_evaluations
from nlcli.evaluation.comparison.side_by_side_table import comparison_table
from nlcli.evaluation.config import Analyse, Compare, Evaluate
from nlcli.evaluation.evaluate import evaluate
from nlcli.metrics.intervals import classes_support, difference_interval, metric_interval, widest
from nlcli.stages.stage import read_stage
from nlcli.training.result import SelectedBy
from worlds.evaluated import errors_of, evaluated, value_of
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


def test_every_metric_by_hand(tmp_path: Path, table: LabelTable, dataset: Path) -> None:
    detection = made_detection(tmp_path / "detection", dataset, table, SCORE)
    output = evaluate(Evaluate(model=detection, bootstrap=80))
    assert output == tmp_path / "detection-test"
    metrics = errors_of(output)
    assert metrics.task == "label-noise"
    assert (metrics.images, metrics.wrong) == (10, 4)
    assert metrics.metrics["average_error"].value == pytest.approx((2 / 4 + 0 + 2 / 4) / 3)
    assert metrics.metrics["micro_error"].value == pytest.approx(4 / 10)
    assert metrics.naive["average_error"].value == pytest.approx((2 / 4 + 1 / 2 + 1 / 4) / 3)
    assert metrics.naive["micro_error"].value == pytest.approx(0.4)
    right, score = np.array(TRUE_[6:]) == np.array(NOISY[6:]), np.array(SCORE[6:])
    assert metrics.metrics["AUC"].value == pytest.approx(roc_auc_score(right, score))
    assert metrics.metrics["AP_wrong"].value == pytest.approx(average_precision_score(~right, -score))
    checked = read_checked(output / "checked.parquet").measure(80, 0)
    support = classes_support([4, 2, 4], checked.per_class, shares=True)
    ends = metric_interval(1 / 3, checked.replicates["average_error"], support)
    assert metrics.metrics["average_error"].interval == pytest.approx(ends)
    assert (metrics.metrics["average_error"].rests_on, metrics.metrics["average_error"].counted) == (10, "images")
    wilson = binomtest(4, 10).proportion_ci(method="wilson")
    assert metrics.metrics["micro_error"].interval == pytest.approx((wilson.low, wilson.high))
    assert metrics.metrics["AUC"].no_interval == "4 labels of the rarer kind, fewer than 5"
    assert "held_out_error" not in metrics.metrics
    assert "planted_error" not in metrics.metrics
    assert metrics.selection.selected_by == SelectedBy(split="validation", metric="average error", images=6)
    assert metrics.clean_images == 2
    with open(output / "per_class.csv", encoding="utf-8") as file:
        lines = {line["class"]: line for line in csv.DictReader(file)}
    told = {name: [line[c] for c in ("images", "wrong", "missed", "rejected")] for name, line in lines.items()}
    assert told == {"a": ["4", "2", "1", "1"], "b": ["2", "1", "0", "0"], "c": ["4", "1", "1", "1"]}
    assert [float(lines[c]["error"]) for c in CLASSES] == [0.5, 0, 0.5]
    assert [float(lines[c]["naive_error"]) for c in CLASSES] == [0.5, 0.5, 0.25]
    for name in ("per_class.png", "areas.png"):
        with Image.open(output / name) as image:
            assert image.width > 300
    assert read_stage(output).summary["average_error"] == metrics.metrics["average_error"].value


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
    metrics = errors_of(output)
    assert metrics.metrics["average_error"].value == pytest.approx((1 / 2 + 0) / 2)
    assert metrics.metrics["average_error"].interval is None
    assert metrics.selection.selected_by is not None
    assert metrics.selection.selected_by.metric == "average error, each image's without its fold"
    with pytest.raises(NlcliError, match="measured on validation, not on test; leave out --split"):
        evaluate(Evaluate(model=detection, bootstrap=0, split="test", output=tmp_path / "other"))


def test_held_out_classes_stand_apart(tmp_path: Path, table: LabelTable, dataset: Path) -> None:
    detection = made_detection(tmp_path / "d", dataset, table, SCORE, held_out=("b", "c"), hold_out=2)
    metrics = errors_of(evaluate(Evaluate(model=detection, bootstrap=20)))
    assert metrics.metrics["held_out_error"].value == pytest.approx((0 + 2 / 4) / 2)
    assert metrics.naive["held_out_error"].value == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert metrics.held_out.classes == ("b", "c")
    assert metrics.held_out.images == 6
    assert metrics.metrics["held_out_error"].interval is not None


def test_planted_truth_of_what_the_detector_did_not_see(tmp_path: Path) -> None:
    split = [0] * 6 + [2] * 10
    verified = [True, *VERIFIED[1:]]  # the first training image is verified, and so was seen
    table = checked_table(NOISY, TRUE_, split, verified)
    dataset = made_dataset(tmp_path / "dataset", table, TRUE_)
    seen = made_detection(tmp_path / "d", dataset, table, SCORE)
    metrics = errors_of(evaluate(Evaluate(model=seen, bootstrap=20)))
    planted = metrics.planted
    assert planted is not None
    assert metrics.planted_error is not None
    # train without k00: a 0.2 wrong ok; b 0.8 right ok, 0.6 wrong missed; c 0.1 right rejected, 0.3 wrong ok
    assert planted.images == 5
    assert planted.wrong == 3
    assert metrics.metrics["planted_error"] == planted.metrics["average_error"]
    assert metrics.planted_error.value == pytest.approx((0 + 1 / 2 + 1 / 2) / 3)
    assert planted.metrics["micro_error"].value == pytest.approx(2 / 5)
    assert planted.naive["micro_error"].value == pytest.approx(3 / 5)
    told = comparison_table(compare([seen.with_name("d-test")]))[2]
    assert "average error on unverified training images, whose noise was planted: average 0.333" in told
    withheld = made_detection(tmp_path / "w", dataset, table, SCORE, held_out=("a",), hold_out=1)
    planted = errors_of(evaluate(Evaluate(model=withheld, bootstrap=0))).planted
    assert planted is not None
    assert planted.images == 6


def test_several_detections_in_one_table(
    tmp_path: Path,
    table: LabelTable,
    dataset: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    better = [0.9 if t == n else 0.1 for t, n in zip(TRUE_, NOISY, strict=True)]
    made = [
        made_detection(tmp_path / "average-0", dataset, table, SCORE),
        made_detection(tmp_path / "average-1", dataset, table, [1 - s for s in SCORE], seed=1),
        made_detection(tmp_path / "knn", dataset, table, better, method="knn"),
    ]
    evaluations = [evaluate(Evaluate(model=d, bootstrap=60)) for d in made]
    comparison = compare(evaluations)
    assert [(row.label, row.seeds) for row in comparison.rows] == [("average", (0, 1)), ("knn", (0,))]
    errors = [value_of(path, "average_error") for path in evaluations]
    assert comparison.rows[0].metrics["average_error"].value == pytest.approx(np.mean(errors[:2]))
    assert comparison.rows[1].metrics["average_error"].difference == pytest.approx(0 - np.mean(errors[:2]))
    measured = [read_checked(path / "checked.parquet").measure(60, 0) for path in evaluations]
    drawn = [one.replicates["average_error"] for one in measured]
    support = widest(one.supports["average_error"] for one in measured)
    expected = difference_interval(errors[2], drawn[2], errors[:2], drawn[:2], support)
    assert comparison.rows[1].metrics["average_error"].difference_interval == pytest.approx(expected)
    capsys.readouterr()
    show_evaluations(evaluations)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split()[:5] == ["model", "clean", "seeds", "average", "error"]
    assert "↓: lower is better" in shown
    assert "thresholds chosen by: validation average error" in shown
    assert "calling every label right: average error 0.417, micro error 0.400" in shown
    report = compare_evaluations(Compare(evaluations=tuple(evaluations), output=tmp_path / "report"))
    assert read_stage(report).summary["best"] == "not told: fewer than 50 images"
    monkeypatch.setattr("nlcli.evaluation.comparison.model_rows.FEWEST_TO_RANK", 10)
    ranked = compare_evaluations(Compare(evaluations=tuple(evaluations), output=tmp_path / "ranked"))
    summary = read_stage(ranked).summary
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
    metrics = errors_of(evaluate(Evaluate(model=detection, bootstrap=10)))
    told = read_detection(detection).info
    assert metrics.planted is not None
    assert told.planted is not None
    assert told.errors.split == "validation+test"
    whole = read_detection(detection)
    alone = errors_of(evaluate(Evaluate(model=detection, split="test", bootstrap=0)))
    assert (alone.split, alone.cross_fitted) == ("test", False)
    assert alone.images == int(((whole.measured >= 0) & (whole.splits == "test")).sum()) < metrics.images
    for measured, own in ((metrics, told.errors), (metrics.planted, told.planted)):
        assert own.all is not None
        assert measured.images == own.all.images
        assert measured.metrics["average_error"].value == pytest.approx(own.all.average)
        assert measured.metrics["micro_error"].value == pytest.approx(own.all.micro)
        assert measured.naive["average_error"].value == pytest.approx(own.all.naive_average)
        if "hold_out" in settings:
            assert own.held_out is not None
            assert measured.metrics["held_out_error"].value == pytest.approx(own.held_out.average)
    assert (metrics.split, metrics.backbone, metrics.dataset) == ("validation+test", "small_cnn", "test")
    assert metrics.model.settings.get("hold_out") == settings.get("hold_out")
