"""Whatever scores images: a run with the network before it, or a backbone. ``eval`` and ``predict`` go by these rules:

- A run goes with the network whose features it was trained on and no other; a fingerprint tells. It lies in the
  run's directory where the run was trained from images, else where its features came from.
- Images are decoded as they were for those features, which are computed in the same arithmetic and rounded to
  the same type: what ``predict`` says of an image is what ``eval`` scored it.
- Stored features stand for the network that they were made with.
- A backbone scores with its own last layer, on its own preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.metrics.arrays import Ints
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.stage import StageRecord

if TYPE_CHECKING:
    from nlcli.data.features.store import FeatureStore
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.method import Method
    from nlcli.networks.backbone import Backbone
    from nlcli.networks.foreign.base import ForeignNetwork
    from nlcli.networks.images import Preprocessing
    from nlcli.networks.preparation import Preparation
    from nlcli.training.saved_head import Head

_ROWS = 2048  # images whose stored features are scored at a time
_NO_NUMBERS = "the network gives NaN or infinity for it"
_TOLD = 5  # images that cannot be read and are named on standard error

Values = NDArray[np.float32]
Apply = Callable[[Values], Values]
Posterior = Callable[[Values, Values], Values]


@dataclass(frozen=True)
class ScoredBatch:
    """Some images with their scores.

    Attributes:
        positions: ``(n,)`` among the images that were asked for; those that cannot be scored are missing.
        scores: ``(n, C)``, of the scorer's classes.
        features: ``(n, D)`` where the scores were computed from features.
        errors: Position and reason of image files that could not be read, or scored.
    """

    positions: Ints
    scores: Values
    features: Values | None = None
    errors: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class ForwardOptions:
    """What a user may say of how a network is run.

    Attributes:
        engine_cpu: By which program on a CPU.
        batch_size: Images in a pass, with which ``auto`` is timed.
    """

    engine_cpu: str = "tensorflow"
    batch_size: int = 32


TENSORFLOWS = ForwardOptions()


@dataclass(frozen=True)
class ImageNetwork:
    """A network as it reads image files.

    Attributes:
        preparation: How a file becomes its input.
        infer: Inputs ``(b, ...)`` to features ``(b, D)``, or to probabilities where nothing comes behind.
        engine_cpu: What runs it on a CPU.
    """

    preparation: Preprocessing | Preparation
    infer: Callable[[np.ndarray], Values]
    engine_cpu: str = "tensorflow"


@dataclass(frozen=True)
class ImageScorer:
    """A model, and where what it scores comes from.

    Attributes:
        path: Directory of the model.
        name: Of the method, or ``backbone NAME``.
        classes: Of the scores, in order.
        backbone: Name of the network that gives the features or the scores.
        source: Stored features, or a network that reads image files.
        head: Features ``(n, D)`` to scores ``(n, C)``; None where the network gives the scores.
        score: Which of the method's scores.
        noise_types: Of a method that models label noise: features ``(n, D)`` to p(noise type), ``(n, 3)``.
        posterior: Of such a method: features and noisy labels ``(n, C)`` of the scorer's classes to
            p(class, noise type | label, image), ``(n, C, 3)``.
    """

    path: Path
    name: str
    classes: tuple[str, ...]
    backbone: str
    source: FeatureStore | ImageNetwork
    head: Apply | None
    score: str = "classifier"
    noise_types: Apply | None = None
    posterior: Posterior | None = None
    _order: Ints | None = field(default=None)

    def for_classes(self, classes: tuple[str, ...]) -> ImageScorer:
        """The same with its scores in the order of ``classes``.

        Raises:
            NlcliError: it does not score one of them.
        """
        if self.classes == classes:
            return self
        where = {name: i for i, name in enumerate(self.classes)}
        missing = next((name for name in classes if name not in where), None)
        if missing is not None or len(where) != len(self.classes):
            raise NlcliError(
                f"{self.path} does not score the classes of the data set (it has no '{missing}'); "
                "give a model trained on this data set's classes"
            )
        order = np.array([where[name] for name in classes])
        return replace(self, classes=classes, posterior=_in_order(self.posterior, order, len(where)), _order=order)

    def score_rows(
        self, table: LabelTable, rows: Ints, batch_size: int = 32, workers: int = 0
    ) -> Iterator[tuple[Ints, ScoredBatch]]:
        """Table rows, some at a time, with their scores; rows that cannot be scored are missing."""
        if isinstance(self.source, ImageNetwork):
            paths, told = [table.image_path(int(row)) for row in rows], 0
            for batch in self.score_files(paths, batch_size, workers):
                for position, reason in batch.errors:
                    told += 1
                    if told <= _TOLD:
                        say(f"left out: {paths[position]}: {reason}")
                if len(batch.positions):
                    yield rows[batch.positions], batch
        else:
            for batch in self._score_stored(self.source, table.keys[rows]):
                yield rows[batch.positions], batch

    def score_files(self, paths: Sequence[Path], batch_size: int = 32, workers: int = 0) -> Iterator[ScoredBatch]:
        """Scores of image files in their order, a batch in memory at a time; the source must be a network.

        An image for which it gives no numbers is one that cannot be scored.
        """
        from nlcli.networks.image_batches import iterate_images

        if not isinstance(self.source, ImageNetwork):
            raise TypeError(f"{self.path} scores stored features here, not image files")
        for images in iterate_images(paths, self.source.preparation, batch_size, workers):
            if len(images.rows):
                yield _finite(self._scored(images.rows, self.source.infer(images.images), images.errors))
            else:
                yield ScoredBatch(images.rows, np.empty((0, len(self.classes)), np.float32), None, images.errors)

    def score_pixels(self, images: NDArray[np.uint8]) -> Values:
        """Scores (n, C) of images as the network takes them, (n, S, S, 3); the source must be a network."""
        if not isinstance(self.source, ImageNetwork):
            raise TypeError(f"{self.path} scores stored features here, not images")
        return self._scored(np.arange(len(images)), self.source.infer(images)).scores

    def _score_stored(self, store: FeatureStore, keys: NDArray[np.object_]) -> Iterator[ScoredBatch]:
        where = store.rows_of(keys, strict=False)
        positions = np.flatnonzero(where >= 0)
        for start in range(0, len(positions), _ROWS):
            part = positions[start : start + _ROWS]
            features = np.asarray(store.read(where[part]), np.float32)
            bad = ~np.isfinite(features).all(axis=1)
            if bad.any():
                key = keys[part[int(np.argmax(bad))]]
                raise NlcliError(
                    f"the features of image '{key}' in {store.path} contain NaN or infinity; extract them again"
                )
            yield self._scored(part, features)

    def _scored(self, positions: Ints, values: Values, errors: Sequence[tuple[int, str]] = ()) -> ScoredBatch:
        """The scores that come from the features or probabilities ``values``."""
        scores, features = (values, None) if self.head is None else (self.head(values), values)
        return ScoredBatch(positions, scores if self._order is None else scores[:, self._order], features, errors)


def _finite(batch: ScoredBatch) -> ScoredBatch:
    """With those whose scores are no numbers among the errors."""
    good = np.isfinite(batch.scores).all(axis=1)
    if good.all():
        return batch
    errors = [*batch.errors, *((int(position), _NO_NUMBERS) for position in batch.positions[~good])]
    features = None if batch.features is None else batch.features[good]
    return ScoredBatch(batch.positions[good], batch.scores[good], features, errors)


def open_scorer(
    model: StageRecord,
    store: FeatureStore | None = None,
    *,
    backbone: Path | str | None = None,
    score: str | None = None,
    precision: str = "float32",
    forward: ForwardOptions = TENSORFLOWS,
) -> ImageScorer:
    """The run or backbone ``model`` as a scorer of stored features, or of image files.

    Args:
        store: Features to score; None reads image files.
        backbone: Of a run: the network to read image files with (None: the run's own, or that of its features).
        score: Of a run: one of its method's scores (None: the method's own choice).
        precision: Arithmetic of a network that reads image files and no features are to be like.
        forward: What runs a network that reads image files.

    Raises:
        NlcliError: a network or features that do not belong to the model, options that mean nothing to it.
    """
    if model.kind == "run":
        return _run_scorer(model, store, backbone, score, precision, forward)
    if score is not None:
        raise NlcliError(f"{model.path} is a backbone and has one score only; leave out --score")
    if backbone is not None:
        raise NlcliError(f"{model.path} is a backbone itself; leave out --backbone, or name a run")
    return _backbone_scorer(model, store, precision, forward)


def _run_scorer(
    run: StageRecord,
    store: FeatureStore | None,
    backbone: Path | str | None,
    score: str | None,
    precision: str,
    forward: ForwardOptions,
) -> ImageScorer:
    from nlcli.training.saved_head import load_head

    head = load_head(run.path)
    name = score or head.score_names[0]
    head.score(np.zeros((1, head.num_features), np.float32), name)  # an unknown score is told at once
    source: FeatureStore | ImageNetwork
    if store is None:
        opened = network_of_run(run, head, backbone, precision)
        network, source = opened.backbone.name, reading_of(opened, forward)
    else:
        if store.backbone_fingerprint != head.backbone_fingerprint:
            raise NlcliError(
                f"{store.path} holds features of another backbone than the one {run.path} was trained on; "
                "extract features with that backbone"
            )
        network, source = store.record.backbone, store

    def apply(features: Values) -> Values:
        return head.score(features, name)

    noise_types, posterior = _noise_types(head.method), _posterior(head.method)
    return ImageScorer(run.path, head.method.name, head.classes, network, source, apply, name, noise_types, posterior)


def _noise_types(method: Method) -> Apply | None:
    """Features to p(noise type) where a method has such; on its own scale."""
    apply = getattr(method, "noise_type_probabilities", None)
    return None if apply is None else lambda features: np.asarray(apply(method.scale(features)))


def _posterior(method: Method) -> Posterior | None:
    """Features and noisy labels to p(class, noise type | label, image) where a method has noise types and such."""
    apply = getattr(method, "posterior", None)
    if apply is None or not hasattr(method, "noise_type_probabilities"):
        return None
    return lambda features, noisy: np.asarray(apply(method.scale(features), noisy))


def _in_order(posterior: Posterior | None, order: Ints, count: int) -> Posterior | None:
    """``posterior`` of a model's ``count`` classes for those whose places among them are ``order``."""
    if posterior is None:
        return None
    of_model = posterior

    def ordered(features: Values, noisy: Values) -> Values:
        labels = np.zeros((len(noisy), count), np.float32)
        labels[:, order] = noisy
        return of_model(features, labels)[:, order]

    return ordered


