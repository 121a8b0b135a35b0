"""A trained head on disk: its weights, and loading it with what ``config.json`` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.data.labels import Task
from nlcli.errors import NlcliError, unknown_name
from nlcli.networks.linear_layer import LinearLayer
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import write_arrays
from nlcli.stages.stage import read_stage
from nlcli.training.run_config import CONFIG, RunConfig
from nlcli.training.validation import Scorer

if TYPE_CHECKING:
    from nlcli.methods.base.contract import MethodConfig, Problem
    from nlcli.methods.base.method import Method
    from nlcli.networks.backbone import Backbone

WEIGHTS, BACKBONE = "head.npz", "backbone"


class Head:
    """A trained head.

    Attributes:
        method: the method, with the chosen weights.
        classes: its classes, in the order of the scores' columns.
        score_names: what it can score with, its own choice first.
        backbone_fingerprint: of the backbone whose features it was trained on.
    """

    def __init__(self, method: Method, backbone_fingerprint: str, path: Path) -> None:
        self.method, self.path = method, path
        self.classes: tuple[str, ...] = method.problem.classes
        self.score_names = method.offered()
        self.backbone_fingerprint = backbone_fingerprint
        self._scorer = Scorer(method)

    def open_backbone(self) -> Backbone:
        """The backbone in the run's directory; the run must be one from images."""
        quiet_tensorflow()
        from nlcli.networks.weights import load_backbone

        backbone = load_backbone(self.path / BACKBONE)
        if backbone.fingerprint != self.backbone_fingerprint:
            raise NlcliError(f"{self.path / BACKBONE} is not the backbone that the head was trained on; train it again")
        return backbone

    @property
    def num_features(self) -> int:
        """D, the length of a feature vector."""
        return self.method.problem.num_features

    @property
    def task(self) -> Task:
        """What kind of labels it was trained on."""
        return self.method.problem.task

    def score(self, features: np.ndarray, name: str | None = None) -> np.ndarray:
        """Scores in [0, 1].

        Args:
            features: (n, D) of the backbone it was trained on.
            name: one of ``score_names``; the first when None.

        Returns:
            (n, C) float32.

        Raises:
            NlcliError: an unknown score, or features of another length.
        """
        name = name or self.score_names[0]
        if name not in self.score_names:
            raise NlcliError(f"{self.path}: {unknown_name(name, self.score_names, 'score')}")
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise NlcliError(
                f"{self.path} takes features of length {self.num_features}, not of shape {features.shape}; "
                "use features of the backbone it was trained on"
            )
        return self._scorer(features, name)

    def logits(self, features: np.ndarray) -> np.ndarray | None:
        """(n, C) float64 whose soft-max, or with several labels whose sigmoid, its first score is; None: not linear.

        Args:
            features: (n, D) of the backbone it was trained on.
        """
        layer = self.method.last_layer()
        if layer is None:
            return None
        scaled = self.method.scale.of_arrays().apply(np.asarray(features, np.float64))
        logits: np.ndarray = scaled @ layer.kernel.astype(np.float64) + layer.bias.astype(np.float64)
        return logits

    def cleaned(self, noisy: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Cleaned labels in [0, 1] of a method that gives some: (n, C) float32.

        Args:
            noisy: (n, C) in {0, 1}.
            features: (n, D) of the backbone it was trained on.

        Raises:
            NlcliError: its method gives none.
        """
        if not self.method.cleans:
            raise NlcliError(
                f"method {self.method.name} of {self.path} gives no cleaned labels; name a run of "
                f"{', '.join(cleaning_methods())}, or a detection of label noise"
            )
        scaled = self.method.scale(np.asarray(features, np.float32))
        return np.asarray(self.method.cleaned(np.asarray(noisy, np.float32), scaled), np.float32)


def cleaning_methods() -> list[str]:
    """Methods whose runs give cleaned labels."""
    from nlcli.methods import METHODS

    return [name for name in METHODS.ours if METHODS.get(name).cleans]


def own_backbone(run: Path) -> Path | None:
    """Directory of the backbone that a run from images holds; None where it was trained on cached features."""
    where = run / BACKBONE
    return where if where.is_dir() else None


def save_weights(folder: Path, method: Method) -> None:
    """Write the weights by name, whole or not at all."""
    write_arrays(folder / WEIGHTS, {name: value.numpy() for name, value in method.weights().items()})


def load_head(path: Path | str) -> Head:
    """The head of the finished run at ``path``, which scores arrays and imports no TensorFlow for that.

    Raises:
        NlcliError: not a run, a description that is malformed or of a head that memory does not hold, or
            weights that are missing, damaged or of another shape.
    """
    from nlcli.methods import configure, get_method

    path = read_stage(path, "run").path
    described = RunConfig.read(path / CONFIG)
    try:
        settings = configure(described.method, described.method_config)
        with np.load(path / WEIGHTS, allow_pickle=False) as weights:
            method = with_weights(get_method(described.method), settings, described.problem, weights, arrays=True)
    except NlcliError as error:
        raise NlcliError(f"{path / CONFIG}: {error}") from error
    except Exception as error:  # damaged archives raise many kinds
        raise NlcliError(f"{path / WEIGHTS} cannot be read ({error}); train the head again") from error
    return Head(method, described.backbone_fingerprint, path)


def with_weights(
    cls: type[Method],
    settings: MethodConfig,
    problem: Problem,
    weights: Mapping[str, np.ndarray],
    *,
    arrays: bool = False,
) -> Method:
    """A method whose weights are known.

    Args:
        weights: by the names of ``Method.weights``.
        arrays: whether its layers are NumPy's, see ``Method``.

    Raises:
        KeyError: one is missing.
        ValueError: one has another shape, is no array of numbers, or holds NaN.
    """
    zeros = LinearLayer.zeros(problem.num_features, problem.classes)
    method = cls(settings, problem, zeros if cls.needs_last_layer else None, arrays=arrays)
    for name, variable in method.weights().items():
        value = weights[name]
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{name} has shape {value.shape}, expected {tuple(variable.shape)}")
        if value.dtype.kind not in "fiub":
            raise ValueError(f"{name} holds {value.dtype}, expected numbers")
        if np.isnan(value).any():
            raise ValueError(f"{name} holds NaN")
        variable.assign(value)
    return method
