"""Files of other programs are read as they were written, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nlcli.errors import NlcliError
from nlcli.networks.import_weights.caffe_files import read_caffe
from nlcli.networks.import_weights.torch_files import read_tensors
from worlds.weight_files import caffemodel, field, varint, write_safetensors, write_torch


def few() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "half": rng.normal(size=(3, 2)).astype(np.float16),
        "bn.num_batches_tracked": np.array(7),
        "empty": np.zeros((0, 4), np.float32),
    }


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and np.array_equal(one[name], other[name]) for name in one
    )


# --- Caffe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [True, False], ids=["V1", "2014"])
def test_a_caffemodel(old: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blobs = {
        "conv1": [rng.normal(size=(4, 3, 5, 5)).astype(np.float32), rng.normal(size=4).astype(np.float32)],
        "fc6": [rng.normal(size=(6, 8)).astype(np.float32), rng.normal(size=6).astype(np.float32)],
    }
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(blobs, old))
    read = read_caffe(tmp_path / "net.caffemodel")
    assert list(read) == ["conv1", "fc6"]  # a layer without weights, such as the data, is none
    for name, arrays in blobs.items():
        for array, found in zip(arrays, read[name], strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, array)


def test_numbers_one_at_a_time_and_double_ones(tmp_path: Path) -> None:
    single = b"".join(varint(5 << 3 | 5) + np.float32(x).tobytes() for x in (1.5, -2.0))
    double = field(8, np.array([0.25, 4.0]).tobytes())
    shape = field(7, field(1, 2))
    layer = field(1, b"a") + field(7, shape + single) + field(7, shape + double)
    (tmp_path / "net.caffemodel").write_bytes(field(100, layer))
    np.testing.assert_array_equal(read_caffe(tmp_path / "net.caffemodel")["a"], [[1.5, -2.0], [0.25, 4.0]])


@pytest.mark.parametrize("names", [("{}/0", "{}/1"), ("{}_weights", "{}_biases"), ("{}.W", "{}.b"), ("{}:kernel:0", "{}:bias:0")])  # fmt: skip
def test_an_npz(names: tuple[str, str], tmp_path: Path) -> None:
    arrays = {"conv1": [np.ones((2, 3, 1, 1)), np.zeros(2)], "fc6": [np.ones((2, 4)), np.ones(2)]}
    flat = {name.format(layer): array for layer, of in arrays.items() for name, array in zip(names, of, strict=True)}
    np.savez(tmp_path / "net.npz", **flat)
    read = read_caffe(tmp_path / "net.npz")
    assert {layer: [a.shape for a in of] for layer, of in read.items()} == {
        "conv1": [(2, 3, 1, 1), (2,)],
        "fc6": [(2, 4), (2,)],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no layer with weights"),
        (b"\x07\x00", "is not a .caffemodel file, or is cut short (wire type 7)"),
        (caffemodel({"a": [np.ones((2, 2), np.float32)]}, old=False)[:-3], "a field of"),
        (field(100, field(1, b"a") + field(7, field(7, field(1, varint(3))) + field(5, b"\0" * 8))), "a blob of shape (3,)"),
        (b"\xff" * 12, "a number has no end"),
    ],
)  # fmt: skip
def test_caffemodels_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(content)
    with pytest.raises(NlcliError, match=re.escape(message)):
        read_caffe(tmp_path / "net.caffemodel")


def test_pickled_arrays_in_an_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", **{"conv1/0": np.array([{"a": 1}], object)})
    with pytest.raises(NlcliError, match="save plain arrays with numpy.savez"):
        read_caffe(tmp_path / "net.npz")
    np.savez(tmp_path / "net.npz", conv1=np.ones(3))
    with pytest.raises(NlcliError, match="array 'conv1' is not named LAYER/0"):
        read_caffe(tmp_path / "net.npz")


# --- PyTorch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "before 1.6"])
def test_what_torch_saved(legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = few()
    assert same(read_tensors(write_torch(tmp_path / "w.pth", arrays, monkeypatch, legacy)), arrays)


def test_a_state_in_a_dictionary_of_a_parallel_network(tmp_path: Path) -> None:
    arrays = {f"module.{name}": array for name, array in few().items()}
    assert same(read_tensors(write_safetensors(tmp_path / "w.safetensors", few())), few())
    with pytest.MonkeyPatch.context() as patch:
        path = write_torch(tmp_path / "w.pth", arrays, patch)
    assert same(read_tensors(path), few())


class Runs:
    """A pickle of it calls a function when it is read."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.where),)


@pytest.mark.parametrize("how", ["archive", "plain"])
def test_a_pickle_that_would_run_code_is_refused_before_it_does(how: str, tmp_path: Path) -> None:
    hostile = pickle.dumps({"state_dict": {"a": Runs(tmp_path / "ran")}}, protocol=2)
    path = tmp_path / "w.pth"
    if how == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", hostile)
    else:
        numbers = (0x1950A86A20F9469CFC6C, 1001, {})
        path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in numbers) + hostile)
    with pytest.raises(NlcliError, match=r"holds more than tensors \(it asks for posix.mkdir\), which could run code"):
        read_tensors(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("asked", ["torch\nload", "torch._utils\n_rebuild_tensor_v2.__globals__", "builtins\neval", "torch\nFloatStorage.__class__"])  # fmt: skip
def test_no_other_name_is_known(asked: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02c" + asked.encode() + b"\n.")
    with pytest.raises(NlcliError, match="holds more than tensors"):
        read_tensors(tmp_path / "w.pth")


def test_a_tensor_that_claims_more_than_its_storage_is_refused(tmp_path: Path) -> None:
    arrays = {"a": np.ones(4, np.float32)}
    with pytest.MonkeyPatch.context() as patch:
        path = write_torch(tmp_path / "w.pth", arrays, patch)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    # Its shape (4,), stride (1,): as (2 ** 31 - 1,) with stride 0 it would take 8 GiB.
    larger = parts["archive/data.pkl"].replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85", 1)
    assert larger != parts["archive/data.pkl"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {"archive/data.pkl": larger}).items():
            archive.writestr(name, content)
    with pytest.raises(NlcliError, match="a tensor that lies outside its storage"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_that_are_cut_short_or_something_else(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    whole = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        write_torch(whole, few(), monkeypatch, legacy=True)
    else:
        write_safetensors(whole, few())
    content = whole.read_bytes()
    for cut in (0, 5, 40, len(content) // 2, len(content) - 3):
        whole.write_bytes(content[:cut])
        with pytest.raises(NlcliError, match="is not a file of tensors, or is damaged"):
            read_tensors(whole)
