"""The pretrain-backbone stage: a whole network trained on images with noisy or verified labels.

Sources: Hu et al. 2018 and 2019, section 4.2 of both (Backbone, FT-W, ground truth).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.runtime import memory_available, quiet_tensorflow
from nlcli.stages.files import write_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.networks.backbone import Activation, Backbone
    from nlcli.networks.training_copy import Precision
    from nlcli.training.config import PretrainBackbone
    from nlcli.training.loop.image_source import ImageTable
    from nlcli.training.loop.interfaces import Outcome
    from nlcli.training.network import Network

_SCRATCH = ("checkpoint.npz", "seen-train.json", "seen-validation.json")
_VALIDATION_BATCH = 64
_LOSS_SCALE = 2.0**15
_CHECKPOINT_SECONDS = 30.0


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

    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "weights": _weights_input(config),
    }
    with open_stage("backbone", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        summary, fingerprint = _pretrain(config, read_dataset(config.dataset), stage.work)
        for name in _SCRATCH:
            (stage.work / name).unlink(missing_ok=True)
        stage.finish(summary, content={"model.keras": fingerprint}, volatile=("tensorboard/*",))
    return stage.output


def _weights_input(config: PretrainBackbone) -> StageRecord | Path | str:
    """What stands for the weights in the stage's record; a network or weights that are not there are told at once."""
    from nlcli.errors import unknown_name
    from nlcli.networks.architectures import BACKBONES
    from nlcli.networks.weights import read_backbone_record

    if config.backbone not in BACKBONES:
        raise NlcliError(unknown_name(config.backbone, BACKBONES, "network"))
    path = Path(config.weights)
    if config.weights in ("imagenet", "none"):
        return config.weights
    if (path / "stage.json").is_file():
        return read_stage(path, "backbone")
    if path.is_dir():
        return str(read_backbone_record(path).get("fingerprint"))
    if not path.is_file():
        raise NlcliError(
            f"there are no weights {config.weights}; pass 'imagenet', 'none', a weights file, or a saved backbone"
        )
    return path


