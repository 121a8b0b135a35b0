"""Analyses as tables for people."""

from __future__ import annotations

from typing import Literal, NamedTuple

from nlcli.evaluation.comparison.breakdown_record import ALL, Analysis, CutRecord
from nlcli.evaluation.comparison.model_rows import OverSeeds
from nlcli.metrics.formats import percent, value_text


class Table(NamedTuple):
    """A table with its title and the notes below it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def analysis_tables(analysis: Analysis) -> list[Table]:
    """Every table of an analysis, metrics in percent."""
    tables = []
    if analysis.category is not None:
        tables += [_by_category(analysis, analysis.category), _together(analysis, analysis.category)]
    if len(analysis.models) > 1:
        for by in _TITLES:
            if analysis.sorted_cut(by).groups:
                tables.append(_gains(analysis, by))
    return tables


def _by_category(analysis: Analysis, cut: CutRecord) -> Table:
    header = ["model", *(f"{group.name} ({group.with_positives})" for group in cut.groups)]
    rows = [[label, *(_value(group.models[i]) for group in cut.groups)] for i, label in enumerate(analysis.labels)]
    notes = ["percent; in brackets the number of classes that have positives", *_notes(analysis, cut)]
    return Table("mAP by category (Veit 2017, table 3)", header, rows, notes)


def _together(analysis: Analysis, cut: CutRecord) -> Table:
    names = [ALL, *(group.name for group in cut.groups)]
    rows = [
        [label, *(value_text(analysis.AP_all[name][i], style=".2f", scale=100) for name in names)]
        for i, label in enumerate(analysis.labels)
    ]
    notes = ["percent; of all entries of a category's classes together, as if they were one class"]
    return Table("AP_all by category (Veit 2017, section 4.5.2)", ["model", *names], rows, notes)


_TITLES: dict[Literal["frequency", "quality"], str] = {
    "frequency": "class frequency",
    "quality": "annotation quality",
}


def _gains(analysis: Analysis, by: Literal["frequency", "quality"]) -> Table:
    cut, title, labels = analysis.sorted_cut(by), _TITLES[by], analysis.labels
    header = ["classes", title, f"mAP of {labels[0]}", *labels[1:]]
    rows = [
        [str(group.classes), group.range_told(by), _value(group.models[0]), *map(_gain, group.models[1:])]
        for group in cut.groups
    ]
    told = f"gain in mAP over '{labels[0]}' in percentage points{_ends_told(analysis)}; {title}: {cut.about}"
    return Table(f"Gain by {title} (Veit 2017, figure 5)", header, rows, [told, *_notes(analysis, cut)])


def _value(metric: OverSeeds) -> str:
    return value_text(metric.value, metric.spread, style=".2f", scale=100)


def _gain(metric: OverSeeds) -> str:
    return value_text(metric.difference, None, metric.difference_interval, style="+.2f", scale=100)


def _ends_told(analysis: Analysis) -> str:
    if not analysis.resamples:
        return ""
    return f" with its {percent(analysis.level)} interval, paired by image"


def _notes(analysis: Analysis, cut: CutRecord) -> list[str]:
    notes = [f"{analysis.images:,} images of split '{analysis.split}'"]
    if any(len(model.seeds) > 1 for model in analysis.models):
        notes.append("means over seeds; ±: standard deviation over seeds")
    if cut.left_out:
        notes.append(f"left out: {cut.left_out}")
    return notes
