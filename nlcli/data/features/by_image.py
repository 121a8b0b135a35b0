"""Vectors in the order of the images, whatever order they are stored in, each read once from front to back.

Where they are stored in that order, they are handed on as they come. Where they are not, runs of them are sorted and
written out one after another, then merged: two sequential passes, whatever the size. A run that is whole is not made
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.console import say
from nlcli.data.features.readers.base import VectorReader
from nlcli.stages.files import atomic_path

RUNS = "runs"
RUN_BYTES = 256 << 20
"""Of a run, which is sorted in memory."""


@dataclass(frozen=True)
class Part:
    """Vectors of some images: their numbers (n,) int64, increasing, and ``values`` (n, D) as they are to be stored."""

    images: np.ndarray
    values: np.ndarray


Convert = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Values as they were read, and their images, to values as they are to be stored."""


def parts_by_image(
    reader: VectorReader, image: np.ndarray, first: int, step: int, convert: Convert, dtype: np.dtype, work: Path
) -> Iterator[Part]:
    """Parts whose images increase from part to part.

    Args:
        image: (rows,) int64, the image of each row of ``reader``; -1 for none.
        first: Images before this one are left out.
        step: Images of a part where they have to be sorted.
        convert: What to do with values that are used.
        dtype: Of what it gives.
        work: Directory where runs may be written.
    """
    known = image[image >= 0]
    if (np.diff(known) > 0).all():
        yield from _as_they_come(reader, image, first, convert)
        return
    say("the vectors are in another order than the images, and are sorted first")
    rows = max(1, RUN_BYTES // (reader.width * dtype.itemsize))
    runs = _Runs(work / RUNS, reader.width, dtype)
    runs.write(reader, image, rows, convert)
    last = int(known.max()) + 1
    for begin in range(first, last, step):
        part = runs.read(begin, begin + step)
        if len(part.images):
            yield part


def _as_they_come(reader: VectorReader, image: np.ndarray, first: int, convert: Convert) -> Iterator[Part]:
    wanted = np.flatnonzero(image >= first)
    if not len(wanted):
        return
    row = int(wanted[0])
    for block in reader.blocks(row):
        part = _used(block.values, block.there, image[row : row + len(block.values)], convert)
        row += len(block.values)
        if len(part.images):
            yield part
        if row > wanted[-1]:
            return


def _used(values: np.ndarray, there: np.ndarray | None, images: np.ndarray, convert: Convert) -> Part:
    """Those that are of an image, converted."""
    used = images >= 0 if there is None else (images >= 0) & there
    if not used.all():
        values, images = values[used], images[used]
    return Part(images, convert(values, images))


class _Runs:
    """Sorted runs in a folder: ``run-00000.npy``, and the images of its rows, written before it."""

    def __init__(self, folder: Path, width: int, dtype: np.dtype) -> None:
        self._folder, self._width, self._dtype = folder, width, dtype
        self._images: list[np.ndarray] = []

    def write(self, reader: VectorReader, image: np.ndarray, rows: int, convert: Convert) -> None:
        """Write the runs of ``rows`` rows of ``reader`` each that are not there."""
        self._folder.mkdir(exist_ok=True)
        count = -(-reader.rows // rows)
        done = 0
        while done < count and self._values_path(done).exists():
            done += 1
        begin = done * rows
        parts: list[Part] = []
        for block in reader.blocks(begin) if begin < reader.rows else ():
            row = 0
            while row < len(block.values):
                stop = min(len(block.values), row + (done + 1) * rows - begin)
                there = None if block.there is None else block.there[row:stop]
                images = image[begin : begin + stop - row]
                parts.append(_used(block.values[row:stop], there, images, convert))
                begin, row = begin + stop - row, stop
                if begin == min((done + 1) * rows, reader.rows):
                    self._write_one(done, parts)
                    parts, done = [], done + 1
        self._images = [np.load(self._images_path(number)) for number in range(count)]

    def _write_one(self, number: int, parts: list[Part]) -> None:
        images = np.concatenate([part.images for part in parts])
        order = np.argsort(images)
        sorted_values = np.empty((len(images), self._width), self._dtype)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first = 0
        while parts:  # let go of each as soon as it is in its place
            part = parts.pop(0)
            sorted_values[place[first : first + len(part.images)]] = part.values
            first += len(part.images)
        for path, array in ((self._images_path(number), images[order]), (self._values_path(number), sorted_values)):
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, array)

    def read(self, begin: int, end: int) -> Part:
        """The vectors of images ``begin`` to ``end``, of all runs."""
        images, values = [], []
        for number, of_run in enumerate(self._images):
            first, stop = np.searchsorted(of_run, (begin, end)).tolist()
            if stop == first:
                continue
            with open(self._values_path(number), "rb") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)
                file.seek(first * self._width * self._dtype.itemsize, 1)
                content = np.fromfile(file, self._dtype, (stop - first) * self._width)
            images.append(of_run[first:stop])
            values.append(content.reshape(-1, self._width))
        if not images:
            return Part(np.zeros(0, np.int64), np.zeros((0, self._width), self._dtype))
        together = np.concatenate(images)
        order = np.argsort(together)
        return Part(together[order], np.concatenate(values)[order])

    def _values_path(self, number: int) -> Path:
        return self._folder / f"run-{number:05d}.npy"

    def _images_path(self, number: int) -> Path:
        return self._folder / f"images-{number:05d}.npy"
