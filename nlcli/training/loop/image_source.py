"""Images for the training loop: decoded once and kept when they fit in memory, else a block ahead.

Every image is looked at before training begins, so that those that cannot be used are known and
left out of the pools, and a run's result does not depend on whether its images fit in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nlcli.console import progress, say
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Phase
from nlcli.networks.image_batches import ImageBatch, iterate_images
from nlcli.networks.images import Preprocessing
from nlcli.seeds import stream
from nlcli.stages.files import read_json, write_csv, write_json
from nlcli.training.loop import pace
from nlcli.training.loop.augmentation import DRAWS
from nlcli.training.loop.contract import Block
from nlcli.training.loop.feature_source import aligned_empty
from nlcli.training.loop.pools import batch_labels, batch_sampler, clean_rows
from nlcli.training.loop.sampling import BatchSampler

UNREADABLE = "unreadable.csv"


class ImageTable:
    """Those of some images of a data set that can be used, as uint8 pixels.

    Args:
        table: The data set.
        wanted: (n,) rows of it.
        pre: How files become pixels.
        workers: Decoding threads (0: one a core).
        budget: Bytes that pixels may take; when all fit, they are decoded once and kept.
        seen: File that remembers which images could not be read, so that a resumed run does not
            look at all of them again.

    Attributes:
        rows: (n',) rows of the data set that can be used, in order. Positions below refer to it.
        errors: By row, why an image cannot be used.
        pixels: (n', S, S, 3) uint8, or None where they are decoded when asked for.
    """

    def __init__(
        self,
        table: LabelTable,
        wanted: np.ndarray,
        pre: Preprocessing,
        *,
        workers: int,
        budget: int,
        seen: Path,
        title: str,
    ) -> None:
        self._table, self._pre, self._workers = table, pre, workers
        self._shape = (pre.size, pre.size, 3)
        self.errors: dict[int, str] = {}
        self.pixels: np.ndarray | None = None
        if len(wanted) * self.image_bytes <= budget:
            self.pixels = self._decode_all(wanted, f"decoding {title} images")
        else:
            self._look_at_all(wanted, seen, f"checking {title} images")
        self.rows = wanted[~np.isin(wanted, list(self.errors))]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image's pixels."""
        return int(np.prod(self._shape))

    @property
    def kept_bytes(self) -> int:
        """Bytes of memory that pixels take."""
        return 0 if self.pixels is None else self.pixels.nbytes

    def empty(self, count: int) -> np.ndarray:
        """Room for the pixels of ``count`` images."""
        return aligned_empty((count, *self._shape), np.uint8)

    def parts(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first position, pixels) of ``size`` images at a time."""
        if self.pixels is not None:
            for first in range(0, len(self), size):
                yield first, self.pixels[first : first + size]
            return
        for batch, first in zip(self._iterate(self.rows, self._pre, size), range(0, len(self), size), strict=True):
            self._all_good(self.rows, batch)
            yield first, batch.images

    def read(self, positions: np.ndarray, out: np.ndarray) -> None:
        """Pixels of the images at ``positions`` into ``out`` (n, S, S, 3)."""
        if self.pixels is not None:
            np.take(self.pixels, positions, axis=0, out=out)
            return
        rows, first = self.rows[positions], 0
        for batch in self._iterate(rows, self._pre, pace.CHECKED_IMAGES):
            self._all_good(rows, batch)
            out[first : first + len(batch.images)] = batch.images
            first += len(batch.images)

    def _all_good(self, rows: np.ndarray, batch: ImageBatch) -> None:
        for position, reason in batch.errors:
            path = self._table.image_path(int(rows[position]))
            raise NlcliError(f"image {path} could be read when training began, but no longer: {reason}")

    def _iterate(self, rows: np.ndarray, pre: Preprocessing, size: int, start: int = 0) -> Iterator[ImageBatch]:
        paths = [self._table.image_path(int(row)) for row in rows]
        return iterate_images(paths, pre, size, self._workers, start)

    def _decode_all(self, wanted: np.ndarray, title: str) -> np.ndarray:
        pixels, count = self.empty(len(wanted)), 0
        with progress(len(wanted), title, unit="images") as bar:
            for batch in self._iterate(wanted, self._pre, pace.CHECKED_IMAGES):
                pixels[count : count + len(batch.images)] = batch.images
                count += len(batch.images)
                self._note(wanted, batch.errors)
                bar.advance(len(batch.images) + len(batch.errors))
        return pixels[:count]

    def _look_at_all(self, wanted: np.ndarray, seen: Path, title: str) -> None:
        """Find those that cannot be read; small and at a reduced scale, which takes a fraction of the time."""
        quick = self._pre.model_copy(update={"size": 16, "decode": "fast"})
        done = 0
        if seen.exists():
            record = read_json(seen)
            done, self.errors = int(record["done"]), {int(row): why for row, why in record["errors"]}
        saved = time.monotonic()
        with progress(len(wanted), title, unit="images", done=done) as bar:
            for batch in self._iterate(wanted, quick, pace.CHECKED_IMAGES, done):
                self._note(wanted, batch.errors)
                done += len(batch.images) + len(batch.errors)
                bar.advance(len(batch.images) + len(batch.errors))
                if time.monotonic() - saved > pace.CHECKED_SECONDS or done == len(wanted):
                    write_json(seen, {"done": done, "errors": list(self.errors.items())})
                    saved = time.monotonic()

    def _note(self, wanted: np.ndarray, errors: list[tuple[int, str]]) -> None:
        self.errors |= {int(wanted[position]): reason for position, reason in errors}


def tell_unreadable(table: LabelTable, errors: Mapping[int, str], work: Path) -> None:
    """Count the images that are left out, and list them in ``unreadable.csv`` in ``work``."""
    if not errors:
        return
    lines = [(str(table.keys[row]), SPLITS[table.split[row]], errors[row]) for row in sorted(errors)]
    write_csv(work / UNREADABLE, ("key", "split", "reason"), lines)
    first = min(errors)
    say(
        f"{len(errors):,} images cannot be read and are left out ({table.keys[first]}: {errors[first]}"
        f"{', ...' if len(errors) > 1 else ''}); {UNREADABLE} lists them"
    )


class ImageSource:
    """Blocks of steps from images.

    Args:
        budget: Bytes that pixels of blocks may take, where ``images`` does not keep them.
        pools: V and T of a phase, as positions in ``images``; without it both are all of them.
        labelled: Positions of the images with a noisy label; without it all of them.
        weights: Of each image, factor on its loss in T; None: 1.
    """

    def __init__(
        self,
        table: LabelTable,
        images: ImageTable,
        batch_size: int,
        seed: int,
        budget: int,
        pools: Callable[[Phase], tuple[np.ndarray, np.ndarray]] | None = None,
        labelled: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self._weights = weights
        self._table, self._images, self._batch_size, self._seed = table, images, batch_size, seed
        everything = np.arange(len(images), dtype=np.int32)
        self._budget, self._pools = budget, pools or (lambda phase: (everything, everything))
        self._labelled = everything if labelled is None else labelled
        self._resident = None if images.pixels is None else _on_host(images.pixels)
        # One block runs while the next is decoded; the memory of the one before is used again.
        self._buffers = [images.empty(0), images.empty(0)]
        self._samplers: dict[str, BatchSampler] = {}

    def clean_rows(self, phase: Phase) -> int:
        """V rows in a batch: all of them where verified labels alone are trained on."""
        return clean_rows(phase, self._batch_size, *self._pools(phase))

    def _sampler(self, phase: Phase) -> BatchSampler:
        if phase.name not in self._samplers:
            names = ("V", "T") if phase.rows == "mixed" else ("images", "images")
            pools = self._pools(phase)
            self._samplers[phase.name] = batch_sampler(phase, self._batch_size, pools, self._seed, names=names)
        return self._samplers[phase.name]

    def inputs(self) -> Iterator[np.ndarray]:
        """Pixels of T, 64 images at a time."""
        for first in range(0, len(self._labelled), pace.CHECKED_IMAGES):
            positions = self._labelled[first : first + pace.CHECKED_IMAGES]
            pixels = self._images.empty(len(positions))
            self._images.read(positions, pixels)
            yield pixels

    def epoch_steps(self, phase: Phase) -> float:
        """Steps until the pool that gives most of a batch has been drawn once."""
        return self._sampler(phase).epoch_steps

    def steps_in_block(self, phase: Phase) -> int:
        """As many as the memory for labels and, when decoding ahead, for pixels allows."""
        most = min(pace.BLOCK_STEPS, pace.BLOCK_LABELS // (2 * self._batch_size * self._table.num_classes))
        if self._resident is None:
            most = min(most, min(pace.BLOCK_PIXELS, self._budget // 3) // (self._batch_size * self._images.image_bytes))
        return max(1, most)

    def block(self, phase: Phase, first: int, count: int) -> Block:
        """The block of steps ``first`` to ``first + count - 1``."""
        positions = self._sampler(phase).rows(first, count)
        clean = self.clean_rows(phase)
        y, v, m = batch_labels(self._table, phase, clean, self._images.rows[positions])
        weights = None if self._weights is None else self._weights[positions[:, clean:]]
        draws = np.stack(
            [
                stream(self._seed, "augment", phase.name, step).random((self._batch_size, DRAWS), np.float32)
                for step in range(first, first + count)
            ]
        )
        if self._resident is not None:
            return Block(self._resident, positions, y, v, m, draws, weights)
        unique, inverse = np.unique(positions, return_inverse=True)
        rows = inverse.reshape(positions.shape).astype(np.int32)
        return Block(self._decode(unique), rows, y, v, m, draws, weights)

    def _decode(self, positions: np.ndarray) -> Any:
        self._buffers.reverse()
        if len(self._buffers[0]) < len(positions):
            self._buffers[0] = self._images.empty(len(positions))
        pixels = self._buffers[0][: len(positions)]
        self._images.read(positions, pixels)
        return pixels


def _on_host(pixels: np.ndarray) -> Any:
    """A tensor in this memory: the loop gathers bytes on the host, whatever device the step runs on."""
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(pixels)
