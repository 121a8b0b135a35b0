"""The train-head stage: a method trained on cached features, and the head that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.progress import say
from nlcli.runtime import memory_available, quiet_tensorflow
from nlcli.stage import StageRecord, atomic_path, open_stage, read_json, read_stage, write_json

if TYPE_CHECKING:
    from nlcli.config import TrainHead
    from nlcli.feature_source import RowFeatures
    from nlcli.features import FeatureStore
    from nlcli.labels import LabelTable
    from nlcli.methods.base import LastLayer, Method, MethodConfig, Phase, Problem
    from nlcli.sampling import Order
    from nlcli.training import Outcome

WEIGHTS = "head.npz"
SCORE_ROWS = 4096


# --- the stage -------------------------------------------------------------------------------


def train_head(config: TrainHead, *, force: bool = False) -> Path:
    """Train a head on cached features; the run's directory.

    It holds ``config.json`` (everything needed to repeat the run), ``metrics.jsonl`` (one line an
    evaluation), ``head.npz`` (the chosen weights by name) and ``result.json`` (which split and step
    chose them, with which clean images, and the figures). While it runs, ``checkpoint.npz`` lies
    there too, and the same command takes up a killed run to the same result.

    Raises:
        NlcliError: an unknown method or option, an empty clean set, features that do not belong to
            the data set, features or a loss that are not finite, no layer to start from.
    """
    quiet_tensorflow()
    from nlcli.features import FeatureStore
    from nlcli.labels import read_dataset

    settings = _method_config(config)
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "features": read_stage(config.features, "features"),
        "init": read_stage(config.init, "run") if config.init is not None else None,
    }
    with open_stage("run", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        table, store = read_dataset(config.dataset), FeatureStore(config.features)
        summary = _train(config, settings, table, store, stage.work)
        # Nothing can continue a finished run, and the moments are three quarters of its size.
        (stage.work / "checkpoint.npz").unlink(missing_ok=True)
        stage.finish(summary)
    return stage.output


def _method_config(config: TrainHead) -> MethodConfig:
    """The method's configuration; ``--steps`` and its like are short for options of the same name."""
    from nlcli.methods import configure

    options = dict(config.options)
    for name in ("steps", "batch_size", "learning_rate"):
        value = getattr(config, name)
        if value is not None and options.setdefault(name, value) != value:
            raise NlcliError(f"'{name}' is given twice, as {value} and as option {options[name]}; leave one out")
    return configure(config.method, options, config.preset)


