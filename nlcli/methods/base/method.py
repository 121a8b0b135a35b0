"""What a method is: configuration, layers, losses, scores and citation, and nothing else.

A method sees features (rows, D) and labels as tensors. It knows no files, steps, checkpoints or
progress: ``nlcli.training`` feeds and runs it. Adding one is a file like ``residual.py``, its name in
``methods/__init__.py``, a card in ``cards/`` and a row in the test. A method's file imports neither Keras
nor TensorFlow: its equations are written in ``ops``, its layers made by ``linear``, ``nonlinear``, ``dense``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nlcli.data.labels import Task
from nlcli.errors import NlcliError
from nlcli.estimation.criterion import cost_name
from nlcli.estimation.scale import ScaleKind
from nlcli.methods.base.array_layers import ArrayDense, ArrayNonLinear
from nlcli.methods.base.contract import Activation, Batch, MethodConfig, Phase, Problem, Rows, Tensor
from nlcli.methods.base.feature_scale import TensorScale, constant
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import classification_loss
from nlcli.networks.linear_layer import LinearLayer
from nlcli.runtime import memory_available, quiet_tensorflow
from nlcli.seeds import stream

if TYPE_CHECKING:
    import keras

    from nlcli.methods.base.solution import Labelled, Solved


AVERAGE = 300
"""Steps that weights are averaged over where nothing is said and no paper's settings are asked for."""


