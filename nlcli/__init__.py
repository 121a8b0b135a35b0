"""nlcli: train good image classifiers from massive noisy labels and a small clean set.

Every stage of the command line is a function here, with the same name and the same options::

    import nlcli

    dataset = nlcli.build_coco(train_images="train2014", ..., output="data/coco-noisy")
    features = nlcli.extract_features(dataset=dataset, backbone="resnet50", output="runs/features")
    run = nlcli.train_head(dataset=dataset, features=features, method="residual", output="runs/residual")
    nlcli.eval(model=run, split="test")

Each returns the path of the directory it made (see docs/python.md).
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from nlcli.stages.commands import STAGES

__version__ = "0.1.0"

_FUNCTIONS = {name.replace("-", "_"): stage for name, stage in STAGES.items()}
__all__ = ["NlcliError", *sorted(_FUNCTIONS)]  # noqa: PLE0604 - the names come from the table of stages


class _Package(ModuleType):
    """Keeps ``nlcli.annotate`` the stage's function when the module of the same name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    stage = _FUNCTIONS.get(name)
    if stage is None:
        raise AttributeError(f"module 'nlcli' has no attribute '{name}'")

    def function(*, force: bool = False, **options: Any) -> Path:
        return stage.run(stage.config_class().parse(options, stage.name), force=force)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{stage.about}\n\nThe options are those of ``nlcli {stage.name} --help``."
    return function


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
