"""The posterior of the true class, given an image and its noisy label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig, Images
from nlcli.detection.fold_classifiers import FOLDS, FoldClassifiers, FoldSettings, fold_classifiers, unit_design
from nlcli.detection.reference_images import IMAGES, ReferenceImages, reference_images
from nlcli.detection.verification import WRONG
from nlcli.errors import NlcliError
from nlcli.estimation.evidence import Combination, bounded_log
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.neighbours import votes
from nlcli.estimation.observed import Observed
from nlcli.estimation.path import path_values
from nlcli.estimation.posterior import Believed, believe
from nlcli.estimation.scale import FeatureScale
from nlcli.methods.citations import XIAO_2015
from nlcli.runtime import memory_available
from nlcli.stages.files import read_arrays, write_arrays

COUNTS = (10, 50)
EXPECTED = (0.15, 0.3)
"""Weights that the votes of so many neighbours are expected to have: about those of several data sets."""
_CELLS = 40
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
        self._references = reference_images(data, seed, self.config.images) if self.config.neighbours else None
        path = work / "posterior.npz"
        if not path.exists():
            _keep(path, plain, self._believed(data, plain))
        arrays = read_arrays(path)
        self._kernels, self._biases = arrays["kernels"], arrays["biases"]
        self._log_transition = bounded_log(arrays["transition"]).astype(np.float32)
        self._combination = Combination(arrays["weights"], arrays["shifts"])
        self._judged, self._place = arrays["judged"], np.full(len(data.table), -1)
        self._place[arrays["rows"]] = np.arange(len(arrays["rows"]))
        self.notes |= {"plain": plain.notes} | json.loads(str(arrays["notes"]))
        self.notes["transition"] = arrays["estimated"].round(4).tolist()
        self.natural_threshold = 0.5  # it is more likely wrong than right

    def _believed(self, data: Data, plain: FoldClassifiers) -> tuple[np.ndarray, Observed, Believed]:
        """Rows of the data set that were fitted on, what was known of them, and what is believed now."""
        train, classes = data.train, len(data.classes)
        positions = np.flatnonzero(plain.fold_of[train.rows] >= 0)
        if _CELLS * len(positions) * classes > memory_available():
            raise NlcliError(
                f"the posterior of {len(positions):,} images and {classes:,} classes does not fit into memory; set "
                "--class-images lower, or choose --method margin"
            )
        rows = train.rows[positions]
        true = data.true[rows]
        observed = Observed(train.noisy[positions], true, (train.label[positions] == WRONG) & (true < 0), classes)
        design = unit_design(data, positions)
        start = [LinearModel(k, b, "single-label") for k, b in zip(plain.kernels, plain.biases, strict=True)]
        (l2,) = path_values(design, (plain.notes["l2_strength"],))
        heard = _votes_of(data, train, positions, self._references)
        expected = EXPECTED[: len(heard)]
        return (
            rows,
            observed,
            believe(design, observed, plain.fold_of[rows], start, l2, evidence=heard, expected=expected),
        )

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        shares = self.class_probabilities(features, noisy, rows)
        own: np.ndarray = np.take_along_axis(shares, noisy[:, None], axis=1)[:, 0]
        return own

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray:
        place = np.full(len(features), -1) if rows is None else self._place[rows]
        shares = np.empty((len(features), len(self._log_transition)), np.float32)
        judged = place >= 0
        shares[judged] = np.exp(self._judged[place[judged]])
        others = np.flatnonzero(~judged)
        for first in range(0, len(others), READ_ROWS):
            part = others[first : first + READ_ROWS]
            shares[part] = self._of_others(features[part], noisy[part], None if rows is None else rows[part])
        return shares

    def _of_others(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """(n, C) of images that no classifier has seen: by the mean of all."""
        unit = FeatureScale("unit").apply(features)
        models = (LinearModel(k, b, "single-label") for k, b in zip(self._kernels, self._biases, strict=True))
        prior = np.mean([model.probabilities(unit) for model in models], axis=0)
        heard = [] if self._references is None else _logs(self._references, features, rows)
        evidence = [bounded_log(prior), self._log_transition.T[noisy], *heard]
        shares: np.ndarray = np.exp(self._combination.log_probabilities(evidence))
        return shares


def _logs(references: ReferenceImages, features: np.ndarray, rows: np.ndarray | None) -> list[np.ndarray]:
    """log of the shares of votes among so many nearest as ``COUNTS`` says, half a vote added to each class."""
    labels = references.labels(features, rows, max(COUNTS))
    return [bounded_log(votes(labels[:, :k], references.num_classes) + np.float32(0.5 / k)) for k in COUNTS]


def _votes_of(
    data: Data, images: Images, positions: np.ndarray, references: ReferenceImages | None
) -> list[np.ndarray]:
    if references is None:
        return []
    heard = [np.empty((len(positions), len(data.classes)), np.float32) for _ in COUNTS]
    for first in range(0, len(positions), READ_ROWS):
        part = positions[first : first + READ_ROWS]
        logs = _logs(references, data.features(images, part), images.rows[part])
        for whole, own in zip(heard, logs, strict=True):
            whole[first : first + len(part)] = own
    return heard


def _keep(path: Path, plain: FoldClassifiers, result: tuple[np.ndarray, Observed, Believed]) -> None:
    rows, observed, believed = result
    notes: dict[str, Any] = {
        "corrected": believed.corrected,
        "l2": believed.l2,
        "weight_of_verified": believed.weight,
        "weights_of_evidence": believed.combined.combination.weights.round(4).tolist(),
        **believed.notes,
    }
    arrays = {
        "kernels": np.stack([model.kernel for model in believed.models]).astype(np.float32),
        "biases": np.stack([model.bias for model in believed.models]).astype(np.float32),
        "transition": believed.transition,
        "estimated": believed.estimated_transition(observed),
        "weights": believed.combined.combination.weights,
        "shifts": believed.combined.combination.shifts,
        "judged": believed.combined.log_probabilities.astype(np.float32),
        "rows": rows,
        "notes": np.array(json.dumps(notes)),
    }
    write_arrays(path, arrays)
