"""Shares of counted labels with their intervals, and how they are told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.metrics.intervals import FEWEST_TO_RANK, Ends, metric_interval, share_support


@dataclass(frozen=True)
class Share:
    """So many of so many.

    Attributes:
        part, whole: The two counts.
        interval: 95 % over other labels drawn alike; None of too few.
    """

    part: int
    whole: int
    interval: Ends | None

    @classmethod
    def of(cls, part: int, whole: int, *, of_class: bool = False) -> Share | None:
        """None of nothing."""
        if whole <= 0:
            return None
        support = share_support(whole, of_class=of_class)
        return cls(part, whole, metric_interval(part / whole, np.empty((1, 0)), support))

    @property
    def value(self) -> float:
        """The share itself."""
        return self.part / self.whole

    @property
    def too_few(self) -> bool:
        """Whether it rests on so few that it is not to be trusted."""
        return self.whole < FEWEST_TO_RANK

    @property
    def told(self) -> str:
        """``38 % [35, 41]``."""
        return percent_with_ends(self.value, self.interval)


def percent(value: float) -> str:
    """A share for people: ``38.4 %``, one digit behind the point as in its interval; nothing and all are whole."""
    text = f"{100 * value:.1f}".removesuffix(".0") if value in (0, 1) else f"{100 * value:.1f}"
    return f"{text}\u00a0%"  # a number and its sign stay on one line


def percent_with_ends(value: float, ends: tuple[float | None, float | None] | None) -> str:
    """``38.4 % [35.1, 41.8]``."""
    if ends is None or ends[0] is None or ends[1] is None:
        return percent(value)
    return f"{percent(value)} [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
