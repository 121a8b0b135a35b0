"""Features of every image of a data set, computed once: extraction to shards, and reading them.

A features directory holds

================================ ==============================================================
``features.json``                backbone, fingerprints, precision, decoding, shape, dtype
``index.parquet``                one row an image: key, shard, row (-1 if broken), status, error, path
``shards/features-00000.h5``     contiguous features, see ``nlcli.shards``
``last_layer.npz``               kernel, bias and classes of the backbone's classifier, if any
================================ ==============================================================

The images are decoded as the backbone's preprocessing says, which is what it was trained with
here; ``nlcli.images`` tells where that differs from the pipelines of its ImageNet weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.index import INDEX, write_index
from nlcli.data.features.shards import Written, shard_path, shard_records, write_shard
from nlcli.data.image_list import ImageList
from nlcli.data.pictures import pictures_changed, record_pictures, require_pictures
from nlcli.errors import NlcliError
from nlcli.networks.foreign.base import ForeignNetwork, ForeignOptions
from nlcli.networks.foreign.source import ForeignSource, is_foreign
from nlcli.networks.linear_layer import LAST_LAYER
from nlcli.networks.provenance import NetworkSource
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.engines.engine import engine_of
from nlcli.stages.engines.shard_work import Advance, Shard, Shards, ShardWork
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.config import ExtractFeatures
    from nlcli.networks.backbone import Backbone
    from nlcli.networks.forward import Forward

    Network = Backbone | ForeignNetwork


def require_finite(features: np.ndarray, key: Callable[[int], str]) -> None:
    """Refuse ``features`` (n, D) with a NaN or an infinite value; ``key`` names the image of a position.

    Raises:
        NlcliError: naming the first such image.
    """
    for first in range(0, len(features), 1024):
        part = features[first : first + 1024]
        # A sum is finite only if its terms are: one pass, without a temporary of the table's size.
        for row in np.flatnonzero(~np.isfinite(part.sum(axis=1, dtype=np.float32))):
            if not np.isfinite(part[row]).all():
                raise NlcliError(f"features of image '{key(first + int(row))}' are not finite; extract them again")


# --- extraction ------------------------------------------------------------------------------


def extract_features(config: ExtractFeatures, *, force: bool = False) -> Path:
    """Compute the pooled features of every image of a data set; returns the directory written.

    Images that cannot be read become rows of the index with an error and are counted at the end.
    A shard that is finished is not computed again when a killed extraction is resumed.

    Raises:
        NlcliError: no such data set or backbone, no image that can be read, features that are not
            finite.
    """
    engine = engine_of(config)
    if not is_foreign(config.backbone):
        quiet_tensorflow()
    dataset = read_stage(config.dataset, "dataset")
    source = network_source(config)
    if config.precision == "auto":  # what is computed depends on the machine, so the recipe says it
        config = config.model_copy(update={"precision": _fastest(source)})
    inputs = {"dataset": dataset, **source.inputs()}
    if config.engine_cpu == "auto":  # the same
        config = _with_engine(config, inputs)
    stale = partial(pictures_changed, contents=config.check_contents)
    with open_stage("features", config, inputs, force=force, stale=stale) as stage:
        if stage.up_to_date:
            return stage.output
        images = ImageList(config.dataset)
        require_pictures(images.image_root, config.dataset)
        record_pictures(stage.work, images.image_root, images.paths(), len(images), contents=config.check_contents)
        backbone = open_network(config)
        say(f"backbone: {_described(backbone)}; {config.precision} arithmetic")
        shards = Shards(
            len(images),
            config.shard_rows,
            take=images.names,
            whole=lambda number: _is_whole(shard_path(stage.work, number)),
        )
        # An engine that cannot be used is told before anything is shared out.
        forward = None if config.engine_cpu == "tensorflow" else _forward_of(config, backbone)
        work = Extraction(config, Path(os.path.abspath(stage.work)), backbone, forward)
        engine.finish(work, shards, f"features of {backbone.name}")
        written = Written.of(shard_records(stage.work, len(shards)))
        if written.broken == len(images):
            reason = written.reason or "the data set is empty"
            raise NlcliError(f"none of the {len(images)} images of {config.dataset} could be read; the first: {reason}")
        write_index(stage.work / INDEX, images.columns, shard_records(stage.work, len(shards)))
        if backbone.last_layer is not None:
            backbone.last_layer.save(stage.work / LAST_LAYER)
        described = FeaturesRecord(
            images=len(images),
            broken=written.broken,
            num_features=backbone.num_features,
            dtype=config.dtype,
            shards=len(shards),
            precision=config.precision,
            preprocessing=backbone.preprocessing,
            backbone=backbone.name,
            backbone_fingerprint=backbone.fingerprint,
            dataset_fingerprint=images.fingerprint,
            image_root=os.path.abspath(images.image_root),
            engine_cpu=None if forward is None else forward.engine,
        )
        described.write(stage.work / DESCRIPTION)
        stage.finish(
            described.model_dump(include={"images", "broken", "num_features", "dtype", "precision", "backbone"}),
            content=written.hashes,
        )
    if written.broken:
        where = config.output / INDEX
        say(f"{written.broken} of {len(images)} images could not be read; column 'error' of {where} says why")
    return stage.output


def network_source(config: ExtractFeatures) -> NetworkSource | ForeignSource:
    """The network that the options of an extraction name.

    Raises:
        NlcliError: an option that means nothing to it.
    """
    options = ForeignOptions(**{field.name: getattr(config, field.name) for field in fields(ForeignOptions)})
    foreign = ForeignSource.of(config.backbone, options)
    if foreign is None:
        return NetworkSource(config.backbone, config.weights, image_size=config.image_size)
    if config.weights != "imagenet":
        raise NlcliError(f"{config.backbone} says itself where its weights are; leave out --weights")
    return foreign


def _fastest(source: NetworkSource | ForeignSource) -> str:
    if isinstance(source, ForeignSource):
        return "float32"
    from nlcli.networks.backbone import resolve_precision

    return resolve_precision("auto")


def _with_engine(config: ExtractFeatures, inputs: Mapping[str, StageRecord | Path | str]) -> ExtractFeatures:
    if is_foreign(config.backbone):
        return config.model_copy(update={"engine_cpu": "tensorflow"})
    from nlcli.networks.engine_choice import with_engine

    return with_engine(config, "features", inputs, lambda: open_network(config))


def _forward_of(config: ExtractFeatures, network: Network) -> Forward:
    from nlcli.networks.forward import open_forward

    return open_forward(network, config.precision, "features", config.engine_cpu)


def _described(backbone: Network) -> str:
    if not isinstance(backbone, ForeignNetwork):
        from nlcli.networks.weights import describe

        return describe(backbone)
    pre = backbone.preprocessing
    return (
        f"{backbone.name}, {backbone.num_features} features, {pre.width} x {pre.height} pixels, {pre.crop}, "
        f"{pre.interpolation}, as {pre.library} has it"
    )


@dataclass(frozen=True)
class Extraction(ShardWork):
    """Features of shards of images.

    Attributes:
        config: Its precision is resolved.
        directory: Where the shards are written.
        network, forward: What the options name, where it is open already.
    """

    config: ExtractFeatures
    directory: Path
    network: Network | None = None
    forward: Forward | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"network": None, "forward": None}  # a worker opens its own

    def begin(self) -> Callable[[Shard, Advance], None]:
        network = self.network or open_network(self.config)
        compute = (self.forward or _forward_of(self.config, network)).compute
        shard_path(self.directory, 0).parent.mkdir(exist_ok=True)

        def make(shard: Shard, advance: Advance) -> None:
            features, errors = features_of(self.config, network, compute, shard.names, shard.files, advance)
            write_shard(shard_path(self.directory, shard.number), features, errors)

        return make


def open_network(config: ExtractFeatures) -> Network:
    """The network that the options name, decoding as they say."""
    return network_source(config).open().with_decode(config.decode)


def _is_whole(path: Path) -> bool:
    return path.exists() and path.with_suffix(".json").exists()


def features_of(
    config: ExtractFeatures,
    backbone: Network,
    compute: Callable[[np.ndarray], Any],
    keys: list[str],
    images: Sequence[Path | str],
    advance: Callable[[int], None],
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Features (n, D) of the images that can be read, in order, and the errors of the others."""
    from nlcli.networks.image_batches import iterate_images

    features = np.empty((len(images), backbone.num_features), config.dtype)
    errors: list[tuple[int, str]] = []
    filled = 0

    def store(rows: np.ndarray, result: Any) -> None:
        nonlocal filled
        target = features[filled : filled + len(rows)]
        with np.errstate(over="ignore"):  # told below, with the image's name
            target[:] = np.asarray(result)
        finite = np.isfinite(target).all(axis=1)
        if not finite.all():
            raise NlcliError(
                f"the features of image '{keys[int(rows[~finite][0])]}' contain NaN or infinity in {config.precision}, "
                f"stored as {config.dtype}; try --precision float32 --dtype float32, or other weights"
            )
        filled += len(rows)

    # On a GPU the call returns before the result is there: the next batch is sent first, then the
    # result of this one fetched.
    under_way: tuple[np.ndarray, Any] | None = None
    for batch in iterate_images(images, backbone.preparation, config.batch_size, config.workers):
        errors += batch.errors
        result = compute(batch.images) if len(batch.rows) else None
        if under_way is not None:
            store(*under_way)
        under_way = (batch.rows, result) if result is not None else None
        advance(len(batch.rows) + len(batch.errors))
    if under_way is not None:
        store(*under_way)
    return features[:filled], errors
