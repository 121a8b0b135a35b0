"""Figure of the rank-precision curve of a noise score, as Xiao et al. 2015 draw it in figure 8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.noise_ranking import NoiseRanking
from nlcli.report.evaluation_figures import BLUE, ORANGE, new_figure, save_figure


def ranking_figure(ranking: NoiseRanking, path: Path) -> None:
    """Draw precision over rank, and the share of wrong labels beside it.

    Args:
        ranking: Of at least one image.
        path: PNG file to write.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    base = float(ranking.wrong.mean())
    ranks = np.arange(1, len(ranking) + 1)
    axes.plot(ranks, ranking.precision, color=BLUE, linewidth=1.6, label="by p(confusing noise)")
    axes.axhline(base, color=ORANGE, linestyle="--", linewidth=1.2, label=f"any order: {base:.1%} are wrong")
    axes.set_xlim(1, max(2, len(ranking)))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"rank among {len(ranking):,} images whose true and noisy class are known")
    axes.set_ylabel("share of wrong noisy labels")
    axes.set_title("Confusing noise, most certain first", fontsize=10, loc="left")
    axes.grid(color="0.92", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
