"""The top predictions of a trained classifier for every image: what noisy labels are made from.

A directory of predictions holds

``part-00000.parquet`` ...
    512 images each: ``key``, ``status`` (ok or error), ``error`` (why an image could not be read),
    ``indices`` and ``scores``: the ``keep`` most probable source classes, best first, and their
    softmax probabilities. Equal probabilities are ordered by index.
``classifier.json``
    The classifier's name, its class names in order, its preprocessing.

Another k up to ``keep``, or another class map, is read from here: the images are seen once. A part
that exists is whole, so a killed run goes on at the next part.

The key of an image is its folder's name and its path in that folder, such as
``train2014/COCO_train2014_000000000009.jpg``. It does not change when folders are moved or files
are added. Where two folders have the same name, as many of their parents' names as tell them apart
are put in front.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ConfigDict

from nlcli.console import say
from nlcli.data.pictures import pictures_changed, record_pictures
from nlcli.errors import NlcliError
from nlcli.networks.image_files import ImageFile, name_some
from nlcli.networks.image_names import ImageNames, ListedImages
from nlcli.networks.images import Preprocessing
from nlcli.networks.provenance import NetworkSource
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.engines.engine import Engine, engine_of
from nlcli.stages.engines.shard_work import Advance, Shard, Shards, ShardWork
from nlcli.stages.files import atomic_path, fingerprint_json_parts
from nlcli.stages.own_tables import read_own_table
from nlcli.stages.records import ClassText, SchemaRecord
from nlcli.stages.stage import Stage, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.config import Annotate
    from nlcli.networks.backbone import Backbone

PART_IMAGES = 512
_PARTS_AT_ONCE = 256
CLASSIFIER = "classifier.json"


class ClassifierRecord(SchemaRecord):
    """``classifier.json``: what made the predictions.

    Attributes:
        name: The network.
        classes: Names of its classes in order.
        preprocessing: How files became its input.
    """

    model_config = ConfigDict(extra="ignore")

    states_format = False
    remedy: ClassVar[str] = "remove its directory and annotate again"

    name: str
    classes: tuple[ClassText, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Predictions:
    """What a directory of predictions holds; row ``i`` is the same image in every field.

    Attributes:
        keys: (N,) strings.
        indices: (N, keep) int32 source classes, best first; -1 for images that could not be read.
        scores: (N, keep) float32 probabilities; 0 for images that could not be read.
        errors: Key and reason of every image that could not be read.
        classes: Names of the source classes.
    """

    keys: np.ndarray
    indices: np.ndarray
    scores: np.ndarray
    errors: dict[str, str]
    classes: tuple[str, ...]


def annotate(
    config: Annotate,
    *,
    force: bool = False,
    images: Sequence[ImageFile] | None = None,
    check: Callable[[tuple[str, ...]], None] | None = None,
) -> Path:
    """Predict the top classes of every image; see the module's docstring for what is written.

    Args:
        config: Its ``images`` are folders, searched with their subfolders.
        force: Replace a different result at the same place.
        images: The images, when not all of those in the folders.
        check: Called with the classifier's class names before any image is looked at.

    Returns:
        The directory of predictions.

    Raises:
        NlcliError: no images, no such classifier, or one without class names.
    """
    engine = engine_of(config)
    names = ImageNames.in_folders(config.images) if images is None else ListedImages(images)
    if not len(names):
        raise NlcliError(f"no images in {', '.join(str(folder) for folder in config.images)}")
    keyed = (zip(names.keys(*block), names.sizes(*block), strict=True) for block in names.blocks())
    inputs = {
        "images": fingerprint_json_parts([[key, size] for key, size in part] for part in keyed),
        "classifier": classifier_source(config).fingerprint(),
    }
    if config.engine_cpu == "auto":  # what is computed depends on the machine, so the recipe says it
        quiet_tensorflow()
        from nlcli.networks.engine_choice import with_engine

        asked = config
        config = with_engine(config, "predictions", inputs, lambda: open_classifier(asked), "logits")
    with open_stage("predictions", config, inputs, force=force, stale=pictures_changed) as stage:
        if stage.up_to_date:
            if check is not None:
                check(_stored_classes(stage.output))
            return stage.output
        classifier = open_classifier(config)
        classes = classifier.classes
        if not classes:
            raise NlcliError(
                f"classifier '{config.classifier}' has no class names; name one that was trained as a classifier"
            )
        if check is not None:
            check(classes)
        root = Path(os.path.commonpath([os.path.abspath(folder) for folder in config.images]))
        paths = ([os.path.relpath(file, root) for file in names.files(*block)] for block in names.blocks())
        record_pictures(stage.work, root, paths)
        _predict_parts(stage, config, classifier, names, engine)
        record = ClassifierRecord(name=classifier.name, classes=classes, preprocessing=classifier.preprocessing)
        record.write(stage.work / CLASSIFIER)
        errors: dict[str, str] = {}
        for first in range(0, len(names), _PARTS_AT_ONCE * PART_IMAGES):
            count = min(_PARTS_AT_ONCE * PART_IMAGES, len(names) - first)
            errors |= _read_parts(stage.work, count, first // PART_IMAGES).errors
        if len(errors) == len(names):
            key, reason = next(iter(errors.items()))
            raise NlcliError(f"none of the {len(names):,} images could be read; the first, {key}: {reason}")
        if errors:
            named = name_some([f"{key}: {reason}" for key, reason in errors.items()], "; ")
            say(f"warning: {len(errors):,} of {len(names):,} images could not be read ({named})")
        stage.finish(
            {
                "images": len(names),
                "unreadable": len(errors),
                "classifier": classifier.name,
                "classes": len(classes),
                "kept": min(config.keep, len(classes)),
            }
        )
    return stage.output


def read_predictions(path: Path) -> Predictions:
    """The predictions at ``path``.

    Raises:
        NlcliError: not a directory of predictions, or a part of it is missing or damaged.
    """
    record = read_stage(path, "predictions")
    parts = _read_parts(record.path, int(record.summary["images"]))
    return Predictions(parts.keys, parts.indices, parts.scores, parts.errors, _stored_classes(record.path))


# --- the classifier --------------------------------------------------------------------------


def classifier_source(config: Annotate) -> NetworkSource:
    """Where the classifier that ``config`` names comes from."""
    # A folder counts as one even where a registered network has its name.
    path = Path(config.classifier)
    name = str(path.resolve()) if path.is_dir() else config.classifier
    return NetworkSource(name, config.weights, config.classifier_classes, config.classifier_scaling)


def open_classifier(config: Annotate) -> Backbone:
    """The classifier that ``config`` names, decoding as it says.

    Raises:
        NlcliError: there is none, or its weights or class names do not fit.
    """
    return classifier_source(config).open(top=True).with_decode(config.decode)


# --- parts -----------------------------------------------------------------------------------


def top_predictions(logits: np.ndarray, keep: int, activation: str = "softmax") -> tuple[np.ndarray, np.ndarray]:
    """The ``keep`` most probable classes of every row, best first; equal ones by index.

    Args:
        logits: (b, C) float.
        activation: What makes them probabilities: softmax, or sigmoid for a multi-label classifier.

    Returns:
        (b, keep) int32 classes and their (b, keep) float32 probabilities.
    """
    wide = logits.astype(np.float64)
    # Order by the logits themselves: probabilities of unlikely classes may round to the same number.
    best = np.argsort(-wide, axis=1, kind="stable")[:, :keep]
    if activation == "sigmoid":
        probability = 1 / (1 + np.exp(-np.clip(wide, -700, 700)))
    else:
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        probability = powers / powers.sum(axis=1, keepdims=True)
    return best.astype(np.int32), np.take_along_axis(probability, best, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Annotation(ShardWork):
    """Top predictions of shards of images.

    Attributes:
        config: Names the classifier.
        directory: Where the parts are written.
        classifier: The same, where it is open already.
    """

    config: Annotate
    directory: Path
    classifier: Backbone | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"classifier": None}  # a worker opens its own

    def begin(self) -> Callable[[Shard, Advance], None]:
        from nlcli.networks.forward import open_forward

        classifier = self.classifier or open_classifier(self.config)
        logits_of = open_forward(classifier, self.config.precision, "logits", self.config.engine_cpu).compute

        def make(shard: Shard, advance: Advance) -> None:
            _write_part(
                _part_path(self.directory, shard.number),
                shard.names,
                *_predicted(self.config, classifier, logits_of, shard.files, advance),
            )

        return make


def _predicted(
    config: Annotate,
    classifier: Backbone,
    logits_of: Callable[[np.ndarray], Any],
    paths: list[str],
    advance: Advance,
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Classes and probabilities (n, keep) of images, and why some could not be read."""
    from nlcli.networks.image_batches import iterate_images

    keep = min(config.keep, len(classifier.classes or ()))
    indices = np.full((len(paths), keep), -1, np.int32)
    scores = np.zeros((len(paths), keep), np.float32)
    errors: dict[int, str] = {}
    for batch in iterate_images(paths, classifier.preprocessing, config.batch_size, config.workers):
        if len(batch.rows):
            logits = np.asarray(logits_of(batch.images))
            finite = np.isfinite(logits).all(axis=1)
            if not finite.all():
                raise NlcliError(
                    f"classifier {classifier.name} gives NaN or infinity for "
                    f"{paths[int(batch.rows[~finite][0])]}; try --precision float32, or other weights"
                )
            indices[batch.rows], scores[batch.rows] = top_predictions(logits, keep, classifier.activation)
        errors.update(batch.errors)
        advance(len(batch.rows) + len(batch.errors))
    return indices, scores, errors


