"""The pretrain-backbone stage: a whole network trained on images with noisy or verified labels.

Sources: Hu et al. 2018 and 2019, section 4.2 of both (Backbone, FT-W, ground truth).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.training.head_feed import memory_budget, verified_rows
from nlcli.training.remarks import step_remark
from nlcli.training.result import RESULT, BackboneResult, CleanLabels, SelectedBy

if TYPE_CHECKING:
    import keras

    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.networks.backbone import Backbone
    from nlcli.networks.backbone_record import Activation
    from nlcli.training.config import PretrainBackbone
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.loop.image_source import ImageTable
    from nlcli.training.validation import Parts

VALIDATION_BATCH = 64
"""Validation images in a forward pass."""
_SCRATCH = ("checkpoint.npz", "seen-training.json", "seen-validation.json")


def pretrain_backbone(config: PretrainBackbone, *, force: bool = False) -> Path:
    """Train a network on a data set's images; the directory of the saved backbone.

    On noisy labels it is the papers' Backbone (Noisy), on all verified ones Backbone (GT), on a part
    of them and from a backbone trained on noisy ones FT-W. Multi-label data get a sigmoid for each
    class and binary cross-entropy over the entries that have a label of the kind trained on,
    single-label data a softmax and cross-entropy. Weights of a saved backbone bring their last
    layer along where it has the data set's classes.

    The directory holds the backbone with the best weights by validation, ``result.json`` (which
    split and step chose them, which clean images were used), ``metrics.jsonl`` (one line an
    evaluation), the same for TensorBoard, and ``unreadable.csv`` where images were left out.

    ``trainable="last"`` trains the last layer on a frozen network, which runs as in inference:
    BatchNorm uses and keeps its running statistics, and there is no dropout. On unaugmented images
    that is what ``train-head`` does faster on cached features.

    Raises:
        NlcliError: an unknown network, weights of another one, no images to train on, an empty
            clean set, a loss that is not finite, or a batch that the devices cannot share.
    """
    quiet_tensorflow()
    from nlcli.data.label_files import read_dataset
    from nlcli.data.pictures import begin_reading, pictures_changed
    from nlcli.networks.provenance import NetworkSource

    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "weights": NetworkSource(config.backbone, config.weights).weights_input(),
    }
    with open_stage("backbone", config, inputs, seed=config.seed, force=force, stale=pictures_changed) as stage:
        if stage.up_to_date:
            return stage.output
        table = read_dataset(config.dataset)
        begin_reading(stage.work, table, config.dataset)
        summary, fingerprint = _pretrain(config, table, stage.work)
        for name in _SCRATCH:
            (stage.work / name).unlink(missing_ok=True)
        stage.finish(summary, content={"model.keras": fingerprint}, volatile=("tensorboard/*",))
    return stage.output


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What training begins with.

    Attributes:
        last_layer: ``kept``, where the weights brought it along, or ``new``.
        chosen: (n,) rows of the training images, with those that cannot be read.
        training, validation: The images that can be read.
        without_positives: Classes that no training image is positive for.
        room: Bytes that blocks of pixels may take.
    """

    backbone: Backbone
    last_layer: str
    chosen: np.ndarray
    training: ImageTable
    validation: ImageTable
    without_positives: list[str]
    room: int

    @property
    def unreadable(self) -> dict[str, int]:
        """By split, how many images cannot be read."""
        return {"train": len(self.training.errors), "validation": len(self.validation.errors)}


def _pretrain(config: PretrainBackbone, table: LabelTable, work: Path) -> tuple[dict[str, Any], str]:
    """Train, and save what came of it; the stage's summary and the network's fingerprint."""
    from nlcli.data.score_chosen import used_clean_set
    from nlcli.networks.weights import save_backbone
    from nlcli.training.precision import training_precision

    strategy = _devices(config)
    start = _start(config, table, work)
    precision = training_precision(config.mixed_precision)
    outcome, model = _trained(config, table, start, strategy, precision, work)
    start.backbone.model.set_weights(model.get_weights())

    clean = None
    if config.labels == "verified":
        used = used_clean_set(config.dataset, table, start.chosen)
        clean = CleanLabels(**used, fraction=config.clean_fraction, seed=config.seed)
    backbone = start.backbone.trained_on(
        dataset=table.info.get("name", ""),
        dataset_fingerprint=table.fingerprint,
        labels=config.labels,
        trainable=config.trainable,
        step=outcome.step,
        seed=config.seed,
        clean=clean and clean.model_dump(exclude_unset=True),
    )
    fingerprint = save_backbone(work, backbone)
    metrics = outcome.metrics()
    result = BackboneResult(
        network=backbone.name,
        labels=config.labels,
        selected_by=SelectedBy.of(outcome.selected_by, outcome.value, steps=outcome.steps),
        step=outcome.step,
        steps=outcome.steps,
        stopped_by=outcome.stopped,
        validation=metrics | {"images": len(start.validation)},
        clean=clean,
        training_images=len(start.training),
        unreadable_images=start.unreadable,
        classes_without_positives=start.without_positives,
        last_layer=start.last_layer,
        precision=precision,
        settings=config.recipe(),
    )
    remark = step_remark(outcome)
    if remark is not None:
        result = result.model_copy(update={"remarks": (remark,)})
        say(f"note: {backbone.name}: {remark}")
    result.write(work / RESULT)
    say(outcome.summary(backbone.name, metrics))
    return _summary(config, start, outcome, result), fingerprint


