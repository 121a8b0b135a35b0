"""What a features directory says of itself, ``features.json``."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from nlcli.networks.images import Preprocessing
from nlcli.networks.preparation import StatedPreprocessing
from nlcli.stages.records import PathText, SchemaRecord

DESCRIPTION = "features.json"


class FeaturesRecord(SchemaRecord):
    """How features were computed, and of what.

    Attributes:
        images: Images of the data set.
        broken: Those of them that could not be read.
        num_features: D.
        dtype: Of the stored features.
        shards: How many there are.
        precision: Of the arithmetic.
        preprocessing: How files became the network's input; None for features that another program computed.
        backbone: Name of the network.
        backbone_fingerprint: ``Backbone.fingerprint`` of it.
        dataset_fingerprint: ``LabelTable.fingerprint`` of the data set.
        image_root: Where the images lay.
    """

    model_config = ConfigDict(extra="ignore")

    remedy: ClassVar[str] = "extract the features again"

    images: int = Field(ge=0)
    broken: int = Field(ge=0)
    num_features: int = Field(ge=1)
    dtype: Literal["float32", "float16"]
    shards: int = Field(ge=0)
    precision: str
    preprocessing: Preprocessing | StatedPreprocessing | None
    backbone: str
    backbone_fingerprint: str
    dataset_fingerprint: str
    image_root: PathText
