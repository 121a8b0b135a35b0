"""Vectors in a ``.npy`` file: one array, read from front to back. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nlcli.data.features.readers.base import Block, VectorReader, block_rows, mapped_array, require_matrix
from nlcli.errors import NlcliError


class NumpyArray(VectorReader):
    """An array that ``numpy.save`` wrote."""

    def __init__(self, path: Path, column: str | None) -> None:
        if column is not None:
            raise NlcliError(f"{path} is an array and has no columns; leave out --column")
        self.path = path
        values = mapped_array(path)
        if not isinstance(values, np.memmap):
            raise NlcliError(f"{path} is an archive of arrays; give it the ending .npz")
        require_matrix(path, None, str(values.dtype), values.dtype, values.shape)
        self.rows, self.width = values.shape
        self._values = values

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read where rows lie one behind another; mapped where columns do."""
        values = self._values
        step = block_rows(self.width, values.itemsize)
        if not values.flags.c_contiguous:
            for row in range(first, self.rows, step):
                yield Block(np.ascontiguousarray(values[row : row + step]))
            return
        with open(self.path, "rb") as file:
            file.seek(values.offset + first * self.width * values.itemsize)
            for row in range(first, self.rows, step):
                count = min(step, self.rows - row)
                block = np.fromfile(file, values.dtype, count * self.width)
                if block.size < count * self.width:
                    raise NlcliError(f"{self.path} became shorter while it was read; run the same command again")
                yield Block(block.reshape(count, self.width))
