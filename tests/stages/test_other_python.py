"""The Python that is started beside this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlcli.stages.other_python import other_python


def test_it_imports_what_this_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_there.py").write_text("import os; print(os.environ['MORE'])")
    odd: list[Any] = [Path("/a/path"), b"/bytes", 7, "/a\0b", None, "", str(tmp_path)]
    monkeypatch.setattr(sys, "path", odd + sys.path)
    command, environment = other_python("-c", "import only_there", MORE="more")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "more\n"


@pytest.mark.parametrize(("name", "value"), [("executable", ""), ("executable", None), ("frozen", True)])
def test_inside_another_program_there_is_none(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)
    with pytest.raises(OSError, match="no Python to start"):
        other_python("-c", "pass")
