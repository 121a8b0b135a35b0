"""Candidates compared on verified images, by classifiers that did not see them, and the classifier that comes of it.

Verified images that are trained on take turns at being left out, in folds; others judge what was fitted to all. Each
candidate brings the strength of regularisation that it does best with; where that is an end of what was tried, more is
tried. Of one label an image scores the negative tempered log-loss (``tempering``), the factor fitted on the other
folds. On several labels what counts is the order of all entries, which is no mean over images: there a score is a
pseudo-value of the mean of AP_all and mAP, by leaving out a group of images at a time (the jackknife; Miller 1974).

Where few are verified, the noisy labels of many images that are left out with them say more, as far as verified images
show that they can be believed (``control``). By 110 verified images alone, of labels that were all right, a strength
was chosen that lost 7 points.

A few hundred verified images seldom tell the best candidate from the next: which of them is ahead is chance, and costs
points. So the *mixture* is kept: the mean of the log-probabilities of all candidates within two standard errors of the
best, each as sure as verified images show it to be; on several labels within two of the best by log-loss, too, which
tells where the order of all entries does not. Of one label its weights, and a shift of each class, are fitted to
verified images under a ridge that holds them to the plain mean (``evidence``), and it is judged by cross-fitting, too.
Of linear classifiers it is one. Only where it is more than one standard error behind the best (of several labels two,
as its members may be) is it not kept, but the simplest candidate that is not.

Where none is verified, how well noisy labels are foretold chooses between the classifier of noisy labels and one that a
matrix of noise corrects (``foretelling``), or, where that would lose a class, the one of the labels that are left once
those that look wrong are dropped (``pruning``), which is a candidate like others where some are verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.estimation.candidates import FORWARD, NOISY, PRUNED, Candidates
from nlcli.estimation.control import controlled, noisy_scores, share_believed
from nlcli.estimation.criterion import GROUPS, cost, pseudo_values
from nlcli.estimation.cross_fitting import strata_of_tags, stratified_folds
from nlcli.estimation.design import RowBlocks
from nlcli.estimation.evidence import Combination, fit_combination
from nlcli.estimation.foretelling import Foretold, foretold
from nlcli.estimation.images import Images
from nlcli.estimation.linear_model import LinearModel, log_softmax
from nlcli.estimation.pruning import STRENGTH
from nlcli.estimation.selection import Difference, Selection, select
from nlcli.estimation.tempering import temperature, tempered_losses
from nlcli.seeds import stream

FOLDS = 5
MIXTURE = "mixture"
MEMBERS_BEHIND = 2.0
"""Standard errors that a member of the mixture may be behind the best candidate."""
RIDGE = (80.0, 30.0)
"""Of the deviations of weights from the plain mean, and of the shifts of classes, in images."""
_EXTENSIONS = 2
_WITNESSES = 3000
_WITNESS_VALUES = 1 << 20


@dataclass(frozen=True, eq=False)
class Judges:
    """Verified images that are not trained on.

    Attributes:
        design: Their features.
        verified, known: (m, C) arrays, as a ``Term`` has them.
        noisy: (m,) int64 their noisy labels, of one label an image, -1 where there is none; None: unknown.
    """

    design: RowBlocks
    verified: np.ndarray
    known: np.ndarray
    noisy: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Contest:
    """What came of comparing.

    Attributes:
        selection: All candidates and their mixture; None where no image is verified.
        winner: Name of what is kept.
        model: Its classifier, fitted to all training images.
        noisy: That of the noisy labels, at the strength that these prefer.
        l2, iterations, converged: Of that; of the mixture the strength of its heaviest member.
        costs: By name what each candidate costs at each strength, strong to weak, all judging images together.
        cost: Of what is kept; None where no image is verified.
        weights: Of the members of the mixture; empty where something else is kept.
        judged: How many images judged.
        foretold: Where no image is verified, how well noisy labels are foretold; None where that could not be asked.
    """

    selection: Selection | None
    winner: str
    model: LinearModel
    noisy: LinearModel
    l2: float
    iterations: int
    converged: bool
    costs: Mapping[str, Mapping[float, float]]
    cost: float | None
    weights: Mapping[str, float]
    judged: int
    foretold: Foretold | None = None


def contest(images: Images, judges: Judges | None = None) -> Contest:
    """Compare candidates on all verified images and solve what is kept."""
    candidates = Candidates(images)
    board = _Board(candidates, judges)
    if not board.judged:
        return _without_verified(candidates)
    board.solve()
    scores = {name: board.scores(name) for name in candidates.names}
    mixture = _Mixture(board, scores) if len(candidates.names) > 1 else None
    if mixture is not None:
        scores = {MIXTURE: mixture.scores()} | scores
    each = board.judged / len(scores[NOISY])
    behind = MEMBERS_BEHIND if images.task == "multi-label" else 1.0
    selection = select(scores, baseline=NOISY, errors_behind=behind, images_each=each)
    costs = {name: board.costs(name) for name in candidates.names}
    winner = selection.chosen
    if winner == MIXTURE:
        assert mixture is not None
        model, iterations, converged = mixture.final()
        weights, l2, own = mixture.weights, board.best[mixture.heaviest], mixture.cost()
    else:
        l2 = board.best[winner]
        model, iterations, converged = candidates.final(winner, l2)
        weights, own = {}, costs[winner][l2]
    noisy = candidates.noisy_model
    return Contest(selection, winner, model, noisy, l2, iterations, converged, costs, own, weights, board.judged)


def _without_verified(candidates: Candidates) -> Contest:
    """The classifier of noisy labels, or one of true classes where these foretell noisy labels better."""
    asked, plain = foretold(candidates), candidates.noisy_model
    if asked is not None and asked.kept is not None and asked.model is not None:
        l2, iterations, converged = asked.kept.l2, asked.iterations, asked.converged
        return Contest(None, FORWARD, asked.model, plain, l2, iterations, converged, {}, None, {}, 0, asked)
    winner, l2 = NOISY, candidates.l2
    if asked is not None and asked.by_class:
        winner, l2 = PRUNED, candidates.l2 * STRENGTH
    list(candidates.solved(winner, (l2,)))
    model, iterations, converged = candidates.final(winner, l2)
    return Contest(None, winner, model, plain, l2, iterations, converged, {}, None, {}, 0, asked)


def _tells(images: Images) -> np.ndarray:
    """(n,) bool, which images can judge."""
    if images.task == "multi-label":
        return images.checked
    return images.checked & (images.true_class >= 0)


class _Board:
    """What candidates say of all judging images without having seen them, and what that costs.

    Of one label an image, images that nobody verified are left out in turn, too: what candidates say of their noisy
    labels makes what they cost on the judging images vary less (``control``).

    Attributes:
        verified, known: (m, C) of the judging images.
        folds: (m,) int64.
        best: By name, the strength at which it costs least.
        share: How far noisy labels are believed, from 0 to 1.
    """

    def __init__(self, candidates: Candidates, judges: Judges | None) -> None:
        images = candidates.images
        self.candidates, self.task, self._judges = candidates, images.task, judges
        self._rows = np.flatnonzero(_tells(images))
        self.verified = np.asarray(images.verified[self._rows].toarray() > 0, np.float64)
        self.known = np.asarray(images.known[self._rows].toarray() > 0, np.float64)
        if judges is not None:
            self.verified = np.concatenate([self.verified, np.asarray(judges.verified, np.float64)])
            self.known = np.concatenate([self.known, np.asarray(judges.known, np.float64)])
        strata = self.verified.argmax(axis=1) if self.task == "single-label" else strata_of_tags(self.verified)
        self.folds = stratified_folds(strata, FOLDS) if self.judged else np.empty(0, np.int64)
        self._set_witnesses()
        self._logits: dict[str, dict[float, np.ndarray]] = {name: {} for name in candidates.names}
        self._scores: dict[tuple[str, float], tuple[np.ndarray, np.ndarray]] = {}
        self.best: dict[str, float] = {}
        self.share = 0.0

    def _set_witnesses(self) -> None:
        """Images whose noisy labels are asked, and the noisy labels of those that judge."""
        images = self.candidates.images
        rows, labels = np.empty(0, np.int64), np.full(self.judged, -1)
        if self.candidates.estimates_noise:
            rows = np.flatnonzero((images.beside > 0) & (images.noisy_class >= 0))
            most = min(_WITNESSES, _WITNESS_VALUES // images.classes)
            rows = np.sort(stream(0, "witnesses").permutation(rows)[:most])
            labels[: len(self._rows)] = images.noisy_class[self._rows]
            if self._judges is not None and self._judges.noisy is not None:
                labels[len(self._rows) :] = self._judges.noisy
        self._witnesses, self._labels = rows, labels
        self._witness_folds = stratified_folds(images.noisy_class[rows], FOLDS) if len(rows) else rows

    @property
    def judged(self) -> int:
        """How many images judge."""
        return len(self.verified)

    def solve(self) -> None:
        """Every candidate at its first strengths, and beyond them where the best one is an end."""
        self._cross(self.candidates.values)
        for _ in range(_EXTENSIONS):
            beyond = {name: value for name in self._logits if (value := self._beyond(name)) is not None}
            if not beyond:
                break
            self._cross({name: (value,) for name, value in beyond.items()})
        self.best = {name: self._least(name) for name in self._logits}

    def _beyond(self, name: str) -> float | None:
        """The strength after the best one, where that is the strongest or the weakest that was tried."""
        values, best = sorted(self._logits[name], reverse=True), self._least(name)
        if best == values[0]:
            return best * best / values[1]
        return best * best / values[-2] if best == values[-1] else None

    def _cross(self, values: Mapping[str, Sequence[float]]) -> None:
        """Solve candidates at ``values`` with all images, and without each fold."""
        images, own, judged = self.candidates.images, len(self._rows), self.judged
        for name, some in values.items():
            for value, model in zip(some, self.candidates.solved(name, some), strict=True):
                logits = np.zeros((judged + len(self._witnesses), images.classes), np.float32)
                if self._judges is not None:
                    logits[own:judged] = np.concatenate(
                        [model.logits(part) for _, part in self._judges.design.blocks()]
                    )
                self._logits[name][value] = logits
        for fold in range(FOLDS):
            turn = np.flatnonzero(self.folds[:own] == fold)
            witnesses = np.flatnonzero(self._witness_folds == fold)
            rows = np.concatenate([self._rows[turn], self._witnesses[witnesses]])
            if not len(rows):
                continue
            held = np.zeros(images.count, bool)
            held[rows] = True
            places = np.concatenate([turn, judged + witnesses])[np.argsort(rows)]
            for name, some in values.items():
                for value, model in zip(some, self.candidates.solved(name, some, held), strict=True):
                    self._logits[name][value][places] = images.logits(model, held)
        self.share = self._believed_share()

    def _believed_share(self) -> float:
        """By how the costs of two points differ on the same images, by their true and by their noisy labels."""
        if not len(self._witnesses):
            return 0.0
        labelled = self._labels >= 0
        pairs = [self._both(name, value) for name, of_name in self._logits.items() for value in of_name]
        judged = [(true[labelled], noisy[: self.judged][labelled]) for true, noisy in pairs]
        return share_believed([true for true, _ in judged], [noisy for _, noisy in judged])

    def _both(self, name: str, value: float) -> tuple[np.ndarray, np.ndarray]:
        """(m,) scores by what is verified and (m + N,) by noisy labels, as sure as all judging images show it to be."""
        key = name, value
        if key not in self._scores:
            logits = self._logits[name][value]
            mixed = self._factor(logits[: self.judged], slice(None)) * logits.astype(np.float64)
            self._scores[key] = self._likelihoods(mixed), self._noisy_scores(mixed)
        return self._scores[key]

    def costs(self, name: str) -> dict[float, float]:
        """By strength, strong to weak, what it costs, all images together."""
        return {value: self._cost(name, value) for value in sorted(self._logits[name], reverse=True)}

    def _cost(self, name: str, value: float) -> float:
        if not self.share:
            return cost(self.task, self._logits[name][value][: self.judged], self.verified, self.known)
        true, noisy = self._both(name, value)
        return -float(self._controlled(true, noisy).mean())

    def cost_of(self, logits: np.ndarray) -> float:
        """Of (m + N, C) logits, of the judging images and of the witnesses."""
        judged = logits[: self.judged]
        if not self.share:
            return cost(self.task, judged, self.verified, self.known)
        return -float(self.scores_of(self._factor(judged, slice(None)) * logits.astype(np.float64)).mean())

    def _controlled(self, true: np.ndarray, noisy: np.ndarray) -> np.ndarray:
        return controlled(true, noisy[: self.judged], noisy[self.judged :], self.share)

    def _least(self, name: str) -> float:
        costs = self.costs(name)
        return min(costs, key=lambda value: costs[value])

    def logits(self, name: str) -> np.ndarray:
        """(m + N, C) at the best strength."""
        return self._logits[name][self.best[name]]

    def factor(self, name: str, rows: np.ndarray) -> float:
        """What makes its logits as sure as the images ``rows`` show them to be."""
        return self._factor(self.logits(name)[rows], rows)

    def _factor(self, logits: np.ndarray, rows: np.ndarray | slice) -> float:
        return temperature(self.task, logits, self.verified[rows], self.known[rows])

    def turns(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Each fold's images and witnesses, and all other images, by which what is asked of them is fitted."""
        turns = []
        for fold in np.unique(self.folds):
            own, others = np.flatnonzero(self.folds == fold), np.flatnonzero(self.folds != fold)
            witnesses = self.judged + np.flatnonzero(self._witness_folds == fold)
            turns.append((np.concatenate([own, witnesses]), others if len(others) else own))
        return turns

    def scores(self, name: str) -> np.ndarray:
        """One an image, or one a group of images."""
        return self.scores_of(self.logits(name) if self.task == "multi-label" else self._as_sure(name))

    def likelihoods(self, name: str) -> np.ndarray:
        """(m,) of what is verified, each image as sure as the other folds show the candidate to be."""
        return self._likelihoods(self._as_sure(name))

    def _as_sure(self, name: str) -> np.ndarray:
        logits = self.logits(name)
        mixed = np.zeros(logits.shape)
        for own, others in self.turns():
            mixed[own] = self.factor(name, others) * logits[own].astype(np.float64)
        return mixed

    def scores_of(self, logits: np.ndarray) -> np.ndarray:
        """The same of (m + N, C) logits, of one label as sure as they are."""
        if self.task == "single-label":
            true = self._likelihoods(logits)
            return self._controlled(true, self._noisy_scores(logits)) if self.share else true
        groups = np.arange(self.judged) % min(GROUPS, self.judged)
        groups = groups[np.argsort(np.argsort(self.folds, kind="stable"), kind="stable")]
        return pseudo_values(logits, self.verified, self.known, groups)

    def _likelihoods(self, logits: np.ndarray) -> np.ndarray:
        """(m,) of what is verified."""
        return -tempered_losses(self.task, logits[: self.judged], self.verified, self.known, 1.0)

    def _noisy_scores(self, logits: np.ndarray) -> np.ndarray:
        """(m + N,) of noisy labels; nan where an image has none."""
        images = self.candidates.images
        labels = np.concatenate([self._labels, images.noisy_class[self._witnesses]])
        scores = noisy_scores(log_softmax(logits), np.maximum(labels, 0), self.candidates.transition(images.checked))
        return np.where(labels >= 0, scores, np.nan)


