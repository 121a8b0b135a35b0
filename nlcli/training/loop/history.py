"""``metrics.jsonl``: one line an evaluation, written while a model is trained."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from nlcli.errors import NlcliError, first_problem
from nlcli.stages.files import atomic_path

HISTORY = "metrics.jsonl"


class Evaluation(BaseModel):
    """One line: how training stood at a step.

    Attributes:
        phase, step: Where; a phase's steps count from 0.
        train: Means of the losses since the evaluation before, by name; empty at a phase's beginning.
        validation: Metrics on validation by name; empty where nothing is verified there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: str
    step: int
    train: dict[str, float] = {}
    validation: dict[str, float] = {}

    def line(self) -> str:
        """The line of the file, with its end."""
        return json.dumps(self.model_dump(), ensure_ascii=False) + "\n"


class CountedSteps:
    """Steps of all phases counted on: those of a phase begin where the one before ended."""

    def __init__(self) -> None:
        self._phase, self._before, self._last = "", 0, 0

    def __call__(self, evaluation: Evaluation) -> int:
        """The step of ``evaluation``, which comes behind those that were asked for before."""
        if evaluation.phase != self._phase:
            self._phase, self._before = evaluation.phase, self._last
        self._last = self._before + evaluation.step
        return self._last


def write_history(folder: Path, history: Iterable[Evaluation]) -> None:
    """Write all of the file anew, whole or not at all."""
    with atomic_path(folder / HISTORY) as temporary:
        temporary.write_text("".join(evaluation.line() for evaluation in history), encoding="utf-8")


def append_to_history(folder: Path, evaluation: Evaluation) -> None:
    """Write one more line."""
    with open(folder / HISTORY, "a", encoding="utf-8") as file:
        file.write(evaluation.line())


def read_history(folder: Path) -> list[Evaluation] | None:
    """The evaluations of the training in ``folder``; None where it has no such file.

    Raises:
        NlcliError: a line is not one of its kind.
    """
    where = folder / HISTORY
    if not where.is_file():
        return None
    history = []
    for number, text in enumerate(where.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            history.append(Evaluation.model_validate_json(text))
        except ValidationError as error:
            raise NlcliError(
                f"{where}, line {number}: not a line of training metrics ({first_problem(error, kind='field')}); "
                "train the model again"
            ) from error
    return history
