"""Plots of a detection: the images whose labels are worst, and how well the score parts right from wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nlcli.drawing import BLUE, GREY, ORANGE, bin_count, cut, key_end, new_figure, photograph_grid, save_figure
from nlcli.networks.photographs import read_photograph


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong.

    Attributes:
        verified: ``right`` or ``wrong`` where a person looked, else None.
    """

    key: str
    path: Path
    label: str
    score: float
    verified: str | None


def suspects_plot(suspects: Sequence[Suspect], path: Path) -> None:
    """Photographs with the label that they have, the score, and what a person said of it, if one did."""
    cells = [(read_photograph(suspect.path), _lines(suspect)) for suspect in suspects]
    photograph_grid(cells, path, columns=6)


def _lines(suspect: Suspect) -> list[tuple[str, str]]:
    said = {"right": ("✓ verified: right", BLUE), "wrong": ("✗ verified: wrong", ORANGE), None: ("not verified", GREY)}
    return [
        (f"'{cut(suspect.label, 33)}'?", "0.1"),
        (f"score {suspect.score:.3f}", "0.3"),
        said[suspect.verified],
        (key_end(suspect.key), "0.5"),
    ]


def scores_plot(score: np.ndarray, verified: np.ndarray, threshold: float, split: str, path: Path) -> None:
    """How scores of verified labels are spread, right ones against wrong ones, and the threshold.

    Args:
        score: (n,) of the images of ``split`` whose noisy label is verified.
        verified: (n,) 1 right, 0 wrong.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    low, high = np.quantile(score, (0.002, 0.998)) if len(score) > 500 else (score.min(), score.max())
    inside = np.clip(score, low, high)
    bins = np.linspace(low, high if high > low else low + 1, bin_count(len(score)) + 1)
    kinds: tuple[tuple[int, str, str, Literal["step", "stepfilled"]], ...] = (
        (1, "right", BLUE, "stepfilled"),
        (0, "wrong", ORANGE, "step"),
    )
    for value, name, color, style in kinds:
        part = inside[verified == value]
        if len(part):
            axes.hist(
                part,
                bins=bins.tolist(),
                weights=np.full(len(part), 100 / len(part)),
                color=color,
                histtype=style,
                alpha=0.55 if style == "stepfilled" else 1,
                linewidth=1.8,
                label=f"verified {name} ({len(part):,})",
            )
    if low <= threshold <= high:
        axes.axvline(threshold, color="0.2", linestyle="--", linewidth=1.2, label=f"threshold {threshold:.3g}")
    axes.set_xlabel("score of the label (higher: more likely right)")
    axes.set_ylabel(f"% of those images of {split}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5)
    save_figure(figure, path)
