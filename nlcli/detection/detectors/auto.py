"""The detector that verified labels choose among several, and their mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from nlcli.console import say, say_table
from nlcli.detection import DETECTORS, make_detector
from nlcli.detection.base import Data, Detector, DetectorConfig, Images
from nlcli.detection.label_probabilities import choosing_positions
from nlcli.detection.threshold import FOLDS, folds
from nlcli.detection.verification import RIGHT
from nlcli.errors import NlcliError
from nlcli.estimation.calibration import Calibration, calibrate, sigmoid
from nlcli.estimation.score_mixture import NormalScores, ScoreMixture
from nlcli.estimation.selection import Selection, select
from nlcli.methods.citations import NORTHCUTT_2021
from nlcli.metrics.ranking import roc_area
from nlcli.seeds import stream

MIXTURE, BELIEVING = "mixture", "every label believed"
EXPECTED = {"margin": 0.1, "posterior": 0.9, "neighbours": 0.03}
"""The candidates that the mixture is made of, and the weights that it is expected to have. Neighbours are in it where
``posterior`` is not, which hears them itself."""
TRUSTED = (MIXTURE, "posterior", "margin", "confident-learning", "neighbours")
"""Candidates in the order in which they are trusted before any label is verified; the first one within a standard error
of the best is kept."""
FEWEST = 10
"""Verified labels of either kind from which on they choose."""
_REFERENCES = 20_000
_LEAST_SLOPE = 0.05


class AutoConfig(DetectorConfig):
    """Options of the choice."""

    candidates: list[str] = Field(
        default=[], description="Detectors to choose among (default: all that need no verified label and are good)."
    )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What a candidate says of labels, fitted to verified ones: log-odds of its normal scores."""

    mixture: ScoreMixture
    curve: Calibration

    def log_odds(self, scores: np.ndarray, noisy: np.ndarray) -> np.ndarray:
        """(n,) of (n, K) normal scores."""
        slope = max(self.curve.slope, _LEAST_SLOPE)  # labels that seem more likely wrong never rise
        shifts = self.curve.shifts[noisy] if len(self.curve.shifts) else 0.0
        odds: np.ndarray = slope * self.mixture.log_odds(scores) + self.curve.intercept + shifts
        return odds


