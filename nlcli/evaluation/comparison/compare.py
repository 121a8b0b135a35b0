"""Evaluations side by side: figures with intervals, seeds together, paired differences to the first.

Evaluations of the same model with different seeds become one row: the mean over seeds, its spread
(standard deviation), and the interval over images of the mean. The difference to the first row is
paired: both sides are resampled alike, so what makes an image hard for every model cancels.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.evaluation.checked_labels import CheckedLabels, DetectionMetrics
from nlcli.evaluation.comparison.evaluation_sets import Evaluation, evaluation_records, read_evaluations
from nlcli.evaluation.config import Compare
from nlcli.evaluation.score_files import METRICS
from nlcli.evaluation.scored_images import Figures
from nlcli.metrics.bootstrap import LEVEL
from nlcli.metrics.names import LABEL_NOISE, LOWER_IS_BETTER, leading
from nlcli.stages.files import atomic_path, number, read_json, write_json
from nlcli.stages.stage import StageRecord, open_stage

if TYPE_CHECKING:
    from nlcli.stages.stage import Stage


@dataclass(frozen=True)
class Figure:
    """One figure of one row.

    Attributes:
        value: Mean over seeds; NaN where it is not defined.
        spread: Standard deviation over seeds (one degree of freedom less); None for one seed.
        interval: Interval of ``value`` over images; None without a bootstrap.
        difference: ``value`` minus the first row's; None in the first row.
        difference_interval: Its paired interval over images.
    """

    value: float
    spread: float | None
    interval: tuple[float, float] | None
    difference: float | None
    difference_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """One model, all its seeds together.

    Attributes:
        label: Method and what tells it from the others.
        clean_fraction: Part of the clean set it was given; None for a model without one.
        clean_images: How many images that is; None where the model used none.
        seeds: Of the evaluations in this row, in order.
        selected_by: What chose the checkpoint, such as ``validation AP_all``.
        figures: By name: for single-label data top_1 and top_5, then mAP, AP_all; for detections
            average_error and those that ``DetectionMetrics`` names.
        per_class: ``(C,)`` AP of each class (error rate, where labels are judged), mean over seeds.
        planted: Of detections, average error on unverified training images of planted truth, mean over
            seeds; None without.
    """

    label: str
    clean_fraction: float | None
    clean_images: int | None
    seeds: tuple[int, ...]
    selected_by: str
    figures: dict[str, Figure]
    per_class: np.ndarray
    planted: float | None


@dataclass(frozen=True)
class Comparison:
    """Models on the same images.

    Attributes:
        task: ``multi-label``, ``single-label``, or ``label-noise`` of detections.
        split: Of the data set.
        images: How many images all of them scored.
        left_out: Images that some of them did not score.
        unknown: Images of single-label data whose true class is not known; they have no part in top-1 and top-5.
        resamples: Of the bootstrap; 0 means no intervals.
        classes, counts: Names, and numbers of positives (of images, where labels are judged).
        rows: In the order in which the models were given.
        naive: By name the error rates of calling every label right; empty of classifiers.
    """

    task: str
    split: str
    images: int
    left_out: int
    unknown: int
    resamples: int
    classes: tuple[str, ...]
    counts: np.ndarray
    rows: tuple[Row, ...]
    naive: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Everything but the classes' figures, as JSON values."""

        def ends(pair: tuple[float, float] | None) -> list[float | None] | None:
            return None if pair is None else [number(end) for end in pair]

        rows = [
            {
                "label": row.label,
                "clean_fraction": row.clean_fraction,
                "clean_images": row.clean_images,
                "seeds": list(row.seeds),
                "selected_by": row.selected_by,
                "planted": None if row.planted is None else number(row.planted),
                **{
                    name: {
                        "value": number(f.value),
                        "spread": f.spread,
                        "interval": ends(f.interval),
                        "difference": None if f.difference is None else number(f.difference),
                        "difference_interval": ends(f.difference_interval),
                    }
                    for name, f in row.figures.items()
                },
            }
            for row in self.rows
        ]
        return {
            "task": self.task,
            "split": self.split,
            "images": self.images,
            "images_left_out": self.left_out,
            "images_of_unknown_class": self.unknown,
            "level": LEVEL,
            "classes_without_positives": int((self.counts == 0).sum()),
            "resamples": self.resamples,
            "reference": self.rows[0].label,
            "naive": {name: number(value) for name, value in self.naive.items()},
            "rows": rows,
        }


# --- the stage -------------------------------------------------------------------------------


