"""Stage ``eval``: how good a run or a backbone is on a split, or how wrong a detection of label noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlcli.data.pictures import pictures_changed
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.metrics_file import FORMAT
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone
    from nlcli.networks.foreign.base import ForeignNetwork


def evaluate(config: Evaluate, *, force: bool = False) -> Path:
    """Score a run or a backbone on a split, or measure a detection; the evaluation's directory.

    Args:
        config: Without ``output`` the directory is ``MODEL-SPLIT`` beside the model.
        force: Replace a different result at the output.

    Raises:
        NlcliError: features of another backbone or another data set, classes that are not the data
            set's, a split without images or without verified labels, a score that is not a number,
            an engine for a network that is not run;
            of a detection: options that mean nothing to it, a split that it was not measured on.
    """
    model = read_stage(config.model, ("run", "backbone", "detection"))
    return _detection(config, model, force) if model.kind == "detection" else _classifier(config, model, force)


def _beside(model: Path, split: str) -> Path:
    return model.with_name(f"{model.resolve().name}-{split}")


# --- a run or a backbone ---------------------------------------------------------------------


def _classifier(config: Evaluate, model: StageRecord, force: bool) -> Path:
    split = config.split or "test"
    output = config.output or _beside(config.model, split)
    config = config.model_copy(update={"split": split, "output": output})
    features = _features_of(model, config)
    dataset = _dataset_of(model, features, config)
    inputs: dict[str, StageRecord | Path | str | None] = {"model": model, "features": features, "dataset": dataset}
    config = _with_engine(config, model, features, inputs)
    made = open_stage(
        "evaluation", config, inputs, seed=config.seed, force=force, format=FORMAT, stale=pictures_changed
    )
    with made as stage:
        if not stage.up_to_date:
            from nlcli.evaluation.classifier_metrics import measure_classifier

            stage.finish(measure_classifier(config, split, model, features, dataset, stage.work))
    return stage.output


def _with_engine(
    config: Evaluate,
    model: StageRecord,
    features: StageRecord | None,
    inputs: dict[str, StageRecord | Path | str | None],
) -> Evaluate:
    """``config`` with what really runs the forward pass on a CPU: that of which the recipe tells."""
    if config.engine_cpu == "tensorflow":
        return config
    if features is not None:
        if config.engine_cpu == "auto":
            return config.model_copy(update={"engine_cpu": "tensorflow"})
        raise NlcliError(
            f"{features.path} holds the features of these images, so that no network is run; leave out --engine-cpu"
        )
    if config.engine_cpu != "auto":
        return config
    quiet_tensorflow()
    from nlcli.networks.engine_choice import with_engine

    def network() -> Backbone | ForeignNetwork:
        from nlcli.evaluation.image_scorer import network_of_run
        from nlcli.networks.weights import load_backbone
        from nlcli.training.saved_head import load_head

        if model.kind == "backbone":
            return load_backbone(model.path)
        return network_of_run(model, load_head(model.path), precision=config.precision).backbone

    output: Literal["probabilities", "features"] = "probabilities" if model.kind == "backbone" else "features"
    return with_engine(config, "evaluation", inputs, network, output, FORMAT)


def _features_of(model: StageRecord, config: Evaluate) -> StageRecord | None:
    """The features to score; None where image files are read."""
    from nlcli.training.saved_head import own_backbone

    if config.features is not None:
        return read_stage(config.features, "features")
    if model.kind == "backbone" or own_backbone(model.path) is not None:
        return None
    return model.input_stage("features", "--features")


def _dataset_of(model: StageRecord, features: StageRecord | None, config: Evaluate) -> StageRecord:
    if config.dataset is not None:
        return read_stage(config.dataset, "dataset")
    own = model.input_fingerprint("features")
    if features is None or features.fingerprint == own:
        return model.input_stage("dataset", "--dataset")
    return features.input_stage("dataset", "--dataset")  # features of another data set bring it along


# --- a detection -----------------------------------------------------------------------------


def _detection(config: Evaluate, model: StageRecord, force: bool) -> Path:
    from nlcli.data.detection_files import read_detection
    from nlcli.data.tag_detection_files import detects_tags, read_tag_detection

    engine = None if config.engine_cpu in ("tensorflow", "auto") else config.engine_cpu
    for name, value in (("features", config.features), ("score", config.score), ("engine-cpu", engine)):
        if value is not None:
            raise NlcliError(f"{model.path} is a detection of label noise; leave out --{name}")
    if detects_tags(model.path):
        tags = read_tag_detection(model.path)
        measured_on, made_on = tags.info.measured.split, tags.info.dataset_fingerprint
    else:
        detection = read_detection(model.path)
        measured_on, made_on = detection.info.errors.split, detection.info.dataset_fingerprint
    if measured_on is None:
        raise NlcliError(
            f"no noisy label of test or validation is verified, so the errors of {model.path} cannot be measured; "
            "verify some"
        )
    if config.split not in (None, *measured_on.split("+")):
        raise NlcliError(f"{model.path} was measured on {measured_on}, not on {config.split}; leave out --split")
    split = config.split or measured_on
    output = config.output or _beside(config.model, split)
    config = config.model_copy(update={"split": split, "output": output, "engine_cpu": "tensorflow"})
    if config.dataset is not None:
        dataset = read_stage(config.dataset, "dataset")
    else:
        dataset = model.input_stage("dataset", "--dataset")
    if dataset.fingerprint != made_on:
        raise NlcliError(f"{model.path} is of another data set than {dataset.path}; pass the one that it was made on")
    inputs: dict[str, StageRecord | Path | str | None] = {"model": model, "dataset": dataset}
    with open_stage("evaluation", config, inputs, seed=config.seed, force=force, format=FORMAT) as stage:
        if not stage.up_to_date and detects_tags(model.path):
            from nlcli.evaluation.tag_noise_metrics import measure_tags

            stage.finish(measure_tags(config, split, tags, dataset, stage.work))
        elif not stage.up_to_date:
            from nlcli.evaluation.detection_metrics import measure_detection

            stage.finish(measure_detection(config, split, detection, dataset, stage.work))
    return stage.output
