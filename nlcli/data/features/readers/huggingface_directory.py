"""Vectors in a data set directory of Hugging Face: Arrow files that ``save_to_disk`` wrote, or Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.data.features.readers.arrow_columns import block_of, choose_columns, keys_of, width_of
from nlcli.data.features.readers.base import Block, VectorReader
from nlcli.data.features.readers.parquet_files import ParquetFiles
from nlcli.errors import NlcliError, printable, shortened
from nlcli.stages.files import read_json

if TYPE_CHECKING:
    import pyarrow as pa

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def open_directory(path: Path, column: str | None) -> VectorReader:
    """The vectors of a directory.

    Raises:
        NlcliError: it is none that the library ``datasets`` saved, and has no Parquet files.
    """
    if (path / _STATE).is_file() or (path / _SPLITS).is_file():
        return ArrowDirectory(path, column)
    files = sorted(file for folder in (path, path / "data") for file in folder.glob("*.parquet"))
    if not files:
        raise NlcliError(
            f"{path} is a directory without {_STATE}, {_SPLITS} or Parquet files; expected one that "
            "datasets.Dataset.save_to_disk wrote"
        )
    return ParquetFiles(path, column, files)


class ArrowDirectory(VectorReader):
    """What ``save_to_disk`` of a ``Dataset`` or a ``DatasetDict`` wrote; all splits, one after another."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.path = path
        self._files = _arrow_files(path)
        self.rows = 0
        found = []
        for file in self._files:
            with _stream(file) as batches:
                found.append(choose_columns(file, batches.schema, column))
                self.rows += sum(len(batch) for batch in batches)
            if found[-1] != found[0]:
                raise NlcliError(f"{file} has other columns than the files before it; save the data set again")
        self._chosen = found[0]
        self.names_rows = self._chosen.key is not None
        self.width = width_of(path, (batch for _, batch in self._batches(0)), self._chosen.vectors)

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Batches that lie before ``first`` are mapped and not touched."""
        for row, batch in self._batches(first):
            if len(batch):
                yield block_of(self.path, batch, self._chosen.vectors, row, self.width)

    def keys(self) -> pa.Array:
        """The column of keys."""
        name = self._chosen.key
        assert name is not None
        return keys_of(self.path, name, (batch.column(name) for _, batch in self._batches(0)))

    def _batches(self, first: int) -> Iterator[tuple[int, Any]]:
        row = 0
        for file in self._files:
            with _stream(file) as batches:
                for batch in batches:
                    skipped = min(max(first - row, 0), len(batch))
                    yield row + skipped, batch.slice(skipped)
                    row += len(batch)


@contextmanager
def _stream(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as batches:
            yield batches
    except (OSError, pa.ArrowException, UnicodeError, ValueError) as error:
        raise NlcliError(f"cannot read {path}: {shortened(error)}; save the data set again") from error


def _arrow_files(path: Path) -> list[Path]:
    if not (path / _SPLITS).is_file():
        return _files_of_split(path)
    content = read_json(path / _SPLITS)
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list) or not splits:
        raise NlcliError(f"{path / _SPLITS} names no splits; save the data set again")
    return [file for name in splits for file in _files_of_split(path / _plain(path / _SPLITS, name))]


def _files_of_split(path: Path) -> list[Path]:
    state = read_json(path / _STATE)
    listed = state.get("_data_files") if isinstance(state, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise NlcliError(f"{path / _STATE} names no files; save the data set again")
    if state.get("_indices_data_files"):
        raise NlcliError(f"{path} was saved with an order beside its rows; call flatten_indices() and save it again")
    return [path / _plain(path / _STATE, entry.get("filename")) for entry in listed]


def _plain(where: Path, name: Any) -> str:
    """``name``, which must stay in its folder."""
    if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0"):
        raise NlcliError(f"{where} names '{printable(str(name))}', which is no name of a file in its folder")
    return name
