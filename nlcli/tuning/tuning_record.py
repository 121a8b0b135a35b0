"""``tuning.json``: what was tried, what was chosen by validation, what that is worth."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from nlcli.stages.records import Record

TUNING, TRIALS = "tuning.json", "trials.csv"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Part):
    """A head that was trained.

    Attributes:
        options: What was tried.
        value: On validation; None where training failed.
        error: Why it failed.
    """

    options: dict[str, Any]
    value: float | None
    error: str | None = None


class Gain(_Part):
    """What the chosen options are worth beside the defaults.

    Attributes:
        split: ``test``, which chose nothing; ``validation``, where nothing of test is verified, which chose them.
        images: How many.
        chosen, defaults: The metric.
        chosen_interval: 95 % over images; None of too few.
        difference, interval: Chosen less defaults, paired by image.
        better: Whether the whole interval is above 0; None where there is none.
    """

    split: Literal["test", "validation"]
    images: int
    chosen: float | None
    chosen_interval: tuple[float | None, float | None] | None
    defaults: float | None
    difference: float | None
    interval: tuple[float | None, float | None] | None
    better: bool | None


class TuningRecord(Record):
    """What ``tuning.json`` says.

    Attributes:
        metric: That chose, on ``validation_images`` verified images.
        searched: By option what was worth trying, in words.
        fixed: Options that were given.
        defaults: Of the method with ``fixed`` alone, on validation.
        trials: In the order in which they ran.
        chosen: Place of the best trial; None where none is better on validation than the defaults.
        options: Those of the chosen head, beside ``fixed``.
        value: Its metric on validation: the best of several, and too good therefore.
        gain: None where the defaults themselves were chosen.
        remarks: Sentences on how to take it.
    """

    made_by: ClassVar[str] = "tune"

    method: str
    metric: str
    validation_images: int
    searched: dict[str, str]
    fixed: dict[str, Any]
    defaults: float
    trials: tuple[Trial, ...]
    chosen: int | None
    options: dict[str, Any]
    value: float
    gain: Gain | None
    remarks: tuple[str, ...]
