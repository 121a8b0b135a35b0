"""Networks that detectors train on the noisy labels of all training images, in the loop of the heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nlcli.runtime import memory_available, quiet_tensorflow
from nlcli.stages.files import read_json, write_json

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.detection.base import Data
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.training.loop.array_steps import ArrayTrainable
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.loop.sampling import Order

EVALUATIONS = 40


def train_on_noisy_labels(
    method: Method | ArrayTrainable,
    batch_size: int,
    phase: Phase,
    data: Data,
    table: LabelTable,
    evaluate: Callable[[Phase], Mapping[str, float]] | None,
    seed: int,
    work: Path,
    title: str,
) -> Outcome:
    """Train ``method`` through ``phase``, or take up what was interrupted in ``work``.

    Args:
        table: That of ``data``, or one with the same images and more columns of noisy labels.
    """
    arrays = method.arrays
    if not arrays:
        quiet_tensorflow()
    from nlcli.training.loop.contract import Settings
    from nlcli.training.loop.feature_source import FeatureSource, row_bytes, training_rows
    from nlcli.training.loop.train import train

    rows = training_rows(table, data.store, [phase], 1.0, seed)
    budget = memory_available() // 2
    order = _order(work / "order.json", len(rows.used) * row_bytes(data.store) <= budget)
    source = FeatureSource(table, data.store, rows, batch_size, seed, order, budget, arrays=arrays)
    settings = Settings(eval_every=max(1, phase.steps // EVALUATIONS), title=title)
    return train(method, [phase], source, evaluate, settings, work)


def _order(kept: Path, fits: bool) -> Order:
    """The order of rows. It decides the result, so a resumed training keeps what it began with."""
    if not kept.exists():
        write_json(kept, {"order": "shuffled" if fits else "block-shuffled"})
    order: Order = read_json(kept)["order"]
    return order
