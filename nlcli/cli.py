"""The command line: a command parses its options, calls one function, and prints.

The stages' commands are made from the models of ``nlcli.config``, so that an option has its name,
its default and its help in one place. They are made when they are called for: ``nlcli --help``
imports neither the models nor anything of TensorFlow, pandas or scikit-learn.

Results go to standard output (a short table, or JSON with ``--json``), progress and messages to
standard error. Exit code 0: success; 1: a failure, reported in one sentence; 2: wrong usage.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperGroup

from nlcli.console import print_markdown, print_pairs, say, set_quiet
from nlcli.errors import NlcliError
from nlcli.stages.commands import STAGES, StageCommand, load

if TYPE_CHECKING:
    from nlcli.registry import Catalogue

_ABOUT = """Train good image classifiers from massive noisy labels and a small clean set.

The usual way: build a data set (build-coco), fine-tune a backbone on its noisy labels (pretrain-backbone),
cache features (extract-features), train a head with the few clean labels you have (train-head), score it (eval).
'nlcli run pipelines/demo.yaml' does all of it on an embedded data set in minutes.
"""


class _LazyGroup(TyperGroup):
    """Lists every command by name and one line, and makes the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in STAGES:
            command = _made(
                name, f"{STAGES[name].about}\n\n**Example:** `{STAGES[name].example}`", _runner(STAGES[name])
            )
        elif name == "predict":
            command = _made(name, _PREDICT, _predictor())
        return name, command, rest


