"""The package as a Python user and a Python user's tools see it."""

from __future__ import annotations

import builtins
import inspect
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import nlcli
from nlcli.errors import NlcliError
from nlcli.interface import OBJECTS, names
from nlcli.registry import load
from nlcli.stages.commands import STAGES, StageCommand, commands
from tools.make_python_stub import TARGET, stub
from worlds.stage_builders import MakeConfig, published, small_table

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "interface" / "every_function.py"
MISTAKES = ROOT / "tests" / "interface" / "mistakes.py"
HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "matplotlib", "pyarrow", "scipy", "pydantic", "numpy", "h5py")


def test_the_stub_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == stub(), "run: make docs"


def test_import_is_light() -> None:
    program = f"import sys, nlcli; dir(nlcli); print([name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("name", names())
def test_what_is_offered_is_there_and_always_the_same_object(name: str) -> None:
    thing = getattr(nlcli, name)
    assert thing is getattr(nlcli, name)
    assert thing.__doc__
    assert thing is pickle.loads(pickle.dumps(thing))
    assert name in dir(nlcli)


@pytest.mark.parametrize("command", commands().values(), ids=lambda command: command.name)
def test_signatures_and_docstrings_are_those_of_the_options(command) -> None:
    function = getattr(nlcli, command.python_name)
    signature = inspect.signature(function)
    fields = command.config_class().model_fields
    force = ["force"] if isinstance(command, StageCommand) else []
    assert list(signature.parameters) == [*fields, *force]
    for name, field in fields.items():
        parameter = signature.parameters[name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert (parameter.default is inspect.Parameter.empty) == field.is_required()
        assert f"\n    {name}: " in function.__doc__
    assert inspect.signature(load(command.function)).return_annotation == command.returns
    assert signature.return_annotation == get_type_hints(function)["return"]
    assert (function.__module__, function.__qualname__) == ("nlcli", command.python_name)


def test_a_star_import_replaces_no_builtin() -> None:
    assert not set(nlcli.__all__) & set(dir(builtins))
    assert {"evaluate", "train_head", "predict", "NlcliError", *OBJECTS} <= set(nlcli.__all__)


def test_a_function_runs_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = published(small_table(), tmp_path / "data")
    assert nlcli.read_stage(dataset).kind == "dataset"
    assert len(nlcli.read_dataset(dataset)) == 4
    with pytest.raises(NlcliError, match="is a dataset directory; expected a run"):
        nlcli.evaluate(model=dataset)
    made = StageCommand("make-x", "Make.", "worlds.stage_builders:MakeConfig", f"{__name__}:make", "nlcli make-x")
    monkeypatch.setitem(STAGES, "make-x", made)
    function = nlcli.interface.attribute("make_x")
    assert function(output=str(tmp_path / "x"), size=4, force=True) == (tmp_path / "x", 4, True)


def make(config: MakeConfig, *, force: bool = False) -> tuple[Path, int, bool]:
    return config.output, config.size, force


@pytest.mark.parametrize("line", re.findall(r"^(.*)  # wrong$", MISTAKES.read_text(encoding="utf-8"), re.MULTILINE))
def test_mistakes_fail_at_run_time(line: str) -> None:
    with pytest.raises((AttributeError, ImportError, NlcliError, TypeError)) as failed:
        exec(line, {"nlcli": nlcli})
    message = str(failed.value)
    assert "\n" not in message
    if "datasett" in line or "train_headd(" in line or "models=" in line:
        assert "did you mean" in message


def test_mypy_knows_every_function_and_finds_every_mistake(tmp_path: Path) -> None:
    """--strict, as a user's project would have it; errors of our own modules are not the user's."""
    example = EXAMPLE.read_text(encoding="utf-8")
    unused = [name for name in names() if not re.search(rf"\b{name}\b\(?", example)]
    assert not unused, f"tests/interface/every_function.py does not use {unused}"
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file="]
    command += [
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "interface"),
        "--no-error-summary",
        str(EXAMPLE),
        str(MISTAKES),
    ]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    places = re.findall(r"^(?:.*[/\\])?(\w+\.py):(\d+): error", ended.stdout, re.MULTILINE)
    assert not [line for line in ended.stdout.splitlines() if "every_function.py" in line]
    marked = [i for i, line in enumerate(MISTAKES.read_text().splitlines(), 1) if line.endswith("# wrong")]
    assert sorted({int(number) for _, number in places}) == marked, ended.stdout + ended.stderr
