"""Evaluations of heads and backbones, and comparisons, on real files."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from nlcli.data.label_files import read_dataset
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists
from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.compare import compare, compare_evaluations, show_evaluations, show_report
from nlcli.evaluation.config import Compare
from nlcli.evaluation.models import probabilities
from nlcli.evaluation.score_files import read_scores, write_scores
from nlcli.evaluation.scored_images import Answers, Dense, Entries, ScoredImages, figures
from nlcli.metrics import bootstrap as of
from nlcli.metrics.ranking import rank_precision
from nlcli.stages.files import read_json, write_json
from nlcli.stages.stage import read_stage
from worlds.evaluated import evaluated
from worlds.scored_chain import CLASSES, Chain, published_backbone, shared_chain, table_of_squares
from worlds.stage_builders import published


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Multi-label; test image 060 is broken."""
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


# --- one evaluation --------------------------------------------------------------------------


def test_a_run_is_scored_with_every_figure(chain: Chain) -> None:
    from nlcli.data.features.store import FeatureStore
    from nlcli.training.head import load_head

    run = chain.run()
    output = evaluated(run, examples=3)
    assert output == run.with_name("noisy-0-test")
    metrics = read_json(output / "metrics.json")

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
    assert metrics["mAP"] == pytest.approx(np.mean(per_class), abs=1e-12)
    assert metrics["AP_all"] == pytest.approx(together, abs=1e-12)
    replicates = of.bootstrap(labels, scored.verified.scores, resamples=60, seed=0)
    assert metrics["AP_all_interval"] == pytest.approx([float(e) for e in of.interval(replicates.ap_all)])
    assert metrics["mAP_by_group"] == pytest.approx({"warm": per_class[0], "cold": np.mean(per_class[1:])})
    assert metrics["images"] == 23
    assert metrics["images_left_out"] == {"count": 1, "keys": ["squares/060.jpg"]}
    assert metrics["classes_without_positives"] == {"count": 0, "names": []}
    assert metrics["at_threshold"]["threshold"] == 0.5

    # Which split chose the checkpoint, and which clean labels were used.
    result = read_json(run / "result.json")
    assert metrics["selection"]["selected_by"] == result["selected_by"]
    assert metrics["selection"]["selected_by"]["split"] == "validation"
    assert metrics["selection"]["clean"] == result["clean"]

    with open(output / "per_class.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["class"] for line in lines] == list(CLASSES)
    assert [float(line["AP"]) for line in lines] == pytest.approx(per_class, abs=1e-6)
    assert [int(line["positives"]) for line in lines] == labels.sum(axis=0).tolist()
    assert all(float(line["low"]) <= float(line["AP"]) + 0.2 for line in lines)

    curves = pq.read_table(output / "curves.parquet").to_pydict()
    assert set(curves["class"]) == {"(all entries)", *CLASSES}
    recall = [r for r, name in zip(curves["recall"], curves["class"], strict=True) if name == "(all entries)"]
    assert recall == sorted(recall)
    assert recall[-1] == 1
    for figure in ("per_class.png", "precision_recall.png", "examples.png"):
        with Image.open(output / figure) as image:
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


def test_same_command_again_does_nothing_and_another_refuses(chain: Chain, capsys: pytest.CaptureFixture) -> None:
    output = evaluated(chain.run(), output=chain.root / "again")
    before = (output / "metrics.json").stat().st_mtime_ns
    assert evaluated(chain.run(), output=chain.root / "again") == output
    assert (output / "metrics.json").stat().st_mtime_ns == before
    assert "up to date" in capsys.readouterr().err
    with pytest.raises(NlcliError, match="--force"):
        evaluated(chain.run(), output=chain.root / "again", seed=5)
    assert (output / "metrics.json").stat().st_mtime_ns == before


def test_two_evaluations_agree_to_the_byte(chain: Chain) -> None:
    first, second = (evaluated(chain.run(), output=chain.root / name) for name in ("one", "two"))
    assert read_stage(first).fingerprint == read_stage(second).fingerprint


def test_a_backbone_is_scored_from_images_and_from_features_alike(chain: Chain) -> None:
    images = evaluated(chain.backbone, dataset=chain.dataset, output=chain.root / "from-images")
    features = evaluated(chain.backbone, features=chain.features, output=chain.root / "from-features")
    a, b = (read_scores(path / "scores.parquet") for path in (images, features))
    assert a.keys.tolist() == b.keys.tolist()
    assert isinstance(a.verified, Dense)
    assert isinstance(b.verified, Dense)
    np.testing.assert_allclose(a.verified.scores, b.verified.scores, atol=1e-5)
    assert read_json(images / "metrics.json")["images_left_out"]["count"] == 1


def test_classes_in_another_order_are_found_by_name(chain: Chain, tmp_path: Path) -> None:
    from nlcli.networks.weights import load_backbone, save_backbone

    last = load_backbone(chain.backbone).last_layer
    assert last is not None
    shuffled = published_backbone(tmp_path / "shuffled", ("blue", "red", "green"))
    backbone = load_backbone(shuffled)
    backbone.model.get_layer("logits").set_weights([last.kernel[:, [2, 0, 1]], last.bias[[2, 0, 1]]])
    save_backbone(shuffled, backbone)
    a = read_scores(evaluated(chain.backbone, dataset=chain.dataset, output=tmp_path / "a") / "scores.parquet")
    b = read_scores(evaluated(shuffled, dataset=chain.dataset, output=tmp_path / "b") / "scores.parquet")
    assert isinstance(a.verified, Dense)
    assert isinstance(b.verified, Dense)
    np.testing.assert_allclose(a.verified.scores, b.verified.scores, atol=1e-5)


def test_single_label_is_led_by_top_1(single: Chain, capsys: pytest.CaptureFixture) -> None:
    output = evaluated(single.run())
    metrics = read_json(output / "metrics.json")
    scored = read_scores(output / "scores.parquet")
    assert isinstance(scored.verified, Dense)
    truth = scored.verified.labels.argmax(axis=1)
    assert metrics["top_1"] == pytest.approx(top_k_accuracy_score(truth, scored.verified.scores, k=1))
    assert "top_5" not in metrics  # three classes: it would be 1 whatever the scores
    low, high = metrics["top_1_interval"]
    assert low <= metrics["top_1"] <= high
    assert metrics["images_of_unknown_class"] == 0
    rows = matrix(output / "confusion.csv")
    assert rows.sum() == 24
    assert np.trace(rows) == pytest.approx(24 * metrics["top_1"])
    assert list(compare([output]).rows[0].figures) == ["top_1", "mAP", "AP_all"]
    assert read_stage(output).summary["top_1"] == metrics["top_1"]
    show_evaluations([output])
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["model", "clean", "top-1"]
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
    assert read_json(output / "metrics.json")["noisy_labels"] == {"images": 24, "accuracy": np.trace(expected) / 24}
    with Image.open(output / "confusion.png") as image:
        assert image.width > image.height  # two panels


def partly_verified(folder: Path) -> tuple[LabelTable, np.ndarray]:
    """Test images of six classes: a third fully verified, a third called right or wrong, a third unknown."""
    table = table_of_squares(folder, single=True)
    rng = np.random.default_rng(4)
    count, classes = len(table), tuple("abcdef")
    true = rng.integers(0, 6, count)
    noisy = np.where(rng.random(count) < 0.5, true, (true + 1) % 6)
    kind = np.arange(count) % 3  # 0 full, 1 partial, 2 none
    seen = (kind == 0) | ((kind == 1) & (noisy == true))
    wrong = (kind == 1) & (noisy != true)
    lists = [[int(c)] if known else [] for c, known in zip(true, seen, strict=True)]
    return replace(
        table,
        classes=classes,
        groups=None,
        noisy=matrix_from_lists([[int(c)] for c in noisy], 6, [[1.0]] * count),
        present=matrix_from_lists(lists, 6),
        absent=matrix_from_lists([[int(c)] if w else [] for c, w in zip(noisy, wrong, strict=True)], 6),
        verification=np.where(kind == 0, FULL, np.where(kind == 1, 1, 0)).astype(np.uint8),
    ), np.where(seen, true, -1)


def test_images_whose_class_is_not_known_have_no_part_in_top_1(tmp_path: Path) -> None:
    table, truth = partly_verified(tmp_path / "squares")
    rows = table.rows("test")
    truth = truth[rows]
    scores = np.random.default_rng(0).random((len(rows), 6)).astype(np.float32)
    scores[:9] += 0.6 * np.eye(6, dtype=np.float32)[np.maximum(truth[:9], 0)]
    with write_scores(tmp_path / "scores.parquet", table, rows) as writer:
        writer.add(rows[:11], scores[:11])
        writer.add(rows[11:], scores[11:])
    known = truth >= 0
    assert 0 < known.sum() < len(rows)
    for scored in (writer.scored(), read_scores(tmp_path / "scores.parquet")):
        assert isinstance(scored.verified, Entries)
        np.testing.assert_array_equal(scored.answers.truth, truth)
        np.testing.assert_array_equal(scored.answers.first, scores.argmax(axis=1))
        found = figures(scored, "single-label", 0, 0)
        for name, k in (("top_1", 1), ("top_5", 5)):
            expected = top_k_accuracy_score(truth[known], scores[known], k=k, labels=range(6))
            assert found.values[name] == pytest.approx(expected, abs=1e-12)
        some = scored.only(scored.keys[[5, 2, 9]])
        np.testing.assert_array_equal(some.answers.truth, truth[[5, 2, 9]])
    assert "top_1" not in figures(scored, "multi-label", 0, 0).values
    only_wrong = scored.only(scored.keys[~known])
    assert "top_1" not in figures(only_wrong, "single-label", 0, 0).values


def test_intervals_of_top_1_are_those_of_a_brute_force_bootstrap(tmp_path: Path) -> None:
    """Images drawn with replacement and scored anew, one by one."""
    table, _ = partly_verified(tmp_path / "squares")
    rows = table.rows("test")
    scores = np.random.default_rng(3).random((len(rows), 6)).astype(np.float32)
    with write_scores(tmp_path / "scores.parquet", table, rows) as writer:
        writer.add(rows, scores)
    scored = writer.scored()
    found = figures(scored, "single-label", 150, 7)
    truth, own = scored.answers.truth, {"top_1": [], "top_5": []}
    for b in range(150):
        drawn = np.random.default_rng([7, b]).integers(0, len(rows), len(rows), dtype=np.int32)
        for name, k in (("top_1", 1), ("top_5", 5)):
            ranked = [np.argsort(-scores[i], kind="stable")[:k].tolist() for i in drawn if truth[i] >= 0]
            right = [int(truth[i]) in first for i, first in zip(drawn[truth[drawn] >= 0], ranked, strict=True)]
            own[name].append(np.mean(right))
    for name, values in own.items():
        np.testing.assert_allclose(found.replicates[name], values, atol=1e-12)
        low, high = of.interval(found.replicates[name])
        assert (float(low), float(high)) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_rank_precision_of_a_method_that_models_noise(single: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlcli.data.features.store import FeatureStore
    from nlcli.methods.noisy import Noisy

    def noise_types(_: object, features: np.ndarray) -> np.ndarray:
        confusing = np.round(features[:, 0] / (1 + features[:, 0]), 1)  # many are equal
        return np.stack([(1 - confusing) / 2, (1 - confusing) / 2, confusing], axis=1)

    run = single.run()
    plain = evaluated(run, output=single.root / "plain")
    assert "confusing_noise" not in read_json(plain / "metrics.json")
    monkeypatch.setattr(Noisy, "noise_type_probabilities", noise_types, raising=False)
    output = evaluated(run, output=single.root / "ranked")
    table, store = read_dataset(single.dataset), FeatureStore(single.features)
    rows = table.rows("test")
    true, noisy = (m[rows].toarray().argmax(axis=1) for m in (table.present, table.noisy))
    score = noise_types(None, np.asarray(store.read(store.rows_of(table.keys[rows])), np.float32))[:, 2]
    found = read_json(output / "metrics.json")["confusing_noise"]
    assert (found["images"], found["wrong"]) == (24, int((true != noisy).sum()))
    assert found["base_rate"] == pytest.approx(np.mean(true != noisy))
    assert found["average_precision"] == pytest.approx(average_precision_score(true != noisy, score))
    assert (
        found["average_precision_interval"][0] <= found["average_precision"] <= found["average_precision_interval"][1]
    )
    assert found["precision_at"] == {}  # fewer than a hundred images
    with open(output / "rank_precision.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["confusing"]) for line in lines] == pytest.approx(sorted(score, reverse=True), abs=1e-6)
    assert [int(line["wrong"]) for line in lines] == [int(line["noisy"] != line["true"]) for line in lines]
    assert float(lines[-1]["precision"]) == pytest.approx(found["base_rate"], abs=1e-6)
    expected = rank_precision(true != noisy, score)
    assert [float(line["precision"]) for line in lines] == pytest.approx(expected.tolist(), abs=1e-6)
    with Image.open(output / "rank_precision.png") as image:
        assert image.width > 300


# --- what is refused -------------------------------------------------------------------------


def test_features_of_another_backbone_and_of_another_data_set(chain: Chain, single: Chain, tmp_path: Path) -> None:
    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import extract_features

    other = published_backbone(tmp_path / "other", seed=3)
    features = extract_features(ExtractFeatures(dataset=chain.dataset, backbone=str(other), output=tmp_path / "f"))
    with pytest.raises(NlcliError, match="features of another backbone"):
        evaluated(chain.run(), features=features, output=tmp_path / "e")
    with pytest.raises(NlcliError, match="features of another backbone"):
        evaluated(chain.backbone, features=features, output=tmp_path / "e")
    with pytest.raises(NlcliError, match="features of another data set"):
        evaluated(chain.run(), dataset=single.dataset, output=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_unknown_score_and_score_of_a_backbone(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="unknown score 'nonsense'"):
        evaluated(chain.run(), score="nonsense", output=tmp_path / "e")
    with pytest.raises(NlcliError, match="leave out --score"):
        evaluated(chain.backbone, score="x", dataset=chain.dataset, output=tmp_path / "e")


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


def test_other_classes_are_refused(chain: Chain, tmp_path: Path) -> None:
    other = published_backbone(tmp_path / "other", ("red", "green"))
    with pytest.raises(NlcliError, match="it has no 'blue'"):
        evaluated(other, dataset=chain.dataset, output=tmp_path / "e")


def test_inputs_that_are_gone_or_of_another_kind(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="dataset directory; expected a run or backbone"):
        evaluated(chain.dataset)
    run = tmp_path / "moved" / "run"
    shutil.copytree(chain.run(), run)
    record = read_json(run / "stage.json")
    record["inputs"]["features"] |= {"path": str(tmp_path / "gone"), "relative": "../gone"}
    write_json(run / "stage.json", record)
    with pytest.raises(NlcliError, match="pass --features"):
        evaluated(run)
    assert evaluated(run, features=chain.features).name == "run-test"


def test_nan_scores_name_image_and_class(tmp_path: Path) -> None:
    table = table_of_squares(tmp_path / "squares")
    rows = table.rows("test")
    scores = np.full((len(rows), 3), 0.5, np.float32)
    scores[4, 1] = np.nan
    with pytest.raises(NlcliError, match=r"image 'squares/060.jpg' for class 'green' is nan"):
        with write_scores(tmp_path / "scores.parquet", table, rows) as writer:
            writer.add(rows, scores)
    assert not list(tmp_path.glob("*scores*"))


# --- partly verified labels ------------------------------------------------------------------


def test_only_verified_entries_count(tmp_path: Path) -> None:
    table = table_of_squares(tmp_path / "squares")
    rows = table.rows("test")
    rng = np.random.default_rng(0)
    looked = rng.random((len(table), 3)) < 0.6
    full = table.present.toarray().astype(bool)
    table.present = matrix_from_lists([np.flatnonzero(r).tolist() for r in full & looked], 3)
    table.absent = matrix_from_lists([np.flatnonzero(r).tolist() for r in ~full & looked], 3)
    table.verification[:] = np.where(np.arange(len(table)) % 5 == 0, 2, 1)
    scores = rng.random((len(rows), 3)).astype(np.float32)
    with write_scores(tmp_path / "scores.parquet", table, rows) as writer:
        writer.add(rows[:10], scores[:10])
        writer.add(rows[10:], scores[10:])
    scored = writer.scored()
    read = read_scores(tmp_path / "scores.parquet")
    v, m = table.verified_targets(rows)
    for found in (scored, read):
        assert isinstance(found.verified, Entries)
        assert len(found.verified.label) == m.sum()
        metrics = found.metrics()
        keep = m.astype(bool)
        assert metrics.ap_all == pytest.approx(average_precision_score(v[keep], scores[keep]), abs=1e-12)
        for c in range(3):
            k = keep[:, c]
            expected = average_precision_score(v[k, c], scores[k, c])
            assert metrics.per_class[c] == pytest.approx(expected, abs=1e-12)
        np.testing.assert_array_equal(found.resampled(9, 1).ap_all, scored.resampled(9, 1).ap_all)
        assert found.label_hash() == scored.label_hash()
    some = read.only(read.keys[[7, 3, 11]])
    assert some.metrics().scored.sum() == m[[7, 3, 11]].sum()
    dense = ScoredImages(CLASSES, read.keys, Dense(v, scores), read.answers)
    assert dense.label_hash() != read.label_hash()


def test_dense_and_sparse_hold_the_same() -> None:
    rng = np.random.default_rng(1)
    labels, scores = (rng.random((30, 4)) < 0.4).astype(np.uint8), rng.random((30, 4)).astype(np.float32)
    keys, classes = np.array([str(i) for i in range(30)], object), ("a", "b", "c", "d")
    image, column = np.divmod(rng.permutation(120), 4)
    answers = Answers.of(np.where(labels.sum(axis=1) == 1, labels.argmax(axis=1), -1), scores)
    dense = ScoredImages(classes, keys, Dense(labels, scores), answers)
    sparse = ScoredImages(
        classes, keys, Entries(image, column, labels[image, column] != 0, scores[image, column]), answers
    )
    assert dense.label_hash() == sparse.label_hash()
    assert dense.at_threshold(0.3) == sparse.at_threshold(0.3)
    for (la, sa), (lb, sb) in zip(dense.by_class(), sparse.by_class(), strict=True):
        assert sorted(zip(sa.tolist(), la.tolist(), strict=True)) == sorted(zip(sb.tolist(), lb.tolist(), strict=True))
    chosen = keys[[5, 2, 9]]
    assert dense.only(chosen).label_hash() == sparse.only(chosen).label_hash()
    np.testing.assert_allclose(dense.resampled(5, 0).per_class, sparse.resampled(5, 0).per_class, atol=1e-12)


def test_damaged_scores_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"PAR1 not a parquet file")
    with pytest.raises(NlcliError, match="evaluate the model again"):
        read_scores(path)
    pq.write_table(pa.table({"key": ["a"]}), path)
    with pytest.raises(NlcliError, match="does not hold the scores"):
        read_scores(path)


def test_probabilities_do_not_overflow() -> None:
    logits = np.array([[1000.0, -1000.0, 0.0]], np.float32)
    np.testing.assert_allclose(probabilities(logits, "sigmoid"), [[1, 0, 0.5]])
    np.testing.assert_allclose(probabilities(logits, "softmax"), [[1, 0, 0]])
    assert probabilities(logits, "sigmoid").dtype == np.float32


# --- comparisons -----------------------------------------------------------------------------


def test_comparison_pairs_seeds_and_resamples(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = [chain.run("noisy", 0), chain.run("noisy", 1), chain.run("residual", 0), chain.run("residual", 1)]
    evaluations = [evaluated(run, output=tmp_path / run.name) for run in runs]
    found = compare(evaluations)
    assert [row.label for row in found.rows] == ["noisy", "residual"]
    assert [row.seeds for row in found.rows] == [(0, 1), (0, 1)]
    assert found.rows[0].clean_images is None  # the noisy method uses no clean label
    assert found.rows[1].clean_images == 20
    assert found.rows[1].selected_by == "validation AP_all"

    values = [read_json(path / "metrics.json")["AP_all"] for path in evaluations]
    first, second = (row.figures["AP_all"] for row in found.rows)
    assert first.value == pytest.approx(np.mean(values[:2]))
    assert first.spread == pytest.approx(np.std(values[:2], ddof=1))
    assert first.difference is None
    assert second.difference == pytest.approx(np.mean(values[2:]) - np.mean(values[:2]))
    scored = [read_scores(path / "scores.parquet") for path in evaluations]
    replicates = [s.resampled(60, 0).ap_all for s in scored]
    paired = (replicates[2] + replicates[3]) / 2 - (replicates[0] + replicates[1]) / 2
    assert second.difference_interval == pytest.approx([float(e) for e in of.interval(paired)])
    # The same from scores, without the stored replicates.
    again = compare(evaluations, resamples=61, seed=0)
    assert again.rows[1].figures["AP_all"].value == second.value

    show_evaluations(evaluations)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["model", "clean", "seeds", "mAP", "difference", "AP_all", "difference"]
    assert "residual  50 % (20)  2" in shown
    assert "paired by image" in shown


def test_report_directory(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    evaluations = tuple(evaluated(chain.run(m), output=tmp_path / m) for m in ("noisy", "residual"))
    report = compare_evaluations(Compare(evaluations=evaluations, output=tmp_path / "report"))
    found = read_json(report / "comparison.json")
    assert found == json.loads(json.dumps(compare(evaluations).as_json()))
    with open(report / "comparison.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["model"] for line in lines] == ["noisy", "residual"]
    assert float(lines[1]["AP_all"]) == pytest.approx(found["rows"][1]["AP_all"]["value"], abs=1e-6)
    assert lines[0]["AP_all_difference"] == ""
    markdown = (report / "comparison.md").read_text(encoding="utf-8")
    assert markdown.startswith("| model | clean | mAP | difference | AP_all | difference |\n| --- |")
    assert "| residual | 50 % (20) |" in markdown
    with open(report / "per_class.csv", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["class", "positives", "noisy, 50 % clean", "residual, 50 % clean"]
    with Image.open(report / "comparison.png") as image:
        assert image.width > 300
    assert (report / "comparison.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert read_stage(report, "report").summary["models"] == 2
    capsys.readouterr()
    show_report([report])
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["model", "clean", "mAP"]


def test_rows_are_told_apart_by_what_differs(chain: Chain, tmp_path: Path) -> None:
    runs = [chain.run("residual"), chain.run("residual", alpha=0.5), chain.run("residual", activation="tanh")]
    evaluations = [evaluated(run, output=tmp_path / run.name, bootstrap=0) for run in runs]
    evaluations.append(evaluated(runs[0], output=tmp_path / "h", bootstrap=0, score="noisy"))
    found = compare(evaluations)
    assert [row.label for row in found.rows] == [
        "residual",
        "residual (alpha=0.5)",
        "residual (activation=tanh)",
        "residual (score noisy)",
    ]
    assert all(row.figures["mAP"].interval is None for row in found.rows)
    assert all(row.figures["mAP"].spread is None for row in found.rows)


def test_comparison_keeps_to_common_images(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    whole = evaluated(chain.run(), output=tmp_path / "whole")
    part = tmp_path / "part"
    shutil.copytree(whole, part)
    scores = pq.read_table(part / "scores.parquet")
    pq.write_table(scores.slice(3), part / "scores.parquet")
    metrics = read_json(part / "metrics.json")
    write_json(part / "metrics.json", metrics | {"bootstrap": {"resamples": 0, "seed": 0, "level": 0.95}})
    record = read_json(part / "stage.json")
    write_json(part / "stage.json", record | {"fingerprint": "sha256:another"})
    found = compare([whole, part])
    assert (found.images, found.left_out) == (20, 3)
    first, second = (row.figures["AP_all"] for row in found.rows)
    assert first.value == second.value
    assert second.difference_interval == (0.0, 0.0)
    assert "3 images were not scored by all models" in capsys.readouterr().err


def test_evaluations_that_cannot_be_compared(chain: Chain, single: Chain, tmp_path: Path) -> None:
    test = evaluated(chain.run(), output=tmp_path / "test")
    train = evaluated(chain.run(), output=tmp_path / "train", split="train")
    with pytest.raises(NlcliError, match="no image in common"):
        compare([test, train])
    other = evaluated(single.run(), output=tmp_path / "single")
    with pytest.raises(NlcliError, match="different verified labels"):
        compare([test, other])
    with pytest.raises(NlcliError, match="the same evaluation"):
        compare([test, test])
    with pytest.raises(NlcliError, match="nothing to compare"):
        compare([])
    with pytest.raises(NlcliError, match="is a dataset directory"):
        compare([chain.dataset])


def test_class_without_positives_is_counted(chain: Chain, tmp_path: Path) -> None:
    table = table_of_squares(tmp_path / "squares")
    lists = [[c for c in row.nonzero()[0].tolist() if c != 2] for row in table.present.toarray()]
    table.present = matrix_from_lists(lists, 3)
    dataset = published(table, tmp_path / "dataset")
    output = evaluated(chain.backbone, dataset=dataset, output=tmp_path / "e")
    metrics = read_json(output / "metrics.json")
    assert metrics["classes_without_positives"] == {"count": 1, "names": ["blue"]}
    assert math.isfinite(metrics["mAP"])
    with open(output / "per_class.csv", encoding="utf-8") as file:
        assert [line["AP"] for line in csv.DictReader(file)][2] == ""
    assert "1 class has no positive here" in "\n".join(notes(output))


def notes(evaluation: Path) -> list[str]:
    from nlcli.evaluation.comparison.side_by_side_table import comparison_table

    return comparison_table(compare([evaluation]).as_json())[2]