class Auto(Detector):
    """The first of its candidates, in the order of trust, that is within a standard error of the best."""

    name = "auto"
    title = "chosen by verified labels"
    citation = NORTHCUTT_2021
    Config = AutoConfig
    uses_verification = False
    takes_verification = True
    out_of_fold = True
    cautious = True
    soft = True
    config: AutoConfig

    def check(self) -> None:
        for name in self.config.candidates:
            cls = DETECTORS.get(name)
            if not cls.out_of_fold or name == self.name:
                able = [n for n, other in DETECTORS.items() if other.out_of_fold and n != self.name]
                raise NlcliError(
                    f"{name} does not score training images out of fold, so verified ones cannot compare it; choose "
                    f"among {', '.join(able)}"
                )
            make_detector(name).check()

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self.check()
        parts = choosing_positions(data)
        labels = np.concatenate([images.label[which] for images, which in parts])
        kinds = [int((labels == kind).sum()) for kind in (0, 1)]
        self._models: dict[int, _Fitted] = {}
        enough = min(kinds) >= FEWEST
        self._detectors = self._fitted_candidates(data, seed, work, alone=not enough)
        if enough:
            self._use_verified(data, seed, parts, labels)
        else:
            self._keep_without(kinds)

    def _fitted_candidates(self, data: Data, seed: int, work: Path, *, alone: bool) -> dict[str, Detector]:
        """Those that can be fitted; ``alone``: the first of them that can, in the order of trust."""
        fitted: dict[str, Detector] = {}
        names = self.config.candidates or [name for name in TRUSTED if name != MIXTURE]
        for name in sorted(names, key=_rank) if alone else names:
            detector, place = make_detector(name, _shared_options(name, fitted)), work / name
            place.mkdir(exist_ok=True)
            try:
                detector.check()
                detector.fit(data, seed, place)
            except NlcliError as error:
                # Its package is not installed, or it does not fit into memory: the others are compared without it.
                if self.config.candidates or name == "margin":
                    raise
                self.notes.setdefault("left_out", {})[name] = str(error)
                continue
            fitted[name] = detector
            if alone:
                break
        self.notes["fitted"] = {name: detector.notes for name, detector in fitted.items()}
        return fitted

    # --- without verified labels ---

    def _keep_without(self, kinds: list[int]) -> None:
        ((kept, self._kept),) = self._detectors.items()
        self.natural_threshold = self._kept.natural_threshold
        self.notes |= {"kept": kept, "chosen_by": "no label"}
        self.remarks.append(
            f"{kept} was kept because it did best elsewhere: {sum(kinds):,} verified labels, {kinds[0]:,} of them "
            f"wrong, tell nothing here; about {_to_verify(kinds):,} verified would begin to"
        )

    # --- with verified labels ---

    def _use_verified(self, data: Data, seed: int, parts: list[tuple[Images, np.ndarray]], labels: np.ndarray) -> None:
        right = labels == RIGHT
        noisy = np.concatenate([images.noisy[which] for images, which in parts])
        rows = np.concatenate([images.rows[which] for images, which in parts])
        order = np.argsort(data.table.keys[rows], kind="stable")
        fold = np.empty(len(rows), np.int64)
        fold[order] = folds(2 * noisy[order] + right[order], seed, FOLDS)
        self._scales = self._scales_of(data, seed)
        scores = np.concatenate([self._normal_scores(data, images, which) for images, which in parts])

        log_odds, models = {}, {}
        for name in self._candidates():
            columns = self._columns(name)
            models[name] = self._crossed(scores[:, columns], right, noisy, fold, len(data.classes), name)
            log_odds[name] = _by_fold(models[name], scores[:, columns], noisy, fold)
        believing = _share_log_odds(right, noisy, fold, len(data.classes))
        told = {name: _log_likelihood(odds, right) for name, odds in log_odds.items()}
        ordered = [name for name in TRUSTED if name in told] + [name for name in told if name not in TRUSTED]
        chosen = select(
            {name: told[name] for name in ordered} | {BELIEVING: _log_likelihood(believing, right)},
            baseline=BELIEVING,
            eligible=ordered,
        )
        self._tell(chosen, log_odds, right)
        kept = chosen.chosen
        self._kept = self._detectors[self._speaker(kept)]
        self._kept_columns, self._models = self._columns(kept), models[kept]
        self._fold_of = np.full(len(data.table), -1)
        self._fold_of[rows] = fold
        self.natural_threshold = 0.5
        if kept == MIXTURE:
            weights = models[kept][-1].mixture.weights.tolist()
            self.notes["weights"] = dict(zip(self._mixed(), weights, strict=True))

    def _mixed(self) -> list[str]:
        heard = "posterior" in self._detectors
        return [name for name in self._detectors if name in EXPECTED and not (heard and name == "neighbours")]

    def _candidates(self) -> list[str]:
        return [*([MIXTURE] if len(self._mixed()) > 1 else []), *self._detectors]

    def _columns(self, candidate: str) -> np.ndarray:
        names = list(self._detectors)
        return np.array([names.index(name) for name in (self._mixed() if candidate == MIXTURE else [candidate])])

    def _speaker(self, candidate: str) -> str:
        """The detector whose class probabilities are the candidate's."""
        if candidate != MIXTURE:
            return candidate
        return max(self._mixed(), key=lambda name: EXPECTED[name])

    def _scales_of(self, data: Data, seed: int) -> list[NormalScores]:
        """What turns each detector's scores into normal ones: those of training images, as many as are plenty."""
        drawn = stream(seed, "detection", "scale").permutation(len(data.train))[:_REFERENCES]
        raw = self._raw_scores(data, data.train, np.sort(drawn))
        return [NormalScores.of(column) for column in raw.T]

    def _raw_scores(self, data: Data, images: Images, positions: np.ndarray) -> np.ndarray:
        """(n, K) scores by the detectors."""
        raw = np.empty((len(positions), len(self._detectors)))
        first = 0
        for part, features in data.parts(images, positions):
            for k, detector in enumerate(self._detectors.values()):
                raw[first : first + len(part), k] = detector.score(features, images.noisy[part], images.rows[part])
            first += len(part)
        return raw

    def _normal_scores(self, data: Data, images: Images, positions: np.ndarray) -> np.ndarray:
        raw = self._raw_scores(data, images, positions)
        return np.stack([scale(column) for scale, column in zip(self._scales, raw.T, strict=True)], axis=1)

    def _crossed(
        self, scores: np.ndarray, right: np.ndarray, noisy: np.ndarray, fold: np.ndarray, classes: int, name: str
    ) -> dict[int, _Fitted]:
        """The candidate fitted without each fold, and under -1 with all of them."""
        expected = [EXPECTED[part] for part in self._mixed()] if name == MIXTURE else [1.0]
        fitted = {}
        for number in (*range(FOLDS), -1):
            inside = fold != number
            if name == MIXTURE:
                mixture = ScoreMixture.fitted(scores[inside], right[inside], expected)
            else:
                mixture = ScoreMixture(np.ones(1), 0.0)
            curve = calibrate(
                mixture.log_odds(scores[inside]), right[inside], noisy[inside], classes, enough=len(right) + 1
            )
            fitted[number] = _Fitted(mixture, curve)
        return fitted

    def _tell(self, chosen: Selection, log_odds: Mapping[str, np.ndarray], right: np.ndarray) -> None:
        rows, notes = [], []
        for standing in chosen.standings:
            area = roc_area(right, log_odds[standing.name]) if standing.name in log_odds else 0.5
            low, high = standing.gain.interval()
            gain = "" if standing.name == BELIEVING else f"{standing.gain.mean:+.4f} ({low:+.4f} to {high:+.4f})"
            kept = "kept" if standing.name == chosen.chosen else ""
            rows.append([standing.name, f"{area:.4f}", f"{-standing.mean:.4f}", gain, kept])
            notes.append(
                {
                    "name": standing.name,
                    "area": area,
                    "log_loss": -standing.mean,
                    "gain": standing.gain.mean,
                    "gain_interval": [low, high] if math.isfinite(low) else None,
                }
            )
        header = ["detector", "area", "log-loss", "gain over believing every label", ""]
        say(f"candidates by {chosen.images:,} verified labels, {int((~right).sum()):,} of them wrong, cross-fitted:")
        say_table(header, rows)
        self.notes |= {
            "kept": chosen.chosen,
            "chosen_by": "verified labels",
            "verified": chosen.images,
            "candidates": notes,
        }
        if not chosen.better:
            more = chosen.images_to_tell
            told = "" if more is None else f"; about {more:,} would tell"
            self.remarks.append(
                f"no candidate is told from believing every label by {chosen.images:,} verified labels{told}"
            )

    # --- scores ---

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        if not self._models:
            return self._kept.score(features, noisy, rows)
        detectors = list(self._detectors.values())
        scores = [self._scales[k](detectors[k].score(features, noisy, rows)) for k in self._kept_columns]
        fold = np.full(len(noisy), -1) if rows is None else self._fold_of[rows]
        return sigmoid(_by_fold(self._models, np.stack(scores, axis=1), noisy, fold)).astype(np.float32)

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray | None:
        return self._kept.class_probabilities(features, noisy, rows)

    def explain(self, threshold: float) -> str | None:
        return None if self._models else self._kept.explain(threshold)


