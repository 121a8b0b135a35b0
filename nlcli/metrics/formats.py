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


def value_text(
    value: float | None,
    spread: float | None = None,
    ends: Sequence[float | None] | None = None,
    *,
    style: str = ".3f",
    scale: float = 1,
    unknown: str = "-",
) -> str:
    """``value ± spread [low, high]``, ``scale`` times what is given and without what is not known.

    Args:
        style: How numbers are written, such as ``+.3f`` where the sign counts.
        unknown: All that is told where there is no value.
    """
    if value is None:
        return unknown
    around = "" if spread is None else f" ± {scale * spread:{style.lstrip('+')}}"
    return f"{scale * value:{style}}{around}{ends_text(ends, style, scale)}"


def percent(share: float) -> str:
    """``0.95`` -> ``95 %``."""
    return f"{100 * share:g} %"
