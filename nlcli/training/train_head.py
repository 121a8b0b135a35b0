"""The train-head stage: a method trained on features or behind a backbone, and the head that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.labels import FULL, NONE, choose_clean, noisy_classes, true_classes, verified_pairs
from nlcli.data.score_chosen import used_clean_set
from nlcli.errors import NlcliError
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.training.head_feed import Feed, verified_rows
from nlcli.training.remarks import classifier_remarks, step_remark
from nlcli.training.result import RESULT, CleanLabels, HeadResult, SelectedBy, WeightedBy
from nlcli.training.run_config import CONFIG, RunConfig
from nlcli.training.saved_head import load_head, save_weights

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.estimation.scale import ScaleKind
    from nlcli.methods.base.contract import MethodConfig, Phase, Problem
    from nlcli.methods.base.method import Method
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.training.config import TrainHead
    from nlcli.training.head_feed import Prepared, Start
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.solved_head import SolvedOutcome
    from nlcli.training.validation import Validation

_SHOWN = ("top_1", "top_5", "AP_all", "mAP")
_SCRATCH = ("checkpoint.npz", "seen-training.json", "seen-validation.json")


# --- the stage -------------------------------------------------------------------------------


def train_head(config: TrainHead, *, force: bool = False) -> Path:
    """Train a head on cached features, or on images behind a backbone; the run's directory.

    It holds ``config.json`` (everything needed to repeat the run), ``metrics.jsonl`` (one line an
    evaluation), the same for TensorBoard, ``head.npz`` (the chosen weights by name) and ``result.json``
    (which split and step chose them, with which clean images, and the metrics). A run from images also
    holds ``backbone/``, the network as it was when the head was chosen, with which the run scores images
    on its own, and ``unreadable.csv`` where images were left out. While it runs, ``checkpoint.npz`` lies
    there too, and the same command takes up a killed run to the same result.

    Raises:
        NlcliError: an unknown method or option, an empty clean set, features that do not belong to
            the data set, features or a loss that are not finite, no layer to start from, a method
            that trains the whole network where that is not possible.
    """
    from nlcli.data.label_files import read_dataset
    from nlcli.data.pictures import begin_reading, pictures_changed

    settings = method_settings(config)
    _check_inputs(config, settings)
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "init": read_stage(config.init, "run") if config.init is not None else None,
        "detection": read_stage(config.detection, "detection") if config.detection is not None else None,
    }
    if config.from_images is not None:
        from nlcli.networks.provenance import NetworkSource

        inputs |= NetworkSource(config.from_images, config.weights).inputs()
    elif config.features is not None:
        inputs["features"] = read_stage(config.features, "features")
    if config.image_weights is not None:
        inputs["image_weights"] = config.image_weights
    with open_stage("run", config, inputs, seed=config.seed, force=force, stale=pictures_changed) as stage:
        if stage.up_to_date:
            return stage.output
        table = read_dataset(config.dataset)
        if config.from_images is not None:
            begin_reading(stage.work, table, config.dataset)
        summary, content = _train(config, settings, table, stage.work)
        # Nothing can continue a finished run, and the moments are three quarters of its size.
        for name in _SCRATCH:
            (stage.work / name).unlink(missing_ok=True)
        stage.finish(summary, content=content, volatile=("tensorboard/*",))
    return stage.output


def check_options(config: TrainHead) -> None:
    """Refuse what no data set, features or run could make right; none of them need be there.

    Raises:
        NlcliError: an unknown method, preset or option, a value out of range, or options that exclude each other.
    """
    alone = config.model_copy(update={"init": None})
    _check_inputs(alone, method_settings(alone))


def _check_inputs(config: TrainHead, settings: MethodConfig) -> None:
    from nlcli.methods import METHODS, get_method

    if (config.features is None) == (config.from_images is None):
        raise NlcliError("a head needs --features DIRECTORY or --from-images BACKBONE, and not both")
    if config.from_images is not None and config.order != "auto":
        raise NlcliError(f"--order {config.order} is for features; images are always shuffled freely")
    if config.trunk == "frozen" and config.trunk_rate is not None:
        raise NlcliError("--trunk-rate is for a backbone that is trained; pass --trunk trained, or leave it out")
    method = get_method(config.method)
    if config.image_weights is not None and not method.solved_with(settings):
        others = ", ".join(name for name in METHODS.ours if METHODS.get(name).solvable)
        raise NlcliError(
            f"what each image counts (--image-weights) is for heads that are solved, and {config.method} takes steps "
            f"here; leave it out, or choose {others} on features and without options of steps"
        )
    if method.needs_detection and config.detection is None:
        raise NlcliError(
            f"method {config.method} weights noisy labels by a detection of wrong ones; run 'nlcli detect-noise' and "
            "pass its directory as --detection"
        )
    if config.detection is not None and not method.needs_detection:
        raise NlcliError(f"method {config.method} does not weight labels; leave out --detection, or use cleannet")
    if method.whole_network and config.trunk == "frozen":
        raise NlcliError(
            f"method {config.method} trains the backbone too; pass --from-images BACKBONE --trunk trained, or run "
            "'nlcli pretrain-backbone --labels verified', which is the same as a stage"
        )


def method_settings(config: TrainHead) -> MethodConfig:
    """The method's configuration; ``--steps`` and its like are short for options of the same name."""
    from nlcli.methods import configure, get_method

    options = dict(config.options)
    for name in ("steps", "batch_size", "learning_rate"):
        value = getattr(config, name)
        if value is not None and options.setdefault(name, value) != value:
            raise NlcliError(f"'{name}' is given twice, as {value} and as option {options[name]}; leave one out")
    settings = configure(config.method, options, config.preset)
    given = {*options, *(name for name in ("eval_every", "patience") if getattr(config, name))}
    stepped = config.preset is not None or config.from_images is not None
    decided = get_method(config.method).decided(settings, given, stepped=stepped, scale=_scale_of_init(config))
    if config.from_images is not None and getattr(decided, "solver", "steps") == "solved":
        otherwise = "leave out solver=solved" if get_method(config.method).stepped else "name another with --method"
        raise NlcliError(
            f"method {config.method} is solved on features; run 'nlcli extract-features' and pass --features, or "
            f"{otherwise}"
        )
    if config.from_images is not None and getattr(decided, "start", "new") == "solved":
        raise NlcliError("start=solved needs cached features; run 'nlcli extract-features' and pass --features")
    return decided