def compare_evaluations(config: Compare, *, force: bool = False) -> Path:
    """Write the comparison as JSON, CSV, Markdown and figure; the report's directory.

    Raises:
        NlcliError: evaluations of other classes, other labels, or without a common image.
    """
    records = evaluation_records(config.evaluations)
    inputs: dict[str, StageRecord | Path | str | None] = {f"evaluation {i}": r for i, r in enumerate(records)}
    with open_stage("report", config, inputs, seed=config.seed, force=force) as stage:
        if not stage.up_to_date:
            _write(compare(config.evaluations, resamples=config.bootstrap, seed=config.seed), stage)
    return stage.output


def _write(comparison: Comparison, stage: Stage) -> None:
    from nlcli.console import markdown_table
    from nlcli.evaluation.comparison.side_by_side_plot import comparison_plot
    from nlcli.evaluation.comparison.side_by_side_table import comparison_table

    found = comparison.as_json()
    write_json(stage.work / "comparison.json", found)
    _write_csv(stage.work / "comparison.csv", found)
    header, rows, notes = comparison_table(found)
    with atomic_path(stage.work / "comparison.md") as temporary:
        temporary.write_text(markdown_table(header, rows) + "\n" + "".join(f"\n{note}\n" for note in notes), "utf-8")
    _write_per_class(stage.work / "per_class.csv", comparison)
    comparison_plot(found, stage.work / "comparison.png")
    comparison_plot(found, stage.work / "comparison.svg")
    stage.finish(
        {"split": comparison.split, "images": comparison.images, "models": len(comparison.rows)} | _best(found)
    )


def _best(found: dict[str, Any]) -> dict[str, Any]:
    """The row that is best by the leading figure, with its first two figures."""
    from nlcli.evaluation.comparison.side_by_side_table import figure_names

    names = figure_names(found)
    lead = leading(names)
    rows = [row for row in found["rows"] if row[lead]["value"] is not None]
    if not rows:
        return {}
    sign = -1 if lead in LOWER_IS_BETTER else 1
    best = max(rows, key=lambda row: sign * row[lead]["value"])
    shown = dict.fromkeys([lead, *names[:2]])
    return {"best": best["label"]} | {f"best_{name}": best[name]["value"] for name in shown}


def _write_csv(path: Path, found: dict[str, Any]) -> None:
    from nlcli.evaluation.comparison.side_by_side_table import figure_names

    names = figure_names(found)
    parts = ("", "_spread", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            ["model", "clean_fraction", "clean_images", "seeds", "selected_by", *(n + p for n in names for p in parts)]
        )
        for row in found["rows"]:
            cells = [
                row["label"],
                row["clean_fraction"],
                row["clean_images"],
                " ".join(map(str, row["seeds"])),
                row["selected_by"],
            ]
            for name in names:
                f = row[name]
                for value in (
                    f["value"],
                    f["spread"],
                    *(f["interval"] or (None, None)),
                    f["difference"],
                    *(f["difference_interval"] or (None, None)),
                ):
                    cells.append("" if value is None else f"{value:.6f}")
            rows.writerow(cells)


def _write_per_class(path: Path, comparison: Comparison) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        counted = "images" if comparison.task == LABEL_NOISE else "positives"
        rows.writerow(["class", counted, *(_full_label(row.label, row.clean_fraction) for row in comparison.rows)])
        for c, name in enumerate(comparison.classes):
            values = [row.per_class[c] for row in comparison.rows]
            rows.writerow([name, comparison.counts[c], *("" if math.isnan(v) else f"{v:.6f}" for v in values)])


def _full_label(label: str, fraction: float | None) -> str:
    return label if fraction is None else f"{label}, {100 * fraction:g} % clean"


# --- for the command line --------------------------------------------------------------------


def show_report(outputs: Sequence[Path]) -> None:
    """Print the table of a report."""
    from nlcli.evaluation.comparison.side_by_side_table import print_comparison

    for output in outputs:
        print_comparison(read_json(output / "comparison.json"))
        say(f"table and figure: {output}")


def show_evaluations(outputs: Sequence[Path]) -> None:
    """Print one evaluation's table, or several side by side."""
    from nlcli.evaluation.comparison.side_by_side_table import print_comparison

    records = evaluation_records(outputs)
    detections = [r for r in records if read_json(r.path / METRICS)["task"] == LABEL_NOISE]
    for kind in (detections, [r for r in records if r not in detections]):
        if kind:
            print_comparison(compare([record.path for record in kind]).as_json())
    for record in records:
        say(f"scores, curves and figures: {record.path}")


