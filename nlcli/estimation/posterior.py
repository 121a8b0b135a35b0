"""True classes of images with one noisy label each, and the classifier that learns from what is believed of them.

The steps, for a classifier p(c | x) that is a soft-max of linear logits, and T[c, j] = P(noisy label j | true class c):

1. Classifiers of the labels as they are, verified ones in their place, for each fold (``start``).
2. T by expectation and maximisation from what these say of images that they have not seen, made as sure as verified
   images show it to be (``nlcli.estimation.transition``); without verified images by confident counts.
3. Classifiers of the true class for each fold, from the start of 1: a noisy label j costs ``-log sum_c p(c | x)
   T[c, j]`` (Patrini et al. 2017, forward correction), a verified class ``-log p(c | x)``. The regularisation is the
   point of a path where verified images cost least; points at which a class got lost are passed over.
4. ``p(c | x, j) ~ p(c | x)^a T[c, j]^b`` by classifiers that have not seen the image, with exponents from the verified
   images (``nlcli.estimation.evidence``).
5. A classifier fitted to these posteriors, verified images being themselves; the result is the mean of its logits and
   of those of 3, fitted to all images.

Where 3 makes verified images (without any, the noisy labels of images that were not seen) no likelier than 1 did, the
result is that of 1.

References:
    Patrini et al. 2017, section 4.2, for the corrected loss; Xiao et al. 2015, eq. (5), for the posterior of the true
    class; Hendrycks et al. 2018, for verified labels beside a corrected loss; Northcutt et al. 2021, for confident
    counts and out-of-fold probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlcli.estimation.design import ChosenBlocks, RowBlocks
from nlcli.estimation.evidence import Combined, bounded_log, combine
from nlcli.estimation.linear_model import LinearModel, log_softmax
from nlcli.estimation.objective import Term
from nlcli.estimation.observed import Observed, corrected_terms, plain_term, transition_of
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import Solution, solve
from nlcli.estimation.tempering import tempered_class_losses
from nlcli.estimation.transition import counted_transition

WEIGHTS = (1.5, 0.7)
"""Expected exponents of p(c | x) and of T: about what verified images of several data sets gave."""
COUNTS = (1.0, 5.0, 20.0)
"""What a verified image may count in the corrected loss; the next one is tried where the one before it helped."""
FEWEST = 20
"""Verified images with a known class below which they choose nothing."""
_POINTS = 6
_PATIENCE = 2
_STEP = 10**-0.5
_TOLERANCE = 1e-4
_REFIT = 1 / 3
_LOST = 0.1
_SHARES = 10
_FEW = 3


@dataclass(frozen=True, eq=False)
class Apart:
    """Verified images that nothing is fitted to.

    Attributes:
        design: (m, D) their features.
        true: (m,) int64 their classes.
    """

    design: RowBlocks
    true: np.ndarray

    def log_probabilities(self, models: Sequence[LinearModel]) -> np.ndarray:
        """(m, C) by the mean of ``models``."""
        mean = mean_model(models)
        return np.concatenate([mean.log_probabilities(part) for _, part in self.design.blocks()])


@dataclass(frozen=True, eq=False)
class Believed:
    """What is believed of the images, and by what.

    Attributes:
        log_prior: (n, C) log p(c | x) by a classifier that has not seen the image.
        log_transition: (n, C) log T[c, noisy label]; of a verified image by a T that it had no part in.
        combined: log p(c | x, noisy label), and the exponents.
        transition: (C, C) T [true, noisy] that classifiers were fitted with.
        models: Classifiers of the true class by fold.
        corrected: Whether they are corrected by T; else they are the classifiers of the labels as they are.
        l2: Their regularisation.
        weight: What a verified image counts for them.
        notes: How they were chosen, as JSON values.
    """

    log_prior: np.ndarray
    log_transition: np.ndarray
    combined: Combined
    transition: np.ndarray
    models: tuple[LinearModel, ...]
    corrected: bool
    l2: float
    weight: float
    notes: dict[str, Any] = field(default_factory=dict)

    def estimated_transition(self, observed: Observed) -> np.ndarray:
        """(C, C) T by what is believed now, nearer to the truth than the one that classifiers were fitted with."""
        rows = np.flatnonzero(observed.true < 0)
        return counted_transition(self.soft_labels(observed)[rows], observed.noisy[rows], observed.pairs())

    def soft_labels(self, observed: Observed) -> np.ndarray:
        """(n, C) what a classifier can be fitted to: posteriors, with verified images as they are."""
        labels: np.ndarray = np.exp(self.combined.log_probabilities)
        wrong, known = np.flatnonzero(observed.wrong), observed.verified
        labels[wrong, observed.noisy[wrong]] = 0.0
        labels[wrong] /= np.maximum(labels[wrong].sum(axis=1, keepdims=True), 1e-30)
        labels[known] = 0.0
        labels[known, observed.true[known]] = 1.0
        return labels


def believe(
    design: RowBlocks,
    observed: Observed,
    folds: np.ndarray,
    start: Sequence[LinearModel],
    l2: float,
    *,
    weight: float = 1.0,
    apart: Apart | None = None,
    preconditioner: Preconditioner | None = None,
    evidence: Sequence[np.ndarray] = (),
    expected: Sequence[float] = (),
) -> Believed:
    """Steps 2 to 4 of the module's docstring.

    Args:
        design: (n, D) features as classifiers see them.
        folds: (n,) fold of each image, from 0 on.
        start: Classifier of the labels as they are by fold, fitted without its images.
        l2: Their regularisation, from which the path goes on to weaker ones.
        weight: What a verified image counts for them.
        apart: Verified images that nothing is fitted to: they choose, together with those that are left out in turn.
        evidence: More that is known of the images, (n, C) logarithms each, such as of their neighbours' votes.
        expected: Weights that each piece of it is expected to have.
    """
    preconditioner = preconditioner or Preconditioner(design)
    plain = log_softmax(logits_of_folds(design, start, folds))
    path = _Path(design, observed, folds, start, l2, preconditioner, plain, apart)
    transition = transition_of(plain, observed, path.factor(plain, start))
    chosen = path.chosen(transition)
    corrected = chosen is not None
    if chosen is None:
        chosen = _Point(plain, tuple(start), l2, weight, np.empty(0))
    factor = path.factor(chosen.log_p, chosen.models)
    if corrected and factor is not None:
        transition = transition_of(chosen.log_p, observed, factor, transition)
    log_prior = chosen.log_p
    log_transition = _crossed_log_transition(log_prior, observed, folds, transition, factor)
    pieces = [bounded_log(np.exp(log_prior)), log_transition, *evidence]
    combined = combine(pieces, observed.true, folds, np.array([*WEIGHTS, *expected]))
    return Believed(
        log_prior,
        log_transition,
        combined,
        transition,
        chosen.models,
        corrected,
        chosen.l2,
        chosen.weight,
        path.notes,
    )


@dataclass(frozen=True, eq=False)
class Classifier:
    """The classifier that comes of it.

    Attributes:
        iterations: Of its solutions together.
        converged: Whether all of them did.
    """

    model: LinearModel
    iterations: int
    converged: bool


def classifier(
    design: RowBlocks, observed: Observed, believed: Believed, preconditioner: Preconditioner | None = None
) -> Classifier:
    """Step 5, one classifier from what is believed; where nothing is corrected, that of the labels as they are."""
    preconditioner = preconditioner or Preconditioner(design)

    def solved(terms: Sequence[Term], l2: float, start: LinearModel) -> Solution:
        return solve(design, terms, "single-label", observed.classes, l2, start=start, preconditioner=preconditioner)

    start = mean_model(believed.models)
    if not believed.corrected:
        plain = solved([plain_term(observed, believed.weight)], believed.l2, start)
        return Classifier(plain.model, plain.iterations, plain.converged)
    terms = corrected_terms(observed, believed.transition, believed.weight)
    fitted = solved(terms, believed.l2, start)
    alike = observed.weights is None and observed.counts is None
    soft = Term(believed.soft_labels(observed), None if alike else _refit_weights(observed))
    refitted = solved([soft], believed.l2 * _REFIT, fitted.model)
    return Classifier(
        mean_model((fitted.model, refitted.model)),
        fitted.iterations + refitted.iterations,
        fitted.converged and refitted.converged,
    )


def _refit_weights(observed: Observed) -> np.ndarray:
    """A verified image counts 1, others what their labels do: a posterior is no surer than the label that it is of."""
    known = observed.true >= 0
    weights: np.ndarray = observed.of_noisy(~known) + observed.of_verified(known)
    return weights


def mean_model(models: Sequence[LinearModel]) -> LinearModel:
    """The classifier whose logits are the mean of those of ``models``."""
    kernel = np.mean([model.kernel for model in models], axis=0)
    return LinearModel(kernel, np.mean([model.bias for model in models], axis=0), models[0].task)


def logits_of_folds(design: RowBlocks, models: Sequence[LinearModel], folds: np.ndarray) -> np.ndarray:
    """(n, C) float32 of each image by the model of its fold."""
    logits = np.empty((design.shape[0], len(models[0].bias)), np.float32)
    for first, part in design.blocks():
        own = folds[first : first + len(part)]
        for number, model in enumerate(models):
            inside = np.flatnonzero(own == number)
            if len(inside):
                logits[first + inside] = model.logits(part[inside])
    return logits


def lost_classes(log_probabilities: np.ndarray, observed: Observed, plain: np.ndarray) -> np.ndarray:
    """int64 classes that a corrected classifier hardly ever predicts, or has given to images of others.

    Of a class with a share s among the labels (among verified images, where there are enough) fewer than s / 10 of
    the images are predicted; or of the images that classifiers of the labels as they are hold most surely to be of the
    class, a tenth of those that they predict, fewer than half are.

    Args:
        log_probabilities, plain: (n, C) of the corrected classifiers and of those of the labels as they are.
    """
    classes = observed.classes
    most_probable, before = log_probabilities.argmax(axis=1), plain.argmax(axis=1)
    predicted = np.bincount(most_probable, minlength=classes) / len(log_probabilities)
    known = observed.true[observed.verified]
    enough = len(known) >= _SHARES * classes
    counts = np.bincount(known if enough else observed.noisy[observed.noisy >= 0], minlength=classes)
    expected = np.where(counts >= _FEW, counts, 0) / max(1, counts.sum())
    lost = predicted < _LOST * expected
    for c in range(classes):
        of_class = np.flatnonzero(before == c)
        count = len(of_class) // 10
        if count >= _FEW:
            surest = of_class[np.argsort(-plain[of_class, c], kind="stable")[:count]]
            lost[c] |= np.mean(most_probable[surest] == c) < 0.5
    return np.flatnonzero(lost)


# --- the steps -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Point:
    """Classifiers by fold, what they say of images that they have not seen, and what they cost."""

    log_p: np.ndarray
    models: tuple[LinearModel, ...]
    l2: float
    weight: float
    costs: np.ndarray


class _Path:
    """Corrected classifiers from the regularisation of the plain ones to weaker ones."""

    def __init__(
        self,
        design: RowBlocks,
        observed: Observed,
        folds: np.ndarray,
        start: Sequence[LinearModel],
        l2: float,
        preconditioner: Preconditioner,
        plain: np.ndarray,
        apart: Apart | None,
    ) -> None:
        self._design, self._observed, self._folds, self._start = design, observed, folds, start
        self._l2, self._preconditioner, self._plain = l2, preconditioner, plain
        self._known, self._apart = observed.verified, apart
        self._tells = len(self._known) + (0 if apart is None else len(apart.true)) >= FEWEST
        self._points: list[dict[str, Any]] = []
        self.notes: dict[str, Any] = {}

    def chosen(self, transition: np.ndarray) -> _Point | None:
        """The point that costs least of those that lose no class; None where the plain classifiers cost no more."""
        best: _Point | None = None
        for weight in COUNTS if self._tells else COUNTS[:1]:
            before = best
            first, models = (self._l2, tuple(self._start)) if best is None else (best.l2, best.models)
            best = self._along(transition, first, weight, models, best)
            if best is before:
                break
        plain = self._costs(self._plain, self._start, None)
        self.notes |= {"chosen_by": self._chosen_by, "plain_cost": float(plain.mean()), "path": self._points}
        if best is None:
            return None
        gain = plain - best.costs
        error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
        self.notes |= {"gain": float(gain.mean()), "standard_error": error}
        return best if gain.mean() > 0 else None

    def _along(
        self,
        transition: np.ndarray,
        l2: float,
        weight: float,
        models: tuple[LinearModel, ...],
        best: _Point | None,
    ) -> _Point | None:
        """``best`` or what is better than it, from ``l2`` on; two points in a row that are not end it."""
        worse = 0
        for number in range(_POINTS):
            value = l2 * _STEP**number
            log_p, models, iterations = self._solved(transition, value, weight, models)
            point = _Point(log_p, models, value, weight, self._costs(log_p, models, transition))
            lost, cost = lost_classes(log_p, self._observed, self._plain), float(point.costs.mean())
            told = {"l2": value, "weight": weight, "iterations": iterations, "cost": cost}
            self._points.append(told | {"lost_classes": lost.tolist()})
            if not len(lost) and (best is None or cost < best.costs.mean()):
                best, worse = point, 0
                continue
            worse += 1
            if worse == _PATIENCE:
                break
        return best

    @property
    def _chosen_by(self) -> str:
        return "verified images" if self._tells else "noisy labels"

    def factor(self, log_p: np.ndarray, models: Sequence[LinearModel]) -> float | None:
        """What makes log-probabilities as sure as verified images show them to be; None where too few can tell."""
        return tempered_class_losses(*self._judged(log_p, models))[0] if self._tells else None

    def _judged(self, log_p: np.ndarray, models: Sequence[LinearModel]) -> tuple[np.ndarray, np.ndarray]:
        """Verified images: log p by classifiers that have not seen them, and their classes."""
        known, true = log_p[self._known].astype(np.float64), self._observed.true[self._known]
        if self._apart is None:
            return known, true
        others = self._apart.log_probabilities(models).astype(np.float64)
        return np.concatenate([known, others]), np.concatenate([true, self._apart.true])

    def _costs(self, log_p: np.ndarray, models: Sequence[LinearModel], transition: np.ndarray | None) -> np.ndarray:
        """What decides between classifiers: verified classes at the best temperature, else noisy labels."""
        observed = self._observed
        if self._tells:
            return tempered_class_losses(*self._judged(log_p, models))[1]
        rows = np.flatnonzero(observed.noisy >= 0)
        noisy = observed.noisy[rows]
        if transition is None:
            plain: np.ndarray = -log_p[rows, noisy].astype(np.float64)
            return plain
        likelihood = np.einsum("nc,nc->n", np.exp(log_p[rows]), transition.T[noisy], dtype=np.float64)
        return np.asarray(-np.log(np.maximum(likelihood, 1e-30)))

    def _solved(
        self, transition: np.ndarray, l2: float, weight: float, start: Sequence[LinearModel]
    ) -> tuple[np.ndarray, tuple[LinearModel, ...], int]:
        """log p (n, C) of images left out in turn, the models, and the most iterations that one took."""
        terms = corrected_terms(self._observed, transition, weight)
        models, iterations = [], 0
        for number, model in enumerate(start):
            kept = self._folds != number
            solution = solve(
                ChosenBlocks(self._design, kept),
                [term.of_rows(np.flatnonzero(kept)) for term in terms],
                "single-label",
                self._observed.classes,
                l2,
                start=model,
                tolerance=_TOLERANCE,
                preconditioner=self._preconditioner,
            )
            models.append(solution.model)
            iterations = max(iterations, solution.iterations)
        return log_softmax(logits_of_folds(self._design, models, self._folds)), tuple(models), iterations


def _crossed_log_transition(
    log_p: np.ndarray, observed: Observed, folds: np.ndarray, transition: np.ndarray, factor: float | None
) -> np.ndarray:
    """(n, C) log T[c, noisy label]; of a verified image by a T that its own pair had no part in."""
    result: np.ndarray = bounded_log(transition).astype(log_p.dtype).T[observed.noisy]
    known = observed.verified
    for number in [] if factor is None else np.unique(folds[known]):
        inside = known[folds[known] == number]
        hidden = observed.true.copy()
        hidden[inside] = -1
        # They stay out of the others, too: as images whose class is not known they would be counted as such.
        kept = np.flatnonzero((hidden >= 0) | (observed.true < 0))
        others = Observed(observed.noisy[kept], hidden[kept], observed.wrong[kept], observed.classes)
        matrix = transition_of(log_p[kept], others, factor, transition)
        result[inside] = bounded_log(matrix).T[observed.noisy[inside]]
    result[observed.noisy < 0] = 0.0  # no label, and nothing that it says
    return result
