"""What a configuration's field states about its option: help, flag, place, panel, role, limits.

A field is written ``name: Annotated[TYPE, Option("Help.", panel=..., ...)] = DEFAULT``. The command line, the
pipelines and the Python functions are made from that: none of them knows an option by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types

from nlcli.errors import NlcliError
from nlcli.stages.files import parse_yaml

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Panel = Literal["Data", "Labels", "Method", "Training", "Images", "Measures", "Output", "Machine"]
Role = Literal["setting", "input", "runtime"]
Place = Literal["option", "argument", "each"]


@dataclass(frozen=True)
class Option(annotated_types.GroupedMetadata):
    """All that an option is besides its type and its default.

    Attributes:
        help: One or two clauses for ``--help``.
        panel: Under which heading ``--help`` lists it.
        role: A setting decides the result; an input is read, and its content decides, not where it lies; runtime
            options say how fast or where the stage runs, never what comes out. Only settings belong to the recipe.
        place: With a flag; or an argument without one; or an argument that may be given several times, the stage
            running once for each.
        flag: Instead of ``--`` and the field's name.
        short: A flag of one letter beside it.
        since: Version that brought the option; None for what 0.1.0 had. A directory made before was made with the
            default, so where the option has it, it does not belong to the recipe.
        only_with: Another option without which this one means nothing: it is then refused, and not in the recipe.
        ge, gt, le, lt: Limits of a number.
    """

    help: str
    panel: Panel = "Method"
    role: Role = "setting"
    place: Place = "option"
    flag: str | None = None
    short: str | None = None
    since: str | None = None
    only_with: str | None = None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __iter__(self) -> Iterator[annotated_types.BaseMetadata]:
        """The limits, as pydantic reads them."""
        if self.ge is not None:
            yield annotated_types.Ge(self.ge)
        if self.gt is not None:
            yield annotated_types.Gt(self.gt)
        if self.le is not None:
            yield annotated_types.Le(self.le)
        if self.lt is not None:
            yield annotated_types.Lt(self.lt)

    def flags(self, name: str) -> tuple[str, ...]:
        """The flags of the field ``name``: ``("--output", "-o")``; an argument has none."""
        if self.place != "option":
            return ()
        long = self.flag or flag_of(name)
        return (long,) if self.short is None else (long, self.short)

    def told(self, spelled: Callable[[str], str]) -> str:
        """The help, with the option that this one needs, its name as ``spelled`` gives it."""
        return self.help if self.only_with is None else f"{self.help} Only with {spelled(self.only_with)}."


def flag_of(name: str) -> str:
    """``clean_fraction`` -> ``--clean-fraction``."""
    return "--" + name.replace("_", "-")


Output = Annotated[Path, Option("Directory to write.", panel="Output", role="runtime", short="-o")]
Workers = Annotated[
    int,
    Option(
        "Images decoded at a time, by threads or, many, by processes (0: one a core).",
        panel="Machine",
        role="runtime",
        ge=0,
    ),
]
EngineName = Annotated[
    Literal["local", "ray"],
    Option(
        "Who does it: this machine, or a Ray cluster; the result is the same, to the bit on processors alike.",
        panel="Machine",
        role="runtime",
        since="0.2.0",
    ),
]
Address = Annotated[
    str | None,
    Option(
        "Of ray: HOST:PORT of a cluster, or auto for the one that this machine is in (default: one of its own, here).",
        panel="Machine",
        role="runtime",
        since="0.2.0",
    ),
]
Devices = Annotated[
    int,
    Option(
        "Worker processes, one a GPU where there are GPUs (0: none, or of ray one a GPU, or one a node without them).",
        panel="Machine",
        role="runtime",
        since="0.2.0",
        ge=0,
    ),
]
InferenceBatch = Annotated[int, Option("Images in a forward pass.", panel="Machine", role="runtime", ge=1)]


def option_of(field: FieldInfo) -> Option:
    """The ``Option`` in a field's annotation.

    Raises:
        TypeError: there is none.
    """
    for part in field.metadata:
        if isinstance(part, Option):
            return part
    raise TypeError("the field has no Option; write Annotated[TYPE, Option('Help.')]")


def default_of(field: FieldInfo) -> Any:
    """What a field is where nothing is given; ``...`` where something must be."""
    return ... if field.is_required() else field.get_default(call_default_factory=True, validated_data={})


@dataclass(frozen=True)
class Shape:
    """How the values of a field are given.

    Attributes:
        kind: One value; several; NAME=VALUE pairs of anything; NAME=VALUE pairs whose names may come again.
        item: Type of one value (of the pairs, that behind the sign).
        optional: Whether it may be None.
    """

    kind: Literal["one", "several", "pairs", "groups"]
    item: Any
    optional: bool


def shape_of(field: FieldInfo) -> Shape:
    """The shape of a field's type.

    Raises:
        TypeError: options of this type cannot be given on a command line.
    """
    kind, optional = field.annotation, False
    if get_origin(kind) in (Union, UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        optional = len(parts) < len(get_args(kind))
        kind = parts[0] if len(parts) == 1 else kind
    if get_origin(kind) is tuple:
        return Shape("several", get_args(kind)[0], optional)
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        if get_origin(inner) is tuple:
            return Shape("groups", get_args(inner)[0], optional)
        return Shape("pairs", inner, optional)
    if get_origin(kind) is Literal or kind in (int, float, bool, str, Path):
        return Shape("one", kind, optional)
    raise TypeError(f"no option can have the type {field.annotation}")


def read_pairs(flag: str, texts: list[str]) -> dict[str, Any]:
    """``["alpha=0.2", "activation=tanh"]`` -> a dictionary; values are read as YAML."""
    values = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise NlcliError(f"{flag} {text}: expected NAME=VALUE, such as {flag} alpha=0.2")
        values[name.strip()] = parse_yaml(value, f"{flag} {text}")
    return values


def read_groups(flag: str, texts: list[str]) -> dict[str, list[str]]:
    """``["A=runs/a", "A=runs/b"]`` -> ``{"A": ["runs/a", "runs/b"]}``; a name may hold the sign."""
    values: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        if not sign or not name or not value:
            raise NlcliError(f"{flag} {text}: expected NAME=VALUE, such as {flag} 'Proposed=runs/a-test'")
        values.setdefault(name, []).append(value)
    return values
