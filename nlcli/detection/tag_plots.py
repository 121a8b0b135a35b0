"""Plot of a detection on several labels: probabilities of present and absent classes, of given and missing tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from nlcli.data.tag_detection_files import TagThreshold, VerifiedEntries
from nlcli.drawing import BLUE, ORANGE, new_figure, save_figure


def probabilities_plot(
    entries: VerifiedEntries, thresholds: Mapping[Literal["given", "missing"], TagThreshold], path: Path
) -> None:
    """How probabilities of verified entries are spread, of classes that are there against those that are not.

    Args:
        entries: Of one image at least.
        thresholds: By kind, from which probability on a class is called present.
        path: PNG file to write.
    """
    figure = new_figure(9.2, 3.6)
    panels = figure.subplots(1, 2)
    kinds: tuple[tuple[Literal["given", "missing"], str, np.ndarray], ...] = (
        ("given", "given tags: wrong ones should be on the left", entries.given),
        ("missing", "other classes: missing tags should be on the right", ~entries.given),
    )
    bins = np.linspace(0, 1, 26)
    for axes, (kind, title, which) in zip(panels, kinds, strict=True):
        for present, name, color in ((True, "the class is there", BLUE), (False, "it is not", ORANGE)):
            part = entries.probability[which & (entries.present == present)]
            if len(part):
                axes.hist(
                    part,
                    bins=bins.tolist(),
                    weights=np.full(len(part), 100 / len(part)),
                    color=color,
                    histtype="stepfilled" if present else "step",
                    alpha=0.55 if present else 1,
                    linewidth=1.8,
                    label=f"{name} ({len(part):,})",
                )
        value = thresholds[kind].value
        if 0 < value < 1:
            axes.axvline(value, color="0.2", linestyle="--", linewidth=1.2, label=f"threshold {value:.2f}")
        axes.set_title(title, fontsize=9.5, loc="left")
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability that the class is in the image")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("% of those verified entries")
    save_figure(figure, path)
