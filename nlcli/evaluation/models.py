"""Whatever scores images: a run, a backbone, with or without stored features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.labels import LabelTable
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate, Predict
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import read_json
from nlcli.stages.stage import StageRecord, read_stage

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone
_ROWS = 2048  # images whose features are scored at a time
_TOLD = 5  # ... and on standard error


# --- where scores come from ------------------------------------------------------------------


_Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass
class _Scorer:
    """A model that scores table rows in blocks; rows it cannot score are missing from the blocks.

    Attributes:
        backbone_name: Of the network that gives the features or the scores.
        noise_types: Of a method that models label noise: features (n, D) to p(noise type), (n, 3).
    """

    classes: tuple[str, ...]
    name: str
    source: Path
    backbone_name: str
    score: str = "classifier"
    noise_types: Callable[[np.ndarray], np.ndarray] | None = None
    _order: np.ndarray | None = field(default=None, init=False)

    def blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        """Table rows, their scores ``(n, C)`` in the order of the table's classes, and their features."""
        for part, scores, values in self._blocks(table, rows):
            yield part, scores if self._order is None else scores[:, self._order], values

    def _blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        raise NotImplementedError

    def match(self, table: LabelTable) -> None:
        """Find the table's classes among the model's."""
        if self.classes == table.classes:
            return
        where = {name: i for i, name in enumerate(self.classes)}
        missing = next((name for name in table.classes if name not in where), None)
        if missing is not None or len(where) != len(self.classes):
            raise NlcliError(
                f"{self.source} does not score the classes of the data set (it has no '{missing}'); "
                "give a model trained on this data set's classes"
            )
        self._order = np.array([where[name] for name in table.classes])


@dataclass
class _OnFeatures(_Scorer):
    """Scores computed from stored features by ``apply``: (n, D) float32 to (n, C)."""

    store: Any = None
    apply: Any = None

    def _blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        where = self.store.rows_of(table.keys[rows], strict=False)
        rows, where = rows[where >= 0], where[where >= 0]
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            features = np.asarray(self.store.read(where[part]), np.float32)
            bad = ~np.isfinite(features).all(axis=1)
            if bad.any():
                key = table.keys[rows[part][int(np.argmax(bad))]]
                raise NlcliError(
                    f"the features of image '{key}' in {self.store.path} contain NaN or infinity; extract them again"
                )
            yield rows[part], self.apply(features), features


@dataclass
class _OnImages(_Scorer):
    """Scores straight from the image files: of a backbone's own last layer, or of ``apply`` on its features."""

    backbone: Any = None
    apply: Any = None
    precision: str = "float32"
    batch_size: int = 32
    workers: int = 0

    def _blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        from nlcli.networks.images import iterate_images

        infer = self.backbone.inference(self.precision, output="features" if self.apply else "probabilities")
        paths, told = [table.image_path(int(row)) for row in rows], 0
        for batch in iterate_images(paths, self.backbone.preprocessing, self.batch_size, self.workers):
            for position, reason in batch.errors:
                told += 1
                if told <= _TOLD:
                    say(f"left out: {paths[position]}: {reason}")
            if len(batch.rows):
                found = np.asarray(infer(batch.images))
                yield rows[batch.rows], *((self.apply(found), found) if self.apply else (found, None))


def _scorer(
    config: Evaluate, model: StageRecord, features: StageRecord | None, dataset: StageRecord, table: LabelTable
) -> _Scorer:
    quiet_tensorflow()
    store = None
    if features is not None:
        from nlcli.data.features.store import FeatureStore

        store = FeatureStore(features.path)
        store.require_images_of(table, dataset.path)
    scorer = _run_scorer(config, model, store) if model.kind == "run" else _backbone_scorer(config, model, store)
    scorer.match(table)
    return scorer


def _run_scorer(config: Evaluate, model: StageRecord, store: Any) -> _Scorer:
    from nlcli.training.head import load_head

    head = load_head(model.path)
    if store is not None and store.backbone_fingerprint != head.backbone_fingerprint:
        raise NlcliError(
            f"{store.path} holds features of another backbone than the one {model.path} was trained on; "
            "extract features with that backbone"
        )
    score = config.score or head.score_names[0]
    head.score(np.zeros((1, head.num_features), np.float32), score)  # an unknown score is told at once

    def apply(values: np.ndarray) -> np.ndarray:
        return head.score(values, score)

    noise_types = getattr(head.method, "noise_type_probabilities", None)
    classes, name = head.classes, head.method.name
    if store is not None:
        network = str(store.info["backbone"])
        return _OnFeatures(classes, name, model.path, network, score, noise_types, store=store, apply=apply)
    backbone = head.open_backbone()
    return _OnImages(
        classes,
        name,
        model.path,
        backbone.name,
        score,
        noise_types,
        backbone=backbone,
        apply=apply,
        precision=config.precision,
        batch_size=config.batch_size,
        workers=config.workers,
    )


