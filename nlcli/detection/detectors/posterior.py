"""The posterior of the true class, given an image and its noisy label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.cautious_threshold import CautiousThreshold, cautious_threshold
from nlcli.detection.fold_classifiers import (
    FOLDS,
    WORK,
    FoldClassifiers,
    FoldSettings,
    fold_classifiers,
    unit_design,
)
from nlcli.detection.label_probabilities import choosing_positions
from nlcli.detection.reference_images import IMAGES, ReferenceImages, reference_images
from nlcli.detection.soft_votes import COUNTS, SoftVotes, shares_of
from nlcli.detection.verification import WRONG
from nlcli.errors import NlcliError
from nlcli.estimation.cross_fitting import stratified_folds
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.evidence import Combination, Combined, bounded_log, combine
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.neighbours import votes
from nlcli.estimation.observed import Observed
from nlcli.estimation.path import path_values
from nlcli.estimation.posterior import WEIGHTS, Apart, Believed, believe, mean_model
from nlcli.estimation.random_features import COUNT, RandomFeatures
from nlcli.estimation.scale import FeatureScale
from nlcli.methods.citations import XIAO_2015
from nlcli.runtime import memory_available
from nlcli.stages.files import read_arrays, write_arrays

AT_FIRST = (0.15, 0.3)
"""Weights that the votes of so many neighbours' labels are expected to have beside ``WEIGHTS``."""
EXPECTED = (0.8, 0.8, 0.1, 0.2, 0.1, 0.2)
"""Weights of the classifier, of T, and of the votes of what is believed of neighbours: about those that true classes of
four data sets gave; half as much again or less did as well."""
RIDGE = (16.0, 4.0)
"""Of weights and of shifts in the end; shifts are worth more than a tight hold on them."""
_CELLS = 80
"""Bytes that are held at a time for each image and class."""


class PosteriorConfig(DetectorConfig):
    """Options of the posterior."""

    folds: int = Field(
        FOLDS, ge=2, description="Parts of the training images; each is judged by classifiers solved on the others."
    )
    neighbours: bool = Field(True, description="Whether the votes of the nearest training images are heard, too.")
    images: int = Field(
        IMAGES, ge=10, description="Most training images to seek neighbours among; more are drawn by the seed."
    )


