"""Candidates fitted and compared: against scikit-learn, against leaks, and on drawn images whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from nlcli.estimation.candidates import FORWARD, FORWARD_5, NOISY, POSTERIOR, PRUNED, PRUNED_5, Candidates
from nlcli.estimation.contest import MIXTURE, Judges, _Board, _Mixture, contest
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.images import Images
from nlcli.estimation.linear_model import LinearModel, log_softmax
from worlds.classes_taken_for_others import CLASSES, drawn, images_of


def top_1(model: LinearModel, seed: int = 9) -> float:
    _, features, true, _ = drawn(count=4000, seed=seed)
    return float(np.mean(model.logits(features).argmax(axis=1) == true))


def test_candidates_are_scikit_learns() -> None:
    images, features, true, noisy = drawn()
    candidates = Candidates(images)
    both = np.where(images.checked, true, noisy)
    for name, labels, weight in ((NOISY, noisy, 1.0), ("weight 1", both, 1.0), ("weight 20", both, 20.0)):
        weights = np.where(images.checked, weight, 1.0)
        value = candidates.l2
        list(candidates.solved(name, (value,)))
        strength = 1 / (value * weights.sum())
        theirs = LogisticRegression(C=strength, tol=1e-8, max_iter=2000).fit(features, labels, weights)
        model, _, converged = candidates.final(name, value)
        assert converged
        ours = model.probabilities(features)
        np.testing.assert_allclose(ours, theirs.predict_proba(features), atol=2e-3)


def test_the_matrix_of_noise_is_near_the_planted_one() -> None:
    images, *_ = drawn(count=3000, checked=100)
    planted = 0.6 * np.eye(CLASSES) + 0.4 * np.roll(np.eye(CLASSES), 1, axis=1)
    assert np.abs(Candidates(images).transition(images.checked) - planted).max() < 0.08


@pytest.mark.parametrize("name", [NOISY, "weight 5", FORWARD, FORWARD_5, POSTERIOR, PRUNED, PRUNED_5])
def test_what_is_left_out_is_not_seen(name: str) -> None:
    """What is verified of a held-out image changes nothing, to the bit, whatever was solved with it before."""
    images, features, true, noisy = drawn()
    held = np.zeros(len(true), bool)
    held[:20] = True
    others = images_of(features, np.where(held, (true + 2) % CLASSES, true), noisy, images.checked)
    others = replace(others, labelled=images.labelled)
    mine, theirs = Candidates(images), Candidates(others)
    values = mine.values[name]
    list(mine.solved(name, values))
    first, second = (list(one.solved(name, values, held)) for one in (mine, theirs))
    for own, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(own.kernel, other.kernel)


def test_noise_by_class_is_won_by_what_knows_of_it() -> None:
    images, *_ = drawn(wrong=0.45)
    result = contest(images)
    assert result.selection is not None
    assert result.selection.better
    assert result.winner != NOISY
    noisy = [result.selection[NOISY].mean, result.selection[result.winner].mean]
    assert noisy[1] > noisy[0]
    plain = Candidates(images)
    list(plain.solved(NOISY, (plain.l2,)))
    assert top_1(result.model) > top_1(plain.final(NOISY, plain.l2)[0])
    assert result.judged == 120


def test_without_noise_nothing_is_better_than_the_noisy_labels() -> None:
    images, *_ = drawn(wrong=0.0)
    result = contest(images)
    assert result.selection is not None
    assert not result.selection.better
    assert abs(top_1(result.model) - top_1(result.noisy)) < 0.02


def test_the_mixture_is_the_weighted_mean_of_its_members() -> None:
    """Its classifier says of new images what its members, solved by themselves and tempered, say together."""
    images, *_ = drawn(wrong=0.3, checked=60, seed=3)
    result = contest(images)
    assert (result.winner, result.selection is None) == (MIXTURE, False)
    assert len(result.weights) > 1
    assert sum(result.weights.values()) == pytest.approx(1.0, abs=0.5)
    alone = Candidates(images)
    _, features, *_ = drawn(count=50, seed=8)
    pieces = []
    for name in result.weights:
        best = min(result.costs[name], key=lambda value: result.costs[name][value])
        list(alone.solved(name, (best,)))
        pieces.append(alone.final(name, best)[0].logits(features).ravel())
    # Up to a factor of each and a shift of each class, the logits are a combination of the members' with these signs.
    shifts = np.tile(np.eye(CLASSES), (50, 1))
    columns = np.column_stack([*pieces, shifts])
    found, residual, *_ = np.linalg.lstsq(columns, result.model.logits(features).ravel(), rcond=None)
    assert residual[0] < 1e-3
    for weight, coefficient in zip(result.weights.values(), found, strict=False):
        assert abs(weight) < 0.02 or np.sign(weight) == np.sign(coefficient)


@pytest.fixture(scope="module")
def board() -> _Board:
    images, *_ = drawn(count=300, wrong=0.3, checked=60, seed=3)
    board = _Board(Candidates(images), None)
    board.solve()
    return board


def test_a_mixture_of_one_label_is_fitted_to_what_verified_images_say(board: _Board) -> None:
    """Its weights and shifts are at the optimum of the penalised likelihood, found by another program."""
    mixture = _Mixture(board, {name: board.scores(name) for name in board.candidates.names})
    true, one = board.verified.argmax(axis=1), 1 / len(mixture.members)
    pieces = []
    for name in mixture.members:
        logits = board.logits(name)[:60].astype(np.float64)
        factors = np.exp(np.linspace(-2, 2, 4001))
        losses = [-log_softmax(f * logits)[np.arange(60), true].mean() for f in factors]
        pieces.append(log_softmax(factors[int(np.argmin(losses))] * logits))

    def loss(at: np.ndarray) -> float:
        weights, shifts = at[: len(pieces)], at[len(pieces) :]
        mixed = log_softmax(sum(w * piece for w, piece in zip(weights, pieces, strict=True)) + shifts)
        return float(-mixed[np.arange(60), true].sum() + 40 * ((weights - one) ** 2).sum() + 15 * (shifts**2).sum())

    found = minimize(loss, np.r_[np.full(len(pieces), one), np.zeros(CLASSES)], method="BFGS").x
    np.testing.assert_allclose(list(mixture.weights.values()), found[: len(pieces)], atol=2e-3)


def test_a_path_goes_on_where_its_best_point_is_an_end(board: _Board) -> None:
    went_on = 0
    for name in board.candidates.names:
        costs, first = board.costs(name), board.candidates.values[name]
        values = list(costs)
        assert [value for value in values if value in first] == list(first)
        best = min(values, key=lambda value: costs[value])
        inside = best not in (values[0], values[-1])
        assert inside or len(values) == len(first) + 2
        assert len(values) == len(first) or best not in first[1:-1]
        went_on += len(values) > len(first)
    assert went_on


def test_without_verified_images_and_noise_the_noisy_labels_are_kept() -> None:
    images, *_ = drawn(checked=0, wrong=0.0)
    result = contest(images)
    assert (result.selection, result.winner, result.judged) == (None, NOISY, 0)
    assert result.foretold is not None
    assert result.foretold.kept is None
    features = drawn(count=50, seed=8)[1]
    np.testing.assert_allclose(result.model.logits(features), result.noisy.logits(features), atol=0.05)


def test_without_verified_images_labels_that_go_wrong_by_class_are_noticed() -> None:
    images, *_ = drawn(checked=0, wrong=0.3)
    result = contest(images)
    assert (result.selection, result.winner, result.judged) == (None, FORWARD, 0)
    assert top_1(result.model) > top_1(result.noisy) + 0.05


def test_images_that_are_not_trained_on_judge_too() -> None:
    images, *_ = drawn(checked=60)
    _, features, true, _ = drawn(count=80, seed=5)
    targets = np.eye(CLASSES)[true]
    result = contest(images, Judges(ArrayBlocks(features), targets, np.ones_like(targets)))
    assert result.judged == 140
    assert result.selection is not None
    assert result.selection.scores == 140


def test_labels_that_count_nothing_have_no_influence() -> None:
    images, *_ = drawn(count=300, checked=0)
    counts = np.ones(300)
    counts[250:] = 0.0
    fewer = replace(images, labelled=counts)
    other = replace(fewer, noisy=images.noisy[np.r_[0:250, 249:199:-1]])
    np.testing.assert_array_equal(contest(fewer).model.kernel, contest(other).model.kernel)


def test_the_same_numbers_give_the_same_bits() -> None:
    images, *_ = drawn(count=160, checked=40)
    first, second = contest(images), contest(images)
    np.testing.assert_array_equal(first.model.kernel, second.model.kernel)
    assert first.winner == second.winner


def test_several_labels() -> None:
    """Half of all tags are missing: what a few images tell is worth more than a place among the others."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 5))
    truth = (features[:, :3] + 0.5 * rng.normal(size=(800, 3)) > 0.3).astype(np.uint8)
    noisy = truth * (rng.random(truth.shape) < 0.5)
    noisy[:, 0] = rng.random(800) < 0.4  # nothing to do with the class
    checked = np.arange(800) < 160
    images = Images(
        design=ArrayBlocks(features),
        task="multi-label",
        classes=3,
        noisy=csr_array(noisy.astype(np.uint8)),
        labelled=np.ones(800),
        verified=csr_array(truth * checked[:, None].astype(np.uint8)),
        known=csr_array(np.ones_like(truth) * checked[:, None].astype(np.uint8)),
        checked=checked,
    )
    result = contest(images)
    assert result.selection is not None
    assert result.winner == MIXTURE
    assert NOISY not in result.weights
    assert result.selection.better
    assert result.judged == 160
    assert result.selection.images_each == 4.0


