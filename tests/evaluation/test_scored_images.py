"""Scores beside verified labels, in memory and as ``scores.parquet``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from nlcli.data.labels import FULL, LabelTable, matrix_from_lists
from nlcli.errors import NlcliError
from nlcli.evaluation.score_files import read_scores, write_scores
from nlcli.evaluation.scored_images import Answers, Dense, Entries, ScoredImages, measure
from nlcli.metrics.intervals import share_support
from worlds.scored_chain import CLASSES, table_of_squares


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
        measured = measure(scored, "single-label", 0, 0)
        for name, k in (("top_1", 1), ("top_5", 5)):
            expected = top_k_accuracy_score(truth[known], scores[known], k=k, labels=range(6))
            assert measured.values[name] == pytest.approx(expected, abs=1e-12)
        some = scored.only(scored.keys[[5, 2, 9]])
        np.testing.assert_array_equal(some.answers.truth, truth[[5, 2, 9]])
    assert "top_1" not in measure(scored, "multi-label", 0, 0).values
    only_wrong = scored.only(scored.keys[~known])
    assert "top_1" not in measure(only_wrong, "single-label", 0, 0).values


def test_intervals_of_top_1_are_those_of_a_brute_force_bootstrap(tmp_path: Path) -> None:
    """Images drawn with replacement and scored anew, one by one."""
    table, _ = partly_verified(tmp_path / "squares")
    rows = table.rows("test")
    scores = np.random.default_rng(3).random((len(rows), 6)).astype(np.float32)
    with write_scores(tmp_path / "scores.parquet", table, rows) as writer:
        writer.add(rows, scores)
    scored = writer.scored()
    measured = measure(scored, "single-label", 150, 7)
    truth, own = scored.answers.truth, {"top_1": [], "top_5": []}
    for b in range(150):
        drawn = np.random.default_rng([7, b]).integers(0, len(rows), len(rows), dtype=np.int32)
        for name, k in (("top_1", 1), ("top_5", 5)):
            ranked = [np.argsort(-scores[i], kind="stable")[:k].tolist() for i in drawn if truth[i] >= 0]
            right = [int(truth[i]) in first for i, first in zip(drawn[truth[drawn] >= 0], ranked, strict=True)]
            own[name].append(np.mean(right))
    for name, values in own.items():
        np.testing.assert_allclose(measured.replicates[name], values, atol=1e-12)
        assert measured.supports[name] == share_support(int((truth >= 0).sum()))


def test_nan_scores_name_image_and_class(tmp_path: Path) -> None:
    table = table_of_squares(tmp_path / "squares")
    rows = table.rows("test")
    scores = np.full((len(rows), 3), 0.5, np.float32)
    scores[4, 1] = np.nan
    with pytest.raises(NlcliError, match=r"image 'squares/060.jpg' for class 'green' is nan"):
        with write_scores(tmp_path / "scores.parquet", table, rows) as writer:
            writer.add(rows, scores)
    assert not list(tmp_path.glob("*scores*"))


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
    for either in (scored, read):
        assert isinstance(either.verified, Entries)
        assert len(either.verified.label) == m.sum()
        metrics = either.metrics()
        keep = m.astype(bool)
        assert metrics.ap_all == pytest.approx(average_precision_score(v[keep], scores[keep]), abs=1e-12)
        for c in range(3):
            k = keep[:, c]
            expected = average_precision_score(v[k, c], scores[k, c])
            assert metrics.per_class[c] == pytest.approx(expected, abs=1e-12)
        np.testing.assert_array_equal(either.resampled(9, 1).ap_all, scored.resampled(9, 1).ap_all)
        assert either.label_hash() == scored.label_hash()
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
