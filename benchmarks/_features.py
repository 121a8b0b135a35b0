"""Feature directories made from arrays, as extract-features would have written them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.index import write_index
from nlcli.data.features.shards import shard_path, write_shard
from nlcli.networks.images import Preprocessing
from nlcli.networks.linear_layer import LAST_LAYER, LinearLayer
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output
from nlcli.stages.stage import open_stage


class FeaturesConfig(StageConfig):
    """Where made-up features go and what tells them apart."""

    output: Output
    seed: Annotated[int, Option("Tells one from another.")] = 0


def write_features(
    output: Path,
    keys: list[str],
    features: np.ndarray,
    dataset_fingerprint: str,
    *,
    missing: tuple[str, ...] = (),
    last_layer: LinearLayer | None = None,
    backbone_fingerprint: str = "sha256:backbone",
    shard_rows: int = 8192,
    seed: int = 0,
) -> Path:
    """A features directory of ``features`` (n, D); the images ``missing`` are rows with an error."""
    with open_stage("features", FeaturesConfig(output=output, seed=seed), {}, seed=seed) as stage:
        if stage.up_to_date:
            return stage.output
        (stage.work / "shards").mkdir(exist_ok=True)
        records = []
        for first in range(0, len(keys), shard_rows):
            part = keys[first : first + shard_rows]
            good = np.array([key not in missing for key in part])
            errors = [(int(i), "made up") for i in np.flatnonzero(~good)]
            where = shard_path(stage.work, len(records))
            rows = features[first : first + len(part)]
            records.append(write_shard(where, rows if good.all() else rows[good], errors))
        write_index(stage.work / "index.parquet", lambda first, end: (keys[first:end], keys[first:end]), records)
        if last_layer is not None:
            last_layer.save(stage.work / LAST_LAYER)
        described = FeaturesRecord(
            images=len(keys),
            broken=len(missing),
            num_features=features.shape[1],
            dtype="float16" if features.dtype == np.float16 else "float32",
            shards=len(records),
            precision="float32",
            preprocessing=Preprocessing(size=32),
            backbone="made up",
            backbone_fingerprint=backbone_fingerprint,
            dataset_fingerprint=dataset_fingerprint,
            image_root="/nowhere",
        )
        described.write(stage.work / DESCRIPTION)
        stage.finish({}, content={f"shards/{n}": record.sha256 for n, record in enumerate(records)})
    return output
