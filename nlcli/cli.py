"""The command line: a command parses its options, calls one function, and prints.

The stages' commands are made from the models of ``nlcli.config``, so that an option has its name,
its default and its help in one place. They are made when they are called for: ``nlcli --help``
imports neither the models nor anything of TensorFlow, pandas or scikit-learn.

Results go to standard output (a short table, or JSON with ``--json``), progress and messages to
standard error. Exit code 0: success; 1: a failure, reported in one sentence; 2: wrong usage.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import inspect
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from nlcli.console import print_json, print_markdown, print_pairs, say, set_quiet
from nlcli.errors import NlcliError, plain
from nlcli.interrupts import heard
from nlcli.registry import load
from nlcli.stages.commands import SOURCES, Command, StageCommand, commands

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nlcli.registry import Catalogue
    from nlcli.stages.options import Option, Shape
    from nlcli.stages.stage import StageRecord

_ABOUT = """Train good image classifiers from massive noisy labels and a small clean set.

A folder of pictures with bad labels, some of them checked, becomes cleaned labels, a classifier and a page by one
command:

**nlcli clean photos --labels labels.csv --checked checked.csv --output runs/mine**

The same in single steps: build a data set (build-folders, build-tags), cache features (extract-features), find wrong
labels (detect-noise) and mend them (clean-labels), train a head with the few clean labels you have (train-head), score
it (eval). 'nlcli run PIPELINE.yaml' runs such steps in order. Each command has an example in its own --help.
"""
_MARKUP: dict[str, Any] = {"rich_markup_mode": "markdown"}
_SETTINGS: dict[str, Any] = {
    **_MARKUP,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class Stopped(Exception):
    """Ctrl-C while a command runs."""


class _LazyGroup(TyperGroup):
    """Lists every command by name and one line, and makes the one that is called.

    Other packages' sources are looked for where a list is asked for, or a command that is not ours.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        self._add_sources()
        return super().list_commands(ctx)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # Typer would end without a word
            raise Stopped from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        others = self._add_sources() if args and args[0] not in self.commands else {}
        name, stub, rest = super().resolve_command(ctx, args)
        command = commands().get(name or "") or others.get(name or "")
        return name, stub if command is None else _made(command), rest

    def _add_sources(self) -> dict[str, StageCommand]:
        others = SOURCES.of_others()
        for name, command in others.items():
            self.commands[name] = TyperCommand(
                name, help=command.about, rich_help_panel=command.panel, rich_markup_mode="markdown"
            )
        return others


app = typer.Typer(cls=_LazyGroup, help=_ABOUT, no_args_is_help=True, add_completion=True, **_SETTINGS)


def _print_version(wanted: bool) -> None:
    if wanted:
        from nlcli.version import full_version

        print(f"nlcli {full_version()}")
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


# --- commands made from configurations -------------------------------------------------------


def _register(command: Command) -> None:
    @app.command(command.name, help=command.about, rich_help_panel=command.panel)
    def stub() -> None:  # replaced by _LazyGroup before it could be called
        raise AssertionError(command.name)


for _command in commands().values():
    _register(_command)


def _made(command: Command) -> Any:
    """The full command of a stub: its options are taken from its configuration."""
    made = typer.Typer(add_completion=False, **_SETTINGS)
    made.command(command.name, help=f"{command.about}\n\n**Example:** `{command.example}`")(_function(command))
    return typer.main.get_command(made)


