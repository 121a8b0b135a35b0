"""Several labels an image: a probability for every entry that matters, which tags are wrong, which are missing.

The detector scores entries. Verified entries of the clean training images and of validation make calibrated
probabilities and two thresholds of the scores (``judgement.py``); nothing of test has a part in them. Errors are
measured on test where it has ``ENOUGH`` verified images, else also on validation and then on the clean part of train,
each of their images judged without its fold. Images are then gone through in blocks: nothing grows with images times
classes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlcli.console import progress, say
from nlcli.data.detection_files import CleanSet
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import TRUTH
from nlcli.data.labels import NONE, SPLITS, LabelTable
from nlcli.data.score_chosen import used_clean_set
from nlcli.data.tag_detection_files import (
    VERIFIED,
    MeasuredEntries,
    TagDetectionRecord,
    TagDetectionWriter,
    TagEntries,
    VerifiedEntries,
    write_verified,
)
from nlcli.data.true_tags import read_true_tags
from nlcli.detection.tags import TAG_DETECTORS
from nlcli.detection.tags.base import TagData, TagDetector
from nlcli.detection.tags.fold_regressions import kept_arrays
from nlcli.detection.tags.judgement import FEWEST, OfKind, fit_kind, odds_by_kind
from nlcli.detection.tags.measured_tags import ImageCounts, joined_counts, surest_share
from nlcli.detection.tags.verified import (
    ScoredEntries,
    image_folds,
    known_rows,
    only_known,
    scored_blocks,
    scored_entries,
    within_bounds,
)
from nlcli.errors import NlcliError
from nlcli.estimation.calibration import sigmoid
from nlcli.runtime import one_blas_thread

FIT = "fit"
"""Folder in the work directory for what was fitted, and for entries of images that were scored, until all are there."""
PART = 1 << 15
"""Images whose entries are kept together: a stopped run goes on behind them."""
ENOUGH = 200
"""Verified images of test from which on errors are measured on these alone."""


@dataclass(frozen=True)
class TagSettings:
    """How entries are judged; as ``DetectNoise`` has them.

    Attributes:
        threshold, missing_threshold: Probabilities from which on a class is called present, where its tag is given and
            where it is not; None: chosen.
    """

    seed: int
    clean_fraction: float
    threshold: float | None
    missing_threshold: float | None
    floor: float
    others: int


@dataclass(frozen=True, eq=False)
class TagsDetected:
    """What came of it, for pictures.

    Attributes:
        info: What ``detection.json`` says.
        suspects: Training entries called wrong that are most surely so.
        verified: Entries that errors were measured on.
    """

    info: TagDetectionRecord
    suspects: TagEntries
    verified: VerifiedEntries


@one_blas_thread()  # scores have the same bits on any number of threads
def detect_tags(
    settings: TagSettings,
    detector: TagDetector,
    table: LabelTable,
    store: FeatureStore,
    dataset: Path,
    work: Path,
    *,
    run: Path | None = None,
    score: str | None = None,
    suspects: int = 0,
) -> TagsDetected:
    """Write the files of a detection into ``work``.

    Raises:
        NlcliError: nothing verified where the detector needs it; scores that are not finite.
    """
    kept = work / FIT
    problem = _problem(settings, detector, table, dataset, store, run, score, kept)
    detector.fit(problem.data, settings.seed)
    judged = _judge(settings, detector, problem)
    scoring = _Scoring(settings, detector, problem, judged, *_planted_truth(dataset, problem))
    entries, called, planted, worst = _write_entries(scoring, work, suspects)
    write_verified(work / VERIFIED, judged.verified, table.classes)
    shutil.rmtree(kept, ignore_errors=True)  # a detector that keeps nothing did not make it
    info = TagDetectionRecord(
        task="multi-label",
        method=detector.name,
        title=detector.title,
        options=detector.config.model_dump(mode="json"),
        seed=settings.seed,
        classes=table.classes,
        uses_verification=detector.uses_verification,
        floor=settings.floor,
        others=settings.others,
        thresholds={"given": judged.given.threshold, "missing": judged.missing.threshold},
        calibration={"given": judged.given.record, "missing": judged.missing.record},
        clean=problem.clean,
        images={name: int((table.split[problem.scored] == i).sum()) for i, name in enumerate(SPLITS)},
        entries={"given": entries["given"], "missing": entries["missing"]},
        called={"given": called["given"], "missing": called["missing"]},
        images_without_features=len(table) - len(problem.scored),
        measured=judged.measured,
        planted=planted,
        notes=detector.notes,
        remarks=_remarks(detector, judged),
        dataset_fingerprint=table.fingerprint,
        backbone_fingerprint=store.backbone_fingerprint,
    )
    return TagsDetected(info, worst, judged.verified)


# --- what is known ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is to be scored, and what is known of it.

    Attributes:
        table: With all that is verified.
        data: What the detector sees.
        scored: int64 rows with features.
        known: int64 rows among them whose verification may be used.
        fold: (N,) of every image.
        clean: The training images whose verification may be used.
    """

    table: LabelTable
    data: TagData
    scored: np.ndarray
    known: np.ndarray
    fold: np.ndarray
    clean: CleanSet


