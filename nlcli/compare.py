"""Evaluations side by side: figures with intervals, seeds together, paired differences to the first.

Evaluations of the same model with different seeds become one row: the mean over seeds, its spread
(standard deviation), and the interval over images of the mean. The difference to the first row is
paired: both sides are resampled alike, so what makes an image hard for every model cancels.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.config import Compare
from nlcli.errors import NlcliError
from nlcli.evaluate import LEVEL, METRICS, number
from nlcli.progress import progress, say
from nlcli.scores import ACCURACIES, FILE, REPLICATES, Figures, ScoredImages, figures, read_replicates, read_scores
from nlcli.stage import StageRecord, atomic_path, open_stage, read_json, read_stage, write_json

if TYPE_CHECKING:
    from nlcli.stage import Stage

_NOT_SETTINGS = ("seed", "method", "options", "preset", "clean_fraction", "backbone")


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
        figures: By name: mAP, AP_all, and for single-label data top_1 and top_5.
        per_class: ``(C,)`` AP of each class, mean over seeds.
    """

    label: str
    clean_fraction: float | None
    clean_images: int | None
    seeds: tuple[int, ...]
    selected_by: str
    figures: dict[str, Figure]
    per_class: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Models on the same images.

    Attributes:
        split: Of the data set.
        images: How many images all of them scored.
        left_out: Images that some of them did not score.
        resamples: Of the bootstrap; 0 means no intervals.
        classes, positives: Names and numbers of positives.
        rows: In the order in which the models were given.
    """

    split: str
    images: int
    left_out: int
    resamples: int
    classes: tuple[str, ...]
    positives: np.ndarray
    rows: tuple[Row, ...]

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
            "split": self.split,
            "images": self.images,
            "images_left_out": self.left_out,
            "level": LEVEL,
            "classes_without_positives": int((self.positives == 0).sum()),
            "resamples": self.resamples,
            "reference": self.rows[0].label,
            "rows": rows,
        }


# --- the stage -------------------------------------------------------------------------------


def compare_evaluations(config: Compare, *, force: bool = False) -> Path:
    """Write the comparison as JSON, CSV, Markdown and figure; the report's directory.

    Raises:
        NlcliError: evaluations of other classes, other labels, or without a common image.
    """
    records = _records(config.evaluations)
    inputs: dict[str, StageRecord | Path | str | None] = {f"evaluation {i}": r for i, r in enumerate(records)}
    with open_stage("report", config, inputs, seed=config.seed, force=force) as stage:
        if not stage.up_to_date:
            _write(compare(config.evaluations, resamples=config.bootstrap, seed=config.seed), stage)
    return stage.output


def _write(comparison: Comparison, stage: Stage) -> None:
    from nlcli.report.comparison_figure import comparison_figure
    from nlcli.report.tables import comparison_table, markdown_table

    found = comparison.as_json()
    write_json(stage.work / "comparison.json", found)
    _write_csv(stage.work / "comparison.csv", found)
    header, rows, notes = comparison_table(found)
    with atomic_path(stage.work / "comparison.md") as temporary:
        temporary.write_text(markdown_table(header, rows) + "\n" + "".join(f"\n{note}\n" for note in notes), "utf-8")
    _write_per_class(stage.work / "per_class.csv", comparison)
    comparison_figure(found, stage.work / "comparison.png")
    comparison_figure(found, stage.work / "comparison.svg")
    stage.finish(
        {"split": comparison.split, "images": comparison.images, "models": len(comparison.rows)} | _best(found)
    )


def _best(found: dict[str, Any]) -> dict[str, Any]:
    """The highest AP_all and who reaches it."""
    rows = [row for row in found["rows"] if row["AP_all"]["value"] is not None]
    if not rows:
        return {}
    best = max(rows, key=lambda row: row["AP_all"]["value"])
    return {"best": best["label"], "best_AP_all": best["AP_all"]["value"], "best_mAP": best["mAP"]["value"]}


def _write_csv(path: Path, found: dict[str, Any]) -> None:
    from nlcli.report.tables import figure_names

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
        rows.writerow(["class", "positives", *(_full_label(row.label, row.clean_fraction) for row in comparison.rows)])
        for c, name in enumerate(comparison.classes):
            values = [row.per_class[c] for row in comparison.rows]
            rows.writerow([name, comparison.positives[c], *("" if math.isnan(v) else f"{v:.6f}" for v in values)])


def _full_label(label: str, fraction: float | None) -> str:
    return label if fraction is None else f"{label}, {100 * fraction:g} % clean"


# --- for the command line --------------------------------------------------------------------


def show_report(outputs: Sequence[Path]) -> None:
    """Print the table of a report."""
    from nlcli.report.tables import print_comparison

    for output in outputs:
        print_comparison(read_json(output / "comparison.json"))
        say(f"table and figure: {output}")


def show_evaluations(outputs: Sequence[Path]) -> None:
    """Print one evaluation's table, or several side by side."""
    from nlcli.report.tables import print_comparison

    records = _records(outputs)
    print_comparison(compare(outputs).as_json())
    for record in records:
        say(f"scores, curves and figures: {record.path}")