def _scale_of_init(config: TrainHead) -> ScaleKind | None:
    """That of the head whose layer is started from, which a layer on another scale cannot stand for."""
    from nlcli.methods.base.feature_scale import FITTED

    if config.init is None:
        return None
    where = read_stage(config.init, "run").path
    scale: ScaleKind = RunConfig.read(where / CONFIG).method_config.get("feature_scale", "none")
    return "none" if scale in ("auto", *FITTED) else scale


@dataclass(frozen=True, kw_only=True)
class _Built:
    """The method, and what it was built from.

    Attributes:
        fraction: Of the verified training images, those that are the clean set.
        paired: By split, rows whose pairs of true and noisy class it counted; None where it counts none.
        init, initial_layer: The layer that it starts from, and what brought it.
    """

    method: Method
    phases: list[Phase]
    fraction: float
    paired: dict[str, np.ndarray] | None
    init: LinearLayer | None
    initial_layer: str | None


def _train(
    config: TrainHead, settings: MethodConfig, table: LabelTable, work: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Train; the stage's summary, and hashes of files that are known."""
    from nlcli.training.validation import validation_of

    feed = open_feed(config, table, work)
    built = _build(config, settings, table, feed.start)
    prepared = feed.prepare(built.method, built.phases, built.fraction, built.init)
    described = _run_config(config, settings, table, built, feed.start, prepared)
    described.write(work / CONFIG)

    validate = validation_of(built.method, table, prepared.validation)
    outcome = _outcome(config, built, prepared, validate, work)
    save_weights(work, built.method)
    detection = _weighted_by(config)
    clean = _clean_labels(config, table, built, prepared, outcome, detection)
    remarks = _remarks(config, built.method, table, prepared, outcome, validate)
    content = feed.publish(built.method, outcome, clean if clean.images else None)
    described.model_copy(update={"backbone_fingerprint": feed.start.fingerprint}).write(work / CONFIG)
    result = _result(config, settings, built, prepared, outcome, validate, clean, detection)
    result.model_copy(update={"remarks": remarks}).write(work / RESULT)
    return _summary(config, prepared, outcome, clean, remarks), content


def _outcome(config: TrainHead, built: _Built, prepared: Prepared, validate: Validation, work: Path) -> Outcome:
    """Solve or train the method."""
    from nlcli.training.tensorboard import LOG, TensorBoard, write_solved

    if prepared.labelled is not None:
        from nlcli.training.solved_head import solve_head

        solved = solve_head(built.method, prepared.labelled(), validate.metrics if validate.possible else None, work)
        write_solved(work / LOG, solved.history)
        return solved
    if built.method.starts_solved and not validate.possible:
        return _as_it_begins(built, work)
    if not built.method.arrays:
        quiet_tensorflow()
    from nlcli.training.loop.contract import Settings
    from nlcli.training.loop.train import train

    assert prepared.source is not None
    board = TensorBoard(work)
    outcome = train(
        prepared.model,
        prepared.phases,
        prepared.source,
        validate if validate.possible else None,
        Settings(
            eval_every=config.eval_every or max(1, sum(phase.steps for phase in built.phases) // 40),
            patience=config.patience,
            title=f"training {config.method}",
            **prepared.settings,
        ),
        work,
        board,
    )
    board.close()
    return outcome


def _as_it_begins(built: _Built, work: Path) -> Outcome:
    """Verified images chose what it begins at; nothing tells whether a step from there is one to the better."""
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.loop.history import write_history

    outcome = Outcome.untrained(built.phases[0].name)
    write_history(work, outcome.history)
    return outcome


def _build(config: TrainHead, settings: MethodConfig, table: LabelTable, start: Start) -> _Built:
    """The method for this data set, from new weights or from the layer that it starts from."""
    from nlcli.methods import get_method
    from nlcli.methods.base.contract import Problem

    cls = get_method(config.method)
    fraction = 1.0 if cls.all_verified else config.clean_fraction
    paired = _paired_rows(table, cls, settings, fraction, config.seed)
    pairs = None if paired is None else verified_pairs(table, np.concatenate([*paired.values()]))
    problem = Problem(start.num_features, table.classes, table.task, pairs, start.two_trunks)
    init = _initial_layer(config, settings, start, problem, cls)
    on_arrays = cls.solved_with(settings) or (config.features is not None and cls.steps_on_arrays(settings))
    method = cls(settings, problem, init, config.seed, arrays=on_arrays)
    phases = method.phases()
    if cls.verification_is_optional and not (table.verification[table.rows("train")] > NONE).any():
        phases = tuple(phase for phase in phases if phase.rows == "noisy")
    return _Built(
        method=method,
        phases=[phase.scaled(config.scale) for phase in phases],
        fraction=fraction,
        paired=paired,
        init=init,
        initial_layer=None if init is None else "init" if config.init is not None else start.kind,
    )


def _run_config(
    config: TrainHead, settings: MethodConfig, table: LabelTable, built: _Built, start: Start, prepared: Prepared
) -> RunConfig:
    return RunConfig(
        method=config.method,
        method_config=settings.model_dump(mode="json"),
        preset=config.preset,
        num_features=start.num_features,
        classes=table.classes,
        task=table.task,
        seed=config.seed,
        clean_fraction=built.fraction,
        eval_every=config.eval_every,
        patience=config.patience,
        dataset_fingerprint=table.fingerprint,
        backbone_fingerprint=start.fingerprint,
        **prepared.how,
    )


def _result(
    config: TrainHead,
    settings: MethodConfig,
    built: _Built,
    prepared: Prepared,
    outcome: Outcome,
    validate: Validation,
    clean: CleanLabels,
    detection: WeightedBy | None,
) -> HeadResult:
    rows, images = prepared.rows, prepared.validation.rows
    known = {} if validate.of_known_class is None else {"images_of_known_class": validate.of_known_class}
    left_out = {"train": rows.used.missing, "validation": images.missing}
    from_images = prepared.left_out == "unreadable_images"
    solved = _solved(outcome)
    # What is not given is not in the file: see ``Result.to_json``.
    return HeadResult(
        method=config.method,
        score=built.method.offered()[0],
        selected_by=solved.selected()
        if solved
        else SelectedBy.of(outcome.selected_by, outcome.value, steps=outcome.steps),
        phase=outcome.phase,
        step=outcome.step,
        steps=outcome.steps,
        stopped_by=outcome.stopped,
        validation=outcome.metrics() | {"images": len(images)} | known,
        clean=clean,
        training_images={"clean": len(rows.clean), "noisy": len(rows.labelled)},
        classes_without_positives=rows.without_positives,
        initial_layer=built.initial_layer,
        settings=settings.model_dump(mode="json"),
        **({"unreadable_images": left_out} if from_images else {"images_without_features": left_out}),
        **({} if detection is None else {"detection": detection}),
        **({"solved": solved.record()} if solved else {}),
        **prepared.how,
    )


def _remarks(
    config: TrainHead,
    method: Method,
    table: LabelTable,
    prepared: Prepared,
    outcome: Outcome,
    validate: Validation,
) -> tuple[str, ...]:
    """What should not be taken as it is; said at once."""
    solved = _solved(outcome)
    remarks = [*solved.remarks()] if solved else [step_remark(outcome, started=method.starts_solved)]
    if table.task == "single-label" and validate.possible:
        rows = prepared.validation.rows.dataset
        remarks += classifier_remarks(table, rows, validate.first_classes(), "validation")
    told = tuple(remark for remark in remarks if remark is not None)
    for remark in told:
        say(f"note: {config.method}: {remark}")
    return told


def _summary(
    config: TrainHead, prepared: Prepared, outcome: Outcome, clean: CleanLabels, remarks: tuple[str, ...]
) -> dict[str, Any]:
    """What the stage's record says; a line of it is told."""
    metrics = outcome.metrics()
    shown = {name: metrics[name] for name in _SHOWN if name in metrics}
    # On single-label data people look at accuracies.
    told = {name: value for name, value in shown.items() if "top_1" not in shown or name.startswith("top_")}
    say(outcome.summary(config.method, told))
    return {
        "method": config.method,
        "clean_images": clean.images,
        **clean.apart,
        **({} if clean.pairs is None else {f"clean_pairs_of_{split}": count for split, count in clean.pairs.items()}),
        **({} if not clean.chose else {"clean_images_that_chose_the_step": clean.chose}),
        **_how_long(outcome),
        **prepared.how,
        **prepared.summary,
        **{f"validation_{name}": value for name, value in shown.items()},
        **({"remarks": list(remarks)} if remarks else {}),
    }


def _solved(outcome: Outcome) -> SolvedOutcome | None:
    """The outcome, if it is one of solving."""
    from nlcli.training.solved_head import SolvedOutcome

    return outcome if isinstance(outcome, SolvedOutcome) else None


def _how_long(outcome: Outcome) -> dict[str, Any]:
    solved = _solved(outcome)
    if solved:
        return {"l2": solved.solved.l2, "iterations": solved.solved.iterations}
    return {
        "steps": outcome.steps,
        "best_step": outcome.step,
        "steps_per_second": round(outcome.steps_per_second, 1),
    }


def _clean_labels(
    config: TrainHead,
    table: LabelTable,
    built: _Built,
    prepared: Prepared,
    outcome: Outcome,
    detection: WeightedBy | None,
) -> CleanLabels:
    """The verified images that the method, or the detection that it is weighted by, was fitted on."""
    trained, paired = prepared.rows.chosen, built.paired
    told: dict[str, Any] = {"trained": len(trained)}
    rows = trained
    if paired is not None:
        told["pairs"] = {split: len(of) for split, of in paired.items()}
        rows = np.union1d(trained, np.concatenate([*paired.values()]))
    if outcome.selected_by is not None:
        solved = _solved(outcome)
        told["chose"] = solved.chose if solved else len(prepared.validation.rows)
    clean = CleanLabels(
        **used_clean_set(config.dataset, table, rows), fraction=built.fraction, seed=config.seed, **told
    )
    if detection is not None and detection.clean.images > clean.images:
        return detection.clean.model_copy(update=told)  # of one seed, which the run's own are among
    return clean


def _weighted_by(config: TrainHead) -> WeightedBy | None:
    """What a result says about the detection that weighted its labels."""
    if config.detection is None:
        return None
    from nlcli.data.detection_files import read_detection

    detection = read_detection(config.detection)
    return WeightedBy(
        method=detection.method,
        threshold=detection.threshold,
        held_out=tuple(detection.held_out),
        clean=CleanLabels(**detection.info.clean.model_dump()),
    )


def _paired_rows(
    table: LabelTable, method: type[Method], settings: MethodConfig, fraction: float, seed: int
) -> dict[str, np.ndarray] | None:
    """By split the rows whose pairs of true and noisy class ``method`` may count; None where it counts none."""
    if table.task != "single-label" or not method.uses_pairs(settings):
        return None
    some = (table.verification[table.rows("train")] > NONE).any()
    clean = choose_clean(table, fraction, seed) if some else np.empty(0, np.int64)
    both = (true_classes(table) >= 0) & (noisy_classes(table) >= 0) & (table.verification == FULL)
    rows = {"train": clean, "validation": verified_rows(table)}
    return {split: rows[split][both[rows[split]]] for split in method.pair_splits(settings)}


def _initial_layer(
    config: TrainHead, settings: MethodConfig, start: Start, problem: Problem, method: type[Method]
) -> LinearLayer | None:
    """The trained layer that ``method`` starts from, if it does."""
    scale: ScaleKind = "none" if settings.feature_scale == "auto" else settings.feature_scale
    if method.needs_last_layer:
        return _last_layer(config, start, problem, scale)
    if not method.starts_from_layer(settings):
        if config.init is not None:
            raise NlcliError(f"method {config.method} starts from new weights; leave out --init")
        return None
    own = start.last_layer
    if config.init is None and (own is None or own.lacking(problem.classes) is not None or scale != "none"):
        return None
    say(f"{config.method} starts from the layer of {config.init or start.where}")
    return _last_layer(config, start, problem, scale)


def _last_layer(config: TrainHead, start: Start, problem: Problem, scale: ScaleKind) -> LinearLayer:
    """The trained layer to start from, its classes in the problem's order."""
    if config.init is not None:
        head = load_head(config.init)
        if head.backbone_fingerprint != start.fingerprint:
            raise NlcliError(f"{config.init} was trained on features of another backbone than {start.where}")
        layer, where = head.method.layer_on(scale), str(config.init)
        if layer is None:
            own = head.method.scale.kind
            if head.method.last_layer() is not None:
                raise NlcliError(
                    f"{config.init} is linear in features on scale '{own}', and this head sees them on '{scale}'; pass "
                    f"--set feature_scale={own}"
                )
            raise NlcliError(f"{config.init} is a {head.method.name} head, not a linear one; pass a noisy head's run")
    else:
        layer, where = start.last_layer, start.where if start.last_layer is not None else ""
        if layer is not None and scale != "none":
            raise NlcliError(
                f"the last layer of {where} is for features as they come, and this head sees them on '{scale}'; leave "
                "out feature_scale, or pass --init RUN of a noisy head on that scale"
            )
    missing = layer.lacking(problem.classes) if layer is not None else None
    if layer is None or missing is not None:
        lacks = f"has no class '{missing}'" if layer is not None else "is not there"
        raise NlcliError(
            f"method {config.method} fine-tunes a trained last layer, which {lacks}"
            f"{' in ' + where if where else ''}; pass --init RUN of a noisy head on these features, or "
            "pretrain the backbone on this data set's noisy labels"
        )
    return layer.for_classes(problem.classes)


def open_feed(config: TrainHead, table: LabelTable, work: Path) -> Feed:
    """The feed that ``config`` asks for."""
    if config.from_images is not None:
        quiet_tensorflow()
        from nlcli.training.head_on_images import ImageFeed

        return ImageFeed(config, table, work)
    from nlcli.training.head_on_features import FeatureFeed

    return FeatureFeed(config, table, work)
