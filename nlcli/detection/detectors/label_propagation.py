"""Label propagation within a class: Lee 2018, section 4.2."""

from __future__ import annotations

from typing import Any

from nlcli.detection.neighbour_graph import GraphConfig, NeighbourGraph
from nlcli.detection.per_class import Setting
from nlcli.methods.citations import LEE_2018, ZHU_2002


class LabelPropagation(NeighbourGraph):
    """scikit-learn's ``LabelPropagation`` on a nearest-neighbour graph: verified labels stay what they are."""

    name = "label-propagation"
    title = "label prop"
    citation = f"{LEE_2018}\n\n{ZHU_2002}"
    Config = GraphConfig

    def estimator(self, setting: Setting, kernel: Any) -> Any:
        from sklearn.semi_supervised import LabelPropagation as Estimator

        return Estimator(kernel=kernel, max_iter=self.config.iterations)
