"""How values are written: each text is spelt out here."""

from __future__ import annotations

import pytest

from nlcli.metrics.formats import ends_text, value_text


def test_a_value_with_all_that_is_known_of_it():
    assert value_text(0.25, 0.0126, (0.2, 0.3)) == "0.250 ± 0.013 [0.200, 0.300]"
    assert value_text(0.25, 0.0126, (0.2, 0.3), style=".1f", scale=100) == "25.0 ± 1.3 [20.0, 30.0]"


def test_what_is_not_known_is_left_out():
    assert value_text(0.25) == "0.250"
    assert value_text(0.25, None, (0.2, None)) == "0.250"
    assert value_text(None, 0.1, (0.2, 0.3)) == "-"
    assert value_text(None, unknown="") == ""


def test_a_spread_has_no_sign():
    assert value_text(-0.01, 0.02, (-0.03, 0.01), style="+.2f") == "-0.01 ± 0.02 [-0.03, +0.01]"


@pytest.mark.parametrize("ends", [None, (None, 0.5), (0.5, None)])
def test_an_interval_without_an_end_is_none(ends):
    assert ends_text(ends, ".3f") == ""
