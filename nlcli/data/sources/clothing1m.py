"""Clothing1M (Xiao et al. 2015): a million noisy labels from texts, and three small clean sets.

========== =============================== =====================================================
split      lists                           verification
========== =============================== =====================================================
train      noisy and clean training keys   full where ``clean_label_kv.txt`` has the image
validation clean validation keys           full
test       clean test keys                 full
========== =============================== =====================================================

Every image has the noisy label that ``noisy_label_kv.txt`` states for it, none where it states
none. About 37 k images of the clean sets have one (25 k in train): they are the pairs from which
confusion is estimated. An image of the clean validation or test set that is also a noisy training
key stays where the clean list puts it; how many there are is said and recorded.

File names contain commas, so nothing here is parsed as CSV. Some copies keep the lists under
``annotations/``; keys start with ``images/`` either way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.config import BuildClothing1M
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import single_label_table
from nlcli.data.lists import find_file, read_keys, read_labelled, read_names
from nlcli.data.pictures import pictures_changed, renew_pictures
from nlcli.data.sources.base import (
    TEST,
    TRAIN,
    VALIDATION,
    compare_counts,
    enumerate_some,
    limited,
    missing_files,
    refuse_missing,
    write_left_out,
)
from nlcli.data.statistics import noise_summary, write_single_label_statistics
from nlcli.errors import NlcliError
from nlcli.stages.files import fingerprint_json
from nlcli.stages.stage import open_stage

NUM_CLASSES = 14
LISTS = {
    "noisy_train": "noisy_train_key_list.txt",
    "clean_train": "clean_train_key_list.txt",
    "clean_validation": "clean_val_key_list.txt",
    "clean_test": "clean_test_key_list.txt",
    "noisy_labels": "noisy_label_kv.txt",
    "clean_labels": "clean_label_kv.txt",
    "names": "category_names_eng.txt",
}
# The set's own description; Xiao 2015, section 5.1, has the same clean sets.
PUBLISHED = {
    "noisy_train": 1_000_000,
    "clean_train": 47_570,
    "clean_validation": 14_313,
    "clean_test": 10_526,
    "noisy_labels": 1_037_497,
    "clean_labels": 72_409,
    "clean_with_noisy_label": 37_497,
}


def build_clothing1m(config: BuildClothing1M, *, force: bool = False) -> Path:
    """Build the data set; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: a list is missing, or has a malformed line, an unlabelled key, or a key that two
            clean lists share.
    """
    places = (config.root, config.root / "annotations")
    lists = {name: find_file(places, file, "Clothing1M") for name, file in LISTS.items()}
    classes = read_names(lists["names"], NUM_CLASSES)
    keys = {name: read_keys(lists[name]) for name in ("noisy_train", "clean_train", "clean_validation", "clean_test")}
    clean = read_labelled(lists["clean_labels"], NUM_CLASSES, "images/... CLASS")
    noisy = read_labelled(lists["noisy_labels"], NUM_CLASSES, "images/... CLASS")
    split = _split(lists, keys)
    for name, part in keys.items():
        labels, source = (noisy, "noisy_labels") if name == "noisy_train" else (clean, "clean_labels")
        for number, key in enumerate(part, start=1):
            if key not in labels:
                raise NlcliError(
                    f"{lists[name]}, entry {number}: '{key}' has no label in {lists[source]}; complete the lists"
                )
    order = sorted(split)
    missing = missing_files(config.root, order)
    inputs: dict[str, Any] = {**lists, "missing": fingerprint_json([order[i] for i in np.flatnonzero(missing)])}
    with open_stage("dataset", config, inputs, force=force, stale=pictures_changed, renew=renew_pictures) as stage:
        if stage.up_to_date:
            return stage.output
        counts = compare_counts(
            {name: len(part) for name, part in keys.items()}
            | {
                "noisy_labels": len(noisy),
                "clean_labels": len(clean),
                "clean_with_noisy_label": sum(key in noisy for key in clean),
            },
            PUBLISHED,
            "Clothing1M",
        )
        shared = {
            name: sorted(set(keys["noisy_train"]) & set(keys[name]))
            for name in ("clean_train", "clean_validation", "clean_test")
        }
        for name in ("clean_validation", "clean_test"):
            if shared[name]:
                say(
                    f"note: {len(shared[name]):,} images of the {name.replace('_', ' ')} set are noisy training keys, "
                    f"too ({enumerate_some(shared[name])}); they are left out of train"
                )
        unlisted = [key for key in dict.fromkeys((*noisy, *clean)) if key not in split]
        if unlisted:
            say(
                f"note: {len(unlisted):,} images that have a label are in no list of keys "
                f"({enumerate_some(unlisted)}); they are left out; is a list cut off?"
            )
        refuse_missing(missing, order, str(config.root), config.allow_missing, fixed=True)
        there = [key for key, gone in zip(order, missing, strict=True) if not gone]
        table = single_label_table(
            classes,
            there,
            there,
            config.root,
            np.asarray([split[key] for key in there], np.int8),
            np.asarray([noisy.get(key, -1) for key in there], np.int64),
            np.asarray([clean.get(key, -1) for key in there], np.int64),
        )
        table = limited(table, config.limit)
        write_dataset(
            stage.work,
            table,
            {
                "name": "Clothing1M",
                "source": "Xiao et al. 2015: labels of surrounding texts; clean labels of people",
                "counts": counts,
                "noisy_keys_in_clean_sets": {name: len(part) for name, part in shared.items()},
            },
        )
        write_left_out(
            stage.work,
            [
                *((key, "noisy_train", f"in {name}") for name in list(shared)[1:] for key in shared[name]),
                *((key, "labels", "in no list of keys") for key in unlisted),
                *((order[i], "any", "missing") for i in np.flatnonzero(missing)),
            ],
        )
        pairs = write_single_label_statistics(stage.work, table)
        stage.finish(
            noise_summary(table)
            | pairs
            | {
                "left_out": int(missing.sum()),
                "labels_of_unlisted_images": len(unlisted),
                "noisy_keys_in_test": len(shared["clean_test"]),
                "noisy_keys_in_validation": len(shared["clean_validation"]),
                "as_published": not counts["differing"],
            }
        )
    return stage.output


def _split(lists: dict[str, Path], keys: dict[str, list[str]]) -> dict[str, int]:
    """Split of every key; what a clean list says wins over the noisy one."""
    split = dict.fromkeys(keys["noisy_train"], TRAIN)
    before: dict[str, str] = {}
    for name, number in (("clean_train", TRAIN), ("clean_validation", VALIDATION), ("clean_test", TEST)):
        for position, key in enumerate(keys[name], start=1):
            if key in before:
                raise NlcliError(
                    f"{lists[name]}, entry {position}: '{key}' is also in {lists[before[key]]}; an image may be in one "
                    "clean set only"
                )
            before[key] = name
            split[key] = number
    return split
