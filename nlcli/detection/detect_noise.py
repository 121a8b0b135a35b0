"""The detect-noise stage: which noisy labels are wrong, by one of the detectors of ``nlcli.detection``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.features.store import FeatureStore
    from nlcli.data.labels import LabelTable
    from nlcli.detection.base import Data, Detector, Images
    from nlcli.detection.config import DetectNoise
    from nlcli.detection.threshold import ErrorRates

FIT = "fit"  # what a detector keeps in the work directory until its scores are there


# --- the stage -------------------------------------------------------------------------------


def detect_noise(config: DetectNoise, *, force: bool = False) -> Path:
    """Score every noisy label of a single-label data set and call it right or wrong; the directory written.

    What it holds is described in ``nlcli.detection.results``. Held-out classes lend their images, not
    their verification: neither the detector nor the threshold sees any of it.

    Raises:
        NlcliError: an unknown detector or option; a multi-label data set; features of another one;
            nothing verified where the detector or the threshold needs it; scores that are not finite.
    """
    from nlcli.detection import make_detector

    detector = make_detector(config.method, config.options, config.scale)
    _check(config, detector)
    features = read_stage(config.features, "features")
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "features": features,
        "classifier": None if config.classifier is None else read_stage(config.classifier, "run"),
        "hold_out_classes": config.hold_out_classes,
    }
    with open_stage("detection", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        from nlcli.data.features.store import FeatureStore
        from nlcli.data.label_files import read_dataset

        table, store = read_dataset(config.dataset), FeatureStore(config.features)
        if table.task != "single-label":
            raise NlcliError(f"{config.dataset} is a multi-label data set; noise is detected in single-label ones")
        store.require_images_of(table, config.dataset)
        problem = _problem(config, detector, table, store)
        work = stage.work / FIT
        work.mkdir(exist_ok=True)
        detector.fit(problem.data, config.seed, work)
        score = _scores(detector, problem)
        info, columns = _results(config, detector, problem, score)
        from nlcli.data.detections import write_detection

        write_detection(stage.work, info, columns, table.classes)
        _draw(config, table, info, columns, stage.work)
        shutil.rmtree(work)
        stage.finish(_summary(info))
    return stage.output


def _check(config: DetectNoise, detector: Detector) -> None:
    detector.check()
    if config.classifier is not None and not detector.takes_classifier:
        raise NlcliError(f"{config.method} takes no --classifier; leave it out")
    if config.threshold is not None and detector.fixed_threshold:
        raise NlcliError(f"{config.method} has no threshold to choose; leave out --threshold")
    if config.hold_out is not None and config.hold_out_classes is not None:
        raise NlcliError("--hold-out and --hold-out-classes both name the held-out classes; leave one out")
    if config.use_held_out and config.hold_out is None and config.hold_out_classes is None:
        raise NlcliError("--use-held-out needs --hold-out or --hold-out-classes, whose classes it reports on")


# --- what is known ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Problem:
    """What is to be scored, and what is known of it.

    Attributes:
        data: What the detector sees.
        images: All images of all splits with a noisy label and features; labels as the detector sees them.
        label: (n,) int8, all that is verified of them.
        held_out: (C,) bool.
        clean: Record of the training images whose verification was used.
    """

    table: LabelTable
    data: Data
    images: Images
    label: np.ndarray
    held_out: np.ndarray
    clean: dict[str, Any]
    without_features: int

    def split(self, name: str) -> np.ndarray:
        """(n,) bool."""
        from nlcli.data.labels import SPLITS

        return self.table.split[self.images.rows] == SPLITS.index(name)


def _problem(config: DetectNoise, detector: Detector, table: LabelTable, store: FeatureStore) -> _Problem:
    from nlcli.data.labels import clean_set_record, noisy_classes
    from nlcli.detection.base import Data, labelled_images
    from nlcli.detection.verification import UNVERIFIED, verification_labels, visible_labels, withheld

    label, noisy = verification_labels(table), noisy_classes(table)
    held_out = _held_out(config, table.classes)
    visible = visible_labels(table, config.clean_fraction, config.seed, held_out & (not config.use_held_out))
    train = table.rows("train")
    used = train[visible[train] != UNVERIFIED]
    data = Data(withheld(table, visible), store, classifier=config.classifier, class_images=config.class_images)
    if not len(data.train):
        raise NlcliError(f"no training image of {config.dataset} has a noisy label and features")
    if detector.uses_verification and not len(data.train.verified):
        outside = " outside the held-out classes" if held_out.any() and not config.use_held_out else ""
        raise NlcliError(
            f"{config.method} learns from verified noisy labels, and no training image{outside} has one and features; "
            "verify some, or use a detector that needs none (average, drae, classification-filter, confident-learning)"
        )
    images = labelled_images(data.table, store, np.arange(len(table)))
    missing = int((noisy >= 0).sum()) - len(images)
    if missing:
        say(f"{missing:,} images with a noisy label have no features and are left out")
    clean = clean_set_record(table, used) | {"fraction": config.clean_fraction, "seed": config.seed}
    return _Problem(table, data, images, label[images.rows], held_out, clean, missing)


def _held_out(config: DetectNoise, classes: tuple[str, ...]) -> np.ndarray:
    from nlcli.detection.verification import draw_held_out, read_held_out

    names: tuple[str, ...] = ()
    if config.hold_out is not None:
        names = draw_held_out(classes, config.hold_out, config.seed)
    elif config.hold_out_classes is not None:
        names = read_held_out(config.hold_out_classes, classes)
    return np.isin(np.asarray(classes, object), names)


def _scores(detector: Detector, problem: _Problem) -> np.ndarray:
    """(n,) float32 scores of all images, class by class."""
    from nlcli.detection.base import READ_ROWS

    data, images = problem.data, problem.images
    order = np.argsort(images.noisy, kind="stable")
    ends = np.searchsorted(images.noisy[order], np.arange(len(data.classes)), side="right")
    score = np.empty(len(images), np.float32)
    with progress(len(images), f"scoring with {detector.name}", unit="images") as bar:
        for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            for first in range(begin, end, READ_ROWS):
                part = order[first : min(first + READ_ROWS, end)]
                score[part] = detector.score(data.features(images, part), images.noisy[part], images.rows[part])
                bar.advance(len(part))
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        raise NlcliError(
            f"{detector.name} gave image '{problem.table.keys[images.rows[bad[0]]]}' a score that is not finite; "
            "check the features with other settings, such as a lower learning rate"
        )
    return score


# --- what comes of it ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Threshold:
    """A threshold and where it comes from.

    Attributes:
        value: A label is right where its score is at least this.
        chosen_on: ``validation``, ``detector`` (its own) or ``given``.
        images, error: Verified images that chose it, and the average error rate on them.
    """

    value: float
    chosen_on: str
    images: int = 0
    error: float | None = None

    def record(self) -> dict[str, Any]:
        return {"value": self.value, "chosen_on": self.chosen_on, "images": self.images, "error": self.error}


def _threshold(config: DetectNoise, detector: Detector, problem: _Problem, score: np.ndarray) -> _Threshold:
    from nlcli.detection.threshold import best_threshold
    from nlcli.detection.verification import RIGHT, UNVERIFIED

    own = detector.natural_threshold
    if config.threshold is not None:
        return _Threshold(config.threshold, "given")
    if detector.fixed_threshold and own is not None:
        return _Threshold(own, "detector")
    images = problem.images
    known = np.flatnonzero(problem.split("validation") & (images.label != UNVERIFIED))
    kinds = np.unique(images.label[known])
    if len(kinds) == 2:
        value, error = best_threshold(score[known], images.label[known], images.noisy[known])
        return _Threshold(value, "validation", len(known), error)
    # Where all are right, the best threshold would be to believe everything.
    reason = "no noisy label on validation is verified"
    if len(kinds):
        which = "right" if kinds[0] == RIGHT else "wrong"
        reason = f"all {len(known):,} verified noisy labels on validation are {which}"
    if own is None:
        raise NlcliError(
            f"{reason}, so they choose no threshold, and {detector.name} has none of its own; give one by --threshold, "
            "or verify some"
        )
    say(f"{reason}: {detector.name} keeps its own threshold")
    return _Threshold(own, "detector")


def _results(
    config: DetectNoise, detector: Detector, problem: _Problem, score: np.ndarray
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What detection.json says, and the columns of noise.parquet."""
    from nlcli.data.labels import SPLITS
    from nlcli.detection.verification import RIGHT, UNVERIFIED, WRONG

    table, images, label = problem.table, problem.images, problem.label
    threshold = _threshold(config, detector, problem, score)
    verdict = (score >= threshold.value).astype(np.int8)
    measured, where = _measured(config, problem, score, verdict, threshold)
    counts = measured != UNVERIFIED
    errors = where | _errors(problem, measured[counts], label[counts], counts)
    own = detector.natural_threshold
    at_own = None
    if own is not None and threshold.chosen_on != "detector":
        at_own = {"value": own, **_errors(problem, (score[counts] >= own).astype(np.int8), label[counts], counts)}
    planted = _planted(config, problem, verdict)
    splits = {name: problem.split(name) for name in SPLITS}
    info = {
        "method": detector.name,
        "title": detector.title,
        "options": detector.config.model_dump(mode="json"),
        "seed": config.seed,
        "classes": list(table.classes),
        "soft": detector.soft,
        "uses_verification": detector.uses_verification,
        "threshold": threshold.record() | {"meaning": detector.explain(threshold.value)},
        "held_out": {
            "classes": [table.classes[c] for c in np.flatnonzero(problem.held_out)],
            "drawn": config.hold_out is not None,
            "verification_used": config.use_held_out,
        },
        "clean": problem.clean,
        "verified": {
            name: {"right": int((images.label[rows] == RIGHT).sum()), "wrong": int((images.label[rows] == WRONG).sum())}
            for name, rows in splits.items()
            if name != "test"
        },
        "images": {name: int(rows.sum()) for name, rows in splits.items()},
        "called_wrong": {name: int((verdict[rows] == WRONG).sum()) for name, rows in splits.items()},
        "images_without_features": problem.without_features,
        "subsampled_classes": problem.data.subsampled,
        "errors": errors,
        "own_threshold": at_own,
        "planted": planted,
        "notes": detector.notes,
        "dataset_fingerprint": table.fingerprint,
        "backbone_fingerprint": problem.data.store.backbone_fingerprint,
    }
    columns = {
        "key": table.keys[images.rows],
        "path": table.paths[images.rows],
        "split": np.asarray(SPLITS, object)[table.split[images.rows]],
        "noisy": images.noisy,
        "verified": label,
        "score": score,
        "verdict": verdict,
        "measured": measured,
    }
    return info, columns


