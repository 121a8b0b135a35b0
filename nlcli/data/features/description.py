"""What a features directory says of itself, ``features.json``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from nlcli.networks.cpu_engines.contract import EngineRecord
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
        engine_cpu: What computed them, where it was neither TensorFlow nor the network's own library.
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
    engine_cpu: EngineRecord | None = None

    @model_serializer(mode="wrap")
    def _as_before_there_were_engines(self, values_of: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = values_of(self)
        return values if self.engine_cpu else {n: value for n, value in values.items() if n != "engine_cpu"}
