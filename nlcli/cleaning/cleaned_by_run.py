"""Labels as the papers' own methods clean them: what a run makes of the noisy labels of its data set.

- ``veit`` gives ``c_hat`` (Veit 2017, eq. 1), ``noise-types`` the posterior of the true class given image and noisy
  label (Xiao 2015, eq. 5), ``teacher-student`` what the teacher says (Hu 2018).
- On single labels they are divided by their sum: an image has one class. A label is replaced where another class is
  likelier than it. On several labels a tag goes below 0.5 and comes above, at most ``MOST_ADDED`` to an image.

None of them is calibrated: how often they are right is measured on the verified images of validation, which the run
was not fitted on, and the threshold is raised until that is what is asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.cleaning.proposals import MOST_ADDED, NONE, Proposals, joined, rejections, replacements, tag_changes
from nlcli.cleaning.source import Source
from nlcli.console import progress
from nlcli.data.features.store import FeatureStore
from nlcli.data.labels import FULL, LabelTable, choose_clean, noisy_classes, only_class
from nlcli.data.labels import NONE as NOBODY
from nlcli.errors import NlcliError
from nlcli.metrics.arrays import Bools, Ints
from nlcli.stages.stage import StageRecord, read_stage
from nlcli.training.run_config import CONFIG, RunConfig
from nlcli.training.saved_head import Head, load_head

_ROWS = 2048  # images whose labels are cleaned at a time


def of_run(record: StageRecord, table: LabelTable, features: Path | None, policy: str, splits: Ints) -> Source:
    """What the run's cleaned labels propose for images of ``splits``, and for those of validation that judge it.

    Raises:
        NlcliError: its method gives no cleaned labels, it is of another data set, or the features are.
    """
    config, head = RunConfig.read(record.path / CONFIG), load_head(record.path)
    if config.dataset_fingerprint != table.fingerprint:
        raise NlcliError(
            f"{record.path} was trained on another data set, or on this one before it changed; train it on this one"
        )
    if not head.method.cleans:
        head.cleaned(np.zeros((0, 0)), np.zeros((0, 0)))  # says so
    store = FeatureStore((features and read_stage(features, "features").path) or _features(record))
    if store.backbone_fingerprint != head.backbone_fingerprint:
        raise NlcliError(
            f"{store.path} holds features of another backbone than the one {record.path} was trained on; extract "
            "features with that backbone"
        )
    validation = np.zeros(len(table), bool)
    validation[table.rows("validation")] = True
    judges = validation & (table.verification > NOBODY)
    told = judges.copy()
    if (table.verification[table.rows("train")] > NOBODY).any():
        told[choose_clean(table, config.clean_fraction, config.seed)] = True
    rows = np.flatnonzero(np.isin(table.split, splits) | judges)
    return Source(record, head.method.name, _proposals(head, table, store, rows, judges, policy), told)


def _features(record: StageRecord) -> Path:
    return record.input_stage("features", "--features").path


def _proposals(head: Head, table: LabelTable, store: FeatureStore, rows: Ints, judges: Bools, policy: str) -> Proposals:
    single = table.task == "single-label"
    if single:
        rows = rows[noisy_classes(table)[rows] >= 0]
    places = store.rows_of(table.keys[rows], strict=False)
    rows, places = rows[places >= 0], places[places >= 0]
    parts = []
    with progress(len(rows), f"cleaning labels with {head.method.name}", unit="images") as bar:
        for first in range(0, len(rows), _ROWS):
            some = slice(first, first + _ROWS)
            values = np.asarray(store.read(places[some]), np.float32)
            clean = head.cleaned(table.noisy_targets(rows[some]), values).astype(np.float64)
            if not np.isfinite(clean).all():
                raise NlcliError(f"{head.path} gives cleaned labels that are not finite; train it with a lower rate")
            of = _single if single else _several
            parts.append(of(table, rows[some], np.clip(clean, 0, 1), judges, policy))
            bar.advance(len(clean))
    return joined(parts)


def _single(table: LabelTable, rows: Ints, clean: np.ndarray, judges: Bools, policy: str) -> Proposals:
    total = clean.sum(axis=1, keepdims=True)
    share = np.divide(clean, total, out=np.zeros_like(clean), where=total > 0)
    at = np.arange(len(rows))
    noisy = noisy_classes(table)[rows]
    own = share[at, noisy]
    if policy == "drop":
        true = only_class(table.present)
        given = noisy_classes(table)
        full = judges & (table.verification == FULL)
        called_wrong = _holds(table.absent, given)
        word = np.where(judges & (true >= 0) & (true == given), 1, np.where(full | (judges & called_wrong), 0, -1))
        return rejections(table, rows, own, word.astype(np.int8))
    order = np.argsort(-share, axis=1, kind="stable")[:, :3]
    first = order[:, 0]
    second = order[:, 1] if order.shape[1] > 1 else np.full(len(rows), NONE)
    third = order[:, 2] if order.shape[1] > 2 else np.full(len(rows), NONE)
    runner_up = np.where(second == noisy, third, second)
    suggested = np.where(share[at, first] > 0, first, NONE)
    return replacements(table, rows, own, suggested, share[at, first], judges, runner_up)


def _holds(matrix: object, of_class: Ints) -> Bools:
    """(N,) whether each row of a matrix (N, C) has an entry of ``of_class``, -1 being none."""
    part = matrix.tocoo()  # type: ignore[attr-defined]
    holds = np.zeros(len(of_class), bool)
    holds[part.row[(part.data > 0) & (part.col == of_class[part.row])]] = True
    return holds


def _several(table: LabelTable, rows: Ints, clean: np.ndarray, judges: Bools, policy: str) -> Proposals:
    given = table.noisy_targets(rows) > 0
    missing = np.where(given, -1.0, clean)
    if missing.shape[1] > MOST_ADDED:  # the likeliest missing ones of each image
        least = np.partition(missing, -MOST_ADDED, axis=1)[:, [-MOST_ADDED]]
        missing = np.where(missing >= least, missing, -1.0)
    which = (given & (clean < 0.5)) | ((missing > 0.5) & (policy != "drop"))
    at, of_class = np.nonzero(which)
    v, mask = table.verified_targets(rows)
    word = np.where(mask[at, of_class] & judges[rows[at]], v[at, of_class], -1).astype(np.int8)
    return tag_changes(rows[at], of_class.astype(np.int64), given[at, of_class], clean[at, of_class], word)
