"""Single-label data sets: a score and a verdict for every noisy label, and how often verdicts are wrong."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlcli.console import progress, say
from nlcli.data.detection_files import (
    CleanSet,
    DetectionRecord,
    Errors,
    HeldOut,
    MeasuredErrors,
    OwnThresholdErrors,
    ScoredLabels,
    Threshold,
    Verified,
    write_detection,
)
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import TRUTH, read_truth
from nlcli.data.labels import SPLITS, LabelTable, noisy_classes
from nlcli.data.score_chosen import used_clean_set
from nlcli.detection import DETECTORS
from nlcli.detection.base import READ_ROWS, Data, Detector, Images, labelled_images
from nlcli.detection.fold_classifiers import FoldSettings, fold_classifiers
from nlcli.detection.label_probabilities import (
    Known,
    Suggestions,
    best_others,
    choosing_positions,
    label_probabilities,
)
from nlcli.detection.plots import Suspect, scores_plot, suspects_plot
from nlcli.detection.threshold import (
    Choice,
    best_threshold,
    class_errors,
    cross_fitted,
    error_rates,
    own_unless_believing,
)
from nlcli.detection.verification import (
    RIGHT,
    UNVERIFIED,
    WRONG,
    draw_held_out,
    read_held_out,
    verification_labels,
    visible_classes,
    visible_labels,
    withheld,
)
from nlcli.errors import NlcliError
from nlcli.metrics.intervals import FEWEST_TO_RANK
from nlcli.runtime import one_blas_thread

if TYPE_CHECKING:
    from nlcli.detection.config import DetectNoise

ENOUGH = 200
"""Verified images of test from which on errors are measured on these alone."""
FIT = "fit"  # what a detector keeps in the work directory until its scores are there
SUGGEST = "suggest"
_SUGGESTING = FoldSettings(folds=3, strength=10**-3.5, weights=(1.0,))


@one_blas_thread()  # scores have the same bits on any number of threads
def detect_wrong_labels(
    config: DetectNoise, detector: Detector, table: LabelTable, store: FeatureStore, work: Path
) -> dict[str, Any]:
    """Write the files of a detection into ``work``; what ``nlcli info`` shows of it.

    Held-out classes lend their images, not their verification: neither the detector nor the threshold
    sees any of it.

    Raises:
        NlcliError: nothing verified where the detector or the threshold needs it; scores that are not finite.
    """
    problem = _problem(config, detector, table, store)
    kept = work / FIT
    kept.mkdir(exist_ok=True)
    detector.fit(problem.data, config.seed, kept)
    scored = _scored(detector, problem, config.seed, kept)
    info, labels = _results(config, detector, problem, scored)
    for remark in info.remarks:
        say(f"note: {info.method}: {remark}")
    write_detection(work, info, labels)
    _draw(config, table, info, labels, work)
    detector.write_more(problem.data, config.seed, work)
    shutil.rmtree(kept)
    return _summary(info)


# --- what is known ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Problem:
    """What is to be scored, and what is known of it.

    Attributes:
        data: What the detector sees.
        images: All images of all splits with a noisy label and features; labels as the detector sees them.
        label: (n,) int8, all that is verified of them.
        held_out: (C,) bool.
        clean: The training images whose verification the detector was fitted on: none where it uses none.
    """

    table: LabelTable
    data: Data
    images: Images
    label: np.ndarray
    held_out: np.ndarray
    clean: CleanSet
    without_features: int

    def split(self, name: str) -> np.ndarray:
        """(n,) bool."""
        inside: np.ndarray = self.table.split[self.images.rows] == SPLITS.index(name)
        return inside


def _problem(config: DetectNoise, detector: Detector, table: LabelTable, store: FeatureStore) -> _Problem:
    label, noisy = verification_labels(table), noisy_classes(table)
    held_out = _held_out(config, table.classes)
    visible = visible_labels(table, config.clean_fraction, config.seed, held_out & (not config.use_held_out))
    train = table.rows("train")
    learns = detector.uses_verification or detector.takes_verification
    used = train[visible[train] != UNVERIFIED] if learns else train[:0]
    data = Data(
        withheld(table, visible),
        store,
        true=visible_classes(table, visible, held_out & (not config.use_held_out)),
        classifier=config.classifier,
        class_images=config.class_images,
    )
    if not len(data.train):
        raise NlcliError(f"no training image of {config.dataset} has a noisy label and features")
    if detector.uses_verification and not len(data.train.verified):
        outside = " outside the held-out classes" if held_out.any() and not config.use_held_out else ""
        others = [n for n, cls in DETECTORS.items() if not cls.uses_verification and not cls.fixed_threshold]
        raise NlcliError(
            f"{config.method} learns from verified noisy labels, and no training image{outside} has one and features; "
            f"verify some, or use a detector that needs none ({', '.join(others)})"
        )
    images = labelled_images(data.table, store, np.arange(len(table)))
    missing = int((noisy >= 0).sum()) - len(images)
    if missing:
        say(f"{missing:,} images with a noisy label have no features and are left out")
    clean = CleanSet(**used_clean_set(config.dataset, table, used), fraction=config.clean_fraction, seed=config.seed)
    return _Problem(table, data, images, label[images.rows], held_out, clean, missing)


def _held_out(config: DetectNoise, classes: tuple[str, ...]) -> np.ndarray:
    names: tuple[str, ...] = ()
    if config.hold_out is not None:
        names = draw_held_out(classes, config.hold_out, config.seed)
    elif config.hold_out_classes is not None:
        names = read_held_out(config.hold_out_classes, classes)
    return np.isin(np.asarray(classes, object), names)


@dataclass(frozen=True, eq=False)
class _Scored:
    """(n,) float32 scores of all images, and what the detector or classifiers of the noisy labels suggest instead."""

    score: np.ndarray
    suggestions: Suggestions


def _scored(detector: Detector, problem: _Problem, seed: int, work: Path) -> _Scored:
    """Of all images, class by class."""
    data, images = problem.data, problem.images
    order = np.argsort(images.noisy, kind="stable")
    ends = np.searchsorted(images.noisy[order], np.arange(len(data.classes)), side="right")
    score = np.empty(len(images), np.float32)
    suggestions = Suggestions.none(len(images))
    classifiers = _Classifiers(data, seed, work / SUGGEST)
    with progress(len(images), f"scoring with {detector.name}", unit="images") as bar:
        for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            for first in range(begin, end, READ_ROWS):
                part = order[first : min(first + READ_ROWS, end)]
                features, noisy, rows = data.features(images, part), images.noisy[part], images.rows[part]
                score[part] = detector.score(features, noisy, rows)
                probabilities = detector.class_probabilities(features, noisy, rows)
                if probabilities is None:
                    probabilities = classifiers.probabilities(features, rows)
                if probabilities is not None and len(data.classes) > 1:
                    suggestions.other[part], suggestions.share[part] = best_others(probabilities, noisy)
                bar.advance(len(part))
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        raise NlcliError(
            f"{detector.name} gave image '{problem.table.keys[images.rows[bad[0]]]}' a score that is not finite; "
            "check the features with other settings, such as a lower learning rate"
        )
    return _Scored(score, suggestions)


class _Classifiers:
    """Out-of-fold classifiers of the noisy labels, solved when they are first asked: they only suggest classes."""

    def __init__(self, data: Data, seed: int, work: Path) -> None:
        self._data, self._seed, self._work = data, seed, work

    def probabilities(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """(n, C), or None where there are too few images for folds."""
        if len(self._data.train) < _SUGGESTING.folds:
            return None
        self._work.mkdir(exist_ok=True)
        classifiers = fold_classifiers(self._data, self._seed, self._work, _SUGGESTING)
        return classifiers.probabilities(features, rows)


# --- what comes of it ------------------------------------------------------------------------


def _threshold(config: DetectNoise, detector: Detector, problem: _Problem, score: np.ndarray) -> Threshold:
    """The threshold that is given, or chosen on verified images, or the detector's own."""
    own = detector.natural_threshold
    if config.threshold is not None:
        return _explained(detector, config.threshold, "given")
    if detector.fixed_threshold and own is not None:
        return _explained(detector, own, "detector")
    known = _choosing(detector, problem) if detector.out_of_fold else _verified(problem, ("validation",))
    kinds = np.unique(known.label)
    if len(kinds) == 2 and known.split is not None:
        scores, noisy = score[known.positions], problem.images.noisy[known.positions]
        value, error = _choice(detector)(scores, known.label, noisy)
        told: dict[str, Any] = {"chosen_on": known.split, "images": len(known.label), "error": error}
        if np.isfinite(value):
            return _explained(detector, value, **told)
        meaning = f"every label is right: its verdicts err no less often on the verified labels of {known.split}"
        return Threshold(value=float(score.min()) - 1.0, meaning=meaning, **told)
    # Where all are right, the best threshold would be to believe everything.
    reason = "no noisy label on validation is verified"
    if len(kinds):
        which = "right" if kinds[0] == RIGHT else "wrong"
        reason = f"all {len(known.label):,} verified noisy labels on {known.split} are {which}"
    if own is None:
        raise NlcliError(
            f"{reason}, so they choose no threshold, and {detector.name} has none of its own; give one by --threshold, "
            "or verify some"
        )
    kept = _explained(detector, own, "detector")
    say(f"{reason}: {detector.name} keeps its own threshold{'' if kept.meaning is None else f', {kept.meaning}'}")
    return kept


