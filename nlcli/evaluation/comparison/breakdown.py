"""What an analysis is, and its files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.class_groups import ClassAnnotations
from nlcli.evaluation.comparison.compare import Figure
from nlcli.evaluation.comparison.evaluation_sets import Evaluations
from nlcli.evaluation.comparison.learning_curves import LearningCurve
from nlcli.evaluation.examples import Example
from nlcli.stages.files import atomic_path, number

ALL = "(all)"
"""What stands for all classes together where categories are named."""
RECALL = np.linspace(0.005, 1.0, 200)  # where curves of several seeds are averaged


@dataclass(frozen=True)
class Model:
    """One model, all its seeds: members of the evaluations."""

    label: str
    members: tuple[int, ...]


# --- mAP in groups of classes ----------------------------------------------------------------


@dataclass
class Cut:
    """The classes cut into groups, and every model's mAP in each.

    Attributes:
        name: category, frequency or quality.
        about: What the groups go by.
        names: Of the groups.
        groups: Class indices of each.
        left_out: Classes in no group, and why.
        values: ``(C,)``, what the classes were sorted by; None for categories.
        with_positives: ``(C,)`` bool, classes that have an AP.
        figures: For every model those of the groups.
    """

    name: str
    about: str
    names: list[str]
    groups: list[np.ndarray]
    left_out: str
    values: np.ndarray | None
    with_positives: np.ndarray
    figures: list[list[Figure]]

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        groups = []
        for i, (name, group) in enumerate(zip(self.names, self.groups, strict=True)):
            ends = (None, None) if self.values is None else (self.values[group].min(), self.values[group].max())
            groups.append(
                {
                    "name": name,
                    "classes": len(group),
                    "with_positives": int(self.with_positives[group].sum()),
                    "low": ends[0] if ends[0] is None else float(ends[0]),
                    "high": ends[1] if ends[1] is None else float(ends[1]),
                    "models": [_figure_json(own[i]) for own in self.figures],
                }
            )
        return {"about": self.about, "left_out": self.left_out, "groups": groups}


def _figure_json(f: Figure) -> dict[str, Any]:
    def ends(pair: tuple[float, float] | None) -> list[float | None] | None:
        return None if pair is None else [number(end) for end in pair]

    return {
        "mAP": number(f.value),
        "spread": None if f.spread is None else number(f.spread),
        "interval": ends(f.interval),
        "gain": None if f.difference is None else number(f.difference),
        "gain_interval": ends(f.difference_interval),
    }


# --- files -----------------------------------------------------------------------------------


@contextmanager
def _csv(path: Path, header: Sequence[str]) -> Iterator[Any]:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        yield writer


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6f}"


def _write_classes(
    path: Path,
    together: Evaluations,
    models: list[Model],
    annotations: ClassAnnotations,
    groups: tuple[str | None, ...] | None,
    cuts: list[Cut],
    per_class: list[np.ndarray],
) -> None:
    """What put each class where it is, and its AP by every model."""
    place = {
        cut.name: {int(c): name for name, group in zip(cut.names, cut.groups, strict=True) for c in group}
        for cut in cuts
    }
    quality = annotations.quality
    header = [
        "class",
        "category",
        "noisy_in_train",
        "noisy_checked",
        "noisy_right",
        "quality",
        "frequency_group",
        "quality_group",
    ]
    with _csv(path, [*header, *(f"AP {model.label}" for model in models)]) as rows:
        for c, name in enumerate(together.classes):
            counts = (int(a[c]) for a in (annotations.in_train, annotations.checked, annotations.right))
            places = (place[cut].get(c, "") for cut in ("frequency", "quality"))
            category = (groups[c] or "") if groups is not None else ""
            rows.writerow([name, category, *counts, _cell(quality[c]), *places, *(_cell(ap[c]) for ap in per_class)])


def _write_groups(work: Path, found: dict[str, Any]) -> None:
    """``categories.csv`` and ``gains.csv``: one line a group and model."""
    header = ["model", "classes", "with_positives", "mAP", "spread", "low", "high", "gain", "gain_low", "gain_high"]

    def cells(group: dict[str, Any], i: int) -> list[Any]:
        f = group["models"][i]
        pairs = [*(f["interval"] or (None, None)), f["gain"], *(f["gain_interval"] or (None, None))]
        shown = [_cell(value) for value in (f["mAP"], f["spread"], *pairs)]
        return [found["models"][i]["label"], group["classes"], group["with_positives"], *shown]

    models = range(len(found["models"]))
    if "category" in found:
        with _csv(work / "categories.csv", ["category", *header, "AP_all"]) as rows:
            for group in found["category"]["groups"]:
                for i in models:
                    rows.writerow([group["name"], *cells(group, i), _cell(found["AP_all"][group["name"]][i])])
    with _csv(work / "gains.csv", ["by", "group", "from", "to", *header]) as rows:
        for by in ("frequency", "quality"):
            for group in found[by]["groups"]:
                for i in models:
                    ends = (f"{group[end]:g}" for end in ("low", "high"))
                    rows.writerow([by, group["name"], *ends, *cells(group, i)])


def _write_markdown(path: Path, found: dict[str, Any]) -> None:

    from nlcli.console import markdown_table

    parts = []
    for title, header, rows, notes in analysis_tables(found):
        told = "".join(f"\n- {note}" for note in notes)
        parts.append(f"## {title}\n\n{markdown_table(header, rows)}{told}\n")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _write_precision_recall(path: Path, models: list[Model], curves: dict[str, list[np.ndarray]]) -> None:
    with _csv(path, ["category", "model", "recall", "precision"]) as rows:
        for name, precisions in curves.items():
            for model, precision in zip(models, precisions, strict=True):
                for recall, value in zip(RECALL, precision, strict=True):
                    rows.writerow([name, model.label, f"{recall:.3f}", _cell(value)])


def _write_learning_curves(
    path: Path, together: Evaluations, models: list[Model], learned: list[list[tuple[int, LearningCurve]]]
) -> None:
    names = list(dict.fromkeys(name for own in learned for _, curve in own for name in curve.figures))
    with _csv(path, ["model", "seed", "phase", "step", *(f"validation {name}" for name in names), "chosen"]) as rows:
        for model, own in zip(models, learned, strict=True):
            for i, curve in own:
                seed = together.members[i].settings.get("seed", 0)
                for k, step in enumerate(curve.steps.tolist()):
                    values = (_cell(float(curve.figures[n][k]) if n in curve.figures else None) for n in names)
                    rows.writerow([model.label, seed, curve.phases[k], step, *values, int(k == curve.chosen)])


def _write_examples(path: Path, models: list[Model], examples: list[list[Example]]) -> None:
    with _csv(path, ["key", "model", "rank", "class", "score", "verdict"]) as rows:
        for row in examples:
            for model, example in zip(models, row, strict=True):
                for rank, prediction in enumerate(example.top, 1):
                    rows.writerow(
                        [example.key, model.label, rank, prediction.name, f"{prediction.score:.6f}", prediction.verdict]
                    )
                for name in example.missed:
                    rows.writerow([example.key, model.label, "", name, "", "missed"])


Table = tuple[str, list[str], list[list[str]], list[str]]
"""Title, header, rows, notes."""


def analysis_tables(found: dict[str, Any]) -> list[Table]:
    """Every table of an analysis (what ``analysis.json`` holds), figures in percent."""
    tables = []
    labels = [model["label"] for model in found["models"]]
    if "category" in found:
        groups = found["category"]["groups"]
        header = ["model", *(f"{group['name']} ({group['with_positives']})" for group in groups)]
        rows = [[label, *(_value(group["models"][i]) for group in groups)] for i, label in enumerate(labels)]
        notes = ["percent; in brackets the number of classes that have positives", *_notes(found, "category")]
        tables.append(("mAP by category (Veit 2017, table 3)", header, rows, notes))
    if len(labels) < 2:
        return tables
    for by, title in (("frequency", "class frequency"), ("quality", "annotation quality")):
        groups = found[by]["groups"]
        if not groups:
            continue
        header = ["classes", title, f"mAP of {labels[0]}", *labels[1:]]
        rows = [
            [str(group["classes"]), group_range(by, group), _value(group["models"][0])]
            + [_gain(group["models"][i]) for i in range(1, len(labels))]
            for group in groups
        ]
        told = f"gain in mAP over '{labels[0]}' in percentage points{_ends_told(found)}; {title}: {found[by]['about']}"
        tables.append((f"Gain by {title} (Veit 2017, figure 5)", header, rows, [told, *_notes(found, by)]))
    return tables


def group_range(by: str, group: dict[str, Any]) -> str:
    """What the classes of a group have: ``12 to 90`` annotations, ``40 to 60 %`` right."""
    low, high = group["low"], group["high"]
    if by == "quality":
        first, last = f"{100 * low:.0f}", f"{100 * high:.0f}"
        return f"{first} %" if first == last else f"{first} to {last} %"
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def _value(figure: dict[str, Any]) -> str:
    if figure["mAP"] is None:
        return "-"
    spread = "" if figure["spread"] is None else f" ± {100 * figure['spread']:.2f}"
    return f"{100 * figure['mAP']:.2f}{spread}"


def _gain(figure: dict[str, Any]) -> str:
    if figure["gain"] is None:
        return "-"
    return f"{100 * figure['gain']:+.2f}{_pair(figure['gain_interval'])}"


def _pair(ends: Sequence[float | None] | None) -> str:
    if ends is None or ends[0] is None or ends[1] is None:
        return ""
    return f" [{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}]"


def _ends_told(found: dict[str, Any]) -> str:
    if not found["resamples"]:
        return ""
    return f" with its {100 * found['level']:g} % bootstrap interval, paired by image"


def _notes(found: dict[str, Any], by: str) -> list[str]:
    notes = [f"{found['images']:,} images of split '{found['split']}'"]
    if any(len(model["seeds"]) > 1 for model in found["models"]):
        notes.append("means over seeds; ±: standard deviation over seeds")
    if found[by]["left_out"]:
        notes.append(f"left out: {found[by]['left_out']}")
    return notes