def _predict_parts(stage: Stage, config: Annotate, classifier: Backbone, names: ImageNames, engine: Engine) -> None:
    shards = Shards(
        len(names),
        PART_IMAGES,
        take=lambda first, end: (names.keys(first, end), names.files(first, end)),
        whole=lambda number: _part_path(stage.work, number).exists(),
    )
    work = Annotation(config, Path(os.path.abspath(stage.work)), classifier)
    engine.finish(work, shards, f"annotating with {classifier.name}")


def _part_path(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            ("key", pa.string()),
            ("status", pa.string()),
            ("error", pa.string()),
            ("indices", pa.list_(pa.int32())),
            ("scores", pa.list_(pa.float32())),
        ]
    )


def _write_part(path: Path, keys: list[str], indices: np.ndarray, scores: np.ndarray, errors: dict[int, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = indices[:, 0] >= 0
    ends = np.concatenate(([0], np.cumsum(good * indices.shape[1]))).astype(np.int32)
    table = pa.Table.from_arrays(
        [
            pa.array(keys, pa.string()),
            pa.array(np.where(good, "ok", "error").tolist(), pa.string()),
            pa.array([errors.get(row) for row in range(len(keys))], pa.string()),
            pa.ListArray.from_arrays(pa.array(ends), pa.array(indices[good].ravel())),
            pa.ListArray.from_arrays(pa.array(ends), pa.array(scores[good].ravel())),
        ],
        schema=_schema(),
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


@dataclass(frozen=True)
class _Parts:
    keys: np.ndarray
    indices: np.ndarray
    scores: np.ndarray
    errors: dict[str, str]


def _read_parts(directory: Path, count: int, begin: int = 0) -> _Parts:
    """The predictions of ``count`` images, from part ``begin`` on."""
    import pyarrow as pa

    tables = []
    for number in range(begin, begin - (-count // PART_IMAGES)):
        path = _part_path(directory, number)
        tables.append(read_own_table(path, "remove its directory and annotate again", schema=_schema()))
    table = pa.concat_tables(tables).combine_chunks()
    if len(table) != count:
        raise NlcliError(f"{directory} holds {len(table)} predictions, expected {count}; remove it and annotate again")

    def column(name: str) -> Any:
        values = table.column(name)
        return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values

    good = np.array([status == "ok" for status in column("status").to_pylist()], bool)
    lengths = np.diff(column("indices").offsets.to_numpy())
    kept = int(lengths.max(initial=0))
    whole = np.array_equal(lengths, good * kept) and np.array_equal(
        np.diff(column("scores").offsets.to_numpy()), lengths
    )
    if not whole:
        raise NlcliError(f"{directory} holds predictions of different lengths; remove it and annotate again")
    indices = np.full((count, kept), -1, np.int32)
    scores = np.zeros((count, kept), np.float32)
    if kept:  # else none of them could be read
        indices[good] = column("indices").flatten().to_numpy().reshape(-1, kept)
        scores[good] = column("scores").flatten().to_numpy().reshape(-1, kept)
    keys = column("key").to_numpy(zero_copy_only=False)
    reasons = column("error")
    errors = {str(keys[row]): str(reasons[int(row)]) for row in np.flatnonzero(~good)}
    return _Parts(keys, indices, scores, errors)


def _stored_classes(directory: Path) -> tuple[str, ...]:
    return ClassifierRecord.read(directory / CLASSIFIER).classes
