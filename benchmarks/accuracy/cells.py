"""The cells of the table: measured, one file each, and read again."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy import references
from benchmarks.accuracy.cases import Answer, Case, Truth
from benchmarks.accuracy.measure import measured
from benchmarks.accuracy.ours import Stages, our_names
from benchmarks.accuracy.rows import Row, case
from nlcli.stages.files import atomic_path, write_json


@dataclass(frozen=True, eq=False)
class Cell:
    """One method's metrics in one row with one seed.

    Attributes:
        metrics: By name.
        seconds: Of CPU.
        note: What the method chose.
        outcome: (k,) bool, which test images are right; of several labels (k, C) scores. None of a detector.
    """

    row: str
    method: str
    seed: int
    metrics: dict[str, float]
    seconds: float
    note: str
    outcome: np.ndarray | None


Table = dict[tuple[str, str], list[Cell]]
"""By row and method."""


def mean_of(cells: list[Cell], metric: str) -> float:
    """Over the seeds."""
    return float(np.mean([cell.metrics[metric] for cell in cells]))


def means(table: Table, row: str, methods: Iterable[str], metric: str) -> dict[str, float]:
    """By method, of those whose cells in ``row`` have ``metric``."""
    return {
        method: mean_of(table[row, method], metric)
        for method in methods
        if (row, method) in table and metric in table[row, method][0].metrics
    }


@dataclass(frozen=True)
class Wanted:
    """What to fill the table with.

    Attributes:
        rows: The rows.
        methods: As ``--methods`` has them; empty for all.
        seeds: 0 to this number.
        runs: Where the data sets' directories are.
        folder: Where the cells go.
        most: Images outside test; None for all.
        again: Whether cells that are there are measured again: nothing in them says which code they are of.
    """

    rows: list[Row]
    methods: list[str]
    seeds: int
    runs: Path
    folder: Path
    most: int | None = None
    again: bool = False


def fill(wanted: Wanted) -> None:
    """Measure the cells that are not there, or all of them."""
    for row in wanted.rows:
        for seed in range(wanted.seeds):
            asked, truth = case(row, seed, wanted.runs, wanted.most)
            with Stages() as stages:
                for method in wanted.methods or [*references.REFERENCES, references.TRUE, *our_names(asked)]:
                    place = _place(wanted.folder, row, method, seed)
                    if wanted.again or not place.exists():
                        _measure(asked, truth, method, stages, place, row)


def _measure(asked: Case, truth: Truth, method: str, stages: Stages, place: Path, row: Row) -> None:
    started = time.process_time()
    try:
        answer = answered(asked, truth, method, stages)
        failure = "" if answer is not None else "does not apply"
    except Exception as error:  # a method that fails leaves an empty cell, which says why
        answer, failure = None, f"{type(error).__name__}: {str(error)[:300]}"
    seconds = time.process_time() - started
    metrics = {} if answer is None else measured(asked, truth, answer)
    place.parent.mkdir(parents=True, exist_ok=True)
    if answer is not None and answer.test is not None:
        outcome = answer.test.astype(np.float32) if asked.several else np.equal(answer.test.argmax(axis=1), truth.test)
        with atomic_path(place.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, outcome=outcome)
    told = {name: round(value, 5) for name, value in metrics.items()}
    note = failure or ("" if answer is None else answer.note)
    write_json(
        place,
        {
            "row": row.name,
            "method": method,
            "seed": asked.seed,
            "metrics": told,
            "seconds": round(seconds, 2),
            "note": note,
        },
    )
    values = " ".join(f"{name} {value:.4f}" for name, value in told.items())
    print(f"{row.name:24} {asked.seed} {method:24} {values} {seconds:6.1f} s {note}", file=sys.stderr, flush=True)


def answered(asked: Case, truth: Truth, method: str, stages: Stages) -> Answer | None:
    """What ``method`` answers: a reference, ``head:NAME``, ``detector:NAME``, or ``MODULE:FUNCTION`` of your own.

    Options of ours follow a comma: ``head:residual,steps=400``.
    """
    if method == references.TRUE:
        return references.sklearn_true(asked, truth.labels)
    if method in references.REFERENCES:
        return references.REFERENCES[method](asked)
    kind, _, name = method.partition(":")
    if kind in ("head", "detector"):
        name, *options = name.split(",")
        given = dict(option.split("=", 1) for option in options)
        return (stages.head if kind == "head" else stages.detector)(asked, name, given)
    answer: Answer | None = getattr(importlib.import_module(kind), name)(asked)
    return answer


def read_cells(folder: Path) -> list[Cell]:
    """Every cell that was measured."""
    cells = []
    for place in sorted(folder.glob("cells/*/*.json")):
        told = json.loads(place.read_text(encoding="utf-8"))
        arrays = place.with_suffix(".npz")
        outcome = np.load(arrays)["outcome"] if arrays.exists() else None
        cells.append(Cell(**told, outcome=outcome))
    return cells


def _place(folder: Path, row: Row, method: str, seed: int) -> Path:
    safe = method.replace(":", "+").replace("/", "_")
    return folder / "cells" / row.name / f"{safe}~{seed}.json"
