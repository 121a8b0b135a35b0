"""docs/add-your-own.md as it stands: its files are installed, its commands run, its tests pass."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import nlcli
from benchmarks._features import write_features
from nlcli.cli import app
from nlcli.data.detection_files import read_detection
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import single_label_table
from nlcli.errors import NlcliError
from nlcli.evaluation.metrics_file import read_metrics
from nlcli.methods import METHODS
from nlcli.stages.stage import read_stage
from worlds.packages import installed
from worlds.stage_builders import published

PAGE = (Path(__file__).parents[1] / "docs" / "add-your-own.md").read_text(encoding="utf-8")
FILES = {
    match["path"]: match["text"]
    for match in re.finditer(
        r"^\*\*`(?P<path>[^`]+)`\*\*\n\n```\w+\n(?P<text>.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
}
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").removeprefix("$ ").split("\n$ ")
]
SHORT = {"train-head": ["--steps", "60", "--learning-rate", "0.01"], "detect-noise": ["--suspects", "0"]}


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's package, installed while this module's tests run."""
    site = tmp_path_factory.mktemp("site")
    points = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    installed(site, "nlcli-mine", points, {p: text for p, text in FILES.items() if p != "pyproject.toml"})
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    yield site
    sys.path.remove(str(site))
    for module in [m for m in sys.modules if m.partition(".")[0] in ("mine", "test_mine")]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/photos``, ``runs/features`` and ``photos``, where the page's commands can run.

    Three classes of 240 images; a quarter of the noisy labels of train are wrong.
    """
    root, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    true = np.arange(240) % 3
    split = np.repeat([0, 1, 2], [150, 45, 45])
    noisy = np.where((split == 0) & (rng.random(240) < 0.25), (true + 1) % 3, true)
    known = np.where((split > 0) | (rng.random(240) < 0.3), true, -1)
    features = (rng.normal(size=(3, 8))[true] + 0.3 * rng.normal(size=(240, 8))).astype(np.float32)
    keys = [f"photo {i:03d}" for i in range(240)]
    table = single_label_table(("ant", "bee", "cat"), keys, keys, root / "photos", split, noisy, known)
    fingerprint = read_dataset(published(table, root / "data" / "photos")).fingerprint
    write_features(root / "runs" / "features", keys, features, fingerprint)
    (root / "photos").mkdir()
    for i in range(20):
        (root / "photos" / f"{'cat' if i % 2 else 'dog'}_{i:04d}.jpg").touch()
    return root


def run(words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(place)
    result = CliRunner().invoke(app, [*words, *SHORT.get(words[0], [])], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_page_holds_whole_files_and_the_method_has_40_lines() -> None:
    shown = re.search(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert set(FILES) == set(re.findall(r"^  (\S+)", shown[1], re.MULTILINE))
    assert len(FILES["mine/bootstrapping.py"].splitlines()) <= 40
    assert FILES["mine/cards/bootstrapping.md"].startswith("# `bootstrapping`: ")


def test_commands_run_as_the_page_gives_them(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert COMMANDS.pop(0)[0] == "install"
    told = [run(words, place, monkeypatch) for words in COMMANDS]
    names = [words[0] for words in COMMANDS]
    assert names == ["methods", "train-head", "eval", "detectors", "detect-noise", "build-prefixed"]
    assert "a linear classifier that may doubt the noisy labels (Reed 2015)" in " ".join(told[0].split())
    assert "@article{reed2015training" in told[0]
    assert "Cosine to the mean of the own class" in told[3]

    recorded = json.loads((place / "runs" / "bootstrapping" / "config.json").read_text())
    assert recorded["method_config"]["trust"] == 0.9
    metrics = read_metrics(read_stage(place / "runs" / "bootstrapping-test")).metrics
    assert metrics["top_1"].value > 0.95
    rates = read_detection(place / "runs" / "means").info.errors.all
    assert rates is not None
    assert rates.images == 90  # 45 of validation and 45 of test
    table = read_dataset(place / "data" / "prefixed")
    assert table.classes == ("cat", "dog")
    assert table.keys.tolist() == sorted(path.name for path in (place / "photos").iterdir())
    assert [table.classes[c] for c in table.noisy.indices] == [key[:3] for key in table.keys]


def test_they_are_listed_beside_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = run(["methods"], place, monkeypatch).splitlines()
    assert listed[-1].split(maxsplit=1) == [
        "bootstrapping",
        "a linear classifier that may doubt the noisy labels (Reed 2015)",
    ]
    listed = run(["detectors"], place, monkeypatch).splitlines()
    assert listed[-1].split(maxsplit=1) == [
        "class-means",
        "Cosine to the mean of the own class, less that to the most similar other class (package nlcli-mine)",
    ]
    assert "build-prefixed" in run(["--help"], place, monkeypatch)


def test_the_source_is_a_function_of_the_python_interface(place: Path, tmp_path: Path) -> None:
    made = nlcli.build_prefixed(images=place / "photos", validation=0.5, output=tmp_path / "made")
    split = read_dataset(made).split
    assert np.array_equal(split, np.random.default_rng(0).random(20) < 0.5)
    with pytest.raises(NlcliError, match=r"holds no image called CLASS_ANYTHING\.jpg"):
        nlcli.build_prefixed(images=tmp_path, output=tmp_path / "nothing")
    with pytest.raises(AttributeError, match=r"unknown name 'build_prefixd'; did you mean 'build_prefixed'\?"):
        nlcli.build_prefixd  # noqa: B018 - looking it up is the point


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", FILES["test_mine.py"], re.MULTILINE))
def test_its_tests_pass(name: str) -> None:
    getattr(importlib.import_module("test_mine"), name)()


def test_the_notebook_registers_and_trains(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = re.findall(r"^```python\n(import nlcli\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[-1]
    monkeypatch.chdir(place)
    monkeypatch.setattr(METHODS, "_registered", {})  # other tests of this process know ours alone
    script = script.replace('method="trusting"', 'method="trusting", steps=20')
    names: dict[str, object] = {"__name__": "notebook"}
    exec(compile(script, "docs/add-your-own.md", "exec"), names)
    exec(compile(script, "docs/add-your-own.md", "exec"), names)  # a cell is run again
    assert json.loads((place / "runs" / "trusting" / "config.json").read_text())["method"] == "trusting"


@pytest.mark.slow
def test_an_installer_takes_the_package(tmp_path: Path) -> None:
    """The metadata that ``package`` writes by hand are those that an installer writes."""
    project, target = tmp_path / "nlcli-mine", tmp_path / "target"
    for path, text in FILES.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(project)], check=True, capture_output=True)
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "from nlcli.methods import METHODS\n"
        "print(METHODS.describe('bootstrapping')['title'])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told == "a linear classifier that may doubt the noisy labels\n"
