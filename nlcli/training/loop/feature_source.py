"""Cached features for the training loop: which rows a run uses, and blocks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.features.extract import require_finite
from nlcli.training.loop import pace
from nlcli.training.loop.contract import Block
from nlcli.training.loop.pools import (
    CachedFeatures,
    StoredRows,
    TrainingRows,
    batch_labels,
    batch_sampler,
    choose_rows,
    clean_rows,
    stored_rows,
)
from nlcli.training.loop.sampling import BatchSampler, Order

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase

READ_ROWS = 4096  # rows that are read or scored at a time where no block says otherwise


# --- which rows ------------------------------------------------------------------------------


def row_bytes(store: CachedFeatures) -> int:
    """Bytes of one image's features."""
    return int(store.shape[1]) * int(np.dtype(store.dtype).itemsize)


def training_rows(
    table: LabelTable, store: CachedFeatures, phases: Sequence[Phase], clean_fraction: float, seed: int
) -> TrainingRows:
    """The pools that ``phases`` draw from.

    Raises:
        NlcliError: a pool that a phase needs is empty.
    """
    rows = choose_rows(
        table, phases, clean_fraction, seed, lambda wanted: stored_rows(table, store, wanted), "has features"
    )
    if rows.used.missing:
        say(f"{rows.used.missing} training images have no features and are left out")
    return rows


# --- reading ---------------------------------------------------------------------------------


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array at a 64-byte boundary, which TensorFlow takes over without a copy."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(count + 64, np.uint8)
    start = -raw.ctypes.data % 64
    aligned: np.ndarray = raw[start : start + count].view(dtype).reshape(shape)
    return aligned


def read_finite(store: CachedFeatures, stored: np.ndarray, out: np.ndarray, key: Callable[[int], str]) -> np.ndarray:
    """Read the rows ``stored`` (increasing) into ``out``.

    Raises:
        NlcliError: a value is NaN or infinite; ``key`` names the image of a position.
    """
    store.read_into(stored, out)
    require_finite(out, key)
    return out


