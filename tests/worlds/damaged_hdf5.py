"""HDF5 over which the library itself never ends."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def write_texts(path: Path) -> Path:
    """Vectors of two images with their names as texts of any length."""
    with h5py.File(path, "w") as file:
        file.create_dataset("deeper/keys", data=["a.jpg", "b.jpg"], dtype=h5py.string_dtype())
        file.create_dataset("vectors", data=np.ones((2, 3), np.float32))
    return path


def write_an_attribute(path: Path) -> Path:
    """An array of which an attribute is a text, as Keras writes weights."""
    with h5py.File(path, "w") as file:
        file.create_dataset("kernel", data=np.ones((2, 3), np.float32)).attrs["name"] = "a text"
    return path


def endless(path: Path) -> Path:
    """The first text of the file at ``path`` made a free object of size 0, which the library skips for ever.

    The format's specification: a heap begins with GCOL, a version and its size (16 bytes), then objects: index 0
    (2 bytes, free space), references (2), nothing (4), size (8).
    """
    data = bytearray(path.read_bytes())
    first = data.index(b"GCOL") + 16
    data[first : first + 2] = bytes(2)
    data[first + 8 : first + 16] = bytes(8)
    path.write_bytes(data)
    return path
