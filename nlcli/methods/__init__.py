"""Methods of learning from noisy labels; a method's file is imported when it is asked for.

What the author of a method needs comes from here (docs/add-your-own.md): the base class and its configuration,
what passes between method and training, ``ops`` for equations, and ``losses``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nlcli.registry import Catalogue

if TYPE_CHECKING:
    from nlcli.methods.base import losses as losses
    from nlcli.methods.base.contract import Batch as Batch
    from nlcli.methods.base.contract import MethodConfig as MethodConfig
    from nlcli.methods.base.contract import Phase as Phase
    from nlcli.methods.base.contract import Problem as Problem
    from nlcli.methods.base.contract import Tensor as Tensor
    from nlcli.methods.base.keras_ops import ops as ops
    from nlcli.methods.base.linear import LinearMethod as LinearMethod
    from nlcli.methods.base.method import Method as Method
    from nlcli.methods.base.search_range import Choice as Choice
    from nlcli.methods.base.search_range import Range as Range
    from nlcli.networks.linear_layer import LinearLayer as LinearLayer

_OF_AUTHORS = {
    "Batch": "nlcli.methods.base.contract",
    "Choice": "nlcli.methods.base.search_range",
    "LinearLayer": "nlcli.networks.linear_layer",
    "LinearMethod": "nlcli.methods.base.linear",
    "Method": "nlcli.methods.base.method",
    "MethodConfig": "nlcli.methods.base.contract",
    "Phase": "nlcli.methods.base.contract",
    "Problem": "nlcli.methods.base.contract",
    "Range": "nlcli.methods.base.search_range",
    "Tensor": "nlcli.methods.base.contract",
    "losses": "nlcli.methods.base",
    "ops": "nlcli.methods.base.keras_ops",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_AUTHORS:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    if name == "losses":
        return importlib.import_module("nlcli.methods.base.losses")
    return getattr(importlib.import_module(_OF_AUTHORS[name]), name)


def _facts(method: type[Method]) -> dict[str, Any]:
    presets = {preset: dict(settings) for preset, settings in method.presets.items()}
    return {"presets": presets, "scores": list(method.scores)}


# In the order of the list of methods: the default, then baselines.
METHODS: Catalogue[Method, MethodConfig] = Catalogue(
    "method",
    "nlcli.methods",
    {
        "auto": "nlcli.methods.auto:Auto",
        "noisy": "nlcli.methods.noisy:Noisy",
        "clean": "nlcli.methods.clean:Clean",
        "clean-and-noisy": "nlcli.methods.clean_and_noisy:CleanAndNoisy",
        "posterior": "nlcli.methods.posterior:Posterior",
        "finetune-last": "nlcli.methods.finetune_last:FinetuneLast",
        "finetune-mixed": "nlcli.methods.finetune_mixed:FinetuneMixed",
        "finetune-whole": "nlcli.methods.finetune_whole:FinetuneWhole",
        "ground-truth": "nlcli.methods.ground_truth:GroundTruth",
        "veit": "nlcli.methods.veit:Veit",
        "misra": "nlcli.methods.misra:Misra",
        "teacher-student": "nlcli.methods.teacher_student:TeacherStudent",
        "residual": "nlcli.methods.residual:Residual",
        "bottom-up": "nlcli.methods.bottom_up:BottomUp",
        "forward": "nlcli.methods.forward:Forward",
        "noise-types": "nlcli.methods.noise_types:NoiseTypes",
        "cleannet": "nlcli.methods.cleannet:CleanNet",
    },
    "nlcli.methods.base.method:Method",
    _facts,
)
get_method, configure = METHODS.get, METHODS.configure