def _backbone_scorer(config: Evaluate, model: StageRecord, store: Any) -> _Scorer:
    from nlcli.networks.weights import load_backbone

    if config.score is not None:
        raise NlcliError(f"{model.path} is a backbone and has one score only; leave out --score")
    backbone = load_backbone(model.path)
    if backbone.classes is None:
        raise NlcliError(f"{model.path} has no classes to score; pretrain it on the data set, or train a head")
    if store is None:
        return _OnImages(
            backbone.classes,
            f"backbone {backbone.name}",
            model.path,
            backbone.name,
            backbone=backbone,
            precision=config.precision,
            batch_size=config.batch_size,
            workers=config.workers,
        )
    as_extracted = backbone.with_decode(store.info["preprocessing"]["decode"])
    if store.backbone_fingerprint != as_extracted.fingerprint:
        raise NlcliError(
            f"{store.path} holds features of another backbone than {model.path}; extract features with it, or leave "
            "out --features to read the images"
        )
    last = backbone.last_layer
    assert last is not None

    def apply(values: np.ndarray) -> np.ndarray:
        return probabilities(last.logits(values), backbone.activation)

    return _OnFeatures(
        backbone.classes, f"backbone {backbone.name}", model.path, backbone.name, store=store, apply=apply
    )


def probabilities(logits: np.ndarray, activation: str) -> np.ndarray:
    """Sigmoid or softmax of ``(n, C)`` logits, float32, without overflow."""
    if activation == "softmax":
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def settings_of(model: StageRecord) -> dict[str, Any]:
    """The model's configuration without paths and without what does not change a result."""
    from nlcli.detection.config import DetectNoise
    from nlcli.stages.config import StageConfig, field_names
    from nlcli.training.config import PretrainBackbone, TrainHead

    kinds: dict[str, type[StageConfig]] = {"run": TrainHead, "backbone": PretrainBackbone, "detection": DetectNoise}
    left_out = field_names(kinds[model.kind], "input", "runtime")
    return {name: value for name, value in model.config.items() if name not in left_out}


def selection(model: StageRecord) -> dict[str, Any]:
    """What chose the checkpoint and which clean labels it used, as the model's own result tells."""
    where = model.path / "result.json"
    result = read_json(where) if where.is_file() else {}
    return {
        name: result[name]
        for name in ("selected_by", "step", "phase", "clean", "training_images", "detection")
        if name in result
    }


# --- the model -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """Anything that scores images.

    Attributes:
        backbone: Reads the images; owns their preprocessing.
        infer: uint8 images (b, S, S, 3) to features or probabilities.
        head: Features (b, D) float32 to scores (b, C); None where ``infer`` gives them.
        classes: Names of the scores.
    """

    backbone: Backbone
    infer: Any
    head: Any
    classes: tuple[str, ...]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Scores (b, C) float32 of uint8 images (b, S, S, 3)."""
        found = np.asarray(self.infer(images))
        return found if self.head is None else self.head(found)


def open_model(config: Predict) -> Model:
    """The run with its backbone, or the backbone alone, that ``config`` names."""
    quiet_tensorflow()
    record = read_stage(config.run, ("run", "backbone"))
    return _run(record, config) if record.kind == "run" else _backbone(record, config)


def _backbone(record: StageRecord, config: Predict) -> Model:
    from nlcli.networks.weights import load_backbone

    if config.backbone is not None:
        raise NlcliError(f"{record.path} is a backbone itself; leave out --backbone, or name a run")
    backbone = load_backbone(record.path)
    if backbone.classes is None:
        raise NlcliError(f"{record.path} has no classes to predict; name a run trained on its features")
    return Model(backbone, backbone.inference("float32", output="probabilities"), None, backbone.classes)


def _run(record: StageRecord, config: Predict) -> Model:
    from nlcli.training.head import load_head, own_backbone

    head = load_head(record.path)
    if config.backbone is None and own_backbone(record.path) is not None:
        own = head.open_backbone()
        return Model(own, own.inference("float32", output="features"), head.score, head.classes)
    features = _features(record, config)
    settings = {} if features is None else features.config
    backbone = _matching(_open_backbone(record, features, config), settings.get("decode"), head, record)
    stored = np.dtype(settings.get("dtype", "float32"))

    def score(values: np.ndarray) -> np.ndarray:
        # Rounded as the features that it was trained and evaluated on.
        return head.score(values.astype(stored).astype(np.float32))

    infer = backbone.inference(settings.get("precision", "float32"), output="features")
    return Model(backbone, infer, score, head.classes)


def _features(record: StageRecord, config: Predict) -> StageRecord | None:
    """What the run was trained on; it may be gone where the backbone is given."""
    try:
        return record.input_stage("features", "--backbone")
    except NlcliError:
        if config.backbone is None:
            raise
        return None


def _open_backbone(record: StageRecord, features: StageRecord | None, config: Predict) -> Backbone:
    from nlcli.networks.architectures import BACKBONES
    from nlcli.networks.weights import open_backbone

    if config.backbone is not None:
        return open_backbone(config.backbone)
    assert features is not None
    named = str(features.config["backbone"])
    if named in BACKBONES:
        weights = features.input_path("weights")
        return open_backbone(named, str(features.config["weights"]) if weights is None else weights)
    where = features.input_path("backbone") or Path(named)
    if not where.exists():
        raise NlcliError(f"the backbone of {record.path} is no longer at {where}; pass --backbone")
    return open_backbone(where)


def _matching(backbone: Backbone, decode: Any, head: Any, record: StageRecord) -> Backbone:
    """The backbone decoding as when the features were made, if it is the one they came from."""
    for way in (decode, None, "exact", "fast"):
        if backbone.with_decode(way).fingerprint == head.backbone_fingerprint:
            return backbone.with_decode(decode or way)
    raise NlcliError(
        f"backbone {backbone.name} is not the one whose features {record.path} was trained on (their fingerprints "
        "differ); pass that one with --backbone"
    )
