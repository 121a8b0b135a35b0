"""Stage ``compare``: evaluations side by side, seeds together, with intervals and paired differences to the first.

Evaluations of the same model with different seeds become one row: the mean over seeds, its spread
(standard deviation), and the interval of the mean over other images and other seeds. The difference to the first row
is paired: both sides are resampled alike, so what makes an image hard for every model cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import markdown_table, progress, say
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import CheckedLabels
from nlcli.evaluation.checked_tags import CheckedTags
from nlcli.evaluation.comparison.evaluation_sets import (
    Evaluation,
    Evaluations,
    evaluation_records,
    read_evaluations,
)
from nlcli.evaluation.comparison.label_examples import (
    PLOT,
    TABLE,
    draw_label_examples,
    image_files,
    label_examples_plot,
    write_label_examples,
)
from nlcli.evaluation.comparison.model_rows import Comparison, OverSeeds, Row, metrics_of_seeds
from nlcli.evaluation.comparison.side_by_side_table import comparison_table, print_comparison
from nlcli.evaluation.config import Compare
from nlcli.evaluation.measured import Measured
from nlcli.evaluation.metrics_file import NoiseMetrics, read_metrics
from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.formats import exact
from nlcli.metrics.intervals import FEWEST_TO_RANK
from nlcli.metrics.names import DETECTIONS, ERRORS, LABEL_NOISE, LOWER_IS_BETTER, TAG_NOISE, leading
from nlcli.stages.files import atomic_path, number, write_csv
from nlcli.stages.stage import StageRecord, open_stage

if TYPE_CHECKING:
    from nlcli.stages.stage import Stage

RESULT = "comparison.json"


def compare_evaluations(config: Compare, *, force: bool = False) -> Path:
    """Write the comparison as JSON, CSV, Markdown and a plot; the report's directory.

    Raises:
        NlcliError: evaluations of other classes, other labels, or without a common image.
    """
    records = evaluation_records(config.evaluations)
    inputs: dict[str, StageRecord | Path | str | None] = {f"evaluation {i}": r for i, r in enumerate(records)}
    with open_stage("report", config, inputs, seed=config.seed, force=force, format=Comparison.FORMAT) as stage:
        if not stage.up_to_date:
            _write(config, stage)
    return stage.output


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
    return _compared(read_evaluations(evaluations, resamples, seed))[0]


# --- comparing -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ByClass:
    """Metrics of the classes.

    Attributes:
        classes: C names.
        counts: ``(C,)`` positives, or images where labels are judged.
        rows: Of every row ``(C,)`` AP, or error rate, of the classes, mean over seeds.
    """

    classes: tuple[str, ...]
    counts: Ints
    rows: list[Floats]


def _compared(together: Evaluations) -> tuple[Comparison, _ByClass]:
    measured: list[Measured] = []
    with progress(len(together.members), "comparing", unit="models") as bar:
        for e in together.members:
            # The classes' replicates are large where there are thousands of classes.
            nothing = np.empty((0, len(together.classes)))
            measured.append(replace(e.measure(together.resamples, together.seed), per_class=nothing))
            bar.advance()
    models = together.models()
    groups = [_Group([measured[i] for i in members]) for _, members in models]
    rows = tuple(
        _row(label, [together.members[i] for i in members], group, None if i == 0 else groups[0])
        for i, ((label, members), group) in enumerate(zip(models, groups, strict=True))
    )
    first, counts = together.members[0], measured[0].counts
    single = together.task == "single-label"
    comparison = Comparison(
        version=Comparison.FORMAT,
        task=together.task,
        split=together.split,
        images=len(together),
        images_left_out=together.left_out,
        images_of_unknown_class=int((~first.scored.answers.known).sum()) if single else 0,
        classes_without_positives=int((counts == 0).sum()),
        resamples=together.resamples,
        reference=rows[0].label,
        naive=_naive_errors(first),
        rows=rows,
    )
    return comparison, _ByClass(together.classes, counts, [group.per_class for group in groups])


def _naive_errors(evaluation: Evaluation) -> dict[str, float | None]:
    content = evaluation.content
    if not isinstance(content, CheckedLabels | CheckedTags):
        return {}
    values = content.naive().measure(0, 0).values
    return {name: number(values[name]) for name in ERRORS if name in values}


class _Group:
    """The seeds of one model: their metrics, those of the resamples, and what these rest on."""

    def __init__(self, members: list[Measured]) -> None:
        self.seeds = metrics_of_seeds(members)
        self.per_class: Floats = np.mean([m.of_classes for m in members], axis=0)

    def over_seeds(self, name: str, reference: _Group | None) -> OverSeeds:
        """A metric beside that of the first row's model."""
        return OverSeeds.of(self.seeds[name], None if reference is None else reference.seeds.get(name))


def _row(label: str, members: list[Evaluation], group: _Group, reference: _Group | None) -> Row:
    first = members[0]
    selected_by = first.metrics.selection.selected_by
    return Row(
        label=label,
        clean_fraction=first.model.clean_fraction,
        clean_images=first.metrics.clean_images,
        seeds=tuple(e.seed for e in members),
        selected_by="not recorded" if selected_by is None else selected_by.told,
        selected_on=_selected_on(first),
        planted=_planted_error(members),
        metrics={name: group.over_seeds(name, reference) for name in group.seeds},
        remarks=tuple(
            (f"seed {e.seed}: " if len(members) > 1 else "") + remark for e in members for remark in e.metrics.remarks
        ),
    )


