"""The package's functions and what else it offers by name, made when they are asked for.

A command's function has its options as named parameters. Their names, types, defaults and texts come
from the configuration, here and in ``__init__.pyi``, which editors and type checkers read.
"""

from __future__ import annotations

import inspect
import json
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from nlcli.errors import unknown_name
from nlcli.registry import load
from nlcli.stages.commands import SOURCES, Command, StageCommand, commands

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nlcli.stages.options import Option

StrPath = str | os.PathLike[str]

OBJECTS = {
    "FeatureStore": "nlcli.data.features.store:FeatureStore",
    "Head": "nlcli.training.saved_head:Head",
    "LabelNoiseDetector": "nlcli.estimators.noise_detector:LabelNoiseDetector",
    "LabelTable": "nlcli.data.labels:LabelTable",
    "NoisyLabelClassifier": "nlcli.estimators.classifier:NoisyLabelClassifier",
    "StageRecord": "nlcli.stages.stage:StageRecord",
    "choose_clean": "nlcli.data.labels:choose_clean",
    "load_head": "nlcli.training.saved_head:load_head",
    "read_dataset": "nlcli.data.label_files:read_dataset",
    "read_stage": "nlcli.stages.stage:read_stage",
    "register": "nlcli.registry:register",
}
"""What the package offers besides the functions of its commands: name -> ``module:name``."""

_IN_TYPES = (Any, Literal, Mapping, Path, Sequence, StrPath)  # the names that the types of parameters are written with


def names() -> list[str]:
    """All that ``attribute`` knows of this package, sorted."""
    return sorted([*OBJECTS, *(command.python_name for command in commands().values())])


def attribute(name: str) -> Any:
    """What ``nlcli.NAME`` is.

    Raises:
        AttributeError: there is nothing of this name; the nearest one is named.
    """
    if name in OBJECTS:
        return load(OBJECTS[name])
    command = _command(name)
    if command is None:
        known = {*names(), *(source.replace("-", "_") for source in SOURCES)}
        raise AttributeError(f"module 'nlcli': {unknown_name(name, known, 'name')}")
    return _function(command)


def _command(name: str) -> Command | None:
    """The command whose function is called ``name``: one of ours, or a source of another package."""
    for command in commands().values():
        if command.python_name == name:
            return command
    source = name.replace("_", "-")
    # Only a name that could be a source's is worth looking through the installed packages.
    return SOURCES.get(source) if source.startswith("build-") and source in SOURCES else None


def _function(command: Command) -> Callable[..., Any]:
    parameters = command_parameters(command)

    def function(*given: Any, **options: Any) -> Any:
        if given:
            first = parameters[0].name
            raise TypeError(f"{command.python_name}() takes its options by name, such as {first}={given[0]!r}")
        force = options.pop("force", False) if isinstance(command, StageCommand) else False
        config = command.config_class().parse(options, command.name)
        return command.run(config, force=force) if isinstance(command, StageCommand) else command.call(config)

    function.__module__ = "nlcli"  # where it is found, by pickle too
    function.__name__ = function.__qualname__ = command.python_name
    function.__doc__ = command_docstring(command)
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": command.returns}
    types = get_type_hints(function)
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(annotation=types[p.name]) for p in parameters], return_annotation=types["return"]
    )
    return function


def command_parameters(command: Command) -> list[inspect.Parameter]:
    """The parameters of a command's function, keyword-only; their types are texts."""
    from nlcli.stages.options import default_of, option_of

    parameters = []
    for name, field in command.config_class().model_fields.items():
        default = default_of(field)
        parameters.append(_parameter(name, _type_text(field, option_of(field)), default))
    if isinstance(command, StageCommand):
        parameters.append(_parameter("force", "bool", False))
    return parameters


def _parameter(name: str, kind: str, default: Any) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=empty if default is ... else default
    )


def command_docstring(command: Command) -> str:
    """A docstring in the style of this package: what it does, its options, what it returns."""
    from nlcli.stages.config import options_of

    options = options_of(command.config_class())
    lines = [command.about, "", f"The same as ``nlcli {command.name}`` on the command line.", "", "Args:"]
    for name, option in options.items():
        lines += textwrap.wrap(f"{name}: {option.told(str)}", 112, initial_indent=" " * 4, subsequent_indent=" " * 8)
    if isinstance(command, StageCommand):
        lines += ["    force: Replace a different result at the output.", "", "Returns:"]
        lines += ["    The directory that was made, or that was up to date."]
    lines += ["", "Raises:", "    NlcliError: what the command line would print."]
    return "\n".join(lines)


def _type_text(field: FieldInfo, option: Option) -> str:
    """The type of a parameter as Python writes it; a path may be given as text or as a path."""
    from nlcli.stages.options import shape_of

    shape = shape_of(field)
    if shape.item is Path or (shape.item is str and option.role == "input"):
        item = "StrPath"
    elif get_origin(shape.item) is Literal:
        item = f"Literal[{', '.join(json.dumps(choice) for choice in get_args(shape.item))}]"
    else:
        item = "Any" if shape.item is Any else shape.item.__name__
    texts = {
        "one": item,
        "several": f"Sequence[{item}]",
        "pairs": f"Mapping[str, {item}]",
        "groups": f"Mapping[str, {item} | Sequence[{item}]]",
    }
    return texts[shape.kind] + (" | None" if shape.optional else "")