# --- comparing -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Evaluation:
    path: Path
    metrics: dict[str, Any]
    features: str | None  # where the model's features were, to tell backbones apart
    scored: ScoredImages


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
    found = [_read(record) for record in _records(evaluations)]
    made = found[0].metrics["bootstrap"]
    resamples = made["resamples"] if resamples is None else resamples
    seed = made["seed"] if seed is None else seed
    keys = _common_keys(found)
    left_out = len(set().union(*(e.scored.keys.tolist() for e in found))) - len(keys)
    if left_out:
        say(f"{left_out:,} images were not scored by all models and are left out")
    results: list[Figures] = []
    hashes: list[str] = []
    with progress(len(found), "comparing", unit="models") as bar:
        for e in found:
            scored = e.scored if np.array_equal(e.scored.keys, keys) else e.scored.only(keys)
            hashes.append(scored.label_hash())
            if hashes[-1] != hashes[0]:
                raise NlcliError(
                    f"{e.path} and {found[0].path} have different verified labels; evaluate both on one data set"
                )
            results.append(_figures(e, scored, resamples, seed))
            bar.advance()
    reference: _Group | None = None
    rows = []
    for label, members in _grouped(found):
        group = _Group([results[i] for i in members])
        rows.append(_row(label, [found[i] for i in members], group, reference))
        reference = reference or group
    return Comparison(
        found[0].metrics["split"],
        len(keys),
        left_out,
        resamples,
        found[0].scored.classes,
        results[0].ranking.positives,
        tuple(rows),
    )


def _records(paths: Sequence[Path | str]) -> list[StageRecord]:
    if not paths:
        raise NlcliError("nothing to compare; name at least one evaluation directory")
    records = [read_stage(path, "evaluation") for path in paths]
    seen: dict[str, Path] = {}
    for record in records:
        if record.fingerprint in seen:
            raise NlcliError(f"{record.path} and {seen[record.fingerprint]} are the same evaluation; name it once")
        seen[record.fingerprint] = record.path
    return records


def _read(record: StageRecord) -> _Evaluation:
    features = record.inputs.get("features", {}).get("path")
    return _Evaluation(record.path, read_json(record.path / METRICS), features, read_scores(record.path / FILE))


def _common_keys(found: list[_Evaluation]) -> np.ndarray:
    first = found[0]
    common = set(first.scored.keys.tolist())
    for other in found[1:]:
        if other.scored.classes != first.scored.classes:
            raise NlcliError(f"{other.path} and {first.path} score different classes; compare models of one data set")
        common &= set(other.scored.keys.tolist())
        if not common:
            raise NlcliError(f"{other.path} and {first.path} have no image in common; compare evaluations of one split")
    return first.scored.keys[[key in common for key in first.scored.keys.tolist()]]


def _figures(e: _Evaluation, scored: ScoredImages, resamples: int, seed: int) -> Figures:
    made = e.metrics["bootstrap"]
    same = made["resamples"] == resamples and made["seed"] == seed
    if resamples and same and scored is e.scored:
        names = [name for name in ("mAP", "AP_all", *ACCURACIES) if name in e.metrics]
        values = {name: math.nan if e.metrics[name] is None else float(e.metrics[name]) for name in names}
        return read_replicates(e.path / REPLICATES, scored, values)
    return figures(scored, e.metrics["task"], resamples, seed)


