"""A small part of the campaign against the program (``make torture``): every promise holds."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nlcli.stages.commands import StageCommand
from torture import _stages, kills, together
from torture.__main__ import parts
from torture._running import started
from torture._world import content, difference

ROOT = Path(__file__).parents[1]
QUICK = ("events", "places", "together", "hostile", "fuzz")


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


def test_the_small_single_label_demo_has_every_stage_of_one_seed(tmp_path: Path) -> None:
    from nlcli.stages.pipeline import read_pipeline

    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(kills.small_single_label()))
    whole = {step.name: step.stage.name for step in read_pipeline(ROOT / "pipelines/demo_single_label.yaml").steps}
    one_seed = {name: stage for name, stage in whole.items() if not name.endswith(("-1", "-2"))}
    assert {step.name: step.stage.name for step in read_pipeline(small).steps} == one_seed
    assert len(one_seed) == 57


def test_two_of_every_kind_of_stage_are_started_or_named() -> None:
    from nlcli.stages.commands import commands

    stages = {name for name, command in commands().items() if isinstance(command, StageCommand)}
    of_papers = {"build-clothing1m", "build-food101n", "build-webvision", "build-openimages"}
    assert stages - {command[0] for command in _stages.COMMANDS} == {*of_papers, "import-weights"}


def test_stages_that_are_asked_for_come_with_what_they_read() -> None:
    commands = (("a", "--output", "x"), ("b", "--output", "y"), ("c", "x/z", "--output", "v"), ("d", "--output", "w"))
    chosen = [(command[0], asked) for command, asked in together.needed(commands, ("c",))]
    assert chosen == [("a", False), ("c", True)]
    assert [asked for _, asked in together.needed(commands, ("",))] == [True] * 4


def test_names_that_a_disk_takes_for_one() -> None:
    assert _stages.taken_for_one(["a/b", "a/c", "A/d"]) == []
    assert _stages.taken_for_one(["a/b", "A/b", "caf\u00e9", "Cafe\u0301", "c"]) == ["a/b", "caf\u00e9"]


# --- the campaign itself ---------------------------------------------------------------------


def test_moments_of_kills_are_in_the_start_or_spread_over_the_work() -> None:
    draw = random.Random(0)
    moments = [kills.moment(draw, start=10, work=60) for _ in range(20_000)]
    early = [at for at in moments if at < 10]
    assert len(early) / len(moments) == pytest.approx(kills.IN_THE_START, abs=0.01)
    assert sum(early) / len(early) == pytest.approx(5, abs=0.2)
    late = [at - 10 for at in moments if at >= 10]
    assert sum(late) / len(late) == pytest.approx(60 / kills.A_RUN, rel=0.03)


def test_what_is_killed_has_all_kills_and_tells_what_it_makes() -> None:
    works = kills.works()
    assert sum(work.part for work in works) == pytest.approx(1)
    made = ["work", "work", "work", "work-scale-0.02-limit-240", "cleaned", "work-scale-0.01"]
    assert [str(work.makes) for work in works] == made
    assert [work.jobs for work in works] == [1, 2, 2, 1, 1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="a session's use of the processors is told by /proc")
def test_a_command_is_watched_by_what_it_uses(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    command = started(["info", "nothing"], folder)
    command.wait(120)
    assert command.code == 1
    assert command.seconds > 0
    assert "nothing" in command.errors()
    command = started(["build-digits", "--output", "digits"], folder)
    assert not command.ends(0.05)
    command.send(signal.SIGKILL, everyone=True)
    command.wait(120)
    assert command.code == -signal.SIGKILL
    assert command.orphans_end()


def test_results_are_compared_by_what_lasts(tmp_path: Path) -> None:
    for name, seconds, value in (("one", 1, 2), ("other", 9, 2), ("third", 1, 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stage.json").write_text(f'{{"seconds": {seconds}, "value": {value}}}')
        (tmp_path / name / "rows.csv").write_text("a\\n")
    one, other, third = (content(tmp_path / name) for name in ("one", "other", "third"))
    assert difference(one, other) is None
    assert difference(one, third) == "stage.json differs"
    assert difference(one, {**third, "more.csv": b""}) == "more.csv is only in one of the two, and 1 more do"
