"""Planted noise on several labels an image: true tags go missing, wrong ones are added.

Of class c with n_c true tags on N images, each true tag goes missing with probability ``drop``, and so many wrong tags
are added that ``add * n_c`` are to be expected, each on one of the N - n_c other images. ``rates`` gives classes rates
of their own. Who is more likely to lose or to get a tag is decided by the kind: with a margin m of each image for the
class, standardised over those that could lose it (or get it), the log-odds are -sharpness m (or +sharpness m), plus
what makes the mean the rate.

================= ====================================================================================
kind              m, an image's margin for class c
================= ====================================================================================
``symmetric``     0: every image alike
``co-occurrence`` the mean of P(c | i) over the image's other true tags i, the share of the images with i
                  that have c too; the share of c where it has no other tag. What is usual beside the
                  others is added; what is unusual beside them goes missing.
``features``      the score of c by ridge regressions from normalised features to the true tags, each
                  fifth of the images scored by a fit to the others: what is hard to see goes missing,
                  what resembles the class is given its tag.
================= ====================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress
from nlcli.data.config import AddNoise
from nlcli.data.derived.resemblance import FOLDS, Resemblance, chance_of
from nlcli.data.labels import LabelTable
from nlcli.data.tables import read_rows, row_unit
from nlcli.errors import NlcliError, unknown_name
from nlcli.seeds import stream
from nlcli.stages.files import csv_text, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_array

RATES = "tag_rates.csv"
RATE_COLUMNS = ("class", "true", "dropped", "added", "drop", "add")
_CELLS = 1 << 25  # margins in memory at a time


def check_tag_options(config: AddNoise) -> None:
    """Refuse options that do not fit together on several labels an image.

    Raises:
        NlcliError: with what to leave out or to give.
    """
    if config.kind in ("pair", "matrix"):
        raise NlcliError(
            f"--kind {config.kind} is of data with one label an image; this data set has several: use symmetric, "
            "co-occurrence or features, with --rates for rates of every class"
        )
    if config.rate is not None:
        raise NlcliError(
            "--rate is of data with one label an image; this data set has several: give --drop and --add, or --rates"
        )
    if config.drop is None and config.add is None and config.rates is None:
        raise NlcliError("noise on several labels an image needs --drop, --add or --rates")
    if (config.features is not None) != (config.kind == "features"):
        given = config.features is not None
        raise NlcliError(f"--kind {config.kind} takes no --features" if given else "--kind features needs --features")


def plant_tags(config: AddNoise, table: LabelTable, truth: csr_array, rows: np.ndarray) -> csr_array:
    """The given tags of ``rows``: (n, C) uint8 CSR.

    Args:
        truth: (n, C) CSR of the true tags of ``rows``.
        rows: (n,) int64 rows of the table.

    Raises:
        NlcliError: rates that cannot be reached, a table of rates or features that do not fit.
    """
    from scipy.sparse import csc_array

    frequency = np.asarray((truth > 0).sum(axis=0)).ravel().astype(np.int64)
    drop, add = _rates(config, table.classes, frequency, len(rows))
    order = np.argsort(table.keys[rows], kind="stable")
    margins = _margins(config, table, truth, rows, order)
    columns = truth.tocsc()
    width = max(1, _CELLS // max(1, len(rows)))
    given: list[np.ndarray] = []
    with progress(table.num_classes, "planting noise", unit="classes") as bar:
        for start in range(0, table.num_classes, width):
            part = slice(start, min(start + width, table.num_classes))
            margin = margins(part)
            for c in range(part.start, part.stop):
                has = np.zeros(len(rows), bool)
                has[columns.indices[columns.indptr[c] : columns.indptr[c + 1]]] = True
                uniform = np.empty(len(rows))
                uniform[order] = stream(config.seed, "planted tags", table.classes[c]).random(len(rows))
                own = np.zeros(len(rows)) if margin is None else margin[:, c - start].astype(np.float64)
                chance = np.empty(len(rows))  # of a wrong entry
                chance[has] = chance_of(-own[has], float(drop[c]), config.sharpness)
                chance[~has] = chance_of(own[~has], float(add[c]), config.sharpness)
                given.append(np.flatnonzero(has ^ (uniform < chance)))
                bar.advance()
    indptr = np.concatenate(([0], np.cumsum([len(images) for images in given])))
    columnwise = csc_array((np.ones(indptr[-1], np.uint8), np.concatenate(given), indptr), shape=truth.shape)
    return columnwise.tocsr()


def write_tag_rates(path: Path, classes: tuple[str, ...], truth: csr_array, given: csr_array) -> None:
    """Write what was planted by class, as ``--rates`` reads it."""
    true, kept = truth > 0, (truth > 0).multiply(given > 0)
    frequency = np.asarray(true.sum(axis=0)).ravel().astype(np.int64)
    dropped = frequency - np.asarray(kept.sum(axis=0)).ravel().astype(np.int64)
    added = np.asarray((given > 0).sum(axis=0)).ravel().astype(np.int64) - (frequency - dropped)
    shares = np.stack([dropped, added]) / np.maximum(frequency, 1)
    write_csv(
        path,
        RATE_COLUMNS,
        (
            (name, frequency[c], dropped[c], added[c], f"{shares[0, c]:.6g}", f"{shares[1, c]:.6g}")
            for c, name in enumerate(classes)
        ),
    )


# --- rates -----------------------------------------------------------------------------------


def _rates(
    config: AddNoise, classes: tuple[str, ...], frequency: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chance of every class that a true tag goes missing, and that an image without it gets it: (C,) float64 each."""
    drop, add = np.full(len(classes), config.drop or 0.0), np.full(len(classes), config.add or 0.0)
    if config.rates is not None:
        for name, own in read_tag_rates(config.rates, classes).items():
            drop[classes.index(name)], add[classes.index(name)] = own
    others = images - frequency
    chance = np.divide(add * frequency, others, out=np.zeros(len(classes)), where=others > 0)
    above = np.flatnonzero(chance > 0.9)
    if len(above):
        c = above[0]
        raise NlcliError(
            f"adding {add[c]:g} wrong tags for each of the {frequency[c]:,} true ones of class '{classes[c]}' would "
            f"give it to {100 * min(1.0, chance[c]):.0f} % of the {others[c]:,} other images; lower --add, or give the "
            "class a rate of its own by --rates"
        )
    return drop, chance


