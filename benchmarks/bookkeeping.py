"""What the process that hands out shards has to remember of 100 million images: processor time and peak memory.

First ``extract-features``, then ``annotate``, which finds its images in folders and keeps their names, as ``predict``
does.

No image is looked at: shards of 8,192 images of 2,048 features each are pretended by a crew in this process that writes
their records, which are as long as real ones (a checksum for every 128 KiB). The command is stopped half-way and goes
on, and it is counted that no shard is made twice. The list of images is a data set's ``images.parquet``, made here in
the temporary folder, and the index is written as ``extract-features`` writes it. What the pictures are is recorded of
the first 5 million only: that takes the same time for each and the memory of one block. For ``annotate`` the walk
through folders is pretended, too, and a part is an empty file.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nlcli.data.annotate import PART_IMAGES
from nlcli.data.features.index import INDEX, write_index
from nlcli.data.features.shards import ShardRecord, Written, shard_path, shard_records
from nlcli.data.image_list import ImageList
from nlcli.data.label_files import DESCRIPTION, DatasetRecord, images_schema
from nlcli.data.pictures import pictures_changed, record_pictures
from nlcli.networks.image_names import ImageNames
from nlcli.stages.config import StageConfig
from nlcli.stages.engines.handing_out import Crew, hand_out
from nlcli.stages.engines.shard_work import Answer, Done, Order, Shards
from nlcli.stages.files import fingerprint_json_parts, write_json
from nlcli.stages.options import Option, Output
from nlcli.stages.stage import open_stage

IMAGES, SHARD, PICTURES = 100_000_000, 8192, 5_000_000
_WORKERS, _BLOCK = 64, 1 << 16
_LIMIT = "at most 8 GiB"


class ListConfig(StageConfig):
    """A data set of images that are nowhere."""

    output: Output
    images: Annotated[int, Option("How many.")] = 0


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; ``quick`` has a hundredth of the images."""
    images, pictures = (IMAGES // 100, PICTURES // 100) if quick else (IMAGES, PICTURES)
    rows: list[dict[str, Any]] = []

    def measured(name: str, work: Callable[[], Any]) -> Any:
        begun = _processor()
        result = work()
        row = {"name": f"{name}, {images:,} images", "value": _processor() - begun, "unit": "s", "target": _LIMIT}
        rows.append(row | {"peak_memory": _peak()})
        return result

    with tempfile.TemporaryDirectory(prefix="bookkeeping-") as place:
        root = Path(place)
        (root / "photos").mkdir()
        (root / "out" / "shards").mkdir(parents=True)
        dataset = measured("make a list", lambda: _make_list(root, images))
        listed = measured("open it", lambda: ImageList(dataset))
        made: list[int] = []
        shards = Shards(images, SHARD, take=listed.names, whole=lambda number: _record(root / "out", number).is_file())
        half = len(shards) // 2
        measured(
            "hand out half of the shards, then stop", lambda: _hand_out(shards, _Pretending(root / "out", made, half))
        )
        measured("go on", lambda: _hand_out(shards, _Pretending(root / "out", made, None)))
        if sorted(made) != list(range(len(shards))):
            raise RuntimeError("a shard was made twice, or never")
        whole = measured("see what is left", shards.left)
        if whole:
            raise RuntimeError(f"{len(whole)} shards are left")
        measured("read all records", lambda: Written.of(shard_records(root / "out", len(shards))))
        records = shard_records(root / "out", len(shards))
        measured("write the index", lambda: write_index(root / "out" / INDEX, listed.columns, records))
        blocks = (listed.names(first, min(first + _BLOCK, pictures))[0] for first in range(0, pictures, _BLOCK))
        rows[-1]["name"] += f" ({(root / 'out' / INDEX).stat().st_size / 2**20:,.0f} MiB)"
        images = pictures
        measured("look at pictures", lambda: record_pictures(root / "out", root / "photos", blocks))
        measured("see whether they changed", lambda: pictures_changed(root / "out"))
    with tempfile.TemporaryDirectory(prefix="bookkeeping-") as place:
        images = IMAGES // 100 if quick else IMAGES
        _annotate(Path(place), images, measured)
    return rows


def _annotate(root: Path, images: int, measured: Callable[[str, Callable[[], Any]], Any]) -> None:
    """What ``annotate`` remembers of images that it finds in folders."""
    walked = ((0, f"{number // 10_000:05d}/{number:09d}.jpg", 1 << 17) for number in range(images))
    names = measured("find images in folders", lambda: ImageNames([("crawl/", "/photos/crawl/")], walked))
    pairs = (zip(names.keys(*block), names.sizes(*block), strict=True) for block in names.blocks())
    measured("what they are, as one fingerprint", lambda: fingerprint_json_parts([*map(list, part)] for part in pairs))
    made: list[int] = []
    shards = Shards(
        images,
        PART_IMAGES,
        take=lambda first, end: (names.keys(first, end), names.files(first, end)),
        whole=lambda number: _part(root, number).is_file(),
    )
    half = len(shards) // 2
    measured("hand out half of the parts, then stop", lambda: _hand_out(shards, _PretendingParts(root, made, half)))
    measured("go on with parts", lambda: _hand_out(shards, _PretendingParts(root, made, None)))
    if sorted(made) != list(range(len(shards))) or measured("see which parts are left", shards.left):
        raise RuntimeError("a part was made twice, or never")


def _part(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def _make_list(root: Path, images: int) -> Path:
    """A data set of ``images`` images without labels."""
    config = ListConfig(output=root / "dataset", images=images)
    with open_stage("dataset", config, {}) as stage:
        schema = images_schema()
        with pq.ParquetWriter(stage.work / "images.parquet", schema) as file:
            for first in range(0, images, _BLOCK):
                number = pa.array(range(first, min(first + _BLOCK, images)), pa.int64())
                digits = pc.utf8_lpad(number.cast(pa.string()), 9, "0")
                key = pc.binary_join_element_wise(
                    "crawl/", pc.utf8_slice_codeunits(digits, 0, 5), "/", digits, ".jpg", ""
                )
                nothing = pa.array([[]], pa.list_(pa.int32())).take(pa.array([0] * len(key)))
                same = {"split": "train", "verification": "none"}
                columns = [
                    key
                    if field.name in ("key", "path")
                    else pa.array([same[field.name]]).take(pa.array([0] * len(key)))
                    if field.name in same
                    else nothing.cast(field.type)
                    for field in schema
                ]
                file.write_table(pa.Table.from_arrays(columns, schema=schema))
        record = {"task": "multi-label", "classes": ("a",), "groups": None, "image_root": str(root / "photos")}
        DatasetRecord.model_validate(record | {"images": images, "name": "pretended", "source": "benchmark"}).write(
            stage.work / DESCRIPTION
        )
        stage.finish({"images": images}, content={"images": str(images)})
    return stage.output


class _Stopped(Exception):
    """The command is stopped."""


class _Pretending(Crew):
    """Workers that write the record of a shard at once; after ``most`` shards the command is stopped."""

    def __init__(self, root: Path, made: list[int], most: int | None) -> None:
        self._directory, self._made, self._most = root, made, most
        self._held: dict[Hashable, Order] = {}

    def idle(self) -> list[Hashable]:
        return [worker for worker in range(_WORKERS) if worker not in self._held]

    def give(self, worker: Hashable, order: Order) -> None:
        self._held[worker] = order

    def wait(self) -> list[tuple[Hashable, Answer]]:
        if self._most is not None and len(self._made) >= self._most:
            raise _Stopped
        worker, order = next(iter(self._held.items()))
        del self._held[worker]
        number = order.shard.number
        self._make(number, len(order.shard.files))
        self._made.append(number)
        return [(worker, Done())]

    def _make(self, number: int, images: int) -> None:
        broken = ((3, "there is no such file"),)
        blocks = -(-(images - 1) * 2048 * 4 // (1 << 17))
        record = ShardRecord(
            images - 1,
            images,
            images * 8192,
            f"sha256:{number:064x}",
            16,
            tuple(range(1 << 31, (1 << 31) + blocks)),
            broken,
        )
        write_json(_record(self._directory, number), record.__dict__)

    def place(self, worker: Hashable) -> str:
        return ""

    def close(self) -> None:
        self._held.clear()


class _PretendingParts(_Pretending):
    """The same for parts of predictions, which are empty."""

    def _make(self, number: int, images: int) -> None:
        _part(self._directory, number).touch()


def _record(directory: Path, number: int) -> Path:
    return shard_path(directory, number).with_suffix(".json")


def _hand_out(shards: Shards, crew: Crew) -> None:
    try:
        hand_out(shards, shards.left(), crew, lambda images: None)
    except _Stopped:
        return


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