def test_of_several_labels_members_are_near_the_best_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the order of entries all are alike here; by log-loss those are left out that are told from the best."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 4))
    truth = (features[:, :2] > 0).astype(np.uint8)
    checked = np.arange(300) < 60
    known = np.ones_like(truth) * checked[:, None].astype(np.uint8)
    images = Images(
        ArrayBlocks(features),
        "multi-label",
        2,
        csr_array(truth),
        np.ones(300),
        csr_array(truth * known),
        csr_array(known),
        checked,
    )
    board = _Board(Candidates(images), None)
    board.solve()
    alike = {name: np.zeros(40) for name in board.candidates.names}
    few, noise = {"weight 5": 0.0, "weight 20": -0.1}, rng.normal(size=60)
    monkeypatch.setattr(board, "likelihoods", lambda name: few.get(name, -1.0) + 0.5 * noise * (name != "weight 5"))
    assert _Mixture(board, alike).members == ["weight 5", "weight 20"]  # 0.1 behind with an error of 0.06; 1.0 is told
    only_noisy = {name: np.full(40, float(name == NOISY)) for name in alike}
    assert _Mixture(board, only_noisy).members == [NOISY], (
        "where no candidate is near both, the order of entries counts"
    )


def test_likelihoods_are_of_images_that_had_no_part_in_them() -> None:
    """Minus the mean over classes of the log-loss, as sure as the other folds show; by the definition."""
    images, *_ = drawn(count=160, checked=40)
    board = _Board(Candidates(images), None)
    board.solve()
    logits, true = board.logits(NOISY).astype(np.float64), images.true_class[images.checked]
    told = board.likelihoods(NOISY)
    for fold in range(5):
        own = np.flatnonzero(board.folds == fold)
        factor = board.factor(NOISY, np.flatnonzero(board.folds != fold))
        np.testing.assert_allclose(
            told[own], log_softmax(factor * logits[own])[np.arange(len(own)), true[own]], atol=1e-9
        )


