"""A small part of the campaign against the program (``make torture``): every promise holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from torture.__main__ import parts

ROOT = Path(__file__).parents[1]
QUICK = ("events", "places", "hostile", "fuzz")


def test_every_part_is_tried_here_or_named() -> None:
    assert set(parts()) == {*QUICK, "kills"}  # a demo takes too long to be killed here


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="limits and audit events as on Linux")
@pytest.mark.parametrize("part", QUICK)
def test_what_is_promised_holds(part: str) -> None:
    """In a process of its own: children are forked, which one with TensorFlow in it does not survive."""
    command = [sys.executable, "-m", "torture", part, "--quick"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    attacks, broken = re.search(r"^([\d,]+) attacks, (\d+) promises broken$", done.stdout, re.MULTILINE).groups()
    assert int(attacks.replace(",", "")) > 10
    assert broken == "0"
