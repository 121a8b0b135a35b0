"""An exported model as what scores image files, which it reads as its ``export.json`` says."""

from __future__ import annotations

import numpy as np

from nlcli.errors import NlcliError
from nlcli.evaluation.exported_model import open_exported
from nlcli.evaluation.image_scorer import ImageNetwork, ImageScorer
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.stage import StageRecord


def open_exported_scorer(model: StageRecord) -> ImageScorer:
    """The model in the directory ``model``.

    Raises:
        NlcliError: it takes features, or cannot be run.
    """
    quiet_tensorflow()
    record, apply = open_exported(model.path)
    preparation = record.given.preprocessing
    if preparation is None:
        raise NlcliError(
            f"{model.path} is a head alone: it takes features, not images; name a model that has its network in it"
        )
    source = ImageNetwork(preparation, lambda images: np.asarray(apply(images), np.float32))
    name = f"{record.source.method or 'backbone'} as {record.format}"
    network = record.source.network or name
    return ImageScorer(model.path, name, record.classes, network, source, None, record.source.score)
