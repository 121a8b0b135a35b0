"""The least value of a function of one number between two bounds, as SciPy's ``minimize_scalar`` finds it.

Step by step the same, and so to the bit, without importing ``scipy.optimize``, which takes longer than finding it.

References:
    Brent 1973, algorithms for minimization without derivatives, chapter 5 (``fminbound``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

_GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))
_ROUNDING = math.sqrt(2.2e-16)
_MOST_CALLS = 500


def bounded_minimum(cost: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Where ``cost`` is least between ``low`` and ``high``, as near as ``tolerance``; of a cost with one minimum.

    A step goes to the lowest point of the parabola through the three best points, where that is inside and moves less
    than half of the step before the last, else by the golden section into the larger part.
    """
    best = second = third = low + _GOLDEN * (high - low)
    at_best = at_second = at_third = cost(best)
    step = before = 0.0
    for _ in range(_MOST_CALLS - 1):
        middle = 0.5 * (low + high)
        least = _ROUNDING * abs(best) + tolerance / 3.0
        if abs(best - middle) <= 2.0 * least - 0.5 * (high - low):
            break
        fitted = False
        if abs(before) > least:
            r = (best - second) * (at_best - at_third)
            q = (best - third) * (at_best - at_second)
            p = (best - third) * q - (best - second) * r
            q = 2.0 * (q - r)
            p, q = (-p if q > 0.0 else p), abs(q)
            allowed, before = abs(0.5 * q * before), step
            fitted = abs(p) < allowed and q * (low - best) < p < q * (high - best)
            if fitted:
                step = (p + 0.0) / q  # no negative zero
                if best + step - low < 2.0 * least or high - (best + step) < 2.0 * least:
                    step = math.copysign(least, middle - best)
        if not fitted:
            before = low - best if best >= middle else high - best
            step = _GOLDEN * before
        tried = best + math.copysign(max(abs(step), least), step)
        at_tried = cost(tried)
        if at_tried <= at_best:
            low, high = (best, high) if tried >= best else (low, best)
            third, at_third, second, at_second = second, at_second, best, at_best
            best, at_best = tried, at_tried
        else:
            low, high = (tried, high) if tried < best else (low, tried)
            if at_tried <= at_second or second == best:
                third, at_third, second, at_second = second, at_second, tried, at_tried
            elif at_tried <= at_third or third in (best, second):
                third, at_third = tried, at_tried
    return best
