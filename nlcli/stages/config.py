"""What every stage's configuration is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nlcli.errors import NlcliError, first_problem, require_usable, unknown_name
from nlcli.stages.addresses import refuse_address
from nlcli.stages.options import Option, Role, default_of, flag_of, option_of, shape_of

Precision = Literal["float32", "bfloat16", "float16", "auto"]
CpuEngineName = Literal["tensorflow", "openvino", "onnxruntime", "auto"]
Decode = Literal["exact", "fast"]
Split = Literal["train", "validation", "test"]
EngineCpu = Annotated[
    CpuEngineName,
    Option(
        "What runs the forward pass on a CPU; auto times what is installed, once for a network on a machine.",
        panel="Machine",
        since="0.2.0",
    ),
]


class StageConfig(BaseModel):
    """Base of every stage's configuration: a frozen model whose fields each have an ``Option``."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """A field that does not say what it is would be missed on the command line, so it is no field."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            try:
                shape_of(field)
                option = option_of(field)
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{name}: {error}") from None
            if option.only_with is not None and option.only_with not in cls.model_fields:
                raise TypeError(f"{cls.__name__}.{name}: {unknown_name(option.only_with, cls.model_fields, 'option')}")

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON types.

        An option that came after 0.1.0, or that means nothing here, is left out where it has its default: what was
        made without it stays up to date.
        """
        values = self.model_dump(mode="json", exclude=set(field_names(type(self), "input", "runtime")))
        left_out = {
            name
            for name, option in options_of(type(self)).items()
            if (option.since is not None or self._is_idle(option)) and self._has_default(name)
        }
        return {name: value for name, value in values.items() if name not in left_out}

    def _is_idle(self, option: Option) -> bool:
        return option.only_with is not None and getattr(self, option.only_with) is None

    def _has_default(self, name: str) -> bool:
        return bool(getattr(self, name) == default_of(type(self).model_fields[name]))

    @model_validator(mode="after")
    def _no_address_is_given(self) -> Self:
        for name, option in options_of(type(self)).items():
            path = shape_of(type(self).model_fields[name]).item is Path
            if path or option.role == "input":
                given = next(iter(option.flags(name)), name)
                refuse_address(getattr(self, name), given, path=path, written=name == "output")
        return self

    @model_validator(mode="after")
    def _nothing_idle_is_given(self) -> Self:
        options = options_of(type(self))
        for name, option in options.items():
            if option.only_with is not None and self._is_idle(option) and not self._has_default(name):
                other = options[option.only_with].flags(option.only_with)[0]
                given = option.flags(name)[0]
                raise NlcliError(f"{given} means something only with {other}; pass {other}, too, or leave it out")
        return self

    @classmethod
    def _not_known(cls, name: str) -> str:
        for field, option in options_of(cls).items():
            if field != name.replace("-", "_") and flag_of(name.replace("_", "-")) in option.flags(field):
                return f"unknown option '{name}'; what is --{name} on the command line is '{field}' here"
        return unknown_name(name, cls.model_fields, "option")

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "configuration") -> Self:
        """Validate ``values``; a mistake becomes one sentence naming the key and its neighbour.

        A path is taken where a name or a path is wanted as text, and ``~/`` in front of one is the home folder: no shell
        writes it out in ``--output=~/x``, and none reads a pipeline file.
        """
        unknown = sorted(str(name) for name in set(values) - set(cls.model_fields))  # YAML has keys that are no text
        if unknown:
            raise NlcliError(f"{where}: {cls._not_known(unknown[0])}")
        values = {name: _from_home(value) for name, value in values.items()}
        for name in field_names(cls, "input"):
            if isinstance(values.get(name), os.PathLike) and shape_of(cls.model_fields[name]).item is str:
                values = values | {name: os.fspath(values[name])}
        try:
            config = cls(**values)
        except ValidationError as error:
            raise NlcliError(f"{where}: {first_problem(error)}") from error
        except NlcliError as error:
            raise NlcliError(f"{where}: {error}") from error
        require_usable(values, vars(config), where)
        return config


def _from_home(value: Any) -> Any:
    """``value``, or each of several, with the home folder for ``~/`` at its beginning."""
    if isinstance(value, list | tuple):
        return type(value)(_from_home(one) for one in value)
    if isinstance(value, str | Path) and str(value).startswith(f"~{os.sep}") and not os.path.lexists(value):
        return type(value)(os.path.expanduser(value))
    return value


def options_of(model: type[StageConfig]) -> dict[str, Option]:
    """What each field of ``model`` states about its option, in order."""
    return {name: option_of(field) for name, field in model.model_fields.items()}


def field_names(model: type[StageConfig], *roles: Role) -> frozenset[str]:
    """The fields of ``model`` that have one of these roles."""
    return frozenset(name for name, option in options_of(model).items() if option.role in roles)