class _Group:
    """The seeds of one model: means of their figures and of their replicates."""

    def __init__(self, members: list[Figures]) -> None:
        self.names = list(members[0].values)
        self.values = {name: np.array([m.values[name] for m in members]) for name in self.names}
        self.replicates = {
            name: np.mean([m.replicates[name] for m in members], axis=0) for name in members[0].replicates
        }
        self.per_class = np.mean([m.ranking.per_class for m in members], axis=0)


def _row(label: str, members: list[_Evaluation], group: _Group, reference: _Group | None) -> Row:
    from nlcli.bootstrap import interval

    def ends(values: np.ndarray) -> tuple[float, float]:
        low, high = interval(values, LEVEL)
        return float(low), float(high)

    found = {}
    for name in group.names:
        values = group.values[name]
        value, replicates = float(values.mean()), group.replicates.get(name)
        difference = pair = None
        if reference is not None:
            difference = value - float(reference.values[name].mean())
            if replicates is not None:
                pair = ends(replicates - reference.replicates[name])
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        found[name] = Figure(value, spread, None if replicates is None else ends(replicates), difference, pair)
    selection = members[0].metrics["selection"]
    clean = selection.get("clean") or {}
    return Row(
        label,
        members[0].metrics["model"]["settings"].get("clean_fraction"),
        clean.get("images") or None,
        tuple(e.metrics["model"]["settings"].get("seed", 0) for e in members),
        _selected_by(selection),
        found,
        group.per_class,
    )


def _selected_by(selection: dict[str, Any]) -> str:
    chosen = selection.get("selected_by")
    if chosen is None:
        return "not recorded"
    if chosen.get("split") is None:
        return "nothing (last step)"
    return f"{chosen['split']} {chosen['metric']}"


# --- which evaluations are one model ---------------------------------------------------------


def _grouped(found: list[_Evaluation]) -> list[tuple[str, list[int]]]:
    """Label and members of every row: what differs in nothing but the seed is one row."""
    groups: dict[str, list[int]] = {}
    for i, e in enumerate(found):
        settings = {k: v for k, v in e.metrics["model"]["settings"].items() if k != "seed"}
        groups.setdefault(json.dumps([e.metrics["name"], e.metrics["score"], settings], sort_keys=True), []).append(i)
    parts: list[list[int]] = []
    for members in groups.values():
        seeds = [found[i].metrics["model"]["settings"].get("seed") for i in members]
        if len(set(seeds)) == len(seeds):
            parts.append(members)
            continue
        # One seed twice: the same head on other features, or the same thing under another name.
        by_features: dict[str | None, list[int]] = {}
        for i in members:
            by_features.setdefault(found[i].features, []).append(i)
        parts += list(by_features.values()) if len(by_features) > 1 else [[i] for i in members]
    parts.sort(key=lambda members: members[0])
    return list(zip(_labels(found, parts), parts, strict=True))


def _labels(found: list[_Evaluation], parts: list[list[int]]) -> list[str]:
    """The method with its options; where that does not tell rows apart, the settings that differ."""
    firsts = [found[members[0]] for members in parts]
    labels = [_label(e) for e in firsts]
    fractions = [e.metrics["model"]["settings"].get("clean_fraction") for e in firsts]

    def alike(i: int) -> list[int]:
        return [j for j in range(len(labels)) if (labels[j], fractions[j]) == (labels[i], fractions[i])]

    told = list(labels)
    for i in range(len(labels)):
        same = alike(i)
        if len(same) == 1:
            continue
        settings = [firsts[j].metrics["model"]["settings"] for j in same]
        own = firsts[i].metrics["model"]["settings"]
        differing = [
            name
            for name in own
            if name not in _NOT_SETTINGS and any(other.get(name) != own[name] for other in settings)
        ]
        if differing:
            told[i] += f" ({', '.join(f'{name}={own[name]}' for name in differing)})"
        else:
            told[i] += f" ({firsts[i].metrics['model']['directory']})"
    return told


def _label(e: _Evaluation) -> str:
    settings, name = e.metrics["model"]["settings"], e.metrics["name"]
    if e.metrics["model"]["kind"] == "backbone":
        return f"{name}, {settings['labels']} labels" if "labels" in settings else name
    told = [f"{key}={value}" for key, value in sorted((settings.get("options") or {}).items())]
    if settings.get("preset"):
        told.insert(0, settings["preset"])
    if e.metrics.get("score_chosen"):
        told.append(f"score {e.metrics['score']}")
    return name + (f" ({', '.join(told)})" if told else "")
