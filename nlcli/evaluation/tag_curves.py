"""Plot of finding wrong tags and missing ones: precision over recall, with the verdicts as points."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.drawing import BLUE, GREY, ORANGE, new_figure, plain_axes, save_figure
from nlcli.evaluation.checked_tags import KINDS, CheckedTags
from nlcli.evaluation.measured import Measured
from nlcli.metrics.curves import roc_curve


def tag_curves_plot(checked: CheckedTags, measured: Measured, path: Path) -> None:
    """Draw both curves.

    Args:
        checked: The entries.
        measured: The metrics of the same entries.
        path: PNG file to write.
    """
    figure = new_figure(9.6, 4.2)
    for axes, kind in zip(figure.subplots(1, 2), KINDS, strict=True):
        which, wrong, called, sure = checked.of_kind(kind)
        base = float(wrong[which].mean()) if which.any() else 0.0
        if 0 < base < 1:
            curve = roc_curve(~wrong[which], (1 - sure[which]).astype(np.float32))
            axes.plot(curve.caught, curve.precision, color=BLUE, linewidth=1.8)
        axes.axhline(base, color=GREY, linewidth=0.8, linestyle=":", label=f"any order: {100 * base:.1f} %")
        caught, total = int((which & wrong & called).sum()), int((which & called).sum())
        if total:
            at = caught / max(1, int((which & wrong).sum()))
            axes.plot(at, caught / total, "o", color=ORANGE, label="the verdicts")
        what = "wrong tags among given ones" if kind == "wrong" else "missing tags among the others"
        axes.set_title(
            f"{what} (AP {measured.values[f'AP_{kind}']:.3f}, AUC {measured.values[f'AUC_{kind}']:.3f})",
            fontsize=9.5,
            loc="left",
        )
        axes.set_xlabel(f"{kind} tags that are found (recall)")
        axes.set_ylabel("share of them among those named (precision)")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(0, 1.02)
        plain_axes(axes, "both")
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    save_figure(figure, path)