def _problem(
    settings: TagSettings,
    detector: TagDetector,
    table: LabelTable,
    dataset: Path,
    store: FeatureStore,
    run: Path | None,
    score: str | None,
    kept: Path,
) -> _Problem:
    stored = store.rows_of(table.keys, strict=False)
    scored = np.flatnonzero(stored >= 0)
    missing = len(table) - len(scored)
    if missing:
        say(f"{missing:,} images have no features and are left out")
    if not (table.split[scored] == SPLITS.index("train")).any():
        raise NlcliError("no training image of the data set has features; extract them")
    known = known_rows(table, settings.clean_fraction, settings.seed)
    known = known[stored[known] >= 0]
    of_train = known[table.split[known] == SPLITS.index("train")]
    if detector.uses_verification and not len(of_train):
        others = [n for n, cls in TAG_DETECTORS.items() if not (cls.uses_verification or cls.believes or cls.takes_run)]
        raise NlcliError(
            f"{detector.name} learns from verified training images, and none has features; verify some, or use a "
            f"detector that needs none ({', '.join(others)})"
        )
    data = TagData(only_known(table, known), store, stored, run=run, score=score, kept=kept)
    clean = CleanSet(**used_clean_set(dataset, table, of_train), fraction=settings.clean_fraction, seed=settings.seed)
    return _Problem(table, data, scored, known, image_folds(table, settings.seed), clean)


