"""Heads trained from images: a method behind a backbone that is frozen or trained along with it.

Hu 2019 (end of section 3) fine-tunes the whole network under the residual method in one step; the same
works for every method, as each sees features only and does not know where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from nlcli.data.labels import LabelTable
from nlcli.errors import NlcliError
from nlcli.methods import get_method
from nlcli.methods.base.contract import Batch, Phase
from nlcli.methods.base.method import Method
from nlcli.networks.architectures import BACKBONES
from nlcli.networks.backbone import Backbone, scale_pixels
from nlcli.networks.backbone_record import Activation, BackboneRecord, is_saved
from nlcli.networks.batchnorm_folding import inference_copy
from nlcli.networks.graph import as_graph
from nlcli.networks.linear_layer import LinearLayer
from nlcli.networks.side_by_side import halves, side_by_side
from nlcli.networks.training_copy import training_copy
from nlcli.networks.weights import build_backbone, open_backbone, save_backbone
from nlcli.training.head_feed import How, Prepared, Start, detected_weights, memory_budget, verified_rows
from nlcli.training.loop import pace
from nlcli.training.loop.augmentation import Augmentation
from nlcli.training.loop.image_source import ImageSource, ImageTable, tell_unreadable
from nlcli.training.loop.pools import StoredRows, choose_rows
from nlcli.training.precision import loss_scale, training_precision

if TYPE_CHECKING:
    from nlcli.networks.training_copy import Precision
    from nlcli.training.config import TrainHead
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.result import CleanLabels

TRUNK, OWN_TRUNK = "trunk", "own_trunk"
"""Groups of a trained backbone's variables, and of those of the second one of a method that has two."""
TRUNK_RATE = 1e-4
PART = 64
"""Validation images in a forward pass."""


class Trunk:
    """A backbone up to its features, while a head is trained.

    Args:
        trained: It is trained: batches are normalised by their own statistics, and there is
            dropout. Otherwise it runs as in inference and its weights stay as they are.
        steps: How long it will be trained; see ``training_copy``.
    """

    def __init__(self, backbone: Backbone, trained: bool, precision: Precision, steps: int, seed: int) -> None:
        self.trained, self._scaling = trained, backbone.preprocessing.scaling
        self._original = backbone.without_classes().model
        if trained:
            self.model = training_copy(self._original, precision, steps=steps, seed=seed)
        else:
            self.model = inference_copy(self._original, precision)
        self.halves = halves(self.model) if trained else []
        like = tf.TensorSpec((None, *self._original.input.shape[1:]), tf.uint8)
        self._inference = as_graph(lambda images: self(images, training=False)).get_concrete_function(like)

    def __call__(self, images: Any, training: bool, own: bool = True) -> Any:
        """uint8 images (b, S, S, 3) to features (b, D) float32.

        Args:
            own: The second of two networks is trained, too; otherwise it runs as in inference.
        """
        pixels = scale_pixels(images, self._scaling)
        if training and self.halves:
            first, second = self.halves
            features = [first(pixels, training=True), second(pixels, training=own)]
            return tf.concat([tf.cast(part, tf.float32) for part in features], axis=1)
        outputs = self.model(pixels, training=training and self.trained)
        return tf.cast(outputs["features"], tf.float32)

    def groups(self) -> dict[str, list[keras.Variable]]:
        """Its trainable variables: of all of it, or of the first and the second network."""
        if not self.trained:
            return {}
        if not self.halves:
            return {TRUNK: self.model.trainable_variables}
        return {name: half.trainable_variables for name, half in zip((TRUNK, OWN_TRUNK), self.halves, strict=True)}

    def features(self, images: np.ndarray) -> np.ndarray:
        """(b, D) float32 of uint8 images (b, S, S, 3), or of the middle of larger ones, in inference."""
        size = int(self._original.input.shape[1])
        first = (images.shape[1] - size) // 2
        images = images[:, first : first + size, first : first + size]
        features: np.ndarray = self._inference(tf.convert_to_tensor(images)).numpy()
        return features

    def restart(self) -> None:
        """Go back to the weights that it was made with."""
        if self.trained:
            self.model.set_weights(self._original.get_weights())

    def write_back(self) -> None:
        """Give the backbone that it was made from the weights as they are now."""
        if self.trained:
            self._original.set_weights(self.model.get_weights())


