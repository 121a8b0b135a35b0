"""Figures about a data set's labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlcli.stage import atomic_path

# Right of the title: inside, a legend would hide bars.
_ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 3, "frameon": False, "fontsize": 8}


def class_statistics_figure(statistics: dict[str, Any], path: Path) -> None:
    """Class frequency and annotation quality, as in Hu et al. 2018, figure 4.

    Both panels show the classes in the same order, most frequent first.

    Args:
        statistics: What ``label_statistics`` returns.
        path: PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = sorted(statistics["classes"], key=lambda entry: (-entry["verified"], entry["class"]))
    position = list(range(len(classes)))
    # The canvas is made directly: pyplot would keep the figure and pick a window system.
    figure = Figure(figsize=(min(max(8.0, 0.19 * len(classes)), 24.0), 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    frequency, quality = figure.subplots(2, 1, sharex=True)

    frequency.bar([x - 0.2 for x in position], [c["verified"] for c in classes], 0.4, label="verified", color="#2b6c8f")
    frequency.bar([x + 0.2 for x in position], [c["noisy"] for c in classes], 0.4, label="noisy", color="#d98c3f")
    frequency.set_ylabel("images")
    frequency.set_title("(a) Class frequency", loc="left")
    frequency.legend(**_ABOVE)

    share = [c["quality"] or 0 for c in classes]
    found = [float("nan") if c["recall"] is None else c["recall"] for c in classes]
    quality.bar(position, share, 0.7, label="noisy labels that are right", color="#d98c3f")
    quality.plot(position, found, "o", markersize=4, color="#2b6c8f", label="verified labels that are found")
    overall = statistics["splits"]["all"]["precision"]
    if overall is not None:
        label = f"right over all classes: {overall:.0%}"
        quality.axhline(overall, color="0.4", linewidth=0.8, linestyle="--", label=label)
    quality.set_ylim(0, 1.05)
    quality.set_ylabel("share")
    quality.set_title("(b) Annotation quality", loc="left")
    quality.legend(**_ABOVE)
    step = max(1, len(classes) // 120)  # thousands of names cannot be read anyway
    quality.set_xticks(position[::step], [c["class"] for c in classes][::step], rotation=90, fontsize=7)
    quality.set_xlim(-0.7, len(classes) - 0.3)
    for axes in (frequency, quality):
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        # Without the library's version in it, the same statistics give the same bytes.
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