def _choice(detector: Detector) -> Choice:
    """How verified labels choose the detector's threshold."""
    own = detector.natural_threshold
    return partial(own_unless_believing, own=own) if detector.cautious and own is not None else best_threshold


def _choosing(detector: Detector, problem: _Problem) -> Known:
    """The verified images whose scores do not know what is verified of them."""
    learns = detector.uses_verification or detector.takes_verification
    if learns and not detector.out_of_fold:
        return _verified(problem, ("validation",))
    parts = choosing_positions(problem.data)
    names = {id(problem.data.train): "train", id(problem.data.validation): "validation"}
    return _verified(problem, tuple(names[id(images)] for images, _ in parts))


def _verified(problem: _Problem, names: tuple[str, ...]) -> Known:
    """What may be seen of the verified images of some splits."""
    images, table = problem.images, problem.table
    inside = np.logical_or.reduce([problem.split(name) for name in names])
    positions = np.flatnonzero(inside & (images.label != UNVERIFIED))
    positions = positions[np.argsort(table.keys[images.rows[positions]], kind="stable")]
    seen = [name for name in names if problem.split(name)[positions].any()]
    split: Any = "+".join(seen) or None
    return Known(positions, images.label[positions], problem.data.true[images.rows[positions]], split)


def _explained(
    detector: Detector,
    value: float,
    chosen_on: Literal["validation", "train", "train+validation", "detector", "given"],
    **known: Any,
) -> Threshold:
    return Threshold(value=float(value), chosen_on=chosen_on, meaning=detector.explain(value), **known)


