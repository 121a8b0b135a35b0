"""The house stands as docs/architecture.md says: imports run one way, and importing does nothing.

Everything is read from the sources: an import inside a function and one for types alone count like any other,
but for circles, which only imports that run can close.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nlcli"

COLUMN = (
    "cli",
    "pile",
    "estimators",
    "tracking",
    "tuning",
    "reporting",
    "exporting",
    "evaluation",
    "cleaning",
    "answers",
    "suggestion",
    "detection",
    "training",
    "methods",
    "data",
    "networks",
    "estimation",
    "metrics",
    "stages",
    "base",
)
"""The rooms, the highest first; a room imports only from those behind it."""
BASE = frozenset({"errors", "console", "interrupts", "runtime", "version", "seeds", "drawing", "fonts", "registry"})
"""The files beside the packages, all but the command line and the functions of the package itself."""
INNER = {
    "evaluation": ("comparison", "."),
    "detection": ("detectors", ".", "tags"),
    "training": (".", "loop"),
    "methods": (".", "base"),
    "data": ("derived", "exports", "sources", "features", "."),
}
"""The folders of a room in the same way; ``.`` are the files that stand in the room itself."""
CATALOGUES = ("nlcli.data.sources", "nlcli.detection.detectors", "nlcli.detection.tags.detectors", "nlcli.methods")
HEAVY = ("tensorflow", "keras")


@dataclass(frozen=True)
class Import:
    """An import of one of our modules, or of a library."""

    module: str
    target: str
    name: str
    kind: str  # "top", "lazy" or "types"
    line: int


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by name."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def _is_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Every import statement of ``module``, wherever it stands."""
    kinds = {}
    for node in tree(module).body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                in_function = not isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Try)
                kinds[inner] = "lazy" if in_function else "types" if _is_types(node) else "top"
    for node in ast.walk(tree(module)):  # types for one function or class alone
        if isinstance(node, ast.If) and _is_types(node):
            kinds |= {
                inner: "types"
                for part in node.body
                for inner in ast.walk(part)
                if isinstance(inner, ast.Import | ast.ImportFrom)
            }

    def targets() -> Iterator[Import]:
        for node, kind in kinds.items():
            for alias in node.names:
                if isinstance(node, ast.Import):
                    yield Import(module, alias.name, "", kind, node.lineno)
                else:
                    assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
                    whole = f"{node.module}.{alias.name}"
                    of_module = whole in modules()
                    yield Import(
                        module, whole if of_module else node.module, "" if of_module else alias.name, kind, node.lineno
                    )

    return tuple(targets())


