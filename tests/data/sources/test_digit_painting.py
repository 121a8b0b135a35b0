"""Masks and outlines of digits and shapes."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.data.sources.digit_painting import digit_mask, glyphs, outlines, shoelace


def test_outlines_of_a_square_with_a_hole_by_hand() -> None:
    mask = np.zeros((12, 12), bool)
    mask[2:8, 3:9] = True
    mask[4:6, 5:7] = False
    (points,) = outlines(mask)  # the hole is filled
    # the contour runs half a pixel outside of the pixels' centres and cuts the corners
    assert shoelace(points) == pytest.approx(36 - 4 * 0.125)
    assert points.min(axis=0).tolist() == [3, 2]
    assert points.max(axis=0).tolist() == [9, 8]
    assert outlines(np.zeros((4, 4), bool)) == []


def test_thin_strokes_cover_less_than_bold_ones() -> None:
    images, _ = glyphs()
    area = {
        weight: sum(digit_mask(images[n], 48, weight, np.random.default_rng(n)).sum() for n in range(40))
        for weight in ("thin", "bold")
    }
    assert area["bold"] / area["thin"] == pytest.approx(1.694, abs=0.001)
