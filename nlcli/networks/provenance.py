"""Where a network comes from: what a stage that opens one depends on, told without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlcli.errors import NlcliError, unknown_name
from nlcli.networks.backbone_record import RECORD, BackboneRecord, is_saved
from nlcli.networks.images import Scaling
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import fingerprint_file, fingerprint_json, read_json
from nlcli.stages.publishing import RECORD as STAGE
from nlcli.stages.stage import StageRecord, read_stage

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone

MADE = ("imagenet", "none")
"""Weights that are no file: downloaded, or random."""


@dataclass(frozen=True)
class NetworkSource:
    """A network as the options of a stage name it.

    The hashes are those of 0.1.0, so that what it finished counts as up to date.

    Attributes:
        name: A registered network, the directory of a saved one, or a ``.keras`` file.
        weights: Of a registered one: ``imagenet``, ``none``, a file, or the directory of a saved one.
        classes_file: Class names of a ``.keras`` file, one a line.
        scaling: Pixel scaling that a ``.keras`` file expects of its input; None: found out.
        image_size: Side of the input; None: as the network has it.
    """

    name: str
    weights: str = "imagenet"
    classes_file: Path | None = None
    scaling: Scaling | None = None
    image_size: int | None = None

    def open(self, *, top: bool = False) -> Backbone:
        """Load it; see ``open_backbone``."""
        quiet_tensorflow()
        from nlcli.networks.weights import open_backbone

        return open_backbone(
            self.name,
            self.weights,
            top=top,
            classes_file=self.classes_file,
            scaling=self.scaling,
            image_size=self.image_size,
        )

    def inputs(self) -> dict[str, StageRecord | Path | str]:
        """What a stage depends on that computes features by it: ``backbone`` and, where they are extra, ``weights``.

        Raises:
            NlcliError: it is saved, and weights are named.
        """
        path, weights = Path(self.name), Path(self.weights)
        if is_saved(path):
            if self.weights != "imagenet":
                raise NlcliError(f"{path} is a saved backbone and has its weights; leave out --weights")
            return {"backbone": _saved(path)}
        named: dict[str, StageRecord | Path | str] = {"backbone": fingerprint_json(self.name)}
        if self.weights in MADE:
            named["weights"] = fingerprint_json(self.weights)
        elif is_saved(weights):
            named["weights"] = _saved(weights)
        elif weights.is_file():
            named["weights"] = weights
        return named  # anything else is not there, which opening it will say

    def weights_input(self) -> StageRecord | Path | str:
        """What a stage depends on that trains a registered network further, beside the network's name.

        Raises:
            NlcliError: the network is not registered, or its weights are not there.
        """
        quiet_tensorflow()
        from nlcli.networks.architectures import BACKBONES

        if self.name not in BACKBONES:
            raise NlcliError(unknown_name(self.name, BACKBONES, "network"))
        path = Path(self.weights)
        if self.weights in MADE:
            return self.weights
        if (path / STAGE).is_file():
            return read_stage(path, "backbone")
        if path.is_dir():
            return BackboneRecord.of(path).fingerprint
        if not path.is_file():
            raise NlcliError(
                f"there are no weights {self.weights}; pass 'imagenet', 'none', a weights file, or a saved backbone"
            )
        return path

    def fingerprint(self) -> str:
        """One hash that stands for it as a classifier.

        Raises:
            NlcliError: a file or directory of it is not there, or a ``.keras`` file has no class names.
        """
        path, weights = Path(self.name), Path(self.weights)
        if (path / STAGE).is_file():
            return read_stage(path).fingerprint
        if path.is_dir():
            return BackboneRecord.of(path).fingerprint
        if path.suffix == ".keras":
            if self.classes_file is None:
                raise NlcliError(f"classifier {path} needs --classifier-classes: a text file, one class name a line")
            return fingerprint_json([fingerprint_file(path), fingerprint_file(self.classes_file), self.scaling])
        if self.weights in MADE:
            return fingerprint_json([self.name, self.weights])
        if is_saved(weights):
            return fingerprint_json([self.name, BackboneRecord.of(weights).fingerprint])
        return fingerprint_json([self.name, fingerprint_file(weights)])


def _saved(path: Path) -> StageRecord | str:
    if (path / STAGE).exists():
        return read_stage(path)
    return fingerprint_json(read_json(path / RECORD))  # it tells of the weights' fingerprint