def _rank(name: str) -> int:
    """Place in the order of trust."""
    return TRUSTED.index(name) if name in TRUSTED else len(TRUSTED)


def _shared_options(name: str, fitted: Mapping[str, Detector]) -> dict[str, Any]:
    """What another candidate has chosen already: the regularisation is nearly the same with few labels put right."""
    if name == "confident-learning" and "margin" in fitted:
        return {"l2": fitted["margin"].notes["l2_strength"]}
    return {}


def _by_fold(models: Mapping[int, _Fitted], scores: np.ndarray, noisy: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n,) log-odds of (n, K) normal scores, of each image by the model of its fold (n,)."""
    odds = np.empty(len(noisy))
    for number, model in models.items():
        inside = fold == number
        odds[inside] = model.log_odds(scores[inside], noisy[inside])
    return odds


def _log_likelihood(odds: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) log of the probability that each label is what it was verified to be."""
    told: np.ndarray = -np.logaddexp(0.0, np.where(right, -odds, odds))
    return told


def _share_log_odds(right: np.ndarray, noisy: np.ndarray, fold: np.ndarray, classes: int) -> np.ndarray:
    """(n,) log-odds by the share of right labels of each class, shrunk, without an image's own fold."""
    odds = np.empty(len(right))
    for number in range(FOLDS):
        inside = fold != number
        curve = calibrate(np.zeros(int(inside.sum())), right[inside], noisy[inside], classes, enough=len(right) + 1)
        shifts = curve.shifts[noisy[~inside]] if len(curve.shifts) else 0.0
        odds[~inside] = curve.intercept + shifts
    return odds


def _to_verify(kinds: list[int]) -> int:
    """Verified images of which some FEWEST of the rarer kind are to be expected; as if a fifth were wrong, of none."""
    count = sum(kinds)
    share = max(min(kinds), 1) / count if count >= FEWEST else 0.2
    return max(50, math.ceil(FEWEST / share / 10) * 10)
