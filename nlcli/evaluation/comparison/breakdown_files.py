"""The files of an analysis beside ``analysis.json``: CSV and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import markdown_table
from nlcli.data.class_groups import ClassAnnotations
from nlcli.evaluation.comparison.breakdown_record import Analysis, ClassGroup
from nlcli.evaluation.comparison.breakdown_tables import analysis_tables
from nlcli.evaluation.comparison.class_cuts import Cut, Model
from nlcli.evaluation.comparison.evaluation_sets import Evaluations
from nlcli.evaluation.comparison.learning_curves import SeedCurve, band, over_seeds
from nlcli.evaluation.comparison.pooled_curves import RECALL
from nlcli.evaluation.examples import Example
from nlcli.metrics.arrays import Floats
from nlcli.metrics.formats import exact
from nlcli.stages.files import atomic_path, write_csv


def write_classes(
    path: Path,
    together: Evaluations,
    models: Sequence[Model],
    annotations: ClassAnnotations,
    groups: Sequence[str | None] | None,
    cuts: Sequence[Cut],
    per_class: Sequence[Floats],
) -> None:
    """What put each class where it is, and its AP by every model."""
    place = {
        cut.by: {int(c): name for name, group in zip(cut.names, cut.groups, strict=True) for c in group} for cut in cuts
    }
    quality = annotations.quality
    rows = (
        (
            name,
            (groups[c] or "") if groups is not None else "",
            *(int(counts[c]) for counts in (annotations.in_train, annotations.checked, annotations.right)),
            exact(float(quality[c])),
            place["frequency"].get(c, ""),
            place["quality"].get(c, ""),
            *(exact(float(ap[c])) for ap in per_class),
        )
        for c, name in enumerate(together.classes)
    )
    counted = ["noisy_in_train", "noisy_checked", "noisy_right", "quality"]
    header = ["class", "category", *counted, "frequency_group", "quality_group"]
    write_csv(path, [*header, *(f"AP {model.label}" for model in models)], rows)


def write_groups(work: Path, analysis: Analysis) -> None:
    """``categories.csv`` and ``gains.csv``: one line a group and model."""
    header = ["model", "classes", "with_positives", "mAP", "spread", "low", "high", "gain", "gain_low", "gain_high"]

    def cells(group: ClassGroup, i: int) -> list[Any]:
        metric = group.models[i]
        ends, gain_ends = metric.interval or (None, None), metric.difference_interval or (None, None)
        values = (metric.value, metric.spread, *ends, metric.difference, *gain_ends)
        return [analysis.labels[i], group.classes, group.with_positives, *map(exact, values)]

    models = range(len(analysis.models))
    if analysis.category is not None:
        rows: Iterator[list[Any]] = (
            [group.name, *cells(group, i), exact(analysis.AP_all[group.name][i])]
            for group in analysis.category.groups
            for i in models
        )
        write_csv(work / "categories.csv", ["category", *header, "AP_all"], rows)
    rows = (
        [by, group.name, f"{group.low:g}", f"{group.high:g}", *cells(group, i)]
        for by, cut in (("frequency", analysis.frequency), ("quality", analysis.quality))
        for group in cut.groups
        for i in models
    )
    write_csv(work / "gains.csv", ["by", "group", "from", "to", *header], rows)


def write_markdown(path: Path, analysis: Analysis) -> None:
    """The tables of ``analysis.json``."""
    parts = []
    for title, header, rows, notes in analysis_tables(analysis):
        told = "".join(f"\n- {note}" for note in notes)
        parts.append(f"## {title}\n\n{markdown_table(header, rows)}{told}\n")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def write_precision_recall(path: Path, models: Sequence[Model], curves: dict[str, list[Floats]]) -> None:
    """By category the precision of every model at ``RECALL``."""
    rows = (
        (name, model.label, f"{recall:.3f}", exact(float(value)))
        for name, precisions in curves.items()
        for model, precision in zip(models, precisions, strict=True)
        for recall, value in zip(RECALL, precision, strict=True)
    )
    write_csv(path, ["category", "model", "recall", "precision"], rows)


def write_learning_curves(path: Path, models: Sequence[Model], learned: Sequence[Sequence[SeedCurve]]) -> None:
    """Validation metrics of every seed of every model over its steps."""
    names = list(dict.fromkeys(name for own in learned for _, curve in own for name in curve.metrics))
    rows = (
        (
            model.label,
            seed,
            curve.phases[k],
            step,
            *(exact(float(curve.metrics[name][k])) if name in curve.metrics else "" for name in names),
            int(k == curve.chosen),
        )
        for model, own in zip(models, learned, strict=True)
        for seed, curve in own
        for k, step in enumerate(curve.steps.tolist())
    )
    write_csv(path, ["model", "seed", "phase", "step", *(f"validation {name}" for name in names), "chosen"], rows)


def write_learning_bands(path: Path, models: Sequence[Model], learned: Sequence[Sequence[SeedCurve]]) -> None:
    """The mean over seeds of every metric at every step that all of them have, and its band."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for model, own in zip(models, learned, strict=True):
            curves = [curve for _, curve in own]
            for name in dict.fromkeys(name for curve in curves for name in curve.metrics):
                steps, values = over_seeds(curves, name)
                low, high = band(curves, name) or (np.full(len(steps), np.nan),) * 2
                for k, step in enumerate(steps.tolist()):
                    ends = exact(float(values[:, k].mean())), exact(float(low[k])), exact(float(high[k]))
                    yield model.label, name, step, len(values), *ends

    write_csv(path, ["model", "validation metric", "step", "seeds", "mean", "low", "high"], rows())


def write_side_by_side(
    path: Path, models: Sequence[Model], examples: Sequence[Sequence[Example]], single_label: bool
) -> None:
    """The top predictions of every model for every image; of single-label data also where its noisy label ranks."""
    header = ["key", "model", "rank", "class", "score", "verdict"]
    rows = (
        (example.key, model.label, *row)
        for image in examples
        for model, example in zip(models, image, strict=True)
        for row in (_single_label_rows(example) if single_label else example.csv_rows)
    )
    write_csv(path, [*header, "noisy_label", "share", "change"] if single_label else header, rows)


def _single_label_rows(example: Example) -> Iterator[tuple[Any, ...]]:
    told = (*example.top, *example.labelled)
    for p in told:
        yield p.rank, p.name, exact(p.score), p.verdict, int(p.noisy), exact(p.share), exact(p.change)
    for name in example.missed:
        if all(p.name != name for p in told):
            yield "", name, "", "missed", 0, "", ""
