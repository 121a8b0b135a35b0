"""Extraction to shards, and a store that notices what happened to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nlcli.data.config import ExtractFeatures
from nlcli.data.features import extract as features_module
from nlcli.data.features.extract import extract_features
from nlcli.data.features.shards import Shard, read_shard_record, shard_path, write_shard
from nlcli.data.features.store import FeatureStore
from nlcli.data.labels import LabelTable, matrix_from_lists
from nlcli.errors import NlcliError
from nlcli.networks.backbone import Backbone
from nlcli.networks.images import load_image
from nlcli.networks.weights import build_backbone, load_backbone, save_backbone
from worlds.stage_builders import published

BROKEN = {4: "the file is empty", 11: "there is no such file"}


def table_of(folder: Path, count: int) -> LabelTable:
    nothing = matrix_from_lists([[]] * count, 2)
    return LabelTable(
        task="multi-label",
        classes=("a", "b"),
        keys=np.array([f"k{i}" for i in range(count)], object),
        paths=np.array([f"{i}.png" for i in range(count)], object),
        image_root=folder,
        split=np.zeros(count, np.int8),
        noisy=matrix_from_lists([[i % 2] for i in range(count)], 2, [[1.0]] * count),
        present=nothing,
        absent=nothing.copy(),
        verification=np.zeros(count, np.uint8),
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 23 images, two of them broken, and a saved backbone."""
    folder = tmp_path_factory.mktemp("features")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(23):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"images/{i}.png")
    (folder / "images/4.png").write_bytes(b"")
    (folder / "images/11.png").unlink()
    published(table_of(folder / "images", 23), folder / "dataset")
    save_backbone(folder / "backbone", build_backbone("small_cnn", "none", classes=("a", "b"), image_size=32))
    return folder


def config_of(work: Path, output: Path, **changes: Any) -> ExtractFeatures:
    options = {"shard_rows": 5, "batch_size": 3, "workers": 2} | changes
    return ExtractFeatures(dataset=work / "dataset", backbone=str(work / "backbone"), output=output, **options)


@pytest.fixture(scope="module")
def extracted(work: Path) -> Path:
    return extract_features(config_of(work, work / "features"))


@pytest.fixture
def copy(extracted: Path, tmp_path: Path) -> Path:
    """Features to damage."""
    shutil.copytree(extracted, tmp_path / "features")
    return tmp_path / "features"


@pytest.fixture(scope="module")
def backbone(work: Path) -> Backbone:
    return load_backbone(work / "backbone")


@pytest.fixture(scope="module")
def expected(work: Path, backbone: Backbone) -> np.ndarray:
    """Features of the 21 good images, one by one through the plain model."""
    from nlcli.networks.backbone import scale_pixels

    good = [i for i in range(23) if i not in BROKEN]
    images = np.stack([load_image(work / f"images/{i}.png", backbone.preprocessing) for i in good])
    scaled = scale_pixels(images, backbone.preprocessing.scaling)
    return backbone.model(scaled, training=False)["features"].numpy()


# --- whose features they are -----------------------------------------------------------------


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


# --- what is extracted -----------------------------------------------------------------------


def test_features_are_those_of_the_network(extracted: Path, expected: np.ndarray, backbone: Backbone) -> None:
    store = FeatureStore(extracted)
    assert store.shape == expected.shape == (21, 256)
    assert store.dtype == np.float32
    np.testing.assert_allclose(store.read(np.arange(21)), expected, rtol=1e-4, atol=1e-5)
    assert store.keys.tolist() == [f"k{i}" for i in range(23) if i not in BROKEN]
    assert store.backbone_fingerprint == backbone.fingerprint
    last = store.last_layer
    assert last is not None
    np.testing.assert_array_equal(last.kernel, backbone.last_layer.kernel)
    assert last.classes == ("a", "b")


