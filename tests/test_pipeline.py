"""Pipeline files: checked whole before anything runs; references, combinations, resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import MakeConfig

import nlcli.config
from nlcli.commands import STAGES, StageCommand
from nlcli.errors import NlcliError
from nlcli.pipeline import read_pipeline, run_pipeline
from nlcli.stage import open_stage, read_stage

RAN: list[str] = []


def make(config: MakeConfig, *, force: bool = False) -> Path:
    if config.size == 13:
        raise NlcliError("thirteen is unlucky; choose another size")
    with open_stage("made", config, {"source": config.source}, force=force) as stage:
        if not stage.up_to_date:
            RAN.append(config.output.name)
            (stage.work / "x").write_text(str(config.size))
            stage.finish({})
    return config.output


@pytest.fixture(autouse=True)
def _a_stage_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    RAN.clear()
    monkeypatch.setattr(nlcli.config, "MakeConfig", MakeConfig, raising=False)
    monkeypatch.setitem(STAGES, "make", StageCommand("make", "Make.", "MakeConfig", f"{__name__}:make", "nlcli make"))


def plan(tmp_path: Path, text: str):
    (tmp_path / "p.yaml").write_text(text)
    return read_pipeline(tmp_path / "p.yaml", tmp_path / "work")


GRID = """
name: grid
stages:
  - {name: base, run: make}
  - name: "m-{size}-{seed}"
    run: make
    each: {size: [1, 2], seed: [0, 5]}
    with: {size: "{size}", seed: "{seed}", source: "${base}/x"}
  - {name: last, run: make, with: {source: "${m-2-5}/x"}}
"""


def test_combinations_references_skipping_and_selection(tmp_path: Path) -> None:
    steps = plan(tmp_path, GRID).steps
    assert [step.name for step in steps] == ["base", "m-1-0", "m-1-5", "m-2-0", "m-2-5", "last"]
    assert steps[4].config.model_dump()["size"] == 2
    assert steps[5].config.model_dump()["source"] == tmp_path / "work" / "m-2-5" / "x"
    results = run_pipeline(plan(tmp_path, GRID), only=("last",))
    assert RAN == ["base", "m-2-5", "last"]
    assert results["last"] == str(tmp_path / "work" / "last")
    run_pipeline(plan(tmp_path, GRID))
    assert RAN == ["base", "m-2-5", "last", "m-1-0", "m-1-5", "m-2-0"]


def test_the_first_failure_stops_with_the_stages_name_and_later_runs_continue(tmp_path: Path) -> None:
    text = "stages:\n  - {name: a, run: make}\n  - {name: b, run: make, with: {size: 13}}\n  - {name: c, run: make}\n"
    with pytest.raises(NlcliError, match=r"stage b \(make\) failed: thirteen is unlucky"):
        run_pipeline(plan(tmp_path, text))
    assert RAN == ["a"]
    run_pipeline(plan(tmp_path, text.replace("13", "12")))
    assert RAN == ["a", "b", "c"]


def test_independent_stages_run_in_processes_with_the_same_result(tmp_path: Path) -> None:
    run_pipeline(plan(tmp_path, GRID), jobs=1)
    prints = {step.name: read_stage(step.output).fingerprint for step in plan(tmp_path, GRID).steps}
    (tmp_path / "work").rename(tmp_path / "first")
    RAN.clear()
    run_pipeline(plan(tmp_path, GRID), jobs=2)
    assert RAN[0] == "base"  # alone in its turn, so here, with all cores
    assert len(RAN) < 6  # the others in workers
    assert {step.name: read_stage(step.output).fingerprint for step in plan(tmp_path, GRID).steps} == prints


def test_a_failure_in_a_worker_lets_the_others_finish(tmp_path: Path) -> None:
    text = "stages:\n  - {name: 'm-{size}', run: make, each: {size: [1, 13, 2]}, with: {size: '{size}'}}\n"
    with pytest.raises(NlcliError, match=r"stage m-13 \(make\) failed: thirteen is unlucky"):
        run_pipeline(plan(tmp_path, text), jobs=2)
    assert read_stage(tmp_path / "work" / "m-1").kind == "made"
    assert not (tmp_path / "work" / "m-13").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stages: [", "not valid YAML"),
        ("- a", "expected a mapping with a list 'stages'"),
        ("stages: []", "'stages' is empty"),
        ("stage: []\nstages: []", "unknown key 'stage'; did you mean 'stages'"),
        ("stages:\n - {name: a, run: mak}", "stage 1: unknown stage 'mak'; did you mean 'make'"),
        ("stages:\n - {name: a, run: make, wit: {}}", "unknown key 'wit'; did you mean 'with'"),
        ("stages:\n - {name: a, run: make, with: {sise: 1}}", r"stage 1 \(a\): unknown option 'sise'; did you mean 'size'"),
        ("stages:\n - {name: a, run: make, with: {size: big}}", "option 'size': input should be a valid integer"),
        ("stages:\n - {name: a, run: make, with: {source: '${b}'}}", "unknown earlier stage 'b'"),
        ("stages:\n - {name: a, run: make, with: {source: '${b*}'}}", r"no earlier stage matches 'b\*'"),
        ("stages:\n - {name: a, run: make}\n - {name: a, run: make}", "the name 'a' is taken"),
        ("stages:\n - {name: ../a, run: make}", "may hold only letters"),
        ("stages:\n - {name: a, run: make, each: {size: 3}}", "'each' must map names to non-empty lists"),
        ("stages:\n - {run: make}", "'name' is missing"),
        ("stages:\n - !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(NlcliError, match=words):
        plan(tmp_path, text)
    assert not RAN


def test_shipped_pipelines_are_valid() -> None:
    folder = Path(__file__).parents[1] / "pipelines"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for file in files:
        assert read_pipeline(file).about


def test_a_rehearsal_shortens_every_stage_in_a_directory_of_its_own() -> None:
    demo = Path(__file__).parents[1] / "pipelines" / "demo.yaml"
    whole, short = read_pipeline(demo), read_pipeline(demo, scale=0.01, limit=200)
    assert short.workdir == whole.workdir.with_name(whole.workdir.name + "-scale-0.01-limit-200")
    configs = {step.stage.name: step.config.model_dump() for step in short.steps}
    assert configs["build-coco"]["limit"] == 200
    assert configs["pretrain-backbone"]["scale"] == configs["train-head"]["scale"] == 0.01
    assert all(short.workdir in step.output.parents for step in short.steps)
