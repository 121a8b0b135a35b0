"""Plots as SVG inside the page: text is text, and colours are the page's own, in light and in dark.

Everything that comes from outside passes ``markupsafe.escape``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from nlcli.errors import printable
from nlcli.reporting.models import Curve
from nlcli.reporting.reliability import Reliability
from nlcli.reporting.shares import percent
from nlcli.reporting.verdicts import Histogram

_WIDTH, _HEIGHT = 420.0, 280.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 22.0, 12.0, 42.0


def _element(name: str, inside: str | Markup = "", **attributes: str | float) -> Markup:
    """An element; ``inside`` is escaped unless it is markup, underscores in names of attributes become hyphens."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{told}>{escape(inside)}</{name}>")


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def _text(text: str, x: float, y: float, anchor: str = "start", **more: str | float) -> Markup:
    return _element("text", printable(text, None), x=x, y=y, text_anchor=anchor, **more)


class _Axes:
    """A frame with ticks; data are given in units of the axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], x_title: str, y_title: str) -> None:
        self._x, self._y = x, y
        self.parts: list[Markup] = []
        self._titles = (x_title, y_title)

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def ticks(self, x: Iterable[tuple[float, str]], y: Iterable[tuple[float, str]]) -> None:
        for value, text in y:
            at = self.y(value)
            self.parts.append(_element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at, class_="grid"))
            self.parts.append(_text(text, _LEFT - 6, at + 4, "end"))
        base = _HEIGHT - _BOTTOM
        for value, text in x:
            self.parts.append(_text(text, self.x(value), base + 17, "middle"))
        self.parts.append(_element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="axis"))

    def svg(self, label: str) -> Markup:
        x_title, y_title = self._titles
        titles = [
            _text(x_title, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "middle", class_="title"),
            _element(
                "text",
                y_title,
                x=0.0,
                y=0.0,
                text_anchor="middle",
                class_="title",
                transform=f"translate(12 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)",
            ),
        ]
        inside = Markup("").join([*self.parts, *titles])
        box = f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}"
        return _element("svg", inside, class_="plot", viewBox=box, role="img", aria_label=label)


def _steps(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def reliability_plot(reliability: Reliability, said: str, was: str) -> Markup:
    """Expected against observed: dots on the line keep what they say; bars are 95 % intervals."""
    axes = _Axes((0, 1), (0, 1), said, was)
    fifths = [(i / 5, f"{20 * i}") for i in range(6)]
    axes.ticks(fifths, fifths)
    axes.parts.append(_element("line", x1=axes.x(0), y1=axes.y(0), x2=axes.x(1), y2=axes.y(1), class_="diagonal"))
    largest = max(point.observed.whole for point in reliability.bins)
    for point in reliability.bins:
        x, y = axes.x(point.expected), axes.y(point.observed.value)
        ends = point.observed.interval
        if ends is not None:
            axes.parts.append(_element("line", x1=x, x2=x, y1=axes.y(ends[0]), y2=axes.y(ends[1]), class_="whisker c1"))
        radius = 2.5 + 4 * math.sqrt(point.observed.whole / largest)
        told = f"said {percent(point.expected)}, was {point.observed.told}, {point.observed.whole:,} labels"
        axes.parts.append(_element("circle", _element("title", told), cx=x, cy=y, r=radius, class_="dot c1"))
    return axes.svg(f"Calibration: {said} against {was}; mean distance {percent(reliability.error)}")


def histogram_plot(histogram: Histogram) -> Markup:
    """Scores of labels that a person called right against those that a person called wrong."""
    top = max(float(histogram.right.max()), float(histogram.wrong.max()))
    edges = histogram.edges
    axes = _Axes((float(edges[0]), float(edges[-1])), (0, top * 1.05), "score of the label", "% of those labels")
    axes.ticks(
        [(value, f"{value:.3g}") for value in _steps(float(edges[0]), float(edges[-1]))],
        [(value, f"{100 * value:.3g}") for value in _steps(0, top, 4)],
    )
    for values, name in ((histogram.right, "bars c1"), (histogram.wrong, "bars c2")):
        path = [f"M{axes.x(float(edges[0])):.1f} {axes.y(0):.1f}"]
        for i, value in enumerate(values.tolist()):
            at = axes.y(value)
            path.append(f"L{axes.x(float(edges[i])):.1f} {at:.1f}L{axes.x(float(edges[i + 1])):.1f} {at:.1f}")
        path.append(f"L{axes.x(float(edges[-1])):.1f} {axes.y(0):.1f}")
        axes.parts.append(_element("path", d="".join(path), class_=name))
    if histogram.threshold is not None:
        x = axes.x(histogram.threshold)
        axes.parts.append(_element("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="mark"))
        right = x < _WIDTH / 2
        axes.parts.append(_text("threshold", x + (5 if right else -5), _TOP + 10, "start" if right else "end"))
    return axes.svg("Scores of labels checked right against labels checked wrong")


def curves_plot(curves: Sequence[Curve], metric: str) -> Markup:
    """A metric on validation over the steps of training."""
    values = [value for curve in curves for value in curve.values]
    low, high = min(values), max(values)
    pad = max(0.02, 0.06 * (high - low))
    low, high = max(0.0, low - pad), min(1.0, high + pad)
    last = max(curve.steps[-1] for curve in curves)
    axes = _Axes((0, max(1, last)), (low, high), "steps of training", f"{metric} on validation")
    axes.ticks([(v, f"{v:,.0f}") for v in _steps(0, last, 4)], [(v, f"{v:.3g}") for v in _steps(low, high)])
    for number, curve in enumerate(curves, 1):
        points = " ".join(f"{axes.x(s):.1f},{axes.y(v):.1f}" for s, v in zip(curve.steps, curve.values, strict=True))
        told = _element("title", printable(f"{curve.label}: {curve.values[-1]:.3f} at the end", None))
        axes.parts.append(_element("polyline", told, points=points, class_=f"line c{number}"))
    return axes.svg(f"{metric} on validation over the steps of training")


# --- inside of tables ------------------------------------------------------------------------


def bar(share: float) -> Markup:
    """A bar over ``share`` of a cell's width."""
    width = f"{100 * min(1.0, max(0.0, share)):.2f}%"
    rect = _element("rect", x="0", y="2", height="8", rx="2", width=width, class_="fill c1")
    return _element("svg", rect, class_="cell", width="100%", height="12", aria_hidden="true")


def whisker(value: float, ends: tuple[float | None, float | None] | None, low: float, high: float, mark: str) -> Markup:
    """A dot with its interval on an axis from ``low`` to ``high`` that is as wide as the cell."""

    def at(x: float) -> str:
        return f"{2 + 96 * min(1.0, max(0.0, (x - low) / (high - low))):.2f}%"

    parts = [_element("line", x1="0%", x2="100%", y1="8", y2="8", class_="grid")]
    if ends is not None and ends[0] is not None and ends[1] is not None:
        parts.append(_element("line", x1=at(ends[0]), x2=at(ends[1]), y1="8", y2="8", class_=f"whisker {mark}"))
    parts.append(_element("circle", cx=at(value), cy="8", r="4", class_=f"dot {mark}"))
    return _element("svg", Markup("").join(parts), class_="cell", width="100%", height="16", aria_hidden="true")
