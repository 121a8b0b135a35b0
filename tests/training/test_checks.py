"""The battery for methods: one from outside passes it, and each mistake is told by a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.method import Method
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training import checks
from nlcli.training.checks import Case, check_method


class Plain(Method):
    """One linear layer on noisy labels."""

    name = "plain"
    citation = "@misc{plain,\n  title = {Plain}\n}"
    Config = MethodConfig
    tasks = ("multi-label",)
    scores = ("classifier",)
    config: MethodConfig

    def build(self, init: LinearLayer | None) -> None:
        self.classifier = self.linear("classifier")

    def phases(self) -> tuple[Phase, ...]:
        return (self.make_phase("noisy", "noisy", self.config.steps, {"head": self.config.learning_rate}),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), batch.noisy)}

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.probabilities(self.classifier(features))


def test_a_class_that_is_not_registered_passes() -> None:
    check_method(Plain)


def test_every_check_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str]] = []
    noted = [lambda case, check=check: made.append((check.__name__, case.task)) for check in checks.CHECKS]
    monkeypatch.setattr(checks, "CHECKS", tuple(noted))
    check_method("noisy")
    assert made == [(check.__name__, task) for task in ("multi-label", "single-label") for check in _CHECKS]


_CHECKS = checks.CHECKS


class LosesAGroup(Plain):
    """A layer that no phase trains."""

    def build(self, init: LinearLayer | None) -> None:
        super().build(init)
        self.idle = self.linear("idle", group="idle")


class IgnoresDecay(Plain):
    """A phase that is made by hand."""

    def phases(self) -> tuple[Phase, ...]:
        schedule = self.make_phase("noisy", "noisy", 1, {"head": 1e-2}).rates
        return (Phase("noisy", "noisy", self.config.steps, schedule),)


class Overflows(Plain):
    """The logarithm of a probability that may round to 0."""

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        p = ops.sigmoid(self.classifier(features))
        return {"loss": -ops.mean(batch.noisy * ops.log(p) + (1 - batch.noisy) * ops.log(1 - p))}


class ReadsUnverified(Plain):
    """The mask is forgotten."""

    def phases(self) -> tuple[Phase, ...]:
        return (self.make_phase("clean", "clean", self.config.steps, {"head": self.config.learning_rate}),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), batch.verified)}


class ScoresLogits(Plain):
    """Scores outside [0, 1]."""

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.classifier(features)


class CleansToLogits(Plain):
    """Cleaned labels outside [0, 1]."""

    cleans = True

    def cleaned(self, noisy: Tensor, features: Tensor) -> Tensor:
        return noisy + self.classifier(features)


class LearnsTheOpposite(Plain):
    """The labels upside down."""

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), 1 - batch.noisy)}


class Forgets(Plain):
    """Something learnt that is no weight."""

    def begin(self, phase: str, features: Any) -> None:
        self.centre = np.mean(np.concatenate(list(features())), axis=0)

    def score(self, features: Tensor, name: str) -> Tensor:
        return super().score(features - getattr(self, "centre", 0.0), name)


@pytest.mark.parametrize(
    ("cls", "check", "sentence"),
    [
        (LosesAGroup, checks.check_phases, "train \\['head'\\]; its variables are in \\['head', 'idle'\\]"),
        (IgnoresDecay, checks.check_phases, "phase 'noisy' of plain ignores weight_decay; use make_phase"),
        (Overflows, checks.check_losses_are_finite, "features times 10000: loss is not finite"),
        (ReadsUnverified, checks.check_unverified_entries_have_no_influence, "unverified entries change loss"),
        (ScoresLogits, checks.check_scores, "is not within 0 and 1"),
        (CleansToLogits, checks.check_cleaned_labels, "cleaned labels of plain are not within 0 and 1"),
        (LearnsTheOpposite, checks.check_learns, "where 0.8 is asked for"),
        (Forgets, checks.check_learns, "must be among its weights"),
    ],
)
def test_mistakes_are_told(cls: type[Method], check: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check(Case(cls, "multi-label"))


def test_a_method_that_takes_any_data_is_told() -> None:
    class TakesAll(Plain):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.tasks = checks.TASKS  # type: ignore[misc]
            super().__init__(*arguments, **options)

    with pytest.raises(AssertionError, match="is for multi-label data, but takes single-label data"):
        checks.check_other_tasks_are_refused(TakesAll)
