"""What every stage's configuration is."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nlcli.errors import NlcliError, first_problem, unknown_name

Precision = Literal["float32", "bfloat16", "float16", "auto"]
Split = Literal["train", "validation", "test"]


class StageConfig(BaseModel):
    """Base of every stage's configuration.

    ``inputs`` names the fields that are paths of things read: what counts there is their content,
    which the stage fingerprints, not where they lie. ``runtime`` names the fields that change how
    fast or where a stage runs, never what comes out. Neither kind belongs to the recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    inputs: ClassVar[frozenset[str]] = frozenset()
    runtime: ClassVar[frozenset[str]] = frozenset({"output"})

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON types."""
        left_out = self.inputs | self.runtime
        return self.model_dump(mode="json", exclude=set(left_out))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "configuration") -> Self:
        """Validate ``values``; a mistake becomes one sentence naming the key and its neighbour."""
        unknown = sorted(set(values) - set(cls.model_fields))
        if unknown:
            raise NlcliError(f"{where}: {unknown_name(unknown[0], cls.model_fields, 'option')}")
        try:
            return cls(**values)
        except ValidationError as error:
            raise NlcliError(f"{where}: {first_problem(error)}") from error