def _measured(
    config: DetectNoise, problem: _Problem, score: np.ndarray, verdict: np.ndarray, threshold: _Threshold
) -> tuple[np.ndarray, dict[str, Any]]:
    """Verdicts that count in the error rates, -1 elsewhere: on test, or else on validation.

    On validation an image's verdict is by a threshold that was chosen without it. Those of held-out
    classes had no part in choosing the threshold.
    """
    from nlcli.detection.threshold import cross_fitted
    from nlcli.detection.verification import UNVERIFIED

    images, label = problem.images, problem.label
    known = {name: problem.split(name) & (label != UNVERIFIED) for name in ("test", "validation")}
    measured = np.full(len(images), UNVERIFIED, np.int8)
    if known["test"].any():
        measured[known["test"]] = verdict[known["test"]]
        return measured, {"split": "test", "cross_fitted": False}
    if not known["validation"].any():
        return measured, {"split": None, "cross_fitted": False}
    measured[known["validation"]] = verdict[known["validation"]]
    if threshold.chosen_on != "validation":
        return measured, {"split": "validation", "cross_fitted": False}
    seen = np.flatnonzero(known["validation"] & (images.label != UNVERIFIED))
    # Their order must not matter for which fold they are in.
    seen = seen[np.argsort(problem.table.keys[images.rows[seen]].astype(str), kind="stable")]
    found = cross_fitted(score[seen], images.label[seen], images.noisy[seen], config.seed)
    measured[seen] = UNVERIFIED if found is None else found
    return measured, {"split": "validation", "cross_fitted": True}