class _Mixture:
    """The mean of the log-probabilities of candidates that verified images do not tell from the best.

    Attributes:
        members: Their names.
    """

    def __init__(self, board: _Board, scores: Mapping[str, np.ndarray]) -> None:
        self._board = board
        self.members = _near_the_best(scores)
        if board.task == "multi-label":  # where the order of entries tells little, how likely they are may tell
            likely = _near_the_best({name: board.likelihoods(name) for name in scores})
            self.members = [name for name in self.members if name in likely] or self.members
        self._named: np.ndarray = (board.verified * board.known).max(axis=1) > 0
        every = np.arange(board.judged)
        self._factors, self._combination = self._fitted(every)

    def _fitted(self, rows: np.ndarray) -> tuple[np.ndarray, Combination]:
        """A factor for each member's logits, and their weights, by the images ``rows``."""
        board = self._board
        factors = np.array([board.factor(name, rows) for name in self.members])
        expected = np.full(len(self.members), 1 / len(self.members))
        named = rows[self._named[rows]]
        if board.task == "multi-label" or not len(named):
            return factors, Combination(expected, np.zeros(board.verified.shape[1]))
        true = board.verified[named].argmax(axis=1)
        return factors, fit_combination(self._pieces(factors, named), true, expected, RIDGE)

    def _pieces(self, factors: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """What each member says of the images ``rows``, as sure as its factor makes it."""
        named = zip(self.members, factors, strict=True)
        logits = [factor * self._board.logits(name)[rows].astype(np.float64) for name, factor in named]
        return logits if self._board.task == "multi-label" else [log_softmax(own) for own in logits]

    def _mixed(self, factors: np.ndarray, combination: Combination, rows: np.ndarray) -> np.ndarray:
        pieces = np.stack(self._pieces(factors, rows))
        mixed: np.ndarray = np.einsum("k,knc->nc", combination.weights, pieces) + combination.shifts
        return mixed

    def scores(self) -> np.ndarray:
        """As the board has them: of one label each image by weights that were fitted without it."""
        board = self._board
        if board.task == "multi-label":
            return board.scores_of(self._all_mixed())
        mixed = self._all_mixed()
        for own, others in board.turns():
            mixed[own] = self._mixed(*self._fitted(others), own)
        return board.scores_of(mixed)

    def cost(self) -> float:
        """Of all images together."""
        return self._board.cost_of(self._all_mixed())

    def _all_mixed(self) -> np.ndarray:
        every = np.arange(len(self._board.logits(self.members[0])))
        return self._mixed(self._factors, self._combination, every)

    @property
    def weights(self) -> dict[str, float]:
        """By name."""
        return dict(zip(self.members, self._combination.weights.tolist(), strict=True))

    @property
    def heaviest(self) -> str:
        """The member with the largest weight."""
        return self.members[int(np.argmax(self._combination.weights))]

    def final(self) -> tuple[LinearModel, int, bool]:
        """Its classifier, the iterations of all members together, and whether all of them converged."""
        board, classes = self._board, len(self._combination.shifts)
        kernel = np.zeros((board.candidates.images.design.shape[1], classes))
        bias, iterations, converged = self._combination.shifts.astype(np.float64), 0, True
        for name, factor, weight in zip(self.members, self._factors, self._combination.weights, strict=True):
            model, took, whole = board.candidates.final(name, board.best[name])
            kernel += weight * factor * model.kernel
            bias = bias + weight * factor * model.bias
            iterations, converged = iterations + took, converged and whole
        return LinearModel(kernel, bias, board.task), iterations, converged


def _near_the_best(scores: Mapping[str, np.ndarray]) -> list[str]:
    """The names of those within ``MEMBERS_BEHIND`` standard errors of the one with the highest mean."""
    best = scores[max(scores, key=lambda name: float(np.mean(scores[name])))]
    behind = {name: Difference.of(best, own) for name, own in scores.items()}
    return [name for name, gap in behind.items() if gap.mean <= 0 or gap.mean <= MEMBERS_BEHIND * gap.error]
