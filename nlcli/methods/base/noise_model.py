"""What methods with a fixed model of how labels go wrong share: their nets, and what they read off pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlcli.errors import NlcliError
from nlcli.estimation.cross_fitting import Beginning
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.linear_search import Choice
from nlcli.estimation.objective import Term
from nlcli.estimation.transition import confident_transition, shrunk_transition
from nlcli.methods.base.contract import Activation, Tensor
from nlcli.methods.base.finetuning import FinetuningConfig, FinetuningMethod
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.method import Method
from nlcli.methods.base.solution import Labelled, Solved, choose_linear
from nlcli.networks.linear_layer import LinearLayer

UNVERIFIED_FACTOR = 3.0
MOST_PREDICTIONS = 50_000


class NoiseModelConfig(FinetuningConfig):
    """Settings of a softmax classifier with a noise model behind it."""

    hidden: int = Field(0, ge=0, description="Units of a hidden layer (0: none, a linear layer).")
    activation: Activation = Field("sigmoid", description="Non-linearity of the hidden layer.")
    pairs_of: Literal["train", "train+validation"] = Field(
        "train",
        description="Splits whose verified pairs of true and noisy class are counted; all of them are fitted on.",
    )


class MixedConfig(NoiseModelConfig):
    """Settings of such a classifier that is trained on verified images first, and on both kinds then."""

    pretrain_steps: int = Field(1000, ge=1, description="Steps on verified images alone, before all others.")
    pretrain_rate: float = Field(1e-3, gt=0, description="Learning rate of that.")
    clean_ratio: float = Field(0.5, gt=0, description="Images of the clean set in a mixed batch for each noisy one.")
    clean_weight: float = Field(0.5, ge=0, description="Weight of the loss on verified classes (of noisy labels: 1).")

    @property
    def clean_share(self) -> float:
        """Part of a mixed batch that comes from the clean set."""
        return self.clean_ratio / (1.0 + self.clean_ratio)


class NoiseModel(FinetuningMethod):
    """A softmax classifier ``p(y | x)`` and fixed probabilities of noisy labels given true ones."""

    tasks = ("single-label",)
    scores = ("classifier",)
    config: NoiseModelConfig

    @classmethod
    def starts_from_layer(cls, config: Any) -> bool:
        return cls.accepts_last_layer and not config.hidden

    @classmethod
    def pair_splits(cls, config: NoiseModelConfig) -> tuple[str, ...]:
        return tuple(config.pairs_of.split("+"))

    def build(self, init: LinearLayer | None) -> None:
        self.classifier = self.net("classifier", self.problem.num_classes, "head")
        if init is not None:
            self.classifier.set_weights([init.kernel, init.bias])

    def take(self, model: LinearModel) -> None:
        """Make a solved classifier the layer's."""
        self.classifier.set_weights([model.kernel.astype(np.float32), model.bias.astype(np.float32)])

    def net(self, name: str, units: int, group: str) -> Any:
        """From features to logits of ``units`` classes."""
        settings = self.config
        inputs = self.problem.num_features // (2 if self.problem.two_trunks else 1)
        if not settings.hidden:
            return self.dense(name, inputs, units, group=group)
        return self.nonlinear(name, settings.hidden, settings.activation, units=units, group=group, inputs=inputs)

    def known_noise(self) -> np.ndarray | None:
        """``Problem.pairs`` if some labels are wrong there: nothing else shows how labels go wrong."""
        pairs = self.problem.pairs
        return pairs if pairs is not None and pairs.sum() > np.trace(pairs) else None

    def required_noise(self) -> np.ndarray | None:
        """``Problem.pairs``; None in a head that is loaded.

        Raises:
            NlcliError: no label is wrong there.
        """
        pairs = self.problem.pairs
        if pairs is not None and self.known_noise() is None:
            raise NlcliError(
                f"method {self.name} reads off verified images how labels go wrong, and of {int(pairs.sum())} of "
                f"{' and '.join(self.pair_splits(self.config))} with a noisy label and a known class none is labelled "
                "wrong; raise --clean-fraction, count those of validation too (option pairs_of=train+validation), or "
                "choose a method that needs no such images, such as residual"
            )
        return pairs

    def score(self, features: Tensor, name: str) -> Tensor:
        return ops.softmax(self.classifier(features), axis=-1)

    def last_layer(self) -> LinearLayer | None:
        return None if self.config.hidden else LinearLayer.of(self.classifier, self.problem.classes)


class SolvedNoiseModel(NoiseModel):
    """Such a model whose classifier is linear and can be solved, T being known before it is.

    T is that of the verified pairs, shrunk towards what a classifier of the noisy labels is confident of: of few pairs
    a class the shares alone are off by tenths. Without pairs it is that alone. The classifier behind T starts from the
    one without it at every point of its path, as a point that has lost a class would not let the next ones find it.
    """

    solvable = True
    solved_options = Method.solved_options | {"pairs_of"}

    def shrunk(self, plain: LinearModel, labelled: Labelled) -> np.ndarray:
        """(L, L) float64 T [true, noisy]; ``plain`` is a classifier of labels as they are."""
        probabilities, noisy = predictions(plain, labelled)
        prior = confident_transition(probabilities, noisy)
        pairs = self.known_noise()
        return prior if pairs is None else shrunk_transition(pairs.astype(np.float64), prior).matrix

    def corrected(
        self, labelled: Labelled, plain: Choice, terms: Sequence[Term], candidates: Mapping[str, Sequence[Term]]
    ) -> Solved:
        """The best of ``candidates``, whose noisy labels are behind T, or ``plain`` where these have lost a class.

        Args:
            terms: What ``plain`` was fitted to.
        """
        settings = self.config
        if labelled.unverified:
            # Noisy labels choose no classifier of true ones: a little less regularisation than they ask for without T.
            l2 = settings.weight_decay or plain.solution.l2 / UNVERIFIED_FACTOR
        else:
            l2 = settings.weight_decay
        start = Beginning(plain.solution.model, terms, plain.solution.l2)
        choice = choose_linear(labelled, candidates, l2=l2, start=start, afresh=True)
        lost = [
            c for c in predicted(plain.solution.model, labelled) if c not in predicted(choice.solution.model, labelled)
        ]
        if lost:
            named = ", ".join(f"'{self.problem.classes[c]}'" for c in lost[:5])
            self.take(plain.solution.model)
            return Solved.of(
                plain,
                remarks=[f"behind the noise model no image is of {named} any more; the classifier without it was kept"],
            )
        self.take(choice.solution.model)
        return Solved.of(choice, plain.points)


def predictions(model: LinearModel, labelled: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Of the rows of T (n, L) probabilities and (n,) noisy classes; at most some ten thousands of them."""
    every = max(1, int(labelled.of_noisy.sum()) // MOST_PREDICTIONS)
    probabilities, classes = [], []
    for first, part in labelled.design.blocks():
        rows = np.flatnonzero(labelled.of_noisy[first : first + len(part)])[::every]
        probabilities.append(model.probabilities(part[rows]))
        classes.append(labelled.noisy[first + rows].toarray().argmax(axis=1))
    return np.concatenate(probabilities).astype(np.float64), np.concatenate(classes)


def predicted(model: LinearModel, labelled: Labelled) -> set[int]:
    """The classes that it gives images of T."""
    return {int(c) for c in np.unique(predictions(model, labelled)[0].argmax(axis=1))}
