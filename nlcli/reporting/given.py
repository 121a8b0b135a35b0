"""Which stages a page is about: the directories that were given, and what these were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nlcli.cleaning.label_changes import CHANGES
from nlcli.errors import NlcliError
from nlcli.stages.lineage import finished_stages
from nlcli.stages.stage import StageRecord, read_stage

QUEUES = ("queue.parquet", "queue.csv")
"""How a queue of images to check is called in the directory of the stage that chose them."""


@dataclass(frozen=True)
class Step:
    """A stage in the history of what was given.

    Attributes:
        record: Of a stage that is there.
        given: Whether it was named, not looked up.
        missing: Inputs that are gone or have changed since, a clause each.
    """

    record: StageRecord
    given: bool
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """What a page is made of.

    Attributes:
        records: Of the directories that were given, folders unfolded, in that order.
        steps: Those and all that they were made from, each after what it was made from.
        notes: Sentences on what could not be used.
    """

    records: tuple[StageRecord, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = field(default=())

    def of_kind(self, *kinds: str) -> list[StageRecord]:
        """The given stages of these kinds."""
        return [record for record in self.records if record.kind in kinds]

    @property
    def detections(self) -> list[StageRecord]:
        """Detections of wrong labels; where none was given, those that the given stages were made from."""
        return self.of_kind("detection") or [s.record for s in self.steps if s.record.kind == "detection"]

    @property
    def runs(self) -> list[StageRecord]:
        """Trained heads, given or evaluated by what was given."""
        return [step.record for step in self.steps if step.record.kind == "run"]

    @property
    def cleaned(self) -> StageRecord | None:
        """The last data set that tells of its changes."""
        return next((r for r in reversed(self.of_kind("dataset")) if (r.path / CHANGES).is_file()), None)

    @property
    def queue(self) -> Path | None:
        """The last list of images to check next."""
        places = (record.path / name for record in reversed(self.records) for name in QUEUES)
        return next((path for path in places if path.is_file()), None)

    @property
    def dataset(self) -> StageRecord | None:
        """The data set whose labels are told of: that of the detection, of the cleaned labels, of an evaluation."""
        sources = [*self.detections, *([self.cleaned] if self.cleaned else []), *self.of_kind("evaluation", "run")]
        known = {step.record.fingerprint: step.record for step in self.steps}
        for record in sources:
            wanted = record.input_fingerprint("dataset")
            if wanted in known:
                return known[wanted]
        given = [r for r in self.of_kind("dataset") if r is not self.cleaned]
        every = given or [step.record for step in self.steps if step.record.kind == "dataset"]
        return every[-1] if every else None


def read_given(paths: Sequence[Path]) -> Given:
    """The stages at ``paths`` and their history.

    Raises:
        NlcliError: nothing is given, or something that nlcli did not make.
    """
    if not paths:
        raise NlcliError("nothing to report; name at least one directory made by nlcli, or a folder of them")
    records: dict[str, StageRecord] = {}
    for path in paths:
        for record in finished_stages(path):
            records.setdefault(record.fingerprint, record)
    steps: dict[str, Step] = {}
    for record in records.values():
        _add(record, steps, frozenset(records))
    return Given(tuple(records.values()), tuple(steps.values()))


def _add(
    record: StageRecord, steps: dict[str, Step], given: frozenset[str], above: frozenset[str] = frozenset()
) -> None:
    """Add what ``record`` was made from, then itself; ``above`` are those that are made from it."""
    if record.fingerprint in steps or record.fingerprint in above:
        return
    missing = []
    for name, entry in record.inputs.items():
        where = record.input_path(name)
        if entry.stage is None or where is None:
            continue
        try:
            parent = read_stage(where)
        except NlcliError:
            missing.append(f"{name} is no longer there")
            continue
        if parent.fingerprint != entry.fingerprint:
            missing.append(f"{name} was made again since")
            continue
        _add(parent, steps, given, above | {record.fingerprint})
    steps.setdefault(record.fingerprint, Step(record, record.fingerprint in given, tuple(missing)))
