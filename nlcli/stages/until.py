"""Rounds that end when the classifier stops improving (Lee 2018, section 3.3)."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.stages.pipeline_file import Entry, Rounds
from nlcli.stages.stage import read_stage
from nlcli.stages.workers import Step


@dataclass(frozen=True)
class Until:
    """Rounds of a plan, and the stages that tell whether the next one is worth it.

    Attributes:
        where: File and position.
        stages: Names of all stages of every round.
        judged: Names of the stages that have to get better, of what stands before the rounds (there may be none), and
            of every round.
    """

    where: str
    stages: tuple[tuple[str, ...], ...]
    judged: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, rounds: Rounds, entries: Sequence[Entry], steps: Mapping[str, Step]) -> Until:
        """Those of a file.

        Raises:
            NlcliError: a round has no such stage, or one whose result nothing on validation tells of.
        """
        stages = tuple(
            tuple(entry.name for entry in entries if (entry.block, entry.round) == (rounds.where, number))
            for number in range(1, rounds.count + 1)
        )
        before = [name for name in steps if name not in {name for names in stages for name in names}]
        judged = tuple(
            tuple(fnmatch.filter(names, rounds.judged(number))) for number, names in enumerate((before, *stages))
        )
        for number, names in enumerate(judged):
            if number and not names:
                raise NlcliError(
                    f"{rounds.where}: 'until' names '{rounds.judged(number)}', which round {number} has not"
                )
            for name in names:
                if not steps[name].stage.better_by:
                    raise NlcliError(
                        f"{rounds.where}: 'until' names {name}, a stage {steps[name].stage.name} that is not measured "
                        "on validation; name one of train-head or pretrain-backbone"
                    )
        return cls(rounds.where, stages, judged)

    @property
    def count(self) -> int:
        """Rounds at most."""
        return len(self.stages)

    def through(self, number: int, steps: Sequence[Step]) -> list[Step]:
        """Those of ``steps`` up to the end of round ``number``."""
        names = {name for names in self.stages[:number] for name in names}
        last = max((i for i, step in enumerate(steps) if step.name in names), default=-1)
        return list(steps[: last + 1])

    def judge(self, number: int, steps: Mapping[str, Step]) -> Judged | None:
        """How good round ``number`` and all before it are; None where none of its judged stages was to be run.

        Raises:
            NlcliError: a stage tells nothing that was measured on validation.
        """
        if not set(self.judged[number]) <= set(steps):
            return None
        told = [_quality([steps[name] for name in names if name in steps]) for names in self.judged[: number + 1]]
        values = {i: value for i, (value, _) in enumerate(told) if value is not None}
        return Judged(self.where, self.judged, told[number][1], values)


@dataclass(frozen=True)
class Judged:
    """How good rounds are on validation.

    Attributes:
        where: File and position.
        stages: Names of the judged stages of every round, round 0 being what stands before.
        metric: Name of the metric.
        values: It by round, up to the last that was run.
    """

    where: str
    stages: tuple[tuple[str, ...], ...]
    metric: str
    values: Mapping[int, float]

    @property
    def last(self) -> int:
        """The last round that was run."""
        return max(self.values)

    @property
    def best(self) -> int:
        """The best round; of equal ones the first."""
        return max(self.values, key=lambda number: (self.values[number], -number))

    @property
    def goes_on(self) -> bool:
        """Whether the last round was better than all before it."""
        return self.best == self.last

    def tell(self) -> None:
        """Say which round is the best, and whether the last one ends them."""
        last, best = (", ".join(self.stages[number]) for number in (self.last, self.best))
        value, most = f"{self.values[self.last]:.4f}", f"{self.values[self.best]:.4f}"
        if self.goes_on:
            say(
                f"{last}: {self.metric} {self.values[self.last]:.4f}; round {self.last}, the last there is, is the best"
            )
        else:
            say(
                f"{last}: {self.metric} {value} is no better than {most} before; the rounds end after {self.last}, and "
                f"the best is {best} (round {self.best})"
            )

    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        rounds = [
            {"round": number, "stages": list(self.stages[number]), "value": value}
            for number, value in self.values.items()
        ]
        return {"where": self.where, "metric": self.metric, "best": self.best, "last": self.last, "rounds": rounds}


def _quality(steps: Sequence[Step]) -> tuple[float | None, str]:
    """Mean over stages of what tells how good they are, and its name; None without a stage."""
    values, metric = [], ""
    for step in steps:
        summary: Mapping[str, Any] = read_stage(step.output).summary
        metric = next((name for name in step.stage.better_by if isinstance(summary.get(name), int | float)), "")
        if not metric:
            raise NlcliError(f"{step.output} has no metric of validation, where nothing is verified; leave 'until' out")
        values.append(float(summary[metric]))
    return (sum(values) / len(values) if values else None), metric