def _pretrain(config: PretrainBackbone, table: LabelTable, work: Path) -> tuple[dict[str, Any], str]:
    from nlcli.data.labels import clean_set_record
    from nlcli.methods.base.contract import Phase, Schedule
    from nlcli.networks.training_copy import is_folded, training_copy
    from nlcli.networks.weights import save_backbone
    from nlcli.training.loop.augmentation import Augmentation
    from nlcli.training.loop.image_source import ImageSource, ImageTable, tell_unreadable
    from nlcli.training.loop.interfaces import Settings
    from nlcli.training.loop.loop import train
    from nlcli.training.network import Network

    strategy = _devices(config)
    steps = max(1, round(config.scale * config.steps))
    backbone, kept = _starting_backbone(config, table)
    chosen = _training_rows(config, table)
    budget = int(config.memory * 2**30) if config.memory is not None else memory_available() // 2
    pre, workers = backbone.preprocessing, config.workers
    train_images = ImageTable(
        table, chosen, pre, workers=workers, budget=budget, seen=work / "seen-train.json", title="training"
    )
    if not len(train_images):
        row, reason = next(iter(train_images.errors.items()))
        raise NlcliError(
            f"none of the {len(chosen):,} training images can be read; the first is {table.image_path(row)}: {reason}"
        )
    validation_rows = table.rows("validation")
    validation_rows = validation_rows[table.verification[validation_rows] > 0]
    validation_images = ImageTable(
        table,
        validation_rows,
        pre,
        workers=workers,
        budget=(budget - train_images.kept_bytes) // 2,
        seen=work / "seen-validation.json",
        title="validation",
    )
    tell_unreadable(table, train_images.errors | validation_images.errors, work)
    without = _classes_without_positives(config, table, train_images.rows)

    precision = _precision(config)
    with strategy.scope() if strategy is not None else nullcontext():
        copy = training_copy(
            backbone.model, precision, steps=steps, synchronized=strategy is not None, seed=config.seed
        )
    if config.trainable == "all" and is_folded(copy):
        say("these weights have BatchNorm folded into the convolutions; its statistics are kept fixed in training")
    network = Network(copy, pre.scaling, table.task, config.trainable)
    validate = Validation(network, table, validation_images)
    phase = Phase(
        config.labels,
        "clean" if config.labels == "verified" else "noisy",
        steps,
        {"network": Schedule(config.learning_rate, config.decay, config.decay_epochs, "epochs")},
        config.optimizer,
        monitor=validate.monitor,
    )
    source = ImageSource(
        table,
        train_images,
        config.batch_size,
        config.seed,
        budget - train_images.kept_bytes - validation_images.kept_bytes,
    )
    augmentation = Augmentation(config.flip, config.crop)
    board = TensorBoard(work)
    outcome = train(
        network,
        [phase],
        source,
        validate if validate.possible else None,
        Settings(
            eval_every=config.eval_every,
            patience=config.patience,
            checkpoint_seconds=_CHECKPOINT_SECONDS,
            xla=config.xla,
            strategy=strategy,
            loss_scale=_LOSS_SCALE if precision == "float16" else None,
            augment=None if augmentation.does_nothing else augmentation,
            title=f"training {backbone.name}",
        ),
        work,
        board,
    )
    board.close()
    backbone.model.set_weights(copy.get_weights())

    clean = None
    if config.labels == "verified":
        clean = clean_set_record(table, chosen) | {"fraction": config.clean_fraction, "seed": config.seed}
    backbone = backbone.trained_on(
        dataset=table.info.get("name", ""),
        dataset_fingerprint=table.fingerprint,
        labels=config.labels,
        trainable=config.trainable,
        step=outcome.step,
        seed=config.seed,
        clean=clean,
    )
    fingerprint = save_backbone(work, backbone)
    figures = outcome.figures()
    selected_by: dict[str, Any] = {"split": None, "why": "no verified label on validation; the last step was kept"}
    if outcome.selected_by:
        selected_by = {"split": "validation", "metric": outcome.selected_by, "value": outcome.value}
    unreadable = {"train": len(train_images.errors), "validation": len(validation_images.errors)}
    write_json(
        work / "result.json",
        {
            "network": backbone.name,
            "labels": config.labels,
            "selected_by": selected_by,
            "step": outcome.step,
            "steps": outcome.steps,
            "stopped_by": outcome.stopped,
            "validation": figures | {"images": len(validate)},
            "clean": clean,
            "training_images": len(train_images),
            "unreadable_images": unreadable,
            "classes_without_positives": without,
            "last_layer": "kept" if kept else "new",
            "precision": precision,
            "settings": config.recipe(),
        },
    )
    say(_summary_line(backbone, outcome, figures))
    summary = {
        "network": backbone.name,
        "labels": config.labels,
        "training_images": len(train_images),
        "unreadable_images": sum(unreadable.values()),
        "last_layer": "kept" if kept else "new",
        "precision": precision,
        "in_memory": train_images.pixels is not None,
        "images_per_second": round(outcome.steps_per_second * config.batch_size, 1),
        "steps": outcome.steps,
        "best_step": outcome.step,
        "selected_by": selected_by,
        **{f"validation_{name}": value for name, value in figures.items()},
    }
    return summary | ({"clean_images": len(chosen), "clean": clean} if clean is not None else {}), fingerprint


def _summary_line(backbone: Backbone, outcome: Outcome, figures: Mapping[str, float]) -> str:
    shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    kept = f"best step {outcome.step:,} of {outcome.steps:,}" if outcome.selected_by else "last step kept"
    return f"{backbone.name}: {kept}; validation {shown or 'has no verified labels'}"


# --- what is trained, on what ----------------------------------------------------------------


def _starting_backbone(config: PretrainBackbone, table: LabelTable) -> tuple[Backbone, bool]:
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


