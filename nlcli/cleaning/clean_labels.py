"""The clean-labels stage: a data set whose noisy labels are rewritten, and what became of every label in question.

Written beside what every data set holds: ``changes.parquet`` and ``changes.csv`` (``label_changes.py``),
``cleaning.json`` (``cleaning_record.py``), some images with their labels before and after (``cleaned_examples.py``),
and what ``--export`` asks for. Verified labels stay as they are, and what a machine corrected never becomes verified.
With the changes the labels of before can be given back (``restore_labels.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.cleaning.cleaned_by_run import of_run
from nlcli.cleaning.cleaned_examples import cleaned_examples, write_cleaned_examples
from nlcli.cleaning.cleaning_record import CLEANING, Claim, CleaningRecord, PlantedError
from nlcli.cleaning.config import CleanDataset
from nlcli.cleaning.label_changes import rewritten, write_changes
from nlcli.cleaning.plan import KEPT, REFUSED, RULES, VERIFIED, Limits, Plan, make_plan
from nlcli.cleaning.proposals import KINDS, NONE, Proposals, persons_changes
from nlcli.cleaning.source import Source, of_detection
from nlcli.console import print_table, say, tell
from nlcli.data.exports import write_exports
from nlcli.data.label_files import TRUTH, labels_fingerprint, read_dataset, read_truth, write_dataset
from nlcli.data.labels import SPLITS, LabelTable, noisy_classes
from nlcli.data.score_chosen import carry_score_chosen, chosen_by_score, write_sample_statistics
from nlcli.data.true_tags import carry_truth, read_true_tags
from nlcli.errors import NlcliError, unknown_name
from nlcli.metrics.arrays import Ints
from nlcli.stages.files import fingerprint_file
from nlcli.stages.stage import StageRecord, open_stage, read_stage

_MOST_SHOWN = 40


def clean_labels(config: CleanDataset, *, force: bool = False) -> Path:
    """Rewrite the labels; see the module's docstring.

    Returns:
        The directory of the cleaned data set; with ``dry_run`` where it would be.

    Raises:
        NlcliError: the source does not fit the data set, or the changes are refused (``plan.py``).
    """
    if config.dry_run:
        show_plan(plan_changes(config))
        return config.output
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "source": read_stage(config.source, ("detection", "run")),
        "features": None if config.features is None else read_stage(config.features, "features"),
    }
    with open_stage("dataset", config, inputs, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        cleaning = _cleaning(config)
        table, plan, record = cleaning.table, cleaning.plan, cleaning.record
        if plan.refusal is not None:
            raise NlcliError(plan.refusal)
        for remark in record.remarks:
            say(f"note: {remark}")
        result = _applied(table, plan)
        write_changes(stage.work, table, plan, cleaning.source.method, record.source_fingerprint)
        carry_truth(config.dataset, stage.work, table)
        carry_score_chosen(config.dataset, stage.work, table)
        write_dataset(
            stage.work,
            result,
            {
                **{name: value for name, value in table.info.items() if name != "images"},
                "cleaned": config.recipe(),
                "made_from": table.fingerprint,
            },
            derived=True,
        )
        told = write_sample_statistics(stage.work, result)
        record.write(stage.work / CLEANING)
        asked = {claim.kind: claim.threshold for claim in record.claims}
        lowest = asked if config.precision else dict.fromkeys(KINDS, 0.0)
        examples = cleaned_examples(table, cleaning.source.proposals, plan, lowest, config.examples)
        if examples:
            write_cleaned_examples(stage.work, examples)
        links = write_exports(stage.work, result, config.export, copy_images=config.copy_images)
        stage.finish(told | _summary(record, plan), volatile=links)
    return stage.output


# --- what is done ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Cleaning:
    """What would become of a data set's labels."""

    table: LabelTable
    source: Source
    plan: Plan
    record: CleaningRecord


