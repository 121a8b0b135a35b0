"""The table of stages: what each is called, its configuration, and the function that runs it.

The command line, the pipeline runner and the Python interface all read this one table. Nothing
heavy is imported before a stage is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.errors import NlcliError

if TYPE_CHECKING:
    from nlcli.config import StageConfig


@dataclass(frozen=True)
class StageCommand:
    """A stage of the pipeline.

    Attributes:
        name: As on the command line.
        about: One line for ``--help``.
        config: Class name in ``nlcli.config``.
        function: ``module:function``; takes the configuration and ``force``, returns the output path.
        example: A command that runs it.
        show: ``module:function`` printing the result's table for people; None for the plain summary.
    """

    name: str
    about: str
    config: str
    function: str
    example: str
    show: str | None = None

    def config_class(self) -> type[StageConfig]:
        """The configuration model (imports pydantic)."""
        from nlcli import config

        return getattr(config, self.config)

    def run(self, config: StageConfig, *, force: bool = False) -> Path:
        """Run the stage and return its output directory."""
        return load(self.function)(config, force=force)


def load(reference: str) -> Callable[..., Any]:
    """The object that ``module:name`` names."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


_STAGES = (
    StageCommand(
        "build-digits", "Write the embedded data set: scenes of handwritten digits, in COCO format.",
        "BuildDigits", "nlcli.datasets.digits:build_digits",
        "nlcli build-digits --output data/digits",
    ),
    StageCommand(
        "annotate", "Predict the top classes of every image with a trained classifier.",
        "Annotate", "nlcli.annotate:annotate",
        "nlcli annotate --images data/coco/train2014 --output data/coco-predictions",
    ),
    StageCommand(
        "build-coco", "Build the extended MS-COCO data set: verified labels, noisy labels, splits.",
        "BuildCoco", "nlcli.datasets.coco:build_coco",
        "nlcli build-coco --train-images data/coco/train2014 "
        "--train-annotations data/coco/annotations/instances_train2014.json "
        "--val-images data/coco/val2014 --val-annotations data/coco/annotations/instances_val2014.json "
        "--output data/coco-noisy",
    ),
    StageCommand(
        "pretrain-backbone", "Fine-tune a whole network on noisy or on verified labels.",
        "PretrainBackbone", "nlcli.pretrain:pretrain_backbone",
        "nlcli pretrain-backbone --dataset data/coco-noisy --backbone resnet50 --output runs/backbone",
    ),
    StageCommand(
        "extract-features", "Cache the pooled features of every image in HDF5.",
        "ExtractFeatures", "nlcli.features:extract_features",
        "nlcli extract-features --dataset data/coco-noisy --backbone runs/backbone --output runs/features",
    ),
    StageCommand(
        "train-head", "Train a head on cached features, with few clean labels and many noisy ones.",
        "TrainHead", "nlcli.heads:train_head",
        "nlcli train-head --method residual --dataset data/coco-noisy --features runs/features "
        "--clean-fraction 0.05 --output runs/residual",
    ),
    StageCommand(
        "eval", "Score runs or backbones on a split; several are set side by side.",
        "Evaluate", "nlcli.evaluate:evaluate",
        "nlcli eval runs/noisy runs/residual --split test",
    ),
    StageCommand(
        "compare", "Set evaluations side by side: table, CSV, Markdown and figure.",
        "Compare", "nlcli.compare:compare_evaluations",
        "nlcli compare runs/noisy-test runs/residual-test --output runs/report",
    ),
)
STAGES: dict[str, StageCommand] = {stage.name: stage for stage in _STAGES}


def find_stage(name: str, where: str) -> StageCommand:
    """The stage called ``name``; an unknown one is a sentence that says where it stands."""
    from nlcli.config import unknown_name

    if name not in STAGES:
        raise NlcliError(f"{where}: {unknown_name(name, STAGES, 'stage')}")
    return STAGES[name]
