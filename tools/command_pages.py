"""The reference of commands, made from the command line itself: for docs/cli.md and for the site.

It shows what ``--help`` shows, in tables, and does not depend on how a version of Typer draws them.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

WORDS: dict[Any, str] = {int: "integer", float: "number", str: "text", Path: "path", bool: ""}


@dataclass(frozen=True)
class Parameter:
    """An option or an argument of a command.

    Attributes:
        flags: Such as ``("--output", "-o")``; of an argument its name alone.
        kind: Its type as people read it; "" for a switch.
        default: As it is shown; "" where there is none to show.
        required: Whether it must be given.
        about: Its help.
        panel: The heading under which ``--help`` lists it.
    """

    flags: tuple[str, ...]
    kind: str
    default: str
    required: bool
    about: str
    panel: str


@dataclass(frozen=True)
class Command:
    """A command: what it does in a line, an example, the heading of ``nlcli --help``, its parameters."""

    name: str
    about: str
    example: str
    panel: str
    parameters: tuple[Parameter, ...]

    def flags(self) -> set[str]:
        """Every option that it knows."""
        return {"--help", "-h"} | {flag for one in self.parameters for flag in one.flags if flag.startswith("-")}


@cache
def every_command() -> dict[str, Command]:
    """Every command of nlcli itself, in the order of the help."""
    import typer

    from nlcli.cli import app

    group: Any = typer.main.get_command(app)
    context = group.context_class(group, info_name="nlcli")
    made = {}
    for name, stub in group.commands.items():
        command = group.resolve_command(context, [name])[1]
        about, _, example = command.help.partition("**Example:**")
        made[name] = Command(
            name, " ".join(about.split()), example.strip(" `\n"), stub.rich_help_panel, _parameters(command)
        )
    return made


def _parameters(command: Any) -> tuple[Parameter, ...]:
    annotations = inspect.signature(command.callback, eval_str=True).parameters
    return tuple(
        Parameter(
            flags=(*one.opts, *one.secondary_opts),
            kind=kind(annotations[one.name].annotation),
            default="" if one.required or not one.show_default else shown(one.default),
            required=one.required,
            about=one.help or "",
            panel=one.rich_help_panel or ("Options" if one.opts[0].startswith("-") else "Arguments"),
        )
        for one in command.params
    )


def kind(annotation: Any) -> str:
    """A type in words: ``Literal["a", "b"]`` -> "`a`, `b`"; ``list[Path]`` -> "path, several"."""
    if get_origin(annotation) is Annotated:
        return kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return kind(next(part for part in get_args(annotation) if part is not type(None)))
    if get_origin(annotation) is list:
        return f"{kind(get_args(annotation)[0])}, several"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    return WORDS[annotation]


def shown(default: Any) -> str:
    """A default as code; nothing for a switch that is off, or for none."""
    if default is None or default is False or default in ((), []):
        return ""
    if isinstance(default, (list, tuple)):
        return ", ".join(f"`{one}`" for one in default)
    return f"`{default if isinstance(default, (str, Path)) else json.dumps(default)}`"


# --- Markdown --------------------------------------------------------------------------------


def command_lines(command: Command, heading: str) -> list[str]:
    """What a command does, an example, and a table of each panel; ``heading`` is that of the panels (``##``)."""
    lines = [command.about, "", "```console", f"$ {wrapped(command.example)}", "```", ""]
    for panel in dict.fromkeys(one.panel for one in command.parameters):
        lines += [f"{heading} {panel}", "", "| option | type | default | |", "|---|---|---|---|"]
        lines += [row(one) for one in command.parameters if one.panel == panel]
        lines.append("")
    return lines


def list_lines(heading: str, link: str) -> list[str]:
    """The commands in tables by panel; ``link`` leads to one, with its name for ``{}``."""
    lines = []
    for panel in dict.fromkeys(command.panel for command in every_command().values()):
        lines += [f"{heading} {panel}", "", "| command | |", "|---|---|"]
        for command in every_command().values():
            if command.panel == panel:
                lines.append(f"| [`{command.name}`]({link.format(command.name)}) | {cell(command.about)} |")
        lines.append("")
    return lines


def row(one: Parameter) -> str:
    names = ", ".join(f"`{flag}`" for flag in one.flags)
    default = "*required*" if one.required else one.default
    return re.sub(r" +", " ", f"| {names} | {one.kind} | {default} | {cell(one.about)} |")


def wrapped(command: str) -> str:
    """A command on lines of at most 100 characters."""
    lines = [""]
    for words in re.findall(r"--\S+(?: [^-\s]\S*)*|\S+", command):  # an option stays beside its value
        if len(lines[-1]) + len(words) > 95:
            lines.append("     ")
        lines[-1] += f" {words}" if lines[-1] else words
    return " \\\n".join(lines)


def cell(text: str) -> str:
    """``text`` in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
