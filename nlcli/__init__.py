"""nlcli: train good image classifiers from massive noisy labels and a small clean set.

Every stage of the command line is a function here, with the same name and the same options::

    import nlcli

    dataset = nlcli.build_coco(train_images="train2014", ..., output="data/coco-noisy")
    features = nlcli.extract_features(dataset=dataset, backbone="resnet50", output="runs/features")
    run = nlcli.train_head(dataset=dataset, features=features, method="residual", output="runs/residual")
    nlcli.evaluate(model=run, split="test")

Each returns the path of the directory it made (see docs/python.md). Editors and type checkers read
``__init__.pyi``.
"""

from __future__ import annotations

from typing import Any

from nlcli.errors import NlcliError
from nlcli.interface import attribute, names
from nlcli.version import __version__

__all__ = ["NlcliError", "__version__", *names()]  # noqa: PLE0604 - the names come from the table of commands


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'nlcli' has no attribute '{name}'")
    value = globals()[name] = attribute(name)  # the same object each time
    return value


def __dir__() -> list[str]:
    return __all__
