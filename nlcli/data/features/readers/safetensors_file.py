"""Vectors in a ``.safetensors`` file: one of its tensors, read from front to back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nlcli.data.features.readers.base import Block, VectorReader, block_rows, choose_array, require_matrix
from nlcli.errors import NlcliError, shortened
from nlcli.networks.tensor_places import BFLOAT16, TensorPlace, numbers_of, places_of


class SafetensorsFile(VectorReader):
    """A tensor of two dimensions; bfloat16 is read as float32, which holds its numbers."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.path = path
        try:
            places = places_of(path)
        except Exception as error:  # a damaged header raises nearly anything
            raise NlcliError(f"cannot read {path} ({shortened(error)}); save it again") from error
        tables = [name for name, place in places.items() if len(place.shape) == 2 and _dtype(place).kind == "f"]
        name = choose_array(path, list(places), column, tables)
        self._place = places[name]
        require_matrix(path, name, self._place.kind, _dtype(self._place), self._place.shape)
        self.rows, self.width = self._place.shape

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read, not mapped."""
        item = self._place.item_bytes
        step = block_rows(self.width, item)
        with open(self.path, "rb") as file:
            file.seek(self._place.begin + first * self.width * item)
            for row in range(first, self.rows, step):
                count = min(step, self.rows - row) * self.width
                raw = file.read(count * item)
                if len(raw) < count * item:
                    raise NlcliError(f"{self.path} became shorter while it was read; run the same command again")
                yield Block(numbers_of(raw, self._place.kind).reshape(-1, self.width))


def _dtype(place: TensorPlace) -> np.dtype:
    return np.dtype(np.float32) if place.kind == BFLOAT16 else np.dtype(place.dtype)