def _results(
    config: DetectNoise, detector: Detector, problem: _Problem, scored: _Scored
) -> tuple[DetectionRecord, ScoredLabels]:
    """What detection.json says, and the rows of noise.parquet."""
    table, images, label, score = problem.table, problem.images, problem.label, scored.score
    threshold = _threshold(config, detector, problem, score)
    verdict = (score >= threshold.value).astype(np.int8)
    known = _choosing(detector, problem)
    own_probability = score if detector.score_is_probability else None
    probabilities = label_probabilities(
        score, images.noisy, len(table.classes), known, scored.suggestions, config.seed, own_probability
    )
    measured, split, crossed = _measured(config, problem, score, verdict, threshold, choice=_choice(detector))
    counts = measured != UNVERIFIED
    own, at_own = detector.natural_threshold, None
    if own is not None and threshold.chosen_on != "detector":
        at_own = OwnThresholdErrors(value=float(own), **_errors(problem, (score >= own).astype(np.int8), label, counts))
    splits = {name: problem.split(name) for name in SPLITS}
    errors = MeasuredErrors(split=split, cross_fitted=crossed, **_errors(problem, measured, label, counts))
    info = DetectionRecord(
        method=detector.name,
        title=detector.title,
        options=detector.config.model_dump(mode="json"),
        seed=config.seed,
        classes=table.classes,
        soft=detector.soft,
        uses_verification=detector.uses_verification,
        threshold=threshold,
        held_out=HeldOut(
            classes=tuple(table.classes[c] for c in np.flatnonzero(problem.held_out)),
            drawn=config.hold_out is not None,
            verification_used=config.use_held_out,
        ),
        clean=problem.clean,
        verified={
            name: Verified(right=_count(images.label[rows] == RIGHT), wrong=_count(images.label[rows] == WRONG))
            for name, rows in splits.items()
            if name != "test"
        },
        images={name: _count(rows) for name, rows in splits.items()},
        called_wrong={name: _count(verdict[rows] == WRONG) for name, rows in splits.items()},
        images_without_features=problem.without_features,
        subsampled_classes=problem.data.subsampled,
        errors=errors,
        own_threshold=at_own,
        planted=_planted(config, problem, verdict),
        remarks=(*detector.remarks, *(() if detector.name == "naive" else _remarks(errors))),
        probabilities=probabilities.record,
        notes=detector.notes,
        dataset_fingerprint=table.fingerprint,
        backbone_fingerprint=problem.data.store.backbone_fingerprint,
    )
    labels = ScoredLabels(
        keys=table.keys[images.rows],
        paths=table.paths[images.rows],
        splits=np.asarray(SPLITS, object)[table.split[images.rows]],
        noisy=images.noisy,
        verified=label,
        score=score,
        verdict=verdict,
        measured=measured,
        probability=probabilities.right,
        suggested=scored.suggestions.other,
        suggested_probability=probabilities.other,
    )
    return info, labels


