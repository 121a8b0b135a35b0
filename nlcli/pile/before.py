"""What ``nlcli clean`` made of a pile before, which is cleaned again with the answers of people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.label_files import dataset_blocks
from nlcli.data.labels import SPLITS
from nlcli.errors import NlcliError
from nlcli.pile.config import CleanPile
from nlcli.pile.places import DATASET, DETECTION, PIPELINE, QUEUE, absolute
from nlcli.stages.publishing import RECORD
from nlcli.stages.stage import read_stage

_DECIDED = (
    "labels",
    "checked",
    "task",
    "verified_means",
    "class_names",
    "features",
    "keys",
    "backbone",
    "weights",
    "image_size",
    "pretrain_steps",
    "duplicates",
)
"""Options that were decided when the pile was cleaned first."""


@dataclass(frozen=True)
class Before:
    """Directories of the clean before.

    Attributes:
        dataset, features: Of the pile.
        queue: What it asked.
    """

    dataset: Path
    features: Path
    queue: Path


def is_ours(folder: Path) -> bool:
    """Whether ``nlcli clean`` made the folder, or a stage did: its pictures are no photographs of anybody."""
    return (folder / RECORD).is_file() or ((folder / PIPELINE).is_file() and (folder / DATASET / RECORD).is_file())


def read_before(config: CleanPile) -> Before:
    """What lies where ``config`` says that a pile was cleaned before.

    Raises:
        NlcliError: nothing does, nothing was measured then, or an option is given that was decided then.
    """
    where = absolute(config.photos)
    if not (where / PIPELINE).is_file() or not (where / DATASET / RECORD).is_file():
        raise NlcliError(
            f"{config.photos} was not made by nlcli clean; --answers go with what it made before, in place of the "
            "folder of pictures (answers on pictures that were never cleaned are --checked)"
        )
    for name in _DECIDED:
        if getattr(config, name) != CleanPile.model_fields[name].default:
            flag = name.replace("_", "-")
            raise NlcliError(
                f"--{flag} was decided when {config.photos} was made; leave it out, or clean the pictures anew"
            )
    dataset, queue = where / DATASET, where / QUEUE
    features = read_stage(where / DETECTION).input_path("features")
    read_stage(queue)
    if features is None:
        raise NlcliError(f"{where / DETECTION} does not say which features it read; clean the folder of pictures anew")
    if not _is_measured(dataset):
        raise NlcliError(
            f"no image of {config.photos} was checked, so that none is left to choose and to measure by; clean the "
            f"folder of pictures again, with --checked {' '.join(map(str, config.answers))}"
        )
    return Before(dataset, absolute(features), queue)


def _is_measured(dataset: Path) -> bool:
    """Whether validation and test have verified images."""
    verified = np.zeros(len(SPLITS), np.int64)
    for block in dataset_blocks(dataset):
        known = (np.diff(block.present.indptr) + np.diff(block.absent.indptr)) > 0
        verified += np.bincount(block.split[known], minlength=len(SPLITS))
    return bool((verified[[SPLITS.index("validation"), SPLITS.index("test")]] > 0).all())