@pytest.fixture(scope="module")
def board_of_right_labels() -> _Board:
    images, *_ = drawn(count=300, wrong=0.0, checked=30, seed=2)
    board = _Board(Candidates(images), None)
    board.solve()
    return board


def test_where_labels_are_right_all_images_judge(board_of_right_labels: _Board) -> None:
    """What a point costs is corrected by what all left-out images cost by their noisy labels, verified or not."""
    board = board_of_right_labels
    assert board.share > 0.99
    images, every = board.candidates.images, np.arange(300)
    transition = board.candidates.transition(images.checked)
    labels = np.r_[images.true_class[images.checked], images.noisy_class[~images.checked]]  # judging ones come first
    for value, cost in board.costs(NOISY).items():
        logits = board._logits[NOISY][value].astype(np.float64)
        factors = np.exp(np.linspace(-4, 4, 8001))
        losses = [-log_softmax(f * logits[:30])[np.arange(30), labels[:30]].mean() for f in factors]
        p = np.exp(log_softmax(factors[int(np.argmin(losses))] * logits))
        assert len(p) == 300
        by_noisy = -np.log((p @ transition)[every, labels])
        expected = min(losses) + board.share * (by_noisy.mean() - by_noisy[:30].mean())
        assert cost == pytest.approx(expected, abs=1e-3)


def test_who_is_not_verified_is_judged_by_what_has_not_seen_it(board_of_right_labels: _Board) -> None:
    """Logits of a witness come from a classifier that was solved without its fold: against scikit-learn's."""
    board = board_of_right_labels
    images, value = board.candidates.images, board.candidates.l2
    fold, own = 0, board._witness_folds == 0
    left = np.ones(300, bool)
    left[board._witnesses[own]] = False
    left[board._rows[board.folds == fold]] = False
    features = np.concatenate([part for _, part in images.design.blocks()])
    theirs = LogisticRegression(C=1 / (value * left.sum()), tol=1e-8, max_iter=2000)
    theirs.fit(features[left], images.noisy_class[left])
    logits = board._logits[NOISY][value][30:][own]
    ours = np.exp(log_softmax(logits.astype(np.float64)))
    np.testing.assert_allclose(ours, theirs.predict_proba(features[board._witnesses[own]]), atol=0.02)


def test_few_verified_images_do_not_spoil_labels_that_are_right() -> None:
    """25 of 700 labels, all right, are looked at: by these alone 0.6 and 1.2 points were lost with seeds 3 and 4."""
    lost = []
    for seed in (2, 3, 4, 5):
        features, true = _apart_by_class(700, seed)
        result = contest(images_of(features, true, true, np.arange(700) < 25))
        features, true = _apart_by_class(4000, seed + 100)
        kept, noisy = (np.mean(one.logits(features).argmax(axis=1) == true) for one in (result.model, result.noisy))
        lost.append(noisy - kept)
    assert np.mean(lost) < 0.003


def _apart_by_class(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(CLASSES, size=count)
    return 0.8 * np.eye(CLASSES, 30)[true] + 0.5 * rng.normal(size=(count, 30)), true