@dataclass(frozen=True)
class RunNetwork:
    """The network whose features a run was trained on.

    Attributes:
        precision: Arithmetic in which it computed them.
        dtype: Type that they were stored in.
    """

    backbone: Backbone | ForeignNetwork
    precision: str
    dtype: str


def network_of_run(
    run: StageRecord, head: Head, backbone: Path | str | None = None, precision: str = "float32"
) -> RunNetwork:
    """The network whose features the run was trained on.

    Args:
        backbone: Where it is (None: the run's own, or that of its features).
        precision: Of one whose features were not stored.

    Raises:
        NlcliError: it is another one, or is not there any more.
    """
    from nlcli.training.saved_head import own_backbone

    if backbone is None and own_backbone(run.path) is not None:
        return RunNetwork(head.open_backbone(), precision, "float32")
    features = _features_of_run(run, needed=backbone is None)
    settings: dict[str, Any] = {} if features is None else features.config
    network = _open_network(run, features, backbone)
    if network.fingerprint != head.backbone_fingerprint:
        raise NlcliError(
            f"backbone {network.name} is not the one whose features {run.path} was trained on (their fingerprints "
            "differ); pass that one with --backbone"
        )
    network = network.with_decode(settings.get("decode"))
    return RunNetwork(network, settings.get("precision", precision), settings.get("dtype", "float32"))


