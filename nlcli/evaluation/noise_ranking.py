"""Whether a model of label noise knows which labels are wrong: Xiao et al. 2015, figure 8.

The images whose true and noisy class are both known are sorted by p(confusing noise | image), and
the precision at a rank is the share of the images so far whose noisy label is not the true one. The
share among all of them is what a random order would have at every rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlcli.drawing import BLUE, ORANGE, new_figure, save_figure
from nlcli.evaluation.metrics_file import ConfusingNoise, Estimate
from nlcli.methods.base.transition import NOISE_TYPES
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.bootstrap import bootstrap
from nlcli.metrics.formats import exact
from nlcli.metrics.intervals import area_support
from nlcli.metrics.ranking import average_precision, rank_precision
from nlcli.runtime import cpu_count
from nlcli.stages.files import write_csv

TABLE, PLOT = "rank_precision.csv", "rank_precision.png"
_RANKS = (100, 200, 500, 1000, 2000, 5000)  # of which metrics.json tells the precision; the paper's text: 500


@dataclass(frozen=True)
class NoiseRanking:
    """Images with a known pair of classes, by falling p(confusing).

    Attributes:
        keys: (n,) strings.
        true, noisy: (n,) int64 classes.
        probabilities: (n, 3) float32, of ``NOISE_TYPES``: noise-free, random, confusing.
        precision: (n,) float64 at ranks 1 to n; among equal probabilities as in a random order.
    """

    keys: NDArray[np.object_]
    true: Ints
    noisy: Ints
    probabilities: NDArray[np.float32]
    precision: Floats

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def wrong(self) -> Bools:
        """(n,) bool: the noisy label is not the true one."""
        wrong: Bools = self.true != self.noisy
        return wrong

    def measure(self, resamples: int, seed: int) -> ConfusingNoise:
        """How many images and wrong labels, precision at some ranks and on the whole."""
        wrong, score = self.wrong.astype(np.uint8), self.probabilities[:, 2]
        support = area_support(int(wrong.sum()), int((wrong == 0).sum()))
        replicates = None
        if resamples and wrong.any():
            threads = cpu_count()
            made = bootstrap(wrong[:, None], score[:, None], resamples=resamples, seed=seed, threads=threads)
            replicates = made.ap_all
        return ConfusingNoise(
            images=len(self),
            wrong=int(wrong.sum()),
            base_rate=float(wrong.mean()),
            precision_at={rank: float(self.precision[rank - 1]) for rank in _RANKS if rank <= len(self)},
            average_precision=Estimate.of(average_precision(wrong, score), replicates, support),
        )


def rank_noise(keys: NDArray[np.object_], true: Ints, noisy: Ints, probabilities: NDArray[np.float32]) -> NoiseRanking:
    """Sort images by p(confusing); arguments as the attributes of ``NoiseRanking``, in any order."""
    order = np.lexsort((keys.astype(str), -probabilities[:, 2]))
    precision = rank_precision(true != noisy, probabilities[:, 2])
    return NoiseRanking(keys[order], true[order], noisy[order], probabilities[order], precision)


def write_ranking(path: Path, ranking: NoiseRanking, classes: tuple[str, ...]) -> None:
    """Write ``rank_precision.csv``, the images that are most surely confusing first."""
    rows = (
        (
            i + 1,
            key,
            classes[ranking.noisy[i]],
            classes[ranking.true[i]],
            *(exact(float(share)) for share in ranking.probabilities[i]),
            int(ranking.wrong[i]),
            exact(float(ranking.precision[i])),
        )
        for i, key in enumerate(ranking.keys.tolist())
    )
    write_csv(path, ["rank", "key", "noisy", "true", *NOISE_TYPES, "wrong", "precision"], rows)


def ranking_plot(ranking: NoiseRanking, path: Path) -> None:
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
    axes.axhline(base, color=ORANGE, linestyle="--", linewidth=1.2, label=f"any order: {100 * base:.1f} % are wrong")
    axes.set_xlim(1, max(2, len(ranking)))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"rank among {len(ranking):,} images whose true and noisy class are known")
    axes.set_ylabel("share of wrong noisy labels")
    axes.set_title("Confusing noise, most certain first", fontsize=10, loc="left")
    axes.grid(color="0.92", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
