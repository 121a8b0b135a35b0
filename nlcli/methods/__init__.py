"""Methods of learning from noisy labels; a method's file is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlcli.registry import Catalogue

if TYPE_CHECKING:
    from nlcli.methods.base.contract import MethodConfig
    from nlcli.methods.base.method import Method


def _facts(method: type[Method]) -> dict[str, Any]:
    presets = {preset: dict(settings) for preset, settings in method.presets.items()}
    return {"presets": presets, "scores": list(method.scores)}


# In the order of the list of methods: baselines first.
METHODS: Catalogue[Method, MethodConfig] = Catalogue(
    "method",
    "nlcli.methods",
    {
        "noisy": "nlcli.methods.noisy:Noisy",
        "clean": "nlcli.methods.clean:Clean",
        "clean-and-noisy": "nlcli.methods.clean_and_noisy:CleanAndNoisy",
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