def _function(command: Command) -> Callable[..., None]:
    """What Typer calls; its signature has the fields of the configuration, each as its ``Option`` states."""
    from nlcli.stages.config import options_of

    model = command.config_class()
    options = options_of(model)
    parameters = []
    if isinstance(command, StageCommand):
        force = typer.Option("--force", help="Replace a different result at the output.", rich_help_panel="Output")
        parameters.append(_parameter("force", bool, force, False))
    if isinstance(command, StageCommand) or command.tell is not None or command.json_with is not None:
        what = "the result" if command.json_with is None else f"how much was done (only with --{command.json_with})"
        as_json = typer.Option("--json", help=f"Print {what} as JSON.", rich_help_panel="Output")
        parameters.append(_parameter("json", bool, as_json, False))
    own = [parameter.name for parameter in parameters]

    def function(context: typer.Context, **given: Any) -> None:
        force, as_json = (given.pop(name, False) if name in own else False for name in ("force", "json"))
        values = {}
        for name, value in given.items():
            source = context.get_parameter_source(name)
            if source is not None and source.name != "DEFAULT":  # the configuration has defaults of its own
                values[name] = _read(value, options[name].flags(name), model.model_fields[name])
        if isinstance(command, StageCommand):
            configs = [model.parse(one, command.name) for one in _each(values, options)]
            if command.plan is not None and as_json and getattr(configs[0], "dry_run", False):
                print_json(load(command.plan)(configs[0]))
                return
            outputs = [command.run(config, force=force) for config in configs]
            made = [output for output, one in zip(outputs, configs, strict=True) if not getattr(one, "dry_run", False)]
            if made:
                _print_results(command, made, as_json)
        else:
            if as_json and command.json_with is not None and command.json_with not in values:
                other = options[command.json_with].flags(command.json_with)[0]
                raise NlcliError(f"--json means something only with {other}; pass {other}, too, or leave it out")
            result = command.call(model.parse(values, command.name))
            if as_json:
                print_json(result)
            elif command.tell is not None:
                load(command.tell)(result)

    parameters = [
        _typer_parameter(name, field, options[name]) for name, field in model.model_fields.items()
    ] + parameters
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    signature = inspect.Signature([context, *sorted(parameters, key=_place_in_help)])
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__name__ = command.python_name
    return function


def _each(values: dict[str, Any], options: dict[str, Option]) -> list[dict[str, Any]]:
    """The values of one configuration, or of one for each of an argument that may be given several times."""
    for name, option in options.items():
        if option.place == "each":
            if len(values[name]) > 1 and "output" in values:
                raise NlcliError(f"--output names one directory; leave it out when several {name}s are given")
            return [values | {name: one} for one in values[name]]
    return [values]


def _read(value: Any, flags: tuple[str, ...], field: FieldInfo) -> Any:
    """``value`` as Typer read it in the shape that the configuration takes."""
    from nlcli.stages.options import read_groups, read_pairs, shape_of

    readers = {"pairs": read_pairs, "groups": read_groups}
    reader = readers.get(shape_of(field).kind)
    return value if reader is None else reader(flags[0], value)


def _typer_parameter(name: str, field: FieldInfo, option: Option) -> inspect.Parameter:
    from nlcli.stages.options import flag_of, shape_of

    kind, default = _typer_type(field, shape_of(field), option)
    texts: dict[str, Any] = {"help": option.told(flag_of), "rich_help_panel": option.panel}
    if option.place != "option":
        return _parameter(name, kind, typer.Argument(**texts, show_default=False), default)
    if shape_of(field).kind in ("pairs", "groups"):
        texts["metavar"] = "NAME=VALUE"
    shown = default not in (..., None)
    return _parameter(name, kind, typer.Option(*option.flags(name), **texts, show_default=shown), default)


def _typer_type(field: FieldInfo, shape: Shape, option: Option) -> tuple[Any, Any]:
    """The type that Typer shall parse, and the default it shall show; ``...`` where there is none."""
    from nlcli.stages.options import default_of

    default = default_of(field)
    if shape.kind in ("pairs", "groups"):
        return list[str], ... if field.is_required() else []
    if shape.kind == "several":  # Typer has no lists of choices; the model checks them
        item = str if get_origin(shape.item) is Literal else shape.item
        return list[item], default if default is ... else list(default)  # type: ignore[valid-type]
    if option.place == "each":
        return list[shape.item], default  # type: ignore[name-defined]
    return (shape.item, ...) if default is ... else (shape.item | None, default)


def _place_in_help(parameter: inspect.Parameter) -> tuple[int, bool]:
    """Panels as ``Panel`` lists them; in each, what must be given first."""
    from nlcli.stages.options import Panel

    info = get_args(parameter.annotation)[1]
    return get_args(Panel).index(info.rich_help_panel), parameter.default is not inspect.Parameter.empty


def _parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind, info],
        default=empty if default is ... else default,
    )


def _print_results(stage: StageCommand, outputs: list[Path], as_json: bool) -> None:
    from nlcli.stages.stage import read_stage

    records = [read_stage(path) for path in outputs]
    if as_json:
        rows = [
            {"output": record.path, "stage": record.kind, **record.summary, **_details(stage, record)}
            for record in records
        ]
        print_json(rows if len(rows) > 1 else rows[0])
    elif stage.show is not None:
        load(stage.show)(outputs)
    else:
        for record in records:
            print_pairs({"output": record.path, **record.summary})
    if stage.then is not None and len(records) == 1 and not as_json:
        say(f"next: {_next_command(stage.then, records[0])}")


