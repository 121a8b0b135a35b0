"""A page's content as HTML. What comes from outside is text: escaped, and without characters that turn or hide text."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Any

import numpy as np

from nlcli.cleaning.label_changes import CHANGES_CSV
from nlcli.data.detection_files import NOISE_CSV
from nlcli.data.score_chosen import LOG
from nlcli.errors import printable
from nlcli.evaluation.comparison.model_rows import OverSeeds
from nlcli.metrics.confusion import Confusion
from nlcli.metrics.formats import ends_text, value_text
from nlcli.metrics.names import heading
from nlcli.reporting.content import Content
from nlcli.reporting.drawn import bar, curves_plot, histogram_plot, reliability_plot, whisker
from nlcli.reporting.models import Table
from nlcli.reporting.origins import Place
from nlcli.reporting.shares import percent
from nlcli.version import full_version

MOST_CONFUSED = 25
"""Classes up to which a table shows them all against each other."""
_LEVELS = 5
_MARK = "nlcli:record"
_PICTURE = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+")


def rendered(content: Content) -> tuple[str, str]:
    """The page, in two parts: before and after the place of its record."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("nlcli.reporting") / "page"
    environment = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_as_text,
    )
    environment.filters |= {
        "bar": bar,
        "capital": lambda text: text[:1].upper() + text[1:],
        "count": lambda number: f"{int(number):,}",
        "curves": curves_plot,
        "difference": _difference,
        "ends": lambda ends, style: ends_text(ends, style).strip(),
        "estimate": _estimate,
        "fixed": lambda number: f"{number:.3g}",
        "heading": heading,
        "histogram": histogram_plot,
        "level": _level,
        "name": _name,
        "percent": percent,
        "percent_ends": lambda ends: "" if ends is None else ends_text(ends, ".1f", 100).strip(),
        "picture": _picture,
        "reliability": reliability_plot,
        "scale": _scale,
        "whisker": whisker,
    }
    style, script = ((folder / name).read_text("utf-8") for name in ("page.css", "page.js"))
    page = environment.get_template("page.html").render(
        page=content,
        parts=_parts(content),
        version=full_version(),
        style=Markup(style),
        script=Markup(script),
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        record_mark=_MARK,
        of_classifiers=any(not table.of_detectors for table in content.tables),
        of_detectors=any(table.of_detectors for table in content.tables),
        most_confused=MOST_CONFUSED,
        most_labels=max((line.counts.noisy for line in content.classes), default=1) or 1,
        noise_place=None
        if content.verdicts is None
        else Place.of(content.verdicts.record.path / NOISE_CSV, content.page),
        changes_place=None
        if content.changes is None
        else Place.of(content.changes.record.path / CHANGES_CSV, content.page),
        log_place=None if content.taken is None else Place.of(content.taken.record.path / LOG, content.page),
        queue_place=None if content.queue is None else Place.of(content.queue.path, content.page),
        sheet_place=None
        if content.queue is None or content.queue.sheet is None
        else Place.of(content.queue.sheet, content.page),
    )
    before, _, after = page.lstrip().partition(_MARK)
    return before, after


def _parts(content: Content) -> tuple[tuple[str, str, bool], ...]:
    """Anchor, name and whether it is there."""
    return (
        ("facts", "In short", True),
        (
            "wrong",
            "Labels that look wrong",
            content.verdicts is not None or any(t.of_detectors for t in content.tables),
        ),
        ("changes", "Changes", content.changes is not None),
        ("labels", "Labels", content.labels is not None),
        ("checked", "What people found", content.taken is not None),
        ("models", "Classifiers", bool(content.curves) or any(not t.of_detectors for t in content.tables)),
        ("queue", "To check next", content.queue is not None),
        ("origins", "Where it came from", True),
        ("missing", "What is not here", bool(content.missing)),
        ("words", "Words", True),
    )


def _as_text(value: Any) -> Any:
    """What a template prints of ``value``: markup as it is, of anything else what shows itself and turns nothing."""
    if hasattr(value, "__html__"):
        return value
    return "" if value is None else printable(str(value), None, keep="\n\u00a0")


def _name(text: str | None, most: int = 48) -> str | None:
    """A name from outside where there is little room for it."""
    return text if text is None or len(text) <= most else text[:most].rstrip() + "…"


def _source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _picture(source: str) -> str:
    """A data URI that a browser loads nothing with."""
    if not _PICTURE.fullmatch(source):
        raise ValueError("not a picture made here")
    return source


def _scale(table: Table) -> tuple[float, float]:
    """The axis on which the leading metric of all rows is shown: what their intervals span, and a little more."""
    metrics = [row.metrics[table.lead] for row in table.comparison.rows]
    values = [m.value for m in metrics if m.value is not None]
    values += [end for m in metrics if m.interval is not None for end in m.interval if end is not None]
    if not values:
        return 0.0, 1.0
    pad = max(0.01, 0.05 * (max(values) - min(values)))
    low, high = np.floor(100 * (min(values) - pad)) / 100, np.ceil(100 * (max(values) + pad)) / 100
    return max(0.0, float(low)), min(1.0, float(high))


def _estimate(metric: OverSeeds) -> str:
    return value_text(metric.value, metric.spread, unknown="–")


def _difference(metric: OverSeeds) -> str:
    return value_text(metric.difference, style="+.3f", unknown="")


def _level(confusion: Confusion, row: int, column: int) -> int:
    """How dark a cell is: by its share of the row's images."""
    share = float(confusion.shares[row, column])
    return 0 if share <= 0 else min(_LEVELS, 1 + int(share * _LEVELS))
