"""Stage ``export-model``: a trained head and its network as one model that other programs run.

================== ==============================================================================
``model...``        the model in its format: ``model.keras``, ``model/1``, ``model.onnx``, ...
``export.json``     input, classes, thresholds, metrics, what it was held against
``README.md``       the same as a model card, for people
``test_vectors.npz``  a few inputs and the scores that the model must give them
================== ==============================================================================

A model that does not give the scores of ``predict`` is not written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.labels import LabelTable, Task
from nlcli.errors import NlcliError
from nlcli.evaluation.decision_thresholds import choose_thresholds, scored_validation
from nlcli.evaluation.exported_model import EXPORT, Checked, ExportRecord, Given, HowGood, Source
from nlcli.evaluation.image_scorer import ImageScorer, network_of_run, open_scorer, reading_of
from nlcli.evaluation.metrics_file import ClassifierMetrics, estimates, read_metrics
from nlcli.evaluation.scored_images import ScoredImages, measure
from nlcli.exporting.config import ExportModel
from nlcli.exporting.file_formats import model_files, remove_model, write_model
from nlcli.exporting.gate import COUNT, VECTORS, Gate, made_up_features, made_up_images, tolerance_of
from nlcli.exporting.model_card import CARD, model_card
from nlcli.networks.foreign.source import is_foreign
from nlcli.networks.images import ImageError, Preprocessing, load_image
from nlcli.networks.model_formats import FORMATS, OUTPUT
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import atomic_path
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.training.result import HeadResult, read_result
from nlcli.training.saved_head import load_head, own_backbone

if TYPE_CHECKING:
    from nlcli.training.saved_head import Head

_RESAMPLES = 1000
_PHOTOGRAPHS = 16
"""Validation images that a model is tried on, at most."""


def export_model(config: ExportModel, *, force: bool = False) -> Path:
    """Write the model with its card and its test vectors; returns the directory.

    Raises:
        NlcliError: not a run or a backbone with classes, a network that is gone or another one, a package that is
            missing, a method that is no graph of Keras's layers, or a written model with other scores than ``predict``.
    """
    FORMATS[config.format].require(f"--format {config.format}")
    source = read_stage(config.run, ("run", "backbone"))
    evaluation = _evaluation_of(config, source)
    with open_stage("model", config, {"run": source, "evaluation": evaluation}, force=force) as stage:
        if not stage.up_to_date:
            quiet_tensorflow()
            summary, files = _export(config, source, evaluation, stage.work)
            stage.finish(summary, content=files)
    return stage.output


def _evaluation_of(config: ExportModel, source: StageRecord) -> StageRecord | None:
    if config.evaluation is None:
        return None
    evaluation = read_stage(config.evaluation, "evaluation")
    if evaluation.input_fingerprint("model") != source.fingerprint:
        raise NlcliError(f"{evaluation.path} is no evaluation of {source.path}; name one, or leave out --evaluation")
    return evaluation


# --- what is exported ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ready:
    """What is to be written.

    Attributes:
        model: Rows to scores.
        apply: The same by ``predict``.
        made_up: Rows to try it on.
        reading: The classifier reading image files; None of a head alone.
        precision, dtype: Of the features of ``apply``.
    """

    model: Any
    given: Given
    apply: Callable[[np.ndarray], np.ndarray]
    made_up: np.ndarray
    reading: ImageScorer | None
    task: Task
    classes: tuple[str, ...]
    method: str | None
    score: str
    network: str | None
    precision: str = "float32"
    dtype: str = "float32"


def _ready(config: ExportModel, source: StageRecord) -> _Ready:
    if source.kind == "backbone":
        return _of_backbone(config, source)
    head = load_head(source.path)
    score = config.score or head.score_names[0]
    head.score(np.zeros((1, head.num_features), np.float32), score)  # an unknown score is told at once
    return _head_alone(source, head, score) if _imported(config, source) else _of_run(config, source, head, score)


def _imported(config: ExportModel, source: StageRecord) -> bool:
    """Whether the head is trained on features that no network here computes."""
    if config.backbone is not None or own_backbone(source.path) is not None:
        return False
    settings = source.input_stage("features", "--backbone").config
    return "backbone" not in settings or is_foreign(str(settings["backbone"]))


def _of_run(config: ExportModel, source: StageRecord, head: Head, score: str) -> _Ready:
    from nlcli.exporting.whole_model import whole_model
    from nlcli.networks.backbone import Backbone
    from nlcli.training.keras_head import keras_head

    network = network_of_run(source, head, config.backbone)
    backbone, made = network.backbone, reading_of(network)
    assert isinstance(backbone, Backbone), "heads on another library's network are exported alone"
    reading = ImageScorer(
        source.path,
        head.method.name,
        head.classes,
        backbone.name,
        made,
        lambda features: head.score(features, score),
        score,
    )
    return _Ready(
        model=whole_model(backbone, keras_head(head.method, score)),
        given=_images(backbone.preprocessing),
        apply=reading.score_pixels,
        made_up=made_up_images(backbone.preprocessing.size),
        reading=reading,
        task=head.task,
        classes=head.classes,
        method=head.method.name,
        score=score,
        network=backbone.name,
        precision=network.precision,
        dtype=network.dtype,
    )


def _head_alone(source: StageRecord, head: Head, score: str) -> _Ready:
    from nlcli.training.keras_head import keras_head

    say(
        f"the features of {source.path} were imported, or another library's network computed them: the head alone is "
        "exported, which takes such features"
    )
    return _Ready(
        model=keras_head(head.method, score),
        given=Given(name="features", dtype="float32", shape=(head.num_features,), preprocessing=None),
        apply=lambda features: head.score(features, score),
        made_up=made_up_features(head.num_features),
        reading=None,
        task=head.task,
        classes=head.classes,
        method=head.method.name,
        score=score,
        network=None,
    )


def _of_backbone(config: ExportModel, source: StageRecord) -> _Ready:
    from nlcli.exporting.whole_model import whole_model
    from nlcli.networks.weights import load_backbone

    reading = open_scorer(source, backbone=config.backbone, score=config.score)
    backbone = load_backbone(source.path)
    return _Ready(
        model=whole_model(backbone),
        given=_images(backbone.preprocessing),
        apply=reading.score_pixels,
        made_up=made_up_images(backbone.preprocessing.size),
        reading=reading,
        task="single-label" if backbone.activation == "softmax" else "multi-label",
        classes=reading.classes,
        method=None,
        score=reading.score,
        network=backbone.name,
    )


def _images(preprocessing: Preprocessing) -> Given:
    return Given(name="images", dtype="uint8", shape=preprocessing.shape, preprocessing=preprocessing)


# --- writing it ------------------------------------------------------------------------------


def _export(
    config: ExportModel, source: StageRecord, evaluation: StageRecord | None, work: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Write everything; the summary, and the fingerprints of the model's files."""
    from nlcli.exporting.whole_model import fingerprint_of

    ready = _ready(config, source)
    measured = [] if evaluation is None else [_evaluated(evaluation, ready)]
    table, scored, unchosen = _validation(config, source, ready)
    more = _validation_rows(ready, source, table, scored)
    inputs = np.concatenate([ready.made_up, more])
    tolerance = config.tolerance or tolerance_of(ready.precision, ready.dtype)
    gate = Gate(inputs, ready.apply(inputs), tolerance)
    what = f"the {config.format} model of {source.path}"
    try:
        difference = gate.difference(write_model(config.format, ready.model, work), what)
    except NlcliError:
        remove_model(config.format, work)
        raise
    gate.save(work / VECTORS, ready.given.name, COUNT)
    if scored is not None:
        measured.append(_measured(ready.task, scored, source))
    record = ExportRecord(
        version=ExportRecord.FORMAT,
        format=config.format,
        file=FORMATS[config.format].file,
        source=_source(source, ready, table),
        given=ready.given,
        output=OUTPUT,
        task=ready.task,
        classes=ready.classes,
        thresholds=None if scored is None or ready.task == "single-label" else choose_thresholds(scored),
        unchosen=unchosen,
        measured=tuple(measured),
        checked=Checked(
            tolerance=tolerance,
            difference=difference,
            made_up=COUNT,
            validation=len(more),
            precision=ready.precision,
            dtype=ready.dtype,
        ),
        libraries=FORMATS[config.format].versions(),
    )
    record.write(work / EXPORT)
    with atomic_path(work / CARD) as temporary:
        temporary.write_text(model_card(record), encoding="utf-8")
    fingerprint = fingerprint_of(ready.model)
    files = {path.relative_to(work).as_posix(): fingerprint for path in model_files(config.format, work)}
    return _summary(record), files