class Posterior(Detector):
    """P(the noisy label is the true class | image, noisy label), out of fold."""

    name = "posterior"
    title = "posterior"
    citation = XIAO_2015
    Config = PosteriorConfig
    uses_verification = False
    takes_verification = True
    out_of_fold = True
    soft = True
    score_is_probability = True
    config: PosteriorConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        plain = fold_classifiers(data, seed, work, FoldSettings(self.config.folds))
        references = reference_images(data, seed, self.config.images) if self.config.neighbours else None
        path = work / "posterior.npz"
        if not path.exists():
            _keep(path, *_Judgement(data, seed, plain, references).made())
        arrays = read_arrays(path)
        self._evidence = _Evidence.restored(arrays, data, references)
        self._combination = Combination(arrays["weights"], arrays["shifts"])
        self._judged, self._place = arrays["judged"], np.full(len(data.table), -1)
        self._place[arrays["rows"]] = np.arange(len(arrays["rows"]))
        self.notes |= {"plain": plain.notes} | json.loads(str(arrays["notes"]))
        self.notes["transition"] = arrays["estimated"].round(4).tolist()
        self._own = CautiousThreshold(**json.loads(str(arrays["threshold"])))
        self.natural_threshold = self._own.value

    def explain(self, threshold: float) -> str | None:
        return self._own.meaning if threshold == self.natural_threshold else None

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        shares = self.class_probabilities(features, noisy, rows)
        own: np.ndarray = np.take_along_axis(shares, noisy[:, None], axis=1)[:, 0]
        return own

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray:
        place = np.full(len(features), -1) if rows is None else self._place[rows]
        shares = np.empty((len(features), len(self._combination.shifts)), np.float32)
        judged = place >= 0
        shares[judged] = np.exp(self._judged[place[judged]])
        others = np.flatnonzero(~judged)
        for first in range(0, len(others), READ_ROWS):
            part = others[first : first + READ_ROWS]
            evidence = self._evidence.of(features[part], noisy[part], None if rows is None else rows[part])
            shares[part] = np.exp(self._combination.log_probabilities(evidence))
        return shares


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What is known of images that no classifier has seen.

    Attributes:
        models: Classifiers by fold, of features and random features.
        more: What makes the latter.
        transition: (C, C) T.
        votes: Neighbours, where they are heard.
    """

    models: Sequence[LinearModel]
    more: RandomFeatures
    transition: np.ndarray
    votes: SoftVotes | None

    @classmethod
    def restored(cls, arrays: Any, data: Data, references: ReferenceImages | None) -> _Evidence:
        """Of what ``_keep`` wrote."""
        models = [LinearModel(k, b, "single-label") for k, b in zip(arrays["kernels"], arrays["biases"], strict=True)]
        more = RandomFeatures(arrays["centre"], arrays["directions"], arrays["frequencies"], arrays["phases"])
        heard = None
        if references is not None:
            heard = SoftVotes.of(data, references, more, arrays["shares"])
        return cls(models, more, arrays["transition"], heard)

    def of(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None) -> list[np.ndarray]:
        """Pieces of evidence, (n, C) float32 each, by the mean of all classifiers."""
        wide = self.more.apply(FeatureScale("unit").apply(features))
        prior = bounded_log(np.exp(mean_model(self.models).log_probabilities(wide)))
        channel = bounded_log(self.transition).T[noisy]
        heard = [] if self.votes is None else self.votes.logs(features, rows)
        return [piece.astype(np.float32, copy=False) for piece in (prior, channel, *heard)]


class _Judgement:
    """What is believed of the training images, and of verified images of validation.

    First classifiers and the votes of neighbours' labels say what is believed of the training images; then the votes
    of what is believed of the neighbours take these votes' place. Verified images of validation choose and weigh
    together with those of train; no classifier is fitted to them.
    """

    def __init__(self, data: Data, seed: int, plain: FoldClassifiers, references: ReferenceImages | None) -> None:
        self._data, self._seed, self._plain, self._references = data, seed, plain, references
        train, classes = data.train, len(data.classes)
        self._positions = np.flatnonzero(plain.fold_of[train.rows] >= 0)
        if _CELLS * len(self._positions) * classes > memory_available():
            raise NlcliError(
                f"the posterior of {len(self._positions):,} images and {classes:,} classes does not fit into memory; "
                "set --class-images lower, or choose --method margin"
            )
        self._rows = train.rows[self._positions]
        self._folds = plain.fold_of[self._rows]
        true = data.true[self._rows]
        wrong = (train.label[self._positions] == WRONG) & (true < 0)
        self._observed = Observed(train.noisy[self._positions], true, wrong, classes)

    def made(self) -> tuple[np.ndarray, Observed, _Evidence, Believed, Combined]:
        """Rows of the data set that are judged, training images first; what was known of these; what judges others;
        what is believed of training images; and what is believed of all.
        """
        data, observed, folds, nearest = self._data, self._observed, self._folds, self._nearest()
        more, apart = self._random_features(), self._apart()
        design = unit_design(data, self._positions, more)
        heard = [] if nearest is None else self._votes_of_labels(nearest)
        believed = believe(
            design,
            observed,
            folds,
            [_beside(kernel, bias, more) for kernel, bias in zip(self._plain.kernels, self._plain.biases, strict=True)],
            path_values(design, (self._plain.notes["l2_strength"],))[0],
            apart=Apart(ArrayBlocks(more.apply(apart.unit)), apart.true) if len(apart.true) else None,
            evidence=heard,
            expected=AT_FIRST[: len(heard)],
        )
        heard_now = None
        if self._references is not None:
            shares = shares_of(self._references, self._rows, believed.soft_labels(observed))
            heard_now = SoftVotes.of(data, self._references, more, shares)
        evidence = _Evidence(believed.models, more, believed.transition, heard_now)
        own = [bounded_log(np.exp(believed.log_prior)), believed.log_transition, *self._soft_votes(heard_now, nearest)]
        others = evidence.of(apart.features, apart.noisy, apart.rows)
        parts = stratified_folds(apart.true, int(folds.max()) + 1, self._seed)
        combined = combine(
            [np.concatenate(both, dtype=np.float32) for both in zip(own, others, strict=True)],
            np.concatenate([observed.true, apart.true]),
            np.concatenate([folds, parts]),
            np.array(EXPECTED if heard_now is not None else WEIGHTS),
            (RIDGE,),
        )
        count = len(observed.noisy)
        of_train = replace(combined, log_probabilities=combined.log_probabilities[:count])
        rows = np.concatenate([self._rows, apart.rows])
        return rows, observed, evidence, replace(believed, combined=of_train), combined

    def _apart(self) -> _ValidationImages:
        """Verified images of validation with a known class; none where they could not choose."""
        images, data = self._data.validation, self._data
        chosen = [which for those, which in choosing_positions(data) if those is images]
        which = chosen[0][data.true[images.rows[chosen[0]]] >= 0] if chosen else np.empty(0, np.int64)
        rows = images.rows[which]
        return _ValidationImages(rows, images.noisy[which], data.true[rows], data.features(images, which))

    def _random_features(self) -> RandomFeatures:
        """Those of the training images; no cosines where solving with them would take too long."""
        data, count, classes = self._data, len(self._positions), self._observed.classes
        small = count * (data.num_features + COUNT) * classes <= WORK
        return RandomFeatures.fitted(unit_design(data, self._positions), self._seed, COUNT if small else 0)

    def _nearest(self) -> np.ndarray | None:
        """(n, at most 50) int32 references nearest to the training images."""
        if self._references is None:
            return None
        found = []
        for part, features in self._data.parts(self._data.train, self._positions):
            own = self._references.place[self._data.train.rows[part]]
            found.append(self._references.neighbours.nearest(features, max(COUNTS), own)[0].astype(np.int32))
        fewest = min(near.shape[1] for near in found)
        return np.concatenate([near[:, :fewest] for near in found])

    def _votes_of_labels(self, nearest: np.ndarray) -> list[np.ndarray]:
        """log of the shares of votes among so many nearest as ``COUNTS`` says, half a vote added to each class."""
        assert self._references is not None
        labels, classes = self._references.classes[nearest], self._references.num_classes
        return [bounded_log(votes(labels[:, :k], classes) + np.float32(0.5 / k)) for k in COUNTS]

    def _soft_votes(self, heard: SoftVotes | None, nearest: np.ndarray | None) -> list[np.ndarray]:
        if heard is None or nearest is None:
            return []
        pieces, first = [], 0
        for part, features in self._data.parts(self._data.train, self._positions):
            near = nearest[first : first + len(part)]
            pieces.append(heard.logs(features, self._data.train.rows[part], near))
            first += len(part)
        return [np.concatenate(piece) for piece in zip(*pieces, strict=True)]


@dataclass(frozen=True, eq=False)
class _ValidationImages:
    """Verified images that nothing is fitted to: rows of the data set, labels, true classes, (m, D) features."""

    rows: np.ndarray
    noisy: np.ndarray
    true: np.ndarray
    features: np.ndarray

    @property
    def unit(self) -> np.ndarray:
        """Features of unit length."""
        return FeatureScale("unit").apply(self.features)


def _beside(kernel: np.ndarray, bias: np.ndarray, more: RandomFeatures) -> LinearModel:
    """A classifier of features, which makes nothing of the random ones beside them."""
    wide = np.concatenate([kernel, np.zeros((more.count, kernel.shape[1]), kernel.dtype)])
    return LinearModel(wide, bias, "single-label")


def _own_threshold(observed: Observed, believed: Believed) -> CautiousThreshold:
    """The one by the training images, for where no verified label chooses one."""
    every = np.arange(len(observed.noisy))
    score = np.exp(believed.combined.log_probabilities[every, observed.noisy].astype(np.float32))
    return cautious_threshold(score, believed.log_prior.argmax(axis=1) != observed.noisy)


def _keep(
    path: Path, rows: np.ndarray, observed: Observed, evidence: _Evidence, believed: Believed, combined: Combined
) -> None:
    combination = combined.combination
    notes: dict[str, Any] = {
        "corrected": believed.corrected,
        "l2": believed.l2,
        "weight_of_verified": believed.weight,
        "weights_of_evidence": combination.weights.round(4).tolist(),
        "random_features": evidence.more.count,
        **believed.notes,
    }
    arrays = {
        "kernels": np.stack([model.kernel for model in believed.models]).astype(np.float32),
        "biases": np.stack([model.bias for model in believed.models]).astype(np.float32),
        "transition": believed.transition,
        "estimated": believed.estimated_transition(observed),
        "weights": combination.weights,
        "shifts": combination.shifts,
        "judged": combined.log_probabilities.astype(np.float32),
        "rows": rows,
        "shares": np.empty((0, observed.classes)) if evidence.votes is None else evidence.votes.shares,
        "centre": evidence.more.centre,
        "directions": evidence.more.directions,
        "frequencies": evidence.more.frequencies,
        "phases": evidence.more.phases,
        "threshold": np.array(json.dumps(asdict(_own_threshold(observed, believed)))),
        "notes": np.array(json.dumps(notes)),
    }
    write_arrays(path, arrays)
