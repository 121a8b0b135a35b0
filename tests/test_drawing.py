"""Photographs in a grid: where they come to lie, in which shape, and that plots need no matplotlib for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.drawing import Photograph, photograph_grid

RED, BLUE = (200, 30, 30), (30, 30, 200)
SIDE, GAP, LINE = 312, 30, 23
"""Pixels: 2.6, 0.25 and 0.19 inches of 120 each."""


def flat(color: tuple[int, int, int], width: int, height: int) -> Photograph:
    return Photograph(np.full((5, 7, 3), color, np.uint8), width, height)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("grid") / "grid.png"
    cells: list[tuple[Photograph | None, list[tuple[str, str]]]] = [
        (flat(RED, 200, 100), [("a", "0.1"), ("$x_", "#2b6c8f")]),
        (None, [("b", "0.1")]),
        (flat(BLUE, 40, 80), [("c", "0.1")]),
    ]
    photograph_grid(cells, path, columns=2)
    with Image.open(path) as image:
        return np.asarray(image)


def test_photographs_stand_in_their_shape_at_the_bottom_of_their_cells(picture: np.ndarray) -> None:
    first_row = SIDE + 3 * LINE  # two lines and one of space
    assert picture.shape == (first_row + SIDE + 2 * LINE + GAP, 2 * SIDE + 3 * GAP, 3)
    assert np.argwhere((picture == RED).all(axis=2)).tolist()[0] == [GAP + SIDE // 2, GAP]
    red, blue = ((picture == color).all(axis=2) for color in (RED, BLUE))
    assert (red.sum(), blue.sum()) == (SIDE * SIDE // 2, SIDE * SIDE // 2)
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max() + 1) == (GAP + first_row, GAP + first_row + SIDE)
    assert (columns.min(), columns.max() + 1) == (GAP, GAP + SIDE // 2)


def test_lines_stand_below_and_what_cannot_be_read_says_so(picture: np.ndarray) -> None:
    below = picture[GAP + SIDE : GAP + SIDE + 2 * LINE, GAP : GAP + SIDE].astype(int)
    assert below[:LINE].min() == round(255 * 0.1)  # a stroke's middle has the line's colour
    assert (below[LINE:] == (0x2B, 0x6C, 0x8F)).all(axis=2).any()
    unread = picture[GAP : GAP + SIDE, 2 * GAP + SIDE : 2 * (GAP + SIDE)]
    assert (unread[0, 0] == 225).all()
    assert unread.min() < 120


def test_photographs_need_no_matplotlib(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from nlcli.drawing import photograph_grid; "
        "photograph_grid([(None, [('a', '0.3')])], Path(sys.argv[1])); assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], check=True)