def _summary(record: ExportRecord) -> dict[str, Any]:
    return {
        "format": record.format,
        "file": record.file,
        "takes": f"{record.given.name} {record.given.dtype} {record.given.shape}",
        "classes": len(record.classes),
        "difference": record.checked.difference,
        "tolerance": record.checked.tolerance,
        "tried_on": record.checked.made_up + record.checked.validation,
    }


def _source(source: StageRecord, ready: _Ready, table: LabelTable | None) -> Source:
    result = read_result(source.path)
    trained: dict[str, int] | None = None
    if isinstance(result, HeadResult):
        trained = result.training_images
    elif result is not None:
        trained = {"noisy" if result.labels == "noisy" else "clean": result.training_images}
    name = None if table is None else table.info.get("name")
    return Source(
        directory=source.path.resolve().name,
        kind="run" if source.kind == "run" else "backbone",
        fingerprint=source.fingerprint,
        method=ready.method,
        score=ready.score,
        network=ready.network,
        dataset=None if name is None else str(name),
        images=trained,
    )


# --- validation ------------------------------------------------------------------------------


def _validation(
    config: ExportModel, source: StageRecord, ready: _Ready
) -> tuple[LabelTable | None, ScoredImages | None, str | None]:
    """The data set, its scored validation images; or why there are none."""
    try:
        table, scored = scored_validation(
            source,
            ready.reading,
            classes=ready.classes,
            score=ready.score if source.kind == "run" else None,
            batch_size=config.batch_size,
            workers=config.workers,
        )
    except NlcliError as error:
        say(f"note: without thresholds and metrics: {error}")
        return None, None, str(error)
    return table, scored, None


