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


def test_the_first_operation_imports_keras_and_the_second_is_keras_own() -> None:
    program = """
import sys
from nlcli.methods.base.keras_ops import ops

assert "keras" not in sys.modules
assert float(ops.sigmoid(0.0)) == 0.5
import keras

assert ops.sigmoid is keras.ops.sigmoid
assert vars(ops)["sigmoid"] is keras.ops.sigmoid  # kept: no look-up of ours in the way
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
