"""What a program that runs a network on a CPU is to those that have one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nlcli.errors import NlcliError

Compute = Callable[[np.ndarray], np.ndarray]
"""Images (b, S, S, 3) uint8 to float32 (b, D)."""


@dataclass(frozen=True)
class CpuEngine:
    """One program.

    Attributes:
        name: As it is asked for.
        package: The one that it is; its version is recorded.
        open: A compiled function of TensorFlow in float32 (``Inference.function``) and a precision to what computes the
            same by this program.
        precisions: What it can compute in.
        modules: What must be there, by module, beside TensorFlow.
        extra: Of nlcli, which brings them.
    """

    name: str
    package: str
    open: Callable[[Any, str], Compute]
    precisions: frozenset[str]
    modules: tuple[tuple[str, str], ...] = ()
    extra: str | None = None

    @property
    def missing(self) -> str | None:
        """A package that it needs and that is not installed."""
        return next((package for module, package in self.modules if util.find_spec(module) is None), None)

    @property
    def version(self) -> str:
        """Of the package."""
        return metadata.version(self.package)

    def require(self, precision: str) -> None:
        """Refuse it where it is not installed, or does not compute in ``precision``."""
        if self.missing is not None:
            raise NlcliError(
                f"--engine-cpu {self.name} needs the package {self.missing}; install it with: pip install "
                f"'nlcli[{self.extra}]'"
            )
        if precision not in self.precisions:
            others = " or ".join(sorted(self.precisions))
            raise NlcliError(
                f"--engine-cpu {self.name} computes in {others}, not in {precision}; pass --precision float32, or "
                "another engine"
            )


class EngineRecord(BaseModel):
    """Which program beside TensorFlow computed, as ``features.json`` tells it.

    Attributes:
        difference: Most that it differed from TensorFlow in float32 on made-up pictures, as a part of the length.
        tolerance: Most that it may.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    difference: float = Field(ge=0)
    tolerance: float = Field(ge=0)
