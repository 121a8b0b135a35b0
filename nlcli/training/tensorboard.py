"""A log of a training for TensorBoard, which need not be installed for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.compat.v1 import SummaryMetadata

from nlcli.training.loop.history import Evaluation, read_history

LOG = "tensorboard"


class TensorBoard:
    """Writes every line of ``metrics.jsonl`` in ``work`` to a folder beside it, too."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._writer: Any = None

    def __call__(self, evaluation: Evaluation) -> None:
        evaluations = [evaluation]
        if self._writer is None:  # a resumed run writes its log anew, so that no step is in it twice
            shutil.rmtree(self._work / LOG, ignore_errors=True)
            self._writer = tf.summary.create_file_writer(str(self._work / LOG))
            evaluations = read_history(self._work) or evaluations
        with self._writer.as_default():
            for entry in evaluations:
                for part, values in (("train", entry.train), ("validation", entry.validation)):
                    for name, value in values.items():
                        tf.summary.write(f"{part}/{name}", tf.constant(value, tf.float32), entry.step, _scalar())
        self._writer.flush()

    def close(self) -> None:
        """End the log."""
        if self._writer is not None:
            self._writer.close()


def _scalar() -> Any:
    metadata = SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR
    return metadata
