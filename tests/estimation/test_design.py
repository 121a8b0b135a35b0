"""Chosen rows of blocks: which they are, and how often they are read."""

import numpy as np
import pytest

from nlcli.estimation import design
from nlcli.estimation.design import ChosenBlocks


class Counted:
    """Rows in blocks of three, in memory that is used again, as of features that are read."""

    def __init__(self, rows):
        self.rows, self.shape, self.passes = rows, rows.shape, 0

    def blocks(self):
        self.passes += 1
        buffer = np.empty((3, self.shape[1]), np.float32)
        for first in range(0, len(self.rows), 3):
            part = buffer[: len(self.rows[first : first + 3])]
            part[:] = self.rows[first : first + 3]
            yield first, part


@pytest.mark.parametrize(("held", "passes"), [(10, 1), (9, 3)])
def test_chosen_rows_are_the_same_held_or_copied_again(held, passes, monkeypatch):
    monkeypatch.setattr(design, "HELD", held)
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    counted = Counted(rows)
    chosen = ChosenBlocks(counted, np.array([1, 0, 1, 0, 0, 0, 1, 1], bool) | (np.arange(8) == 4))
    assert chosen.shape == (5, 2)
    for _ in range(3):
        given = [(first, part.tolist()) for first, part in chosen.blocks()]
        assert given == [(0, rows[[0, 2]].tolist()), (2, rows[[4]].tolist()), (3, rows[[6, 7]].tolist())]
    assert counted.passes == passes


def test_rows_that_nobody_saw_to_their_end_are_not_held():
    counted = Counted(np.arange(16, dtype=np.float32).reshape(8, 2))
    chosen = ChosenBlocks(counted, np.ones(8, bool))
    assert next(chosen.blocks())[0] == 0
    assert sum(len(part) for _, part in chosen.blocks()) == 8