def reading_of(network: RunNetwork, forward: ForwardOptions = TENSORFLOWS) -> ImageNetwork:
    """How the network reads image files; features are rounded as those that the run was trained and evaluated on."""
    reading = _reading(network.backbone, network.precision, forward)
    stored = np.dtype(network.dtype)

    def infer(images: np.ndarray) -> Values:
        return reading.infer(images).astype(stored, copy=False).astype(np.float32, copy=False)

    return replace(reading, infer=infer)


def _features_of_run(run: StageRecord, *, needed: bool) -> StageRecord | None:
    """What the run was trained on; it may be gone where the backbone is given."""
    try:
        return run.input_stage("features", "--backbone")
    except NlcliError:
        if needed:
            raise
        return None


def _open_network(
    run: StageRecord, features: StageRecord | None, backbone: Path | str | None
) -> Backbone | ForeignNetwork:
    quiet_tensorflow()
    from nlcli.networks.architectures import BACKBONES
    from nlcli.networks.foreign.source import is_foreign
    from nlcli.networks.weights import open_backbone

    if backbone is not None:
        if features is not None and is_foreign(str(backbone)) and is_foreign(str(features.config.get("backbone"))):
            return _foreign_network(run, features, str(backbone))
        return open_backbone(backbone)
    assert features is not None
    if "backbone" not in features.config:
        raise NlcliError(
            f"the features that {run.path} was trained on were imported, so there is no network to read images with; "
            "import the features of these images, too, and pass them to nlcli eval --features"
        )
    named = str(features.config["backbone"])
    image_size = features.config.get("image_size")
    if is_foreign(named):
        return _foreign_network(run, features)
    if named in BACKBONES:
        weights = features.input_path("weights")
        given = str(features.config["weights"]) if weights is None else weights
        return open_backbone(named, given, image_size=image_size)
    where = features.input_path("backbone") or Path(named)
    if not where.exists():
        raise NlcliError(f"the backbone of {run.path} is no longer at {where}; pass --backbone")
    return open_backbone(where, image_size=image_size)


