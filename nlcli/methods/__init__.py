"""The registry of methods; a method's file is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nlcli.errors import NlcliError, first_problem, unknown_name

if TYPE_CHECKING:
    from nlcli.methods.base.contract import MethodConfig
    from nlcli.methods.base.method import Method

# Name -> module:class, in the order of the list of methods: baselines first.
METHODS = {
    "noisy": "noisy:Noisy",
    "clean": "clean:Clean",
    "clean-and-noisy": "clean_and_noisy:CleanAndNoisy",
    "finetune-last": "finetune_last:FinetuneLast",
    "finetune-mixed": "finetune_mixed:FinetuneMixed",
    "finetune-whole": "finetune_whole:FinetuneWhole",
    "ground-truth": "ground_truth:GroundTruth",
    "veit": "veit:Veit",
    "misra": "misra:Misra",
    "teacher-student": "teacher_student:TeacherStudent",
    "residual": "residual:Residual",
    "bottom-up": "bottom_up:BottomUp",
    "forward": "forward:Forward",
    "noise-types": "noise_types:NoiseTypes",
    "cleannet": "cleannet:CleanNet",
}


def get_method(name: str) -> type[Method]:
    """The method called ``name``; NlcliError naming the nearest one when there is none."""
    from nlcli.runtime import quiet_tensorflow

    if name not in METHODS:
        raise NlcliError(unknown_name(name, METHODS, "method"))
    quiet_tensorflow()
    module, cls = METHODS[name].split(":")
    return getattr(importlib.import_module(f"nlcli.methods.{module}"), cls)


def configure(name: str, options: Mapping[str, Any] | None = None, preset: str | None = None) -> MethodConfig:
    """The configuration of method ``name``: its defaults, then ``preset``, then ``options``.

    Raises:
        NlcliError: unknown method, preset or option, or a value out of range.
    """
    method, options = get_method(name), dict(options or {})
    settings: dict[str, Any] = {}
    if preset is not None:
        if preset not in method.presets:
            raise NlcliError(f"method {name}: {unknown_name(preset, method.presets, 'preset')}")
        settings = method.preset_settings(preset, options)
    for option in sorted(options):
        if option not in method.Config.model_fields:
            raise NlcliError(f"method {name}: {unknown_name(option, method.Config.model_fields, 'option')}")
    try:
        return method.Config(**{**settings, **options})
    except ValidationError as error:
        raise NlcliError(f"method {name}: {first_problem(error)}") from error
