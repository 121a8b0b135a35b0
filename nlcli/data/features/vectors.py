"""Vectors that other programs computed, and which images they are of: the reader that fits a file's format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlcli.data.features.readers.base import KEYS, VectorReader, read_keys_of_rows
from nlcli.errors import NlcliError
from nlcli.stages.publishing import is_ours

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS = ".npy, .npz, .parquet, .safetensors, .h5 or a data set directory of Hugging Face"


@dataclass(frozen=True)
class Vectors:
    """Vectors and what they are of.

    Attributes:
        reader: Gives them from front to back.
        keys: (rows,) Arrow strings, as they are written.
    """

    reader: VectorReader
    keys: pa.Array


def open_vectors(source: Path, keys: Path | None, column: str | None) -> Vectors:
    """The vectors in ``source``.

    Args:
        source: A file of one of the formats, or a directory.
        keys: The keys of its rows, in their order, where it does not name them itself.
        column: The column or array of the vectors, where there are several.

    Raises:
        NlcliError: with the file, and the row where there is one, for whatever does not fit.
    """
    reader = _reader(source, column)
    if keys is None:
        if not reader.names_rows and reader.no_text is not None:
            raise NlcliError(
                f"{source}: '{reader.no_text}' holds no text; save it as text (keys.astype(str)), or pass --keys with "
                "keys or paths, one a line"
            )
        if not reader.names_rows:
            raise NlcliError(
                f"nothing says which images the rows of {source} are of: it has no {', '.join(KEYS[:-1])} or "
                f"{KEYS[-1]}; pass --keys with their keys or paths, one a line"
            )
        return Vectors(reader, reader.keys())
    if reader.names_rows:
        raise NlcliError(f"{source} names the images of its rows itself; leave out --keys")
    names = read_keys_of_rows(keys)
    if len(names) != reader.rows:
        raise NlcliError(
            f"{keys} has {len(names):,} keys and {source} has {reader.rows:,} rows; there must be as many, in the same "
            "order"
        )
    return Vectors(reader, names)


def _reader(source: Path, column: str | None) -> VectorReader:
    kind = source.suffix.lower()
    if is_ours(source):
        raise NlcliError(
            f"{source} was made by nlcli; features that it holds are given to other commands as they are, by --features"
        )
    if source.is_dir():
        from nlcli.data.features.readers.huggingface_directory import open_directory

        return open_directory(source, column)
    if not source.is_file():
        raise NlcliError(f"there is no file {source}; pass the vectors as {_FORMATS}")
    if kind == ".npy":
        from nlcli.data.features.readers.numpy_array import NumpyArray

        return NumpyArray(source, column)
    if kind == ".npz":
        from nlcli.data.features.readers.numpy_archive import NumpyArchive

        return NumpyArchive(source, column)
    if kind in (".parquet", ".pq"):
        from nlcli.data.features.readers.parquet_files import ParquetFiles

        return ParquetFiles(source, column)
    if kind == ".safetensors":
        from nlcli.data.features.readers.safetensors_file import SafetensorsFile

        return SafetensorsFile(source, column)
    if kind in (".h5", ".hdf5"):
        from nlcli.data.features.readers.hdf5_file import Hdf5File

        return Hdf5File(source, column)
    raise NlcliError(f"{source} is not of a known format; save the vectors as {_FORMATS}")
