"""Planted label noise: a clean data set becomes a noisy one whose truth is known.

With one label an image (with several: ``nlcli.data.derived.tag_noise``):

============= ==================================================================================
kind          the noisy label of an image of class c
============= ==================================================================================
``symmetric`` another class with probability ``rate``, each of the C - 1 others alike
``pair``      the next class (the first one after the last) with probability ``rate``
``matrix``    class j with probability M[c, j], M a CSV file's or another data set's counts of
              (true class, noisy class); with ``rate`` what is off the diagonal is scaled to it
``features``  by the image: those that resemble other classes flip more, towards these classes
============= ==================================================================================

``features`` (after the idea of Xia et al. 2020, "Part-dependent label noise"; the form is our own):
ridge regression from normalised features to the classes gives each image scores s, each
fifth of the images scored by a fit to the other four fifths. With z = (best wrong score - score of
the true class), standardised over the images, the image flips with probability
sigmoid(sharpness z + b), b such that the mean is ``rate``, and goes to a wrong class j with
probability proportional to exp(sharpness s_j / sd(s)). ``sharpness`` 0 is symmetric noise.

What comes out. Every image of ``splits`` has a noisy label (or given tags). A part ``verified`` of train (drawn by
``choose_clean``: seeded, nested) stays verified; the rest of train is not verified any more.
Validation and test stay verified. The truth of all images is in ``truth.parquet``, for evaluation
only (``read_truth``, ``read_true_tags``); ``noise_matrix.csv`` (``tag_rates.csv``) counts what was planted and can be
planted again.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.config import AddNoise
from nlcli.data.derived.resemblance import FOLDS, Resemblance, chance_of
from nlcli.data.derived.tag_noise import RATES, check_tag_options, plant_tags, write_tag_rates
from nlcli.data.label_confusion import write_confusion
from nlcli.data.label_files import DESCRIPTION, DatasetRecord, read_dataset, write_dataset, write_truth
from nlcli.data.labels import FULL, NONE, SPLITS, LabelTable, choose_clean, noisy_classes, one_label, true_classes
from nlcli.data.score_chosen import carry_score_chosen
from nlcli.data.statistics import label_statistics, noise_summary, write_single_label_statistics, write_statistics
from nlcli.data.true_tags import write_true_tags
from nlcli.errors import NlcliError, unknown_name
from nlcli.metrics.decisions import confusion_matrix
from nlcli.stages.files import csv_text
from nlcli.stages.publishing import RECORD
from nlcli.stages.stage import open_stage, read_stage
from nlcli.stages.text_lines import bounded_lines

MATRIX = "noise_matrix.csv"
_STREAM = 0x6E6F6973


def add_noise(config: AddNoise, *, force: bool = False) -> Path:
    """Plant noise; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: the data set lacks true classes, the options do not fit together or not the data set's task, or
            the matrix, the rates or the features do not fit the data set.
    """
    source = read_stage(config.dataset, "dataset")
    several = DatasetRecord.read(source.path / DESCRIPTION).task == "multi-label"
    if several:
        check_tag_options(config)
    else:
        _check(config)
    inputs: dict[str, Any] = {
        "dataset": source,
        "matrix": config.matrix,
        "rates": config.rates,
        "features": None if config.features is None else read_stage(config.features, "features"),
    }
    with open_stage("dataset", config, inputs, seed=config.seed, force=force) as stage:
        if not stage.up_to_date:
            # The table is the callee's alone, which lets go of it.
            stage.finish((_plant_tags if several else _plant_classes)(config, read_dataset(config.dataset), stage.work))
    return stage.output


def _rows(config: AddNoise, table: LabelTable, known: np.ndarray) -> np.ndarray:
    """int64 rows of the splits whose labels are replaced; ``known`` (N,) bool must hold for them."""
    rows = np.flatnonzero(np.isin(table.split, [SPLITS.index(name) for name in config.splits]))
    unknown = rows[~known[rows]]
    if len(unknown):
        raise NlcliError(
            f"{config.dataset}: {_truth_of(table)} of {len(unknown):,} of {len(rows):,} images is not known (such as "
            f"'{table.keys[unknown[0]]}'); name only splits with --splits that are fully verified"
        )
    return rows


def _truth_of(table: LabelTable) -> str:
    return "the whole truth" if table.task == "multi-label" else "the true class"


def _write(config: AddNoise, table: LabelTable, noisy: Any, work: Path) -> LabelTable:
    """Write ``table`` with the noisy labels (N, C) and without the truth of the unverified part of train."""
    result = _planted(table, config, noisy)
    carry_score_chosen(config.dataset, work, table)
    write_dataset(
        work,
        result,
        {
            **{name: value for name, value in table.info.items() if name != "images"},
            "noise": config.recipe(),
            "made_from": table.fingerprint,
        },
        derived=True,
    )
    return result


def _plant_classes(config: AddNoise, table: LabelTable, work: Path) -> dict[str, Any]:
    """Plant noise on one label an image; the stage's summary."""
    noisy, planted = _noisy_classes(config, table, work)
    result = _write(config, table, one_label(noisy, table.num_classes, np.float32), work)
    del table, noisy  # of a million images a tenth of the memory
    pairs = write_single_label_statistics(work, result)
    return noise_summary(result) | pairs | {"kind": config.kind} | planted


