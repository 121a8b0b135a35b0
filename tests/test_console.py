"""What is printed for programs and people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nlcli.console import print_json


def test_json_is_what_every_program_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinity are no JSON; a number of NumPy is a number, not its text."""
    print_json(
        {
            "nan": float("nan"),
            "ends": (-np.inf, np.float32(0.5)),
            "count": np.int64(3),
            "counts": np.array([[1, 2], [3, 4]]),
            "rates": np.array([0.25, np.nan]),
            "there": np.bool_(True),
            "output": Path("runs/mine"),
            "name": "a\ud800b\x1b",
            5: None,
        }
    )
    printed = capsys.readouterr().out
    assert json.loads(printed, parse_constant=pytest.fail) == {
        "nan": None,
        "ends": [None, 0.5],
        "count": 3,
        "counts": [[1, 2], [3, 4]],
        "rates": [0.25, None],
        "there": True,
        "output": "runs/mine",
        "name": "a\ud800b\x1b",
        "5": None,
    }
    assert "\x1b" not in printed