app = typer.Typer(
    cls=_LazyGroup,
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from nlcli import __version__

        print(f"nlcli {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no messages on standard error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    set_quiet(quiet)


# --- stages ----------------------------------------------------------------------------------


def _register(stage: StageCommand) -> None:
    @app.command(stage.name, help=stage.about, rich_help_panel="Stages")
    def stub() -> None:  # replaced by _LazyGroup before it could be called
        raise AssertionError(stage.name)


for _stage in STAGES.values():
    _register(_stage)


def _made(name: str, about: str, function: Callable[..., None]) -> Any:
    """The full command of a stub: its options are taken from a configuration model."""
    made = typer.Typer(
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.command(name, help=about)(function)
    return typer.main.get_command(made)


def _runner(stage: StageCommand) -> Callable[..., None]:
    model = stage.config_class()
    several = _POSITIONAL.get(stage.name)

    def run(**given: Any) -> None:
        force, as_json = given.pop("force"), given.pop("json")
        values = {name: value for name, value in given.items() if value is not None and value != []}
        if "options" in values:
            values["options"] = _assignments(values["options"])
        if "rows" in values:
            values["rows"] = _rows(values["rows"])
        chosen = [values]
        if several is not None and not _is_sequence(model, several):  # the stage runs once for each
            chosen = [values | {several: target} for target in values[several]]
            if len(chosen) > 1 and "output" in values:
                raise NlcliError("--output names one directory; leave it out when several models are given")
        outputs = [stage.run(model.parse(one, stage.name), force=force) for one in chosen]
        _print_results(stage, outputs, as_json)

    force = typer.Option("--force", help="Replace a different result at the output.")
    as_json = typer.Option("--json", help="Print the result as JSON.")
    more = [_parameter("force", Annotated[bool, force], False), _parameter("json", Annotated[bool, as_json], False)]
    return _with_options(run, stage.name, model, several, list[Path], more)


def _with_options(
    function: Callable[..., None],
    name: str,
    model: Any,
    positional: str | None,
    positional_type: Any,
    more: list[inspect.Parameter],
) -> Callable[..., None]:
    """``function`` with a signature from the fields of ``model``, one of them an argument, and ``more``."""
    parameters = []
    for field_name, field in model.model_fields.items():
        kind, default = _option_type(field_name, field)
        if field_name == positional:
            annotation: Any = Annotated[positional_type, typer.Argument(help=field.description, show_default=False)]
            parameters.append(_parameter(field_name, annotation, ...))
            continue
        flags = [_flag(field_name), *_SHORT.get(field_name, [])]
        shown = not field.is_required() and field.default is not None
        option = typer.Option(*flags, help=field.description, show_default=shown)
        parameters.append(_parameter(field_name, Annotated[kind, option], default))
    parameters += more
    # required options first: a signature may not have them behind those with a default
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__name__ = name.replace("-", "_")
    return function


_POSITIONAL = {"eval": "model", "compare": "evaluations", "analyse": "evaluations"}
_SHORT = {"output": ["-o"], "options": []}
_FLAGS = {"options": "--set", "rows": "--row"}


def _flag(name: str) -> str:
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=empty if default is ... else default
    )


def _is_sequence(model: Any, name: str) -> bool:
    return get_origin(model.model_fields[name].annotation) is tuple


def _option_type(name: str, field: Any) -> tuple[Any, Any]:
    """The type Typer shall parse for a field, and the default it shall show."""
    kind = field.annotation
    if get_origin(kind) is dict:
        return list[str], ... if field.is_required() else []
    if get_origin(kind) is Union or type(None) in get_args(kind):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if get_origin(inner) is Literal:  # Typer has no lists of choices; the model checks them
            inner = str
        return list[inner], ... if field.is_required() else list(field.default)  # type: ignore[valid-type]
    if get_origin(kind) is Literal or kind in (int, float, bool, str, Path):
        return (kind, ...) if field.is_required() else (kind | None, field.default)
    raise TypeError(f"no command-line type for {name}: {field.annotation}")


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """``["alpha=0.2", "activation=tanh"]`` -> a dictionary; values are read as YAML."""
    import yaml

    found = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise NlcliError(f"--set {pair}: expected NAME=VALUE, such as --set alpha=0.2")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise NlcliError(f"--set {pair}: the value cannot be read") from error
    return found


def _rows(pairs: list[str]) -> dict[str, list[str]]:
    """``["A=runs/a", "A=runs/b"]`` -> ``{"A": ["runs/a", "runs/b"]}``."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        name, sign, directory = pair.rpartition("=")
        if not sign or not name or not directory:
            raise NlcliError(f"--row {pair}: expected NAME=DIRECTORY, such as --row 'Proposed=runs/a-test'")
        found.setdefault(name, []).append(directory)
    return found


def _print_results(stage: StageCommand, outputs: list[Path], as_json: bool) -> None:
    from nlcli.stages.stage import read_stage

    records = [read_stage(path) for path in outputs]
    if as_json:
        rows = [{"output": str(record.path), "stage": record.kind, **record.summary} for record in records]
        print(json.dumps(rows if len(rows) > 1 else rows[0], indent=2, default=str))
    elif stage.show is not None:
        load(stage.show)(outputs)
    else:
        for record in records:
            print_pairs({"output": record.path, **record.summary})


# --- the other commands ----------------------------------------------------------------------

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


_PREDICT = """Score a file or a folder of images with a trained head and its backbone.

**Example:** `nlcli predict photos/ --run runs/residual --format csv -o scores.csv`
"""


@app.command("predict", help=_PREDICT.splitlines()[0], rich_help_panel="Use")
def _predict() -> None:  # replaced by _LazyGroup before it could be called
    raise AssertionError


def _predictor() -> Callable[..., None]:
    from nlcli.evaluation.config import Predict

    def run(**given: Any) -> None:
        from nlcli.evaluation.predict import predict as score_images

        score_images(Predict.parse({name: value for name, value in given.items() if value is not None}, "predict"))

    return _with_options(run, "predict", Predict, "images", Path, [])


@app.command(rich_help_panel="Use")
def methods(
    name: Annotated[str | None, typer.Argument(help="Method whose card is printed.", show_default=False)] = None,
    as_json: _Json = False,
) -> None:
    """List the methods, one line each with the paper; with a NAME print its card and citation.

    **Example:** `nlcli methods residual`
    """
    from nlcli.methods import METHODS

    _print_cards(METHODS, name, as_json)


@app.command(rich_help_panel="Use")
def detectors(
    name: Annotated[str | None, typer.Argument(help="Detector whose card is printed.", show_default=False)] = None,
    as_json: _Json = False,
) -> None:
    """List the detectors of detect-noise, one line each with the paper; with a NAME print its card and citation.

    **Example:** `nlcli detectors cleannet`
    """
    from nlcli.detection import DETECTORS

    _print_cards(DETECTORS, name, as_json)


def _print_cards(catalogue: Catalogue[Any, Any], name: str | None, as_json: bool) -> None:
    if name is not None:
        card = catalogue.describe(name)
        if as_json:
            print(json.dumps(card, indent=2))
        else:
            print_markdown(card["card"])
            print(card["citation"])
    elif as_json:
        print(json.dumps(catalogue.listing(), indent=2))
    else:
        rows = catalogue.listing()
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            print(f"{row['name']:<{width}}  {row['title']} ({row['paper']})")


@app.command(rich_help_panel="Use")
def run(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline file (YAML).", show_default=False)],
    workdir: Annotated[
        Path | None, typer.Option(help="Where the stages' directories go, instead of the file's own.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run just these stages and what they need.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace results made with other settings.")] = False,
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes for stages that do not need each other (0: by the machine).")
    ] = 0,
    scale: Annotated[
        float | None, typer.Option(min=0, help="Factor on all training steps: a rehearsal, in a directory of its own.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most images of every data set: a rehearsal, in a directory of its own.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of alternating training, instead of the file's own number.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the stages without running them.")] = False,
    as_json: _Json = False,
) -> None:
    """Run the stages of a pipeline file in order; finished ones are skipped, a killed one is resumed.

    **Example:** `nlcli run pipelines/demo.yaml`
    """
    from nlcli.stages.pipeline import read_pipeline, reports, run_pipeline, selected

    plan = read_pipeline(pipeline, workdir, scale=scale, limit=limit, rounds=rounds)
    if dry_run:
        for step in selected(plan, tuple(only or ())):
            print(f"{step.name}: {step.stage.name} -> {step.output}")
        return
    results = run_pipeline(plan, only=tuple(only or ()), force=force, jobs=jobs)
    if as_json:
        print(json.dumps(results, indent=2))
        return
    for number, step in enumerate(reports(plan, results)):
        if number:
            print()
        _print_results(step.stage, [step.output], as_json=False)


@app.command(rich_help_panel="Use")
def info(
    path: Annotated[Path, typer.Argument(help="Directory made by nlcli.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Tell what a directory is, what made it, and from what.

    **Example:** `nlcli info runs/residual`
    """
    from nlcli.stages.lineage import describe_path, print_lineage

    found = describe_path(path)
    if as_json:
        print(json.dumps(found, indent=2, default=str))
    else:
        print_lineage(found)


def main() -> None:
    """Entry point: every failure that a user can mend is one sentence and exit code 1."""
    try:
        app()
    except NlcliError as error:
        print(f"nlcli: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        say("nlcli: stopped; the same command continues where it was")
        sys.exit(130)
    except BrokenPipeError:  # such as `nlcli ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
