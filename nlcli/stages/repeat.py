"""The command that makes a stage again, from what its record says."""

from __future__ import annotations

import json
from typing import Any

from nlcli.stages.commands import SOURCES, STAGES, StageCommand
from nlcli.stages.config import StageConfig, options_of
from nlcli.stages.options import Option, default_of, flag_of, shape_of
from nlcli.stages.stage import StageRecord


def command_of(record: StageRecord) -> StageCommand | None:
    """The command whose options a stage's configuration has; None where none of those known here has them.

    A stage of an earlier version may lack options that came later.
    """
    given = set(record.config)
    fitting: list[tuple[int, StageCommand]] = []
    for command in [*STAGES.values(), *SOURCES.of_others().values()]:
        fields = command.config_class().model_fields
        needed = {name for name, field in fields.items() if field.is_required()}
        if needed <= given <= set(fields):
            fitting.append((len(set(fields) - given), command))
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None


def command_words(record: StageRecord) -> list[str] | None:
    """The words of the command line that makes ``record`` again; None where the command is not known.

    What has its default is left out, and paths are as they were given.
    """
    command = command_of(record)
    if command is None:
        return None
    model = command.config_class()
    arguments: list[str] = []
    flagged: list[str] = []
    for name, option in options_of(model).items():
        value = record.config.get(name)
        if value is None or value == _plain_default(model, name):
            continue
        if option.place != "option":
            arguments += [str(part) for part in (value if isinstance(value, list) else [value])]
        else:
            flagged += _flagged(model, name, option, value)
    return ["nlcli", command.name, *arguments, *flagged]


def _plain_default(model: type[StageConfig], name: str) -> Any:
    """The default as JSON types, as a record has it."""
    default = default_of(model.model_fields[name])
    if default is ...:
        return ...
    return json.loads(json.dumps(default, default=str))


def _flagged(model: type[StageConfig], name: str, option: Option, value: Any) -> list[str]:
    flag = option.flag or flag_of(name)
    shape = shape_of(model.model_fields[name])
    if shape.kind == "pairs" and isinstance(value, dict):
        return [word for key, part in value.items() for word in (flag, f"{key}={_yaml(part)}")]
    if shape.kind == "groups" and isinstance(value, dict):
        pairs = [(key, part) for key, parts in value.items() if isinstance(parts, list) for part in parts]
        return [word for key, part in pairs for word in (flag, f"{key}={part}")]
    if isinstance(value, list):
        return [word for part in value for word in (flag, str(part))]
    if isinstance(value, bool):
        return [flag] if value else []
    return [flag, str(value)]


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