class MethodOnImages:
    """A method behind a trunk, as the training loop wants it.

    Args:
        own: Phases that train the second of two networks.
        still: Phases that leave the trunk as it is.
    """

    def __init__(self, trunk: Trunk, method: Method, own: Collection[str] = (), still: Collection[str] = ()) -> None:
        self.trunk, self.method, self._own, self._still = trunk, method, own, still

    def groups(self) -> Mapping[str, Sequence[keras.Variable]]:
        """The method's groups, and those of a trunk that is trained."""
        return self.method.groups() | self.trunk.groups()

    def weights(self) -> Mapping[str, keras.Variable]:
        """The method's weights, and those of a trained trunk with its statistics and the state of dropout."""
        weights = {f"head/{name}": value for name, value in self.method.weights().items()}
        if self.trunk.trained:  # by number: see ``Network.weights``
            weights |= {f"{TRUNK}/{i:04d}/{v.name}": v for i, v in enumerate(self.trunk.model.variables)}
        return weights

    def begin(self, phase: str, inputs: Callable[[], Iterator[Any]]) -> None:
        """The method's beginning, with features by the trunk as it is now, in inference."""

        def features() -> Iterator[np.ndarray]:
            for pixels in inputs():
                yield scale.apply(self.trunk.features(pixels))

        scale = self.method.scale.of_arrays()
        self.method.begin(phase, features)
        if phase in self.method.restarts:
            self.trunk.restart()

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        """The method's losses on the features of uint8 images (b, S, S, 3)."""
        features = self.trunk(inputs, training=phase not in self._still, own=phase in self._own)
        return self.method.losses(phase, self.method.scale(features), batch)