def _count(which: np.ndarray) -> int:
    return int(which.sum())


def _measured(
    config: DetectNoise,
    problem: _Problem,
    score: np.ndarray,
    verdict: np.ndarray,
    threshold: Threshold,
    *,
    choice: Choice,
) -> tuple[np.ndarray, Literal["test", "validation", "validation+test"] | None, bool]:
    """Verdicts that count in the error rates, -1 elsewhere; the split they are of; and if cross-fitted.

    On test, where ``ENOUGH`` are verified; else on validation as well, so that no verified image that had
    no part in training is left out. On validation an image's verdict is by a threshold that was chosen
    without it. No image of test chooses anything. Those of held-out classes had no part in choosing the
    threshold.
    """
    images, label = problem.images, problem.label
    known = {name: problem.split(name) & (label != UNVERIFIED) for name in ("test", "validation")}
    measured = np.full(len(images), UNVERIFIED, np.int8)
    on_test = int(known["test"].sum())
    measured[known["test"]] = verdict[known["test"]]
    if on_test >= ENOUGH or not known["validation"].any():
        return measured, "test" if on_test else None, False
    split: Literal["validation", "validation+test"] = "validation+test" if on_test else "validation"
    measured[known["validation"]] = verdict[known["validation"]]
    if threshold.chosen_on not in ("validation", "train+validation"):
        return measured, split, False
    if choice is not best_threshold and verdict.all():
        return measured, split, False  # every label is believed, whatever part of them chose that
    names = ("validation",) if threshold.chosen_on == "validation" else ("train", "validation")
    seen = _verified(problem, names).positions
    by_others = cross_fitted(score[seen], images.label[seen], images.noisy[seen], config.seed, choice)
    measured[seen] = UNVERIFIED if by_others is None else by_others
    measured[problem.split("train")] = UNVERIFIED
    return measured, split, True


def _errors(problem: _Problem, verdict: np.ndarray, label: np.ndarray, which: np.ndarray) -> dict[str, Any]:
    """The fields of ``Errors``, of the images ``which`` (n,) bool."""
    noisy, classes, held_out = problem.images.noisy[which], problem.table.classes, problem.held_out
    of_classes = class_errors(verdict[which], label[which], noisy, classes, held_out)
    some = held_out.any()
    return {
        "all": error_rates(of_classes),
        "held_out": error_rates([c for c in of_classes if c.held_out]) if some else None,
        "others": error_rates([c for c in of_classes if not c.held_out]) if some else None,
        "by_class": of_classes,
    }