def read_tag_rates(path: Path, classes: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Rates ``drop`` and ``add`` by class from a table with columns class, drop, add.

    Raises:
        NlcliError: naming the line, for a class that there is not or that comes twice, and for a rate out of range.
    """
    rates: dict[str, tuple[float, float]] = {}
    unit = row_unit(path)
    for number, cells in read_rows(path, RATE_COLUMNS, ("class", "drop", "add")):
        name = csv_text(cells["class"])
        if name not in classes:
            raise NlcliError(f"{path}, {unit} {number}: {unknown_name(name, classes, 'class')}")
        if name in rates:
            raise NlcliError(f"{path}, {unit} {number}: class '{name}' comes twice; keep one of the two")
        rates[name] = (_rate(cells["drop"], 1.0, path, number), _rate(cells["add"], 100.0, path, number))
    return rates


def _rate(cell: str, most: float, path: Path, number: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise NlcliError(f"{path}, {row_unit(path)} {number}: '{cell[:40]}' is not a number from 0 to {most:g}")
    return value


# --- margins ---------------------------------------------------------------------------------


def _margins(
    config: AddNoise, table: LabelTable, truth: Any, rows: np.ndarray, order: np.ndarray
) -> Callable[[slice], np.ndarray | None]:
    """Gives the margins (n, k) of some classes; None where all images are alike."""
    if config.kind == "symmetric":
        return lambda _: None
    if config.kind == "co-occurrence":
        return lambda part: usual_company(truth, part)
    from nlcli.data.features.store import FeatureStore

    assert config.features is not None
    store = FeatureStore(config.features)
    store.require_images_of(table, config.dataset)
    fold = np.empty(len(rows), np.int64)
    fold[order] = stream(config.seed, "planted tags", "folds").permutation(len(rows)) % FOLDS
    return Resemblance(store, store.rows_of(table.keys[rows]), truth, fold).scores


def usual_company(truth: Any, classes: slice) -> np.ndarray:
    """(n, k) mean of P(c | i) over an image's other true tags i; the share of c where it has no other.

    Args:
        truth: (n, C) CSR of true tags.
        classes: The k classes c.
    """
    has = (truth > 0).astype(np.float64).tocsr()
    frequency = np.asarray(has.sum(axis=0)).ravel()
    own = has[:, classes].toarray()
    together = np.asarray(has.T @ own)  # (C, k) images with both
    beside = together / np.maximum(frequency, 1)[:, None]
    width = own.shape[1]
    first = classes.start or 0
    beside[np.arange(first, first + width), np.arange(width)] = 0  # a tag is not its own company
    count = np.asarray(has.sum(axis=1)).ravel()[:, None] - own
    share = frequency[first : first + width] / max(1, has.shape[0])
    total = np.asarray(has @ beside)
    company: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), share)
    return company
