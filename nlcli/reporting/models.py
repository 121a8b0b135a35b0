"""What a page tells of classifiers and detectors: side by side, and the one that was chosen more closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.data.statistics import MOST_DENSE_CLASSES
from nlcli.evaluation.comparison.compare import RESULT, compare
from nlcli.evaluation.comparison.learning_curves import LearningCurve, over_seeds, read_learning_curve
from nlcli.evaluation.comparison.model_rows import Comparison, Row
from nlcli.evaluation.comparison.side_by_side_table import comparison_table
from nlcli.evaluation.metrics_file import ClassifierMetrics, read_metrics
from nlcli.evaluation.score_files import FILE, read_scores
from nlcli.evaluation.scored_images import Dense
from nlcli.metrics.confusion import Confusion
from nlcli.metrics.decisions import confusion_matrix
from nlcli.metrics.names import DETECTIONS, HEADINGS, LEARNING, LOWER_IS_BETTER, leading
from nlcli.reporting.reliability import Reliability
from nlcli.stages.stage import StageRecord
from nlcli.training.result import read_result

_NOISY = "noisy"
_MOST_CURVES = 8


@dataclass(frozen=True)
class Chosen:
    """The model of a table that is told of as the result, and the one before.

    Attributes:
        before, after: Rows; one and the same where there is only one.
        why: How ``after`` was chosen, a clause.
        flatters: Whether it was chosen by the very metric that is told.
    """

    before: Row
    after: Row
    why: str
    flatters: bool


@dataclass(frozen=True)
class Table:
    """Models side by side.

    Attributes:
        notes: Sentences under the table.
        chosen: None where the images are too few to rank.
        records: Of the evaluations; empty where only their comparison was given.
    """

    comparison: Comparison
    notes: tuple[str, ...]
    chosen: Chosen | None
    records: tuple[StageRecord, ...]

    @property
    def lead(self) -> str:
        """The metric that comes first."""
        return leading(self.comparison.names)

    @property
    def of_detectors(self) -> bool:
        """Whether detections of wrong labels are compared, not classifiers."""
        return self.comparison.task in DETECTIONS


@dataclass(frozen=True)
class Curve:
    """A metric on validation over the steps of training, mean over seeds."""

    label: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Closer:
    """A classifier looked at more closely.

    Attributes:
        name: Of its method.
        images: How many it was tested on.
        confusion: Of single labels.
        reliability: Of its probabilities; None where its scores are none.
        of_entries: Whether those are of every label of every image, not of the first answer.
    """

    name: str
    images: int
    confusion: Confusion | None
    reliability: Reliability | None
    of_entries: bool


# --- side by side ----------------------------------------------------------------------------


def read_tables(evaluations: Sequence[StageRecord], comparisons: Sequence[StageRecord]) -> list[Table]:
    """Evaluations side by side that can be: classifiers before detectors; without any, the comparisons given.

    Raises:
        NlcliError: a file is damaged, or evaluations of one data set and split do not fit together.
    """
    groups: dict[tuple[str, str, str | None], list[StageRecord]] = {}
    for record in evaluations:
        metrics = read_metrics(record)
        groups.setdefault((metrics.task, metrics.split, record.input_fingerprint("dataset")), []).append(record)
    for group in groups.values():  # the first one is what the others are compared with
        group.sort(key=lambda record: read_metrics(record).name != _NOISY)
    tables = [_table(compare([record.path for record in group]), tuple(group)) for group in groups.values()]
    if not tables:
        tables = [_table(Comparison.read(record.path / RESULT), ()) for record in comparisons]
    return sorted(tables, key=lambda table: table.of_detectors)


def _table(comparison: Comparison, records: tuple[StageRecord, ...]) -> Table:
    notes = comparison_table(comparison)[2]
    chosen = None if comparison.too_few_to_rank else _chosen(comparison, records)
    return Table(comparison, tuple(note[:1].upper() + note[1:] + "." for note in notes), chosen, records)


def _chosen(comparison: Comparison, records: Sequence[StageRecord]) -> Chosen | None:
    rows = [row for row in comparison.rows if row.metrics[leading(comparison.names)].value is not None]
    if not rows:
        return None
    before = next((row for row in rows if row.label.partition(" (")[0] == _NOISY), rows[0])
    if len(rows) == 1:
        return Chosen(before, before, "the only one", False)
    by_validation = _best_on_validation(comparison, records)
    if by_validation is not None:
        return Chosen(before, by_validation, "best on validation images, and not chosen by these", False)
    name = leading(comparison.names)
    sign = -1 if name in LOWER_IS_BETTER else 1
    best = max(rows, key=lambda row: sign * (row.metrics[name].value or 0.0))
    return Chosen(before, best, f"best of {len(rows)} on these very images, which flatters it", True)


def _best_on_validation(comparison: Comparison, records: Sequence[StageRecord]) -> Row | None:
    """The row whose checkpoints were best on validation; None where that is not told of all of them alike."""
    values: dict[str, list[float]] = {}
    names = set()
    for record in records:
        metrics = read_metrics(record)
        by = metrics.selection.selected_by
        if not isinstance(metrics, ClassifierMetrics) or by is None or by.value is None or by.metric is None:
            return None
        names.add((by.split, by.metric))
        values.setdefault(metrics.name, []).append(by.value)
    rows = {row.label.partition(" (")[0]: row for row in comparison.rows}
    if len(names) != 1 or set(values) != set(rows) or len(rows) != len(comparison.rows):
        return None
    ((_, metric),) = names
    sign = 1 if metric in HEADINGS and metric not in LOWER_IS_BETTER else -1  # a loss, where it is no metric of ours
    return rows[max(values, key=lambda name: sign * float(np.mean(values[name])))]


# --- curves ----------------------------------------------------------------------------------


def read_curves(runs: Sequence[StageRecord]) -> tuple[str, tuple[Curve, ...], int]:
    """The validation metric that all runs have, their curves, and how many runs have none.

    Runs of one method and one part of the clean set are seeds of each other.
    """
    curves: dict[str, list[LearningCurve]] = {}
    without = 0
    for run in runs:
        curve = read_learning_curve(run.path)
        if curve is None or not len(curve.steps):
            without += 1
            continue
        if not curve.of_training:  # strengths of regularisation in order, which would be drawn as steps
            continue
        curves.setdefault(_run_name(run), []).append(curve)
    shared = [name for name in LEARNING if all(name in curve.metrics for group in curves.values() for curve in group)]
    if not curves or not shared:
        return "", (), without
    metric = "top_1" if "top_1" in shared else "AP_all" if "AP_all" in shared else shared[0]
    told = []
    for label, group in list(curves.items())[:_MOST_CURVES]:
        steps, values = over_seeds(group, metric)
        if not len(steps):
            continue
        mean = values.mean(axis=0)
        known = np.isfinite(mean)
        if known.sum() > 1:
            told.append(Curve(label, tuple(steps[known].tolist()), tuple(mean[known].tolist())))
    return metric, tuple(told), without


def _run_name(run: StageRecord) -> str:
    method = str(run.config.get("method") or run.config.get("backbone") or run.path.name)
    options = run.config.get("options")
    told = [f"{name}={value}" for name, value in sorted(options.items())] if isinstance(options, dict) else []
    if run.config.get("preset"):
        told.insert(0, str(run.config["preset"]))
    fraction = run.config.get("clean_fraction")
    result = read_result(run.path)
    if result is not None and result.clean is not None and isinstance(fraction, int | float) and fraction != 1:
        told.append(f"{100 * fraction:g} % clean")
    return method + (f" ({', '.join(told)})" if told else "")


# --- one of them -----------------------------------------------------------------------------


def look_closer(table: Table) -> Closer | None:
    """The chosen classifier, of several seeds the first; None where its scores were not given.

    Raises:
        NlcliError: its scores are damaged.
    """
    if table.chosen is None or table.of_detectors:
        return None
    name = table.chosen.after.label.partition(" (")[0]
    record = next((record for record in table.records if read_metrics(record).name == name), None)
    if record is None:
        return None
    scored = read_scores(record.path / FILE)
    single = table.comparison.task == "single-label"
    known = scored.answers.known
    confusion = reliability = None
    if single and known.any():
        answers = scored.answers
        if len(scored.classes) <= MOST_DENSE_CLASSES:
            counts = confusion_matrix(answers.truth[known], answers.first[known], len(scored.classes))
            confusion = Confusion(scored.classes, counts)
        if isinstance(scored.verified, Dense):
            first = scored.verified.scores.max(axis=1)[known].astype(np.float64)
            reliability = Reliability.of(first, answers.truth[known] == answers.first[known])
    if not single:
        label, score = scored.together()
        reliability = Reliability.of(score.astype(np.float64), label > 0)
    return Closer(table.chosen.after.label, len(scored), confusion, reliability, not single)
