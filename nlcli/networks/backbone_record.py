"""What is written beside a saved network, ``backbone.json``; read without loading the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict

from nlcli.errors import NlcliError
from nlcli.networks.images import Preprocessing
from nlcli.stages.records import ClassText, SchemaRecord

RECORD = "backbone.json"
Activation = Literal["sigmoid", "softmax"]


class BackboneRecord(SchemaRecord):
    """A saved network.

    Attributes:
        network: The registered network it is, or a file's name for one of somebody else.
        num_features: Length D of its features.
        preprocessing: How files become its input.
        classes: Names of its logits, or None.
        activation: What turns logits into probabilities.
        history: What it was trained on, oldest first.
        fingerprint: ``Backbone.fingerprint``.
    """

    model_config = ConfigDict(extra="ignore")

    remedy: ClassVar[str] = "save the network again"

    network: str
    num_features: int
    preprocessing: Preprocessing
    classes: tuple[ClassText, ...] | None
    activation: Activation
    history: tuple[dict[str, Any], ...]
    fingerprint: str

    @classmethod
    def of(cls, directory: Path | str) -> Self:
        """The record of the network saved in ``directory``.

        Raises:
            NlcliError: there is none, or it is damaged.
        """
        directory = Path(directory)
        if not is_saved(directory):
            missing = "there is no directory" if not directory.is_dir() else f"it has no {RECORD}"
            raise NlcliError(f"{directory} is not a saved backbone: {missing}")
        return cls.read(directory / RECORD)


def is_saved(directory: Path | str) -> bool:
    """Whether a network was saved in ``directory``."""
    return (Path(directory) / RECORD).is_file()
