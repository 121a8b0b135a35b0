"""What the pictures of a directory were when it was made, so that later stages notice that they moved or changed.

``pictures.parquet`` holds a row a picture: its path, its size, the time when it was last changed and, with
``--check-contents``, a hash of its content. It also says where the pictures lie as seen from the directory, so a
project that was copied or moved uses its own. The file is no part of the result: what was made of the same pictures
elsewhere, or at another time, is the same. Directories of nlcli 0.1.0 have none, and are read as they always were.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError
from nlcli.networks.file_facts import FileFacts, look_at
from nlcli.stages.arrow_arrays import arrow_numbers, arrow_texts, numpy_numbers
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import damaged_as_sentence, own_table_blocks, read_own_table
from nlcli.stages.stage import PICTURES

if TYPE_CHECKING:
    import pyarrow as pa

    from nlcli.data.labels import LabelTable

_FROM_HERE, _ROOT = b"from_here", b"root"  # where the pictures lie: as seen from the directory, and in all
_DIGEST_BYTES = 16
_MOST_TRIED = 20
_BLOCK = 1 << 20
_GROUP_ROWS = 1 << 16
_MOST_TOLD, _MOST_GROUPS_TOLD = 20_000, 4


@dataclass(frozen=True)
class Pictures:
    """Pictures as they were; entry ``i`` of every field is the same one.

    Attributes:
        root: Folder that the paths are relative to.
        paths: N paths.
        size: (N,) int64 bytes, -1 for one that was not there.
        time: (N,) int64 nanoseconds since 1970 when it was last changed.
        contents: N hashes, None for one that was not there; or None where contents were not looked at.
    """

    root: Path
    paths: Sequence[str]
    size: np.ndarray
    time: np.ndarray
    contents: Sequence[bytes | None] | None = None

    def write(self, directory: Path) -> None:
        """Write ``pictures.parquet`` into ``directory``."""
        _write(directory, self.root, self.contents is not None, map(self._rows, range(0, len(self.paths), _GROUP_ROWS)))

    def _rows(self, first: int) -> Pictures:
        """Some of them, from ``first`` on."""
        some = slice(first, first + _GROUP_ROWS)
        contents = None if self.contents is None else self.contents[some]
        return Pictures(self.root, self.paths[some], self.size[some], self.time[some], contents)


def _write(directory: Path, root: Path, contents: bool, parts: Iterable[Pictures]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    here = os.path.relpath(os.path.realpath(root), os.path.realpath(directory))
    columns = [("path", pa.string()), ("size", pa.int64()), ("time", pa.int64())]
    schema = pa.schema(
        columns + [("content", pa.binary())] * contents,
        metadata={_FROM_HERE: here.encode(), _ROOT: os.path.abspath(root).encode()},
    )
    with atomic_path(directory / PICTURES) as temporary, pq.ParquetWriter(temporary, schema) as file:
        for part in parts:
            values = [part.paths, part.size, part.time, *([part.contents] if contents else [])]
            arrays = [_arrow(value, field.type) for value, field in zip(values, schema, strict=True)]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _arrow(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray):
        return arrow_numbers(values)
    import pyarrow as pa

    return arrow_texts(values) if kind == pa.string() else pa.array(values, kind)


def look_at_pictures(root: Path, paths: Sequence[str], *, contents: bool = False) -> tuple[Pictures, FileFacts]:
    """The pictures as they are now, and what else the file system says of them.

    Args:
        contents: Read every one of them for a hash of what it holds.
    """
    facts = look_at(root, paths)
    hashes = _hashes(root, paths, facts.size) if contents else None
    return Pictures(root, paths, facts.size, facts.time, hashes), facts


def tell_unreadable(pictures: Pictures) -> None:
    """Warn of pictures that no stage will be able to read: names behind which there is no file, and empty files."""
    kinds = (("without a file behind their name", pictures.size < 0), ("empty files", pictures.size == 0))
    told = []
    for what, which in kinds:
        rows = np.flatnonzero(which)
        if len(rows):
            told.append(f"{len(rows):,} are {what} (the first: '{pictures.paths[int(rows[0])]}')")
    if told:
        say(
            f"warning: of {len(pictures.paths):,} images in {pictures.root} {' and '.join(told)}; stages that read "
            "images leave them out"
        )


def record_pictures(
    directory: Path, root: Path, blocks: Iterable[Sequence[str]], count: int | None = None, *, contents: bool = False
) -> None:
    """Record in ``directory`` what the pictures are, as the first thing that a stage does there.

    A record that a killed run left stays; ``pictures_changed`` has compared it. Nothing is recorded where there is no
    folder ``root``.

    Args:
        blocks: Their paths, some at a time, of which only one is in memory.
        count: How many they are in all, where a bar is to show how far it is.
    """
    if root.is_dir() and not (directory / PICTURES).is_file():
        looked = (
            look_at_pictures(root, paths, contents=contents)[0] for paths in _shown(blocks, count, f"looking at {root}")
        )
        _write(directory, root, contents, looked)


def _shown(blocks: Iterable[Sized], count: int | None, title: str) -> Iterator[Any]:
    """``blocks``, with a bar."""
    with nullcontext() if count is None else progress(count, title, unit="images") as bar:
        for block in blocks:
            yield block
            if bar is not None:
                bar.advance(len(block))


def begin_reading(
    directory: Path, table: LabelTable, dataset: Path, rows: np.ndarray | None = None, *, contents: bool = False
) -> None:
    """What a stage does before it reads the pictures of a data set: see that they are there, and record what they are.

    Args:
        directory: Where the stage writes.
        dataset: Where the table was read from.
        rows: Those that are read; None: all.

    Raises:
        NlcliError: the folder of the pictures is gone.
    """
    require_pictures(table.image_root, dataset)
    paths = table.paths if rows is None else table.paths[rows]
    record_pictures(directory, table.image_root, [paths.tolist()], contents=contents)


def read_pictures(directory: Path) -> Pictures | None:
    """What the pictures of ``directory`` were; None where it does not say.

    Raises:
        NlcliError: the file is damaged.
    """
    path = directory / PICTURES
    return next(_recorded(directory, [read_own_table(path, _remedy(directory))])) if path.is_file() else None


def _remedy(directory: Path) -> str:
    return f"make {directory} again with --force"


def _recorded(directory: Path, tables: Iterable[pa.Table]) -> Iterator[Pictures]:
    """What ``tables``, consecutive parts of the record in ``directory``, say."""
    root: Path | None = None
    for table in tables:
        with damaged_as_sentence(directory / PICTURES, _remedy(directory)):
            metadata = table.schema.metadata or {}
            paths = table.column("path").to_pylist()
            numbers = [numpy_numbers(table.column(name)).astype(np.int64) for name in ("size", "time")]
            if root is None:
                place, recorded = _seen_from(directory, metadata[_FROM_HERE].decode()), Path(metadata[_ROOT].decode())
                root = place if _is_there(place, paths) else recorded
        contents = table.column("content").to_pylist() if "content" in table.column_names else None
        yield Pictures(root, paths, numbers[0], numbers[1], contents)


def picture_root(directory: Path, recorded: Path) -> Path:
    """Where the pictures of ``directory`` lie: as seen from it if they are there, else where they were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = directory / PICTURES
    if not path.is_file():
        return recorded
    try:
        with pq.ParquetFile(path) as file:
            here = (file.schema_arrow.metadata or {})[_FROM_HERE].decode()
            some = next(file.iter_batches(_MOST_TRIED, columns=["path"]), None)
            paths = [] if some is None else some.column("path").to_pylist()
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return recorded
    place = _seen_from(directory, here)
    if place == Path(os.path.realpath(recorded)) or not _is_there(place, paths):
        return recorded
    return place


