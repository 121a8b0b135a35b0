"""Features that exist already, from any network: into the same store that ``extract-features`` writes.

So every head, every detector and ``deduplicate`` works with them. An image of the data set without a vector is a row
of the index with a status, as a broken image is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.console import progress, say
from nlcli.data.features.by_image import RUNS, Part, parts_by_image
from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.index import INDEX, write_index
from nlcli.data.features.shards import ShardRecord, Written, read_shard_record, shard_path, write_shard
from nlcli.data.features.vectors import Vectors, open_vectors
from nlcli.data.pictures import pictures_changed, record_pictures, renew_pictures
from nlcli.errors import NlcliError, printable
from nlcli.stages.files import fingerprint_json
from nlcli.stages.stage import Stage, StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    import pyarrow as pa

    from nlcli.data.config import ImportFeatures
    from nlcli.data.image_list import ImageList

_MOST_NAMED = 3
_BLOCK = 1 << 16


def import_features(config: ImportFeatures, *, force: bool = False) -> Path:
    """Make a features directory of vectors that another program computed; returns the directory written.

    A shard that is finished is not written again when a killed import is resumed.

    Raises:
        NlcliError: no such data set, vectors that are not finite or fit no image, an image that has two.
    """
    dataset = read_stage(config.dataset, "dataset")
    inputs: dict[str, StageRecord | Path | None] = {"dataset": dataset, "source": config.source, "keys": config.keys}
    with open_stage(
        "features", config, inputs, force=force, stale=partial(pictures_changed), renew=renew_pictures
    ) as stage:
        if stage.up_to_date:
            return stage.output
        from nlcli.data.image_list import ImageList

        listed = ImageList(config.dataset)
        record_pictures(stage.work, listed.image_root, listed.paths(), len(listed))
        try:
            vectors = open_vectors(config.source, config.keys, config.column)
            image = match_vectors(vectors.keys, listed, config.source)
            records = _write_shards(config, vectors, image, listed, stage.work)
        except NlcliError:  # the file is at fault: what was made of it is of no use to a corrected one
            shutil.rmtree(stage.work / RUNS, ignore_errors=True)
            shutil.rmtree(stage.work / "shards", ignore_errors=True)
            raise
        write_index(stage.work / INDEX, listed.columns, records)
        written = Written.of(records)
        described = FeaturesRecord(
            images=len(listed),
            broken=written.broken,
            num_features=vectors.reader.width,
            dtype=config.dtype,
            shards=len(records),
            precision="imported",
            preprocessing=None,
            backbone=config.network or f"imported from {printable(config.source.name)}",
            backbone_fingerprint=_fingerprint(config, stage, vectors.reader.width),
            dataset_fingerprint=listed.fingerprint,
            image_root=os.path.abspath(listed.image_root),
        )
        described.write(stage.work / DESCRIPTION)
        shutil.rmtree(stage.work / RUNS, ignore_errors=True)
        summary = described.model_dump(include={"images", "broken", "num_features", "dtype", "precision", "backbone"})
        stage.finish(summary, content=written.hashes)
    if written.broken:
        without = (
            number * config.shard_rows + position
            for number, record in enumerate(records)
            for position, _ in record.errors
        )
        first = ", ".join(_key(listed, image) for image in islice(without, _MOST_NAMED))
        more = " ..." if written.broken > _MOST_NAMED else ""
        say(
            f"{written.broken:,} of {len(listed):,} images have no vector in {config.source} ({first}{more}); "
            f"column 'error' of {config.output / INDEX} says so"
        )
    return stage.output


def _fingerprint(config: ImportFeatures, stage: Stage, width: int) -> str:
    """Of the network: the same name and width are the same one; without a name only the same file is."""
    return fingerprint_json(["imported", config.network or stage.input_fingerprint("source"), width])


# --- matching --------------------------------------------------------------------------------


def match_vectors(given: pa.Array, listed: ImageList, source: Path) -> np.ndarray:
    """The image of ``listed`` that each key ``given`` names, by its key or its whole path: int64, -1 for none.

    Raises:
        NlcliError: an image is named twice, or no key names any.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if _in_order(given, listed):
        return np.arange(len(given))
    keys, paths = listed.columns(0, len(listed))
    root = os.path.join(os.path.abspath(listed.image_root), "")
    names: tuple[Callable[[], pa.ChunkedArray], ...] = (
        lambda: keys,
        lambda: paths,
        lambda: pc.binary_join_element_wise(root, paths, ""),
    )
    plain = pc.replace_substring_regex(given, r"^(\./+)+", "")
    image = np.full(len(plain), -1, np.int64)
    for known in names:
        open_ = np.flatnonzero(image < 0)
        if len(open_):
            found = pc.index_in(plain.take(pa.array(open_)), value_set=known())
            image[open_] = pc.fill_null(found, -1).to_numpy()
    matched = np.flatnonzero(image >= 0)
    if not len(matched):
        some = printable(str(given[0].as_py())) if len(given) else ""
        raise NlcliError(
            f"no vector of {source} is of an image of the data set: its first key is '{some}', the data set's "
            f"'{printable(_key(listed, 0))}'; give the keys or the whole paths of the images"
        )
    last = np.full(len(listed), -1, np.int64)
    last[image[matched]] = matched
    twice = matched[last[image[matched]] != matched]
    if len(twice):
        raise NlcliError(
            f"{source} has two vectors of image '{printable(_key(listed, int(image[twice[0]])))}'; keep one of them"
        )
    strangers = len(given) - len(matched)
    if strangers:
        first = printable(str(given[int(np.flatnonzero(image < 0)[0])].as_py()))
        say(f"note: {strangers:,} of {len(given):,} vectors are of no image of the data set (the first: '{first}')")
    return image


