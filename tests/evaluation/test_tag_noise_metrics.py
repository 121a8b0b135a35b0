"""Evaluations of detections on several labels an image: metrics against scikit-learn, files, comparisons."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nlcli.detection.config import DetectNoise
from nlcli.detection.detect_noise import detect_noise
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_tags import CheckedTags, read_checked_tags, write_checked_tags
from nlcli.evaluation.comparison.compare import compare, show_evaluations
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.evaluate import evaluate
from nlcli.evaluation.metrics_file import TagNoiseMetrics, read_metrics
from nlcli.stages.stage import read_stage
from worlds.tag_world import TagWorld, make_tag_world


def made(images: int = 40, classes: int = 3, seed: int = 0) -> CheckedTags:
    rng = np.random.default_rng(seed)
    shape = (images, classes)
    present, given = rng.random(shape) < 0.4, rng.random(shape) < 0.4
    probability = (rng.integers(0, 8, shape) / 8 + 0.05 * present).astype(np.float32)  # some are equal
    return CheckedTags(
        tuple("abcdefgh"[:classes]),
        np.array([f"k{i:03d}" for i in range(images)], object),
        np.repeat(np.arange(images), classes),
        np.tile(np.arange(classes), images),
        given.ravel(),
        present.ravel(),
        (probability >= 0.5).ravel(),
        probability.ravel(),
    )


def calibration_error(probability: np.ndarray, outcome: np.ndarray) -> float:
    """Bin by bin, mean probability against the share that was so."""
    place = np.floor(10 * probability.astype(np.float64))
    parts = [(place == b).sum() * abs(probability[place == b].mean(dtype=np.float64) - outcome[place == b].mean())
             for b in np.unique(place)]  # fmt: skip
    return float(sum(parts) / len(probability))


def test_metrics_are_scikit_learns() -> None:
    tags = made()
    values = tags.measure(0, 0).values
    given, others = tags.given, ~tags.given
    wrong, missing = ~tags.present[given], tags.present[others]
    assert values["AUC_wrong"] == pytest.approx(roc_auc_score(wrong, 1 - tags.probability[given]))
    assert values["AP_wrong"] == pytest.approx(average_precision_score(wrong, 1 - tags.probability[given]))
    assert values["AUC_missing"] == pytest.approx(roc_auc_score(missing, tags.probability[others]))
    assert values["AP_missing"] == pytest.approx(average_precision_score(missing, tags.probability[others]))
    called = ~tags.called_present[given]
    assert values["precision_wrong"] == pytest.approx(np.mean(wrong[called]))
    assert values["recall_wrong"] == pytest.approx(np.mean(called[wrong]))
    named = tags.called_present[others]
    assert values["precision_missing"] == pytest.approx(np.mean(missing[named]))
    assert values["recall_missing"] == pytest.approx(np.mean(named[missing]))
    assert values["label_error"] == pytest.approx(np.mean(tags.called_present != tags.present))
    for kind, which in (("wrong", given), ("missing", others)):
        expected = calibration_error(tags.probability[which], tags.present[which])
        assert values[f"calibration_{kind}"] == pytest.approx(expected)
    assert tags.naive().measure(0, 0).values["label_error"] == pytest.approx(np.mean(tags.given != tags.present))


def test_a_replicate_is_the_metric_of_the_images_drawn() -> None:
    from nlcli.metrics.bootstrap import resample_weights

    tags = made()
    measured = tags.measure(5, 3)
    for b in range(5):
        weights = resample_weights(len(tags), b, 1, 3)[0]
        rows = np.concatenate([np.flatnonzero(tags.image == i) for i in np.repeat(np.arange(len(tags)), weights)])
        wrong, given = ~tags.present[rows], tags.given[rows]
        expected = roc_auc_score(wrong[given], 1 - tags.probability[rows][given])
        assert measured.replicates["AUC_wrong"][b] == pytest.approx(expected)
        error = np.mean((tags.called_present != tags.present)[rows])
        assert measured.replicates["label_error"][b] == pytest.approx(error)
        calibration = calibration_error(tags.probability[rows][given], tags.present[rows][given])
        assert measured.replicates["calibration_wrong"][b] == pytest.approx(calibration)


def test_some_of_the_images() -> None:
    tags = made()
    part = tags.only(tags.keys[[3, 1]])
    assert part.keys.tolist() == ["k003", "k001"]
    assert np.array_equal(part.probability, np.concatenate([tags.probability[9:12], tags.probability[3:6]]))
    assert part.image.tolist() == [0, 0, 0, 1, 1, 1]
    assert part.label_hash() != tags.label_hash()


def test_kinds_that_have_nothing_to_find_have_no_metric() -> None:
    tags = made()
    none = CheckedTags(
        tags.classes, tags.keys, tags.image, tags.of_class, tags.present, tags.present, tags.present, tags.probability
    )
    measured = none.measure(4, 0)
    assert np.isnan(measured.values["AUC_wrong"])
    assert np.isnan(measured.values["recall_missing"])
    assert measured.values["label_error"] == 0


def test_checked_tags_come_back_as_they_were(tmp_path: Path) -> None:
    tags = made()
    write_checked_tags(tmp_path / "c.parquet", tags)
    again = read_checked_tags(tmp_path / "c.parquet")
    assert again.label_hash() == tags.label_hash()
    assert np.array_equal(again.probability, tags.probability)
    assert again.keys.tolist() == tags.keys.tolist()
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    with pytest.raises(NlcliError, match="evaluate the detection again"):
        read_checked_tags(tmp_path / "c.parquet")


# --- the stage -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TagWorld:
    return make_tag_world(tmp_path_factory.mktemp("tags"))


@pytest.fixture(scope="module")
def evaluations(world: TagWorld, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("evaluations")
    made = []
    for method in ("margin", "naive"):
        config = DetectNoise(
            dataset=world.dataset, features=world.features, output=root / method, method=method, suspects=0
        )
        made.append(evaluate(Evaluate(model=detect_noise(config), bootstrap=100)))
    return made


def test_what_an_evaluation_holds(world: TagWorld, evaluations: list[Path]) -> None:
    metrics = read_metrics(read_stage(evaluations[0]))
    assert isinstance(metrics, TagNoiseMetrics)
    test = world.table.split == 2
    given, true = (world.table.noisy.toarray() > 0)[test], world.true[test]
    assert (metrics.images, metrics.entries, metrics.given) == (200, 1200, given.sum())
    assert (metrics.wrong, metrics.missing) == ((given & ~true).sum(), (~given & true).sum())
    assert metrics.naive["label_error"].value == pytest.approx(np.mean(given != true))
    assert metrics.metrics["label_error"].value < metrics.naive["label_error"].value
    for name in ("AUC_wrong", "AP_missing", "precision_wrong", "recall_missing"):
        estimate = metrics.metrics[name]
        assert estimate.interval is not None
        assert estimate.interval[0] < estimate.value < estimate.interval[1]
    assert metrics.planted_error is not None
    assert {p.name for p in evaluations[0].iterdir()} >= {"checked.parquet", "per_class.png", "areas.png"}
    with open(evaluations[0] / "per_class.csv", newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert int(rows["bee"]["missing"]) == (~given & true)[:, 1].sum()
    assert int(rows["bee"]["wrong"]) == (given & ~true)[:, 1].sum()
    assert metrics.metrics["calibration_wrong"].rests_on == given.sum()
    with open(evaluations[0] / "calibration.csv", newline="") as file:
        bins = list(csv.DictReader(file))
    for kind, which in (("given", given), ("missing", ~given)):
        own = [row for row in bins if row["kind"] == kind]
        assert sum(int(row["labels"]) for row in own) == which.sum()
        assert sum(int(row["labels"]) * float(row["was"]) for row in own) == pytest.approx(true[which].sum(), abs=1e-3)
        apart = sum(int(row["labels"]) * abs(float(row["said"]) - float(row["was"])) for row in own) / which.sum()
        name = "calibration_wrong" if kind == "given" else "calibration_missing"
        assert metrics.metrics[name].value == pytest.approx(apart, abs=1e-5)  # as many digits are written
        assert all(float(row["low"]) <= float(row["was"]) <= float(row["high"]) for row in own if row["low"])
    assert (evaluations[0] / "calibration.png").stat().st_size > 1000


def test_detections_side_by_side(evaluations: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compare(evaluations)
    assert comparison.task == "tag-noise"
    assert comparison.images == 200
    better, naive = comparison.rows
    difference = naive.metrics["label_error"]
    assert difference.difference > 0
    assert difference.difference_interval[0] > 0
    assert comparison.naive["label_error"] == pytest.approx(naive.metrics["label_error"].value)
    assert better.planted is not None
    show_evaluations(evaluations)
    told = capsys.readouterr().out
    assert "label error" in told
    assert "precision of missing" in told
    assert "calibration error of given" in told
    own, other = better.metrics["calibration_wrong"], naive.metrics["calibration_wrong"]
    assert other.difference == pytest.approx(other.value - own.value)
    assert other.difference_interval[0] < other.difference < other.difference_interval[1]


def test_what_cannot_be_evaluated(world: TagWorld, evaluations: list[Path], tmp_path: Path) -> None:
    model = evaluations[0].with_name("margin")
    with pytest.raises(NlcliError, match="was measured on test, not on validation"):
        evaluate(Evaluate(model=model, split="validation"))
    with pytest.raises(NlcliError, match="leave out --features"):
        evaluate(Evaluate(model=model, features=world.features))
