"""Methods whose classifiers may begin at a solved linear one, to which their nets then add what is not linear."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from nlcli.errors import NlcliError
from nlcli.estimation.contest import Contest, contest
from nlcli.estimation.criterion import BEYOND_START
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.scale import ScaleKind
from nlcli.methods.base.contract import MethodConfig, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.method import Method
from nlcli.methods.base.solution import Labelled, images_and_judges

_LEAST = 1e-6
"""Of 1 - p where log-odds are taken: float32 holds no smaller difference to 1."""


STARTED_RATE = 1e-4
"""What begins at a good classifier leaves it at 1e-3: a net learns some tens of verified images by heart."""


class StartedConfig(MethodConfig):
    """Settings of a method that may begin at a solved classifier."""

    start: Literal["auto", "new", "solved"] = Field(
        "auto",
        description="new weights, or the solved linear classifier that method auto would keep; auto: solved, unless a "
        "preset is given, the inputs are images, or something that only new weights need.",
    )


class SolvedLogits:
    """The logits of a solved classifier, a part of a head that no step trains."""

    def __init__(self, method: Method, name: str) -> None:
        features, classes = method.problem.num_features, method.problem.num_classes
        method.require_room(name, (features + 1) * classes)
        self.kernel = method.constant(f"{name}_kernel", np.zeros((features, classes), np.float32))
        self.bias = method.constant(f"{name}_bias", np.zeros(classes, np.float32))
        self._odds = method.problem.task == "single-label"

    def take(self, model: LinearModel) -> None:
        """Become those of ``model``."""
        self.kernel.assign(model.kernel.astype(np.float32))
        self.bias.assign(model.bias.astype(np.float32))

    def __call__(self, features: Tensor) -> Tensor:
        """(rows, C) whose sigmoid is the classifier's probability, also where that is a softmax's."""
        logits = ops.matmul(features, self.kernel.value) + self.bias.value
        if not self._odds:
            return logits
        log_p = ops.log_softmax(logits, axis=-1)
        return log_p - ops.log(ops.maximum(1.0 - ops.exp(log_p), _LEAST))


class StartedMethod(Method):
    """A method with sigmoids that ``build`` gives a solved classifier to begin at, where ``starts_solved``.

    ``build`` makes ``begun``, and nets beside it that add nothing yet.
    """

    config: StartedConfig
    begun: SolvedLogits
    only_new: ClassVar[frozenset[str]] = frozenset()
    """Options that only new weights need."""
    started_rates: ClassVar[tuple[str, ...]] = ("learning_rate",)
    """Rates that are ``STARTED_RATE`` where they are not given."""

    @classmethod
    def can_start(cls, config: Any) -> bool:
        """Whether ``config`` leaves something that a solved classifier can stand for."""
        return True

    @classmethod
    def decided(
        cls, config: Any, given: Collection[str], *, stepped: bool, scale: ScaleKind | None = None
    ) -> MethodConfig:
        only = sorted(cls.only_new & set(given))
        if config.start == "auto":
            new = stepped or scale is not None or only or not cls.can_start(config)
            config = config.model_copy(update={"start": "new" if new else "solved"})
        elif config.start == "solved" and (only or not cls.can_start(config)):
            what = only[0] if only else f"train={config.train}"
            raise NlcliError(f"method {cls.name} has no use for '{what}' with start=solved; leave one of them out")
        if config.start == "solved":
            changes: dict[str, Any] = {name: STARTED_RATE for name in cls.started_rates if name not in given}
            if config.feature_scale == "auto":
                changes["feature_scale"] = cls.solved_scale
            config = config.model_copy(update=changes)
        return super().decided(config, given, stepped=stepped, scale=scale)

    @classmethod
    def starts_from_layer(cls, config: Any) -> bool:
        return super().starts_from_layer(config) and config.start != "solved"

    @property
    def starts_solved(self) -> bool:
        return self.config.start == "solved"

    @property
    def cost(self) -> str:
        return BEYOND_START if self.starts_solved else super().cost

    def start(self, labelled: Labelled) -> None:
        self.begin_at(contest(*images_and_judges(labelled)))

    def begin_at(self, solved: Contest) -> None:
        """Take what was solved."""
        self.begun.take(solved.model)

    def score_at_start(self, features: Tensor) -> Tensor:
        return ops.sigmoid(self.begun(features))

    def started(self, logits: Tensor, features: Tensor) -> Tensor:
        """``logits`` of a net, with those that it began at."""
        return logits + self.begun(features) if self.starts_solved else logits