def _in_order(given: pa.Array, listed: ImageList) -> bool:
    """Whether ``given`` are the keys of the images in their order, for which nothing needs to be looked up."""
    if len(given) != len(listed):
        return False
    blocks = ((first, min(first + _BLOCK, len(given))) for first in range(0, len(given), _BLOCK))
    return all(
        listed.columns(first, end)[0].combine_chunks().equals(given.slice(first, end - first)) for first, end in blocks
    )


def _key(listed: ImageList, image: int) -> str:
    return str(listed.names(image, image + 1)[0][0])


# --- shards ----------------------------------------------------------------------------------


def _write_shards(
    config: ImportFeatures, vectors: Vectors, image: np.ndarray, listed: ImageList, work: Path
) -> list[ShardRecord]:
    """Shards from the first on that is not there; a shard is written while the next one is read."""
    (work / "shards").mkdir(exist_ok=True)
    firsts = range(0, len(listed), config.shard_rows)
    records: list[ShardRecord] = []
    for number in range(len(firsts)):
        path = shard_path(work, number)
        if not (path.exists() and path.with_suffix(".json").exists()):
            break
        records.append(read_shard_record(path))
    dtype = np.dtype(config.dtype)

    def convert(values: np.ndarray, images: np.ndarray) -> np.ndarray:
        return _as_stored(config, values, images, listed)

    parts = parts_by_image(
        vectors.reader, image, len(records) * config.shard_rows, config.shard_rows, convert, dtype, work
    )
    reason = f"no vector in {config.source.name}"
    left: Part | None = None
    with (
        ThreadPoolExecutor(1, thread_name_prefix="shard") as writer,
        progress(
            len(listed), f"importing {config.source.name}", unit="images", done=len(records) * config.shard_rows
        ) as bar,
    ):
        under_way: Future[ShardRecord] | None = None
        for number in range(len(records), len(firsts)):
            first = firsts[number]
            count = min(config.shard_rows, len(listed) - first)
            features = np.empty((count, vectors.reader.width), dtype)
            there = np.zeros(count, bool)
            filled = 0
            while (left := next(parts, None) if left is None else left) is not None:
                here = int(np.searchsorted(left.images, first + count))
                features[filled : filled + here] = left.values[:here]
                there[left.images[:here] - first] = True
                filled += here
                if here < len(left.images):
                    left = Part(left.images[here:], left.values[here:])
                    break
                left = None
            errors = [(position, reason) for position in np.flatnonzero(~there).tolist()]
            if under_way is not None:
                records.append(under_way.result())
            under_way = writer.submit(write_shard, shard_path(work, number), features[:filled], errors)
            bar.advance(count)
        if under_way is not None:
            records.append(under_way.result())
    return records


_ALL_ONES_F16 = np.uint16(0x7C00)  # the exponent of infinity and of NaN


def _as_stored(config: ImportFeatures, values: np.ndarray, images: np.ndarray, listed: ImageList) -> np.ndarray:
    """Values of the type that is stored, all of them finite."""
    with np.errstate(over="ignore"):  # told below, with the image's name
        features = np.ascontiguousarray(values, dtype=config.dtype)
    if features.dtype == np.float16:  # NumPy looks at float16 one by one
        whole = bool(((features.view(np.uint16) & _ALL_ONES_F16) != _ALL_ONES_F16).all())
    else:
        whole = bool(np.isfinite(features).all())
    if not whole:
        where = int(np.argmin(np.isfinite(features).all(axis=1)))
        narrow = config.dtype == "float16"
        what = f"is too large for {config.dtype}; {'pass --dtype float32' if narrow else 'scale the vectors'}"
        if not np.isfinite(np.asarray(values[where], np.float64)).all():
            what = "has NaN or infinity; correct it, or leave it out"
        raise NlcliError(
            f"the vector of image '{printable(_key(listed, int(images[where])))}' in {config.source} {what}"
        )
    return features
