"""Linear classifiers that a small verified set may prefer, each with the terms that it is fitted to.

========== ==============================================================================================
noisy      the noisy labels of all images, nothing else
weight w   verified labels in place of noisy ones, each counting ``w``
forward    one label: a noisy label j costs -log sum_c p(c | x) T[c, j] (Patrini et al. 2017, forward
           correction), a verified one as before. T is found by expectation and maximisation from the
           out-of-fold probabilities of a classifier that has seen no verified label, with verified pairs
forward 5  the same, a verified label counting five times
posterior  one label: soft labels ~ p(c | x) T[c, j]^0.7 in place of the noisy ones
pruned     one label: those noisy labels that are left once those that look wrong are dropped (``pruning``), a
           verified one as it is
pruned 5   the same, a verified label counting five times
========== ==============================================================================================

All of these are solved for several strengths of regularisation from the same start, so that a whole contest costs
little more than one path. Which images' verification may be used is said for every fit, so that those left out judge.
No fit without an image starts at one that has seen it (``cross_fitting.Beginning`` says why).
What is known of images with one label, and what is fitted to it, is that of ``observed``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from nlcli.estimation.cross_fitting import strata_of_tags, stratified_folds
from nlcli.estimation.images import TOLERANCE, Images
from nlcli.estimation.linear_model import LinearModel, log_softmax
from nlcli.estimation.objective import Term, Unknown
from nlcli.estimation.observed import Observed, corrected_terms, posterior, transition_of
from nlcli.estimation.path import path_values
from nlcli.estimation.pruning import weights_left
from nlcli.estimation.tempering import tempered_class_losses, tempered_losses

NOISY = "noisy"
FORWARD, FORWARD_5, POSTERIOR = "forward", "forward 5", "posterior"
PRUNED, PRUNED_5 = "pruned", "pruned 5"
WEIGHTS = (1, 5, 20)
"""What a verified image may count beside one with a noisy label."""
_SURER = (FORWARD, FORWARD_5, POSTERIOR, PRUNED, PRUNED_5)
NEAR = (10**0.5, 1.0, 10**-0.5)
"""Strengths, as factors on the one that noisy labels prefer, at which a candidate is solved at first."""
WEAKER = (1.0, 10**-0.5, 0.1)
"""The same of those that know of wrong labels: these must be surer than a classifier of noisy labels."""
WIDE = (100.0, 10.0, *NEAR, 0.1)
"""The same of several labels, where those of another classifier are easily predicted and say less about strength."""
EXPONENTS = (1.0, 0.7)
"""Of p(c | x), as sure as verified images show it to be, and of T in what is believed: a label that T is asked of is
worth less than Bayes' rule has it where hard images were hard to label, too."""
MOST_CLASSES = 500
"""Up to which a matrix of noise is estimated."""
_FOLDS = 4
_JUDGES = 6000
_DENSE = 1 << 23
_BELIEFS = 1 << 26
_ROUNDS = 2
_ROUND_STRENGTH = 10**-0.5
_ROUND_FOLDS = 2
_STILL = 0.005
_HELD = 1 << 28
"""Bytes of what is kept of fits without some images, priors and models each."""
_STRENGTHS = tuple(float(10.0 ** (-0.5 * i)) for i in range(4, 13))


