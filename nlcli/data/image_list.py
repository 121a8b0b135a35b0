"""The images of a data set without their labels: for stages that look at every one, be they hundreds of millions.

What is in memory is a block of them at a time. That keys are unique was seen to when the data set was built.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.data.label_files import REMEDY, open_images
from nlcli.errors import NlcliError
from nlcli.stages.own_tables import damaged_as_sentence

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ["key", "path"]


class ImageList:
    """Keys and paths of the images of the data set at ``path``, in its order.

    Attributes:
        image_root: Folder that the paths are relative to.
        fingerprint: Of the data set.

    Raises:
        NlcliError: not a data set, or one whose files do not fit together.
    """

    def __init__(self, path: Path | str) -> None:
        import pyarrow.parquet as pq

        self._where, self.image_root, self.fingerprint = open_images(path)
        with damaged_as_sentence(self._where, REMEDY):
            self._file = pq.ParquetFile(self._where)
            groups = self._file.metadata
            self._ends: list[int] = []
            for group in range(groups.num_row_groups):
                self._ends.append(groups.row_group(group).num_rows + (self._ends[-1] if self._ends else 0))
        self._held: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def table(self, first: int, end: int) -> pa.Table:
        """Columns ``key`` and ``path`` of the images from ``first`` to ``end``.

        Raises:
            NlcliError: the file is damaged.
        """
        import pyarrow as pa

        parts = []
        while first < end:
            group = bisect.bisect_right(self._ends, first)
            table = self._group(group)
            begin = first - (self._ends[group] - len(table))
            parts.append(table.slice(begin, end - first))
            first += len(parts[-1])
        return pa.concat_tables(parts)

    def columns(self, first: int, end: int) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """Keys and paths of the images from ``first`` to ``end``."""
        table = self.table(first, end)
        return table.column("key"), table.column("path")

    def names(self, first: int, end: int) -> tuple[list[str], list[str]]:
        """Keys and files of the images from ``first`` to ``end``."""
        keys, paths = self.columns(first, end)
        folder = os.path.join(self.image_root, "")
        return keys.to_pylist(), [folder + path for path in paths.to_pylist()]

    def paths(self) -> Iterator[list[str]]:
        """All paths, a block at a time."""
        for group in range(len(self._ends)):
            yield self._group(group).column("path").to_pylist()

    def _group(self, group: int) -> pa.Table:
        if self._held[0] != group:
            with damaged_as_sentence(self._where, REMEDY):
                table = self._file.read_row_group(group, columns=_COLUMNS)
                table.validate(full=True)
            if any(table.column(name).null_count for name in _COLUMNS):
                raise NlcliError(f"{self._where} has empty cells; {REMEDY}")
            self._held = (group, table)
        return self._held[1]