def _noisy_classes(config: AddNoise, table: LabelTable, work: Path) -> tuple[np.ndarray, dict[str, float]]:
    """(N,) int64 noisy class of each image, and how many are wrong by split; writes the truth and the confusion."""
    true = true_classes(table)
    rows = _rows(config, table, true >= 0)
    flips, targets = _draw(table.keys, config.seed)
    noisy = noisy_classes(table)
    if config.kind == "features":
        noisy[rows] = _flip_by_features(config, table, true, rows, flips[rows], targets[rows])
    else:
        matrix = _transition(config, table.classes, true[rows])
        noisy[rows] = sample_by_class(matrix, true[rows], targets[rows])
    del flips, targets
    write_truth(work, table.keys, true)
    counts = confusion_matrix(true[rows], noisy[rows], table.num_classes)
    write_confusion(work / MATRIX, table.classes, counts)
    planted = {
        f"{name}_wrong": round(float(np.mean(noisy[part] != true[part])), 4)
        for name in config.splits
        if len(part := table.rows(name))
    }
    return noisy, planted


def _plant_tags(config: AddNoise, table: LabelTable, work: Path) -> dict[str, Any]:
    """The same on several labels an image."""
    from scipy.sparse import csr_array

    known = table.verification == FULL
    rows = _rows(config, table, known)
    truth = (table.present > 0).astype(np.uint8).tocsr()
    given = plant_tags(config, table, truth[rows], rows)
    write_true_tags(work, table.keys, csr_array(truth.multiply(known[:, None])).tocsr(), known)
    write_tag_rates(work / RATES, table.classes, truth[rows], given)
    kept = np.setdiff1d(np.arange(len(table)), rows)
    back = np.argsort(np.concatenate([kept, rows]), kind="stable")
    noisy = vstack_rows(table.noisy[kept], given.astype(np.float32))[back]
    result = _write(config, table, noisy, work)
    write_statistics(work, label_statistics(result))
    frequency, right = truth[rows].sum(), truth[rows].multiply(given).sum()
    return noise_summary(result) | {
        "kind": config.kind,
        "true_tags": int(frequency),
        "dropped": round(float(1 - right / max(1, frequency)), 4),
        "given_tags": int(given.sum()),
        "given_wrong": round(float(1 - right / max(1, given.sum())), 4),
    }


def vstack_rows(above: Any, below: Any) -> Any:
    """Two CSR matrices with the same columns, one over the other."""
    from scipy.sparse import csr_array, vstack

    return csr_array(vstack([above, below], format="csr"))


def _check(config: AddNoise) -> None:
    if config.kind == "co-occurrence" or any(given is not None for given in (config.drop, config.add, config.rates)):
        raise NlcliError(
            "--kind co-occurrence, --drop, --add and --rates are of data with several labels an image; this data set "
            "has one: give --rate, with --kind symmetric, pair, matrix or features"
        )
    if config.rate is None and config.kind != "matrix":
        raise NlcliError(f"--kind {config.kind} needs --rate, the share of wrong labels")
    for name in ("matrix", "features"):
        given = getattr(config, name) is not None
        if given != (config.kind == name):
            raise NlcliError(f"--kind {config.kind} takes no --{name}" if given else f"--kind {name} needs --{name}")