def room(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 1 or parts[1] in ("cli", "__main__", "interface"):
        return "cli"
    return "base" if parts[1] in BASE else parts[1]


def inner(module: str) -> str:
    """The folder inside its room in which a module stands."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 and (len(parts) > 3 or modules()[module].name == "__init__.py") else "."


def test_every_module_stands_in_a_room() -> None:
    strangers = {room(module) for module in modules()} - set(COLUMN)
    assert not strangers, f"not in the column: {strangers}"


def test_imports_run_down_the_column() -> None:
    order = {name: place for place, name in enumerate(COLUMN)}
    upward = [
        f"{entry.module}:{entry.line} imports {entry.target}"
        for module in modules()
        for entry in imports(module)
        if entry.target.startswith("nlcli.") and order[room(entry.target)] < order[room(module)]
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("name", INNER)
def test_imports_run_one_way_inside_a_room(name: str) -> None:
    order = {folder: place for place, folder in enumerate(INNER[name])}
    upward = [
        f"{entry.module}:{entry.line} imports {entry.target}"
        for module in modules()
        if room(module) == name
        for entry in imports(module)
        if entry.target in modules()
        and room(entry.target) == name
        and order[inner(entry.target)] < order[inner(module)]
    ]
    assert not upward, "\n".join(upward)


def test_what_is_catalogued_knows_its_base_alone() -> None:
    """A method, a detector, a source never imports another one: each can be read, and taken out, by itself."""
    catalogued = {
        package: {m for m in modules() if m.rpartition(".")[0] == package and modules()[m].name != "__init__.py"}
        for package in CATALOGUES
    }
    from nlcli.detection import DETECTORS
    from nlcli.detection.tags import TAG_DETECTORS
    from nlcli.methods import METHODS
    from nlcli.stages.commands import STAGES

    references = [
        *(METHODS.reference(name) for name in METHODS.names()),
        *(DETECTORS.reference(name) for name in DETECTORS.names()),
        *(TAG_DETECTORS.reference(name) for name in TAG_DETECTORS.names()),
        *(stage.function for stage in STAGES.values()),
    ]
    entries = {reference.partition(":")[0] for reference in references}
    crossing = [
        f"{entry.module}:{entry.line} imports {entry.target}"
        for package, members in catalogued.items()
        for module in members & entries
        for entry in imports(module)
        if entry.target in members & entries and entry.target != module
    ]
    assert all(members & entries for members in catalogued.values()), "the catalogues moved"
    assert not crossing, "\n".join(crossing)


def test_there_is_no_circle() -> None:
    graph = {
        module: {e.target for e in imports(module) if e.target in modules() and e.kind != "types"} - {module}
        for module in modules()
    }
    state: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, " -> ".join((*path[path.index(module) :], module))
        state[module] = 1
        for target in sorted(graph[module]):
            visit(target, (*path, module))
        state[module] = 2

    for module in graph:
        visit(module, ())


def test_nothing_private_crosses_from_module_to_module() -> None:
    private = [
        f"{entry.module}:{entry.line} imports {entry.name} of {entry.target}"
        for module in modules()
        for entry in imports(module)
        if entry.name.startswith("_") and not entry.name.startswith("__") and entry.target.startswith("nlcli")
    ]
    assert not private, "\n".join(private)


_ENDINGS = frozenset(
    [
        "e",
        "s",
        "es",
        "ed",
        "er",
        "ers",
        "or",
        "ors",
        "ing",
        "ings",
        "ion",
        "ions",
        "ate",
        "ates",
        "ation",
        "ations",
        "ison",
        "isons",
        "are",
        "y",
        "ies",
        "yse",
        "ysis",
        "yses",
    ]
) | {""}


def differ_by_an_ending(one: str, other: str) -> bool:
    """``analyse`` and ``analysis``: a common beginning, and nothing but an ending behind it on either side."""
    if one == other:
        return False
    begins = range(4, min(len(one), len(other)) + 1)
    return any(one[:n] == other[:n] and {one[n:], other[n:]} <= _ENDINGS for n in begins)


def test_no_two_modules_differ_by_an_ending() -> None:
    leaves = sorted({m.rpartition(".")[2] for m, path in modules().items() if path.name != "__init__.py"})
    alike = [pair for pair in itertools.combinations(leaves, 2) if differ_by_an_ending(*pair)]
    assert not alike, alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("analyse", "analysis"),
        ("evaluate", "evaluations"),
        ("detect", "detectors"),
        ("compare", "comparison"),
        ("lists", "listing"),
    ],
)
def test_endings(one: str, other: str) -> None:
    assert differ_by_an_ending(one, other)
    assert differ_by_an_ending(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("noise", "noisy_labels"), ("images", "image_files"), ("clean", "cleannet")]
)
def test_other_names(one: str, other: str) -> None:
    assert not differ_by_an_ending(one, other)


# --- importing does nothing ------------------------------------------------------------------


def _does_something(node: ast.stmt) -> bool:
    """Whether a statement of a module's own level is more than a definition."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return not _is_types(node) and not (isinstance(node.test, ast.Compare) and "__name__" in ast.unparse(node.test))
    return isinstance(node, ast.For | ast.While | ast.With | ast.Try | ast.Delete)


def test_modules_define_and_do_nothing_else() -> None:
    doing = [
        f"{module}:{node.lineno}: {ast.unparse(node).splitlines()[0]}"
        for module in modules()
        if room(module) != "cli"  # the commands are registered where they are defined
        for node in tree(module).body
        if _does_something(node)
    ]
    assert not doing, "\n".join(doing)


@cache
def heavy_modules() -> frozenset[str]:
    """Modules whose import brings TensorFlow with it."""
    graph = {m: {e.target for e in imports(m) if e.kind == "top"} for m in modules()}
    heavy = {m for m, targets in graph.items() if any(t.partition(".")[0] in HEAVY for t in targets)}
    while more := {m for m, targets in graph.items() if targets & heavy} - heavy:
        heavy |= more
    return frozenset(heavy)


def test_what_needs_no_network_imports_none() -> None:
    """Neither a module nor what it imports brings TensorFlow in; what opens a network does so in a function."""
    light = (
        "nlcli.report.",
        "nlcli.data.",
        "nlcli.metrics.",
        "nlcli.stages.",
        "nlcli.evaluation.",
        "nlcli.methods.",
        "nlcli.cli",
    )
    wrong = sorted(m for m in heavy_modules() if m.startswith(light) and not m.startswith("nlcli.methods.base.layers"))
    assert not wrong, wrong


_WATCHED = """
import os, sys, warnings
from PIL import Image
def state():
    return (list(warnings.filters), dict(os.environ), sorted(Image.ID), Image.MAX_IMAGE_PIXELS, sorted(os.listdir("/proc/self/fd")))
import numpy, pandas, pyarrow.parquet, h5py, scipy.sparse, pydantic, sklearn.base, yaml
before = state()
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
    for part, was, now in zip(("warnings", "environment", "plug-ins", "pixels", "files"), before, state()):
        assert was == now, f"{name} changes {part}"
    assert not {"tensorflow", "keras"} & set(sys.modules), name
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files are listed by /proc")
def test_importing_changes_nothing() -> None:
    light = [m for m in modules() if m not in heavy_modules() and not m.endswith("__main__")]
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, *light], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-1000:]


def _calls_quiet(module: ast.AST) -> bool:
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func).endswith("quiet_tensorflow") for call in calls)


def test_stages_silence_tensorflow_before_they_import_it() -> None:
    """A stage's module that brings a heavy one in, in a function, is one that silences TensorFlow's start."""
    from nlcli.stages.commands import STAGES

    loud = []
    for module in sorted({stage.function.partition(":")[0] for stage in STAGES.values()}):
        targets = {e.target for e in imports(module) if e.kind == "lazy"}
        brings = any(target in heavy_modules() or target.partition(".")[0] in HEAVY for target in targets)
        if brings and module not in heavy_modules() and not _calls_quiet(tree(module)):
            loud.append(module)
    assert not loud, loud


def test_graphs_are_made_in_one_place() -> None:
    """``tf.function`` by itself rewrites what it traces, which takes longer than tracing it."""
    asked = {name for name, path in modules().items() if re.search(r"\btf\.function\(|@tf\.function", path.read_text())}
    assert asked == {"nlcli.networks.graph"}