def _planted(config: DetectNoise, problem: _Problem, verdict: np.ndarray) -> Errors | None:
    """Error rates on the unverified training images, where planted noise tells the truth."""
    if not (config.dataset / TRUTH).is_file():
        return None
    true = read_truth(config.dataset, problem.table)[problem.images.rows]
    which = problem.split("train") & (problem.images.label == UNVERIFIED) & (true >= 0)
    return Errors(**_errors(problem, verdict, (true == problem.images.noisy).astype(np.int8), which))


def _remarks(errors: MeasuredErrors) -> tuple[str, ...]:
    """What should not be taken as it is."""
    rates = errors.all
    if rates is None or not rates.wrong or rates.average < rates.naive_average:
        return ()
    return (
        f"no better than believing every label: average error {rates.average:.4f}, and {rates.naive_average:.4f} by "
        f"calling all {rates.images:,} verified labels of {errors.split} right",
    )


def _draw(config: DetectNoise, table: LabelTable, info: DetectionRecord, labels: ScoredLabels, work: Path) -> None:
    """``scores.png``, and ``suspects.png`` with the training images whose labels are worst."""
    known = labels.measured != UNVERIFIED
    if known.any():
        scores_plot(
            labels.score[known],
            labels.verified[known],
            info.threshold.value,
            str(info.errors.split),
            work / "scores.png",
        )
    train = np.flatnonzero(labels.splits == "train")
    by_key = train[np.argsort(labels.keys[train], kind="stable")]
    worst = by_key[np.argsort(labels.score[by_key], kind="stable")][: config.suspects]
    words = {RIGHT: "right", WRONG: "wrong"}
    suspects = [
        Suspect(
            str(labels.keys[i]),
            table.image_root / labels.paths[i],
            table.classes[labels.noisy[i]],
            float(labels.score[i]),
            words.get(int(labels.verified[i])),
        )
        for i in worst
    ]
    if suspects:
        suspects_plot(suspects, work / "suspects.png")


def _summary(info: DetectionRecord) -> dict[str, Any]:
    """What ``nlcli info`` shows."""
    errors = info.errors
    where = "nothing is verified to measure on"
    if errors.split is not None and errors.all is not None:
        where = f"{errors.all.images:,} verified images of {errors.split}, {errors.all.classes} of "
        where += f"{len(info.classes)} classes" + (", threshold cross-fitted" if errors.cross_fitted else "")
        if errors.all.images < FEWEST_TO_RANK:
            where += f"; fewer than {FEWEST_TO_RANK} rank no detectors"
    summary: dict[str, Any] = {
        "method": info.method,
        "threshold": info.threshold.value,
        "threshold_chosen_on": info.threshold.chosen_on,
        "measured_on": where,
    }
    for prefix, rates in (("", errors.all), ("held_out_", errors.held_out), ("other_", errors.others)):
        if rates is not None:
            summary |= {
                f"{prefix}average_error": rates.average,
                f"{prefix}average_error_interval": _ends_told(rates.average_interval),
                f"{prefix}micro_error": rates.micro,
                f"{prefix}micro_error_interval": _ends_told(rates.micro_interval),
                f"{prefix}naive_average_error": rates.naive_average,
            }
            if prefix:
                summary[f"{prefix}images"] = rates.images
    if info.planted is not None and info.planted.all is not None:
        summary["planted_average_error"] = info.planted.all.average
        summary["planted_images"] = info.planted.all.images
    summary |= {
        "clean_images": info.clean.images,
        **info.clean.apart,
        "clean_images_that_chose_the_threshold": info.threshold.images,
        "images": sum(info.images.values()),
        "called_wrong": sum(info.called_wrong.values()),
    }
    return summary | ({"remarks": list(info.remarks)} if info.remarks else {})


def _ends_told(ends: tuple[float, float] | None) -> str:
    return "too few images to tell" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"
