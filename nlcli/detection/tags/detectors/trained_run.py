"""A trained run says what is in the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.data.labels import NONE
from nlcli.detection.tags.base import TagData, TagDetector, TagDetectorConfig
from nlcli.errors import NlcliError, unknown_name
from nlcli.estimation.calibration import log_odds
from nlcli.methods.citations import HU_2019
from nlcli.stages.stage import read_stage
from nlcli.training.result import read_result
from nlcli.training.saved_head import load_head

CLEANED = "cleaned"
"""Name of the score that is a method's cleaned labels, where it gives some."""


class TrainedRunConfig(TagDetectorConfig):
    """Options of ``run``: none."""


class TrainedRun(TagDetector):
    """Score an entry by what a trained head says of the image and, where it cleans labels, of its given tags."""

    name = "run"
    title = "a trained run's scores"
    citation = HU_2019
    Config = TrainedRunConfig
    uses_verification = False
    takes_run = True

    def fit(self, data: TagData, seed: int) -> None:
        assert data.run is not None
        record = read_stage(data.run, "run")
        head = load_head(record.path)
        if head.classes != data.classes:
            raise NlcliError(
                f"{data.run} was trained on other classes than those of the data set; train a head on this data set"
            )
        if head.backbone_fingerprint != data.store.backbone_fingerprint:
            raise NlcliError(
                f"{data.store.path} holds features of another backbone than the one {data.run} was trained on; give "
                "those that it was trained on"
            )
        offered = (*([CLEANED] if head.method.cleans else []), *head.score_names)
        name = data.score or offered[0]
        if name not in offered:
            raise NlcliError(f"{data.run}: {unknown_name(name, offered, 'score')}")
        self._head, self._score = head, name
        self._seen = self._rows_fitted_on(data, record.path)
        self.notes |= {"method": head.method.name, "score": name, "images_fitted_on": len(self._seen)}

    def _rows_fitted_on(self, data: TagData, run: Path) -> np.ndarray:
        """Rows whose verified classes may have been fitted on: verified training images, if any were."""
        result = read_result(run)
        clean = None if result is None else result.clean
        if result is not None and clean is None:
            return np.empty(0, np.int64)
        splits = ["train", *(["validation"] if clean is not None and (clean.pairs or {}).get("validation") else [])]
        rows = np.concatenate([data.table.rows(name) for name in splits])
        return np.sort(rows[data.table.verification[rows] > NONE])

    @property
    def seen(self) -> np.ndarray:
        return self._seen

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        if self._score == CLEANED:
            return log_odds(self._head.cleaned(given, features), 1e-4).astype(np.float32)
        return log_odds(self._head.score(features, self._score)).astype(np.float32)
