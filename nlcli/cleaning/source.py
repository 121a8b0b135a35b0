"""What proposes changes of labels: a detection of label noise, or a run whose method gives cleaned labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.cleaning.label_changes import confidences
from nlcli.cleaning.proposals import Proposals, joined, make_proposals, rejections, replacements, tag_changes
from nlcli.data.detection_files import NOISE, read_detection
from nlcli.data.labels import NONE as NOBODY
from nlcli.data.labels import LabelTable, choose_clean, noisy_classes
from nlcli.data.tag_detection_files import TagEntries, read_tag_detection
from nlcli.detection.verification import UNVERIFIED, visible_labels
from nlcli.errors import NlcliError
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.stages.arrow_arrays import rows_of
from nlcli.stages.stage import StageRecord


@dataclass(frozen=True, eq=False)
class Source:
    """What is proposed, and by what.

    Attributes:
        method: Name of the detector, or of the run's method.
        told: (N,) images of the data set whose verified labels may be used: those of the source's clean set, and of
            validation; never those of test.
        refusal: Why nothing may be changed by it, and what to do; None where something may.
    """

    record: StageRecord
    method: str
    proposals: Proposals
    told: Bools
    refusal: str | None = None


def of_detection(record: StageRecord, table: LabelTable, policy: str) -> Source:
    """What a detection of label noise in ``table`` proposes.

    Raises:
        NlcliError: it is of another data set, its files are damaged, or it has no probabilities.
    """
    entry = record.inputs.get("dataset")
    if entry is None or entry.fingerprint != table.fingerprint:
        raise NlcliError(
            f"{record.path} was made of another data set, or of this one before it changed; run nlcli detect-noise on "
            "it again"
        )
    return (_of_tags if table.task == "multi-label" else _of_single_labels)(record, table, policy)


def _of_single_labels(record: StageRecord, table: LabelTable, policy: str) -> Source:
    detection = read_detection(record.path)
    info, row = detection.info, _rows(record, table, detection.keys)
    if info.classes != table.classes:
        raise NlcliError(f"{record.path} has other classes than the data set; run nlcli detect-noise again")
    if len(np.unique(row)) < len(row):
        raise NlcliError(f"{record.path / NOISE} names an image twice; run nlcli detect-noise again")
    own = _probabilities(record, detection.probability)
    sure = _probabilities(record, detection.suggested_probability)
    held_out = np.isin(np.asarray(table.classes, object), info.held_out.classes) & (not info.held_out.verification_used)
    visible = visible_labels(table, info.clean.fraction, info.clean.seed, held_out)
    told = visible != UNVERIFIED
    if np.isnan(own).all() and len(own):
        # Nothing verified made probabilities of the scores: what is called wrong is to be looked at, not changed.
        called = detection.verdict == 0
        wrong = row[called]
        proposals = make_proposals(wrong, noisy_classes(table)[wrong], detection.suggested[called], np.nan)
        refusal = (
            f"{record.path} has no probabilities, because too few noisy labels were verified to make them by; verify "
            "more and detect again, or pass --policy suggest, which lists what it calls wrong"
        )
        return Source(record, info.method, proposals, told, refusal)
    if policy == "drop":
        proposals = rejections(table, row, own, visible)
    else:
        proposals = replacements(table, row, own, detection.suggested, sure, told)
    return Source(record, info.method, proposals, told)


# --- several labels an image -----------------------------------------------------------------


def _of_tags(record: StageRecord, table: LabelTable, policy: str) -> Source:
    detection = read_tag_detection(record.path)
    info = detection.info
    if info.classes != table.classes:
        raise NlcliError(f"{record.path} has other classes than the data set; run nlcli detect-noise again")
    told = np.zeros(len(table), bool)
    validation = table.rows("validation")
    told[validation] = table.verification[validation] > NOBODY
    judges = told.copy()
    if (table.verification[table.rows("train")] > NOBODY).any():
        told[choose_clean(table, info.clean.fraction, info.clean.seed)] = True
    if not any(entry.stage == "run" for entry in record.inputs.values()):
        judges = told  # the detector has out-of-fold scores of them; a run was fitted on those of train
    proposals = joined(_block_of_tags(record, table, entries, judges, policy) for entries in detection.blocks())
    keys = proposals.row * table.num_classes + np.maximum(proposals.old, proposals.new)
    if len(np.unique(keys)) < len(keys):
        raise NlcliError(f"{record.path / NOISE} names an entry twice; run nlcli detect-noise again")
    return Source(record, info.method, proposals, told)


def _block_of_tags(
    record: StageRecord, table: LabelTable, entries: TagEntries, judges: Bools, policy: str
) -> Proposals:
    """The proposals among some rows; the others are forgotten, so that memory holds what is in question alone."""
    probability = _probabilities(record, entries.probability)
    which = np.where(entries.given, probability < 0.5, (probability > 0.5) & (policy != "drop"))
    entries, probability = entries.at(np.flatnonzero(which)), probability[which]
    row = _rows(record, table, entries.keys)
    if not np.array_equal(~np.isnan(confidences(table, row, entries.classes)), entries.given):
        raise NlcliError(f"{record.path / NOISE} has other tags than the data set; run nlcli detect-noise again")
    word = np.where(judges[row], entries.verified, UNVERIFIED)
    return tag_changes(row, entries.classes, entries.given, probability, word)


# --- checked ---------------------------------------------------------------------------------


def _rows(record: StageRecord, table: LabelTable, keys: np.ndarray) -> Ints:
    """Rows of the label table; a key that it does not have is refused."""
    row: Ints = rows_of(table.keys, keys)
    if (row < 0).any():
        raise NlcliError(
            f"{record.path / NOISE} names an image that the data set does not have; run nlcli detect-noise again"
        )
    return row


def _probabilities(record: StageRecord, given: np.ndarray) -> Floats:
    """float64, NaN where there is none."""
    values = np.asarray(given, np.float64)
    outside = ~(np.isnan(values) | ((values >= 0) & (values <= 1)))
    if outside.any():
        raise NlcliError(f"{record.path / NOISE} has a probability outside of 0 to 1; run nlcli detect-noise again")
    return values
