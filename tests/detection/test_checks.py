"""The battery for detectors: ours pass it, and each fault is told in a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.detection import DETECTORS
from nlcli.detection.base import Data, Detector, DetectorConfig
from nlcli.detection.checks import check_detector
from nlcli.detection.detectors.average import class_means

# Options with which each detector is quick.
QUICK: dict[str, dict[str, Any]] = {
    "auto": {"candidates": ["margin", "neighbours"]},
    "margin": {},
    "posterior": {"folds": 3},
    "neighbours": {},
    "naive": {},
    "mlp": {"weight_decay": 0.01},
    "knn": {"neighbours": 5},
    "svm": {},
    "label-propagation": {},
    "label-spreading": {},
    "classification-filter": {},
    "drae": {"steps": 50},
    "one-class-svm": {},
    "average": {"references": 8},
    "cleannet": {"steps": 200, "references": 8, "transfer": "trust"},  # checked: the slow test below
    "confident-learning": {"l2": 1e-3},
}


def test_every_detector_is_in_the_battery() -> None:
    assert set(QUICK) == set(DETECTORS.ours)


@pytest.mark.parametrize("name", DETECTORS.ours)
def test_ours_pass(name: str) -> None:
    check_detector(name, **QUICK[name])


@pytest.mark.slow
def test_cleannet_passes_where_it_checks_what_it_learned() -> None:
    check_detector("cleannet", steps=200, references=8)


class Plain(Detector):
    """The cosine to a class's mean, which faults are put into."""

    name = "plain"
    title = "plain"
    citation = "@misc{plain}"
    Config = DetectorConfig
    uses_verification = False
    soft = True

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self.means = class_means(data)

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        own = self.means[noisy]
        norms = np.linalg.norm(features, axis=1) * np.linalg.norm(own, axis=1)
        return np.einsum("nd,nd->n", features, own) / np.maximum(norms, 1e-9)


def test_one_that_is_not_registered_passes() -> None:
    check_detector(Plain)


def fault(**members: Any) -> type[Detector]:
    return type("Faulty", (Plain,), {"__doc__": "It has a fault.", **members})


def scores(change: Any) -> dict[str, Any]:
    return {
        "score": lambda self, features, noisy, rows=None: change(self, features, Plain.score(self, features, noisy))
    }


def noted(what: Any) -> Any:
    def fit(self: Detector, data: Data, seed: int, work: Path) -> None:
        Plain.fit(self, data, seed, work)
        self.notes["noted"] = what()

    return fit


def swallowing(self: Detector, data: Data, seed: int, work: Path) -> None:
    try:
        Plain.fit(self, data, seed, work)
    except BaseException:
        self.means = np.ones((len(data.classes), data.num_features), np.float32)


def needing_verified(self: Detector, data: Data, seed: int, work: Path) -> None:
    Plain.fit(self, data, seed, work)
    self.means = self.means * (
        len(data.train.verified) / len(data.train.verified) if len(data.train.verified) else np.nan
    )


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"__doc__": None}, "Faulty has no docstring: say in a sentence what it does"),
        ({"title": ""}, "plain has no title"),
        ({"citation": "Plain (2020)"}, "the citation of plain is not BibTeX"),
        ({"citation": "@misc{plain"}, "a brace of the citation of plain is not closed"),
        (scores(lambda self, x, s: s * np.nan), "plain gives scores that are not finite"),
        (scores(lambda self, x, s: 2 * s), "plain is soft, but gives the score"),
        (scores(lambda self, x, s: s[:, None]), r"plain: score\(\) gives \(\d+, 1\) for \d+ images"),
        (scores(lambda self, x, s: list(s)), r"plain: score\(\) gives a list, not a NumPy array"),
        (
            scores(lambda self, x, s: -s),
            "plain tells wrong labels from right ones with an area under the ROC curve of 0",
        ),
        ({"fixed_threshold": True}, "plain has a fixed threshold, but states none"),
        (
            scores(lambda self, x, s: s - (s.mean() if len(s) else 0)),
            "plain scores unseen images without rows otherwise than class by class",
        ),
        ({"fit": noted(lambda: np.random.default_rng().random())}, "plain gives other scores at a second run"),
        ({"fit": noted(object)}, "notes hold a object, which JSON does not have"),
        ({"fit": swallowing}, "plain catches what ends the process"),
        ({"fit": needing_verified}, "plain gives scores that are not finite where nothing is verified"),
    ],
    ids=lambda value: value.split(",")[0][:40] if isinstance(value, str) else "",
)
def test_faults_are_told(members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_detector(fault(**members))


def test_work_that_is_taken_for_another_run_s_is_told() -> None:
    def fit(self: Detector, data: Data, seed: int, work: Path) -> None:
        Plain.fit(self, data, seed, work)
        kept = work / "mark"
        self.natural_threshold = float(len(kept.read_text())) if kept.exists() else 0.0
        kept.write_text("x" * int(self.natural_threshold + 1))

    with pytest.raises(AssertionError, match="plain gives other scores where everything is in the work folder already"):
        check_detector(fault(fit=fit))
