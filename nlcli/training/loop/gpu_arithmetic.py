"""How a GPU computes while something is trained on it; a processor computes as always."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism  # enabling it alone is public

from nlcli.networks.backbone import gpus


@contextmanager
def gpu_arithmetic(*, repeatable: bool, tensor_float_32: bool) -> Iterator[None]:
    """What GPUs do within; outside, kernels may be those that do not repeat, and float32 is float32.

    Args:
        repeatable: Kernels whose results are the same every time. Some others add up in whatever order their threads
            finish. XLA has no such kernel for the gradient of max pooling and refuses it, so that nothing it compiles
            can ask for them.
        tensor_float_32: float32 convolutions and products round what they multiply to 10 bits after the point, on
            cards that are faster so (TensorFlow's default, which ``quiet_tensorflow`` turns off).
    """
    if not gpus():
        yield
        return
    if repeatable:
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(tensor_float_32)
    try:
        yield
    finally:
        disable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(False)
