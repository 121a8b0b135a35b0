"""Label spreading within a class: Lee 2018, section 4.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from nlcli.detection.neighbour_graph import GraphConfig, NeighbourGraph
from nlcli.detection.per_class import Setting
from nlcli.methods.citations import LEE_2018, ZHOU_2004


class SpreadingConfig(GraphConfig):
    """Options of label spreading."""

    alpha: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Part of a label that comes from the neighbours (default: 0.2 or 0.8, chosen on validation).",
    )


class LabelSpreading(NeighbourGraph):
    """scikit-learn's ``LabelSpreading`` on a nearest-neighbour graph: verified labels yield to their neighbours."""

    name = "label-spreading"
    title = "label spread"
    citation = f"{LEE_2018}\n\n{ZHOU_2004}"
    Config = SpreadingConfig
    config: SpreadingConfig

    def settings(self) -> Sequence[Setting]:
        given = self.config.alpha
        return [
            {**setting, "alpha": alpha}
            for setting in super().settings()
            for alpha in ((0.2, 0.8) if given is None else (given,))
        ]

    def estimator(self, setting: Setting, kernel: Any) -> Any:
        from sklearn.semi_supervised import LabelSpreading as Estimator

        return Estimator(kernel=kernel, alpha=setting["alpha"], max_iter=self.config.iterations)
