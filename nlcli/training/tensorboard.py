"""A log of a training for TensorBoard, which need not be installed for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from nlcli.training.event_file import EventFile
from nlcli.training.loop.history import CountedSteps, Evaluation, read_history

LOG = "tensorboard"
_NO_NAME = re.compile(r"[^\w.-]")


class TensorBoard:
    """Writes every line of ``metrics.jsonl`` in ``work`` to a folder beside it, too.

    The phases of a training are one curve: the steps of a phase count from the end of the one before.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._writer: EventFile | None = None
        self._counted = CountedSteps()

    def __call__(self, evaluation: Evaluation) -> None:
        evaluations = [evaluation]
        if self._writer is None:  # a resumed run writes its log anew, so that no step is in it twice
            shutil.rmtree(self._work / LOG, ignore_errors=True)
            self._writer = EventFile(self._work / LOG)
            evaluations = read_history(self._work) or evaluations
        for entry in evaluations:
            _write(self._writer, entry, self._counted(entry))
        self._writer.flush()

    def close(self) -> None:
        """End the log."""
        if self._writer is not None:
            self._writer.close()


def write_solved(folder: Path, history: Sequence[Evaluation]) -> None:
    """The log of a solved head: a curve for each candidate, in a folder of its own; a step is a point of its path."""
    shutil.rmtree(folder, ignore_errors=True)
    for number, phase in enumerate(dict.fromkeys(evaluation.phase for evaluation in history)):
        own = [evaluation for evaluation in history if evaluation.phase == phase]
        write_log(folder / f"{number}-{_NO_NAME.sub('-', phase)[:64]}", own)


def write_log(folder: Path, history: Sequence[Evaluation], numbers: Mapping[str, float] | None = None) -> None:
    """The whole log of a training that has ended, and ``numbers`` that belong to no step."""
    counted, writer = CountedSteps(), EventFile(folder)
    for entry in history:
        _write(writer, entry, counted(entry))
    for name, value in (numbers or {}).items():
        writer.scalar(name, value, 0)
    writer.close()


def _write(writer: EventFile, entry: Evaluation, step: int) -> None:
    for part, values in (("train", entry.train), ("validation", entry.validation)):
        for name, value in values.items():
            writer.scalar(f"{part}/{name}", value, step)
