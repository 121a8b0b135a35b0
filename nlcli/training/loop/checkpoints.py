"""``checkpoint.npz``: where a training stands, so that a process killed at any moment can be taken up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from nlcli.errors import NlcliError, shortened
from nlcli.stages.files import read_arrays, write_arrays
from nlcli.training.loop.history import Evaluation

CHECKPOINT = "checkpoint.npz"


class BestEvaluation(BaseModel):
    """The best evaluation of a phase: where it was, the metric that says so, and its value."""

    phase: str
    step: int
    value: float
    by: str


class Position(BaseModel):
    """Where training stands, beside weights and moments.

    Attributes:
        phase: Number of the phase.
        step: In it.
        taken: Steps of all phases so far.
        stopped: What ended the phase, or will if nothing else does: ``steps`` or ``patience``.
        history: Evaluations of all phases.
        best: Of this phase.
        stale: Evaluations since it.
        done: Whether all phases have ended.
    """

    phase: int = 0
    step: int = 0
    taken: int = 0
    stopped: str = "steps"
    history: list[Evaluation] = []
    best: BestEvaluation | None = None
    stale: int = 0
    done: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on to the same result.

    Attributes:
        weights: By name.
        best_weights: Of ``position.best``; empty where there is none.
        moments: Of the phase's optimizer and loss scale, in their order; empty between two phases.
        since: (steps, losses) float32 since the last evaluation; None where there are none.
    """

    position: Position
    weights: Mapping[str, np.ndarray]
    best_weights: Mapping[str, np.ndarray]
    moments: Sequence[np.ndarray]
    since: np.ndarray | None


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it, whole or not at all."""
    arrays: dict[str, Any] = {"position": np.asarray(json.dumps(checkpoint.position.model_dump()))}
    arrays |= {f"weights/{name}": value for name, value in checkpoint.weights.items()}
    arrays |= {f"best/{name}": value for name, value in checkpoint.best_weights.items()}
    arrays |= {f"moments/{i}": value for i, value in enumerate(checkpoint.moments)}
    if checkpoint.since is not None:
        arrays["since"] = checkpoint.since
    write_arrays(folder / CHECKPOINT, arrays)


def read_checkpoint(folder: Path, weights: Sequence[str]) -> Checkpoint | None:
    """The checkpoint in ``folder``; None where there is none.

    Args:
        weights: Names of those that it must hold.

    Raises:
        NlcliError: it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    remedy = "pass --force to begin anew"
    arrays = read_arrays(path, remedy)
    try:
        return Checkpoint(
            Position.model_validate(json.loads(str(arrays["position"]))),
            {name: arrays[f"weights/{name}"] for name in weights},
            {name.removeprefix("best/"): values for name, values in arrays.items() if name.startswith("best/")},
            [arrays[f"moments/{i}"] for i in range(sum(name.startswith("moments/") for name in arrays))],
            arrays.get("since"),
        )
    except (ValueError, KeyError, RecursionError) as error:
        raise NlcliError(f"{path} is no checkpoint ({shortened(error)}); {remedy}") from error
