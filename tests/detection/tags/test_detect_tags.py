"""detect-noise on several labels an image: what it writes, what it may know, what it says of itself."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.detection_files import DETECTION, NOISE, NOISE_CSV, read_detection
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.tag_detection_files import TagDetection, TagEntries, read_tag_detection, read_verified
from nlcli.detection.config import DetectNoise
from nlcli.detection.detect_noise import detect_noise
from nlcli.detection.tags import detect_tags
from nlcli.detection.tags.detect_tags import likeliest
from nlcli.detection.tags.judgement import chosen_threshold, least_errors
from nlcli.detection.tags.measured_tags import ImageCounts, surest_share
from nlcli.detection.tags.verified import scored_blocks
from nlcli.errors import NlcliError
from nlcli.metrics.clustered_shares import clustered_share
from nlcli.stages.stage import read_stage
from worlds.tag_world import TagWorld, make_tag_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TagWorld:
    return make_tag_world(tmp_path_factory.mktemp("tags"))


def detected(world: TagWorld, output: Path, **options: Any) -> tuple[TagDetection, TagEntries]:
    options = {"method": "margin", "suspects": 0, **options}
    path = detect_noise(DetectNoise(dataset=world.dataset, features=world.features, output=output, **options))
    detection = read_tag_detection(path)
    return detection, detection.entries()


@pytest.fixture(scope="module")
def margin(world: TagWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[TagDetection, TagEntries]:
    return detected(world, tmp_path_factory.mktemp("margin") / "out")


def dense(world: TagWorld, entries: TagEntries, values: np.ndarray) -> np.ndarray:
    """(N, C) with NaN where there is no row."""
    row = {key: i for i, key in enumerate(world.table.keys.tolist())}
    whole = np.full(world.true.shape, np.nan)
    whole[[row[key] for key in entries.keys.tolist()], entries.classes] = values
    return whole


def test_every_given_tag_and_few_others(world: TagWorld, margin: tuple[TagDetection, TagEntries]) -> None:
    detection, entries = margin
    given = world.table.noisy.toarray() > 0
    listed = ~np.isnan(dense(world, entries, entries.score))
    assert listed[given].all()
    assert np.array_equal(dense(world, entries, entries.given) == 1, given)
    probability = dense(world, entries, entries.probability)
    assert probability[listed & ~given].min() >= detection.info.floor == 0.05
    assert detection.info.entries == {"given": given.sum(), "missing": (listed & ~given).sum()}
    table = read_dataset(world.dataset)
    present, known = table.verified_targets(np.arange(len(table)))
    said = dense(world, entries, entries.verified)
    assert np.array_equal(said[listed], np.where(known > 0, present.astype(int), -1)[listed])
    assert np.array_equal(entries.splits == "test", np.char.startswith(entries.splits.astype(str), "test"))


def test_at_most_so_many_others_and_none_below_the_floor(world: TagWorld, tmp_path: Path) -> None:
    _, many = detected(world, tmp_path / "many", floor=0.0)
    _, one = detected(world, tmp_path / "one", floor=0.0, others=1)
    given = world.table.noisy.toarray() > 0
    everything, first = dense(world, many, many.probability), dense(world, one, one.probability)
    assert not np.isnan(everything).any()
    others = np.where(given, -1, everything)
    rest = ~given.all(axis=1)
    expected = np.zeros(given.shape, bool)
    expected[np.flatnonzero(rest), others[rest].argmax(axis=1)] = True
    assert np.array_equal(~np.isnan(first), given | expected)
    _, none = detected(world, tmp_path / "none", others=0)
    assert len(none) == given.sum()


def test_verdicts_are_by_probability_and_threshold(margin: tuple[TagDetection, TagEntries]) -> None:
    detection, entries = margin
    cut = np.where(entries.given, detection.info.thresholds["given"].value, detection.info.thresholds["missing"].value)
    clear = np.abs(entries.probability - cut) > 1e-6
    assert np.array_equal(entries.right[clear], ((entries.probability >= cut) == entries.given)[clear])
    for kind, which in (("given", entries.given), ("missing", ~entries.given)):
        counts = {s: int(np.sum(which & ~entries.right & (entries.splits == s))) for s in np.unique(entries.splits)}
        assert detection.info.called[kind] == counts


def test_measured_shares_are_those_of_test(world: TagWorld, margin: tuple[TagDetection, TagEntries]) -> None:
    detection, _ = margin
    measured = detection.info.measured
    entries = read_verified(detection.record.path / "verified.parquet", detection.info.classes)
    assert (measured.split, measured.images, measured.cross_fitted) == ("test", 200, False)
    test = world.table.split == 2
    given, true = (world.table.noisy.toarray() > 0)[test], world.true[test]
    called = np.zeros(given.shape, bool)
    called[np.repeat(np.arange(200), 6), entries.classes] = entries.called_present  # sorted by image and class
    assert np.array_equal(entries.keys.reshape(200, 6)[:, 0], world.table.keys[test])
    assert np.array_equal(entries.given.reshape(200, 6), given)
    assert np.array_equal(entries.present.reshape(200, 6), true)
    wrong, called_wrong = given & ~true, given & ~called
    assert measured.given.precision.value == pytest.approx((wrong & called_wrong).sum() / called_wrong.sum())
    assert measured.given.recall.value == pytest.approx((wrong & called_wrong).sum() / wrong.sum())
    missing, called_missing = ~given & true, ~given & called
    assert measured.missing.recall.value == pytest.approx((missing & called_missing).sum() / missing.sum())
    share = clustered_share((missing & called_missing).sum(axis=1), missing.sum(axis=1))
    assert measured.missing.recall.interval == pytest.approx(share.interval)
    assert measured.error.value == pytest.approx(np.mean(called != true))
    assert measured.naive_error.value == pytest.approx(np.mean(given != true))
    assert measured.error.value < measured.naive_error.value
    # The truth that was planted is told of the training images that were not to be known.
    planted = detection.info.planted
    assert planted is not None
    unknown = (world.table.split == 0) & (world.table.verification == 0)
    assert planted.images == unknown.sum()
    of_train = (world.table.noisy.toarray() > 0)[unknown] != world.true[unknown]
    assert planted.naive_error.value == pytest.approx(of_train.mean())


def test_probabilities_are_as_often_right_as_they_say(margin: tuple[TagDetection, TagEntries]) -> None:
    detection, _ = margin
    entries = read_verified(detection.record.path / "verified.parquet", detection.info.classes)
    for which in (entries.given, ~entries.given):
        # Of some 250 given tags, on both sides: three standard errors of the difference are 0.12.
        assert entries.probability[which].mean() == pytest.approx(entries.present[which].mean(), abs=0.12)
    known = detection.info.clean.images + 120  # all of validation
    assert sum(c.entries for c in detection.info.calibration.values()) == 6 * known
    assert detection.info.calibration["given"].curve == "sigmoid"  # fewer than 200 wrong tags are known


def hidden(table: LabelTable, *splits: int) -> LabelTable:
    """``table`` with nothing verified of some splits."""
    rows = np.isin(table.split, splits)
    present = table.present.multiply((~rows).astype(np.uint8)[:, None]).tocsr().astype(np.uint8)
    present.eliminate_zeros()
    return replace(table, verification=np.where(rows, 0, table.verification).astype(np.uint8), present=present)


def test_nothing_of_test_is_known(world: TagWorld, margin: tuple[TagDetection, TagEntries], tmp_path: Path) -> None:
    blind = make_tag_world(tmp_path, hidden(world.table, 2), truth=False)
    detection, entries = detected(blind, tmp_path / "out")
    assert np.array_equal(entries.score, margin[1].score)
    assert np.array_equal(entries.probability, margin[1].probability)
    assert detection.info.thresholds == margin[0].info.thresholds
    assert detection.info.planted is None
    # What is verified of validation, and then of train, is measured on by cross-fitting.
    measured = detection.info.measured
    assert (measured.split, measured.cross_fitted) == ("train+validation", True)
    assert measured.images == 120 + detection.info.clean.images


def test_cross_fitted_verdicts_owe_nothing_to_the_image(world: TagWorld, tmp_path: Path) -> None:
    """Turning what was verified of one validation image around changes what others are judged by, not its own."""
    blind = hidden(world.table, 2)
    image = int(np.flatnonzero(blind.split == 1)[7])
    turned = blind.present.toarray()
    turned[image] = 1 - turned[image]
    other = replace(blind, present=type(blind.present)(turned))
    probabilities = []
    for name, table in (("one", blind), ("two", other)):
        made = make_tag_world(tmp_path / name, table, truth=False)
        detection, _ = detected(made, tmp_path / f"{name}-out", method="confident-learning")
        entries = read_verified(detection.record.path / "verified.parquet", detection.info.classes)
        probabilities.append((entries.keys == world.table.keys[image], entries.probability))
    (own, one), (_, two) = probabilities
    assert own.sum() == 6
    assert np.array_equal(one[own], two[own])
    assert not np.array_equal(one[~own], two[~own])


def test_without_any_verification(world: TagWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = make_tag_world(tmp_path, hidden(world.table, 0, 1, 2), truth=False)
    detection, entries = detected(none, tmp_path / "out", method="auto")
    assert detection.info.calibration["given"].curve == "none"
    assert detection.info.measured.split is None
    assert np.isfinite(entries.probability).all()
    told = " ".join(detection.info.remarks)
    assert "no given tags are verified" in told
    assert "not calibrated" in capsys.readouterr().err
    assert read_stage(tmp_path / "out").summary["measured_on"] == "nothing is verified to measure on"
    assert not (tmp_path / "out" / "scores.png").exists()


def test_few_verified_images_are_not_to_be_trusted(world: TagWorld, tmp_path: Path) -> None:
    table = hidden(world.table, 0, 2)
    rows = np.flatnonzero(table.split == 1)[9:]
    few = hidden(
        replace(table, split=np.where(np.isin(np.arange(len(table)), rows), 2, table.split).astype(np.int8)), 2
    )
    detection, _ = detected(make_tag_world(tmp_path, few, truth=False), tmp_path / "out")
    told = " ".join(detection.info.remarks)
    assert "probabilities of given tags rest on" in told
    assert "not to be trusted" in told
    assert detection.info.thresholds["given"].chosen_on == "rule"
    assert detection.info.thresholds["given"].value == 0.5


def test_the_believer_calls_nothing_wrong(world: TagWorld, tmp_path: Path) -> None:
    detection, entries = detected(world, tmp_path / "out", method="naive")
    assert entries.right.all()
    assert detection.info.remarks == ()
    assert detection.info.measured.error == detection.info.measured.naive_error


def test_thresholds_that_are_given(world: TagWorld, tmp_path: Path) -> None:
    detection, entries = detected(world, tmp_path / "out", threshold=0.2, missing_threshold=0.9)
    assert detection.info.thresholds["given"].value == 0.2
    assert detection.info.thresholds["missing"].chosen_on == "given"
    assert (entries.probability[entries.given & ~entries.right] < 0.2).all()
    assert (entries.probability[~entries.given & ~entries.right] >= 0.9).all()


def test_the_list_for_spreadsheets(world: TagWorld, margin: tuple[TagDetection, TagEntries]) -> None:
    detection, entries = margin
    with open(detection.record.path / NOISE_CSV, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (~entries.right).sum()
    sure = [1 - float(r["probability"]) if r["tag"] == "given" else float(r["probability"]) for r in rows]
    assert sure == sorted(sure, reverse=True)
    assert {row["verdict"] for row in rows} == {"wrong"}


@pytest.mark.parametrize("method", ["margin", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_second_run_does_nothing_and_gives_the_same(world: TagWorld, tmp_path: Path, method: str) -> None:
    detected(world, tmp_path / "out", method=method)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    detected(world, tmp_path / "out", method=method)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    detected(world, tmp_path / "again", method=method)
    for name in (NOISE, DETECTION, "verified.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == before[name]


def test_a_stopped_run_goes_on_behind_the_images_that_are_scored(
    world: TagWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []

    def counting(detector: Any, data: Any, rows: np.ndarray) -> Any:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(len(rows))
        yield from scored_blocks(detector, data, rows)

    monkeypatch.setattr(detect_tags, "PART", 300)
    detected(world, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(detect_tags, "scored_blocks", counting)
        with pytest.raises(KeyboardInterrupt):
            detected(world, tmp_path / "out")
        assert scored == [300, 300]
        assert not (tmp_path / "out").exists()
        scored[:] = [0] * 3  # from here on nothing stops it
        detected(world, tmp_path / "out")
    assert scored[3:] == [300, len(world.table) - 900]
    for name in (NOISE, NOISE_CSV, DETECTION, "verified.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "out" / detect_tags.FIT).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hold_out": 2}, "--hold-out is of data with one label an image"),
        ({"classifier": Path("r")}, "--classifier is of data with one label"),
        ({"method": "run"}, "--method run needs --from"),
        ({"method": "margin", "from_run": Path("r")}, "--method margin takes no scores of a run"),
        ({"method": "knn"}, "unknown detector of tags 'knn'"),
        ({"threshold": 1.5}, "--threshold 1.5 is no probability"),
        ({"options": {"k": 1}}, "unknown option 'k'"),
    ],
)
def test_options_that_do_not_fit(world: TagWorld, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(NlcliError, match=message):
        detected(world, tmp_path / "out", **options)


def test_the_two_kinds_of_detections_are_told_apart(margin: tuple[TagDetection, TagEntries]) -> None:
    with pytest.raises(NlcliError, match="several labels an image"):
        read_detection(margin[0].record.path)


@pytest.mark.parametrize("name", [NOISE, "verified.parquet", DETECTION])
def test_damaged_files_are_a_sentence(margin: tuple[TagDetection, TagEntries], tmp_path: Path, name: str) -> None:
    shutil.copytree(margin[0].record.path, tmp_path / "out")
    (tmp_path / "out" / name).write_bytes(b"PAR1 {")
    with pytest.raises(NlcliError, match="out"):
        detection = read_tag_detection(tmp_path / "out")
        detection.entries()
        read_verified(tmp_path / "out" / "verified.parquet", detection.info.classes)


# --- parts -----------------------------------------------------------------------------------


def test_of_equal_probabilities_the_first_classes_are_taken() -> None:
    probability = np.array([[0.2, 0.9, 0.9, 0.5, 0.9], [0.4, 0.4, 0.4, 0.4, 0.1], [0.0, 0.0, 0.3, 0.0, -1.0]])
    assert np.nonzero(likeliest(probability, 2, 0.3)[0])[0].tolist() == [1, 2]
    assert np.nonzero(likeliest(probability, 2, 0.3)[1])[0].tolist() == [0, 1]
    assert np.nonzero(likeliest(probability, 2, 0.3)[2])[0].tolist() == [2]
    values = np.random.default_rng(0).integers(-1, 6, (400, 9)) / 5
    for most in (0, 1, 4, 9):
        for floor in (0.0, 0.4):
            for row, chosen in zip(values, likeliest(values, most, floor), strict=True):
                order = sorted(range(9), key=lambda c: -row[c])[:most]
                assert np.nonzero(chosen)[0].tolist() == sorted(c for c in order if row[c] >= floor)


def test_least_errors_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 12))
        probability, present = rng.integers(0, 6, count) / 5, rng.random(count) < 0.5
        cut = least_errors(probability, present)
        errors = [np.sum((probability >= c) != present) for c in np.linspace(0, 1.0, 1001)]
        assert 0 <= cut <= 1
        assert np.sum((probability >= cut) != present) == min(errors)
    assert least_errors(np.array([0.1, 0.9]), np.array([False, True])) == 0.5  # of equally good ones the nearest to 1/2


def test_a_threshold_but_one_half_must_err_clearly_less() -> None:
    """Ten images with an entry each of probability 0.4: with all of them there it lies below, with six of them not."""
    probability, image = np.full(10, 0.4), np.arange(10)
    assert chosen_threshold(probability, np.ones(10, bool), image) == pytest.approx(0.4)
    six = np.arange(10) < 6  # two errors less, of a standard error of 3.3
    assert least_errors(probability, six) == pytest.approx(0.4)
    assert chosen_threshold(probability, six, image) == 0.5


def test_counts_of_images_by_hand() -> None:
    image = np.array([4, 4, 4, 9, 9])
    given = np.array([1, 1, 0, 0, 0], bool)
    present = np.array([1, 0, 1, 0, 1], bool)
    called = np.array([0, 0, 1, 1, 0], bool)
    counts = ImageCounts.of_entries(image, given, present, called).counts
    assert counts.tolist() == [[[2, 1, 2, 1], [1, 1, 1, 1]], [[0, 0, 0, 0], [2, 1, 1, 0]]]
    whole = ImageCounts.of_images(given[None, :3], present[None, :3], called[None, :3]).counts
    assert whole.tolist() == counts[:1].tolist()
    measured = ImageCounts(counts).measured("test", False)
    assert measured.error.count == 1 + 2  # the right tag called wrong; one missed and one right one called missing
    assert measured.given.precision.value == 0.5
    assert measured.missing.recall.value == 0.5


def test_the_surest_by_hand() -> None:
    image, wrong = np.array([0, 0, 1, 2, 3]), np.array([1, 0, 1, 1, 0], bool)
    share = surest_share(image, np.array([0.9, 0.5, 0.8, 0.5, 0.1]), wrong, most=3)
    assert share.value == pytest.approx((1 + 1 + 0.5) / 3)  # of the two equal ones one half each
    assert surest_share(image[:0], np.empty(0), wrong[:0]).value is None


# --- a run's scores --------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "score"), [("residual", "clean"), ("veit", "cleaned")])
def test_a_trained_run_scores_entries(world: TagWorld, tmp_path: Path, method: str, score: str) -> None:
    from nlcli.training.config import TrainHead
    from nlcli.training.saved_head import load_head
    from nlcli.training.train_head import train_head

    run = train_head(
        TrainHead(
            dataset=world.dataset,
            features=world.features,
            output=tmp_path / "run",
            method=method,
            options={"steps": 60, **({"pretrain_steps": 30} if method == "veit" else {})},
        )
    )
    detection, entries = detected(world, tmp_path / "out", method="run", from_run=run)
    assert detection.info.notes["score"] == score
    table = read_dataset(world.dataset)
    # Verified training images that the head was fitted on calibrate nothing.
    assert sum(c.entries for c in detection.info.calibration.values()) == 6 * 120
    head = load_head(run)
    from nlcli.data.features.store import FeatureStore

    store = FeatureStore(world.features)
    features = np.asarray(store.read(store.rows_of(table.keys)), np.float32)
    given = table.noisy_targets(np.arange(len(table)))
    expected = head.cleaned(given, features) if score == "cleaned" else head.score(features, score)
    clipped = np.clip(expected.astype(float), 1e-4 if score == "cleaned" else 1e-6, 1 - 1e-6)
    listed = dense(world, entries, entries.score)
    inside = ~np.isnan(listed)
    if score == "cleaned":
        clipped = np.clip(clipped, 1e-4, 1 - 1e-4)
    np.testing.assert_allclose(listed[inside], np.log(clipped / (1 - clipped))[inside], atol=2e-3)
    with pytest.raises(NlcliError, match="unknown score 'clear'"):
        detected(world, tmp_path / "other", method="run", from_run=run, score="clear")
