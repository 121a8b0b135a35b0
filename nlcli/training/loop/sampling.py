"""Which rows a step trains on: pools V and T, mixed batches, reproducible from (seed, step).

A pool is walked epoch by epoch, each epoch in an order of its own that depends on the seed, the
pool's name and the epoch alone. Any step's rows can be computed without the steps before it, so a
resumed run needs no sampler state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nlcli.seeds import stream

Order = Literal["shuffled", "block-shuffled"]

BLOCK_ROWS = 256
SUPERBATCH_BLOCKS = 32


class Pool:
    """Rows drawn without replacement within an epoch, with random access to any draw.

    Args:
        rows: (n,) integers, what is drawn.
        seed, name: the stream; pools of different names are shuffled independently.
        order: ``shuffled`` draws every epoch as one permutation. ``block-shuffled`` is for rows read
            from disk: blocks of 256 neighbouring rows come in random order, and rows are shuffled
            within a superbatch of 32 blocks, so that a superbatch costs 32 sequential reads.
    """

    def __init__(self, rows: np.ndarray, seed: int, name: str, order: Order = "shuffled") -> None:
        if len(rows) == 0:
            raise ValueError(f"pool '{name}' is empty")
        self.rows = np.asarray(rows)
        self.order = order
        if order == "block-shuffled":
            self.rows = np.sort(self.rows)
        self._seed, self._name = seed, name
        # The newest few orders are kept: a block of steps rarely spans more than two epochs.
        self._kept: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, first: int, count: int) -> np.ndarray:
        """Rows number ``first`` to ``first + count - 1`` of the endless sequence of epochs."""
        out = np.empty(count, self.rows.dtype)
        done = 0
        while done < count:
            epoch, offset = divmod(first + done, len(self.rows))
            part = self._from_epoch(epoch, offset, count - done)
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def _from_epoch(self, epoch: int, offset: int, most: int) -> np.ndarray:
        if self.order == "shuffled":
            order = self._cached((epoch,), self._shuffled)
            drawn: np.ndarray = self.rows[order[offset : offset + most]]
            return drawn
        ends = self._cached((epoch, -1), self._superbatch_ends)
        number = int(np.searchsorted(ends, offset, side="right"))
        start = int(ends[number - 1]) if number else 0
        rows = self._cached((epoch, number), self._superbatch)
        return rows[offset - start : offset - start + most]

    def _cached(self, key: tuple[int, ...], make: Callable[..., np.ndarray]) -> np.ndarray:
        if key not in self._kept:
            self._kept[key] = make(*key)
            while len(self._kept) > 4:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _shuffled(self, epoch: int) -> np.ndarray:
        indices = np.arange(len(self.rows), dtype=np.int32)
        stream(self._seed, self._name, epoch).shuffle(indices)
        return indices

    def _block_order(self, epoch: int) -> np.ndarray:
        blocks = -(-len(self.rows) // BLOCK_ROWS)
        return stream(self._seed, self._name, "blocks", epoch).permutation(blocks)

    def _superbatch_ends(self, epoch: int, _: int) -> np.ndarray:
        starts = self._block_order(epoch) * BLOCK_ROWS
        lengths = np.minimum(starts + BLOCK_ROWS, len(self.rows)) - starts
        return np.cumsum(np.add.reduceat(lengths, np.arange(0, len(lengths), SUPERBATCH_BLOCKS)))

    def _superbatch(self, epoch: int, number: int) -> np.ndarray:
        order = self._block_order(epoch)
        blocks = order[number * SUPERBATCH_BLOCKS : (number + 1) * SUPERBATCH_BLOCKS]
        rows = np.concatenate([self.rows[b * BLOCK_ROWS : (b + 1) * BLOCK_ROWS] for b in blocks])
        stream(self._seed, self._name, "rows", epoch, number).shuffle(rows)
        return rows


@dataclass(frozen=True)
class BatchSampler:
    """Batches of ``clean`` rows of V followed by ``batch_size - clean`` rows of T."""

    batch_size: int
    clean: int
    verified: Pool | None
    noisy: Pool | None

    def rows(self, first: int, count: int) -> np.ndarray:
        """(count, batch_size) rows of the steps from ``first`` on; V rows come first in each."""
        parts = []
        for pool, width in ((self.verified, self.clean), (self.noisy, self.batch_size - self.clean)):
            if pool is not None and width:
                parts.append(pool.draw(first * width, count * width).reshape(count, width))
        return np.concatenate(parts, axis=1)

    @property
    def epoch_steps(self) -> float:
        """Steps until the larger share of a batch has been drawn once: what papers call an epoch."""
        if self.noisy is not None and self.batch_size > self.clean:
            return len(self.noisy) / (self.batch_size - self.clean)
        assert self.verified is not None
        return len(self.verified) / self.clean


def clean_rows_in_batch(batch_size: int, share: float) -> int:
    """How many rows of a mixed batch come from V: 3 of 32 at the papers' 1:9.

    At least one row comes from each pool.
    """
    return min(max(round(batch_size * share), 1), batch_size - 1)
