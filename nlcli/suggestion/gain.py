"""What checking has brought so far, by the checked images of train and validation, and what more of it may bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from nlcli.console import say
from nlcli.data.features.store import FeatureStore
from nlcli.data.labels import NONE, SPLITS, LabelTable, true_classes
from nlcli.estimation.checking_curve import LEAST, CheckingCurve, checking_curve
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.images import Images
from nlcli.estimation.scale import FeatureScale
from nlcli.seeds import stream

MOST_OTHERS = 50_000
"""Images that nobody has checked beyond which a random part of them stands for all."""


def gain_of_checking(features: Path, dataset: Path, table: LabelTable, seed: int) -> CheckingCurve | None:
    """The curve of the images of train and validation that have features; None where too few are checked.

    Images of test take no part in it.

    Raises:
        NlcliError: the features are of other images.
    """
    store = FeatureStore(features)
    store.require_images_of(table, dataset)
    place = store.rows_of(table.keys, strict=False)
    here = (place >= 0) & (table.split != SPLITS.index("test"))
    noisy = np.diff(table.noisy.indptr) > 0
    checked = here & (true_classes(table) >= 0 if table.task == "single-label" else table.verification > NONE)
    others = np.flatnonzero(here & noisy & ~checked & (table.split == SPLITS.index("train")))
    if np.count_nonzero(checked) < LEAST:
        return None
    if len(others) > MOST_OTHERS:
        others = np.sort(stream(seed, "others").choice(others, MOST_OTHERS, replace=False))
    rows = np.sort(np.concatenate([np.flatnonzero(checked), others]))
    say(f"what checking brings: 7 parts of {np.count_nonzero(checked):,} checked images, 5 folds each")
    verified, known = table.verified_matrices(rows, checked[rows])
    return checking_curve(
        Images(
            design=ArrayBlocks(FeatureScale("unit").apply(store.read(place[rows]))),
            task=table.task,
            classes=table.num_classes,
            noisy=csr_array(table.noisy[rows] > 0),
            labelled=noisy[rows].astype(np.float64),
            verified=verified,
            known=known,
            checked=checked[rows],
        ),
        seed,
    )