def test_broken_images_are_rows_with_a_reason(extracted: Path, capsys: pytest.CaptureFixture[str], work: Path) -> None:
    index = pq.read_table(extracted / "index.parquet").to_pylist()
    assert [row["key"] for row in index] == [f"k{i}" for i in range(23)]
    assert {i: row["error"] for i, row in enumerate(index) if row["status"] == "error"} == BROKEN
    assert [row["row"] for row in index[:10]] == [0, 1, 2, 3, -1, 0, 1, 2, 3, 4]
    assert [row["shard"] for row in index[3:7]] == [0, 0, 1, 1]
    store = FeatureStore(extracted)
    assert store.errors == {"k4": "the file is empty", "k11": "there is no such file"}
    np.testing.assert_array_equal(store.rows_of(["k5", "k0", "k4"], strict=False), [4, 0, -1])
    with pytest.raises(NlcliError, match="image 'k4' could not be read .*the file is empty"):
        store.rows_of(["k0", "k4"])
    with pytest.raises(NlcliError, match="no features of image 'stranger'"):
        store.rows_of(["k0", "stranger"])


def test_broken_images_are_counted_at_the_end(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract_features(config_of(work, tmp_path / "f"))
    assert "2 of 23 images could not be read" in capsys.readouterr().err
    record = json.loads((tmp_path / "f/stage.json").read_text())
    assert record["summary"]["broken"] == 2


@pytest.mark.parametrize("changes", [{"batch_size": 23}, {"shard_rows": 100}, {"workers": 1}, {"shard_rows": 1}])
def test_cutting_up_changes_nothing(work: Path, tmp_path: Path, expected: np.ndarray, changes: dict) -> None:
    store = FeatureStore(extract_features(config_of(work, tmp_path / "f", **changes)))
    np.testing.assert_allclose(store.read(np.arange(21)), expected, rtol=1e-4, atol=1e-5)


def test_float16_is_stored_rounded(work: Path, tmp_path: Path, extracted: Path) -> None:
    store = FeatureStore(extract_features(config_of(work, tmp_path / "f", dtype="float16")))
    assert store.dtype == np.float16
    np.testing.assert_array_equal(
        store.read(np.arange(21)), FeatureStore(extracted).read(np.arange(21)).astype(np.float16)
    )


def test_the_recipe_names_what_decides(work: Path, tmp_path: Path) -> None:
    path = extract_features(config_of(work, tmp_path / "f", precision="auto", decode="fast"))
    recipe = json.loads((path / "stage.json").read_text())["recipe"]
    assert recipe["config"]["precision"] in ("float32", "bfloat16", "float16")
    assert recipe["config"]["decode"] == "fast"
    assert set(recipe["inputs"]) == {"dataset", "backbone"}
    assert json.loads((path / "features.json").read_text())["preprocessing"]["decode"] == "fast"
    with pytest.raises(NlcliError, match="decode fast -> exact"):
        extract_features(config_of(work, tmp_path / "f", precision="auto", decode="exact"))


def test_up_to_date_extraction_computes_nothing(work: Path, extracted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "_extract_shards", None)
    assert extract_features(config_of(work, extracted)) == extracted


def test_the_same_command_gives_the_same_files(work: Path, extracted: Path, tmp_path: Path) -> None:
    again = extract_features(config_of(work, tmp_path / "f"))
    fingerprints = [json.loads((path / "stage.json").read_text())["fingerprint"] for path in (extracted, again)]
    assert fingerprints[0] == fingerprints[1]


def test_features_that_are_not_finite_name_the_image(work: Path, tmp_path: Path) -> None:
    made = build_backbone("small_cnn", "none", image_size=32)
    gamma = made.model.get_layer("norm6").gamma
    gamma.assign(gamma.numpy() * np.float32(1e7))
    save_backbone(tmp_path / "b", made)
    config = config_of(work, tmp_path / "f", dtype="float16").model_copy(update={"backbone": str(tmp_path / "b")})
    with pytest.raises(NlcliError, match="features of image 'k0' contain NaN or infinity .*stored as float16"):
        extract_features(config)


def test_no_image_at_all(work: Path, tmp_path: Path) -> None:
    published(table_of(tmp_path, 3), tmp_path / "dataset")
    config = config_of(work, tmp_path / "f").model_copy(update={"dataset": tmp_path / "dataset"})
    with pytest.raises(NlcliError, match="none of the 3 images .*there is no such file"):
        extract_features(config)


def test_backbones_that_are_not_there(work: Path, tmp_path: Path) -> None:
    config = config_of(work, tmp_path / "f")
    with pytest.raises(NlcliError, match="nor is there a saved backbone"):
        extract_features(config.model_copy(update={"backbone": str(tmp_path / "absent")}))
    with pytest.raises(NlcliError, match="no weights file"):
        extract_features(config.model_copy(update={"backbone": "small_cnn", "weights": str(tmp_path / "w.h5")}))
    with pytest.raises(NlcliError, match="leave out --weights"):
        extract_features(config.model_copy(update={"weights": "none"}))


def test_registered_network(work: Path, tmp_path: Path) -> None:
    config = config_of(work, tmp_path / "f").model_copy(update={"backbone": "small_cnn", "weights": "none"})
    store = FeatureStore(extract_features(config))
    assert store.last_layer is None
    assert store.backbone_fingerprint == build_backbone("small_cnn", "none").fingerprint


# --- resuming --------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process: nothing in the program catches it."""


def test_a_killed_extraction_keeps_finished_shards(
    work: Path, extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def dying(path: Path, *rest: Any) -> Any:
        if len(written) == 2:
            raise Killed
        written.append(path)
        return write_shard(path, *rest)

    monkeypatch.setattr(features_module, "write_shard", dying)
    with pytest.raises(Killed):
        extract_features(config_of(work, tmp_path / "f"))
    partial = tmp_path / "f.partial"
    before = {path: shard_path(partial, number).stat().st_mtime_ns for number, path in enumerate(written)}
    shard_path(partial, 1).with_suffix(".json").unlink()  # as if killed between the shard and its record
    monkeypatch.setattr(features_module, "write_shard", write_shard)
    path = extract_features(config_of(work, tmp_path / "f"))
    assert shard_path(path, 0).stat().st_mtime_ns == before[written[0]]
    np.testing.assert_array_equal(FeatureStore(path).read(np.arange(21)), FeatureStore(extracted).read(np.arange(21)))


def test_sigkill(work: Path, extracted: Path, tmp_path: Path) -> None:
    """Killed in the middle of a shard, the same command ends with the same result."""
    script = (
        "import sys, time; import nlcli.data.features.extract as f\n"
        "from nlcli.data.config import ExtractFeatures\n"
        "write = f.write_shard\n"
        "def slow(*given):\n    found = write(*given); print('shard', flush=True); time.sleep(0.05); return found\n"
        "f.write_shard = slow\n"
        "f.extract_features(ExtractFeatures.model_validate_json(sys.argv[1]))\n"
    )
    output = tmp_path / "f"
    command = [sys.executable, "-c", script, config_of(work, output).model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"shard\n"] * 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not output.exists()
    extract_features(config_of(work, output))
    fingerprints = [json.loads((path / "stage.json").read_text())["fingerprint"] for path in (extracted, output)]
    assert fingerprints[0] == fingerprints[1]


# --- reading ---------------------------------------------------------------------------------


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
    found = store.read(np.array([1, 0]))
    np.testing.assert_array_equal(found[0], found[1])
    out = np.empty((2, 256), np.float32)
    store.read_into(np.array([0, 1]), out)
    np.testing.assert_array_equal(out, found)


def test_other_programs_can_read_the_shards(extracted: Path) -> None:
    with h5py.File(extracted / "shards/features-00001.h5") as file:
        assert file["features"].chunks is None
        np.testing.assert_array_equal(file["features"][:], FeatureStore(extracted).read(np.arange(4, 9)))
        assert file["features"].id.get_offset() % 4096 == 0


# --- damage ----------------------------------------------------------------------------------


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


def test_blocks_are_checked_one_by_one(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(100, 2048)).astype(np.float32)
    path = tmp_path / "s.h5"
    record = write_shard(path, features, [])
    assert record.block_rows == 16
    assert len(record.crc32) == 7
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in row 99
    path.write_bytes(content)
    shard = Shard(path, read_shard_record(path), 2048, np.dtype(np.float32))
    out = np.empty((96, 2048), np.float32)
    shard.read_into(np.arange(96), out)
    np.testing.assert_array_equal(out, features[:96])
    assert not shard.all_checked
    with pytest.raises(NlcliError, match="rows 96 to 99 do not match their checksum"):
        shard.check(np.array([96]))


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
            found = FeatureStore(copy).read(np.arange(21))
        except NlcliError as error:
            assert "features-00000.h5" in str(error)  # noqa: PT017
        else:  # a byte that HDF5 does not use
            np.testing.assert_array_equal(found, good)


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
