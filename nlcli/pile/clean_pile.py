"""The whole way: write the pipeline of a pile, run it, and say in five lines what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlcli.console import say
from nlcli.data.labels import Task
from nlcli.errors import NlcliError, plain
from nlcli.pile.before import is_ours, read_before
from nlcli.pile.config import CleanPile
from nlcli.pile.label_kind import label_kind
from nlcli.pile.pipeline import is_measured, stages_again, stages_of, write_pipeline
from nlcli.pile.places import CLASSIFIER, DETECTION, PAGE, QUEUE, absolute
from nlcli.reporting.facts import print_facts
from nlcli.stages.pipeline import read_pipeline, run_pipeline
from nlcli.stages.stage import read_stage
from nlcli.suggestion.queue_files import ANSWERS

_NEXT = {"answered": "Clean again with what you filled in", "predict": "Label other pictures"}
_OF_NETWORKS = ("backbone", "weights", "image_size", "pretrain_steps", "duplicates")


def clean(config: CleanPile) -> dict[str, Any]:
    """Clean a pile of pictures; what was made, by name, and the facts of its page.

    Writes ``pipeline.yaml`` into the output and runs it there: a killed run is taken up by the same command, and a
    pipeline that somebody changed is run by ``nlcli run``.

    Raises:
        NlcliError: the labels can be read in two ways, the pipeline was changed by hand, or a stage failed.
    """
    _check_outputs(config)
    if config.answers:
        stages = stages_again(config, read_before(config))
    else:
        _refuse_ours(config)
        _check_inputs(config)
        stages = stages_of(config, _task(config))
    pipeline = write_pipeline(config, stages)
    plan = read_pipeline(pipeline)
    if config.plan_only:
        return {
            "pipeline": str(pipeline),
            "stages": {step.name: f"{step.stage.name} -> {step.output}" for step in plan.steps},
        }
    if not config.answers and not is_measured(config):
        say("no checked images: which labels look wrong can be told, how sure that is cannot; --checked takes a table")
    made = run_pipeline(plan, force=config.force, jobs=config.jobs)
    facts = read_stage(absolute(config.output) / PAGE).summary["facts"]
    return {"pipeline": str(pipeline), **made, "facts": facts, "next": _next_commands(config)}


def show_cleaned(result: Mapping[str, Any]) -> None:
    """Print five lines on what came of it, and where it lies; or what would be done."""
    for name, told in result.get("stages", {}).items():
        print(f"{name}: {told}")
    if "facts" in result:
        folder = Path(result["pipeline"]).parent  # as it was given; what stages made is told from the root
        print_facts(result["facts"], folder)
        print(plain(f"The page: {folder / PAGE}"))
        for name, command in result["next"].items():
            print(plain(f"{_NEXT[name]}: {command}"))
    print(plain(f"What is done, to change and run again: {shlex.join(['nlcli', 'run', result['pipeline']])}"))


def _next_commands(config: CleanPile) -> dict[str, str]:
    """What people do next: the command by name."""
    folder = config.output
    answers, again = str(folder / QUEUE / ANSWERS), str(_after(config))
    if config.answers or is_measured(config):
        words = ["nlcli", "clean", str(folder), "--answers", answers]
    else:  # checked images are drawn into validation and test where a data set is built
        words = ["nlcli", "clean", str(config.photos), *_given(config), "--checked", answers]
    commands = {"answered": shlex.join([*words, "--output", again])}
    if "backbone" in read_stage(_features_of(config)).config:
        words = ["nlcli", "predict", "PICTURES", "--run", str(folder / CLASSIFIER)]
        commands["predict"] = shlex.join(words)
    return commands


def _after(config: CleanPile) -> Path:
    """Where the next round may lie: ``runs/mine-2`` after ``runs/mine``, then ``runs/mine-3``."""
    name, dash, number = config.output.name.rpartition("-")
    if config.answers and dash and number.isdecimal():
        return config.output.with_name(f"{name}-{int(number) + 1}")
    return config.output.with_name(f"{config.output.name}-2")


def _features_of(config: CleanPile) -> Path:
    detection = read_stage(absolute(config.output) / DETECTION)
    return detection.input_path("features") or detection.path


def _given(config: CleanPile) -> list[str]:
    """Options of a pile that nobody checked, as they were given."""
    words = []
    for name in ("labels", "task", "verified_means", "class_names", "features", "keys", *_OF_NETWORKS):
        value = getattr(config, name)
        if value != CleanPile.model_fields[name].default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _task(config: CleanPile) -> Task:
    if config.labels is None:
        if config.task == "multi-label":
            raise NlcliError("several labels an image stand in a table; give it as --labels")
        return "single-label"
    if config.task != "auto":
        return config.task
    task, why = label_kind(config.labels)
    say(f"{config.labels}: {'one label' if task == 'single-label' else 'several labels'} an image, because {why}")
    return task


def _refuse_ours(config: CleanPile) -> None:
    """Refuse directories of ours: their plots would be taken for pictures."""
    if is_ours(config.photos):
        raise NlcliError(
            f"{config.photos} was made by nlcli and is no folder of pictures; give that, or clean again what nlcli "
            "clean made, with the answers of people as --answers"
        )


def _check_outputs(config: CleanPile) -> None:
    """Refuse to write among the pictures: they would be taken for some of them."""
    output, photos = absolute(config.output).resolve(), absolute(config.photos).resolve()
    if output == photos or photos in output.parents:
        raise NlcliError(f"--output {config.output} lies in the folder of the pictures; choose one outside of {photos}")
    if photos.is_file():
        raise NlcliError(
            f"{config.photos} is a file; give the folder of the pictures, and tables as --labels and --checked"
        )
    if not photos.is_dir():
        raise NlcliError(f"{config.photos} does not exist; give the folder of the pictures")


def _check_inputs(config: CleanPile) -> None:
    """Refuse at once what only a later stage would read, perhaps after an hour."""
    named = {"labels": config.labels, "checked": config.checked, "features": config.features, "keys": config.keys}
    for name, path in named.items():
        if path is not None and not path.exists():
            raise NlcliError(f"--{name}: {path} does not exist")
    if config.features is None and config.weights not in ("imagenet", "none") and not Path(config.weights).exists():
        raise NlcliError(
            f"--weights: there is no file {config.weights}; pass 'imagenet', 'none', or the path of a weights file"
        )
