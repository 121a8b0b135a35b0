"""How metrics are written in files and shown in tables."""

from __future__ import annotations

import math
from collections.abc import Sequence


def exact(value: float | None) -> str:
    """A metric in a CSV file: six decimals, empty where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:.6f}"


def ends_text(ends: Sequence[float | None] | None, style: str, scale: float = 1) -> str:
    """`` [low, high]`` behind a value, ``scale`` times what is given; empty where an end is not known."""
    if ends is None or ends[0] is None or ends[1] is None:
        return ""
    return f" [{scale * ends[0]:{style}}, {scale * ends[1]:{style}}]"


def percent(share: float) -> str:
    """``0.95`` -> ``95 %``."""
    return f"{100 * share:g} %"
