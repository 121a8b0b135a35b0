"""Which rows a run trains on, in what batches, and their labels: the same for features and for images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlcli.console import say
from nlcli.data.labels import FULL, choose_clean
from nlcli.errors import NlcliError
from nlcli.training.loop.sampling import BatchSampler, Order, Pool, clean_rows_in_batch

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import CleanRows, Phase


class CachedFeatures(Protocol):
    """Features by row, a ``FeatureStore`` or something in memory.

    Attributes:
        shape: (N, D).
        dtype: float32 or float16.
    """

    shape: tuple[int, int]
    dtype: Any

    def rows_of(self, keys: Sequence[str] | np.ndarray, strict: bool = True) -> np.ndarray:
        """(n,) int64 rows of images by key; -1 for those without features where that is no error."""

    def read_into(self, sorted_rows: np.ndarray, out: np.ndarray) -> None:
        """Read rows (n,), which increase, into ``out`` (n, D)."""


@dataclass(frozen=True)
class StoredRows:
    """Rows of a data set that have features or can be read as images, in the order in which these lie.

    Attributes:
        dataset: (n,) int64 rows of the data set.
        stored: (n,) int64 rows of the features, or positions among the images, increasing.
        missing: how many rows were asked for that are not there.
    """

    dataset: np.ndarray
    stored: np.ndarray
    missing: int

    def __len__(self) -> int:
        return len(self.dataset)


def stored_rows(table: LabelTable, store: CachedFeatures, rows: np.ndarray) -> StoredRows:
    """Those of ``rows`` whose features are cached."""
    stored = np.asarray(store.rows_of(table.keys[rows], strict=False), np.int64)
    order = np.argsort(stored, kind="stable")
    order = order[np.searchsorted(stored[order], 0) :]
    return StoredRows(rows[order], stored[order], len(rows) - len(order))


@dataclass(frozen=True)
class TrainingRows:
    """The pools of a run, as positions in ``used``: neighbours in a pool are neighbours on disk.

    Attributes:
        used: all training images that a phase reads.
        chosen: dataset rows chosen as the clean set, with those that cannot be used.
        clean: the images of V in any phase.
        labelled: images with a noisy label: T of phases on noisy labels alone.
        mixed: those outside the clean set: T of mixed phases.
        verified: V by what a phase asks of it, ``Phase.clean_rows``.
        without_positives: by kind of labels, the classes that none of them is positive for.
    """

    used: StoredRows
    chosen: np.ndarray
    clean: np.ndarray
    labelled: np.ndarray
    mixed: np.ndarray
    verified: Mapping[CleanRows, np.ndarray]
    without_positives: dict[str, list[str]] = field(default_factory=dict)

    def pools(self, phase: Phase) -> tuple[np.ndarray, np.ndarray]:
        """V and T of ``phase``."""
        return self.verified[phase.clean_rows], self.mixed if phase.rows == "mixed" else self.labelled


def choose_rows(
    table: LabelTable,
    phases: Sequence[Phase],
    clean_fraction: float,
    seed: int,
    usable: Callable[[np.ndarray], StoredRows],
    needed: str,
) -> TrainingRows:
    """The pools that ``phases`` draw from.

    Args:
        usable: Those of some rows that can be trained on.
        needed: What these have and others lack, such as "has features".

    Raises:
        NlcliError: a pool that a phase needs is empty.
    """
    kinds = {phase.rows for phase in phases}
    nothing = np.empty(0, np.int64)
    chosen = choose_clean(table, clean_fraction, seed) if kinds & {"clean", "mixed"} else nothing
    labelled = nothing
    if kinds & {"noisy", "mixed"}:
        labelled = table.rows("train")
        labelled = labelled[np.diff(table.noisy.indptr)[labelled] > 0]
    if "noisy" not in kinds:
        labelled = np.setdiff1d(labelled, chosen)
    used = usable(np.union1d(chosen, labelled))
    is_clean, is_labelled = np.isin(used.dataset, chosen), np.isin(used.dataset, labelled)
    verified: dict[CleanRows, np.ndarray] = {
        phase.clean_rows: np.flatnonzero(is_clean & _informs(table, used.dataset, phase.clean_rows)).astype(np.int32)
        for phase in phases
    }
    asked = [verified[phase.clean_rows] for phase in phases if phase.rows != "noisy"]
    clean = np.unique(np.concatenate([np.empty(0, np.int32), *asked]))
    noisy, mixed = (np.flatnonzero(which).astype(np.int32) for which in (is_labelled, is_labelled & ~is_clean))
    rows = TrainingRows(used, chosen, clean, noisy, mixed, verified)
    for phase in phases:
        clean, noisy = rows.pools(phase)
        if phase.rows != "noisy" and not len(clean):
            raise NlcliError(
                f"the clean set is empty: none of its {len(chosen)} images {needed}{_INFORMS[phase.clean_rows]}"
            )
        if phase.rows != "clean" and not len(noisy):
            outside = " outside the clean set" if phase.rows == "mixed" else ""
            raise NlcliError(
                f"no training image{outside} has a noisy label and {needed}; "
                f"{'lower --clean-fraction' if outside and len(clean) else 'use a data set with noisy labels'}"
            )
    return _with_empty_classes(table, rows)


_INFORMS = {"any": "", "named": " and a class that a person named", "pairs": " and a verified noisy label"}


def _informs(table: LabelTable, rows: np.ndarray, what: str) -> np.ndarray:
    """Which verified ``rows`` have what ``Phase.clean_rows`` asks for: (n,) bool."""
    if what == "pairs":
        noisy, known = table.noisy[rows] > 0, table.present[rows] + table.absent[rows]
        checked = np.asarray(noisy.multiply(known).sum(axis=1)).ravel() > 0
        fully: np.ndarray = table.verification[rows] == FULL
        return checked | (fully & (np.asarray(noisy.sum(axis=1)).ravel() > 0))
    if what == "named" and table.task == "single-label":
        return np.asarray(table.present[rows].sum(axis=1)).ravel() > 0
    return np.ones(len(rows), bool)


def _with_empty_classes(table: LabelTable, rows: TrainingRows) -> TrainingRows:
    for kind, positions, labels in (("clean", rows.clean, table.present), ("noisy", rows.labelled, table.noisy)):
        if len(positions):
            counts = np.asarray((labels[rows.used.dataset[positions]] > 0).sum(axis=0)).ravel()
            names = [table.classes[c] for c in np.flatnonzero(counts == 0)]
            rows.without_positives[kind] = names
            if names:
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                say(f"{len(names)} of {table.num_classes} classes have no positive {kind} label: {shown}")
    return rows


# --- batches ---------------------------------------------------------------------------------


def clean_rows(phase: Phase, batch_size: int, clean: np.ndarray, noisy: np.ndarray) -> int:
    """V rows in a batch of ``phase``, whose pools are ``clean`` and ``noisy``."""
    if phase.rows == "mixed":
        share = phase.clean_share
        return clean_rows_in_batch(batch_size, len(clean) / (len(clean) + len(noisy)) if share is None else share)
    return batch_size if phase.rows == "clean" else 0


def batch_sampler(
    phase: Phase,
    batch_size: int,
    pools: tuple[np.ndarray, np.ndarray],
    seed: int,
    *,
    names: tuple[str, str] = ("V", "T"),
    order: Order = "shuffled",
) -> BatchSampler:
    """What draws the batches of ``phase`` from V and T, ``pools``.

    Args:
        names: streams that the two are shuffled by, within the phase's.
    """
    clean = clean_rows(phase, batch_size, *pools)
    verified, noisy = (
        Pool(rows, seed, f"{phase.name}/{name}", order) if count else None
        for rows, name, count in zip(pools, names, (clean, batch_size - clean), strict=True)
    )
    return BatchSampler(batch_size, clean, verified, noisy)


def batch_labels(
    table: LabelTable, phase: Phase, clean: int, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy labels, verified labels and their mask of (K, B) rows of the data set, the first ``clean`` from V.

    Returns:
        (K, rows with noisy labels, C), (K, clean, C), (K, clean, C) uint8; see ``Batch``.
    """
    noisy = rows if phase.noisy_labels == "all" else rows[:, clean:]
    y = table.noisy_targets(noisy.ravel())
    v, m = table.verified_targets(rows[:, :clean].ravel())
    count = len(rows)
    y, v, m = (labels.reshape(count, len(labels) // count, labels.shape[1]) for labels in (y, v, m))
    return y, v, m