def _foreign_network(run: StageRecord, features: StageRecord, moved_to: str | None = None) -> Backbone | ForeignNetwork:
    """The network of another library that computed features, from where its files are now, or as ``moved_to`` says."""
    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import network_source

    config = ExtractFeatures.parse(features.config, f"{features.path}")
    if moved_to is not None:
        return network_source(config.model_copy(update={"backbone": moved_to})).open()
    kind, _, name = config.backbone.partition(":")
    moved = {part: features.input_path(part) for part in ("backbone", "weights", "preprocessing")}
    for part, path in moved.items():
        if path is not None and not path.exists():
            raise NlcliError(
                f"the {part} of {features.path}, which {run.path} was trained on, is no longer at {path}: put it back, "
                f"or name the network where it is now as --backbone {kind}:NAME"
            )
    if moved["backbone"] is not None:
        name = str(moved["backbone"])
    if moved["weights"] is not None:
        name = f"{name.partition('@')[0]}@{moved['weights']}"
    given = {"backbone": f"{kind}:{name}", "preprocessing": moved["preprocessing"]}
    return network_source(config.model_copy(update=given)).open()


def _backbone_scorer(
    model: StageRecord, store: FeatureStore | None, precision: str, forward: ForwardOptions
) -> ImageScorer:
    quiet_tensorflow()
    from nlcli.networks.weights import load_backbone

    backbone = load_backbone(model.path)
    last = backbone.last_layer
    if backbone.classes is None or last is None:
        raise NlcliError(f"{model.path} has no classes to score; pretrain it on the data set, or train a head")
    name = f"backbone {backbone.name}"
    if store is None:
        reading = _reading(backbone, precision, forward, scores=True)
        return ImageScorer(model.path, name, backbone.classes, backbone.name, reading, None)
    if store.backbone_fingerprint != backbone.fingerprint:
        raise NlcliError(
            f"{store.path} holds features of another backbone than {model.path}; extract features with it, or leave "
            "out --features to read the images"
        )

    def apply(features: Values) -> Values:
        return probabilities(features @ last.kernel + last.bias, backbone.activation)

    return ImageScorer(model.path, name, backbone.classes, backbone.name, store, apply)


def _reading(
    backbone: Backbone | ForeignNetwork, precision: str, forward: ForwardOptions, *, scores: bool = False
) -> ImageNetwork:
    from nlcli.networks.forward import open_forward

    output: Literal["probabilities", "features"] = "probabilities" if scores else "features"
    engine = forward.engine_cpu
    if engine == "auto":
        from nlcli.networks.engine_choice import choose_engine

        engine = choose_engine(backbone, precision, output, forward.batch_size)
    infer = open_forward(backbone, precision, output, engine).compute
    return ImageNetwork(backbone.preparation, lambda images: np.asarray(infer(images)), engine)


def probabilities(logits: Values, activation: str) -> Values:
    """Sigmoid or softmax of ``(n, C)`` logits, float32, without overflow."""
    if activation == "softmax":
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small))