def _details(stage: StageCommand, record: StageRecord) -> dict[str, Any]:
    """What the tables for people tell beyond the summary."""
    from nlcli.stages.files import read_json

    file = None if stage.shown is None else record.path / stage.shown
    return {} if file is None or not file.is_file() else {"details": read_json(file)}


def _next_command(then: str, record: StageRecord) -> str:
    """The command that comes next, with the directories that it was made from and into."""
    known = {**record.config, "output": record.path}
    return shlex.join(word.format_map(known) for word in then.split())


# --- the other commands ----------------------------------------------------------------------

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    tags: Annotated[bool, typer.Option("--tags", help="Those for data with several labels an image.")] = False,
    as_json: _Json = False,
) -> None:
    """List the detectors of detect-noise, one line each with the paper; with a NAME print its card and citation.

    **Example:** `nlcli detectors cleannet`
    """
    from nlcli.detection import DETECTORS
    from nlcli.detection.tags import TAG_DETECTORS

    _print_cards(TAG_DETECTORS if tags else DETECTORS, name, as_json)


def _print_cards(catalogue: Catalogue[Any, Any], name: str | None, as_json: bool) -> None:
    if name is not None:
        card = catalogue.describe(name)
        if as_json:
            print_json(card)
        else:
            print_markdown(card["card"])
            print(card["citation"])
    elif as_json:
        print_json(catalogue.listing())
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
    from nlcli.stages.addresses import refuse_address
    from nlcli.stages.pipeline import read_pipeline, reports, run_pipeline, selected

    refuse_address(pipeline, "pipeline", path=True)
    plan = read_pipeline(pipeline, workdir, scale=scale, limit=limit, rounds=rounds)
    if dry_run:
        for step in selected(plan, tuple(only or ())):
            print(f"{step.name}: {step.stage.name} -> {step.output}")
        return
    results = run_pipeline(plan, only=tuple(only or ()), force=force, jobs=jobs)
    if as_json:
        print_json(results)
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
    from nlcli.stages.addresses import refuse_address
    from nlcli.stages.lineage import describe_path, print_lineage

    refuse_address(path, "path", path=True)
    description = describe_path(path)
    if as_json:
        print_json(description)
    else:
        print_lineage(description)


_STOPPED = 130


def main() -> None:
    """Entry point: every failure that a user can mend is one sentence and exit code 1."""
    try:
        _run_command()
    except (Stopped, KeyboardInterrupt):  # also one that comes while another failure is told
        heard()
        say("nlcli: stopped; the same command continues where it was")
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        _end_workers()
        atexit._run_exitfuncs()  # what worker processes share is given back
        os._exit(_STOPPED)  # an interrupt that met code made from text would have Python end by the signal after all


def _end_workers() -> None:
    """End the processes that this one started: an interrupt of it alone does not reach them, but waits for them."""
    if "multiprocessing" in sys.modules:
        for worker in sys.modules["multiprocessing"].active_children():
            worker.terminate()


def _run_command() -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):  # closed by ``>&-``: what is said goes nowhere
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names of any script, in any locale
    try:
        try:
            app()
        except SystemExit as ended:  # what cannot be written must be known before the interpreter ends
            if ended.code == _STOPPED:  # an interrupt while options were read: Typer ends without a word
                raise Stopped from None
            sys.stdout.flush()
            raise
    except NlcliError as error:
        _fail(str(error))
    except BrokenPipeError:  # such as `nlcli ... | head`
        _fail(None)
    except OSError as error:
        _fail(_told(error))
    except MemoryError:
        _fail("there is not enough memory; try a smaller --memory or --batch-size")


def _told(error: OSError) -> str:
    if error.filename is not None:
        return f"{error.filename}: {error.strerror or error}"
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the working directory was removed; change into another one (cd) and run the command again"
    where = "cannot write to standard output: " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else ""
    return f"{where}{error.strerror or error}"


def _fail(sentence: str | None) -> NoReturn:
    """Print the sentence and exit with 1, standard output being closed or full or not."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if sentence is not None:
        print(f"nlcli: {plain(sentence)}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