def _errors(problem: _Problem, verdict: np.ndarray, label: np.ndarray, which: np.ndarray) -> dict[str, Any]:
    """Error rates of all classes, of held-out and of the other ones, and of each class."""
    from nlcli.detection.threshold import error_rates

    noisy = problem.images.noisy[which]
    inside = problem.held_out[noisy]

    def rates(rows: np.ndarray) -> ErrorRates | None:
        return error_rates(verdict[rows], label[rows], noisy[rows])

    every = rates(np.ones(len(noisy), bool))
    found: dict[str, Any] = {"all": every.record() if every is not None else None}
    if problem.held_out.any():
        for name, rows in (("held_out", inside), ("others", ~inside)):
            part = rates(rows)
            found[name] = part.record() if part is not None else None
    names = problem.table.classes
    found["by_class"] = [
        {**entry, "class": names[entry["class"]], "held_out": bool(problem.held_out[entry["class"]])}
        for entry in (every.by_class if every is not None else [])
    ]
    return found


def _planted(config: DetectNoise, problem: _Problem, verdict: np.ndarray) -> dict[str, Any] | None:
    """Error rates on the unverified training images, where planted noise tells the truth."""
    from nlcli.data.label_files import TRUTH, read_truth
    from nlcli.detection.verification import UNVERIFIED

    if not (config.dataset / TRUTH).is_file():
        return None
    true = read_truth(config.dataset, problem.table)[problem.images.rows]
    which = problem.split("train") & (problem.images.label == UNVERIFIED) & (true >= 0)
    label = (true == problem.images.noisy).astype(np.int8)
    return _errors(problem, verdict[which], label[which], which)


