"""The import-verification stage: what people answered becomes a data set that knows it.

The result is the data set that was asked about, with its noisy labels, paths and splits, and what was answered as
verified labels. ``verification.parquet`` (``log.py``) keeps who said what and when, ``verification.json``
(``verification_record.py``) tells how far people agree, how many suggested errors were errors, and how many labels
are wrong. Images that were chosen by score are no sample: statistics of verified labels leave them out, and in
validation and test they do not become verified unless that is asked for, because everything is measured there.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcli.answers import found
from nlcli.answers.answer import Answer
from nlcli.answers.config import ImportVerification
from nlcli.answers.log import write_log
from nlcli.answers.matching import match, read_all
from nlcli.answers.queue import Asked, Queue, read_queue
from nlcli.answers.settling import WRONG, Settled, moment, settle
from nlcli.answers.verification_record import VERIFICATION, AgreementRecord, Found, Rate, VerificationRecord
from nlcli.answers.words import Word, Words
from nlcli.console import print_table, say, tell
from nlcli.data.known_labels import with_known
from nlcli.data.label_files import read_dataset, write_dataset
from nlcli.data.labels import SPLITS, LabelTable, noisy_classes
from nlcli.data.score_chosen import CARRIED, carry_score_chosen, write_sample_statistics
from nlcli.data.sources.base import enumerate_some, write_left_out
from nlcli.data.true_tags import carry_truth
from nlcli.errors import NlcliError, printable
from nlcli.metrics.agreement import agreement
from nlcli.metrics.formats import ends_text
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.suggestion.candidates import PAIRS

_FEWEST_TO_TRUST = 50
_TRAIN = SPLITS.index("train")


def import_verification(config: ImportVerification, *, force: bool = False) -> Path:
    """Take the answers in; see the module's docstring.

    Returns:
        The directory of the data set that knows them.

    Raises:
        NlcliError: with the file and the place, for whatever does not fit (``matching.py``, ``words.py``,
            ``settling.py``).
    """
    if not config.answers:
        raise NlcliError("there are no answers; give a file of them as --answers")
    suggestion = None if config.suggestion is None else read_stage(config.suggestion, "suggestion")
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "suggestion": suggestion,
    }
    inputs |= {"answers" if not i else f"answers {i + 1}": path for i, path in enumerate(config.answers)}
    with open_stage("dataset", config, inputs, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        imported = _import(config, suggestion)
        for remark in imported.record.remarks:
            say(f"note: {remark}")
        table, result = imported.before, imported.after
        write_log(
            stage.work, config.dataset, imported.record.round, table, imported.answers, imported.settled.words,
            imported.asked,
        )  # fmt: skip
        carry_truth(config.dataset, stage.work, table)
        if (config.dataset / CARRIED).is_file():  # what the log does not tell
            carry_score_chosen(config.dataset, stage.work, table)
        if (config.dataset / PAIRS).is_file():
            shutil.copyfile(config.dataset / PAIRS, stage.work / PAIRS)
        write_dataset(
            stage.work,
            result,
            {
                **{name: value for name, value in table.info.items() if name != "images"},
                "made_from": table.fingerprint,
                "verification_round": imported.record.round,
            },
            derived=True,
        )
        write_left_out(stage.work, [(name, file, "no such image") for name, file in imported.unmatched])
        told = write_sample_statistics(stage.work, result)
        imported.record.write(stage.work / VERIFICATION)
        stage.finish(told | _summary(imported.record))
    return stage.output


# --- what is done ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Imported:
    before: LabelTable
    after: LabelTable
    answers: list[Answer]
    settled: Settled
    asked: Mapping[int, Asked]
    unmatched: list[tuple[str, str]]
    record: VerificationRecord


def _import(config: ImportVerification, suggestion: StageRecord | None) -> _Imported:
    table = read_dataset(config.dataset)
    earlier = None
    if (config.dataset / VERIFICATION).is_file():
        earlier = VerificationRecord.read(config.dataset / VERIFICATION)
    ancestors = () if earlier is None else earlier.ancestors
    queue = None if suggestion is None else read_queue(suggestion, table)
    asked = {} if queue is None else queue.asked
    answers = read_all(config.answers, table.task)
    rows, unmatched = match(answers, config.answers, table, frozenset({table.fingerprint, *ancestors}))
    if unmatched:
        names = [printable(name) for name, _ in unmatched]
        say(
            f"warning: {len(unmatched):,} answered images are not in the data set "
            f"({enumerate_some(names[:4], len(names))}); they are left out"
        )
    closed = frozenset[int]()
    if config.measured_splits == "random":
        closed = frozenset(row for row, of in asked.items() if table.split[row] != _TRAIN and not of.at_random)
    reader = Words(table, asked, config.scope)
    settled = settle(answers, rows.tolist(), table, reader, config.conflicts, closed)
    if not settled.known:
        raise NlcliError(_nothing_said(config, answers, settled))
    after = with_known(table, settled.known, settled.full)
    states: Counter[str] = Counter(answer.state for answer, row in zip(answers, rows.tolist(), strict=True) if row >= 0)
    states["no such image"] = len(unmatched)
    used = [word for word in settled.words if word.state == "used"]
    entries = found.entries_of(table, asked, settled.known)
    by_how, by_probability = found.predicted_and_found(entries, {row: of.how for row, of in asked.items()})
    rates: list[Rate] = []
    remarks: list[str] = []
    rounds = () if earlier is None else earlier.rounds
    pool = 0 if earlier is None else earlier.pool
    tag_rounds = () if earlier is None else earlier.tag_rounds
    if queue is not None and suggestion is not None:
        rate = found.rate_of_round(entries, queue, table.task)
        rates += [] if rate is None else [rate]
        if queue.record.dataset_fingerprint != table.fingerprint:
            remarks.append(
                f"{config.suggestion} was made of another state of the data set: shares of wrong labels over several "
                "rounds do not count it"
            )
        elif table.task == "single-label":
            if not found.follows(rounds, queue, pool):
                rounds, pool = (), queue.record.may_be_asked
            rounds = (*rounds, found.this_round(entries, queue, suggestion.fingerprint, rounds))
            over = found.rate_of_rounds(pool, rounds) if len(rounds) > 1 else None
            rates += [] if over is None else [over]
        else:
            this = found.this_tag_round(entries, queue, suggestion.fingerprint, asked)
            if this is not None:
                tag_rounds = (*(tag_rounds if found.tags_follow(tag_rounds, this) else ()), this)
                over = found.rate_of_tag_rounds(tag_rounds) if len(tag_rounds) > 1 else None
                rates += [] if over is None else [over]
    remarks += _remarks(config, table, queue, rates, settled, states)
    record = VerificationRecord(
        task=table.task,
        round=1 if earlier is None else earlier.round + 1,
        scope=config.scope,
        conflicts=config.conflicts,
        measured_splits=config.measured_splits,
        answers=dict(sorted(states.items())),
        images=len(settled.known),
        present=sum(there for known in settled.known.values() for there in known.values()),
        absent=sum(1 - there for known in settled.known.values() for there in known.values()),
        left_out=dict(sorted(Counter(word.state for word in settled.words if word.state != "used").items())),
        changed=settled.changed,
        annotators=dict(sorted(Counter(answers[word].who for word in {word.answer for word in used}).items())),
        agreement=_agreement(table, answers, settled.words),
        found=by_how,
        by_probability=by_probability,
        rates=tuple(rates),
        rounds=rounds,
        pool=pool,
        tag_rounds=tag_rounds,
        ancestors=(*ancestors, table.fingerprint),
        dataset_fingerprint=table.fingerprint,
        suggestion_fingerprint=None if suggestion is None else suggestion.fingerprint,
        remarks=tuple(remarks),
    )
    return _Imported(table, after, answers, settled, asked, unmatched, record)


def _nothing_said(config: ImportVerification, answers: Sequence[Answer], settled: Settled) -> str:
    files = ", ".join(str(path) for path in config.answers)
    if any(word.state == "chosen by score" for word in settled.words):
        return (
            f"all answers in {files} are on images of validation and test that were chosen by score, by which nothing "
            "can be measured; pass --measured-splits all to take them in all the same"
        )
    told = Counter(answer.state for answer in answers)
    parts = ", ".join(f"{count:,} {state}" for state, count in sorted(told.items()))
    return f"{files}: nothing is answered ({parts}); fill in the answers, or submit them, and export them again"


def _remarks(
    config: ImportVerification,
    table: LabelTable,
    queue: Queue | None,
    rates: Sequence[Rate],
    settled: Settled,
    states: Mapping[str, int],
) -> list[str]:
    remarks = []
    told = Counter(word.state for word in settled.words)
    if told["chosen by score"]:
        remarks.append(
            f"{told['chosen by score']:,} answers on images of validation and test that were chosen by score are in "
            "the log alone: what is measured there would be wrong by them (--measured-splits all takes them in)"
        )
    if told["not asked"]:
        remarks.append(f"{told['not asked']:,} ticked classes were not asked about; they are in the log alone")
    if told["undecided"]:
        remarks.append(f"{told['undecided']:,} answers stand against as many others; what was known before stays")
    if settled.changed:
        remarks.append(f"{settled.changed:,} labels that were known before are others now")
    idle = states.get("skipped", 0) + states.get("not looked at", 0)
    if idle:
        remarks.append(f"{idle:,} images were skipped or not looked at; nothing is known of them")
    if queue is None:
        remarks.append("no queue is given, so that nothing tells which images are a sample: no share of wrong labels")
        if any(table.split[row] != _TRAIN for row in settled.known):
            remarks.append(
                "images of validation or test became verified; nothing tells whether they were drawn at random"
            )
    elif not rates:
        remarks.append("no image that was drawn at random is answered, so that no share of wrong labels can be told")
    elif rates[-1].drawn < _FEWEST_TO_TRUST:
        remarks.append(
            f"the share of wrong labels rests on {rates[-1].drawn:,} images that were drawn at random; below "
            f"{_FEWEST_TO_TRUST} it is not to be trusted"
        )
    return remarks


def _agreement(table: LabelTable, answers: Sequence[Answer], words: Sequence[Word]) -> AgreementRecord | None:
    """On what two people or more answered; of one person's answers the newest one.

    Of one label an image somebody may only have said that the noisy one is wrong: there no more than that is compared.
    """
    units: dict[tuple[int, int], dict[str, tuple[float, int]]] = {}
    single = table.task == "single-label"
    for word in words:
        if word.there < 0:
            continue
        answer = answers[word.answer]
        unit = (word.row, -1 if single else word.of_class)
        value = (word.of_class if word.there else WRONG) if single else word.there
        time = moment(answer.when)
        told = units.setdefault(unit, {})
        who = answer.who or answer.file
        if who not in told or time >= told[who][0]:
            told[who] = (time, value)
    said = {unit: {who: value for who, (_, value) in told.items()} for unit, told in units.items()}
    if single:
        noisy = noisy_classes(table)
        for (row, _), values in said.items():
            if WRONG in values.values():
                said[row, -1] = {who: value if value == noisy[row] else WRONG for who, value in values.items()}
    made = agreement(list(said.values()))
    if made is None:
        return None
    return AgreementRecord(
        units=made.units,
        people=made.people,
        raw=round(made.raw, 6),
        kappa=None if made.kappa is None else round(made.kappa, 6),
        alpha=None if made.alpha is None else round(made.alpha, 6),
    )


# --- what is said ----------------------------------------------------------------------------


def _summary(record: VerificationRecord) -> dict[str, Any]:
    summary: dict[str, Any] = {"round": record.round, "answered_images": record.images}
    for one in record.found:
        summary |= {f"{one.how}_labels": one.labels, f"{one.how}_expected": one.expected, f"{one.how}_wrong": one.wrong}
    if record.agreement is not None:
        summary |= {"agreement": record.agreement.raw, "alpha": record.agreement.alpha}
    if record.rates:
        rate = record.rates[-1]
        summary |= {
            "share_wrong": rate.value,
            "share_wrong_interval": None if rate.interval is None else "{:.4f} to {:.4f}".format(*rate.interval),
            "share_wrong_drawn": rate.drawn,
        }
    return summary


def show_imported(outputs: Sequence[Path]) -> None:
    """Print what answers said."""
    for output in outputs:
        record = VerificationRecord.read(output / VERIFICATION)
        tell(
            f"{record.images:,} images are known by {record.present:,} classes that are there and {record.absent:,} "
            f"that are not; answers: {', '.join(f'{count:,} {state}' for state, count in record.answers.items())}"
        )
        _show_found(record.found, "chosen")
        _show_found(record.by_probability, "probability of being wrong")
        if record.agreement is not None:
            tell(_agreed(record.agreement))
        for rate in record.rates:
            tell(
                f"wrong labels: {100 * rate.value:.1f} %{ends_text(rate.interval, '.1f', 100)} of the {rate.of}, by "
                f"{rate.drawn:,} that were drawn at random"
            )
        for remark in record.remarks:
            tell(f"note: {remark}")
        tell(f"data set that knows the answers: {output}; give it to nlcli detect-noise, with the features of before")


def _show_found(found: Sequence[Found], what: str) -> None:
    rows = [
        [
            one.how,
            f"{one.labels:,}",
            f"{one.expected:,.1f}",
            f"{one.wrong:,}",
            f"{100 * one.wrong / one.labels:.0f} %{ends_text(one.interval, '.0f', 100)}",
        ]
        for one in found
    ]
    if rows:
        print_table([what, "labels", "expected wrong", "found wrong", "share"], rows)


def _agreed(told: AgreementRecord) -> str:
    parts = [f"{told.people:,} people agree on {100 * told.raw:.1f} % of {told.units:,} answers"]
    if told.kappa is not None:
        parts.append(f"Cohen's kappa {told.kappa:.2f}")
    if told.alpha is not None:
        parts.append(f"Krippendorff's alpha {told.alpha:.2f}")
    return "; ".join(parts)