def _validation_rows(
    ready: _Ready, source: StageRecord, table: LabelTable | None, scored: ScoredImages | None
) -> np.ndarray:
    """A few validation images, or their features, as the model takes them: (n, ...)."""
    rows: list[np.ndarray] = []
    if table is not None and scored is not None:
        keys = scored.keys[:: max(1, len(scored) // _PHOTOGRAPHS)][:_PHOTOGRAPHS]
        if ready.given.preprocessing is None:
            from nlcli.data.features.store import FeatureStore

            store = FeatureStore(source.input_stage("features").path)
            rows = list(np.asarray(store.read(store.rows_of(keys)), np.float32))
        else:
            where = {key: row for row, key in enumerate(table.keys.tolist())}
            for key in keys.tolist():
                try:
                    rows.append(load_image(table.image_path(where[key]), ready.given.preprocessing))
                except ImageError:  # the features are there, the picture is not any more
                    continue
    return np.stack(rows) if rows else ready.made_up[:0]


def _measured(task: Task, scored: ScoredImages, source: StageRecord) -> HowGood:
    result = read_result(source.path)
    return HowGood(
        split="validation",
        images=len(scored),
        metrics=estimates(measure(scored, task, _RESAMPLES, 0)),
        chose=result is not None and result.selected_by.split == "validation",
    )


def _evaluated(evaluation: StageRecord, ready: _Ready) -> HowGood:
    metrics = read_metrics(evaluation)
    if not isinstance(metrics, ClassifierMetrics) or metrics.score != ready.score:
        raise NlcliError(
            f"{evaluation.path} evaluates the score '{metrics.score}', and '{ready.score}' is exported; name another "
            "--evaluation, or pass --score"
        )
    return HowGood(split=metrics.split, images=metrics.images, metrics=metrics.metrics, chose=False)
