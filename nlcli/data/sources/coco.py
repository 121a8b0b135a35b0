"""Extended MS-COCO: verified labels from the annotations, noisy ones from an ImageNet classifier.

Hu et al. 2018, section 4.1, as settled here:

- classes are the targets of the class map, in the order of COCO's category ids; a class is verified
  present on an image that has an annotation of it, crowds included (a crowd does show the class),
  and verified absent on every other;
- the ``top_k`` predictions of the classifier (8) are mapped through the class map; unmapped ones are
  dropped, and images left without any noisy label are dropped, in every split;
- the training images are train; the others are halved into validation and test by the seed, all
  listed images alike, before any is dropped.

A listed image that is not on disk or cannot be read is left out as well. ``dropped.csv`` names
every image that is left out, with the reason.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.annotate import annotate, classifier_source, read_predictions
from nlcli.data.class_map import ClassMap, class_map_path, read_class_map
from nlcli.data.config import Annotate, BuildCoco
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import FULL, SPLITS, LabelTable
from nlcli.data.one_picture import coco_editions, refuse_one_picture_in_two_splits
from nlcli.data.pictures import pictures_changed
from nlcli.data.sources.base import advice_on_missing
from nlcli.data.sources.coco_annotations import Instances, read_instances
from nlcli.data.statistics import label_statistics, published_coco, write_statistics
from nlcli.errors import NlcliError
from nlcli.networks.image_files import ImageFile, find_images, folder_labels, name_some
from nlcli.stages.files import fingerprint_json, write_csv
from nlcli.stages.stage import open_stage, read_stage

KEPT, MISSING, UNREADABLE, UNLABELLED = range(4)
PUBLISHED_EDITION = ("2014",)
REASONS = ("kept", "missing", "unreadable", "no noisy label")
_TRAIN, _VALIDATION, _TEST = range(3)


def build_coco(config: BuildCoco, *, force: bool = False) -> Path:
    """Build the data set; its predictions are a stage of their own beside it.

    What can be wrong with the annotations, the class map or the classifier is found before the
    first image is looked at.

    Args:
        force: Replace a different result. Predictions that still fit are never made again: another
            ``top_k`` or class map reads what is there.

    Returns:
        The data set directory.
    """
    if config.top_k > config.keep:
        raise NlcliError(f"--top-k {config.top_k} needs as many predictions, but --keep is {config.keep}; raise --keep")
    class_map = read_class_map(config.class_map)
    folders = (config.train_images, config.val_images)
    on_disk = find_images(folders)
    annotation = _annotate_config(config)
    inputs: dict[str, Any] = {
        "train_annotations": config.train_annotations,
        "val_annotations": config.val_annotations,
        "images": fingerprint_json(
            sorted({(image.key, image.size) for files in on_disk.values() for image in files.values()})
        ),
        "class_map": class_map_path(config.class_map),
        "classifier": classifier_source(annotation).fingerprint(),
    }
    with open_stage("dataset", config, inputs, seed=config.seed, force=force, stale=pictures_changed) as stage:
        if stage.up_to_date:
            return stage.output
        sources = [
            read_instances(path).limited(config.limit, config.seed)
            for path in (config.train_annotations, config.val_annotations)
        ]
        classes, groups = _classes(sources, class_map)
        listing = _match(sources, folders, on_disk, config.allow_missing)
        split = _splits(listing, config.seed)
        refuse_one_picture_in_two_splits(listing.root, listing.paths, split, SPLITS, of_coco=True)
        editions = coco_editions(listing.paths)
        if editions not in ((), PUBLISHED_EDITION):
            say(
                f"note: the pictures are of MS-COCO {' and '.join(editions)}, which splits them otherwise than the "
                "2014 edition of the papers: what is measured cannot be set beside theirs"
            )
        predictions = annotate(
            annotation,
            force=force,
            images=[image for image in listing.images if image is not None],
            check=lambda names: check_class_map(class_map, names),
        )
        say("mapping the predictions and counting the labels")
        table, reason = _label(config, class_map, classes, groups, sources, listing, split, predictions)
        statistics = label_statistics(table)
        statistics["dropped"] = _count_dropped(reason, split)
        statistics["unlisted_images"] = listing.unlisted
        statistics["annotations"] = {
            name: {"objects": source.objects, "crowds": source.crowds, "images": len(source.names)}
            for name, source in zip(("train", "val"), sources, strict=True)
        }
        published = published_coco()
        full = {"train": len(sources[0].names), "val": len(sources[1].names)} == published["listed_images"]
        if full and len(classes) == published["classes"]:
            statistics["published"] = published
        write_dataset(
            stage.work,
            table,
            {
                "name": "extended MS-COCO",
                "source": "instance annotations; noisy labels: the classifier's top predictions, mapped",
                "classifier": read_stage(predictions).summary["classifier"],
                "predictions": read_stage(predictions).fingerprint,
                "top_k": config.top_k,
                "editions": list(editions),
            },
            derived=True,  # looked at above, before the long part
        )
        write_statistics(stage.work, statistics)
        _write_dropped(stage.work / "dropped.csv", listing, reason, split)
        everything = statistics["splits"]["all"]
        stage.finish(
            {
                "images": {name: statistics["splits"][name]["images"] for name in SPLITS},
                "classes": len(classes),
                "clean_annotations": everything["clean"]["annotations"],
                "noisy_annotations": everything["noisy"]["annotations"],
                "noisy_precision": everything["precision"],
                "noisy_recall": everything["recall"],
                "dropped": int(np.count_nonzero(reason != KEPT)),
            }
        )
    return stage.output


def _annotate_config(config: BuildCoco) -> Annotate:
    output = Path(os.path.abspath(config.output))
    shared = (
        "classifier",
        "weights",
        "classifier_classes",
        "classifier_scaling",
        "keep",
        "batch_size",
        "precision",
        "engine_cpu",
        "decode",
        "workers",
    )
    return Annotate(
        images=tuple(dict.fromkeys((config.train_images, config.val_images))),
        output=config.predictions or output.with_name(f"{output.name}-predictions"),
        **{name: getattr(config, name) for name in shared},
    )


# --- classes ---------------------------------------------------------------------------------


def _classes(sources: Sequence[Instances], class_map: ClassMap) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """The targets of the class map in category order, and their supercategories."""
    for source in sources:
        try:
            class_map.check_targets(tuple(source.categories))
        except NlcliError as error:
            raise NlcliError(f"{error} ({source.path})") from error
    categories, targets = sources[0].categories, set(class_map.targets)
    classes = tuple(name for name in categories if name in targets)
    return classes, tuple(categories[name][1] for name in classes)


def check_class_map(class_map: ClassMap, names: Sequence[str]) -> None:
    """Refuse a class map that is for another classifier.

    Args:
        names: The classifier's class names; a row of the map must say the same name or id at its
            index, apart from case and punctuation, or leave both empty.
    """
    class_map.check_source(len(names))

    def plain(name: str) -> str:
        return "".join(filter(str.isalnum, name.lower()))

    for index, source_id, source_name in zip(
        class_map.source_index.tolist(), class_map.source_id, class_map.source_name, strict=True
    ):
        said = {plain(text) for text in (source_id, source_name)} - {""}
        if said and plain(names[index]) not in said:
            raise NlcliError(
                f"class map {class_map.name}: source index {index} is '{source_name or source_id}', but the "
                f"classifier calls that class '{names[index]}'; this map is for another classifier"
            )


# --- images ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listing:
    """The listed images, training images first, by file name: their keys, paths and files."""

    keys: np.ndarray
    paths: np.ndarray
    root: Path
    images: list[ImageFile | None]  # None where the file is missing
    from_train: int
    unlisted: dict[str, int]


def _match(
    sources: Sequence[Instances],
    folders: Sequence[Path],
    on_disk: dict[Path, dict[str, ImageFile]],
    allow_missing: float,
) -> _Listing:
    """Set the listed images against those on disk; say loudly what does not fit.

    Raises:
        NlcliError: more than ``allow_missing`` of the images of a file are not there, none is
            listed, or an image is listed for training and for validation.
    """
    whole = [Path(os.path.abspath(folder)) for folder in folders]
    root = Path(os.path.commonpath(whole))
    keys: list[str] = []
    paths: list[str] = []
    images: list[ImageFile | None] = []
    listed: dict[Path, set[str]] = {}
    for source, folder, given, label in zip(sources, whole, folders, folder_labels(folders), strict=True):
        if not source.names:
            raise NlcliError(f"{source.path} lists no images")
        files = on_disk[given]
        inside = folder.relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        missing = []
        for name in source.names:
            image = files.get(name)
            if image is None:
                with contextlib.suppress(OSError):  # a suffix that is unusual for an image
                    image = ImageFile(f"{label}/{name}", given / name, os.stat(given / name).st_size)
            if image is None:
                missing.append(name)
            keys.append(f"{label}/{name}")
            paths.append(f"{prefix}{name}")
            images.append(image)
        if missing:
            sentence = (
                f"{len(missing):,} of {len(source.names):,} images listed in {source.path} are not in {given} "
                f"({name_some(missing)})"
            )
            if len(missing) > allow_missing * len(source.names):
                raise NlcliError(
                    f"{sentence}; {advice_on_missing(Path(given), missing, len(missing) / len(source.names))}"
                )
            say(f"warning: {sentence}; they are left out")
        listed.setdefault(folder, set()).update(source.names, source.left_out)
    from_train = len(sources[0].names)
    both = set(keys[:from_train]) & set(keys[from_train:])
    if both:
        raise NlcliError(
            f"{len(both):,} images are listed both in {sources[0].path} and in {sources[1].path} "
            f"({min(both)}); an image may be in one of them only"
        )
    unlisted: dict[str, int] = {}
    for given, folder in dict(zip(folders, whole, strict=True)).items():
        strangers = sorted(set(on_disk[given]) - listed[folder])
        unlisted[str(given)] = len(strangers)
        if strangers:
            say(
                f"warning: {len(strangers):,} images in {given} are not listed in the annotations "
                f"({name_some(strangers)}); they are left out"
            )
    return _Listing(np.asarray(keys, object), np.asarray(paths, object), root, images, from_train, unlisted)


def halve(count: int, seed: int) -> np.ndarray:
    """Which of ``count`` images (sorted by key) are for validation: half of them, rounded down (bool)."""
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng([seed, 0x68616C76]).permutation(count)[: count // 2]] = True
    return chosen


def _splits(listing: _Listing, seed: int) -> np.ndarray:
    """(N,) int8, the split of every listed image."""
    count = len(listing.keys)
    split = np.zeros(count, np.int8)
    split[listing.from_train :] = np.where(halve(count - listing.from_train, seed), _VALIDATION, _TEST)
    return split


# --- labels ----------------------------------------------------------------------------------


def _label(
    config: BuildCoco,
    class_map: ClassMap,
    classes: tuple[str, ...],
    groups: tuple[str | None, ...],
    sources: Sequence[Instances],
    listing: _Listing,
    split: np.ndarray,
    predictions: Path,
) -> tuple[LabelTable, np.ndarray]:
    """The label table of the images that are kept; the reason of every listed image."""
    from scipy.sparse import csr_array

    count = len(listing.keys)
    predicted = read_predictions(predictions)
    position = {key: row for row, key in enumerate(predicted.keys.tolist())}
    there = np.asarray([image is not None for image in listing.images])
    rows = np.asarray([position[key] for key in listing.keys[there]], np.int64)
    indices = np.full((count, config.top_k), -1, np.int32)
    scores = np.zeros((count, config.top_k), np.float32)
    width = min(config.top_k, predicted.indices.shape[1])
    indices[there, :width] = predicted.indices[rows, :width]
    scores[there, :width] = predicted.scores[rows, :width]
    noisy = class_map.apply(indices, scores, classes)

    parts = []
    for number, name in enumerate(classes):
        for source, offset in zip(sources, (0, listing.from_train), strict=True):
            shown = source.shown[source.categories[name][0]] + offset
            parts.append((shown, np.full(len(shown), number)))
    image, column = (np.concatenate([part[axis] for part in parts]) for axis in range(2))
    present = csr_array((np.ones(len(image), np.uint8), (image, column)), shape=noisy.shape)

    reason = np.full(count, KEPT, np.int8)
    reason[np.diff(noisy.indptr) == 0] = UNLABELLED
    reason[indices[:, 0] < 0] = UNREADABLE
    reason[~there] = MISSING
    kept = np.flatnonzero(reason == KEPT)
    for number, name in enumerate(SPLITS):
        if not np.any(split[kept] == number):
            raise NlcliError(
                f"no image of the {name} split has a noisy label ({int(np.sum(split == number)):,} listed); "
                "the class map may be for another classifier, or top_k too small"
            )
    table = LabelTable(
        task="multi-label",
        classes=classes,
        groups=groups if any(groups) else None,
        keys=listing.keys[kept],
        paths=listing.paths[kept],
        image_root=listing.root,
        split=split[kept],
        noisy=noisy[kept],
        present=present[kept],
        absent=csr_array((len(kept), len(classes)), dtype=np.uint8),
        verification=np.full(len(kept), FULL, np.uint8),
    )
    return table, reason


def _count_dropped(reason: np.ndarray, split: np.ndarray) -> dict[str, dict[str, int]]:
    return {
        name: {"listed": int(np.sum(split == number))}
        | {text: int(np.sum((split == number) & (reason == code))) for code, text in enumerate(REASONS)}
        for number, name in enumerate(SPLITS)
    }


def _write_dropped(path: Path, listing: _Listing, reason: np.ndarray, split: np.ndarray) -> None:
    dropped = np.flatnonzero(reason != KEPT)
    rows = ((listing.keys[row], SPLITS[split[row]], REASONS[reason[row]]) for row in dropped)
    write_csv(path, ("key", "split", "reason"), rows)
