"""Commands that need no network run where TensorFlow and Keras cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.detection_files import read_detection
from worlds.cleaned import detected, planted
from worlds.detection import make_world
from worlds.made_evaluations import made_evaluation, made_run
from worlds.stage_builders import published, verified_table

ROOT = Path(__file__).parents[1]
_WITHOUT = """
import io, json, os, sys, traceback
from contextlib import redirect_stdout
sys.modules["tensorflow"] = sys.modules["keras"] = None
from nlcli.cli import main
for line in sys.stdin:
    folder, commands = json.loads(line)
    os.chdir(folder)
    printed, fault = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), None
    for arguments in commands:
        sys.argv = ["nlcli", *arguments]
        try:
            with redirect_stdout(printed):
                main()
        except SystemExit as end:
            fault = fault or (end.code and f"{arguments} ends with {end.code}")
        except BaseException:
            fault = traceback.format_exc()
    print(json.dumps([fault, printed.buffer.getvalue().decode()]), flush=True)
"""
Light = Callable[..., str]


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    """A function of a folder and commands, run there one after the other, to what they print.

    All run in one process, which can import neither TensorFlow nor Keras: what a command needs is imported once.
    """
    errors = tmp_path_factory.mktemp("light") / "errors"
    with errors.open("w") as told:
        child = subprocess.Popen(
            [sys.executable, "-c", _WITHOUT], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told,
        )  # fmt: skip

    def run(folder: Path, *commands: list[str]) -> str:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps([str(folder), commands]) + "\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        assert answer, errors.read_text()[-2000:]
        fault, printed = json.loads(answer)
        assert not fault, f"{fault}\n{errors.read_text()[-2000:]}"
        return str(printed)

    yield run
    child.communicate()


def test_cards(tmp_path: Path, without_tensorflow: Light) -> None:
    from nlcli.detection import DETECTORS
    from nlcli.methods import METHODS

    cards = [  # what other tests have registered is known in this process alone
        [command, name, "--json"]
        for command, registry in (("methods", METHODS), ("detectors", DETECTORS))
        for name in registry.names()
        if str(registry.reference(name)).startswith("nlcli.")
    ]
    text = without_tensorflow(tmp_path, ["--help"], ["methods"], ["detectors"], ["train-head", "--help"], *cards)
    assert text.count('"citation"') == len(cards) > 25


def test_data_sets(tmp_path: Path, without_tensorflow: Light) -> None:
    for name in ("cat", "dog"):
        for i in range(12):
            path = tmp_path / "photos" / name / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    text = without_tensorflow(
        tmp_path,
        ["build-folders", "--images", "photos", "--verified", "train", "--output", "data"],
        ["add-noise", "--dataset", "data", "--rate", "0.3", "--output", "noisy"],
        ["info", "noisy"],
        ["run", str(ROOT / "pipelines" / "demo.yaml"), "--dry-run"],
    )
    assert "noisy: dataset, images with noisy and verified labels" in text
    assert "residual" in text


def test_cleaned_labels(tmp_path: Path, without_tensorflow: Light) -> None:
    dataset, detection = detected(tmp_path, planted(images=100, verified=40))
    exports = [word for name in ("csv", "parquet", "coco", "labelstudio", "cvat") for word in ("--export", name)]
    asked = ["--dataset", str(dataset), "--from", str(detection), "--precision", "0", "--max-changes", "1"]
    text = without_tensorflow(
        tmp_path,
        ["clean-labels", *asked, "--output", "clean", "--dry-run"],
        ["clean-labels", *asked, "--output", "clean", *exports],
        ["restore-labels", "--dataset", "clean", "--output", "again"],
    )
    assert "nothing was written" in text
    assert "cleaned data set: " in text
    assert (tmp_path / "again" / "images.parquet").read_bytes() == (dataset / "images.parquet").read_bytes()


def test_what_to_check_next(tmp_path: Path, without_tensorflow: Light) -> None:
    dataset, detection = detected(tmp_path, planted(images=100, verified=40))
    tools = ["--export", "labelstudio", "--export", "cvat", "--export", "csv"]
    (tmp_path / "answers.csv").write_text("path,label\nk00060.jpg,class 1\n")
    text = without_tensorflow(
        tmp_path,
        ["suggest", "--dataset", str(dataset), "--from", str(detection), "--count", "20", *tools, "-o", "queue"],
        ["import-verification", "--dataset", str(dataset), "--answers", "answers.csv", "-o", "checked"],
    )
    assert f"fill in {tmp_path / 'queue' / 'answers.csv'} (column label, the true class), then: " in text
    asked = f"--dataset {dataset} --suggestion {tmp_path / 'queue'} --answers {tmp_path / 'queue' / 'answers.csv'}"
    assert f"nlcli import-verification {asked} --output {dataset}-checked" in text
    assert "1 images are known" in text


def test_reports(tmp_path: Path, without_tensorflow: Light) -> None:
    table = verified_table(60, 3, splits=(20, 20))
    dataset = published(table, tmp_path / "data")
    rng = np.random.default_rng(0)
    paths = []
    for name in ("one", "two"):
        run = made_run(tmp_path / name, [])
        scores = rng.random((20, 3)).astype(np.float32)
        paths.append(made_evaluation(tmp_path / f"{name}-test", table, dataset, run, scores, name=name, resamples=20))
    commands = [["compare", *map(str, paths), "--bootstrap", "20", "--output", "report"]]
    commands.append(["table", "--row", f"A={paths[0]}", "--row", f"B={paths[1]}", "--output", "table"])
    commands.append(["report", ".", "-o", "page.html"])
    assert "mAP" in without_tensorflow(tmp_path, *commands)
    assert (tmp_path / "page.html").is_file()


def test_heads_that_are_solved_and_what_is_done_with_them(tmp_path: Path, without_tensorflow: Light) -> None:
    """Also linear heads of which steps are NumPy's, and whatever else scores cached features: here a head of two nets, whose weights nobody trained."""
    world = make_world(tmp_path)
    dataset, features = str(world.dataset()), str(world.stored())
    asked = ["--dataset", dataset, "--features", features]
    names = ["auto", "noisy", "forward", "posterior"]
    solved = [["train-head", *asked, "--method", name, "--output", name] for name in names]
    types = [f"--set={name}_steps=8" for name in ("pretrain", "first", "finetune")]
    commands = [
        *solved,
        ["train-head", *asked, "--method", "finetune-last", "--init", "noisy", "--output", "tuned"],
        ["train-head", *asked, "--method", "noise-types", "--steps", "8", *types, "--output", "typed"],
        ["eval", "tuned", "--bootstrap", "20"],
        ["detect-noise", *asked, "--method", "classification-filter", "--classifier", "noisy", "--output", "filtered"],
    ]
    without_tensorflow(tmp_path, *commands)
    assert (tmp_path / "tuned-test" / "metrics.json").is_file()
    _make_residual(tmp_path / "noisy")
    without_tensorflow(tmp_path, ["eval", "noisy", "--bootstrap", "20", "--output", "of-residual"])
    assert "residual" in (tmp_path / "of-residual" / "metrics.json").read_text(encoding="utf-8")


def _make_residual(run: Path) -> None:
    """Put another method's head into a run."""
    from nlcli.methods import configure, get_method
    from nlcli.training.run_config import CONFIG, RunConfig
    from nlcli.training.saved_head import save_weights

    record = RunConfig.read(run / CONFIG)
    settings = configure("residual", {"hidden": 8})
    changes = {"method": "residual", "method_config": settings.model_dump(mode="json")}
    record.model_copy(update=changes).write(run / CONFIG)
    save_weights(run, get_method("residual")(settings, record.problem, arrays=True))


def test_detections_without_tensorflow(
    tmp_path: Path, without_tensorflow: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All detectors but DRAE; CleanNet where there is no GPU."""
    from nlcli.detection import DETECTORS

    world = make_world(tmp_path)
    asked = ["detect-noise", "--dataset", str(world.dataset()), "--features", str(world.stored()), "--suspects", "0"]
    light = [name for name in DETECTORS.ours if name != "drae"]
    few = {"cleannet": ("--set", "steps=4", "--set", "references=2")}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    without_tensorflow(tmp_path, *([*asked, "--method", name, "--output", name, *few.get(name, ())] for name in light))
    for name in light:
        assert read_detection(tmp_path / name).method == name
