"""DRAE: an autoencoder a class, taught to tell two groups of images by how well it gives them back.

Xia et al. 2015, "Learning discriminative reconstructions for unsupervised outlier removal", the
unsupervised baseline of Lee 2018, table 2. The paper's own text not being at hand, the loss is that
of the project's description of the method (methods.md): the mean reconstruction error, and the
spread within the two groups over the total spread, where the groups are those that one threshold on
the errors separates best.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from nlcli.console import progress
from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.per_class import unit_length
from nlcli.methods.citations import LEE_2018, XIA_2015
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import read_arrays, write_arrays


class DraeConfig(DetectorConfig):
    """Options of DRAE."""

    hidden: int = Field(16, ge=1, description="Units in the middle of the autoencoder.")
    steps: int = Field(150, ge=1, description="Training steps of a class, each on all of its images.")
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam.")
    discrimination: float = Field(0.1, ge=0, description="lambda, weight of the spread within groups over the total.")
    images: int = Field(2000, ge=2, description="Most images of a class to fit on; more are drawn by the seed.")


class Drae(Detector):
    """Reconstruction error of the autoencoder of the image's class, beside the class's own split.

    Features enter divided by their length and multiplied by sqrt(D), so that an error is the share of
    an image that is not given back. The score is ``1 - error / threshold``: 0 at the split, 1 for an
    image that is given back whole.
    """

    name = "drae"
    title = "DRAE"
    citation = f"{LEE_2018}\n\n{XIA_2015}"
    Config = DraeConfig
    uses_verification = False
    config: DraeConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        quiet_tensorflow()
        from nlcli.detection.drae_autoencoder import Autoencoder

        self._work, self._loaded = work, -1
        self._network = Autoencoder(data.num_features, **self.config.model_dump(exclude={"images"}))
        self._without, ratios = set(), {}
        with progress(len(data.classes), "fitting drae", unit="classes") as bar:
            for c in range(len(data.classes)):
                positions = data.at_most(data.train.of_class(c), c, seed, self.config.images)
                if len(positions) < 2:  # nothing to split
                    self._without.add(c)
                elif not _path(work, c).exists():
                    features = data.features(data.train, positions)
                    write_arrays(_path(work, c), self._network.fit(_scaled(features), seed, c))
                if c not in self._without:
                    ratios[data.classes[c]] = float(read_arrays(_path(work, c))["ratio"])
                bar.advance(1)
        self.natural_threshold = 0.0
        self.notes |= {
            "spread_within_groups": ratios,
            "classes_without_split": [data.classes[c] for c in sorted(self._without)],
        }

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        scores = np.zeros(len(noisy), np.float32)  # a class without a split calls none of its images wrong
        for c in np.unique(noisy).tolist():
            if c in self._without:
                continue
            if self._loaded != c:  # one class is held at a time
                kept = read_arrays(_path(self._work, c))
                self._network.assign(kept)
                self._threshold, self._loaded = float(kept["threshold"]), c
            inside = np.flatnonzero(noisy == c)
            for first in range(0, len(inside), READ_ROWS):
                part = inside[first : first + READ_ROWS]
                scores[part] = 1.0 - self._network.errors(_scaled(features[part])) / self._threshold
        return scores


def _path(work: Path, c: int) -> Path:
    return work / f"class-{c:05d}.npz"


def _scaled(features: np.ndarray) -> np.ndarray:
    return unit_length(features) * np.float32(np.sqrt(features.shape[1]))