def _train(
    config: TrainHead, settings: MethodConfig, table: LabelTable, store: FeatureStore, work: Path
) -> dict[str, Any]:
    from nlcli.feature_source import FeatureSource, RowFeatures, row_bytes, stored_rows, training_rows
    from nlcli.labels import clean_set_record
    from nlcli.methods import get_method
    from nlcli.methods.base import Problem
    from nlcli.training import Settings, train

    if store.dataset_fingerprint != table.fingerprint:
        raise NlcliError(
            f"{config.features} holds the features of another data set than {config.dataset}; "
            "extract features of this one"
        )
    method_class = get_method(config.method)
    problem = Problem(store.shape[1], table.classes, table.task)
    init = _initial_layer(config, store, problem, method_class)
    method = method_class(settings, problem, init, config.seed)
    phases = [replace(phase, steps=max(1, round(config.scale * phase.steps))) for phase in method.phases()]
    rows = training_rows(table, store, phases, config.clean_fraction, config.seed)
    verified = table.rows("validation")
    validation = stored_rows(table, store, verified[table.verification[verified] > 0])

    budget = int(config.memory * 2**30) if config.memory is not None else memory_available() // 2
    order = _order(config, len(rows.used) * row_bytes(store), work, budget)
    write_json(work / "config.json", {
        "method": config.method, "method_config": settings.model_dump(mode="json"), "preset": config.preset,
        "num_features": problem.num_features, "classes": list(problem.classes), "task": problem.task,
        "seed": config.seed, "clean_fraction": config.clean_fraction, "order": order,
        "eval_every": config.eval_every, "patience": config.patience, "dataset_fingerprint": table.fingerprint,
        "backbone_fingerprint": store.backbone_fingerprint,
    })

    data = RowFeatures(store, table, validation, budget // 2)
    source = FeatureSource(
        table, store, rows, settings.batch_size, config.seed, order, budget - data.kept_bytes
    )
    validate = Validation(method, table, data)
    steps = sum(phase.steps for phase in phases)
    outcome = train(
        method, phases, source, validate if validate.possible else None,
        Settings(
            eval_every=config.eval_every or max(1, steps // 40), patience=config.patience,
            title=f"training {config.method}",
        ),
        work,
    )
    with atomic_path(work / WEIGHTS) as temporary, open(temporary, "wb") as file:
        weights: dict[str, Any] = {name: value.numpy() for name, value in method.weights().items()}
        np.savez(file, **weights)

    chosen = outcome.figures()
    write_json(work / "result.json", {
        "method": config.method, "score": method.offered()[0],
        "selected_by": {"split": "validation", "metric": outcome.selected_by, "value": outcome.value}
        if outcome.selected_by else {"split": None, "why": "no verified label on validation; the last step was kept"},
        "phase": outcome.phase, "step": outcome.step, "steps": outcome.steps, "stopped_by": outcome.stopped,
        "validation": chosen | {"images": len(validation)},
        "clean": clean_set_record(table, rows.chosen) | {"fraction": config.clean_fraction, "seed": config.seed},
        "training_images": {"clean": len(rows.clean), "noisy": len(rows.labelled)},
        "images_without_features": {"train": rows.used.missing, "validation": validation.missing},
        "classes_without_positives": rows.without_positives, "order": order,
        "initial_layer": None if init is None else "init" if config.init is not None else "features",
        "settings": settings.model_dump(mode="json"),
    })
    say(_summary_line(config.method, outcome, chosen))
    return {
        "method": config.method, "clean_images": len(rows.clean), "steps": outcome.steps, "best_step": outcome.step,
        "steps_per_second": round(outcome.steps_per_second, 1), "order": order, "streamed": not source.resident,
        **{f"validation_{name}": chosen[name] for name in ("AP_all", "mAP") if name in chosen},
    }


def _summary_line(method: str, outcome: Outcome, chosen: Mapping[str, float]) -> str:
    figures = ", ".join(f"{name} {chosen[name]:.4f}" for name in ("AP_all", "mAP") if name in chosen)
    kept = f"best step {outcome.step:,} of {outcome.steps:,}" if outcome.selected_by else "last step kept"
    return f"{method}: {kept}; validation {figures or 'has no verified labels'}"


def _order(config: TrainHead, size: int, work: Path, budget: int) -> Order:
    """The order of rows. It decides the result, so a resumed run keeps what it began with."""
    if config.order != "auto":
        return config.order
    if (work / "config.json").exists():
        return read_json(work / "config.json")["order"]
    return "shuffled" if size <= budget else "block-shuffled"


def _initial_layer(
    config: TrainHead, store: FeatureStore, problem: Problem, method: type[Method]
) -> LastLayer | None:
    """The trained layer that ``method`` starts from, if it does."""
    if method.needs_last_layer:
        return _last_layer(config, store, problem)
    if not method.accepts_last_layer:
        if config.init is not None:
            raise NlcliError(f"method {config.method} starts from new weights; leave out --init")
        return None
    offered = set(store.last_layer[2]) if store.last_layer is not None else set()
    if config.init is None and not offered.issuperset(problem.classes):
        return None
    say(f"{config.method} starts from the layer of {config.init or config.features}")
    return _last_layer(config, store, problem)


def _last_layer(config: TrainHead, store: FeatureStore, problem: Problem) -> LastLayer:
    """The trained layer to start from, its classes in the problem's order."""
    from nlcli.methods.base import LastLayer

    if config.init is not None:
        head = load_head(config.init)
        if head.backbone_fingerprint != store.backbone_fingerprint:
            raise NlcliError(f"{config.init} was trained on features of another backbone than {config.features}")
        layer, where = head.method.last_layer(), str(config.init)
        if layer is None:
            raise NlcliError(f"{config.init} is a {head.method.name} head, not a linear one; pass a noisy head's run")
        classes = head.classes
    elif store.last_layer is not None:
        kernel, bias, classes = store.last_layer
        layer, where = LastLayer(np.asarray(kernel, np.float32), np.asarray(bias, np.float32)), str(config.features)
    else:
        layer, where, classes = None, "", ()
    missing = next((name for name in problem.classes if name not in set(classes)), None)
    if layer is None or missing is not None:
        lacks = f"has no class '{missing}'" if layer is not None else "is not there"
        raise NlcliError(
            f"method {config.method} fine-tunes a trained last layer, which {lacks}"
            f"{' in ' + where if where else ''}; pass --init RUN of a noisy head on these features, or "
            "pretrain the backbone on this data set's noisy labels"
        )
    order = [list(classes).index(name) for name in problem.classes]
    return LastLayer(layer.kernel[:, order], layer.bias[order])


# --- validation ------------------------------------------------------------------------------


class Validation:
    """Figures of the current weights on the verified entries of the validation images.

    Attributes:
        possible: whether an entry is positive, without which nothing can be ranked.
    """

    def __init__(self, method: Method, table: LabelTable, data: RowFeatures) -> None:
        self._method, self._table, self._data = method, table, data
        self._rows = data.rows.dataset
        self._position, self._class, self._label = table.verified_entries(self._rows)
        self._dense = len(self._label) == len(self._rows) * table.num_classes
        self.possible = bool(self._label.any())
        self._score = Scorer(method)

    def __call__(self, phase: Phase) -> dict[str, float]:
        from nlcli.metrics import ranking_metrics, sparse_ranking_metrics

        name = self._method.offered()[0]
        scores = np.empty(len(self._label), np.float32)
        for first, features in self._data.parts():
            entries = slice(*np.searchsorted(self._position, (first, first + len(features))))
            part = self._score(features, name)
            scores[entries] = part[self._position[entries] - first, self._class[entries]]
        if not np.isfinite(scores).all():
            raise NlcliError(f"scores in phase '{phase.name}' are not finite; lower the learning rate")
        if self._dense:
            shape = (len(self._rows), self._table.num_classes)
            found = ranking_metrics(self._label.reshape(shape), scores.reshape(shape))
        else:
            found = sparse_ranking_metrics(self._class, self._label, scores, self._table.num_classes)
        figures = {"AP_all": float(found.ap_all), "mAP": float(found.mean_ap)}
        if phase.monitor not in figures:
            figures |= self._losses(phase)
        return figures

    def _losses(self, phase: Phase) -> dict[str, float]:
        """The phase's losses on these rows as if they were V, averaged over rows."""
        import tensorflow as tf

        from nlcli.methods.base import Batch

        totals: dict[str, float] = {}
        for first, features in self._data.parts():
            rows = self._rows[first : first + len(features)]
            v, m = self._table.verified_targets(rows)
            y = self._table.noisy_targets(rows if phase.noisy_labels == "all" else rows[:0])
            batch = Batch(len(rows), *(tf.cast(labels, tf.float32) for labels in (y, v, m)))
            for name, value in self._method.losses(phase.name, tf.cast(features, tf.float32), batch).items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(rows) / len(self._rows)
        return totals


class Scorer:
    """Scores of a method, compiled, in parts of bounded size."""

    def __init__(self, method: Method) -> None:
        import tensorflow as tf

        self._num_classes = method.problem.num_classes
        self._compiled = {
            name: tf.function(lambda features, name=name: method.score(tf.cast(features, tf.float32), name),
                              reduce_retracing=True)
            for name in method.scores
        }

    def __call__(self, features: np.ndarray, name: str) -> np.ndarray:
        """(n, C) float32 scores of (n, D) features."""
        import tensorflow as tf

        out = np.empty((len(features), self._num_classes), np.float32)
        for first in range(0, len(features), SCORE_ROWS):
            part = tf.convert_to_tensor(features[first : first + SCORE_ROWS])
            out[first : first + len(part)] = self._compiled[name](part).numpy()
        return out


# --- a trained head --------------------------------------------------------------------------


class Head:
    """A trained head.

    Attributes:
        method: the method, with the chosen weights.
        classes: its classes, in the order of the scores' columns.
        score_names: what it can score with, its own choice first.
        backbone_fingerprint: of the backbone whose features it was trained on.
    """

    def __init__(self, method: Method, record: Mapping[str, Any], path: Path) -> None:
        self.method, self.path = method, path
        self.classes: tuple[str, ...] = method.problem.classes
        self.score_names = method.offered()
        self.backbone_fingerprint: str = record["backbone_fingerprint"]
        self._scorer = Scorer(method)

    @property
    def num_features(self) -> int:
        """D, the length of a feature vector."""
        return self.method.problem.num_features

    @property
    def task(self) -> Literal["multi-label", "single-label"]:
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
        from nlcli.config import unknown_name

        name = name or self.score_names[0]
        if name not in self.score_names:
            raise NlcliError(f"{self.path}: {unknown_name(name, self.score_names, 'score')}")
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise NlcliError(
                f"{self.path} takes features of length {self.num_features}, not of shape {features.shape}; "
                "use features of the backbone it was trained on"
            )
        return self._scorer(features, name)


def load_head(path: Path | str) -> Head:
    """The head of the finished run at ``path``.

    Raises:
        NlcliError: not a run, or its weights are missing, damaged or of another shape.
    """
    quiet_tensorflow()
    from nlcli.methods import configure, get_method
    from nlcli.methods.base import LastLayer, Problem

    path = read_stage(path, "run").path
    record = read_json(path / "config.json")
    try:
        problem = Problem(int(record["num_features"]), tuple(record["classes"]), record["task"])
        settings, cls = configure(record["method"], record["method_config"]), get_method(record["method"])
        record["backbone_fingerprint"]
    except (KeyError, TypeError) as error:
        raise NlcliError(f"{path / 'config.json'} lacks {error}; train the head again") from error
    zeros = LastLayer(
        np.zeros((problem.num_features, problem.num_classes), np.float32), np.zeros(problem.num_classes, np.float32)
    )
    method = cls(settings, problem, zeros if cls.needs_last_layer else None)
    try:
        with np.load(path / WEIGHTS, allow_pickle=False) as arrays:
            for name, variable in method.weights().items():
                value = arrays[name]
                if value.shape != tuple(variable.shape):
                    raise ValueError(f"{name} has shape {value.shape}, expected {tuple(variable.shape)}")
                variable.assign(value)
    except Exception as error:  # damaged archives raise many kinds
        raise NlcliError(f"{path / WEIGHTS} cannot be read ({error}); train the head again") from error
    return Head(method, record, path)