def _training_rows(config: PretrainBackbone, table: LabelTable) -> np.ndarray:
    """Rows of the training images, with those that cannot be read."""
    from nlcli.data.labels import choose_clean

    if config.labels == "noisy":
        rows = table.rows("train")
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

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    count = config.devices or len(found)
    if count > len(found):
        raise NlcliError(f"--devices {count}, but there are {len(found)}; ask for fewer, or for all with 0")
    if count > 1 and config.xla:
        raise NlcliError(f"--xla works on one device, and there are {count}; leave it out or pass --devices 1")
    if config.batch_size % count:
        raise NlcliError(
            f"a batch of {config.batch_size} cannot be shared equally by {count} devices; choose a --batch-size "
            f"that {count} divides, or fewer --devices"
        )
    if found[0].device_type == "GPU":
        # Some GPU kernels add up in whatever order their threads finish, unless told not to.
        tf.config.experimental.enable_op_determinism()
    return tf.distribute.MirroredStrategy([device.name for device in found[:count]]) if count > 1 else None


def _precision(config: PretrainBackbone) -> Precision:
    from nlcli.networks.backbone import resolve_precision

    name = "float32" if config.mixed_precision == "none" else resolve_precision(config.mixed_precision)
    return name  # type: ignore[return-value]


# --- validation and logs ---------------------------------------------------------------------


class Validation:
    """Figures of the current weights on the verified entries of the validation images.

    Attributes:
        possible: whether an entry is positive, without which nothing can be ranked.
        monitor: the figure that chooses the best step: AP_all, and top_1 of single-label data.
    """

    def __init__(self, network: Network, table: LabelTable, images: ImageTable) -> None:
        self._network, self._table, self._images = network, table, images
        self._position, self._class, self._label = table.verified_entries(images.rows)
        self.possible = bool(self._label.any())
        self._truth = np.full(len(images), -1)  # the one class of an image, where there is one
        if table.task == "single-label":
            self._truth[self._position[self._label]] = self._class[self._label]
        self.monitor = "top_1" if (self._truth >= 0).any() else "AP_all"

    def __len__(self) -> int:
        return len(self._images)

    def __call__(self, phase: Phase) -> dict[str, float]:
        from nlcli.metrics.ranking import sparse_ranking_metrics

        scores = np.empty(len(self._label), np.float32)
        correct = np.zeros(len(self._truth), bool)
        for first, pixels in self._images.parts(_VALIDATION_BATCH):
            part = self._network.probabilities(pixels)
            stop = first + len(part)
            entries = slice(*np.searchsorted(self._position, (first, stop)))
            scores[entries] = part[self._position[entries] - first, self._class[entries]]
            correct[first:stop] = part.argmax(axis=1) == self._truth[first:stop]
        if not np.isfinite(scores).all():
            raise NlcliError(f"scores in phase '{phase.name}' are not finite; lower the learning rate")
        found = sparse_ranking_metrics(self._class, self._label, scores, self._table.num_classes)
        figures = {"AP_all": float(found.ap_all), "mAP": float(found.mean_ap)}
        if self.monitor == "top_1":
            figures["top_1"] = float(correct[self._truth >= 0].mean())
        return figures


class TensorBoard:
    """Writes every line of ``metrics.jsonl`` for TensorBoard, too, which need not be installed for it."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._writer: Any = None

    def __call__(self, line: Mapping[str, Any]) -> None:
        import json

        import tensorflow as tf

        from nlcli.training.loop.loop import METRICS

        lines = [line]
        if self._writer is None:  # a resumed run writes its log anew, so that no step is in it twice
            folder = self._work / "tensorboard"
            shutil.rmtree(folder, ignore_errors=True)
            self._writer = tf.summary.create_file_writer(str(folder))
            lines = [json.loads(text) for text in (self._work / METRICS).read_text(encoding="utf-8").splitlines()]
        with self._writer.as_default():
            for entry in lines:
                for part in ("train", "validation"):
                    for name, value in entry[part].items():
                        tf.summary.write(f"{part}/{name}", tf.constant(value, tf.float32), entry["step"], _scalar())
        self._writer.flush()

    def close(self) -> None:
        """End the log."""
        if self._writer is not None:
            self._writer.close()


def _scalar() -> Any:
    from tensorflow.compat.v1 import SummaryMetadata

    metadata = SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR
    return metadata