def _seen_from(directory: Path, here: str) -> Path:
    return Path(os.path.normpath(os.path.join(os.path.realpath(directory), here)))


def _is_there(place: Path, paths: Sequence[str]) -> bool:
    return any((place / path).is_file() for path in paths[:_MOST_TRIED])


def pictures_changed(directory: Path, *, contents: bool = False) -> str | None:
    """What to say where the pictures that ``directory`` was made from are others now; None where they are not.

    Pictures that are no longer there tell nothing, and do not count. A picture whose time alone is another counts,
    unless its content was recorded and is the same.

    Args:
        contents: Compare what every picture holds, where that was recorded.
    """
    path = directory / PICTURES
    if not path.is_file():
        return None
    count, changed, first, told = 0, 0, None, False
    for before in _recorded(directory, own_table_blocks(path, _remedy(directory), _GROUP_ROWS)):
        if contents and before.contents is None and not told:
            told = True
            say(f"the pictures' contents of {directory} were not recorded; only their sizes and times are compared")
        rows = np.flatnonzero(_changed(before, contents))
        if len(rows) and first is None:
            first = before.root / before.paths[int(rows[0])]
        count, changed = count + len(before.paths), changed + len(rows)
    if first is None:
        return None
    return f"{changed:,} of {count:,} pictures are others than it was made from (the first: {first})"


