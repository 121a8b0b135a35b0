"""What a stage that opens a network depends on, without loading it."""

from __future__ import annotations

from pathlib import Path

from nlcli.errors import NlcliError
from nlcli.stages.files import fingerprint_json, read_json
from nlcli.stages.publishing import RECORD
from nlcli.stages.stage import StageRecord, read_stage


def backbone_inputs(backbone: str, weights: str) -> dict[str, StageRecord | Path | str]:
    """What a stage depends on that opens ``backbone`` with ``weights``, without loading the network.

    Raises:
        NlcliError: the backbone or its weights are not there.
    """
    path = Path(backbone)
    if (path / "backbone.json").is_file():
        if weights != "imagenet":
            raise NlcliError(f"{path} is a saved backbone and has its weights; leave out --weights")
        return {"backbone": _saved(path)}
    found: dict[str, StageRecord | Path | str] = {"backbone": fingerprint_json(backbone)}
    file = Path(weights)
    if weights in ("imagenet", "none"):
        found["weights"] = fingerprint_json(weights)
    elif (file / "backbone.json").is_file():
        found["weights"] = _saved(file)
    elif file.is_file():
        found["weights"] = file
    return found  # anything else is not there, which opening it will say


def _saved(path: Path) -> StageRecord | str:
    if (path / RECORD).exists():
        return read_stage(path)
    return fingerprint_json(read_json(path / "backbone.json"))  # it tells of the weights' fingerprint
