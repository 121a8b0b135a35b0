"""A small part of the campaign against the program (``make torture``): every promise holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nlcli.stages.commands import StageCommand
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


def test_every_kind_of_stage_is_killed_or_named() -> None:
    from nlcli.stages.commands import commands
    from nlcli.stages.pipeline import read_pipeline

    files = (ROOT / "torture/every_stage.yaml", ROOT / "pipelines/demo.yaml", ROOT / "pipelines/demo_single_label.yaml")
    killed = {step.stage.name for file in files for step in read_pipeline(file).steps}
    stages = {name for name, command in commands().items() if isinstance(command, StageCommand)}
    from_outside = {"import-features", "import-verification", "import-weights", "build-tags"}
    of_papers = {"build-clothing1m", "build-food101n", "build-webvision", "build-openimages"}
    assert stages - killed == {*from_outside, *of_papers, "tune"}
