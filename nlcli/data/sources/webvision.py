"""WebVision 1 (Li et al. 2017) as Lee et al. 2018 use it, and ILSVRC 2012's validation set.

========== ========================================== ==========================================
split      images                                     verification
========== ========================================== ==========================================
train      lists of Google and Flickr                 partial, by a classifier (below)
validation a share of them, drawn class by class      the same; every one in the verified classes
test       ``val_filelist.txt`` (50 k)                full
========== ========================================== ==========================================

The papers choose checkpoints on the 50 k images they report on. Here a share of train is held out
for that, so that test stays untouched.

ILSVRC 2012's validation images are a second test set, in a data set directory of their own that
has the same classes and only a test split (``--ilsvrc-images``, ``--ilsvrc-list``): extract its
features with the same backbone and name both in ``nlcli eval --dataset --features``.

Pseudo-verification (Lee 2018, section 4.1): a noisy class is called right if it is among the top 5
predictions of an ImageNet classifier, wrong otherwise; 250 images of each verified class, drawn by
the seed. Verification conditions (table 5):

============== =======================================================================
``every-image`` every training image, in all classes
``all``         250 images of every class (all-1000)
``random-N``    250 images of each of N classes drawn by the seed (random-308, random-118)
``dogs-118``    250 images of each of the 118 dog classes
``semantic``    250 images of one class, drawn by the seed, of each group of classes that share
                a second-level hypernym in WordNet (semantic-308; ``--wordnet`` is its file)
a file          250 images of each class whose WordNet id stands in it, one a line
============== =======================================================================

The list of semantic-308 was not published. The first hypernym of the first hypernym in WordNet 3.0
makes 303 groups of the 1,000 classes. 82 classes have several such; other choices among these make
301 to 308 groups, and up to 316 are possible (docs/datasets/webvision.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.config import BuildWebVision
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import single_label_table, strings
from nlcli.data.lists import find_file, read_labelled, read_lines, shown
from nlcli.data.pictures import pictures_changed, renew_pictures
from nlcli.data.sources.base import (
    TEST,
    TRAIN,
    VALIDATION,
    compare_counts,
    enumerate_some,
    hold_out,
    limited,
    missing_files,
    refuse_missing,
    write_left_out,
)
from nlcli.data.sources.wordnet import nouns_file, second_hypernyms
from nlcli.data.statistics import noise_summary, write_single_label_statistics
from nlcli.errors import NlcliError
from nlcli.networks.imagenet import imagenet_ids
from nlcli.stages.files import fingerprint_json
from nlcli.stages.stage import open_stage, read_stage

NUM_CLASSES = 1000
PUBLISHED = {"google": 980_449, "flickr": 1_459_125, "test": 50_000}
FIRST_DOG, LAST_DOG = 151, 268  # indices of the 118 dog breeds among ILSVRC's classes, which are sorted by WordNet id
_TEST_FOLDERS = ("val_images_256", "val_images")  # of the resized and of the full release
_STREAM_HELD_OUT, _STREAM_VERIFIED, _STREAM_CLASSES = 0x7765626C, 0x77656276, 0x77656263
_STREAM_GROUPS = 0x77656267


def build_webvision(config: BuildWebVision, *, force: bool = False) -> Path:
    """Build the data set, or its second test set; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: a list is missing or malformed, an image is in train and test, or predictions
            are needed, missing for an image, or of a classifier with other classes.
    """
    info = (config.root / "info",)
    synsets = find_file(info, "synsets.txt", "WebVision")
    ids, names = read_synsets(synsets)
    count = min(config.first_classes or len(ids), len(ids))
    if config.ilsvrc_images is not None or config.ilsvrc_list is not None:
        return _build_ilsvrc(config, synsets, ids, names, count, force)
    sources: tuple[str, ...] = config.sources
    lists = {source: find_file(info, f"train_filelist_{source}.txt", "WebVision") for source in sources}
    lists["test"] = find_file(info, "val_filelist.txt", "WebVision")
    listed = {name: read_labelled(path, len(ids)) for name, path in lists.items()}
    published = {name: PUBLISHED[name] for name in listed}
    listed_counts = {name: len(part) for name, part in listed.items()}
    train = {key: label for name in sources for key, label in listed[name].items() if label < count}
    if sum(sum(label < count for label in listed[name].values()) for name in sources) > len(train):
        raise NlcliError(
            f"an image is listed in both {' and '.join(str(lists[name]) for name in sources)}; correct one"
        )
    folder = next((name for name in _TEST_FOLDERS if (config.root / name).is_dir()), _TEST_FOLDERS[0])
    test = {f"{folder}/{key}": label for key, label in listed["test"].items() if label < count}
    keys = [*sorted(train), *sorted(test)]
    both = set(train) & set(test)
    if both:
        raise NlcliError(
            f"{lists['test']}: '{min(both)}' is a training image as well; an image may be in one split only"
        )
    labels = np.asarray([train[k] if k in train else test[k] for k in keys], np.int64)
    missing = missing_files(config.root, keys)
    inputs: dict[str, Any] = {
        **lists,
        "synsets": synsets,
        "missing": fingerprint_json([keys[i] for i in np.flatnonzero(missing)]),
        "predictions": None if config.predictions is None else read_stage(config.predictions, "predictions"),
    }
    if (config.condition == "semantic") != (config.wordnet is not None):
        raise NlcliError("--condition semantic and --wordnet go together: give WordNet 3.0's data.noun, or neither")
    chosen = verified_classes(config.condition, ids, count, config.seed, config.wordnet)
    inputs["wordnet"] = None if config.wordnet is None else nouns_file(config.wordnet)
    inputs["condition"] = Path(config.condition) if is_list(config.condition) else None
    if chosen is None and config.predictions is not None:
        raise NlcliError(
            "--predictions are for verification, but --condition is none; name a condition or leave them out"
        )
    if chosen is not None and config.predictions is None:
        raise NlcliError(
            f"--condition {config.condition} needs --predictions of the training images (see nlcli annotate)"
        )
    with open_stage(
        "dataset", config, inputs, seed=config.seed, force=force, stale=pictures_changed, renew=renew_pictures
    ) as stage:
        if stage.up_to_date:
            return stage.output
        counts = compare_counts(listed_counts, published, "WebVision 1")
        refuse_missing(missing, keys, str(config.root), config.allow_missing, fixed=True)
        kept = np.flatnonzero(~missing)
        keys, labels = [keys[i] for i in kept], labels[kept]
        split = np.asarray([TRAIN if k in train else TEST for k in keys], np.int8)
        pool = np.flatnonzero(split == TRAIN)
        names_of_pool = strings([keys[i] for i in pool])
        held_out = hold_out(labels[pool], names_of_pool, config.validation_share, config.seed, _STREAM_HELD_OUT)
        split[pool[held_out]] = VALIDATION
        right = np.full(len(keys), -1, np.int8)
        if chosen is not None:
            right[pool] = _pseudo_verify(config, ids, names_of_pool, labels[pool])
            right[~np.isin(labels, chosen)] = -1
            if config.condition != "every-image":
                train_rows = np.flatnonzero(split == TRAIN)
                right[
                    train_rows[
                        ~draw_per_class(
                            labels[train_rows],
                            right[train_rows] >= 0,
                            strings([keys[i] for i in train_rows]),
                            config.per_class,
                            config.seed,
                        )
                    ]
                ] = -1
        is_test = split == TEST
        table = single_label_table(
            names[:count],
            keys,
            keys,
            config.root,
            split,
            np.where(is_test, -1, labels),
            np.where(is_test, labels, -1),
            right,
        )
        table = limited(table, config.limit, config.seed)
        write_dataset(
            stage.work,
            table,
            {
                "name": "WebVision 1",
                "source": "Li et al. 2017: image searches; validation images labelled by people",
                "counts": counts,
                "class_ids": list(ids[:count]),
                "condition": config.condition,
                "verified_classes": [] if chosen is None else [ids[c] for c in chosen],
            },
        )
        write_left_out(stage.work, ((keys[i], "any", "missing") for i in np.flatnonzero(missing)))
        pairs = write_single_label_statistics(stage.work, table)
        stage.finish(
            noise_summary(table)
            | pairs
            | {
                "left_out": int(missing.sum()),
                "condition": config.condition,
                "verified_classes": 0 if chosen is None else len(chosen),
                "as_published": not counts["differing"],
            }
        )
    return stage.output


def _build_ilsvrc(
    config: BuildWebVision, synsets: Path, ids: tuple[str, ...], names: tuple[str, ...], count: int, force: bool
) -> Path:
    if config.ilsvrc_images is None or config.ilsvrc_list is None:
        raise NlcliError("the second test set needs both --ilsvrc-images and --ilsvrc-list")
    if config.predictions is not None or config.condition != "none" or config.wordnet is not None:
        raise NlcliError("--predictions, --condition, --wordnet verify training images; the second test set has none")
    listed = {k: c for k, c in read_labelled(config.ilsvrc_list, len(ids)).items() if c < count}
    keys = sorted(listed)
    missing = missing_files(config.ilsvrc_images, keys)
    inputs: dict[str, Any] = {
        "synsets": synsets,
        "list": config.ilsvrc_list,
        "missing": fingerprint_json([keys[i] for i in np.flatnonzero(missing)]),
    }
    with open_stage("dataset", config, inputs, force=force, stale=pictures_changed, renew=renew_pictures) as stage:
        if stage.up_to_date:
            return stage.output
        counts = compare_counts({"test": len(listed)}, {"test": 50 * count}, "ILSVRC 2012 validation")
        refuse_missing(missing, keys, str(config.ilsvrc_images), config.allow_missing)
        there = [keys[i] for i in np.flatnonzero(~missing)]
        labels = np.asarray([listed[key] for key in there], np.int64)
        table = single_label_table(
            names[:count],
            there,
            there,
            config.ilsvrc_images,
            np.full(len(there), TEST, np.int8),
            np.full(len(there), -1),
            labels,
        )
        table = limited(table, config.limit, config.seed)
        write_dataset(
            stage.work,
            table,
            {
                "name": "ILSVRC 2012 validation",
                "source": "ILSVRC 2012, with WebVision's classes",
                "counts": counts,
                "class_ids": list(ids[:count]),
            },
        )
        write_left_out(stage.work, ((keys[i], "ilsvrc", "missing") for i in np.flatnonzero(missing)))
        write_single_label_statistics(stage.work, table)
        stage.finish(noise_summary(table) | {"left_out": int(missing.sum()), "as_published": not counts["differing"]})
    return stage.output


def read_synsets(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """WordNet ids and unique class names of ``synsets.txt`` (``n01440764 tench, Tinca tinca``).

    A name is the first word for the class; where two classes share it, the id is added.
    """
    ids: list[str] = []
    firsts: list[str] = []
    for number, line in read_lines(path):
        wordnet, _, words = line.strip().partition(" ")
        if not re.fullmatch(r"n\d{8}", wordnet) or not words.strip():
            raise NlcliError(f"{path}, line {number}: '{shown(line)}' is not of the form 'n01440764 name, other name'")
        if wordnet in ids:
            raise NlcliError(f"{path}, line {number}: {wordnet} stands in it twice")
        if ids and wordnet < ids[-1]:
            raise NlcliError(
                f"{path}, line {number}: {wordnet} stands behind {ids[-1]}; the lists count classes in the order of "
                "these ids: sort the lines"
            )
        ids.append(wordnet)
        firsts.append(words.split(",")[0].strip())
    if len(ids) != NUM_CLASSES:
        raise NlcliError(
            f"{path}: {len(ids):,} classes, expected the {NUM_CLASSES:,} of WebVision 1; download it again"
        )
    names = tuple(f"{name} ({i})" if firsts.count(name) > 1 else name for i, name in zip(ids, firsts, strict=True))
    return tuple(ids), names


def verified_classes(
    condition: str, ids: tuple[str, ...], count: int, seed: int, nouns: Path | None = None
) -> np.ndarray | None:
    """Class indices, sorted, that a verification condition verifies; None for ``none``.

    Args:
        ids: WordNet ids of all classes.
        count: The data set has the first ``count`` of them.
        nouns: For ``semantic``, WordNet's ``data.noun``.
    """
    if condition == "none":
        return None
    if condition in ("every-image", "all"):
        return np.arange(count)
    if condition == "dogs-118":
        chosen = np.flatnonzero(np.isin(np.asarray(ids[:count]), np.asarray(imagenet_ids()[FIRST_DOG : LAST_DOG + 1])))
    elif re.fullmatch(r"random-\d{1,4}", condition):
        number = int(condition.removeprefix("random-"))
        if not 0 < number <= count:
            raise NlcliError(f"--condition {condition}: there are {count} classes to draw from")
        chosen = np.sort(np.random.default_rng([seed, _STREAM_CLASSES]).permutation(count)[:number])
    elif condition == "semantic" and nouns is not None:
        chosen = _one_of_each(second_hypernyms(ids[:count], nouns), seed)
        say(f"semantic: {len(chosen):,} groups of {count:,} classes share a second-level hypernym; one class of each")
    else:
        path = Path(condition)
        if not is_list(condition):
            raise NlcliError(
                f"--condition '{shown(condition)}' is none of none, every-image, all, dogs-118, random-N, semantic, "
                "nor a file"
            )
        position = {wordnet: i for i, wordnet in enumerate(ids)}
        listed = []
        for number, line in read_lines(path):
            wordnet = line.split()[0]
            if wordnet not in position:
                raise NlcliError(
                    f"{path}, line {number}: '{shown(wordnet)}' is not among the WordNet ids of info/synsets.txt"
                )
            listed.append(position[wordnet])
        chosen = np.unique(np.asarray(listed, np.int64))
        chosen = chosen[chosen < count]
    if not len(chosen):
        raise NlcliError(f"--condition {condition} verifies none of the {count} classes")
    return chosen


def is_list(condition: str) -> bool:
    """Whether a condition is a file of WordNet ids; the names of the others are never taken for one."""
    named = condition in ("none", "every-image", "all", "dogs-118", "semantic") or re.fullmatch(
        r"random-\d{1,4}", condition
    )
    return not named and Path(condition).is_file()


def _one_of_each(groups: Sequence[str], seed: int) -> np.ndarray:
    """Indices, sorted, of one class of each group, drawn by the seed."""
    drawn = np.random.default_rng([seed, _STREAM_GROUPS]).permutation(len(groups))
    first = np.unique(np.asarray(groups)[drawn], return_index=True)[1]
    chosen: np.ndarray = np.sort(drawn[first])
    return chosen


def _pseudo_verify(config: BuildWebVision, ids: tuple[str, ...], keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 where the noisy class is among the top predictions, 0 where not, -1 for unreadable images: int8 (n,)."""
    from nlcli.data.annotate import read_predictions

    assert config.predictions is not None
    predicted = read_predictions(config.predictions)
    imagenet = imagenet_ids()
    if len(predicted.classes) != len(imagenet):
        raise NlcliError(
            f"{config.predictions}: the classifier has {len(predicted.classes)} classes, not ImageNet's {len(imagenet)}"
        )
    if config.top_k > predicted.indices.shape[1]:
        raise NlcliError(
            f"--top-k {config.top_k}, but {config.predictions} keeps {predicted.indices.shape[1]} predictions"
        )
    index = {wordnet: i for i, wordnet in enumerate(imagenet)}
    strangers = [wordnet for wordnet in ids if wordnet not in index]
    if strangers:
        raise NlcliError(f"info/synsets.txt: {strangers[0]} is not an ImageNet class")
    target = np.asarray([index[wordnet] for wordnet in ids], np.int64)[labels]
    rows = _match(predicted.keys, keys, config.predictions)
    top = predicted.indices[rows, : config.top_k]
    right: np.ndarray = (top == target[:, None]).any(axis=1).astype(np.int8)
    right[top[:, 0] < 0] = -1
    unreadable = keys[top[:, 0] < 0]
    if len(unreadable):
        say(
            f"warning: {len(unreadable):,} images could not be read for their predictions "
            f"({enumerate_some(list(unreadable))})"
        )
    return right