def _cleaning(config: CleanDataset) -> Cleaning:
    table = read_dataset(config.dataset)
    for name in config.keep:
        if name not in table.classes:
            raise NlcliError(f"--keep-class: {unknown_name(name, table.classes, 'class')}")
    limits = Limits(
        policy=config.policy,
        precision=config.precision,
        max_changes=config.max_changes,
        splits=np.array(sorted(SPLITS.index(name) for name in config.splits), np.int64),
        kept=np.array([table.classes.index(name) for name in config.keep], np.int64),
    )
    record = read_stage(config.source, ("detection", "run"))
    if record.kind == "run":
        source = of_run(record, table, config.features, config.policy, limits.splits)
    elif config.features is not None:
        raise NlcliError("--features means something only with a run; leave it out")
    else:
        source = of_detection(record, table, config.policy)
    # Images that were checked because their labels looked wrong are no sample: their changes are right more often.
    sample = source.proposals.judged_without(chosen_by_score(config.dataset, table))
    source = replace(source, proposals=sample)
    by_person = persons_changes(table, np.flatnonzero(source.told & np.isin(table.split, limits.splits)))
    plan = make_plan(table, source.proposals, by_person, source.told, limits)
    if source.refusal is not None and config.policy != "suggest":
        plan = replace(plan, refusal=source.refusal)
    if plan.refusal is not None and config.when_refused == "suggest":
        why, limits = _why(plan.refusal), replace(limits, policy="suggest", persons=True)
        plan = make_plan(table, source.proposals, by_person, source.told, limits)
        if plan.refusal is not None:
            plan = make_plan(table, source.proposals, by_person, source.told, replace(limits, persons=False))
        done = "only what persons said is changed" if plan.made.any() else "only proposals are listed"
        plan = replace(plan, remarks=(f"{done}: {why}", *plan.remarks))
    return Cleaning(table, source, plan, _record(config, limits, table, source, plan))


def _why(refusal: str) -> str:
    """A refusal behind a sentence that has said what comes of it."""
    return refusal.removeprefix(REFUSED)


def _record(config: CleanDataset, limits: Limits, table: LabelTable, source: Source, plan: Plan) -> CleaningRecord:
    return CleaningRecord(
        policy=limits.policy,
        precision=config.precision,
        max_changes=config.max_changes,
        splits=config.splits,
        kept_classes=config.keep,
        method=source.method,
        source=source.record.kind,
        source_fingerprint=source.record.fingerprint,
        dataset_fingerprint=table.fingerprint,
        parent={name: value for name, value in table.info.items() if name != "images"},
        parent_labels=labels_fingerprint(table),
        parent_images=fingerprint_file(config.dataset / "images.parquet"),
        claims=plan.claims,
        classes=plan.classes,
        checked=int((plan.rule == RULES.index(VERIFIED)).sum()),
        planted=_planted(config, table, plan),
        remarks=plan.remarks,
    )


def _applied(table: LabelTable, plan: Plan) -> LabelTable:
    """``table`` with the changes that are made; what comes has their probability as its confidence."""
    made = plan.changes.where(plan.made)
    noisy = rewritten(table, made.row, made.old, made.new, made.probability)
    return replace(table, noisy=noisy, info={}, fingerprint="")


def _planted(config: CleanDataset, table: LabelTable, plan: Plan) -> PlantedError | None:
    """Of data whose whole truth is known, as planted noise is."""
    if not (config.dataset / TRUTH).is_file():
        return None
    rows = np.flatnonzero(np.isin(table.split, _splits(config)))
    ours = plan.changes.where(plan.made & (plan.rule != RULES.index(VERIFIED)))
    after = _applied(table, plan)
    if table.task == "multi-label":
        return _planted_tags(config, table, after, rows, ours)
    true, was, now = read_truth(config.dataset, table), noisy_classes(table), noisy_classes(after)
    rows = rows[(was[rows] >= 0) & (true[rows] >= 0)]
    left = rows[now[rows] >= 0]
    ours = ours.where(true[ours.row] >= 0)
    right = np.where(ours.new >= 0, true[ours.row] == ours.new, true[ours.row] != ours.old)
    return PlantedError(
        images=len(rows),
        before=_share(was[rows] != true[rows]),
        after=_share(now[left] != true[left]),
        changes=len(ours),
        right=int(right.sum()),
    )


def _planted_tags(
    config: CleanDataset, table: LabelTable, after: LabelTable, rows: Ints, ours: Proposals
) -> PlantedError:
    truth, known = read_true_tags(config.dataset, table)
    rows, ours = rows[known[rows]], ours.where(known[ours.row])
    entries = max(1, len(rows) * table.num_classes)

    def wrong(labels: LabelTable) -> float:
        differs = (labels.noisy[rows] > 0).astype(np.int8) - (truth[rows] > 0).astype(np.int8)
        return round(float(np.count_nonzero(differs.data)) / entries, 6)

    come = ours.new != NONE
    there = np.asarray(truth[ours.row, np.where(come, ours.new, ours.old)]).ravel() > 0
    right = int((there == come).sum())
    return PlantedError(images=len(rows), before=wrong(table), after=wrong(after), changes=len(ours), right=right)


