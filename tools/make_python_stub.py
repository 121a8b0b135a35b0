"""Write nlcli/__init__.pyi, the functions as tools see them: ``python -m tools.make_python_stub [--check]``."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "nlcli" / "__init__.pyi"

_HEAD = '''"""What ``nlcli`` offers, as editors and type checkers read it. Made by ``make docs``; a test checks it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

'''


def stub() -> str:
    """The whole stub."""
    from nlcli import __all__ as offered
    from nlcli.interface import OBJECTS
    from nlcli.stages.commands import commands

    imports = {"NlcliError": "nlcli.errors:NlcliError", "__version__": "nlcli.version:__version__", **OBJECTS}
    lines = [_import(*reference.split(":")) for reference in imports.values()]
    lines.append("from nlcli.interface import StrPath\n")
    everything = "".join(f'    "{name}",\n' for name in sorted(offered, key=_place))
    functions = "\n".join(_function(command) for command in commands().values())
    return f"{_HEAD}{''.join(sorted(lines))}\n__all__ = [\n{everything}]\n\n{functions}"


def _import(module: str, name: str) -> str:
    return f"from {module} import {name} as {name}\n"


def _place(name: str) -> tuple[bool, str]:
    return not name[0].isupper(), name


def _function(command: Any) -> str:
    from nlcli.interface import command_docstring, command_parameters

    lines = [f"def {command.python_name}(", "    *,"]
    for parameter in command_parameters(command):
        default = "" if parameter.default is inspect.Parameter.empty else f" = {_literal(parameter.default)}"
        lines.append(f"    {parameter.name}: {parameter.annotation}{default},")
    lines.append(f") -> {command.returns}:")
    text = textwrap.indent(f'"""{command_docstring(command)}\n"""', "    ", lambda line: bool(line.strip()))
    return "\n".join([*lines, text, ""])


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return json.dumps(value) if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    text = stub()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else f"{TARGET} is out of date; run: make docs")
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET}")