class Method(ABC):
    """A method of learning from noisy labels, built for one problem.

    Args:
        config: of the class's ``Config``.
        problem: features, classes, task.
        init: a trained linear layer to start from, for methods with ``needs_last_layer`` or
            ``accepts_last_layer``.
        seed: of the initial weights.
        arrays: Whether its layers are NumPy's instead of Keras's, with weights of zeros: for one that is solved, or
            that only scores with weights that are known. ``score`` and ``cleaned`` then take and give arrays, and
            TensorFlow is not imported for it. Steps that are NumPy's begin there, too: a linear layer needs no random
            weights, and keeps of them whatever its images do not speak of.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    """BibTeX."""
    Config: ClassVar[type[MethodConfig]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings of papers by name."""
    tasks: ClassVar[tuple[Task, ...]] = ("multi-label", "single-label")
    """What it can be trained for."""
    scores: ClassVar[tuple[str, ...]]
    """Names of what it can score with; the first is the classifier it is for."""
    needs_last_layer: ClassVar[bool] = False
    accepts_last_layer: ClassVar[bool] = False
    """Whether it starts from a trained linear layer where there is one, and from new weights elsewhere."""
    whole_network: ClassVar[bool] = False
    """Whether it trains the backbone as well, at its own learning rate, and so needs images."""
    needs_detection: ClassVar[bool] = False
    """Whether its noisy rows are weighted by a detection of label noise; its option ``weights`` says how."""
    all_verified: ClassVar[bool] = False
    """Whether V is every verified training image, whatever part of them the run's clean set is."""
    verification_is_optional: ClassVar[bool] = False
    """Whether it also works where no training image is verified; its phases on V are then left out."""
    own_trunk: ClassVar[str | None] = None
    """Group of variables whose nets have a backbone of their own where backbones are trained along; ``two_trunks``
    of the problem then says that features are those of both, this group's behind the others'. A phase that leaves the
    group out leaves its backbone as it is, too."""
    cleans: ClassVar[bool] = False
    """Whether it gives cleaned labels, by ``cleaned``."""
    solvable: ClassVar[bool] = False
    """Whether its classifier can be solved instead of stepped: see ``solve``."""
    stepped: ClassVar[bool] = True
    """Whether it can be trained by steps; one that cannot has an option ``solver`` of the one value ``solved``."""
    solved_options: ClassVar[frozenset[str]] = frozenset({"solver", "feature_scale", "weight_decay"})
    """Options that a solved classifier has, too; any other one that is given asks for steps."""
    solved_scale: ClassVar[ScaleKind] = "unit"
    """On which it is solved where nothing is said."""
    restarts: ClassVar[tuple[str, ...]] = ()
    """Phases that begin anew: ``begin`` restores the method's initial weights, and with them go those of
    a backbone that is trained along."""

    def __init__(
        self,
        config: MethodConfig,
        problem: Problem,
        init: LinearLayer | None = None,
        seed: int = 0,
        *,
        arrays: bool = False,
    ) -> None:
        if problem.task not in self.tasks:
            raise NlcliError(
                f"method {self.name} is for {' and '.join(self.tasks)} data, and this data set is {problem.task}; "
                "choose another method ('nlcli methods' lists them)"
            )
        if not arrays:
            quiet_tensorflow()  # whoever builds layers is about to import Keras
        self.problem = problem
        self.seed = seed
        self.arrays = arrays
        self.layers: dict[str, Any] = {}
        self.constants: dict[str, Any] = {}
        self._groups: dict[str, list[str]] = {}
        self.configure(config)
        self.build(init)
        # A detector's network has options of its own, and scales features itself.
        self.scale = TensorScale(getattr(config, "feature_scale", "none"), problem.num_features, arrays=arrays)
        self.constants |= self.scale.constants

    def configure(self, config: Any) -> None:
        """Keep the configuration (typed in the methods themselves)."""
        self.config = config

    # --- what a method states ---

    @classmethod
    def preset_settings(cls, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of preset ``name``, which may depend on the ``options`` given beside it."""
        return dict(cls.presets[name])

    @classmethod
    def starts_from_layer(cls, config: Any) -> bool:
        """Whether, with ``config``, it starts from a trained linear layer where there is one."""
        return cls.accepts_last_layer

    @classmethod
    def decided(
        cls, config: Any, given: Collection[str], *, stepped: bool, scale: ScaleKind | None = None
    ) -> MethodConfig:
        """``config`` with what was left to be decided.

        Args:
            given: Names of the options that were given, those of the stage among them.
            stepped: Whether a preset or the inputs ask for steps.
            scale: That of the layer to start from, where there is one.
        """
        changes: dict[str, Any] = {}
        if cls.solvable and getattr(config, "solver", "solved") != "steps":
            others = sorted(set(given) - cls.solved_options)
            if config.solver == "auto":
                changes["solver"] = "steps" if stepped or others else "solved"
            elif others:
                raise NlcliError(
                    f"method {cls.name} is solved and has no use for '{others[0]}'; leave it out, or pass solver=steps"
                )
        solved = cls.solvable and (changes.get("solver") or getattr(config, "solver", "solved")) == "solved"
        if config.feature_scale == "auto":
            changes["feature_scale"] = scale or (cls.solved_scale if solved else "none")
        careful = not stepped and not cls.solvable
        if config.average is None:
            changes["average"] = AVERAGE if careful else 0
        if config.selection == "auto":
            changes["selection"] = "cost" if careful else "metric"
        decided: MethodConfig = config.model_copy(update=changes)
        return decided

    @classmethod
    def uses_pairs(cls, config: Any) -> bool:
        """Whether, with ``config``, it reads ``Problem.pairs``; their images then count as used clean ones."""
        return False

    @classmethod
    def pair_splits(cls, config: Any) -> tuple[str, ...]:
        """Splits whose verified pairs ``Problem.pairs`` counts, where it reads them; never test."""
        return ("train",)

    @abstractmethod
    def build(self, init: LinearLayer | None) -> None:
        """Make the layers, each through ``add``."""

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """How it is trained."""

    def begin(self, phase: str, features: Callable[[], Iterator[np.ndarray]]) -> None:
        """Called once before the first step of ``phase``, and not when a run is taken up inside it.

        What it changes must be among ``weights``: that is all that a checkpoint and a head keep.

        Args:
            features: gives the features of T in parts, (at most 4,096, D) float32 each, in the order
                in which they lie.
        """
        return

    @abstractmethod
    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scalars of one batch; ``loss`` is what is minimised, the others are its parts."""

    @classmethod
    def steps_on_arrays(cls, config: Any) -> bool:
        """Whether, with ``config``, features cached, its steps are NumPy's: see ``slopes``."""
        return False

    def slopes(
        self, phase: str, logits: Mapping[str, np.ndarray], batch: Batch
    ) -> tuple[Mapping[str, float], Mapping[str, np.ndarray]]:
        """``losses`` of arrays, and what moves them; of methods with ``steps_on_arrays``, whose layers are all linear.

        Args:
            logits: (rows, units) float32 of each layer by name.

        Returns:
            Losses, and the gradient of ``loss`` by the logits of each layer that the phase trains.
        """
        raise NotImplementedError(f"method {self.name} has no slopes()")

    @classmethod
    def solved_with(cls, config: Any) -> bool:
        """Whether, with ``config``, it is solved."""
        return cls.solvable and getattr(config, "solver", "solved") == "solved"

    @property
    def starts_solved(self) -> bool:
        """Whether, as it is configured, it begins at solved classifiers: see ``start``."""
        return False

    def start(self, labelled: Labelled) -> None:
        """Solve what it begins at, before the first step; of methods that state ``starts_solved``."""
        raise NotImplementedError(f"method {self.name} has no start()")

    def score_at_start(self, features: Tensor) -> Tensor:
        """Scores of its own choice as they were then, (rows, C) in [0, 1]."""
        raise NotImplementedError(f"method {self.name} has no score_at_start()")

    @property
    def cost(self) -> str:
        """The metric that chooses its steps where ``selection`` is ``cost``."""
        return cost_name(self.problem.task)

    @property
    def solves(self) -> bool:
        """Whether, as it is configured, it is solved."""
        return self.solved_with(self.config)

    def solve(self, labelled: Labelled) -> Solved:
        """Choose and solve the classifier, and put it into the layers; of methods that are ``solvable``."""
        raise NotImplementedError(f"method {self.name} has no solve()")

    @abstractmethod
    def score(self, features: Tensor, name: str) -> Tensor:
        """(rows, C) scores in [0, 1] of the classifier ``name``, one of ``scores``."""

    def cleaned(self, noisy: Tensor, features: Tensor) -> Tensor:
        """(rows, C) in [0, 1]: how likely each class is on images whose noisy labels are known; see ``cleans``.

        Args:
            noisy: (rows, C) in {0, 1}.
        """
        raise NotImplementedError(f"{self.name} gives no cleaned labels")

    def offered(self) -> tuple[str, ...]:
        """Those of ``scores`` that this configuration trains, its own choice first."""
        return self.scores

    def last_layer(self) -> LinearLayer | None:
        """Its linear layer on features on its own scale, if it is that simple: others may start from it."""
        return None

    def layer_on(self, scale: ScaleKind) -> LinearLayer | None:
        """``last_layer`` for features on another ``scale``; None where that is no linear layer."""
        layer = self.last_layer()
        if layer is None or scale == self.scale.kind:
            return layer
        return self.scale.undone(layer) if scale == "none" else None

    @property
    def averages_classes(self) -> bool:
        """Whether its losses are means over an image's classes, too, and not sums; a softmax has but one loss an image.

        ``weight_decay`` means the same in every method because it is divided by the number of classes here.
        """
        return self.problem.task == "multi-label"

    def trunk_rate(self) -> float | None:
        """Learning rate of a backbone that is trained with it, if it states one."""
        return self.config.learning_rate if self.whole_network else None

    # --- what methods are built with ---

    def make_phase(self, name: str, rows: Rows, steps: int, rates: Mapping[str, float], **options: Any) -> Phase:
        """A phase with the configured optimizer, decays and weight decay.

        Args:
            rates: first learning rate of each group.
            options: of ``Phase``.
        """
        settings = self.config
        schedules = {group: settings.schedule(rate) for group, rate in rates.items()}
        decay = settings.weight_decay / (self.problem.num_classes if self.averages_classes else 1)
        average = min(settings.average or 0, steps // 10)  # the mean of a whole short run lags behind it
        given = {"optimizer": settings.optimizer, "weight_decay": decay, "average": average} | options
        if settings.selection == "cost":
            given = {"monitor": self.cost} | given
        return Phase(name, rows, steps, schedules, **given)

    def constant(self, name: str, value: np.ndarray) -> Any:
        """An array that is saved and restored with the weights and that no step trains.

        ``build`` makes it, in its final shape; ``build`` or ``begin`` give it its value.
        """
        self.constants[name] = constant(name, value, arrays=self.arrays)
        return self.constants[name]

    def add(self, name: str, layer: Any, units_in: int, group: str = "head") -> Any:
        """Build ``layer`` for inputs of ``units_in`` and put its weights into variable ``group``."""
        layer.build((None, units_in))
        self.layers[name] = layer
        self._groups.setdefault(group, []).append(name)
        return layer

    def dense(
        self, name: str, units_in: int, units: int, *, group: str = "head", zeros: bool = False, bias: float = 0.0
    ) -> Any:
        """A linear layer from ``units_in`` to ``units``.

        Args:
            zeros: whether its kernel begins as zeros; else it is drawn from Glorot's distribution.
            bias: what its bias begins as.

        Raises:
            NlcliError: it would not fit in memory.
        """
        self.require_room(name, (units_in + 1) * units)
        if self.arrays:
            return self.add(name, ArrayDense(units, name), units_in, group)
        import keras

        layer = keras.layers.Dense(
            units,
            kernel_initializer="zeros" if zeros else self.glorot(name),
            bias_initializer=keras.initializers.Constant(bias),
            name=name,
        )
        return self.add(name, layer, units_in, group)

    def linear(
        self, name: str, *, units: int | None = None, group: str = "head", init: LinearLayer | None = None
    ) -> Any:
        """A linear layer from features to classes (or ``units``), from ``init`` or from Glorot's distribution."""
        layer = self.dense(name, self.problem.num_features, units or self.problem.num_classes, group=group)
        if init is not None:
            layer.set_weights([init.kernel, init.bias])
        return layer

    def nonlinear(
        self,
        name: str,
        hidden: int,
        activation: Activation,
        *,
        units: int | None = None,
        group: str = "head",
        inputs: int | None = None,
        zeros: bool = False,
    ) -> Any:
        """The papers' non-linear transform, from features (or ``inputs``) to logits of the classes (or ``units``).

        Args:
            zeros: whether its output kernel begins as zeros, so that it adds nothing yet to what it stands beside.
        """
        inputs, units = inputs or self.problem.num_features, units or self.problem.num_classes
        self.require_room(name, (inputs + 1 + units) * hidden)
        if self.arrays:
            return self.add(name, ArrayNonLinear(hidden, units, activation, name=name), inputs, group)
        from nlcli.methods.base.layers import NonLinear

        layer = NonLinear(
            hidden,
            units,
            activation,
            self.glorot(f"{name}/hidden"),
            "zeros" if zeros else self.glorot(f"{name}/output"),
            name=name,
        )
        return self.add(name, layer, inputs, group)

    def require_room(self, name: str, weights: int) -> None:
        """Refuse a layer of so many ``weights`` where memory does not hold them, before any is allocated."""
        if 4 * weights > memory_available():
            raise NlcliError(
                f"layer '{name}' of method {self.name} would have {weights:,} weights, more than memory holds; "
                "choose fewer units"
            )

    def glorot(self, name: str) -> keras.initializers.Initializer:
        """Glorot's uniform distribution, from the seed's stream of the weight's name."""
        import keras

        return keras.initializers.GlorotUniform(seed=int(stream(self.seed, "init", name).integers(2**31)))

    def classification_loss(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """Binary cross-entropy on multi-label data, softmax cross-entropy on single-label data.

        With ``mask`` the targets are verified labels, without they are noisy ones.
        """
        return classification_loss(self.problem.task, logits, targets, mask)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Scores that belong to ``classification_loss``."""
        return ops.sigmoid(logits) if self.problem.task == "multi-label" else ops.softmax(logits, axis=-1)

    # --- what training needs ---

    def groups(self) -> dict[str, list[Any]]:
        """Trainable variables by learning-rate group."""
        return {
            group: [variable for name in names for variable in self.layers[name].trainable_variables]
            for group, names in self._groups.items()
        }

    def weights(self) -> dict[str, Any]:
        """Every weight by name, such as ``clean/hidden/kernel``, in a fixed order; then the constants."""
        return {v.path: v for layer in self.layers.values() for v in layer.variables} | self.constants
