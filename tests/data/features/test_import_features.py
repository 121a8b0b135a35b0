"""Vectors of other programs: matched by key or path, missing ones rows, the same store as extraction's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.config import ImportFeatures
from nlcli.data.features.import_features import import_features
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.extraction import table_of
from worlds.folders import touch
from worlds.stage_builders import published

ROWS = 11


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    touch(tmp_path / "images", *(f"{i}.png" for i in range(ROWS)))
    published(table_of(tmp_path / "images", ROWS), tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, 5))


def keys_of(dataset: Path) -> list[str]:
    return [str(key) for key in read_dataset(dataset).keys]


def run(dataset: Path, **options: object) -> Path:
    config = {"dataset": dataset, "output": dataset.parent / "features", "shard_rows": 4, **options}
    return import_features(ImportFeatures.parse(config))


def npy(dataset: Path, values: np.ndarray, keys: list[str]) -> dict[str, Path]:
    np.save(dataset.parent / "v.npy", values)
    (dataset.parent / "keys.txt").write_text("\n".join(keys) + "\n")
    return {"source": dataset.parent / "v.npy", "keys": dataset.parent / "keys.txt"}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_an_array_in_another_order(dataset: Path, values: np.ndarray, dtype: str, stored: str) -> None:
    keys = keys_of(dataset)
    order = np.random.default_rng(1).permutation(ROWS)
    given = values.astype(dtype)
    store = FeatureStore(run(dataset, **npy(dataset, given[order], [keys[i] for i in order]), dtype=stored))
    assert store.shape == (ROWS, 5)
    assert store.dtype == stored
    assert np.array_equal(store.read(store.rows_of(keys)), given.astype(stored))
    store.verify()
    store.require_images_of(read_dataset(dataset), dataset)
    assert store.last_layer is None
    assert store.record.preprocessing is None


def test_whole_paths_and_rows_that_are_missing(
    dataset: Path, values: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_dataset(dataset)
    given = [f"./{table.paths[0]}", str(table.image_path(3)), str(table.keys[9]), "else/7.png"]
    store = FeatureStore(run(dataset, **npy(dataset, values[:4].astype(np.float32), given)))
    assert np.array_equal(store.read(store.rows_of(table.keys[[0, 3, 9]])), values[:3].astype(np.float32))
    assert store.shape == (3, 5)
    assert store.errors == {str(table.keys[i]): "no vector in v.npy" for i in range(ROWS) if i not in (0, 3, 9)}
    index = pq.read_table(store.path / "index.parquet").to_pydict()
    assert index["status"].count("error") == 8
    said = capsys.readouterr().err
    assert "1 of 4 vectors are of no image of the data set (the first: 'else/7.png')" in said
    assert "8 of 11 images have no vector in" in said


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 5), pa.large_list(pa.float32())])
def test_parquet_with_lists(dataset: Path, values: np.ndarray, kind: pa.DataType) -> None:
    keys = keys_of(dataset)
    lists: list[object] = [row.tolist() for row in values]
    lists[2] = None
    table = pa.table({"key": keys, "label": ["x"] * ROWS, "vector": pa.array(lists, kind)})
    pq.write_table(table.take(list(reversed(range(ROWS)))), dataset.parent / "v.parquet", row_group_size=3)
    store = FeatureStore(run(dataset, source=dataset.parent / "v.parquet"))
    there = [i for i in range(ROWS) if i != 2]
    assert np.array_equal(store.read(store.rows_of([keys[i] for i in there])), values[there].astype(np.float32))
    assert list(store.errors) == [keys[2]]
    assert {path.name for path in store.path.iterdir()} == {
        "features.json",
        "index.parquet",
        "pictures.parquet",
        "shards",
        "stage.json",
    }


def test_parquet_with_columns_of_numbers(dataset: Path, values: np.ndarray) -> None:
    keys = keys_of(dataset)
    columns = {f"f{i}": values[:, i] for i in range(5)}
    pq.write_table(pa.table({"path": keys, **columns}), dataset.parent / "v.parquet")
    store = FeatureStore(run(dataset, source=dataset.parent / "v.parquet"))
    assert np.array_equal(store.read(store.rows_of(keys)), values.astype(np.float32))


def test_keys_in_a_table_and_in_an_array(dataset: Path, values: np.ndarray) -> None:
    keys, options = keys_of(dataset), {}
    for name in ("keys.csv", "keys.npy"):
        options = npy(dataset, values, keys) | {"keys": dataset.parent / name, "output": dataset.parent / name[5:]}
        if name.endswith("csv"):
            (dataset.parent / name).write_text("number,key\n" + "".join(f"{i},{key}\n" for i, key in enumerate(keys)))
        else:
            np.save(dataset.parent / name, np.array(keys))
        store = FeatureStore(run(dataset, **options))
        assert np.array_equal(store.read(store.rows_of(keys)), values.astype(np.float32))


def test_names_of_networks_tell_what_fits_together(dataset: Path, values: np.ndarray) -> None:
    keys = keys_of(dataset)

    def fingerprint(name: str, change: float = 0.0, **options: object) -> str:
        options |= npy(dataset, values + change, keys) | {"output": dataset.parent / name}
        return FeatureStore(run(dataset, **options)).backbone_fingerprint

    one, other = fingerprint("a"), fingerprint("b", 1.0)
    assert one != other
    assert fingerprint("c") == one
    assert fingerprint("d", network="dino") == fingerprint("e", 1.0, network="dino") != one


@pytest.mark.parametrize("shuffled", [False, True])
def test_what_is_killed_goes_on(
    dataset: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch, shuffled: bool
) -> None:
    from nlcli.data.features import import_features as module

    whole, calls = module.write_shard, []

    def dies(path: Path, *rest: object) -> object:
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_shard", dies)
    order = np.random.default_rng(2).permutation(ROWS) if shuffled else np.arange(ROWS)
    options = npy(dataset, values[order], [keys_of(dataset)[i] for i in order])
    with pytest.raises(KeyboardInterrupt):
        run(dataset, **options)
    run(dataset, **options)
    assert calls == [f"features-0000{i}.h5" for i in (0, 1, 2, 2)]
    again = read_stage(run(dataset, **options, output=dataset.parent / "again")).fingerprint
    assert read_stage(dataset.parent / "features").fingerprint == again


def test_sorted_runs_are_made_once(dataset: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors in another order than the images, three at a time; killed at every run, and once before the shards."""
    from nlcli.data.features import by_image

    monkeypatch.setattr(by_image, "RUN_BYTES", 3 * 5 * 4)
    keys = keys_of(dataset)
    order = np.random.default_rng(1).permutation(ROWS)
    given = values[order].astype(np.float32)
    options = npy(dataset, np.concatenate([given[:6], given[:1], given[6:]]), [])
    named = [keys[i] for i in order]
    (dataset.parent / "keys.txt").write_text("\n".join([*named[:6], "stranger", *named[6:]]))
    save, made = np.save, []

    def dies(file: object, array: np.ndarray) -> None:
        if array.ndim == 2:
            made.append(array)
            if len(made) in (2, 4, 6):
                raise KeyboardInterrupt
        save(file, array)  # type: ignore[arg-type]

    monkeypatch.setattr(np, "save", dies)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(dataset, **options)
    store = FeatureStore(run(dataset, **options))
    assert len(made) == 4 + 3, "four runs of three, one of them of a stranger; three were made twice"
    assert [len(array) for array in made] == [3, 3, 3, 2, 2, 3, 3]
    assert np.array_equal(store.read(store.rows_of(keys)), values.astype(np.float32))
    assert not (store.path / "runs").exists()


