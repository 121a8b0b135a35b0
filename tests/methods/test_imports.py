"""What importing methods costs: everything about them is known without Keras and TensorFlow."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from nlcli.methods import METHODS, configure, get_method

METHODS.listing()
for name in METHODS:
    configure(name)
    METHODS.describe(name)
import nlcli.methods.base.method, nlcli.methods.base.losses
loaded = {"keras", "tensorflow"} & set(sys.modules)
assert not loaded, loaded
"""


def test_methods_are_listed_described_and_configured_without_keras() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_an_operation_is_numpys_on_arrays_and_keras_own_elsewhere() -> None:
    program = """
import sys
import numpy as np
from nlcli.methods.base.keras_ops import ops

there = np.array([[0.0, 3.0]], np.float32)
assert isinstance(ops.sigmoid(there), np.ndarray)
assert isinstance(ops.concatenate([there, there], axis=-1), np.ndarray)
assert isinstance(ops.clip(there, 0.0, 1.0), np.ndarray)
assert ops.softmax(there, axis=-1).dtype == np.float32
assert float(ops.maximum(ops.sum(there), 4.0)) == 4.0
assert ops.one_hot(ops.argmax(there, axis=-1), 3, dtype=there.dtype).tolist() == [[0.0, 1.0, 0.0]]
assert "keras" not in sys.modules
assert float(ops.softplus(0.0)) > 0.69
import keras

assert ops.softplus is keras.ops.softplus
assert vars(ops)["softplus"] is keras.ops.softplus  # kept: no look-up of ours in the way
assert keras.ops.is_tensor(ops.sigmoid(keras.ops.convert_to_tensor(there)))
assert keras.ops.is_tensor(ops.concatenate([there, keras.ops.convert_to_tensor(there)]))
assert float(ops.sigmoid(0.0)) == 0.5
try:
    ops.sigmoidal
except AttributeError:
    pass
else:
    raise AssertionError("an operation that does not exist")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_an_author_needs_comes_from_one_place() -> None:
    program = """
import sys
from nlcli.methods import Batch, LinearLayer, LinearMethod, Method, MethodConfig, Phase, Problem, Tensor, losses, ops
from nlcli.methods.base.method import Method as original

assert Method is original
assert losses.binary_cross_entropy
assert "keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
