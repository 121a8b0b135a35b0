"""What stands beside a run that an estimator saved: its parameters, and class labels as they were given."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from nlcli.stages.records import Record

ESTIMATOR = "estimator.json"


class ClassifierRecord(Record):
    """What ``estimator.json`` says.

    Attributes:
        parameters: As ``get_params`` gives them.
        kind: Of the class labels.
        classes: The labels themselves, in the order of the head's classes.
        sparse: Whether labels came as a sparse matrix.
        features: Names of the columns of ``X``, where there were any.
    """

    remedy: ClassVar[str] = "save the estimator again"

    parameters: dict[str, Any]
    kind: Literal["text", "whole", "number", "boolean"]
    classes: tuple[str | bool | int | float, ...]
    sparse: bool
    features: tuple[str, ...] | None

    @model_validator(mode="after")
    def _classes_are_of_their_kind(self) -> ClassifierRecord:
        if any(type(label) not in _TYPES[self.kind] for label in self.classes):
            raise ValueError(f"a class is no {self.kind}")
        return self

    def class_labels(self) -> np.ndarray:
        """(C,) labels."""
        return np.asarray(self.classes)

    def to_bytes(self) -> bytes:
        """The file's content."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False).encode()


_TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "whole": (int,), "number": (float, int), "boolean": (bool,)}


def kind_of(classes: np.ndarray) -> Literal["text", "whole", "number", "boolean"]:
    """What the labels ``classes`` are."""
    kinds: dict[str, Literal["text", "whole", "number", "boolean"]] = {
        "i": "whole",
        "u": "whole",
        "f": "number",
        "b": "boolean",
    }
    return kinds.get(classes.dtype.kind, "text")
