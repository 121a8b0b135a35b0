"""The track command: finished stages, however long ago, told to MLflow or TensorBoard, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlcli.console import print_pairs, progress
from nlcli.errors import NlcliError
from nlcli.stages.addresses import refuse_address
from nlcli.stages.lineage import finished_stages
from nlcli.tracking.board_folders import BoardFolders
from nlcli.tracking.mlflow_runs import MlflowRuns
from nlcli.tracking.told_stage import told_stage

if TYPE_CHECKING:
    from nlcli.stages.stage import StageRecord
    from nlcli.tracking.config import Track


def track(config: Track) -> dict[str, Any]:
    """Tell of every finished stage that is named; what was told before is left as it is.

    Raises:
        NlcliError: nothing made by nlcli is named, or what is told cannot be reached.
    """
    records: dict[str, StageRecord] = {}
    for path in config.directories:
        for record in finished_stages(path):
            records.setdefault(record.fingerprint, record)
    if not records:
        raise NlcliError("nothing to tell of; name at least one directory made by nlcli, or a folder of them")
    if config.to == "tensorboard":  # MLflow has servers
        refuse_address(config.at, "--at", path=False, written=True)
    told: MlflowRuns | BoardFolders
    told = MlflowRuns(config.at, config.experiment) if config.to == "mlflow" else BoardFolders(config.at)
    logged = 0
    with progress(len(records), f"telling {config.to}", unit="stages") as bar:
        for record in records.values():
            logged += told.take(told_stage(record))
            bar.advance()
    return {"to": config.to, "at": told.where, "logged": logged, "known": len(records) - logged}


def show_tracked(told: dict[str, Any]) -> None:
    """For people."""
    print_pairs(told)