def _splits(config: CleanDataset) -> Ints:
    return np.array([SPLITS.index(name) for name in config.splits], np.int64)


def _share(which: np.ndarray) -> float:
    return round(float(which.mean()), 6) if len(which) else 0.0


# --- what is said ----------------------------------------------------------------------------


def _summary(record: CleaningRecord, plan: Plan) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "policy": record.policy,
        "method": record.method,
        "changed": int(plan.made.sum()) - record.checked,
        "changed_by_checking": record.checked,
        "only_proposed": int((plan.rule == RULES.index(KEPT)).sum()),
    }
    for claim in record.claims:
        summary |= {
            f"{claim.kind}_changed": claim.changed,
            f"{claim.kind}_threshold": _number(claim.threshold),
            f"{claim.kind}_precision": _number(claim.precision),
            f"{claim.kind}_precision_interval": _told(claim.interval),
            f"{claim.kind}_verified": claim.verified,
        }
    if record.planted is not None:
        summary |= {"planted_wrong_before": record.planted.before, "planted_wrong_after": record.planted.after}
    return summary


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _told(ends: tuple[float, float] | None) -> str | None:
    return None if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def plan_changes(config: CleanDataset) -> dict[str, Any]:
    """What the stage would do, as JSON values: ``cleaning.json``, how many labels change, and why it is refused."""
    cleaning = _cleaning(config)
    return {
        "dry_run": True,
        "refusal": cleaning.plan.refusal,
        **_summary(cleaning.record, cleaning.plan),
        "cleaning": cleaning.record.to_json(),
    }


def show_plan(planned: dict[str, Any]) -> None:
    """Print what ``plan_changes`` says."""
    _show(CleaningRecord.model_validate(planned["cleaning"]))
    tell("nothing was written")
    if planned["refusal"] is not None:
        tell(f"it would be refused: {planned['refusal']}")


def show_cleaned(outputs: Sequence[Path]) -> None:
    """Print the changes of cleaned data sets."""
    for output in outputs:
        _show(CleaningRecord.read(output / CLEANING))
        tell(f"cleaned data set: {output}")


def _show(record: CleaningRecord) -> None:
    header = ["class", "labels", "gone", "come", "checked", "after", "right on verified", "95 %"]
    classes = sorted(record.classes, key=lambda one: (-(one.gone + one.come + one.checked), one.name))
    rows = [
        [
            one.name,
            f"{one.labels:,}",
            f"{one.gone:,}",
            f"{one.come:,}",
            f"{one.checked:,}",
            f"{one.after:,}",
            f"{one.right} of {one.verified}" if one.verified else "-",
            "-" if one.interval is None else f"{one.interval[0]:.2f} to {one.interval[1]:.2f}",
        ]
        for one in classes[:_MOST_SHOWN]
    ]
    notes = [] if len(classes) <= _MOST_SHOWN else [f"and {len(classes) - _MOST_SHOWN:,} more classes"]
    if rows:
        print_table(header, rows, notes)
    for claim in record.claims:
        tell(_sentence(claim, record))
    if record.checked:
        tell(f"{record.checked:,} labels are as the checked images have it")
    for remark in record.remarks:
        tell(f"note: {remark}")


def _sentence(claim: Claim, record: CleaningRecord) -> str:
    made = {"replace": "labels replaced", "remove": "labels taken away", "add": "tags added"}[claim.kind]
    if claim.threshold is None:
        return f"0 of {claim.proposed:,} {made}"
    measured = "not measured: no verified image tells"
    if claim.precision is not None:
        ends = "" if claim.interval is None else f" [{claim.interval[0]:.2f}, {claim.interval[1]:.2f}]"
        measured = f"precision {claim.precision:.2f}{ends} on {claim.verified:,} verified"
    would = claim.changed if record.policy != "suggest" else 0
    return f"{would:,} of {claim.proposed:,} {made} (probability from {claim.threshold:.3f} on; {measured})"
