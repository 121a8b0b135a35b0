"""Which values of a method's option are worth trying, stated in the option's own annotation; ``tune`` reads it.

``learning_rate: Annotated[float, Range(1e-4, 1e-1)] = Field(1e-3, ...)``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Range:
    """Numbers between two, both included, tried by their logarithm unless ``even``; whole ones where both are."""

    low: float
    high: float
    even: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + ("" if self.even else ", by logarithm")


@dataclass(frozen=True)
class Choice:
    """Some values."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


def searched(config: type[BaseModel]) -> dict[str, Range | Choice]:
    """By name the options of ``config`` that state what is worth trying."""
    return {
        name: part
        for name, field in config.model_fields.items()
        for part in field.metadata
        if isinstance(part, Range | Choice)
    }
