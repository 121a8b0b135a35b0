"""The whole way: write the pipeline of a pile, run it, and say in five lines what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlcli.console import say
from nlcli.data.labels import Task
from nlcli.errors import NlcliError, plain
from nlcli.pile.config import CleanPile
from nlcli.pile.label_kind import label_kind
from nlcli.pile.pipeline import PAGE, absolute, is_measured, write_pipeline
from nlcli.reporting.facts import print_facts
from nlcli.stages.pipeline import read_pipeline, run_pipeline
from nlcli.stages.stage import read_stage


def clean(config: CleanPile) -> dict[str, Any]:
    """Clean a pile of pictures; what was made, by name, and the facts of its page.

    Writes ``pipeline.yaml`` into the output and runs it there: a killed run is taken up by the same command, and a
    pipeline that somebody changed is run by ``nlcli run``.

    Raises:
        NlcliError: the labels can be read in two ways, the pipeline was changed by hand, or a stage failed.
    """
    task = _task(config)
    _check_outputs(config)
    pipeline = write_pipeline(config, task)
    plan = read_pipeline(pipeline)
    if config.plan_only:
        return {
            "pipeline": str(pipeline),
            "stages": {step.name: f"{step.stage.name} -> {step.output}" for step in plan.steps},
        }
    if not is_measured(config):
        say("no checked images: which labels look wrong can be told, how sure that is cannot; --checked takes a table")
    made = run_pipeline(plan, force=config.force, jobs=config.jobs)
    facts = read_stage(absolute(config.output) / PAGE).summary["facts"]
    return {"pipeline": str(pipeline), **made, "facts": facts}


def show_cleaned(result: Mapping[str, Any]) -> None:
    """Print five lines on what came of it, and where it lies; or what would be done."""
    for name, told in result.get("stages", {}).items():
        print(f"{name}: {told}")
    if "facts" in result:
        print_facts(result["facts"], Path(result["page"]).parent)
        print(plain(f"The page: {result['page']}"))
    print(plain(f"What is done, to change and run again: nlcli run {result['pipeline']}"))


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


def _check_outputs(config: CleanPile) -> None:
    """Refuse to write among the pictures: they would be taken for some of them."""
    output, photos = absolute(config.output).resolve(), absolute(config.photos).resolve()
    if output == photos or photos in output.parents:
        raise NlcliError(f"--output {config.output} lies in the folder of the pictures; choose one outside of {photos}")
    if not photos.is_dir():
        raise NlcliError(f"{config.photos} does not exist; give the folder of the pictures")