def _planted(table: LabelTable, config: AddNoise, noisy: Any) -> LabelTable:
    """``table`` with the noisy labels, the truth of the unverified part of train taken out."""
    verification = table.verification.copy()
    if "train" in config.splits:
        hidden = table.rows("train")
        if config.verified > 0 and len(hidden):
            hidden = np.setdiff1d(hidden, choose_clean(table, config.verified, config.seed))
        verification[hidden] = NONE
    keep = (verification != NONE).astype(np.uint8)[:, None]
    return replace(
        table,
        noisy=noisy,
        present=_nonzero(table.present.multiply(keep).tocsr().astype(np.uint8)),
        absent=_nonzero(table.absent.multiply(keep).tocsr().astype(np.uint8)),
        verification=verification,
        info={},
        fingerprint="",
    )


def _nonzero(matrix: Any) -> Any:
    matrix.eliminate_zeros()
    return matrix


# --- by class --------------------------------------------------------------------------------


def _draw(keys: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two uniform numbers for every image that depend on the seed and the set of keys alone."""
    order = np.argsort(keys, kind="stable")
    drawn = np.empty((2, len(keys)))
    drawn[:, order] = np.random.default_rng([seed, _STREAM]).random((2, len(keys)))
    return drawn[0], drawn[1]


def _sample(probability: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One class of each row of ``probability`` (n, C) by inverting its distribution at ``uniform``."""
    cumulative = np.cumsum(probability, axis=1)
    # The last class with any probability catches what rounding leaves above the sum.
    last = probability.shape[1] - 1 - np.argmax(probability[:, ::-1] > 0, axis=1)
    drawn: np.ndarray = np.minimum((cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(axis=1), last)
    return drawn


def sample_by_class(matrix: np.ndarray, true: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """What ``_sample(matrix[true], uniform)`` gives, a class at a time: nothing is as large as images times classes.

    Args:
        matrix: (C, C) distributions by row.
        true: (n,) the row of each image.
        uniform: (n,).
    """
    drawn = np.empty(len(true), np.int64)
    order = np.argsort(true, kind="stable")
    ends = np.searchsorted(true[order], np.arange(len(matrix)), side="right")
    for c, members in enumerate(np.split(order, ends[:-1])):
        if len(members):
            cumulative = np.cumsum(matrix[c])
            last = int(np.flatnonzero(matrix[c] > 0)[-1])
            place = np.searchsorted(cumulative, uniform[members] * cumulative[-1], side="right")
            drawn[members] = np.minimum(place, last)
    return drawn


def _transition(config: AddNoise, classes: tuple[str, ...], true: np.ndarray) -> np.ndarray:
    """(C, C) float64: row c is the distribution of the noisy label of an image of class c."""
    count = len(classes)
    if config.kind == "matrix":
        assert config.matrix is not None
        matrix = read_matrix(config.matrix, classes, np.unique(true))
        return matrix if config.rate is None else _scaled(matrix, config.rate, true, config.matrix)
    assert config.rate is not None
    if config.kind == "symmetric":
        return np.where(np.eye(count, dtype=bool), 1 - config.rate, config.rate / (count - 1))
    return (1 - config.rate) * np.eye(count) + config.rate * np.roll(np.eye(count), 1, axis=1)


def _scaled(matrix: np.ndarray, rate: float, true: np.ndarray, path: Path) -> np.ndarray:
    """``matrix`` with its wrong labels scaled so that a share ``rate`` of these images is wrong."""
    wrong = matrix * (1 - np.eye(len(matrix)))
    expected = float(wrong.sum(axis=1)[true].mean())
    if expected == 0:
        raise NlcliError(f"{path} has no wrong labels to scale to --rate {rate}")
    scaled = wrong * (rate / expected)
    totals = scaled.sum(axis=1)
    if totals.max() > 1:
        raise NlcliError(
            f"{path}: with --rate {rate} a class would be wrong with probability {totals.max():.2f}; lower it"
        )
    return scaled + np.diag(1 - totals)


def read_matrix(path: Path, classes: tuple[str, ...], needed: np.ndarray) -> np.ndarray:
    """Transition probabilities (C, C) from counts or shares; rows are true classes, normalised to 1.

    Args:
        path: A CSV file whose header is ``true`` and the noisy classes and whose rows begin with
            the true class, or a data set, whose verified images with a noisy label are counted.
        classes: The C classes in order; the file's may stand in another order.
        needed: Classes whose rows must have a positive sum; another's that has none stays itself.

    Raises:
        NlcliError: with the line, for other classes, numbers that are negative or none, or an
            empty row that is needed.
    """
    if (path / RECORD).is_file():
        other = read_dataset(path)
        if set(other.classes) != set(classes):
            stranger = min(set(other.classes) ^ set(classes))
            raise NlcliError(f"{path} and the data set have different classes ('{stranger}' is in one of them only)")
        true, noisy = true_classes(other), noisy_classes(other)
        pairs = (true >= 0) & (noisy >= 0) & (other.split != SPLITS.index("test"))
        order = np.asarray([classes.index(name) for name in other.classes])
        counts = confusion_matrix(order[true[pairs]], order[noisy[pairs]], len(classes)).astype(np.float64)
    else:
        counts = _csv_matrix(path, classes)
    totals = counts.sum(axis=1)
    for c in needed:
        if totals[c] <= 0:
            raise NlcliError(f"{path}: the row of class '{classes[c]}' sums to 0; fill it")
    counts = np.where((totals > 0)[:, None], counts, np.eye(len(classes)))
    probability: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return probability


def _csv_matrix(path: Path, classes: tuple[str, ...]) -> np.ndarray:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in cells] for cells in csv.reader(bounded_lines(file, path)) if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NlcliError(f"cannot read matrix {path}: {error}") from error
    if not lines:
        raise NlcliError(f"matrix {path} is empty")
    position = {name: i for i, name in enumerate(classes)}

    def place(name: str, number: int) -> int:
        if name not in position:
            raise NlcliError(f"matrix {path}, line {number}: {unknown_name(name, classes, 'class')}")
        return position[name]

    columns = [place(csv_text(name), 1) for name in lines[0][1:]]
    rows = [place(csv_text(cells[0]), number) for number, cells in enumerate(lines[1:], start=2)]
    for places, what in ((columns, "columns"), (rows, "rows")):
        if sorted(places) != list(range(len(classes))):
            raise NlcliError(f"matrix {path}: {len(places)} {what}, expected each of the {len(classes)} classes once")
    counts = np.empty((len(classes), len(classes)))
    for number, (row, cells) in enumerate(zip(rows, lines[1:], strict=True), start=2):
        if len(cells) != len(classes) + 1:
            raise NlcliError(f"matrix {path}, line {number}: {len(cells)} cells, expected {len(classes) + 1}")
        for column, cell in zip(columns, cells[1:], strict=True):
            try:
                value = float(cell)
            except ValueError:
                value = -1.0
            if not (np.isfinite(value) and value >= 0):
                raise NlcliError(f"matrix {path}, line {number}: '{cell[:40]}' is not a number from 0 on")
            counts[row, column] = value
    return counts


# --- by image --------------------------------------------------------------------------------


def _flip_by_features(
    config: AddNoise, table: LabelTable, true: np.ndarray, rows: np.ndarray, flips: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Noisy classes of ``rows`` (int64); ``flips`` and ``targets`` are uniform numbers for each."""
    from nlcli.data.features.store import FeatureStore

    assert config.features is not None
    assert config.rate is not None
    store = FeatureStore(config.features)
    store.require_images_of(table, config.dataset)
    order = np.argsort(table.keys[rows], kind="stable")
    fold = np.empty(len(rows), np.int64)
    fold[order] = np.random.default_rng([config.seed, _STREAM, 1]).permutation(len(rows)) % FOLDS
    targets_of_classes = one_label(true[rows], table.num_classes)
    scores = Resemblance(store, store.rows_of(table.keys[rows]), targets_of_classes, fold).scores()
    chance = flip_chance(scores, true[rows], config.rate, config.sharpness)
    spread = float(scores.std()) or 1.0
    logits = scores.astype(np.float64) * (config.sharpness / spread)
    logits[np.arange(len(rows)), true[rows]] = -np.inf
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.where(flips < chance, _sample(likely, targets), true[rows])


def flip_chance(scores: np.ndarray, true: np.ndarray, rate: float, sharpness: float) -> np.ndarray:
    """Probability that each image's label is wrong: (n,) float64 with mean ``rate``.

    Args:
        scores: (n, C) how much each image resembles each class.
        true: (n,) true classes.
        sharpness: Slope of the log-odds by the standardised margin of the best wrong class.
    """
    if rate == 0:
        return np.zeros(len(true))
    own = scores[np.arange(len(true)), true].astype(np.float64)
    others = scores.astype(np.float64).copy()
    others[np.arange(len(true)), true] = -np.inf
    margin = others.max(axis=1) - own
    return chance_of(margin, rate, sharpness)
