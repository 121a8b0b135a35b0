"""Comparisons as tables for people: on a terminal, in a pipe, and in Markdown."""

from __future__ import annotations

from nlcli.console import print_table
from nlcli.evaluation.comparison.model_rows import Comparison, OverSeeds, Row
from nlcli.metrics.formats import percent, value_text
from nlcli.metrics.intervals import FEWEST_TO_RANK
from nlcli.metrics.names import DETECTIONS, DOWN, HEADINGS, LOWER_IS_BETTER, heading

_REMARKS = 8  # that are repeated at most


def comparison_table(comparison: Comparison) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows and notes."""
    rows, names = comparison.rows, comparison.names
    several = len(rows) > 1
    seeds = any(len(row.seeds) > 1 for row in rows)
    clean = any(row.clean_fraction is not None for row in rows)
    header = ["model", *(["clean"] if clean else []), *(["seeds"] if seeds else [])]
    for name in names:
        header += [heading(name), *(["difference"] if several else [])]
    cells = []
    for row in rows:
        line = [row.label, *([_clean(row)] if clean else []), *([str(len(row.seeds))] if seeds else [])]
        for name in names:
            line += [_value(row.metrics[name]), *([_difference(row.metrics[name])] if several else [])]
        cells.append(line)
    notes = [*_how(comparison, seeds, several), *_what_else(comparison), *_selected(comparison), *_remarks(comparison)]
    return header, cells, notes


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison to standard output."""
    header, rows, notes = comparison_table(comparison)
    print_table(header, rows, notes)


def _clean(row: Row) -> str:
    if row.clean_fraction is None or row.clean_images is None:
        return "none"
    return f"{percent(row.clean_fraction)} ({row.clean_images:,})"


def _value(metric: OverSeeds) -> str:
    return value_text(metric.value, metric.spread, metric.interval)


def _difference(metric: OverSeeds) -> str:
    return value_text(metric.difference, None, metric.difference_interval, style="+.3f", unknown="")


# --- notes -----------------------------------------------------------------------------------


def _how(comparison: Comparison, seeds: bool, several: bool) -> list[str]:
    """On what the metrics rest, and how intervals and differences are meant."""
    notes = [f"{comparison.images:,} images of split '{comparison.split}'"]
    if comparison.images_left_out:
        notes[0] += f"; {comparison.images_left_out:,} not scored by every model are left out"
    if comparison.too_few_to_rank:
        notes[0] += f"; fewer than {FEWEST_TO_RANK} rank no models"
    if comparison.resamples:
        over = "other images like these" + (", and other seeds where a row has several" if seeds else "")
        notes.append(
            f"[low, high]: {percent(comparison.level)} interval over {over}, {comparison.resamples:,} resamples"
        )
    if seeds:
        notes.append("±: standard deviation over seeds; intervals are of the mean over seeds")
    if any(row.clean_images is not None for row in comparison.rows):
        notes.append("clean: part of the clean set, and how many images had their verified labels fitted on")
    if several:
        paired = ", its interval paired by image" if comparison.resamples else ""
        notes.append(f"difference: to '{comparison.reference}'{paired}")
    return [*notes, *_single_seeds(comparison, several), *_without_interval(comparison)]


def _single_seeds(comparison: Comparison, several: bool) -> list[str]:
    """Of which rows nothing is known about another training."""
    single = [row.label for row in comparison.rows if len(row.seeds) == 1]
    if not (comparison.resamples and several and single):
        return []
    if len(single) == len(comparison.rows):
        return ["one seed a row: the intervals are of these trained models; another seed may turn a difference"]
    return [f"one seed of {', '.join(single)}: in a difference taken to spread over seeds as the other model does"]


def _without_interval(comparison: Comparison) -> list[str]:
    """Which metrics rest on too little for an interval, each reason once."""
    notes: dict[str, None] = {}
    for name in comparison.names:
        for row in comparison.rows:
            metric = row.metrics[name]
            if metric.no_interval is not None:
                notes[f"no interval of {HEADINGS[name]}: {metric.no_interval}"] = None
            elif metric.no_difference_interval is not None:
                notes[f"no interval of differences in {HEADINGS[name]}: {metric.no_difference_interval}"] = None
    return list(notes)


def _what_else(comparison: Comparison) -> list[str]:
    """What has no part in the metrics, and what they are to be held against."""
    notes = []
    if comparison.images_of_unknown_class:
        count = comparison.images_of_unknown_class
        notes.append(f"the true class of {count:,} images is not known; they have no part in top-1 and top-5")
    if LOWER_IS_BETTER.intersection(comparison.names):
        notes.append(f"{DOWN}: lower is better")
    if comparison.naive:
        errors = [f"{HEADINGS[name]} {value:.3f}" for name, value in comparison.naive.items() if value is not None]
        notes.append(f"calling every label right: {', '.join(errors)}")
    planted = [f"{row.label} {row.planted:.3f}" for row in comparison.rows if row.planted is not None]
    if planted:
        notes.append(f"average error on unverified training images, whose noise was planted: {', '.join(planted)}")
    without = comparison.classes_without_positives
    if without:
        have = "class has" if without == 1 else "classes have"
        missing = (
            "no verified noisy label here and no part in the average error"
            if comparison.task in DETECTIONS
            else "no positive here and no part in mAP"
        )
        notes.append(f"{without} {have} {missing}")
    return notes


def _selected(comparison: Comparison) -> list[str]:
    what = "thresholds chosen by" if comparison.task in DETECTIONS else "checkpoints selected by"
    on = [row.selected_by + (f", {n:,} verified images" if (n := row.selected_on) else "") for row in comparison.rows]
    if len(set(on)) == 1:
        return [f"{what}: {on[0]}"]
    return [f"{what}: {'; '.join(f'{row.label}: {told}' for row, told in zip(comparison.rows, on, strict=True))}"]


def _remarks(comparison: Comparison) -> list[str]:
    """What the evaluations said at once, so that a row is not read without it."""
    remarks = [f"{row.label}: {remark}" for row in comparison.rows for remark in row.remarks]
    more = len(remarks) - _REMARKS
    return remarks[:_REMARKS] + ([f"{more} more remarks stand in the evaluations' metrics.json"] if more > 0 else [])
