"""Graphs of tensors, traced as their code stands."""

from __future__ import annotations

import pytest
import tensorflow as tf

from nlcli.networks.graph import as_graph


def test_it_computes_what_the_function_does_and_takes_options():
    doubled = as_graph(lambda x: 2 * x, input_signature=[tf.TensorSpec((None,), tf.float32)])
    assert doubled(tf.constant([1.5, -2.0])).numpy().tolist() == [3.0, -4.0]
    with pytest.raises(TypeError):
        doubled(tf.constant([[1.0]]))


def test_its_source_is_not_rewritten():
    seen = []

    def function(x):
        seen.append(function.__code__.co_filename)
        return helper(x)

    def helper(x):
        import sys

        seen.append(sys._getframe().f_code.co_filename)
        return x + 1

    as_graph(function)(tf.constant(1.0))
    assert seen == [__file__, __file__]


def test_a_condition_on_a_tensor_is_refused():
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError, match="bool"):
        as_graph(lambda x: 1 if x > 0 else 0)(tf.constant(1.0))
