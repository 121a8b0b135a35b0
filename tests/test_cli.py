"""The command line: light start, help for everything, sentences and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nlcli.cli import app, main
from nlcli.registry import load
from nlcli.stages.commands import STAGES, commands
from nlcli.stages.config import options_of
from tools.command_pages import every_command
from tools.make_cli_reference import TARGET, reference
from worlds.folders import touch
from worlds.made_evaluations import made_evaluation, made_run
from worlds.stage_builders import published, small_table, verified_table

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "matplotlib", "pyarrow", "scipy", "pydantic", "numpy", "h5py")


def nlcli(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["nlcli", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    output = capsys.readouterr()
    return int(stopped.value.code or 0), output.out, output.err


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['nlcli', '--help']\n"
        "from nlcli.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "build-coco" in output
    assert output.strip().endswith("loaded: []")


def test_module_and_version() -> None:
    output = subprocess.run([sys.executable, "-m", "nlcli", "--version"], capture_output=True, text=True, check=True)
    assert output.stdout.startswith("nlcli ")


@pytest.mark.parametrize("name", list(every_command()))
def test_every_command_has_help_with_an_example_and_described_options(name: str) -> None:
    output = CliRunner().invoke(app, [name, "--help"], terminal_width=100).stdout
    assert "Example: nlcli " in " ".join(output.split())
    command = commands().get(name)
    if command is not None:
        options = options_of(command.config_class())
        assert all(option.help.endswith((".", ")", "?")) for option in options.values())
        assert all(f" {option.panel} " in output for option in options.values())
        assert load(command.function).__doc__


def test_the_reference_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == reference(), "run: make docs"


def test_info_tells_what_a_directory_is(tmp_path: Path, monkeypatch, capsys) -> None:
    published(small_table(), tmp_path / "data")
    code, out, _ = nlcli("info", str(tmp_path / "data"), monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert "dataset, images with noisy and verified labels" in out
    code, out, _ = nlcli("info", str(tmp_path / "data"), "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert json.loads(out)["summary"] == {"images": 4}
    code, out, _ = nlcli("info", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)  # of a folder, what is in it
    assert code == 0
    assert out.splitlines()[0] == f"{tmp_path}: 1 directories made by nlcli; nlcli info tells more of each"
    assert out.splitlines()[1].split(maxsplit=1) == ["data", "dataset, images with noisy and verified labels"]
    code, out, _ = nlcli("info", str(tmp_path), "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert [one["stage"] for one in json.loads(out)["holds"]] == ["dataset"]
    (tmp_path / "mine.yaml").write_text("stages: []")
    code, _, err = nlcli("run", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
    assert (code, err.strip().endswith(f"name a pipeline file, such as {tmp_path / 'mine.yaml'}")) == (1, True)
    code, _, err = nlcli("run", str(tmp_path / "mine"), monkeypatch=monkeypatch, capsys=capsys)
    assert (code, err.strip().endswith(f"did you mean {tmp_path / 'mine.yaml'}?")) == (1, True)


def test_what_comes_next_is_told_and_its_options_exist(tmp_path: Path, monkeypatch, capsys) -> None:
    stages = [stage for stage in STAGES.values() if stage.then is not None]
    assert {"build-folders", "extract-features", "train-head", "detect-noise"} <= {stage.name for stage in stages}
    for stage in stages:
        program, name, *words = str(stage.then).split()
        flags = {flag for field, one in options_of(STAGES[name].config_class()).items() for flag in one.flags(field)}
        assert program == "nlcli"
        assert {word for word in words if word.startswith("--")} <= flags, stage.name
        given = set(re.findall(r"{(\w+)}", str(stage.then))) - {"output"}
        assert given <= set(stage.config_class().model_fields), stage.name
    touch(tmp_path / "my photos", *(f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(9)))
    made = tmp_path / "my data"
    words = ["build-folders", "--images", str(tmp_path / "my photos"), "--output", str(made)]
    code, _, err = nlcli(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert err.splitlines()[-1] == f"next: nlcli extract-features --dataset '{made}' --output FEATURES"
    code, out, err = nlcli(*words, "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert json.loads(out)["output"] == str(made)
    assert "next:" not in err


def test_json_of_stages_holds_what_their_tables_tell(tmp_path: Path, monkeypatch, capsys) -> None:
    """The record that the tables are made of stands under ``details``; a class without images has no NaN."""

    def printed(*words: str) -> dict[str, Any]:
        code, out, err = nlcli(*words, "--json", monkeypatch=monkeypatch, capsys=capsys)
        assert code == 0, err
        told = json.loads(out, parse_constant=pytest.fail)
        assert isinstance(told, dict)
        return told

    touch(tmp_path / "photos", *(f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(9)))
    data, noisy = tmp_path / "data", tmp_path / "noisy"
    told = printed("build-folders", "--images", str(tmp_path / "photos"), "--verified", "train", "--output", str(data))
    assert {row["class"]: row["noisy"] for row in told["details"]["classes"]} == {"cat": 9, "dog": 9}
    told = printed("add-noise", "--dataset", str(data), "--rate", "0.3", "--output", str(noisy))
    assert told["details"] == json.loads((noisy / "statistics.json").read_text())

    table = verified_table(40, 3, splits=(10, 20))
    dataset, rng, paths = published(table, tmp_path / "tags"), np.random.default_rng(0), []
    for name in ("one", "two"):
        run, scores = made_run(tmp_path / name, []), rng.random((20, 3)).astype(np.float32)
        place = tmp_path / f"{name}-test"
        paths.append(str(made_evaluation(place, table, dataset, run, scores, name=name, resamples=20)))
    rows = ["--row", f"A={paths[0]}", "--row", f"B={paths[1]}"]
    for words, file in (
        (["compare", *paths, "--bootstrap", "20"], "comparison.json"),
        (["analyse", *paths], "analysis.json"),
        (["table", *rows], "table.json"),
    ):
        told = printed(*words, "--output", str(tmp_path / words[0]))
        record = json.loads((tmp_path / words[0] / file).read_text(), parse_constant=lambda _: None)
        assert told["details"] == record


def test_every_stage_with_tables_says_which_record_they_are_made_of() -> None:
    assert {stage.name for stage in STAGES.values() if stage.show is not None and stage.shown is None} == {"report"}


def test_nothing_in_a_folder_was_made_by_nlcli(tmp_path: Path, monkeypatch, capsys) -> None:
    code, _, err = nlcli("info", str(tmp_path), monkeypatch=monkeypatch, capsys=capsys)
    assert (code, "and no folder in it was" in err) == (1, True)


def test_help_begins_with_the_one_command_and_lists_stages_by_what_they_are_for(monkeypatch, capsys) -> None:
    code, out, _ = nlcli("--help", monkeypatch=monkeypatch, capsys=capsys)
    places = [
        out.index(words) for words in ("nlcli clean photos", " Use ", " Data sets ", " Wrong labels ", " Results ")
    ]
    assert code == 0
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["info", "/nowhere"], 1, "nlcli: /nowhere does not exist"),
        (["run", "/nowhere.yaml"], 1, "nlcli: cannot read pipeline /nowhere.yaml"),
        (["methods", "residuall"], 1, "did you mean 'residual'"),
        (["trainhead"], 2, "Did you mean 'train-head'"),
        (["train-head", "--method", "x"], 2, "Missing option"),
        (["train-head", "--dataset", "d", "--features", "f", "-o", "o", "--set", "alpha"], 1, "expected NAME=VALUE"),
        (
            ["train-head", "--dataset", "d", "--features", "f", "-o", "o", "--clean-fraction", "5"],
            1,
            "'clean_fraction'",
        ),
        (
            ["train-head", "--dataset", "/nowhere", "--features", "f", "-o", "o"],
            1,
            "/nowhere does not exist; expected a dataset",
        ),
        (["eval", "/a", "/b", "-o", "x"], 1, "--output names one directory"),
    ],
)
def test_mistakes_are_sentences_with_the_right_exit_code(arguments, code, words, monkeypatch, capsys) -> None:
    ended, out, err = nlcli(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert (ended, out) == (code, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_says_that_the_same_command_continues(tmp_path: Path, jobs: int) -> None:
    """The whole process group gets it, as from a terminal; no worker adds a traceback."""
    (tmp_path / "p.yaml").write_text(
        "stages:\n  - {name: 'd-{seed}', run: build-digits, each: {seed: [0, 1]},"
        " with: {seed: '{seed}', train_images: 100000, size: 500}}\n"
    )
    command = [sys.executable, "-m", "nlcli", "run", "p.yaml", "--workdir", "w", "--jobs", str(jobs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("w/d-*.partial"))) < jobs and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "nlcli: stopped; the same command continues where it was"
    assert "Traceback" not in errors


def test_an_interrupt_that_is_dropped_comes_again(tmp_path: Path) -> None:
    """As compiled code drops one of what it calls: the program goes on, and ends seconds later all the same."""
    (tmp_path / "drops.py").write_text(
        "import signal, time\n"
        "from nlcli import __main__, cli, interrupts\n"
        "interrupts.AGAIN_SECONDS = 0.2\n"
        "def run():\n"
        "    dropped = 0\n"
        "    while dropped < 2:\n"
        "        try:\n"
        "            print(dropped, flush=True)\n"
        "            time.sleep(600)\n"
        "        except KeyboardInterrupt:\n"
        "            dropped += 1\n"
        "    time.sleep(600)\n"
        "cli._run_command = run\n"
        "__main__.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "drops.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "1\n")
    assert errors == "nlcli: stopped; the same command continues where it was\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(27, "File too large", "big.npy"), "nlcli: big.npy: File too large"),
        (OSError("no number"), "nlcli: no number"),
        (MemoryError(), "nlcli: there is not enough memory"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(error: BaseException, words: str, monkeypatch, capsys) -> None:
    def refuse(path: Path) -> None:
        raise error

    monkeypatch.setattr("nlcli.stages.lineage.describe_path", refuse)
    code, out, err = nlcli("info", "x", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, out) == (1, "")
    assert err.startswith(words)


def test_closed_and_full_outputs_and_a_removed_working_directory(tmp_path: Path) -> None:
    def shell(line: str) -> subprocess.CompletedProcess[str]:
        line = line.replace("nlcli", f"{sys.executable} -m nlcli")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, check=False, env=env)

    assert shell("nlcli --version >&-").returncode == 0
    assert shell("nlcli --version >&- 2>&-").returncode == 0
    if Path("/dev/full").exists():
        full = shell("nlcli --version > /dev/full")
        assert (full.returncode, full.stderr) == (
            1,
            "nlcli: cannot write to standard output: No space left on device\n",
        )
    gone = shell("mkdir gone; cd gone; rmdir ../gone; nlcli build-digits --output x")
    assert gone.returncode == 1
    assert "the working directory was removed; change into another one (cd)" in gone.stderr


@pytest.mark.parametrize("module", ["nlcli.cli", "typer"])
def test_an_interrupt_while_the_program_is_read_is_a_sentence(module: str, tmp_path: Path) -> None:
    """The moment of the import is hit by a module in its place that sends the signal itself."""
    place = tmp_path / "sitecustomize.py"
    place.write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "nlcli", "methods"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr) == (130, "nlcli: stopped; the same command continues where it was\n")


WITH_A_WORKER = """
import concurrent.futures, multiprocessing, time
from nlcli import cli

def interrupted():
    raise KeyboardInterrupt

pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
pool.submit(time.sleep, 3600)
cli.app = interrupted
cli.main()
"""


def test_an_interrupt_of_the_first_process_alone_ends_its_workers() -> None:
    """As ``kill -INT`` sends it; the keys Ctrl-C reach all processes."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_WORKER], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )
    assert (done.returncode, done.stderr) == (130, "nlcli: stopped; the same command continues where it was\n")