def test_a_whole_process_that_is_killed(dataset: Path, values: np.ndarray) -> None:
    """By the system, in the middle of the shards: what is whole stays, and the end is the same."""
    script = (
        "import os, signal, sys, nlcli.data.features.import_features as module\n"
        "from nlcli.data.config import ImportFeatures\n"
        "whole, left = module.write_shard, [1]\n"
        "def dies(*given):\n"
        "    if not left.pop(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left.append(0); return whole(*given)\n"
        "module.write_shard = dies\n"
        "module.import_features(ImportFeatures.model_validate_json(sys.argv[1]))\n"
    )
    options = npy(dataset, values, keys_of(dataset))
    config = ImportFeatures(dataset=dataset, output=dataset.parent / "features", shard_rows=4, **options)
    done = subprocess.run([sys.executable, "-c", script, config.model_dump_json()], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    shards = dataset.parent / "features.partial/shards"
    first = (shards / "features-00000.h5").stat().st_mtime_ns
    store = FeatureStore(run(dataset, **options))
    assert (store.path / "shards/features-00000.h5").stat().st_mtime_ns == first
    assert np.array_equal(store.read(store.rows_of(keys_of(dataset))), values.astype(np.float32))


def test_every_format_gives_the_same_store(dataset: Path, values: np.ndarray) -> None:
    keys, given = keys_of(dataset), values.astype(np.float32)
    np.savez(dataset.parent / "v.npz", keys=np.array(keys), v=given)
    with h5py.File(dataset.parent / "v.h5", "w") as file:
        file["keys"], file["v"] = keys, given
    pq.write_table(pa.table({"key": keys, "v": list(given)}), dataset.parent / "v.parquet")
    (dataset.parent / "folder").mkdir()
    pq.write_table(pa.table({"key": keys, "v": list(given)}), dataset.parent / "folder/v.parquet")
    stores = []
    for name in ("v.npz", "v.h5", "v.parquet", "folder"):
        store = FeatureStore(run(dataset, source=dataset.parent / name, output=dataset.parent / f"from-{name}"))
        stores.append((store.path / "shards/features-00002.h5").read_bytes())
        assert np.array_equal(store.read(store.rows_of(keys)), given)
    assert len(set(stores)) == 1


def test_a_directory_that_changed_is_another_source(dataset: Path, values: np.ndarray) -> None:
    folder = dataset.parent / "folder"
    folder.mkdir()
    for change in (0.0, 1.0):
        table = pa.table({"key": keys_of(dataset), "v": list((values + change).astype(np.float32))})
        pq.write_table(table, folder / "v.parquet")
        if change:
            with pytest.raises(NlcliError, match="differs in content of source"):
                run(dataset, source=folder)
        else:
            run(dataset, source=folder)
            assert read_stage(run(dataset, source=folder)).input_path("source") == folder


def _nan(values: np.ndarray, row: int) -> np.ndarray:
    values = values.copy()
    values[row, 1] = np.nan
    values[9, 0] = np.inf
    return values


def test_what_is_not_finite_is_refused_with_its_key(dataset: Path, values: np.ndarray) -> None:
    keys = keys_of(dataset)
    with pytest.raises(NlcliError, match=f"the vector of image '{keys[6]}' in .* has NaN or infinity"):
        run(dataset, **npy(dataset, _nan(values, 6), keys))
    assert not (dataset.parent / "features.partial").exists(), "a corrected file is not another configuration's"
    with pytest.raises(NlcliError, match=f"the vector of image '{keys[0]}' in .* is too large for float16"):
        run(dataset, **npy(dataset, np.abs(values) + 1e5, keys), dtype="float16")
    with pytest.raises(NlcliError, match=f"the vector of image '{keys[0]}' in .* is too large for float32; scale"):
        run(dataset, **npy(dataset, np.abs(values) + 1e300, keys))
    run(dataset, **npy(dataset, values, keys))


def test_mistakes(dataset: Path, values: np.ndarray) -> None:
    keys = keys_of(dataset)
    good = npy(dataset, values, keys)
    with pytest.raises(NlcliError, match="nothing says which images the rows of"):
        run(dataset, source=good["source"])
    with pytest.raises(NlcliError, match="leave out --column"):
        run(dataset, **good, column="vector")
    with pytest.raises(NlcliError, match="has 10 keys and .* has 11 rows"):
        run(dataset, **npy(dataset, values, keys[1:]))
    with pytest.raises(NlcliError, match=f"two vectors of image '{keys[1]}'"):
        run(dataset, **npy(dataset, values, [keys[1], *keys[1:]]))
    with pytest.raises(NlcliError, match=f"its first key is 'other', the data set's '{keys[0]}'"):
        run(dataset, **npy(dataset, values[:1], ["other"]))
    for wrong in (values[0], values[None], values.astype(int), values[:0], values.astype(complex)):
        with pytest.raises(NlcliError, match="a row an image"):
            run(dataset, **npy(dataset, wrong, keys))
    np.save(dataset.parent / "v.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(NlcliError, match=r"v.npy holds objects of Python, .* save numbers \(X.astype"):
        run(dataset, **good)
    (dataset.parent / "v.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(NlcliError, match="cannot read .*save it again by numpy.save"):
        run(dataset, **good)
    with pytest.raises(NlcliError, match="is not of a known format; save the vectors as .npy, .npz"):
        run(dataset, source=good["keys"])


def test_mistakes_in_what_names_the_rows(dataset: Path, values: np.ndarray) -> None:
    keys = keys_of(dataset)
    options = npy(dataset, values, keys)
    table, objects, archive = (dataset.parent / name for name in ("keys.csv", "keys.npy", "v.npz"))
    table.write_text("id\n" + "".join(f"{key}\n" for key in keys))
    with pytest.raises(NlcliError, match=r"keys.csv has none of the columns key, path, file_name; rename the one"):
        run(dataset, **options | {"keys": table})
    np.save(objects, np.array(keys, object), allow_pickle=True)
    with pytest.raises(NlcliError, match=r"keys.npy holds objects of Python, .* or text \(keys.astype"):
        run(dataset, **options | {"keys": objects})
    np.savez(archive, vectors=values, key=np.array(keys, object))
    with pytest.raises(NlcliError, match=r"v.npz: 'key' holds no text; save it as text"):
        run(dataset, source=archive)
    run(dataset, source=archive, keys=options["keys"])


def test_a_directory_that_nlcli_made_is_no_source(dataset: Path) -> None:
    """A data set has lists of numbers, too: how sure its noisy labels are."""
    with pytest.raises(NlcliError, match="dataset was made by nlcli; features that it holds"):
        run(dataset, source=dataset)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"name": ["a"], "v": [[1.0]]}, "it has no key, path or file_name; pass --keys"),
        ({"key": ["a"], "v": [["x"]]}, "neither a column of lists of numbers"),
        ({"key": ["a"], "v": [[1.0]], "w": [[1.0]]}, "vectors in 'v' and in 'w'; choose by --column"),
        ({"key": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}, "row 2: a vector of 2 numbers among others of 1"),
        ({"key": ["a"], "v": pa.array([None], pa.list_(pa.float32()))}, "has no vectors"),
    ],
)
def test_mistakes_in_parquet(dataset: Path, columns: dict[str, object], sentence: str) -> None:
    pq.write_table(pa.table(columns), dataset.parent / "v.parquet")
    with pytest.raises(NlcliError, match=sentence):
        run(dataset, source=dataset.parent / "v.parquet")
