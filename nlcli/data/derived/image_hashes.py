"""Perceptual and content hashes of the images of a data set, as a stage of their own.

The pixels are those ``nlcli.images`` gives, 32 x 32, decoded at a reduced scale: about a
millisecond an image. What cannot be read is a row with an error.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.config import HashImages
from nlcli.data.label_files import read_dataset
from nlcli.data.pictures import begin_reading, pictures_changed
from nlcli.errors import NlcliError
from nlcli.runtime import cpu_count
from nlcli.stages.engines.engine import engine_of
from nlcli.stages.engines.shard_work import Advance, Shard, Shards, ShardWork
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import damaged_as_sentence, read_own_table
from nlcli.stages.stage import open_stage, read_stage

PART = 4096
"""Images in a part, which a killed run does not hash again."""
_GREY = 32  # side of the grey picture that is hashed
_FLAT = 3.0  # standard deviation of its grey values below which a picture has no hash


@dataclass(frozen=True)
class Hashes:
    """Of every image: hash of its file's content, perceptual hashes, and what went wrong.

    Attributes:
        content: (N, 2) uint64; BLAKE2b of the file.
        dct: (N,) uint64; signs of low frequencies.
        difference: (N,) uint64; signs of horizontal differences.
        seen: (N,) bool; whether the perceptual hashes mean anything (readable, not flat).
        error: (N,) object; why the image could not be read, or None.
    """

    content: np.ndarray
    dct: np.ndarray
    difference: np.ndarray
    seen: np.ndarray
    error: np.ndarray


def hash_images(config: HashImages, *, force: bool = False) -> Path:
    """Hash every image of a data set, in parts, so that a killed run goes on where it was."""
    engine = engine_of(config)
    inputs = {"dataset": read_stage(config.dataset, "dataset")}
    with open_stage("hashes", config, inputs, force=force, stale=pictures_changed) as stage:
        if stage.up_to_date:
            return stage.output
        table = read_dataset(config.dataset)
        begin_reading(stage.work, table, config.dataset)
        shards = Shards(
            len(table),
            PART,
            take=lambda first, end: (
                table.keys[first:end].tolist(),
                [str(table.image_path(row)) for row in range(first, end)],
            ),
            whole=lambda number: _part(stage.work, number).is_file(),
        )
        engine.finish(Hashing(Path(os.path.abspath(stage.work)), config.workers), shards, "hashing images")
        stage.finish({"images": len(table)})
    return stage.output


@dataclass(frozen=True)
class Hashing(ShardWork):
    """Hashes of shards of images.

    Attributes:
        directory: Where the parts are written.
        workers: Threads that read images; 0: one a core.
    """

    directory: Path
    workers: int

    def begin(self) -> Callable[[Shard, Advance], None]:
        def make(shard: Shard, advance: Advance) -> None:
            entries = []
            with ThreadPoolExecutor(self.workers or cpu_count()) as pool:
                for entry in pool.map(hash_file, map(Path, shard.files)):
                    entries.append(entry)
                    advance(1)
            _write_hashes(_part(self.directory, shard.number), entries)

        return make


def _part(directory: Path, number: int) -> Path:
    return directory / f"hashes-{number:05d}.parquet"


def hash_file(path: Path) -> tuple[bytes, np.ndarray | None, str | None]:
    """Content hash, grey picture (``_GREY`` squared, float32) and error of one file."""
    from nlcli.networks.images import ImageError, Preprocessing, load_image, read_image_file

    try:
        content = read_image_file(path)
    except ImageError as error:
        return b"", None, error.reason
    digest = hashlib.blake2b(content, digest_size=16).digest()
    try:
        pixels = load_image(content, Preprocessing(size=_GREY, decode="fast"))
    except ImageError as error:
        return digest, None, error.reason
    return digest, pixels @ np.array([0.299, 0.587, 0.114], np.float32), None


def perceptual_hashes(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DCT hash and difference hash of grey pictures (n, 32, 32): two (n,) uint64.

    The DCT hash is whether each of the lowest 8 x 8 frequencies lies above their median, the mean
    grey value left out (the next horizontal frequency takes its place). The difference hash is
    whether the picture, shrunk to 8 rows of 9, grows brighter to the right.
    """
    from scipy.fft import dctn

    frequency = dctn(grey.astype(np.float64), axes=(1, 2))
    low = frequency[:, :8, :8].reshape(len(grey), 64).copy()
    low[:, 0] = frequency[:, 0, 8]
    small = np.einsum("ai,nij,bj->nab", _shrink(8), grey, _shrink(9))
    return _pack(low > np.median(low, axis=1, keepdims=True)), _pack((np.diff(small, axis=2) > 0).reshape(-1, 64))


def _shrink(size: int) -> np.ndarray:
    """(size, 32) weights that average an axis over equal parts."""
    edges = np.linspace(0, _GREY, size + 1)
    low, high = edges[:-1, None], edges[1:, None]
    at = np.arange(_GREY)
    overlap = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
    weights: np.ndarray = overlap / overlap.sum(axis=1, keepdims=True)
    return weights


def _pack(bits: np.ndarray) -> np.ndarray:
    """(n, 64) bool -> (n,) uint64."""
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _write_hashes(path: Path, entries: list[tuple[bytes, np.ndarray | None, str | None]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    some = [i for i, (_, grey, _) in enumerate(entries) if grey is not None]
    dct, difference = np.zeros((2, len(entries)), np.uint64)
    seen = np.zeros(len(entries), bool)
    if some:
        grey = np.stack([picture for _, picture, _ in entries if picture is not None])
        dct[some], difference[some] = perceptual_hashes(grey)
        seen[some] = grey.std(axis=(1, 2)) >= _FLAT
    content = np.frombuffer(b"".join(digest.ljust(16, b"\0") for digest, _, _ in entries), np.uint64).reshape(-1, 2)
    columns = {
        "content_0": pa.array(content[:, 0]),
        "content_1": pa.array(content[:, 1]),
        "dct": pa.array(dct),
        "difference": pa.array(difference),
        "seen": pa.array(seen),
        "error": pa.array([error for _, _, error in entries], pa.string()),
    }
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_hashes(directory: Path, count: int) -> Hashes:
    """The hashes of ``count`` images.

    Raises:
        NlcliError: a part is missing, damaged, or of another data set.
    """
    import pyarrow as pa

    remedy = f"remove {directory} and run again"
    parts = [read_own_table(_part(directory, n), remedy) for n in range(-(-count // PART))]
    with damaged_as_sentence(directory, remedy):
        rows = pa.concat_tables(parts)
        names = ("content_0", "content_1", "dct", "difference", "seen")
        column = {name: rows.column(name).to_numpy() for name in names}
        error = rows.column("error").to_numpy()
    if len(rows) != count:
        raise NlcliError(
            f"{directory} has {len(rows):,} hashes for {count:,} images; remove the directory and run again"
        )
    content = np.stack((column["content_0"], column["content_1"]), axis=1)
    unread = np.flatnonzero([reason is not None for reason in error])
    # what cannot be read is like nothing else
    content[unread, 0], content[unread, 1] = unread, np.iinfo(np.uint64).max
    return Hashes(content, column["dct"], column["difference"], column["seen"], error)