class ImageFeatures:
    """Features of images by the trunk as it is now; those of a frozen one are computed once.

    Args:
        budget: Bytes that the features of a frozen trunk may take.
    """

    def __init__(self, trunk: Trunk, images: ImageTable, rows: StoredRows, budget: int) -> None:
        self.rows, self._trunk, self._images = rows, trunk, images
        size = len(images) * int(trunk.model.output["features"].shape[-1]) * 4
        self._kept: list[tuple[int, np.ndarray]] | None = [] if not trunk.trained and size <= budget else None

    def parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first position, features) of up to 64 rows at a time."""
        if self._kept:
            yield from self._kept
            return
        kept = []
        for first, pixels in self._images.parts(PART):
            features = self._trunk.features(pixels)
            if self._kept is not None:
                kept.append((first, features))
            yield first, features
        if self._kept is not None:
            self._kept = kept


class ImageFeed:
    """Images behind a backbone."""

    def __init__(self, config: TrainHead, table: LabelTable, work: Path) -> None:
        self._config, self._table, self._work = config, table, work
        self._backbone = _starting_backbone(config)
        self._last_layer = self._backbone.last_layer
        self._two_trunks = config.trunk == "trained" and get_method(config.method).own_trunk is not None
        if self._two_trunks:
            self._backbone = side_by_side(self._backbone)
        self.start = self._start()

    def _start(self) -> Start:
        backbone = self._backbone
        return Start(
            kind="backbone",
            where=str(self._config.from_images),
            num_features=backbone.num_features,
            fingerprint=backbone.fingerprint,
            last_layer=self._last_layer,
            two_trunks=self._two_trunks,
        )

    def prepare(
        self, method: Method, phases: Sequence[Phase], clean_fraction: float, init: LinearLayer | None
    ) -> Prepared:
        """Look at the images, keep their pixels where they fit, and put the trunk before the method."""
        config, table, pre = self._config, self._table, self._backbone.preprocessing
        budget = memory_budget(config.memory)
        opened: list[ImageTable] = []

        def readable(wanted: np.ndarray, title: str = "training") -> StoredRows:
            room = budget if not opened else (budget - opened[0].kept_bytes) // 2
            images = ImageTable(
                table,
                wanted,
                pre.whole() if title == "training" else pre,
                workers=config.workers,
                budget=room,
                seen=self._work / f"seen-{title}.json",
                title=title,
            )
            opened.append(images)
            return StoredRows(images.rows, np.arange(len(images)), len(wanted) - len(images))

        rows = choose_rows(table, phases, clean_fraction, config.seed, readable, "can be read")
        validation = readable(verified_rows(table), "validation")
        train_images, validation_images = opened
        tell_unreadable(table, train_images.errors | validation_images.errors, self._work)
        left = budget - train_images.kept_bytes - validation_images.kept_bytes

        trained = config.trunk == "trained"
        precision = training_precision(config.mixed_precision)
        self._trunk = Trunk(self._backbone, trained, precision, sum(phase.steps for phase in phases), config.seed)
        method.scale.fit(self._trunk.features(pixels) for _, pixels in train_images.parts(PART))
        augmentation = Augmentation(config.flip, config.crop, pre.size if pre.margin else 0)
        how = How(trunk=config.trunk, precision=precision, flip=config.flip, crop=config.crop)
        if self._two_trunks:
            how["two_trunks"] = True
        return Prepared(
            model=MethodOnImages(
                self._trunk,
                method,
                own=[phase.name for phase in phases if method.own_trunk in phase.rates],
                still=[phase.name for phase in phases if not phase.trunk_factor],
            ),
            phases=self._with_trunk(method, phases) if trained else phases,
            source=ImageSource(
                table,
                train_images,
                method.config.batch_size,
                config.seed,
                left,
                rows.pools,
                rows.labelled,
                detected_weights(config, method, table, rows),
            ),
            rows=rows,
            validation=ImageFeatures(self._trunk, validation_images, validation, left // 4),
            left_out="unreadable_images",
            how=how,
            summary={
                "in_memory": train_images.pixels is not None,
                "unreadable_images": len(train_images.errors) + len(validation_images.errors),
            },
            settings={
                "checkpoint_seconds": pace.IMAGE_CHECKPOINT_SECONDS,
                "loss_scale": loss_scale(precision) if trained else None,
                "augment": None if augmentation.does_nothing else augmentation,
                "tensor_float_32": trained,
            },
        )

    def _with_trunk(self, method: Method, phases: Sequence[Phase]) -> list[Phase]:
        """``phases`` that train the trunk, too, its rate decaying as the method's do, where they do not leave it."""
        rate = self._config.trunk_rate or method.trunk_rate() or TRUNK_RATE

        def trained(phase: Phase) -> Phase:
            groups = (TRUNK, OWN_TRUNK) if self._two_trunks and method.own_trunk in phase.rates else (TRUNK,)
            schedule = method.config.schedule(rate * phase.trunk_factor).scaled(self._config.scale)
            return replace(phase, rates={**phase.rates, **dict.fromkeys(groups, schedule)})

        return [trained(phase) if phase.trunk_factor else phase for phase in phases]

    def publish(self, method: Method, outcome: Outcome, clean: CleanLabels | None) -> dict[str, str]:
        """Save the backbone, with a linear method's layer as its last one."""
        self._trunk.write_back()
        backbone = self._backbone.without_classes()
        layer = method.layer_on("none")
        if layer is not None:
            activation: Activation = "sigmoid" if method.problem.task == "multi-label" else "softmax"
            backbone = backbone.with_last_layer(layer, activation=activation)
        if self._trunk.trained:
            backbone = backbone.trained_on(
                dataset=self._table.info.get("name", ""),
                dataset_fingerprint=self._table.fingerprint,
                method=method.name,
                step=outcome.step,
                seed=self._config.seed,
                clean=clean and clean.model_dump(exclude_unset=True),
            )
        self._backbone = backbone
        self.start = self._start()
        return {"backbone/model.keras": save_backbone(self._work / "backbone", backbone)}


def _starting_backbone(config: TrainHead) -> Backbone:
    """The backbone to begin with, and its last layer where it is a saved one's."""
    name, weights = str(config.from_images), config.weights
    if is_saved(name) or name not in BACKBONES:
        if config.image_size is None or not is_saved(name):
            backbone = open_backbone(name)
            if config.image_size not in (None, backbone.preprocessing.size):
                raise NlcliError(
                    f"{name} takes images of side {backbone.preprocessing.size} only; leave out --image-size"
                )
            return backbone.with_decode(config.decode)
        name, weights = BackboneRecord.of(name).network, name
    top = is_saved(weights) and BackboneRecord.of(weights).classes is not None
    backbone = build_backbone(name, weights, top=top, image_size=config.image_size, seed=config.seed)
    return backbone.with_decode(config.decode)
