"""Whether a detection keeps what it says: in bins of its probabilities, what was said and what was so.

``calibration.csv`` has a row a bin that is not empty: kind of labels, ends of the bin, how many labels it has, mean
probability, the share that was so, and the 95 % interval of this share over images. ``calibration.png`` is a picture
of it. The expected calibration error is a metric (``nlcli.metrics.expected_calibration``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlcli.drawing import BLUE, GREY, new_figure, plain_axes, save_figure
from nlcli.metrics.arrays import Bools, Ints
from nlcli.metrics.clustered_shares import Share, clustered_share
from nlcli.metrics.expected_calibration import BINS, ProbabilityBins
from nlcli.metrics.formats import exact, percent
from nlcli.metrics.intervals import LEVEL
from nlcli.stages.files import write_csv

TABLE, PLOT = "calibration.csv", "calibration.png"


@dataclass(frozen=True)
class CalibrationCurve:
    """Of one kind of labels.

    Attributes:
        kind: What they are called in the table.
        said: What the probability is of, for people.
        bins: Number of the bin, mean probability, and the share that was so; none that is empty.
        count: Labels.
        error: The expected calibration error.
        by_chance: That of labels which are as probable as is said.
    """

    kind: str
    said: str
    bins: tuple[tuple[int, float, Share], ...]
    count: int
    error: float
    by_chance: float

    @classmethod
    def of(
        cls, kind: str, said: str, probability: NDArray[np.float32], outcome: Bools, image: Ints
    ) -> CalibrationCurve:
        """Of probabilities (n,), what was so (n,), and the image of each (n,)."""
        binned = ProbabilityBins(probability, outcome)
        bins = []
        for number in range(BINS):
            inside = binned.place == number
            if inside.any():
                _, position = np.unique(image[inside], return_inverse=True)
                share = clustered_share(np.bincount(position, outcome[inside]), np.bincount(position))
                bins.append((number, float(np.mean(probability[inside], dtype=np.float64)), share))
        return cls(kind, said, tuple(bins), len(binned.place), binned.error(), binned.by_chance())


def write_calibration(work: Path, curves: Sequence[CalibrationCurve]) -> None:
    """Write the table, and the picture, of the curves that have labels; nothing where none has."""
    told = [curve for curve in curves if curve.count]
    if not told:
        return
    rows = (
        (
            curve.kind,
            f"{number / BINS:g}",
            f"{(number + 1) / BINS:g}",
            share.whole,
            exact(said),
            exact(share.value),
            *(("", "") if share.interval is None else map(exact, share.interval)),
        )
        for curve in told
        for number, said, share in curve.bins
    )
    write_csv(work / TABLE, ["kind", "from", "to", "labels", "said", "was", "low", "high"], rows)
    _plot(told, work / PLOT)


def _plot(curves: Sequence[CalibrationCurve], path: Path) -> None:
    figure = new_figure(4.8 * len(curves), 4.4)
    for axes, curve in zip(np.atleast_1d(figure.subplots(1, len(curves))), curves, strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for _, said, share in curve.bins:
            if share.interval is not None:
                axes.vlines(said, *share.interval, color=BLUE, alpha=0.45, linewidth=2)
        most = max(share.whole for _, _, share in curve.bins)
        sizes = [12 + 60 * np.sqrt(share.whole / most) for _, _, share in curve.bins]
        axes.scatter([b[1] for b in curve.bins], [b[2].value for b in curve.bins], s=sizes, color=BLUE, zorder=3)
        axes.set_title(
            f"{curve.count:,} labels; calibration error {curve.error:.3f} (by chance {curve.by_chance:.3f})",
            fontsize=9.5,
            loc="left",
        )
        axes.set_xlabel(f"said: {curve.said}")
        axes.set_ylabel(f"was so (line: {percent(LEVEL)} interval over images)")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        plain_axes(axes, "both")
    save_figure(figure, path)
