"""Features that exist already, from any network: into the same store that ``extract-features`` writes.

So every head, every detector and ``deduplicate`` works with them. An image of the data set without a vector is a row
of the index with a status, as a broken image is.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.index import INDEX, write_index
from nlcli.data.features.shards import ShardRecord, read_shard_record, shard_path, write_shard
from nlcli.data.features.vectors import Vectors, open_vectors, remove_written_out
from nlcli.data.pictures import pictures_changed, record_pictures, renew_pictures
from nlcli.errors import NlcliError, printable
from nlcli.stages.files import fingerprint_file, fingerprint_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.config import ImportFeatures
    from nlcli.data.labels import LabelTable

_MOST_NAMED = 3


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
        from nlcli.data.label_files import read_dataset

        table = read_dataset(config.dataset)
        record_pictures(stage.work, table.image_root, table.paths.tolist())
        keys = [str(key) for key in table.keys]
        try:
            vectors = open_vectors(config.source, config.keys, config.column, stage.work)
            row = match_vectors(vectors, table, config.source)
            records = _write_shards(config, vectors, row, keys, stage.work)
        except NlcliError:  # the file is at fault: what was made of it is of no use to a corrected one
            remove_written_out(stage.work)
            shutil.rmtree(stage.work / "shards", ignore_errors=True)
            raise
        write_index(stage.work / INDEX, keys, [str(path) for path in table.paths], records, config.shard_rows)
        missing = int(np.count_nonzero(row < 0))
        described = FeaturesRecord(
            images=len(keys),
            broken=missing,
            num_features=vectors.width,
            dtype=config.dtype,
            shards=len(records),
            precision="imported",
            preprocessing=None,
            backbone=config.network or f"imported from {printable(config.source.name)}",
            backbone_fingerprint=_fingerprint(config, vectors.width),
            dataset_fingerprint=table.fingerprint,
            image_root=os.path.abspath(table.image_root),
        )
        described.write(stage.work / DESCRIPTION)
        del vectors
        remove_written_out(stage.work)
        hashes = {
            shard_path(stage.work, number).relative_to(stage.work).as_posix(): record.sha256
            for number, record in enumerate(records)
        }
        summary = described.model_dump(include={"images", "broken", "num_features", "dtype", "precision", "backbone"})
        stage.finish(summary, content=hashes)
    if missing:
        first = [keys[i] for i in np.flatnonzero(row < 0)[:_MOST_NAMED].tolist()]
        more = " ..." if missing > _MOST_NAMED else ""
        say(
            f"{missing:,} of {len(keys):,} images have no vector in {config.source} ({', '.join(first)}{more}); column "
            f"'error' of {config.output / INDEX} says so"
        )
    return stage.output


def _fingerprint(config: ImportFeatures, width: int) -> str:
    """Of the network: the same name and width are the same one; without a name only the same file is."""
    return fingerprint_json(["imported", config.network or fingerprint_file(config.source), width])


# --- matching --------------------------------------------------------------------------------


def match_vectors(vectors: Vectors, table: LabelTable, source: Path) -> np.ndarray:
    """The row of ``vectors`` for every image of ``table``, by its key or its whole path: int64 (N,), -1 for none.

    Raises:
        NlcliError: an image has two vectors, or no vector is of an image.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    keys, paths = pa.array(table.keys, pa.string()), pa.array(table.paths, pa.string())
    root = os.path.join(os.path.abspath(table.image_root), "")
    given = pc.replace_substring_regex(vectors.keys, r"^(\./+)+", "")
    image = np.full(len(given), -1, np.int64)
    for known in (keys, paths, pc.binary_join_element_wise(root, paths, "")):
        open_ = np.flatnonzero(image < 0)
        if len(open_):
            found = pc.index_in(given.take(pa.array(open_)), value_set=known)
            image[open_] = pc.fill_null(found, -1).to_numpy()
    matched = np.flatnonzero(image >= 0)
    if not len(matched):
        some = printable(str(vectors.keys[0].as_py())) if len(given) else ""
        raise NlcliError(
            f"no vector of {source} is of an image of the data set: its first key is '{some}', the data set's "
            f"'{printable(str(table.keys[0]))}'; give the keys or the whole paths of the images"
        )
    row = np.full(len(table), -1, np.int64)
    row[image[matched]] = matched
    twice = matched[row[image[matched]] != matched]
    if len(twice):
        raise NlcliError(
            f"{source} has two vectors of image '{printable(str(table.keys[image[twice[0]]]))}'; keep one of them"
        )
    strangers = len(given) - len(matched)
    if strangers:
        first = printable(str(vectors.keys[int(np.flatnonzero(image < 0)[0])].as_py()))
        say(f"note: {strangers:,} of {len(given):,} vectors are of no image of the data set (the first: '{first}')")
    return row


# --- shards ----------------------------------------------------------------------------------


def _write_shards(
    config: ImportFeatures, vectors: Vectors, row: np.ndarray, keys: list[str], work: Path
) -> list[ShardRecord]:
    (work / "shards").mkdir(exist_ok=True)
    records = []
    with progress(len(keys), f"importing {config.source.name}", unit="images") as bar:
        for number, first in enumerate(range(0, len(keys), config.shard_rows)):
            path = shard_path(work, number)
            part = slice(first, first + config.shard_rows)
            if path.exists() and path.with_suffix(".json").exists():
                records.append(read_shard_record(path))
            else:
                features, errors = _of_shard(config, vectors.values, row[part], keys[part])
                records.append(write_shard(path, features, errors))
            bar.advance(len(keys[part]))
    return records


def _of_shard(
    config: ImportFeatures, values: np.ndarray, row: np.ndarray, keys: list[str]
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Features (n, D) of the images that have a vector, in order, and what to say of the others."""
    good = np.flatnonzero(row >= 0)
    rows = row[good]
    plain = len(rows) > 0 and bool((np.diff(rows) == 1).all())
    taken: Any = values[rows[0] : rows[-1] + 1] if plain else values[rows]
    with np.errstate(over="ignore"):  # told below, with the image's name
        features = np.ascontiguousarray(taken, dtype=config.dtype)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        where = int(np.argmin(finite))
        what = "is too large for float16; pass --dtype float32"
        if not np.isfinite(np.asarray(taken[where], np.float64)).all():
            what = "has NaN or infinity; correct it, or leave it out"
        raise NlcliError(f"the vector of image '{printable(keys[int(good[where])])}' in {config.source} {what}")
    reason = f"no vector in {config.source.name}"
    return features, [(position, reason) for position in np.flatnonzero(row < 0).tolist()]