# --- probabilities and verdicts --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Judge:
    """Probabilities and verdicts of entries, and what they were found to be worth.

    Attributes:
        fold: (N,) of the images that calibration and thresholds were fitted to, -1 of others.
    """

    given: OfKind
    missing: OfKind
    fold: np.ndarray
    verified: VerifiedEntries
    measured: MeasuredEntries

    def probability(self, scores: np.ndarray, given: np.ndarray, classes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """float64, in the common shape of the arguments."""
        return sigmoid(odds_by_kind([(scores, self.given)], [(scores, self.missing)], given, classes, self.fold[rows]))

    def called_present(self, probability: np.ndarray, given: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Verdicts: bool, by the threshold of all verified entries."""
        outside = np.full(np.shape(rows), -1)
        called = self.missing.called_present(probability, outside)
        return np.where(given, self.given.called_present(probability, outside), called)


def _judge(settings: TagSettings, detector: TagDetector, problem: _Problem) -> _Judge:
    table, classes = problem.table, problem.table.num_classes
    usable = np.setdiff1d(problem.known, detector.seen)
    usable = within_bounds(table, usable, settings.seed)
    entries = scored_entries(detector, problem.data, table, usable, problem.fold)
    fixed: tuple[float | None, float | None] = (0.0, 1.0) if detector.believes else (None, None)
    given = fit_kind(entries.at(entries.given), classes, settings.threshold, fixed[0])
    missing = fit_kind(entries.at(~entries.given), classes, settings.missing_threshold, fixed[1])
    fold = np.full(len(table), -1)
    fold[usable] = problem.fold[usable]
    test = np.flatnonzero((table.split == SPLITS.index("test")) & (table.verification > NONE))
    test = within_bounds(table, np.intersect1d(test, problem.scored), settings.seed)
    of_test = scored_entries(detector, problem.data, table, test, fold)
    pool, names = _pool(table, of_test, entries)
    probability = sigmoid(
        odds_by_kind([(pool.score, given)], [(pool.score, missing)], pool.given, pool.classes, pool.fold)
    )
    called = np.where(
        pool.given, given.called_present(probability, pool.fold), missing.called_present(probability, pool.fold)
    )
    verified = VerifiedEntries(
        keys=table.keys[pool.rows],
        splits=np.asarray(SPLITS, object)[table.split[pool.rows]],
        classes=pool.classes,
        given=pool.given,
        present=pool.present,
        score=pool.score,
        probability=probability.astype(np.float32),
        called_present=called,
    )
    counts = ImageCounts.of_entries(pool.rows, pool.given, pool.present, called)
    surest = [
        surest_share(pool.rows[which], np.where(pool.given, 1 - probability, probability)[which], wrong[which])
        for wrong in (pool.given != pool.present,)
        for which in (pool.given, ~pool.given)
    ]
    measured = counts.measured("+".join(names) or None, bool(names) and names != ["test"], surest)
    return _Judge(given, missing, fold, verified, measured)


def _pool(table: LabelTable, test: ScoredEntries, known: ScoredEntries) -> tuple[ScoredEntries, list[str]]:
    """Entries that errors are measured on, and the splits that they are of."""
    parts: dict[str, ScoredEntries] = {}
    images = 0
    for name in ("test", "validation", "train"):
        of_split = test if name == "test" else known.at(table.split[known.rows] == SPLITS.index(name))
        if images < ENOUGH and len(of_split):
            parts[name] = of_split
            images += len(np.unique(of_split.rows))
    chosen = [parts[name] for name in SPLITS if name in parts] or [test]
    fields = ("rows", "classes", "given", "present", "score", "fold")
    together = {field: np.concatenate([getattr(part, field) for part in chosen]) for field in fields}
    return ScoredEntries(**together), [name for name in SPLITS if name in parts]


# --- every image -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Scoring:
    """What it takes to score images.

    Attributes:
        truth: (N, C) CSR of true tags where noise was planted, else None.
        asked: (N,) bool: the images whose true tags are told of.
    """

    settings: TagSettings
    detector: TagDetector
    problem: _Problem
    judge: _Judge
    truth: Any
    asked: np.ndarray


def _write_entries(
    scoring: _Scoring, work: Path, suspects: int
) -> tuple[dict[str, int], dict[str, dict[str, int]], MeasuredEntries | None, TagEntries]:
    """``noise.parquet``; entries and those called wrong, errors on planted noise, and the worst of train."""
    table, scored, name = scoring.problem.table, scoring.problem.scored, scoring.detector.name
    planted: list[ImageCounts] = []
    with TagDetectionWriter(work, table.classes) as writer:
        with progress(len(scored), f"scoring with {name}", unit="images") as bar:
            for number, first in enumerate(range(0, len(scored), PART)):
                rows = scored[first : first + PART]
                part = kept_arrays(work / FIT / "entries", f"{number:05d}", partial(_scored_part, scoring, rows))
                planted.append(ImageCounts(part.pop("counts")))
                writer.write(_entries(table, **part))
                bar.advance(len(rows))
        worst = writer.surest(suspects, "train")
    told = joined_counts(planted)
    return writer.entries, writer.called, told.measured("train", False) if len(told) else None, worst


def _scored_part(scoring: _Scoring, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The entries of some images as arrays, and their planted errors counted."""
    problem, judge = scoring.problem, scoring.judge
    parts: list[dict[str, np.ndarray]] = []
    counts: list[ImageCounts] = []
    for some, scores, tags in scored_blocks(scoring.detector, problem.data, rows):
        given = tags > 0
        probability = judge.probability(scores, given, np.arange(problem.table.num_classes), some[:, None])
        called = judge.called_present(probability, given, some[:, None])
        parts.append(_chosen(scoring.settings, problem.table, some, scores, probability, given, called))
        if scoring.truth is not None and scoring.asked[some].any():
            among = np.flatnonzero(scoring.asked[some])
            true = scoring.truth[some[among]].toarray() > 0
            counts.append(ImageCounts.of_images(given[among], true, called[among]))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return columns | {"counts": joined_counts(counts).counts}


def _planted_truth(dataset: Path, problem: _Problem) -> tuple[Any, np.ndarray]:
    """True tags where noise was planted, else None; and (N,) bool: training images that were not to be known."""
    asked = problem.table.split == SPLITS.index("train")
    asked[problem.known] = False
    if not (dataset / TRUTH).is_file():
        return None, asked
    truth, known = read_true_tags(dataset, problem.table)
    return truth, asked & known


def _chosen(
    settings: TagSettings,
    table: LabelTable,
    rows: np.ndarray,
    scores: np.ndarray,
    probability: np.ndarray,
    given: np.ndarray,
    called: np.ndarray,
) -> dict[str, np.ndarray]:
    """Given tags, and of every image at most ``others`` other classes from ``floor`` on, as arrays by name."""
    chosen = given | likeliest(np.where(given, -1.0, probability), settings.others, settings.floor)
    row, column = np.nonzero(chosen)
    present, known = table.verified_targets(rows)
    said = np.where(known > 0, present.astype(np.int8), np.int8(-1))
    return {
        "rows": rows[row].astype(np.int32),
        "classes": column.astype(np.int32),
        "given": given[row, column],
        "score": scores[row, column],
        "probability": probability[row, column].astype(np.float32),
        "right": given[row, column] == called[row, column],
        "verified": said[row, column],
    }


def _entries(table: LabelTable, rows: np.ndarray, classes: np.ndarray, **columns: np.ndarray) -> TagEntries:
    """What ``_chosen`` gave, with names of images and splits."""
    return TagEntries(
        keys=table.keys[rows],
        splits=np.asarray(SPLITS, object)[table.split[rows]],
        classes=classes.astype(np.int64),
        **columns,
    )


def likeliest(probability: np.ndarray, most: int, floor: float) -> np.ndarray:
    """(n, C) bool: at most ``most`` of each row's largest values, none below ``floor``; of equals the first."""
    if most == 0:
        return np.zeros(probability.shape, bool)
    enough: np.ndarray = probability >= floor
    rows = np.flatnonzero(enough.sum(axis=1) > most)
    if len(rows):
        part = probability[rows]
        least = np.partition(part, -most, axis=1)[:, -most, None]  # of those that there is room for
        above, equal = part > least, part == least
        room = most - above.sum(axis=1, keepdims=True)
        enough[rows] = above | (equal & (np.cumsum(equal, axis=1) <= room))
    return enough


# --- what should be said ---------------------------------------------------------------------


def _remarks(detector: TagDetector, judge: _Judge) -> tuple[str, ...]:
    """What should not be taken as it is."""
    remarks = []
    kinds: tuple[tuple[str, OfKind, Literal["given", "missing"]], ...] = (
        ("given tags", judge.given, "given"),
        ("missing tags", judge.missing, "missing"),
    )
    for name, of_kind, kind in kinds:
        on = of_kind.record.entries
        if not on:
            remarks.append(
                f"no {name} are verified, so their probabilities are what {detector.name} says and not calibrated; "
                "verify some images"
            )
        elif on < FEWEST:
            remarks.append(f"probabilities of {name} rest on {on:,} verified entries and are not to be trusted")
        tags: Any = getattr(judge.measured, kind)
        if 0 < tags.entries < FEWEST:
            remarks.append(
                f"precision and recall of {name} are measured on {tags.entries:,} verified entries and are not to be "
                "trusted"
            )
    error, naive = judge.measured.error, judge.measured.naive_error
    if error.value is not None and naive.value is not None and not detector.believes and error.value >= naive.value:
        remarks.append(
            f"no better than believing every label: {error.value:.4f} of the {error.whole:,} verified entries are "
            f"wrong after the verdicts, {naive.value:.4f} as they were given"
        )
    return tuple(remarks)
