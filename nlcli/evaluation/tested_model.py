"""What an evaluation tells of the model that it evaluates."""

from __future__ import annotations

from pathlib import Path

from nlcli.evaluation.metrics_file import Selection, TestedModel
from nlcli.stages.stage import StageRecord
from nlcli.training.result import read_result


def tested_model(model: StageRecord) -> TestedModel:
    """The model with its configuration, without paths and without what does not change a result."""
    from nlcli.detection.config import DetectNoise
    from nlcli.stages.config import StageConfig, field_names
    from nlcli.training.config import PretrainBackbone, TrainHead

    kinds: dict[str, type[StageConfig]] = {"run": TrainHead, "backbone": PretrainBackbone, "detection": DetectNoise}
    left_out = field_names(kinds[model.kind], "input", "runtime")
    settings = {name: value for name, value in model.config.items() if name not in left_out}
    return TestedModel.model_validate(
        {"directory": model.path.resolve().name, "kind": model.kind, "settings": settings}
    )


def selection(model: Path) -> Selection:
    """What chose the checkpoint and which clean labels it used, as the result of the run or backbone ``model`` tells.

    Raises:
        NlcliError: its ``result.json`` is damaged.
    """
    result = read_result(model)
    if result is None:
        return Selection()
    told = {name: getattr(result, name) for name in Selection.model_fields if name in result.model_fields_set}
    return Selection(**told)
