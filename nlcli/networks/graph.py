"""Functions of tensors as graphs of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def as_graph(function: Callable[..., Any], **options: Any) -> Any:
    """``tf.function`` of code that is traced as it stands; ``options`` are those of ``tf.function``.

    By itself it rewrites the source of every function on the way first, so that conditions and loops of Python may ask
    tensors: that is half of the time until a head's first step. Ours ask none, and one that did would be refused with
    TensorFlow's sentence on it, which names ``tf.cond`` (in methods ``keras.ops.cond`` and ``where``).
    """
    import tensorflow as tf

    return tf.function(function, autograph=False, **options)
