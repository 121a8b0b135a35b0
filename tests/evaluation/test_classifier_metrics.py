"""Evaluations of heads and backbones on real files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from nlcli.data.label_files import read_dataset
from nlcli.data.labels import matrix_from_lists
from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.compare import compare, compare_evaluations, show_evaluations
from nlcli.evaluation.comparison.side_by_side_table import comparison_table
from nlcli.evaluation.config import Compare
from nlcli.evaluation.metrics_file import Named, NoisyLabels
from nlcli.evaluation.score_files import read_scores
from nlcli.evaluation.scored_images import Dense
from nlcli.metrics import bootstrap as of
from nlcli.metrics.intervals import area_support, class_intervals, classes_support, metric_interval, ranking_support
from nlcli.metrics.ranking import rank_precision
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage
from worlds.evaluated import evaluated, metrics_of
from worlds.scored_chain import CLASSES, Chain, shared_chain, table_of_squares
from worlds.stage_builders import published


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Multi-label; test image 060 is broken."""
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


def test_a_run_is_scored_with_every_metric(chain: Chain) -> None:
    from nlcli.data.features.store import FeatureStore
    from nlcli.training.saved_head import load_head

    run = chain.run()
    output = evaluated(run, examples=3)
    assert output == run.with_name("noisy-0-test")
    metrics = metrics_of(output)

    table = read_dataset(chain.dataset)
    rows = table.rows("test")[table.keys[table.rows("test")] != "squares/060.jpg"]
    store = FeatureStore(chain.features)
    expected = load_head(run).score(np.asarray(store.read(store.rows_of(table.keys[rows])), np.float32))
    scored = read_scores(output / "scores.parquet")
    assert scored.keys.tolist() == table.keys[rows].tolist()
    assert scored.classes == CLASSES
    labels = table.verified_targets(rows)[0]
    assert isinstance(scored.verified, Dense)
    np.testing.assert_array_equal(scored.verified.labels, labels)
    np.testing.assert_allclose(scored.verified.scores, expected, rtol=1e-6)

    per_class = [average_precision_score(labels[:, c], scored.verified.scores[:, c]) for c in range(3)]
    together = average_precision_score(labels.ravel(), scored.verified.scores.ravel())
    assert metrics.metrics["mAP"].value == pytest.approx(np.mean(per_class), abs=1e-12)
    assert metrics.metrics["AP_all"].value == pytest.approx(together, abs=1e-12)
    replicates = of.bootstrap(labels, scored.verified.scores, resamples=60, seed=0)
    positives = labels.sum(axis=0)
    ends = metric_interval(together, replicates.ap_all, ranking_support(int(positives.sum())))
    assert metrics.metrics["AP_all"].interval == pytest.approx(ends)
    ends = metric_interval(
        float(np.mean(per_class)), replicates.mean_ap, classes_support(positives, replicates.per_class)
    )
    assert metrics.metrics["mAP"].interval == pytest.approx(ends)
    assert (metrics.metrics["mAP"].rests_on, metrics.metrics["mAP"].counted) == (int(positives.sum()), "positives")
    assert metrics.mAP_by_group == pytest.approx({"warm": per_class[0], "cold": np.mean(per_class[1:])})
    assert metrics.images == 23
    assert metrics.images_left_out == Named(count=1, names=("squares/060.jpg",))
    assert metrics.classes_without_positives == Named(count=0)
    assert metrics.at_threshold is not None
    assert metrics.at_threshold.threshold == 0.5

    # Which split chose the checkpoint, and which clean labels were used.
    result = read_json(run / "result.json")
    chosen, clean = metrics.selection.selected_by, metrics.selection.clean
    assert chosen is not None
    assert clean is not None
    assert chosen.split == "validation"
    assert chosen.model_dump(exclude_none=True) == result["selected_by"]
    assert clean.model_dump(exclude_none=True) == result["clean"]

    with open(output / "per_class.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["class"] for line in lines] == list(CLASSES)
    assert [float(line["AP"]) for line in lines] == pytest.approx(per_class, abs=1e-6)
    assert [int(line["positives"]) for line in lines] == labels.sum(axis=0).tolist()
    ends = class_intervals(per_class, replicates.per_class, positives)
    for name, expected in zip(("low", "high"), ends, strict=True):
        assert [float(line[name]) for line in lines] == pytest.approx(expected.tolist(), abs=1e-6)

    curves = pq.read_table(output / "curves.parquet").to_pydict()
    assert set(curves["class"]) == {"(all entries)", *CLASSES}
    recall = [r for r, name in zip(curves["recall"], curves["class"], strict=True) if name == "(all entries)"]
    assert recall == sorted(recall)
    assert recall[-1] == 1
    for plot in ("per_class.png", "precision_recall.png", "examples.png"):
        with Image.open(output / plot) as image:
            assert image.width > 300


def test_examples_are_marked_right_wrong_and_missed(chain: Chain) -> None:
    output = evaluated(chain.run(), examples=5, output=chain.root / "examples")
    with open(output / "examples.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    table = read_dataset(chain.dataset)
    scored = read_scores(output / "scores.parquet")
    assert isinstance(scored.verified, Dense)
    assert len({line["key"] for line in lines}) == 5
    for line in lines:
        row = table.keys.tolist().index(line["key"])
        c = CLASSES.index(line["class"])
        present = bool(table.present[[row]].toarray()[0, c])
        assert line["verdict"] == ("right" if present else "wrong")  # all three classes are among the top five
        at = scored.keys.tolist().index(line["key"])
        assert float(line["score"]) == pytest.approx(float(scored.verified.scores[at, c]), abs=1e-6)


def test_two_evaluations_agree_to_the_byte(chain: Chain) -> None:
    first, second = (evaluated(chain.run(), output=chain.root / name) for name in ("one", "two"))
    assert read_stage(first).fingerprint == read_stage(second).fingerprint


def test_single_label_is_led_by_top_1(
    single: Chain, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = evaluated(single.run())
    metrics = metrics_of(output)
    scored = read_scores(output / "scores.parquet")
    assert isinstance(scored.verified, Dense)
    truth = scored.verified.labels.argmax(axis=1)
    top_1 = metrics.metrics["top_1"]
    assert top_1.value == pytest.approx(top_k_accuracy_score(truth, scored.verified.scores, k=1))
    assert "top_5" not in metrics.metrics  # three classes: it would be 1 whatever the scores
    right = int((scored.verified.scores.argmax(axis=1) == truth).sum())
    wilson = binomtest(right, 24).proportion_ci(method="wilson")
    assert top_1.interval == pytest.approx((wilson.low, wilson.high))
    assert (top_1.rests_on, top_1.counted) == (24, "images")
    assert metrics.images_of_unknown_class == 0
    rows = matrix(output / "confusion.csv")
    assert rows.sum() == 24
    assert np.trace(rows) == pytest.approx(24 * top_1.value)
    assert list(compare([output]).rows[0].metrics) == ["top_1", "mAP", "AP_all"]
    assert read_stage(output).summary["top_1"] == top_1.value
    show_evaluations([output])
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["model", "clean", "top-1"]
    monkeypatch.setattr("nlcli.evaluation.comparison.model_rows.FEWEST_TO_RANK", 24)
    report = compare_evaluations(Compare(evaluations=(output,), output=output.with_name("led")))
    assert {"best_top_1", "best_mAP"} < set(read_stage(report).summary)


def matrix(path: Path) -> np.ndarray:
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["true", *CLASSES]
    assert [line[0] for line in lines[1:]] == list(CLASSES)
    return np.array([line[1:] for line in lines[1:]], np.int64)


def test_clean_against_noisy_labels_beside_the_answers(single: Chain) -> None:
    output = evaluated(single.run())
    table = read_dataset(single.dataset)
    rows = table.rows("test")
    true, noisy = (m[rows].toarray().argmax(axis=1) for m in (table.present, table.noisy))
    expected = np.zeros((3, 3), int)
    for t, n in zip(true, noisy, strict=True):
        expected[t, n] += 1
    np.testing.assert_array_equal(matrix(output / "label_confusion.csv"), expected)
    assert metrics_of(output).noisy_labels == NoisyLabels(images=24, accuracy=np.trace(expected) / 24)
    with Image.open(output / "confusion.png") as image:
        assert image.width > image.height  # two panels


def test_of_many_classes_the_pairs_that_occur_are_listed(single: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    run = single.run()
    dense = evaluated(run, output=single.root / "dense")
    monkeypatch.setattr("nlcli.evaluation.classifier_metrics.MOST_DENSE_CLASSES", 2)
    listed = evaluated(run, output=single.root / "listed")
    for name, called in (("confusion.csv", "called"), ("label_confusion.csv", "noisy")):
        with open(listed / name, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        counts = np.zeros((3, 3), int)
        for row in rows:
            counts[CLASSES.index(row["true"]), CLASSES.index(row[called])] = int(row["images"])
        np.testing.assert_array_equal(counts, matrix(dense / name))
    assert not (listed / "confusion.png").exists()
    assert metrics_of(listed).macro_accuracy == metrics_of(dense).macro_accuracy
    assert metrics_of(listed).noisy_labels == metrics_of(dense).noisy_labels


def test_rank_precision_of_a_method_that_models_noise(single: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlcli.data.features.store import FeatureStore
    from nlcli.methods.noisy import Noisy

    def noise_types(_: object, features: np.ndarray) -> np.ndarray:
        confusing = np.round(features[:, 0] / (1 + features[:, 0]), 1)  # many are equal
        return np.stack([(1 - confusing) / 2, (1 - confusing) / 2, confusing], axis=1)

    run = single.run()
    plain = evaluated(run, output=single.root / "plain")
    assert metrics_of(plain).confusing_noise is None
    monkeypatch.setattr(Noisy, "noise_type_probabilities", noise_types, raising=False)
    output = evaluated(run, output=single.root / "ranked")
    table, store = read_dataset(single.dataset), FeatureStore(single.features)
    rows = table.rows("test")
    true, noisy = (m[rows].toarray().argmax(axis=1) for m in (table.present, table.noisy))
    score = noise_types(None, np.asarray(store.read(store.rows_of(table.keys[rows])), np.float32))[:, 2]
    noise = metrics_of(output).confusing_noise
    assert noise is not None
    assert (noise.images, noise.wrong) == (24, int((true != noisy).sum()))
    assert noise.base_rate == pytest.approx(np.mean(true != noisy))
    assert noise.average_precision.value == pytest.approx(average_precision_score(true != noisy, score))
    drawn = of.bootstrap((true != noisy)[:, None], score[:, None], resamples=60).ap_all
    support = area_support(int((true != noisy).sum()), int((true == noisy).sum()))
    expected = metric_interval(average_precision_score(true != noisy, score), drawn, support)
    assert noise.average_precision.interval == (None if expected is None else pytest.approx(expected))
    assert noise.average_precision.rests_on == support.count
    assert noise.precision_at == {}  # fewer than a hundred images
    with open(output / "rank_precision.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["confusing"]) for line in lines] == pytest.approx(sorted(score, reverse=True), abs=1e-6)
    assert [int(line["wrong"]) for line in lines] == [int(line["noisy"] != line["true"]) for line in lines]
    assert float(lines[-1]["precision"]) == pytest.approx(noise.base_rate, abs=1e-6)
    expected = rank_precision(true != noisy, score)
    assert [float(line["precision"]) for line in lines] == pytest.approx(expected.tolist(), abs=1e-6)
    with Image.open(output / "rank_precision.png") as image:
        assert image.width > 300


def test_a_split_without_images_or_verified_labels(chain: Chain, tmp_path: Path) -> None:
    table = table_of_squares(tmp_path / "squares")
    table.split[:] = 0
    none = published(table, tmp_path / "none")
    with pytest.raises(NlcliError, match="no image in split 'test'"):
        evaluated(chain.backbone, dataset=none, output=tmp_path / "e")
    table.verification[:] = 0
    table.present = table.present * 0
    table.present.eliminate_zeros()
    unverified = published(table, tmp_path / "unverified")
    with pytest.raises(NlcliError, match="no image of split 'train' .* has a verified label"):
        evaluated(chain.backbone, dataset=unverified, split="train", output=tmp_path / "e")


def test_class_without_positives_is_counted(chain: Chain, tmp_path: Path) -> None:
    table = table_of_squares(tmp_path / "squares")
    lists = [[c for c in row.nonzero()[0].tolist() if c != 2] for row in table.present.toarray()]
    table.present = matrix_from_lists(lists, 3)
    dataset = published(table, tmp_path / "dataset")
    output = evaluated(chain.backbone, dataset=dataset, output=tmp_path / "e")
    metrics = metrics_of(output)
    assert metrics.classes_without_positives == Named(count=1, names=("blue",))
    assert metrics.metrics["mAP"].value is not None
    with open(output / "per_class.csv", encoding="utf-8") as file:
        assert [line["AP"] for line in csv.DictReader(file)][2] == ""
    assert "1 class has no positive here" in "\n".join(notes(output))


def notes(evaluation: Path) -> list[str]:
    return comparison_table(compare([evaluation]))[2]