class RowFeatures:
    """Features of some rows in parts; kept in memory when they take at most ``budget`` bytes."""

    def __init__(self, store: CachedFeatures, table: LabelTable, rows: StoredRows, budget: int) -> None:
        self.rows, self._store, self._keys = rows, store, table.keys
        size = len(rows) * row_bytes(store)
        self._kept = self._read(0, len(rows)) if size <= budget else None
        self.kept_bytes = size if self._kept is not None else 0

    def _read(self, first: int, stop: int) -> np.ndarray:
        out = aligned_empty((stop - first, self._store.shape[1]), self._store.dtype)
        return read_finite(
            self._store, self.rows.stored[first:stop], out, lambda i: str(self._keys[self.rows.dataset[first + i]])
        )

    def parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first position, features) of up to 4,096 rows at a time."""
        for first in range(0, len(self.rows), READ_ROWS):
            stop = min(first + READ_ROWS, len(self.rows))
            yield first, self._kept[first:stop] if self._kept is not None else self._read(first, stop)


class FeatureSource:
    """Blocks of steps from cached features, resident in memory or read a block ahead.

    Which of the two it is does not change a run's result; ``order`` does.

    Args:
        budget: bytes that features may take.
        weights: of each of ``rows.used``, factor on its loss in T; None: 1.
        arrays: whether the features stay a NumPy array, for a model that takes those.

    Attributes:
        resident: whether all features are in memory.
    """

    def __init__(
        self,
        table: LabelTable,
        store: CachedFeatures,
        rows: TrainingRows,
        batch_size: int,
        seed: int,
        order: Order,
        budget: int,
        weights: np.ndarray | None = None,
        *,
        arrays: bool = False,
    ) -> None:
        self._arrays = arrays
        self._labels, self._store, self._rows, self._batch_size = table, store, rows, batch_size
        self._weights = weights
        self._seed, self._order = seed, order
        self._samplers: dict[str, BatchSampler] = {}
        self._row_bytes, self._budget = row_bytes(store), budget
        self._table = self._resident_table() if len(rows.used) * self._row_bytes <= budget else None
        self.resident = self._table is not None
        # One block runs while the next is read; the memory of the one before is used again.
        self._buffers: list[np.ndarray] = [np.empty((0, store.shape[1]), store.dtype)] * 2

    def _resident_table(self) -> Any:
        out = aligned_empty((len(self._rows.used), self._store.shape[1]), self._store.dtype)
        read_finite(self._store, self._rows.used.stored, out, self._key)
        if self._arrays:
            return out
        import tensorflow as tf

        try:
            return tf.convert_to_tensor(out)
        except tf.errors.ResourceExhaustedError:
            return None  # more than the GPU holds: streamed instead

    def _key(self, position: int) -> str:
        return str(self._labels.keys[self._rows.used.dataset[position]])

    def clean_rows(self, phase: Phase) -> int:
        """V rows in a batch of ``phase``."""
        return clean_rows(phase, self._batch_size, *self._rows.pools(phase))

    def _sampler(self, phase: Phase) -> BatchSampler:
        if phase.name not in self._samplers:
            pools = self._rows.pools(phase)
            self._samplers[phase.name] = batch_sampler(phase, self._batch_size, pools, self._seed, order=self._order)
        return self._samplers[phase.name]

    def inputs(self) -> Iterator[np.ndarray]:
        """Features of T, float32, up to 4,096 rows at a time."""
        for first in range(0, len(self._rows.labelled), READ_ROWS):
            positions = self._rows.labelled[first : first + READ_ROWS]
            if self._table is not None and self._arrays:
                features: np.ndarray = self._table[positions]
            elif self._table is not None:
                import tensorflow as tf

                features = tf.gather(self._table, positions).numpy()
            else:
                features = aligned_empty((len(positions), self._store.shape[1]), self._store.dtype)
                read_finite(
                    self._store,
                    self._rows.used.stored[positions],
                    features,
                    lambda i, at=positions: self._key(int(at[i])),  # type: ignore[misc]
                )
            yield features.astype(np.float32, copy=False)

    def epoch_steps(self, phase: Phase) -> float:
        """Steps until the pool that gives most of a batch has been drawn once."""
        return self._sampler(phase).epoch_steps

    def steps_in_block(self, phase: Phase) -> int:
        """As many as the memory for labels and, when streaming, for features allows."""
        most = min(pace.BLOCK_STEPS, pace.BLOCK_LABELS // (3 * self._batch_size * self._labels.num_classes))
        if not self.resident:
            features = min(pace.BLOCK_FEATURES, self._budget // 4)
            most = min(most, features // (self._batch_size * self._row_bytes))
        return max(1, most)

    def block(self, phase: Phase, first: int, count: int) -> Block:
        """The block of steps ``first`` to ``first + count - 1``."""
        positions = self._sampler(phase).rows(first, count)
        clean = self.clean_rows(phase)
        y, v, m = batch_labels(self._labels, phase, clean, self._rows.used.dataset[positions])
        weights = None if self._weights is None else self._weights[positions[:, clean:]]
        if self._table is not None:
            return Block(self._table, positions, y, v, m, weights=weights)
        unique, rows = np.unique(positions, return_inverse=True)
        rows = rows.reshape(positions.shape).astype(np.int32)
        return Block(self._read(unique), rows, y, v, m, weights=weights)

    def _read(self, positions: np.ndarray) -> np.ndarray:
        self._buffers.reverse()
        if len(self._buffers[0]) < len(positions):
            self._buffers[0] = aligned_empty((len(positions), self._store.shape[1]), self._store.dtype)
        return read_finite(
            self._store,
            self._rows.used.stored[positions],
            self._buffers[0][: len(positions)],
            lambda i: self._key(int(positions[i])),
        )