def _summary(config: PretrainBackbone, start: _Start, outcome: Outcome, result: BackboneResult) -> dict[str, Any]:
    """What the stage's record says."""
    told = result.to_json()
    return {
        "network": result.network,
        "labels": config.labels,
        "training_images": len(start.training),
        "unreadable_images": sum(start.unreadable.values()),
        "last_layer": start.last_layer,
        "precision": result.precision,
        "in_memory": start.training.pixels is not None,
        "images_per_second": round(outcome.steps_per_second * config.batch_size, 1),
        "steps": outcome.steps,
        "best_step": outcome.step,
        "selected_by": told["selected_by"],
        **{f"validation_{name}": value for name, value in outcome.metrics().items()},
        **(
            {}
            if result.clean is None
            else {"clean_images": len(start.chosen), **result.clean.apart, "clean": told["clean"]}
        ),
        **({"remarks": list(result.remarks)} if result.remarks else {}),
    }


def _start(config: PretrainBackbone, table: LabelTable, work: Path) -> _Start:
    """The network, and its images: looked at, and decoded where they fit in memory."""
    from nlcli.training.loop.image_source import ImageTable, tell_unreadable

    backbone, kept = starting_backbone(config, table)
    chosen = training_rows(config, table)
    budget = memory_budget(config.memory)

    def readable(rows: np.ndarray, room: int, title: str) -> ImageTable:
        pre, seen = backbone.preprocessing, work / f"seen-{title}.json"
        pre = pre.whole() if title == "training" else pre
        return ImageTable(table, rows, pre, workers=config.workers, budget=room, seen=seen, title=title)

    training = readable(chosen, budget, "training")
    if not len(training):
        row, reason = next(iter(training.errors.items()))
        raise NlcliError(
            f"none of the {len(chosen):,} training images can be read; the first is {table.image_path(row)}: {reason}"
        )
    validation = readable(verified_rows(table), (budget - training.kept_bytes) // 2, "validation")
    tell_unreadable(table, training.errors | validation.errors, work)
    return _Start(
        backbone=backbone,
        last_layer="kept" if kept else "new",
        chosen=chosen,
        training=training,
        validation=validation,
        without_positives=_classes_without_positives(config, table, training.rows),
        room=budget - training.kept_bytes - validation.kept_bytes,
    )


def _trained(
    config: PretrainBackbone, table: LabelTable, start: _Start, strategy: Any, precision: Any, work: Path
) -> tuple[Outcome, keras.Model]:
    """What came of the training, and the copy of the network that was trained."""
    from nlcli.networks.training_copy import is_folded, training_copy
    from nlcli.training.loop import pace
    from nlcli.training.loop.augmentation import Augmentation
    from nlcli.training.loop.contract import Settings
    from nlcli.training.loop.image_source import ImageSource
    from nlcli.training.loop.train import train
    from nlcli.training.network import Network
    from nlcli.training.precision import loss_scale
    from nlcli.training.tensorboard import TensorBoard
    from nlcli.training.validation import Validation

    phase = _phase(config)
    with strategy.scope() if strategy is not None else nullcontext():
        copy = training_copy(
            start.backbone.model, precision, steps=phase.steps, synchronized=strategy is not None, seed=config.seed
        )
    if config.trainable == "all" and is_folded(copy):
        say("these weights have BatchNorm folded into the convolutions; its statistics are kept fixed in training")
    network = Network(copy, start.backbone.preprocessing.scaling, table.task, config.trainable)

    def scores() -> Parts:
        for first, pixels in start.validation.parts(VALIDATION_BATCH):
            yield first, network.probabilities(pixels)

    validate = Validation(table, start.validation.rows, scores)
    pre = start.backbone.preprocessing
    augmentation = Augmentation(config.flip, config.crop, pre.size if pre.margin else 0)
    board = TensorBoard(work)
    outcome = train(
        network,
        [phase],
        ImageSource(table, start.training, config.batch_size, config.seed, start.room),
        validate if validate.possible else None,
        Settings(
            eval_every=config.eval_every,
            patience=config.patience,
            checkpoint_seconds=pace.IMAGE_CHECKPOINT_SECONDS,
            xla=config.xla,
            strategy=strategy,
            loss_scale=loss_scale(precision),
            augment=None if augmentation.does_nothing else augmentation,
            tensor_float_32=True,
            title=f"training {start.backbone.name}",
        ),
        work,
        board,
    )
    board.close()
    return outcome, copy


def _phase(config: PretrainBackbone) -> Phase:
    """The one phase: steps on images of one kind of label."""
    from nlcli.methods.base.contract import Phase, Schedule

    return Phase(
        config.labels,
        "clean" if config.labels == "verified" else "noisy",
        max(1, round(config.scale * config.steps)),
        {"network": Schedule(config.learning_rate, config.decay, config.decay_epochs, "epochs")},
        config.optimizer,
    )


# --- what is trained, on what ----------------------------------------------------------------


def starting_backbone(config: PretrainBackbone, table: LabelTable) -> tuple[Backbone, bool]:
    """The network with a last layer for the data set's classes, and whether that layer was trained before."""
    from nlcli.networks.weights import build_backbone, load_backbone

    activation: Activation = "sigmoid" if table.task == "multi-label" else "softmax"
    size = config.image_size
    path = Path(config.weights)
    if config.weights not in ("imagenet", "none") and path.is_dir():
        saved = load_backbone(path)
        last = saved.last_layer
        if last is not None and set(last.classes or ()) == set(table.classes) and saved.activation == activation:
            backbone = build_backbone(config.backbone, path, top=True, image_size=size)
            layer = last.for_classes(table.classes)
            backbone = backbone.without_classes().with_last_layer(layer, activation=activation)
            return backbone.with_decode(config.decode), True
    backbone = build_backbone(
        config.backbone,
        config.weights,
        classes=table.classes,
        activation=activation,
        image_size=size,
        seed=config.seed,
    )
    return backbone.with_decode(config.decode), False


def training_rows(config: PretrainBackbone, table: LabelTable) -> np.ndarray:
    """Rows of the training images, with those that cannot be read."""
    from nlcli.data.labels import choose_clean

    if config.labels == "noisy":
        rows: np.ndarray = table.rows("train")
        rows = rows[np.diff(table.noisy.indptr)[rows] > 0]
        if not len(rows):
            raise NlcliError(
                f"no training image of {config.dataset} has a noisy label; pass --labels verified, or use a data set "
                "with noisy labels"
            )
        return rows
    rows = choose_clean(table, config.clean_fraction, config.seed)
    if table.task == "single-label":  # an image of which only a wrong class is known teaches a softmax nothing
        rows = rows[np.diff(table.present.indptr)[rows] > 0]
        if not len(rows):
            raise NlcliError(f"the clean set is empty: no image chosen from {config.dataset} has a verified class")
    return rows


def _classes_without_positives(config: PretrainBackbone, table: LabelTable, rows: np.ndarray) -> list[str]:
    labels = table.noisy if config.labels == "noisy" else table.present
    counts = np.asarray((labels[rows] > 0).sum(axis=0)).ravel()
    names = [table.classes[c] for c in np.flatnonzero(counts == 0)]
    if names:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        say(f"{len(names)} of {table.num_classes} classes have no positive {config.labels} label: {shown}")
    return names


# --- devices ---------------------------------------------------------------------------------


def _devices(config: PretrainBackbone) -> Any:
    """The strategy for several devices; None for one."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    count = config.devices or len(devices)
    if count > len(devices):
        raise NlcliError(f"--devices {count}, but there are {len(devices)}; ask for fewer, or for all with 0")
    if count > 1 and config.xla:
        raise NlcliError(f"--xla works on one device, and there are {count}; leave it out or pass --devices 1")
    if config.batch_size % count:
        raise NlcliError(
            f"a batch of {config.batch_size} cannot be shared equally by {count} devices; choose a --batch-size "
            f"that {count} divides, or fewer --devices"
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices[:count]]) if count > 1 else None
