"""The linear layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.errors import NlcliError
from nlcli.networks.linear_layer import LinearLayer


@pytest.fixture
def layer() -> LinearLayer:
    kernel = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    return LinearLayer(kernel, np.array([0.5, -0.5, 0.25], np.float32), ("cat", "dog", "=cow"))


def test_logits_by_hand(layer: LinearLayer) -> None:
    logits = layer.logits(np.array([[1, 0], [2, -1]], np.float32))
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, [[1.5, 1.5, 3.25], [-1.5, -1.5, 0.25]])


def test_columns_follow_the_classes(layer: LinearLayer) -> None:
    part = layer.for_classes(("=cow", "cat"))
    np.testing.assert_array_equal(part.kernel, [[3, 1], [6, 4]])
    np.testing.assert_array_equal(part.bias, [0.25, 0.5])
    assert part.classes == ("=cow", "cat")


def test_a_class_that_is_lacking(layer: LinearLayer) -> None:
    assert layer.lacking(("dog", "cat")) is None
    assert layer.lacking(("dog", "ox", "ass")) == "ox"
    with pytest.raises(NlcliError, match="the last layer has no class 'ox'; use one that was trained"):
        layer.for_classes(("dog", "ox"))
    assert LinearLayer(layer.kernel, layer.bias).lacking(("cat",)) == "cat"


def test_zeros() -> None:
    zeros = LinearLayer.zeros(4, ["a", "b"])
    assert (zeros.kernel.shape, zeros.kernel.dtype, zeros.classes) == ((4, 2), np.float32, ("a", "b"))
    assert not zeros.kernel.any()
    np.testing.assert_array_equal(zeros.bias, np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("kernel", "bias", "classes"),
    [((2, 3), 2, None), ((2, 3), 3, ("a", "b")), ((2, 3), 2, ("a", "b", "c")), ((6,), 3, None)],
)
def test_arrays_that_do_not_fit(kernel: tuple[int, ...], bias: int, classes: tuple[str, ...] | None) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        LinearLayer(np.zeros(kernel, np.float32), np.zeros(bias, np.float32), classes)


def test_saved_and_loaded(layer: LinearLayer, tmp_path: Path) -> None:
    layer.save(tmp_path / "layer.npz")
    loaded = LinearLayer.load(tmp_path / "layer.npz", 2, "make it again")
    np.testing.assert_array_equal(loaded.kernel, layer.kernel)
    np.testing.assert_array_equal(loaded.bias, layer.bias)
    assert loaded.classes == layer.classes
    with pytest.raises(NlcliError, match=r"layer\.npz is for 2 features, not for these 3; make it again"):
        LinearLayer.load(tmp_path / "layer.npz", 3, "make it again")


@pytest.mark.parametrize("damage", ["missing", "no archive", "cut short", "other arrays", "nameless", "pickle"])
def test_a_damaged_file(layer: LinearLayer, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "layer.npz"
    layer.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "no archive":
        path.write_bytes(b"kernel")
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "other arrays":
        np.savez(path, kernel=np.zeros((2, 3)), bias=np.zeros(2), classes=np.array(["a", "b", "c"]))
    elif damage == "nameless":
        LinearLayer(layer.kernel, layer.bias).save(path)
    else:
        np.savez(path, kernel=layer.kernel, bias=layer.bias, classes=np.array([{}], object))
    with pytest.raises(NlcliError, match=r"layer\.npz.*; make it again$"):
        LinearLayer.load(path, 2, "make it again")