class Candidates:
    """Candidates for ``images``, solved with or without the verification of some of them.

    Attributes:
        names: The simplest first.
        l2: The strength that noisy labels prefer.
        values: By name, the strengths at which each is solved at first, strong to weak.
        estimates_noise: Whether there is a T, found with verified images.
        noise_by_counts: Whether there is one although nothing is verified, that of confident counts.
        folds: (n,) int64 of the images whose noisy labels are fitted without any verified one; -1 of all others.
    """

    def __init__(self, images: Images) -> None:
        self.images = images
        some = images.checked.any()
        self._apart = bool(images.beside.sum() >= 0.1 * max(images.labelled.sum(), 1e-300))
        weighted = [f"weight {weight}" for weight in WEIGHTS] if some else []
        self.names: tuple[str, ...] = (NOISY, *weighted)
        small = images.classes <= MOST_CLASSES and images.count * images.classes <= _BELIEFS
        single = bool(self._apart and images.task == "single-label" and small)
        self.estimates_noise, self.noise_by_counts = bool(some and single), bool(not some and single)
        if self.estimates_noise:
            self.names = (NOISY, "weight 1", FORWARD, "weight 5", FORWARD_5, POSTERIOR, PRUNED, PRUNED_5, "weight 20")
        self.folds = self._noisy_folds()
        self._start, self.l2, self._of_fold = self._noisy_path()
        self.values: dict[str, tuple[float, ...]] = {name: self._first_values(name) for name in self.names}
        self._full: dict[tuple[str, float], LinearModel] = {}
        self._noise_of: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self._noisy_models: dict[bytes, LinearModel] = {}

    def _first_values(self, name: str) -> tuple[float, ...]:
        of_one = WEAKER if name in _SURER else NEAR
        factors: Sequence[float] = WIDE if self.images.task == "multi-label" else of_one
        return tuple(self.l2 * factor for factor in factors)

    @property
    def noisy_model(self) -> LinearModel:
        """The classifier of noisy labels, at ``l2``."""
        return self._start

    # --- what noisy labels alone say ---

    def _noisy_folds(self) -> np.ndarray:
        """Folds of the images whose noisy labels are fitted without any verified one; -1 of all others."""
        images, folds = self.images, np.full(self.images.count, -1)
        rows = np.flatnonzero(self._base_weights() > 0)
        strata = images.noisy_class[rows] if images.task == "single-label" else strata_of_tags(images.noisy[rows])
        folds[rows] = stratified_folds(strata, _FOLDS)
        return folds

    def _base_weights(self) -> np.ndarray:
        return self.images.beside if self._apart else self.images.labelled

    def _noisy_path(self) -> tuple[LinearModel, float, LinearModel]:
        """The classifier of noisy labels, its strength, and that without the first fold, which chose it."""
        images, weights = self.images, self._base_weights()
        judges = np.flatnonzero(self.folds == 0)
        judges = judges[:: max(1, len(judges) // _JUDGES)]
        judging = np.zeros(images.count, bool)
        judging[judges] = True
        goal = np.asarray(images.noisy[judging].toarray() > 0, np.float64)
        whole = apart = None
        best: tuple[float, LinearModel, float, LinearModel] | None = None
        worse = 0
        for value in path_values(images.design, _STRENGTHS):
            whole = self._solved([Term(images.noisy, weights)], value, whole)
            apart = self._solved([Term(images.noisy, np.where(self.folds == 0, 0.0, weights))], value, apart)
            cost = float(tempered_losses(images.task, images.logits(apart, judging), goal, np.ones_like(goal)).mean())
            if best is None or cost < best[0]:
                best, worse = (cost, whole, value, apart), 0
            else:
                worse += 1
            if worse == 2:
                break
        assert best is not None
        return best[1], best[2], best[3]

    @cached_property
    def noisy_logits(self) -> np.ndarray:
        """(n, C) logits of noisy labels, by classifiers that saw neither the image nor anything verified."""
        images = self.images

        def without(fold: int, held: np.ndarray) -> LinearModel:
            if not fold:
                return self._of_fold
            return self._noisy_without(held)

        return images.left_out(self.folds, self._start, without)

    # --- candidates ---

    def solved(
        self, name: str, values: Sequence[float], held: np.ndarray | None = None, *, afresh: bool = False
    ) -> Iterator[LinearModel]:
        """Candidate ``name`` at each of ``values``.

        Args:
            held: (n,) bool, images that no term counts, verified or not. T is that of what is verified of the others,
                and of all noisy labels.
            afresh: Each starts at the classifier of noisy labels, and not where the one before may have lost a class.
        """
        used = self.images.checked if held is None else self.images.checked & ~held
        terms, first = self._terms(name, used, held), self._start if held is None else self._noisy_without(held)
        near = [value for other, value in self._full if other == name and held is None]
        nearest = min(near, key=lambda value: abs(value - values[0]), default=None)
        model = first if nearest is None else self._full[name, nearest]
        for value in values:
            model = self._solved(terms, value, first if afresh else model)
            if held is None:
                self._full[name, value] = model
            yield model

    def _noisy_without(self, held: np.ndarray) -> LinearModel:
        """The classifier of the noisy labels of all images but ``held`` (n,) bool, at ``l2``."""
        key = np.packbits(held).tobytes()
        if key not in self._noisy_models:
            model = self._solved([Term(self.images.noisy, _without(self._base_weights(), held))], self.l2, None)
            _make_room(self._noisy_models, model.kernel.nbytes)
            self._noisy_models[key] = model
        return self._noisy_models[key]

    def final(self, name: str, value: float) -> tuple[LinearModel, int, bool]:
        """A candidate solved to the end on all images, its iterations, and whether it converged."""
        terms = self._terms(name, self.images.checked, None)
        solution = self.images.solved(terms, value, self._full[name, value])
        return solution.model, solution.iterations, solution.converged

    def _terms(self, name: str, used: np.ndarray, held: np.ndarray | None) -> Sequence[Term]:
        """What ``name`` is fitted to."""
        images = self.images
        beside = _without(images.beside, held)
        if name == NOISY:
            return [Term(images.noisy, _without(images.labelled, held))]
        if name in (FORWARD, FORWARD_5):
            observed = replace(images.observed(used), weights=beside)
            return corrected_terms(observed, self.transition(used), 1.0 if name == FORWARD else 5.0)
        if name == POSTERIOR:
            return [Term(self._believed(used), beside), self._clean(used)]
        if name in (PRUNED, PRUNED_5):
            clean = [self._clean(used, 1.0 if name == PRUNED else 5.0)] if used.any() else []
            return [Term(images.noisy, _without(self.left, held)), *clean]
        return self._weighted(float(name.rpartition(" ")[2]), used, held)

    def _weighted(self, weight: float, used: np.ndarray, held: np.ndarray | None) -> Sequence[Term]:
        """Noisy labels where nothing is known, and verified ones."""
        images = self.images
        beside = _without(images.beside, held)
        if self._one_of_each is not None:
            return [Term(self._one_of_each, beside + weight * images.of_verified(used))]
        if images.task == "single-label":
            return [Term(images.noisy, beside), self._clean(used, weight)]
        return [Term(images.noisy, _without(images.labelled, held), Unknown(images.known)), self._clean(used, weight)]

    @cached_property
    def _one_of_each(self) -> np.ndarray | None:
        """(n, C) labels with verified ones in their place, where every image has one and memory holds them."""
        images = self.images
        named = images.true_class >= 0
        if images.task != "single-label" or (images.checked & ~named).any() or images.count * images.classes > _DENSE:
            return None
        label = np.where(images.checked, images.true_class, np.maximum(images.noisy_class, 0))
        targets = np.zeros((images.count, images.classes), np.float32)
        targets[np.arange(images.count), label] = 1.0
        return targets

    @cached_property
    def left(self) -> np.ndarray:
        """(n,) weights of noisy labels, 0 of those that look wrong: by classifiers that saw nothing verified."""
        return weights_left(self.images, self.folds, self.noisy_logits, self.l2)

    def _clean(self, used: np.ndarray, weight: float = 1.0) -> Term:
        return Term(self.images.verified, weight * self.images.of_verified(used), self.images.known)

    # --- what is believed of true classes ---

    def transition(self, used: np.ndarray) -> np.ndarray:
        """(C, C) T [true, noisy] by what is known of the images ``used``."""
        return self._noise(used)[0]

    def _believed(self, used: np.ndarray) -> np.ndarray:
        matrix, log_prior = self._noise(used)
        believed = posterior(log_prior, np.maximum(self.images.noisy_class, 0), matrix, EXPONENTS)
        return believed.astype(np.float32, copy=False)

    def _noise(self, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """T, and log p(true class | x) as sure as verified images show it to be, by classifiers that saw neither.

        First by those of noisy labels, which say of a confused class what its labels say: T comes out too near to
        none. Then by those that T corrects, which halves what it is off by. Without any verified image T would drift
        away so, and is that of confident counts.
        """
        key = np.packbits(used).tobytes()
        if key in self._noise_of:
            return self._noise_of[key]
        observed = self.images.observed(used)
        logits = self.noisy_logits
        factor = self._factor(logits, observed)
        matrix = transition_of(log_softmax(logits), observed, factor if used.any() else None)
        for _ in range(_ROUNDS if used.any() else 0):
            logits = self._corrected_logits(matrix, observed)
            factor = self._factor(logits, observed)
            before, matrix = matrix, transition_of(logits, observed, factor, matrix)
            if np.abs(matrix - before).max() <= _STILL:
                break
        log_prior = log_softmax(np.float32(factor) * logits)
        _make_room(self._noise_of, log_prior.nbytes)
        self._noise_of[key] = matrix, log_prior
        return matrix, log_prior

    def _factor(self, logits: np.ndarray, observed: Observed) -> float:
        """What makes ``logits`` as sure as verified images show them to be."""
        named = observed.verified
        if not len(named):
            return 1.0
        return tempered_class_losses(logits[named].astype(np.float64), observed.true[named])[0]

    def _corrected_logits(self, matrix: np.ndarray, observed: Observed) -> np.ndarray:
        """(n, C) by classifiers that ``matrix`` corrects, fold by fold, each without the images that it is asked of."""
        value = self.l2 * _ROUND_STRENGTH
        folds = np.where(self.folds < 0, -1, self.folds % _ROUND_FOLDS)
        rows = np.flatnonzero((observed.true >= 0) | observed.wrong)
        folds[rows] = stratified_folds(observed.true[rows], _ROUND_FOLDS)
        terms = corrected_terms(observed, matrix)
        whole = self._solved(terms, value, self._start)

        def without(_: int, held: np.ndarray) -> LinearModel:
            left = [replace(term, weights=_zeroed(term.weights, held)) for term in terms]
            return self._solved(left, value, self._noisy_without(held))

        return self.images.left_out(folds, whole, without)

    def _solved(self, terms: Sequence[Term], l2: float, start: LinearModel | None) -> LinearModel:
        return self.images.solved(terms, l2, start, TOLERANCE).model


def _make_room(kept: dict[bytes, Any], size: int) -> None:
    """Forget what is ``kept``, ``size`` bytes each, where one more would be too much."""
    if (len(kept) + 1) * size > _HELD:
        kept.clear()


def _without(weights: np.ndarray, held: np.ndarray | None) -> np.ndarray:
    """``weights`` (n,), 0 of images that are held out."""
    return weights if held is None else np.where(held, 0.0, weights)


def _zeroed(weights: np.ndarray | None, without: np.ndarray) -> np.ndarray:
    return np.where(without, 0.0, 1.0 if weights is None else weights)
