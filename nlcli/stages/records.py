"""JSON files of stage directories as typed, versioned models: what is written is what is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from nlcli.errors import NlcliError, first_problem
from nlcli.stages.files import read_json, write_json


def _may_be_a_path(text: str) -> str:
    if "\0" in text:
        raise ValueError("no path has a NUL in it")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError("no path has these characters") from error
    return text


PathText = Annotated[str, AfterValidator(_may_be_a_path)]
"""A path as text that a file system takes; bytes outside UTF-8 stand in it as ``os.fsdecode`` writes them."""


def _writable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("half a character (such as \\ud800) is no text") from error
    return text


ClassText = Annotated[str, AfterValidator(_writable)]
"""A class's name: tables take whole characters alone, where JSON can hold half of a pair."""


class Record(BaseModel):
    """Base of the model of one JSON file; a subclass states its fields, its version and what makes it.

    NaN is written as null, which JSON has; a field that may be NaN is ``float | None``.

    Attributes:
        version: Of the file's format, ``FORMAT`` in what this program writes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    FORMAT: ClassVar[int] = 1
    made_by: ClassVar[str]
    """The command that makes the file, for the sentence that refuses one of another format."""

    version: int = 0

    remedy: ClassVar[str] = ""
    """What to do about a file that cannot be read, where ``made_by`` does not say it."""

    @classmethod
    def _advice(cls) -> str:
        return cls.remedy or f"make it again with 'nlcli {cls.made_by}'"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file at ``path``, checked.

        Raises:
            NlcliError: it is missing, malformed, of another format, or a field has the wrong type.
        """
        return cls.parse(read_json(path), path)

    @classmethod
    def parse(cls, value: Any, path: Path) -> Self:
        """``value`` as read from ``path``, checked; see ``read``."""
        if not isinstance(value, dict):
            raise NlcliError(f"{path} does not hold a JSON object; {cls._advice()}")
        value = cls.upgraded(value)
        version = value.get("version", 0)
        if version != cls.FORMAT:
            raise NlcliError(
                f"{path} has format {version!r:.20}, and this version of nlcli reads format {cls.FORMAT}; "
                f"{cls._advice()}"
            )
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise NlcliError(f"{path}: {first_problem(error, kind='field')}; {cls._advice()}") from error

    @classmethod
    def upgraded(cls, value: dict[str, Any]) -> dict[str, Any]:
        """``value`` of an older format in the present one, where that can be done; see the subclasses."""
        return value

    def write(self, path: Path) -> None:
        """Write the record to ``path`` as JSON, whole or not at all."""
        write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types, its version first."""
        return self.model_dump(mode="json") | {"version": self.FORMAT}


class SchemaRecord(Record):
    """A record as 0.1.0 wrote it: its format is the field ``schema``, or nowhere where there has been only one."""

    states_format: ClassVar[bool] = True

    @classmethod
    def parse(cls, value: Any, path: Path) -> Self:
        """``value`` as read from ``path``, checked; see ``read``."""
        if isinstance(value, dict):
            schema = value.get("schema", cls.FORMAT)
            if isinstance(schema, int) and schema > cls.FORMAT:
                raise NlcliError(f"{path} was written by a newer nlcli (format {schema}); update nlcli")
            value = {name: entry for name, entry in value.items() if name != "schema"} | {"version": schema}
        return super().parse(value, path)

    def to_json(self) -> dict[str, Any]:
        """The record as it is written: values that JSON does not have are left to ``write_json``."""
        values = self.model_dump(exclude={"version"})
        return values | {"schema": self.FORMAT} if self.states_format else values


# --- stage.json ------------------------------------------------------------------------------


class InputRecord(BaseModel):
    """What ``stage.json`` says of one input.

    Attributes:
        fingerprint: Of its content.
        path: Where it lay; None for what is no path.
        relative: The same, from the output, for a work directory that is moved as a whole.
        stage: Its kind, where it is a stage's directory.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    fingerprint: str
    path: PathText | None = None
    relative: PathText | None = None
    stage: str | None = None


class StageFile(BaseModel):
    """``stage.json``: what a directory is, what made it, and from what. 0.1.0 wrote the same.

    Attributes:
        stage: Kind of the directory: dataset, backbone, features, run, ...
        format: Of this file.
        config: The whole configuration, as JSON types.
        inputs: What was read, by the name it has for the stage.
        recipe: All that decides the result; equal recipes, equal results.
        seed: The seed, for those who look.
        versions: Of Python, nlcli and the libraries.
        complete: Whether the stage came to its end.
        fingerprint: Of the recipe and of the content.
        files: Hash of every file, where they are not too many.
        summary: The result in short.
        seconds: How long the last run of the stage took.
    """

    model_config = ConfigDict(frozen=True, strict=True, populate_by_name=True)

    stage: str
    format: int = Field(alias="schema")
    config: dict[str, Any]
    inputs: dict[str, InputRecord]
    recipe: dict[str, Any] = Field(default_factory=dict)
    seed: int | None
    versions: dict[str, str]
    complete: bool
    fingerprint: str
    files: dict[str, str] = Field(default_factory=dict)
    summary: dict[str, Any]
    seconds: FiniteFloat

    def to_json(self) -> dict[str, Any]:
        """The file's content; of an input only what there is to say."""
        inputs = {name: entry.model_dump(exclude_none=True) for name, entry in self.inputs.items()}
        return self.model_dump(by_alias=True) | {"inputs": inputs}