def _draw(
    config: DetectNoise, table: LabelTable, info: dict[str, Any], columns: dict[str, np.ndarray], work: Path
) -> None:
    """``scores.png``, and ``suspects.png`` with the training images whose labels are worst."""
    from nlcli.detection.plots import Suspect, scores_figure, suspects_figure
    from nlcli.detection.verification import UNVERIFIED

    known = columns["measured"] != UNVERIFIED
    score, verified = columns["score"], columns["verified"]
    if known.any():
        split = info["errors"]["split"]
        scores_figure(score[known], verified[known], info["threshold"]["value"], split, work / "scores.png")
    train = np.flatnonzero(columns["split"] == "train")
    worst = train[np.lexsort((columns["key"][train].astype(str), score[train]))][: config.suspects]
    words = {1: "right", 0: "wrong"}
    suspects = [
        Suspect(
            str(columns["key"][i]),
            table.image_root / columns["path"][i],
            table.classes[columns["noisy"][i]],
            float(score[i]),
            words.get(int(verified[i])),
        )
        for i in worst
    ]
    if suspects:
        suspects_figure(suspects, work / "suspects.png")


def _summary(info: dict[str, Any]) -> dict[str, Any]:
    errors = info["errors"]
    where = "nothing is verified to measure on"
    if errors["split"] is not None:
        where = errors["split"] + (", threshold cross-fitted" if errors["cross_fitted"] else "")
    found: dict[str, Any] = {
        "method": info["method"],
        "threshold": info["threshold"]["value"],
        "threshold_chosen_on": info["threshold"]["chosen_on"],
        "measured_on": where,
    }
    for group, prefix in (("all", ""), ("held_out", "held_out_"), ("others", "other_")):
        rates = errors.get(group)
        if rates is not None:
            found |= {
                f"{prefix}average_error": rates["average"],
                f"{prefix}micro_error": rates["micro"],
                f"{prefix}naive_average_error": rates["naive_average"],
            }
    if info["planted"] is not None and info["planted"]["all"] is not None:
        found["planted_average_error"] = info["planted"]["all"]["average"]
    images, called = sum(info["images"].values()), sum(info["called_wrong"].values())
    return found | {"images": images, "called_wrong": called}