def _match(predicted: np.ndarray, keys: np.ndarray, where: Path) -> np.ndarray:
    """Rows of ``predicted`` for ``keys``; folders in front of ``google/`` and ``flickr/`` do not count."""
    position = {re.sub(r"^.*?(?=(?:google|flickr)/)", "", key): row for row, key in enumerate(predicted.tolist())}
    missing = [key for key in keys.tolist() if key not in position]
    if missing:
        raise NlcliError(
            f"{where} has no prediction for {len(missing):,} of {len(keys):,} training images "
            f"({enumerate_some(missing)}); annotate ROOT/google and ROOT/flickr"
        )
    return np.asarray([position[key] for key in keys.tolist()], np.int64)


def draw_per_class(labels: np.ndarray, eligible: np.ndarray, keys: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Choose up to ``number`` eligible images of every class by seed and key alone: bool (n,)."""
    rows = np.flatnonzero(eligible)
    draw = np.empty(len(rows))
    by_key = np.argsort(keys[rows], kind="stable")
    draw[by_key] = np.random.default_rng([seed, _STREAM_VERIFIED]).random(len(rows))
    ranked = rows[np.lexsort((draw, labels[rows]))]
    sorted_labels = labels[ranked]
    starts = np.searchsorted(sorted_labels, sorted_labels, side="left")
    chosen = np.zeros(len(labels), bool)
    chosen[ranked[np.arange(len(ranked)) - starts < number]] = True
    return chosen