# --- comparing -------------------------------------------------------------------------------


def compare(evaluations: Sequence[Path | str], *, resamples: int | None = None, seed: int | None = None) -> Comparison:
    """Compare evaluations on the images that all of them scored.

    Args:
        evaluations: Evaluation directories; the first row's model is the reference.
        resamples: Bootstrap resamples (0: no intervals; None: as in the first evaluation).
        seed: Of the bootstrap (None: as in the first evaluation). Replicates that an evaluation
            stored are used where they were made with this seed and number on the same images.

    Raises:
        NlcliError: evaluations of other classes, other labels, or without a common image.
    """
    together = read_evaluations(evaluations, resamples, seed)
    found = together.members
    results: list[Figures | DetectionMetrics] = []
    with progress(len(found), "comparing", unit="models") as bar:
        for e in found:
            made = e.figures(together.resamples, together.seed)
            # The classes' replicates are large where there are thousands of classes.
            results.append(replace(made, per_class=np.empty((0, len(together.classes)))))
            bar.advance()
    reference: _Group | None = None
    rows = []
    for label, members in together.models():
        group = _Group([results[i] for i in members])
        rows.append(_row(label, [found[i] for i in members], group, reference))
        reference = reference or group
    first = found[0]
    single = together.task == "single-label"
    return Comparison(
        together.task,
        together.split,
        len(together),
        together.left_out,
        int((~first.scored.answers.known).sum()) if single else 0,
        together.resamples,
        together.classes,
        results[0].counts,
        tuple(rows),
        _naive_errors(first),
    )


def _naive_errors(evaluation: Evaluation) -> dict[str, float]:
    content = evaluation.content
    if not isinstance(content, CheckedLabels):
        return {}
    found = content.naive().figures(0, 0).values
    return {name: found[name] for name in found if name in LOWER_IS_BETTER}


class _Group:
    """The seeds of one model: means of their figures and of their replicates."""

    def __init__(self, members: list[Figures | DetectionMetrics]) -> None:
        self.names = [name for name in members[0].values if all(name in m.values for m in members)]
        self.values = {name: np.array([m.values[name] for m in members]) for name in self.names}
        self.replicates = {
            name: np.mean([m.replicates[name] for m in members], axis=0)
            for name in self.names
            if name in members[0].replicates
        }
        self.per_class = np.mean([m.of_classes for m in members], axis=0)


def _row(label: str, members: list[Evaluation], group: _Group, reference: _Group | None) -> Row:
    found = {}
    for name in group.names:
        other = None
        if reference is not None and name in reference.values:
            other = reference.values[name], reference.replicates.get(name)
        found[name] = figure_over_seeds(group.values[name], group.replicates.get(name), other)
    return Row(
        label,
        members[0].settings.get("clean_fraction"),
        members[0].clean_images,
        tuple(e.settings.get("seed", 0) for e in members),
        _selected_by(members[0].metrics["selection"]),
        found,
        group.per_class,
        _planted_error(members),
    )


def _planted_error(members: list[Evaluation]) -> float | None:
    values = [e.metrics.get("planted_error") for e in members]
    return float(np.mean(values)) if values and None not in values else None  # type: ignore[arg-type]


def figure_over_seeds(
    values: np.ndarray, replicates: np.ndarray | None, reference: tuple[np.ndarray, np.ndarray | None] | None
) -> Figure:
    """One figure of a model, beside the reference's.

    Args:
        values: ``(S,)``, of every seed.
        replicates: ``(B,)``, mean over seeds; None without a bootstrap.
        reference: The same two of the first row; None in the first row itself.
    """
    from nlcli.metrics.bootstrap import interval

    def ends(found: np.ndarray) -> tuple[float, float]:
        low, high = interval(found, LEVEL)
        return float(low), float(high)

    value = float(values.mean())
    difference = pair = None
    if reference is not None:
        difference = value - float(reference[0].mean())
        if replicates is not None and reference[1] is not None:
            pair = ends(replicates - reference[1])
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return Figure(value, spread, None if replicates is None else ends(replicates), difference, pair)


def _selected_by(selection: dict[str, Any]) -> str:
    chosen = selection.get("selected_by")
    if chosen is None:
        return "not recorded"
    if chosen.get("split") is None:
        return chosen.get("by", "nothing (last step)")
    return f"{chosen['split']} {chosen['metric']}"
