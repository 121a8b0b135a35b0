"""A store that notices what happened to its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from nlcli.data.features.extract import extract_features
from nlcli.data.features.shards import write_shard
from nlcli.data.features.store import FeatureStore
from nlcli.data.labels import matrix_from_lists
from nlcli.errors import NlcliError
from worlds.extraction import config_of, table_of
from worlds.stage_builders import published


def test_other_labels_of_the_same_images_need_no_extraction(work: Path, extracted: Path) -> None:
    store = FeatureStore(extracted)
    table = table_of(work / "images", 23)
    relabelled = replace(table, noisy=matrix_from_lists([[(i + 1) % 2] for i in range(23)], 2, [[1.0]] * 23))
    store.require_images_of(relabelled, "relabelled")
    store.require_images_of(table_of(work / "images", 7), "a part of it")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"keys": np.array([f"x{i}" for i in range(23)], object)}, "it has no image 'x0'"),
        (
            {"paths": np.array(["9.png", *(f"{i}.png" for i in range(1, 23))], object)},
            "image 'k0' was .*0.png, not .*9.png",
        ),
        ({"image_root": Path("/elsewhere")}, "image 'k0' was .*images/0.png, not /elsewhere/0.png"),
    ],
)
def test_other_images_are_refused(work: Path, extracted: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NlcliError, match=f"holds the features of another data set than mine .*{why}"):
        FeatureStore(extracted).require_images_of(replace(table_of(work / "images", 23), **changes), "mine")


def test_random_reads_across_shards(extracted: Path, expected: np.ndarray) -> None:
    store = FeatureStore(extracted)
    everything = store.read(np.arange(21))
    rng = np.random.default_rng(0)
    for count in (1, 7, 200):
        rows = rng.integers(0, 21, count)
        np.testing.assert_array_equal(store.read(rows), everything[rows])
    assert store.read(np.array([], np.int64)).shape == (0, 256)
    for bad in (-1, 21):
        with pytest.raises(IndexError):
            store.read(np.array([0, bad]))


def test_sequential_reads_into_a_buffer(extracted: Path) -> None:
    store = FeatureStore(extracted)
    everything = store.read(np.arange(21))
    for rows in ([0], [20], [3, 4, 5, 9], list(range(21)), list(range(0, 21, 2)), [2, 2, 3], []):
        out = np.full((len(rows), 256), 7, np.float32)
        store.read_into(np.array(rows, np.int64), out)
        np.testing.assert_array_equal(out, everything[rows])
    with pytest.raises(ValueError, match="contiguous"):
        store.read_into(np.array([0, 1]), np.empty((2, 256), np.float16))
    with pytest.raises(IndexError):
        store.read_into(np.array([1, 0]), np.empty((2, 256), np.float32))
    with pytest.raises(IndexError):
        store.read_into(np.array([20, 21]), np.empty((2, 256), np.float32))


def test_an_empty_shard_among_others(tmp_path: Path, work: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in (0, 3):
        shutil.copy(work / "images/0.png", tmp_path / f"images/{i}.png")
    published(table_of(tmp_path / "images", 4), tmp_path / "dataset")
    config = config_of(work, tmp_path / "f", shard_rows=1).model_copy(update={"dataset": tmp_path / "dataset"})
    store = FeatureStore(extract_features(config))
    store.verify()
    np.testing.assert_array_equal(store.rows_of(["k0", "k1", "k2", "k3"], strict=False), [0, -1, -1, 1])
    features = store.read(np.array([1, 0]))
    np.testing.assert_array_equal(features[0], features[1])
    out = np.empty((2, 256), np.float32)
    store.read_into(np.array([0, 1]), out)
    np.testing.assert_array_equal(out, features)


def test_other_programs_can_read_the_shards(extracted: Path) -> None:
    with h5py.File(extracted / "shards/features-00001.h5") as file:
        assert file["features"].chunks is None
        np.testing.assert_array_equal(file["features"][:], FeatureStore(extracted).read(np.arange(4, 9)))
        assert file["features"].id.get_offset() % 4096 == 0


def reads(path: Path) -> Iterator[Any]:
    """The ways to read everything."""
    yield lambda: FeatureStore(path).read(np.arange(21)[::-1])
    yield lambda: FeatureStore(path).read_into(np.arange(21), np.empty((21, 256), np.float32))
    yield lambda: FeatureStore(path).verify()


def test_a_shard_cut_short_is_named_at_once(copy: Path) -> None:
    shard = copy / "shards/features-00002.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(NlcliError, match=r"features-00002\.h5 is cut short .*remove .*features and extract"):
        FeatureStore(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "shards/features-00003.h5").unlink()
    with pytest.raises(NlcliError, match=r"features-00003\.h5 is not there"):
        FeatureStore(copy)


def test_a_flipped_bit_is_noticed_wherever_it_is_read(copy: Path) -> None:
    shard = copy / "shards/features-00001.h5"
    content = bytearray(shard.read_bytes())
    with h5py.File(shard) as file:
        content[file["features"].id.get_offset() + 3 * 256 * 4 + 17] ^= 0x10
    shard.write_bytes(content)
    for read in reads(copy):
        with pytest.raises(NlcliError, match=r"features-00001\.h5 was altered"):
            read()
    assert FeatureStore(copy).read(np.arange(4)).shape == (4, 256)  # another shard is not concerned


def test_every_flipped_bit_of_the_header_is_told_in_a_sentence(copy: Path) -> None:
    shard = copy / "shards/features-00000.h5"
    original = shard.read_bytes()
    good = FeatureStore(copy).read(np.arange(21))
    for place in range(0, 2048, 37):
        damaged = bytearray(original)
        damaged[place] ^= 0xFF
        shard.write_bytes(damaged)
        with pytest.raises(NlcliError, match=r"features-00000\.h5"):
            FeatureStore(copy).verify()
        try:
            features = FeatureStore(copy).read(np.arange(21))
        except NlcliError as error:
            assert "features-00000.h5" in str(error)  # noqa: PT017
        else:  # a byte that HDF5 does not use
            np.testing.assert_array_equal(features, good)


def test_links_are_refused(copy: Path) -> None:
    shard = copy / "shards/features-00000.h5"
    with h5py.File(shard) as file:
        shape = file["features"].shape

    def replaced(make: Any) -> None:
        with h5py.File(shard, "w") as file:
            make(file)
        beside = shard.with_suffix(".json")
        record = json.loads(beside.read_text())
        beside.write_text(json.dumps(record | {"bytes": shard.stat().st_size}))
        with pytest.raises(NlcliError, match=r"features-00000\.h5 keeps its features .*refused"):
            FeatureStore(copy).read(np.arange(4))

    other = copy / "shards/features-00001.h5"
    replaced(lambda file: file.__setitem__("features", h5py.ExternalLink(str(other), "/features")))
    replaced(lambda file: file.__setitem__("features", h5py.SoftLink("/other")))
    replaced(
        lambda file: file.create_dataset(
            "features", shape, np.float32, external=[(str(other), 4096, h5py.h5f.UNLIMITED)]
        )
    )


def test_compressed_or_other_shapes_are_refused(copy: Path) -> None:
    shard = copy / "shards/features-00000.h5"
    with h5py.File(shard) as file:
        content = file["features"][:]

    def replaced(data: np.ndarray, match: str, **options: Any) -> None:
        with h5py.File(shard, "w") as file:
            file.create_dataset("features", data=data, **options)
        beside = shard.with_suffix(".json")
        record = json.loads(beside.read_text())
        beside.write_text(json.dumps(record | {"bytes": shard.stat().st_size}))
        with pytest.raises(NlcliError, match=match):
            FeatureStore(copy).read(np.arange(4))

    replaced(content, "in one piece", compression="gzip")
    replaced(content[:2], r"holds \(2, 256\)")
    replaced(content.astype(np.float16), "holds .* float16")


def test_nan_in_features_is_named_by_key(copy: Path) -> None:
    where = copy / "shards/features-00001.h5"
    with h5py.File(where) as file:
        content = file["features"][:]
    content[2, 5] = np.nan  # row 6 of the store: k7, since k4 is broken
    write_shard(where, content, [])
    with pytest.raises(NlcliError, match="features of image 'k7' .*are not finite"):
        FeatureStore(copy).verify()


def test_damaged_records(copy: Path) -> None:
    beside = copy / "shards/features-00000.json"
    good = beside.read_text()
    record = json.loads(good)
    for change in ({"rows": -1}, {"block_rows": 0}, {"crc32": []}, {"images": 3}, {"errors": "none"}):
        beside.write_text(json.dumps(record | change))
        with pytest.raises(NlcliError, match=r"features-00000\.json is not the record of a shard"):
            FeatureStore(copy)
    beside.write_text(good[:40])
    with pytest.raises(NlcliError, match=r"features-00000\.json: not valid JSON"):
        FeatureStore(copy)


def test_a_count_of_shards_that_is_not_true(copy: Path) -> None:
    described = json.loads((copy / "features.json").read_text())
    (copy / "features.json").write_text(json.dumps(described | {"shards": 2**62}))
    with pytest.raises(NlcliError, match=r"cannot read .*shards/features-\d+\.json"):
        FeatureStore(copy)


def test_an_index_of_other_shards(copy: Path, work: Path, tmp_path: Path) -> None:
    other = extract_features(config_of(work, tmp_path / "other", shard_rows=6))
    shutil.copy(other / "index.parquet", copy / "index.parquet")
    with pytest.raises(NlcliError, match="does not fit its shards"):
        FeatureStore(copy)
    (copy / "index.parquet").write_bytes(b"no parquet")
    with pytest.raises(NlcliError, match=r"cannot read .*index\.parquet"):
        FeatureStore(copy)


def test_duplicate_keys_in_an_index(copy: Path) -> None:
    table = pq.read_table(copy / "index.parquet")
    keys = table.column("key").to_pylist()
    keys[3] = keys[2]
    pq.write_table(table.set_column(0, table.schema.field("key"), [keys]), copy / "index.parquet")
    with pytest.raises(NlcliError, match="lists image 'k2' twice"):
        FeatureStore(copy).rows_of(["k0"])


def test_not_features(work: Path) -> None:
    with pytest.raises(NlcliError, match="is a dataset directory; expected a features directory"):
        FeatureStore(work / "dataset")