def _selected_on(evaluation: Evaluation) -> int | None:
    selection = evaluation.metrics.selection
    if selection.selected_by is None or selection.selected_by.split is None:
        return None
    return selection.selected_by.images or (None if selection.clean is None else selection.clean.chose)


def _planted_error(members: list[Evaluation]) -> float | None:
    values = [e.planted_error for e in members]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


# --- files -----------------------------------------------------------------------------------


def _write(config: Compare, stage: Stage) -> None:
    from nlcli.evaluation.comparison.side_by_side_plot import comparison_plot

    together = read_evaluations(config.evaluations, config.bootstrap, config.seed)
    if config.examples and together.task != LABEL_NOISE:
        raise NlcliError(
            "--examples is of detections of single labels; leave it out, or for classifiers use 'nlcli analyse'"
        )
    comparison, by_class = _compared(together)
    comparison.write(stage.work / RESULT)
    _write_csv(stage.work / "comparison.csv", comparison)
    header, rows, notes = comparison_table(comparison)
    with atomic_path(stage.work / "comparison.md") as temporary:
        temporary.write_text(markdown_table(header, rows) + "\n" + "".join(f"\n{note}\n" for note in notes), "utf-8")
    _write_per_class(stage.work / "per_class.csv", comparison, by_class)
    for suffix in ("png", "svg"):
        comparison_plot(comparison, stage.work / f"comparison.{suffix}")
    if config.examples:
        _write_examples(config.examples, together, stage.work)
    counts = {"split": comparison.split, "images": comparison.images, "models": len(comparison.rows)}
    stage.finish(counts | _best(comparison))


def _write_examples(count: int, together: Evaluations, work: Path) -> None:
    """Images with the scores of every detection, each by its first seed."""
    models = together.models()
    members = [together.members[own[0]] for _, own in models]
    labels = [e.content for e in members if isinstance(e.content, CheckedLabels)]
    examples = draw_label_examples(labels, count, together.seed)
    files: dict[str, Path] = {}
    try:
        dataset = members[0].record.input_stage("dataset").path
        files = image_files(dataset, {example.key for example in examples})
    except NlcliError as error:
        say(f"the examples have no photographs: {error}")
    names = [label for label, _ in models]
    write_label_examples(work / TABLE, names, examples)
    label_examples_plot(names, examples, files, work / PLOT)


def _best(comparison: Comparison) -> dict[str, Any]:
    """The row that is best by the leading metric, with its first two metrics; none where too few images rank them."""
    if comparison.too_few_to_rank:
        return {"best": f"not told: fewer than {FEWEST_TO_RANK} images"}
    lead = leading(comparison.names)
    sign = -1 if lead in LOWER_IS_BETTER else 1
    ranked = [(sign * value, row) for row in comparison.rows if (value := row.metrics[lead].value) is not None]
    if not ranked:
        return {}
    best = max(ranked, key=lambda pair: pair[0])[1]
    shown = dict.fromkeys([lead, *comparison.names[:2]])
    return {"best": best.label} | {f"best_{name}": best.metrics[name].value for name in shown}


def _write_csv(path: Path, comparison: Comparison) -> None:
    parts = ("", "_spread", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    names = comparison.names
    header = ["model", "clean_fraction", "clean_images", "seeds", "selected_by", *(n + p for n in names for p in parts)]

    def cells(metric: OverSeeds) -> list[str]:
        low, high = metric.interval or (None, None)
        difference_low, difference_high = metric.difference_interval or (None, None)
        values = (metric.value, metric.spread, low, high, metric.difference, difference_low, difference_high)
        return [exact(value) for value in values]

    rows = (
        (
            row.label,
            row.clean_fraction,
            row.clean_images,
            " ".join(map(str, row.seeds)),
            row.selected_by,
            *(cell for name in names for cell in cells(row.metrics[name])),
        )
        for row in comparison.rows
    )
    write_csv(path, header, rows)


def _write_per_class(path: Path, comparison: Comparison, by_class: _ByClass) -> None:
    counted = {LABEL_NOISE: "images", TAG_NOISE: "entries"}.get(comparison.task, "positives")
    header = ["class", counted, *(row.label + row.percent_told for row in comparison.rows)]
    rows = (
        (name, by_class.counts[c], *(exact(float(per_class[c])) for per_class in by_class.rows))
        for c, name in enumerate(by_class.classes)
    )
    write_csv(path, header, rows)


# --- for the command line --------------------------------------------------------------------


def show_report(outputs: Sequence[Path]) -> None:
    """Print the table of a report."""
    for output in outputs:
        print_comparison(Comparison.read(output / RESULT))
        say(f"table and plot: {output}")


def show_evaluations(outputs: Sequence[Path]) -> None:
    """Print one evaluation's table, or several side by side."""
    records = evaluation_records(outputs)
    kinds: dict[str, list[StageRecord]] = {}
    for record in records:
        metrics = read_metrics(record)
        kinds.setdefault(metrics.task if isinstance(metrics, NoiseMetrics) else "", []).append(record)
    for task in (*DETECTIONS, ""):
        kind = kinds.get(task)
        if kind:
            print_comparison(compare([record.path for record in kind]))
    for record in records:
        say(f"scores, curves and plots: {record.path}")