def tell_changed(directory: Path) -> None:
    """Warn where pictures that ``directory`` was made from were replaced since: what it says is of the old ones.

    For a stage that takes the directory as it is. Of very many pictures 20,000 are looked at, spread over all; those
    that are no longer there tell nothing.

    Raises:
        NlcliError: the record is damaged.
    """
    import pyarrow.parquet as pq

    if not (directory / PICTURES).is_file():
        return
    looked, changed, first = 0, 0, None
    with damaged_as_sentence(directory / PICTURES, _remedy(directory)), pq.ParquetFile(directory / PICTURES) as file:
        count, groups = file.metadata.num_rows, file.metadata.num_row_groups
        chosen = np.unique(np.linspace(0, groups - 1, min(groups, _MOST_GROUPS_TOLD)).astype(int)).tolist()
        tables = []
        for group in chosen:
            table = file.read_row_group(group)
            rows = np.unique(np.linspace(0, len(table) - 1, _MOST_TOLD // len(chosen)).astype(np.int64))
            tables.append(
                (table if len(rows) == len(table) else table.take(rows)).replace_schema_metadata(
                    file.schema_arrow.metadata
                )
            )
    for before in _recorded(directory, tables):
        rows = np.flatnonzero(_changed(before, False))
        if len(rows) and first is None:
            first = before.root / before.paths[int(rows[0])]
        looked, changed = looked + len(before.paths), changed + len(rows)
    if first is not None:
        of = f"{looked:,}" if looked == count else f"{looked:,} looked at, of {count:,}"
        say(
            f"warning: {changed:,} of {of} pictures were replaced, or copied with new times, since {directory} was "
            f"made from them (the first: {first}); if they show something else now, make {directory} again"
        )


def _changed(before: Pictures, contents: bool) -> np.ndarray:
    """bool (N,), which of the pictures are others now."""
    facts = look_at(before.root, before.paths)
    there = facts.size >= 0
    size, time = facts.size != before.size, facts.time != before.time
    changed: np.ndarray = there & (size | time)
    if before.contents is not None:
        doubted = there & ~size & (time | contents)
        rows = np.flatnonzero(doubted).tolist()
        now = _hashes(before.root, [before.paths[row] for row in rows], facts.size[rows])
        for row, content in zip(rows, now, strict=True):
            changed[row] = content != before.contents[row]
    return changed


def renew_pictures(directory: Path, *, contents: bool = False) -> None:
    """Record what the pictures of ``directory`` are now, where they do not decide what else it holds."""
    before = read_pictures(directory)
    if before is not None:
        contents = contents or before.contents is not None
        look_at_pictures(before.root, before.paths, contents=contents)[0].write(directory)


def require_pictures(root: Path, directory: Path | str) -> None:
    """Refuse a data set whose pictures are gone.

    Raises:
        NlcliError: naming the folder that is no longer there, and what to do.
    """
    if not root.is_dir():
        raise NlcliError(
            f"the pictures of {directory} are gone: there is no folder {root}; put them back there, or run the command "
            f"that made {directory} again with the folder where they are now, and --force"
        )


def _hashes(root: Path, paths: Sequence[str], size: np.ndarray) -> list[bytes | None]:
    def digest(path: str) -> bytes | None:
        found_out = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        try:
            with open(root / path, "rb") as file:
                while block := file.read(_BLOCK):
                    found_out.update(block)
        except (OSError, ValueError):
            return None
        return found_out.digest()

    hashes: list[bytes | None] = []
    if not len(paths):
        return hashes
    with (
        ThreadPoolExecutor(thread_name_prefix="contents") as pool,
        progress(len(paths), "reading contents", unit="images") as bar,
    ):
        there = zip(paths, size.tolist(), strict=True)
        for content in pool.map(lambda pair: digest(pair[0]) if pair[1] >= 0 else None, there):
            hashes.append(content)
            bar.advance()
    return hashes
