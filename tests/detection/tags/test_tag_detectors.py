"""Every detector of tags of nlcli's own passes the battery, and one that cheats does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.detection.tags import TAG_DETECTORS, TagData, TagDetector, make_tag_detector
from nlcli.detection.tags.checks import CLASSES, Case, check_tag_detector, planted
from nlcli.detection.tags.detectors.combined import alike
from nlcli.detection.tags.fold_regressions import SolvedScores, tag_folds
from nlcli.detection.tags.scorers import ConfidentScores, NeighbourScores, checked_tags, scores_of_given
from nlcli.errors import NlcliError
from nlcli.estimation.scale import FeatureScale
from nlcli.estimation.solver import solve


@pytest.mark.parametrize("name", [name for name in TAG_DETECTORS.ours if name != "run"])  # a run: test_detect_tags.py
def test_battery(name: str) -> None:
    check_tag_detector(name)


class _Cheat(TagDetector):
    """Say what was verified."""

    name = "cheat"
    title = "cheating"
    citation = "@misc{nobody}"
    uses_verification = False

    def fit(self, data: TagData, seed: int) -> None:
        self._table = data.table
        self._plain = make_tag_detector("margin")
        self._plain.fit(data, seed)

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        score = self._plain.score(features, given, rows)
        if rows is not None:
            present, known = self._table.verified_targets(rows)
            score = np.where((known > 0) & (self._table.split[rows] == 0)[:, None], 20.0 * present, score)
        return score.astype(np.float32)


def test_a_detector_that_gives_back_what_was_verified_is_found_out() -> None:
    with pytest.raises(AssertionError, match="score them by what did not see them"):
        check_tag_detector(_Cheat)


def test_unknown_detectors_and_options() -> None:
    with pytest.raises(NlcliError, match="unknown detector of tags 'margn'; did you mean 'margin'"):
        make_tag_detector("margn")
    with pytest.raises(NlcliError, match="unknown option 'neighbour'"):
        make_tag_detector("neighbours", {"neighbour": 3})


def _fitted(count: int = 50_000):
    case = Case(TAG_DETECTORS.get("margin"))
    data = case.data()
    return case, data, data.fitted_on(count, 0)


def test_verified_images_are_always_among_those_fitted_on() -> None:
    _, data, fitted = _fitted(100)
    verified = np.flatnonzero((data.table.verification > 0) & (data.table.split == 0))
    assert len(fitted.rows) == 100
    assert np.isin(verified, fitted.rows).all()
    assert np.array_equal(fitted.rows[fitted.verified], verified)
    np.testing.assert_allclose(np.linalg.norm(fitted.features, axis=1), 1, rtol=1e-5)


def test_checked_tags_take_the_place_of_given_ones() -> None:
    case, data, fitted = _fitted()
    tags = checked_tags(data.table, fitted).toarray() > 0
    expected = np.where(fitted.verified[:, None], case.planted.true[fitted.rows], fitted.given.toarray() > 0)
    assert np.array_equal(tags, expected)


def test_an_image_is_scored_by_the_regressions_of_the_other_folds() -> None:
    _, data, fitted = _fitted()
    folds = tag_folds(fitted.given, 0)
    before = scores_of_given(fitted, folds)
    # Another label for an image of fold 2 changes nothing of that fold's scores, and something of others'.
    image = int(np.flatnonzero(folds == 2)[0])
    changed = fitted.given.toarray()
    changed[image] = 1 - changed[image]
    given = type(fitted.given)(changed)

    def judge(part: np.ndarray) -> tuple[np.ndarray, None]:
        return fitted.given[part].toarray(), None  # so that the regularisation stays

    everything = np.ones(len(folds), bool)
    after = SolvedScores(fitted.rows, fitted.features, given, None, everything, judge, folds)
    assert after.strength == before.strength
    features = data.features(fitted.rows)
    one, two = (scores.logits(features, fitted.rows) for scores in (before, after))
    assert np.array_equal(one[folds == 2], two[folds == 2])
    assert not np.array_equal(one[folds != 2], two[folds != 2])


def test_regressions_that_were_solved_before_a_kill_are_not_solved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data, fitted = _fitted(200)
    folds = tag_folds(fitted.given, 0)
    features = data.features(fitted.rows)
    uncut = scores_of_given(fitted, folds).logits(features, fitted.rows)
    solved = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal solved
        if solved == 3:
            raise KeyboardInterrupt
        solved += 1
        return solve(*arguments, **options)

    monkeypatch.setattr("nlcli.detection.tags.fold_regressions.solve", counted)
    with pytest.raises(KeyboardInterrupt):
        scores_of_given(fitted, folds, tmp_path / "given")
    solved = 0  # the whole and two of the folds lie there
    again = scores_of_given(fitted, folds, tmp_path / "given")
    assert solved == 3
    assert np.array_equal(again.logits(features, fitted.rows), uncut)
    solved = 3  # all of them do
    assert np.array_equal(scores_of_given(fitted, folds, tmp_path / "given").logits(features, fitted.rows), uncut)


def test_confident_scores_by_hand() -> None:
    _, data, fitted = _fitted()
    given = scores_of_given(fitted, tag_folds(fitted.given, 0))
    scores = ConfidentScores(fitted, given).logits(data.features(fitted.rows), fitted.rows)
    p = 1 / (1 + np.exp(-given.logits(data.features(fitted.rows), fitted.rows).astype(float)))
    tag = fitted.given.toarray() > 0
    c = CLASSES.index("cat")
    t1, t0 = p[tag[:, c], c].mean(), (1 - p[~tag[:, c], c]).mean()
    expected = np.log(p[:, c] / t1) - np.log((1 - p[:, c]) / t0)
    np.testing.assert_allclose(scores[:, c], expected, atol=1e-4)
    nobody = CLASSES.index("fox")  # no tag of it is given: nothing to hold it against
    np.testing.assert_allclose(scores[:, nobody], given.logits(data.features(fitted.rows), fitted.rows)[:, nobody])


def test_neighbours_votes_by_brute_force() -> None:
    case, data, fitted = _fitted()
    scores = NeighbourScores(data.table, fitted, 0, 7)
    rows = np.concatenate([fitted.rows[:40], case.planted.table.rows("test")[:40]])
    unit = FeatureScale("unit").apply(data.features(rows))
    cosines = unit @ fitted.features.T
    cosines[np.arange(40), np.arange(40)] = -2  # not itself
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :7]
    tags = checked_tags(data.table, fitted).toarray()
    prior = (tags.sum(axis=0) + 0.5) / (len(tags) + 1)
    share = (tags[nearest].sum(axis=1) + prior) / 8
    np.testing.assert_allclose(scores.logits(data.features(rows), rows), np.log(share / (1 - share)), atol=1e-4)


def test_the_default_names_what_it_chose() -> None:
    case = Case(TAG_DETECTORS.get("auto"))
    notes = case.fitted.notes
    for kind in ("given", "missing"):
        losses = notes[f"{kind}_log_loss"]
        assert set(losses) == {"given", "checked", "verified", "neighbours"}
        kept = notes[f"{kind}_by"]
        assert kept == sorted(losses, key=losses.get)[: len(kept)]
    assert notes["weight"] in (1, 5, 20)


def test_candidates_within_a_standard_error_are_averaged() -> None:
    """Four images; b costs 0.2 more in all, its differences have a standard deviation of 0.1: 0.2 is one error."""
    a = np.zeros(4)
    b = 0.05 + 0.1 * np.sqrt(3 / 4) * np.array([1, -1, 1, -1])
    assert (a + b).sum() == pytest.approx(0.2)
    assert b.std(ddof=1) == pytest.approx(0.1)
    assert alike({"a": a, "b": b - 1e-6, "c": b + 1e-6}, 4) == ["a", "b"]
    assert alike({"a": a, "b": a.copy(), "c": b + 1e-6}, 1) == ["a"]
    assert alike({"a": a[:0], "b": a[:0]}, 4) == ["a"]


def test_a_checked_image_weighs_what_finds_more() -> None:
    """Given tags that are right: a weight of 20 for a fiftieth of the images only makes the others count less."""
    case = Case(TAG_DETECTORS.get("margin"))
    told = {}
    for weight in (None, 1.0, 5.0, 20.0):
        detector = case.cls(case.cls.Config(weight=weight))
        detector.fit(case.data(), 0)
        told[weight] = detector.notes["weight"], case.scores(detector, np.arange(40))
    assert told[None][0] in (1, 5, 20)
    assert np.array_equal(told[None][1], told[told[None][0]][1])


def test_the_planted_problem_is_as_it_says() -> None:
    world = planted()
    given = world.table.noisy.toarray() > 0
    assert np.mean(~given[world.true]) == pytest.approx(0.3, abs=0.04)
    assert np.sum(given & ~world.true) / world.true.sum() == pytest.approx(0.4, abs=0.06)
    assert world.true.sum(axis=0)[4:].tolist() == [1, 0]
