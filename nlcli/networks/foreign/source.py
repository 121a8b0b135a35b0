"""Networks of other libraries by name: ``onnx:FILE``, ``hub:PRESET`` and ``timm:NAME``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from nlcli.errors import NlcliError
from nlcli.networks.foreign.base import ForeignNetwork, ForeignOptions
from nlcli.stages.files import fingerprint_json

_MEANS: dict[str, frozenset[str]] = {
    "onnx": frozenset({"image_size", "preprocessing", "scaling", "resize", "network_output", "pooling"}),
    "hub": frozenset({"image_size", "pooling"}),
    "timm": frozenset({"image_size"}),
}
"""The options that mean something to each library."""


@dataclass(frozen=True)
class ForeignSource:
    """A network of another library as the options of a stage name it.

    Attributes:
        kind: onnx, hub or timm.
        name: File, preset or directory, or model.
        weights: File of weights, of timm.
        options: What else is said of it.
    """

    kind: str
    name: str
    weights: Path | None
    options: ForeignOptions

    @classmethod
    def of(cls, backbone: str, options: ForeignOptions) -> ForeignSource | None:
        """The network that ``backbone`` names; None where it is not of another library.

        Raises:
            NlcliError: an option is given that means nothing to it.
        """
        kind, _, name = backbone.partition(":")
        if not is_foreign(backbone):
            _refuse_what_means_nothing(options, None, backbone)
            return None
        _refuse_what_means_nothing(options, kind, backbone)
        weights = None
        if kind == "timm" and "@" in name:
            name, _, file = name.partition("@")
            weights = Path(file)
        return cls(kind, name, weights, options)

    def inputs(self) -> dict[str, Path | str]:
        """What a stage depends on that computes features by it.

        Raises:
            NlcliError: a file of it is not there.
        """
        found: dict[str, Path | str] = {"backbone": fingerprint_json(f"{self.kind}:{self.name}")}
        path = Path(self.name)
        if self.kind == "onnx":
            from nlcli.networks.foreign.onnx_network import sidecar_of

            if not path.is_file():
                raise NlcliError(f"there is no file {path}; pass onnx:FILE with the path of the network")
            found["backbone"] = path
            sidecar = sidecar_of(path, self.options)
            if sidecar is not None:
                found["preprocessing"] = sidecar
        elif self.kind == "hub" and path.is_dir():
            found["backbone"] = path
        if self.weights is not None:
            if not self.weights.is_file():
                raise NlcliError(f"there is no weights file {self.weights}; pass timm:NAME@FILE with the path of one")
            found["weights"] = self.weights
        return found

    def open(self) -> ForeignNetwork:
        """Load it."""
        if self.kind == "onnx":
            from nlcli.networks.foreign.onnx_network import OnnxNetwork

            return OnnxNetwork(Path(self.name), self.options)
        if self.kind == "hub":
            from nlcli.networks.foreign.hub_network import HubNetwork

            return HubNetwork(self.name, self.options)
        from nlcli.networks.foreign.timm_network import TimmNetwork

        return TimmNetwork(self.name, self.weights, self.options)


def located(backbone: str) -> str:
    """``backbone`` with the files and directories in it from the root, links as they are."""
    kind, sign, name = backbone.partition(":")
    if not is_foreign(backbone):
        return str(Path.cwd() / backbone) if Path(backbone).exists() else backbone
    model, at, file = name.partition("@")
    if kind == "timm":
        return f"{kind}{sign}{model}{at}{Path.cwd() / file if at else ''}"
    return f"{kind}{sign}{Path.cwd() / name}" if Path(name).exists() else backbone


def is_foreign(backbone: str) -> bool:
    """Whether ``backbone`` names a network of another library."""
    kind, sign, name = backbone.partition(":")
    return bool(sign and name and kind in _MEANS)


def _refuse_what_means_nothing(options: ForeignOptions, kind: str | None, backbone: str) -> None:
    own = frozenset({"image_size"}) if kind is None else _MEANS[kind]
    for field in fields(options):
        if getattr(options, field.name) is not None and field.name not in own:
            libraries = " and ".join(f"{name}:" for name, known in _MEANS.items() if field.name in known)
            flag = "--" + field.name.replace("_", "-")
            raise NlcliError(f"{flag} means something only to networks of {libraries}, not to {backbone}; leave it out")
