"""Pipeline files: checked whole before anything runs; references, combinations, resuming."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.commands import STAGES, StageCommand
from nlcli.stages.pipeline import read_pipeline, reports, run_pipeline
from nlcli.stages.stage import open_stage, read_stage
from worlds.stage_builders import MakeConfig

RAN: list[str] = []
GOOD: dict[str, float] = {}


def make(config: MakeConfig, *, force: bool = False) -> Path:
    if config.size == 13:
        raise NlcliError("thirteen is unlucky; choose another size")
    with open_stage("made", config, {"source": config.source}, force=force) as stage:
        if not stage.up_to_date:
            RAN.append(config.output.name)
            (stage.work / "x").write_text(str(config.size))
            stage.finish({"good": GOOD[config.output.name]} if config.output.name in GOOD else {})
    return config.output


@pytest.fixture(autouse=True)
def _a_stage_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    RAN.clear()
    GOOD.clear()
    for name, better_by in (("make", ("good",)), ("unmeasured", ())):
        command = StageCommand(name, "Make.", "worlds.stage_builders:MakeConfig", f"{__name__}:make", "nlcli make")
        monkeypatch.setitem(STAGES, name, replace(command, better_by=better_by))
    # these stages leave no graphs, and to look for some takes a second where tests before have imported TensorFlow
    monkeypatch.setattr("nlcli.stages.workers._forget_graphs", lambda: None)


def plan(tmp_path: Path, text: str, **options):
    (tmp_path / "p.yaml").write_text(text)
    return read_pipeline(tmp_path / "p.yaml", tmp_path / "work", **options)


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
        (
            "stages:\n - {name: a, run: make, with: {sise: 1}}",
            r"stage 1 \(a\): unknown option 'sise'; did you mean 'size'",
        ),
        ("stages:\n - {name: a, run: make, with: {1: 2, b: c, on: 3}}", r"stage 1 \(a\): unknown option '1'; known: "),
        ("stages:\n - {name: a, run: make, with: {size: big}}", "option 'size': input should be a valid integer"),
        ("stages:\n - {name: a, run: make, with: {source: '${b}'}}", "unknown earlier stage 'b'"),
        ("stages:\n - {name: a, run: make, with: {source: '${b*}'}}", r"no earlier stage matches 'b\*'"),
        ("stages:\n - {name: a, run: make}\n - {name: a, run: make}", "the name 'a' is taken"),
        (
            "stages:\n - {name: Head, run: make}\n - {name: head, run: make}",
            "stages 'Head' and 'head' would both be written to .*head .*capitals do not count",
        ),
        (
            "stages:\n - {name: a.partial, run: make}\n - {name: a, run: make}",
            "stages 'a.partial' and 'a' would both be written to .*a.partial ",
        ),
        ("stages:\n - {name: a, run: make}\n - {name: a.replaced, run: make}", "'a' and 'a.replaced' would both"),
        ("stages:\n - {name: ../a, run: make}", "may hold only letters"),
        ("stages:\n - {name: a, run: make, each: {size: 3}}", "'each' must map names to non-empty lists"),
        ("stages:\n - {run: make}", "'name' is missing"),
        ("stages:\n - {rounds: 0, stages: [{name: a, run: make}]}", "stage 1: 'rounds' must be a whole number from 1"),
        ("stages:\n - {rounds: true, stages: [{name: a, run: make}]}", "'rounds' must be a whole number"),
        ("stages:\n - {rounds: 2, stages: []}", "'rounds' needs a list 'stages'"),
        ("stages:\n - {rounds: 2, stage: []}", "unknown key 'stage'; did you mean 'stages'"),
        ("stages:\n - {rounds: 2, stages: [{name: a, run: make}]}", r"stage 1.1 \(a\): the name 'a' is taken"),
        ("stages:\n - {rounds: 2, stages: [{name: 'a{round}', run: make, with: {sise: 1}}]}", "unknown option 'sise'"),
        ("stages:\n - {rounds: 2, stages: [{rounds: 2, stages: []}]}", "rounds within rounds"),
        ("stages:\n - {rounds: 2, stages: [{name: 'a{round}', run: make, in: last}]}", "'in' must be first, later"),
        ("stages:\n - {rounds: 2, stages: [{name: 'a{round}', run: make, in: []}]}", "'in' must be first, later"),
        ("stages:\n - {name: a, run: make, in: first}", "not within 'rounds'"),
        ("stages:\n - {name: a, run: make, with: {source: 'a{previous}'}}", "have a meaning only within 'rounds'"),
        (
            "stages:\n - {rounds: 1, stages: [{name: a, run: make, each: {round: [1]}}]}",
            "'round' is what 'rounds' counts",
        ),
        (
            "stages:\n - {rounds: 2, stages: [{name: 'a{round}', run: make, with: {source: '${a{previous}}'}}]}",
            r"stage 1.1 \(a1\): unknown earlier stage 'a0'",
        ),
        ("stages:\n - {rounds: 2, until: net, stages: [{name: 'a{round}', run: make}]}", "'until' must name the stage"),
        ("stages:\n - {rounds: 2, until: 3, stages: [{name: 'a{round}', run: make}]}", "'until' must name the stage"),
        (
            "stages:\n - {rounds: 2, until: 'b{round}', stages: [{name: 'a{round}', run: make}]}",
            "stage 1: 'until' names 'b1', which round 1 has not",
        ),
        (
            "stages:\n - {rounds: 2, until: 'a{round}', stages: [{name: 'a{round}', run: unmeasured}]}",
            "'until' names a1, a stage unmeasured that is not measured on validation; name one of train-head",
        ),
        (
            "stages:\n - {rounds: 2, until: 'a{round}', stages: [{name: 'a{round}', run: make}]}\n"
            " - {name: b, run: make, with: {source: '${a2}'}}",
            "unknown earlier stage 'a2'.*; rounds with 'until' may end after the first, so name the stages behind them",
        ),
        ("stages:\n - !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("name:\nstages:\n - {name: a, run: make}", "'name' is empty or no text"),
        ("workdir: no\nstages:\n - {name: a, run: make}", "'workdir' is empty or no text"),
        ("stages:\n - {name: a, run: make, with: {1: 2, size: 3}}", r"stage 1 \(a\): unknown option '1'"),
        ("stages:\n - {name: a, run: make, with: {size: 010}}", "line 2: YAML reads 010 as another number"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(NlcliError, match=words):
        plan(tmp_path, text)
    assert not RAN


ROUNDS = """
stages:
  - {name: net-0, run: make}
  - rounds: 2
    stages:
      - {name: "noise-{round}", run: make, with: {source: "${net-{previous}}/x", size: "{round}"}}
      - name: "net-{round}-{seed}"
        in: first
        run: make
        each: {seed: [0, 5]}
        with: {source: "${noise-{round}}/x", seed: "{seed}"}
      - {name: "net-{round}", run: make, with: {source: "${noise-{round}}/x", size: 7}}
      - {name: "more-{round}", in: later, run: make, with: {source: "${net-{round}}/x"}}
      - {name: "third-{round}", in: [1, 3], run: make}
  - {name: last, run: make, with: {source: "${net-2}/x"}}
"""


def test_rounds_repeat_their_stages_with_their_number(tmp_path: Path) -> None:
    found = plan(tmp_path, ROUNDS).steps
    assert [step.name for step in found] == [
        "net-0",
        "noise-1",
        "net-1-0",
        "net-1-5",
        "net-1",
        "third-1",
        "noise-2",
        "net-2",
        "more-2",
        "last",
    ]
    needs = {step.name: step.needs for step in found}
    assert needs["noise-1"] == ("net-0",)
    assert needs["noise-2"] == ("net-1",)
    assert needs["net-1-5"] == ("noise-1",)
    assert [step.config.model_dump()["size"] for step in found[1:7:5]] == [1, 2]  # a number, not a text
    results = run_pipeline(plan(tmp_path, ROUNDS), only=("last",))
    assert RAN == ["net-0", "noise-1", "net-1", "noise-2", "net-2", "last"]
    assert set(results) == set(RAN)


def test_every_report_is_printed_or_else_the_last_stage(tmp_path: Path) -> None:
    found = plan(tmp_path, ROUNDS)
    assert [step.name for step in reports(found, [step.name for step in found.steps])] == ["last"]
    assert reports(found, ["noise-1"]) == []
    found = read_pipeline(PIPELINES / "lee2018_table3.yaml")
    names = [step.name for step in found.steps]
    assert [step.name for step in reports(found, names)] == ["food101n-rounds", "lee2018-table3", "lee2018-figure6"]
    assert [step.name for step in reports(found, names[:-1])] == ["food101n-rounds", "lee2018-table3"]


@pytest.mark.slow
def test_more_rounds_go_on_where_fewer_ended(tmp_path: Path) -> None:
    text = ROUNDS.replace("${net-2}", "${net-1}")
    run_pipeline(plan(tmp_path, text, rounds=1))
    assert RAN == ["net-0", "noise-1", "net-1-0", "net-1-5", "net-1", "third-1", "last"]
    RAN.clear()
    run_pipeline(plan(tmp_path, text, rounds=3))
    assert RAN == ["noise-2", "net-2", "more-2", "noise-3", "net-3", "more-3", "third-3"]
    with pytest.raises(NlcliError, match=r"--rounds 2: .*p.yaml has no 'rounds'"):
        plan(tmp_path, GRID, rounds=2)
    with pytest.raises(NlcliError, match="--rounds 0: expected a whole number from 1"):
        plan(tmp_path, text, rounds=0)


UNTIL = """
stages:
  - {name: net-0, run: make}
  - {name: test-0, run: make, with: {source: "${net-0}/x"}}
  - rounds: 5
    until: "net-{round}"
    stages:
      - {name: "noise-{round}", run: make, with: {source: "${net-{previous}}/x"}}
      - {name: "net-{round}", run: make, with: {source: "${noise-{round}}/x", size: "{round}"}}
      - {name: "test-{round}", run: make, with: {source: "${net-{round}}/x"}}
  - {name: "last-{seed}", run: make, each: {seed: [1, 2]}, with: {seed: "{seed}", sources: ["${test-*}"]}}
"""


@pytest.mark.parametrize(
    ("good", "rounds", "best", "told"),
    [
        ((0.5, 0.6, 0.7, 0.7, 0.9), 3, 2, "net-3: good 0.7000 is no better than 0.7000 before; the rounds end after 3"),
        ((0.5, 0.4, 0.9, 0.9, 0.9), 1, 0, "net-1: good 0.4000 is no better than 0.5000 before; the rounds end after 1"),
        # Better than the round before is not enough: it has to be better than the best.
        (
            (0.6, 0.7, 0.65, 0.68, 0.9),
            2,
            1,
            "net-2: good 0.6500 is no better than 0.7000 before; the rounds end after 2",
        ),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 5, 5, "net-5: good 0.6000; round 5, the last there is, is the best"),
    ],
)
def test_rounds_end_when_a_stage_gets_no_better(
    tmp_path: Path, good: tuple[float, ...], rounds: int, best: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    GOOD.update({f"net-{i}": value for i, value in enumerate(good)})
    results = run_pipeline(plan(tmp_path, UNTIL))
    names = [f"{what}-{i}" for i in range(1, rounds + 1) for what in ("noise", "net", "test")]
    names = ["net-0", "test-0", *names, "last-1", "last-2"]
    assert names == RAN
    assert names == list(results)
    sources = read_stage(tmp_path / "work" / "last-1").config["sources"]
    assert [Path(source).name for source in sources] == [f"test-{i}" for i in range(rounds + 1)]
    assert (told if best == rounds else f"{told}, and the best is net-{best} (round {best})") in capsys.readouterr().err
    [record] = json.loads((tmp_path / "work/rounds-p.json").read_text())
    assert (record["metric"], record["best"], record["last"]) == ("good", best, rounds)
    assert [(entry["stages"], entry["value"]) for entry in record["rounds"]] == [
        ([f"net-{i}"], value) for i, value in enumerate(good[: rounds + 1])
    ]
    RAN.clear()
    assert run_pipeline(plan(tmp_path, UNTIL)) == results
    assert RAN == []


def test_rounds_that_end_early_with_a_choice_of_stages(tmp_path: Path) -> None:
    GOOD.update({"net-0": 0.5, "net-1": 0.6, "net-2": 0.6})
    assert list(run_pipeline(plan(tmp_path, UNTIL), only=("noise-1",))) == ["net-0", "noise-1"]
    assert list(run_pipeline(plan(tmp_path, UNTIL), only=("test-0", "net-4")))[-2:] == ["noise-2", "net-2"]
    RAN.clear()
    results = run_pipeline(plan(tmp_path, UNTIL, rounds=1))
    assert RAN == ["test-1", "last-1", "last-2"]
    assert "net-2" not in results


def test_rounds_of_several_seeds_are_judged_by_their_mean(tmp_path: Path) -> None:
    GOOD.update({"net-1-0": 0.4, "net-1-5": 0.6, "net-2-0": 0.1, "net-2-5": 0.95, "net-3-0": 0.9, "net-3-5": 0.1})
    text = """
stages:
  - rounds: 4
    until: "net-{round}-*"
    stages:
      - {name: "net-{round}-{seed}", run: make, each: {seed: [0, 5]}, with: {seed: "{seed}"}}
"""
    assert list(run_pipeline(plan(tmp_path, text)))[-1] == "net-3-5"


def test_rounds_need_something_that_was_measured(tmp_path: Path) -> None:
    with pytest.raises(
        NlcliError, match=r"net-0 has no metric of validation, where nothing is verified; leave 'until'"
    ):
        run_pipeline(plan(tmp_path, UNTIL))


def test_a_dry_run_lists_the_chosen_stages_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nlcli.cli import main

    (tmp_path / "p.yaml").write_text(ROUNDS)
    command = ["nlcli", "run", str(tmp_path / "p.yaml"), "--workdir", str(tmp_path / "w"), "--rounds", "3", "--dry-run"]
    monkeypatch.setattr("sys.argv", [*command, "--only", "net-3"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["net-0", "noise-1", "net-1", "noise-2", "net-2", "noise-3", "net-3"]
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (
            "train-head, with: {method: residual, options: {alfa: 1}",
            "method residual: unknown option 'alfa'; did you mean",
        ),
        ("train-head, with: {method: residual, options: {alpha: much}", "method residual: option 'alpha'"),
        ("train-head, with: {method: residual, options: {alpha: -1}", "method residual: option 'alpha'"),
        ("train-head, with: {method: residul", "unknown method 'residul'; did you mean 'residual'"),
        ("train-head, with: {method: residual, preset: cocoa", "method residual: unknown preset 'cocoa'"),
        ("train-head, with: {method: noisy, options: {solver: solved, dropout: 0.1}", "noisy"),
        (
            "train-head, with: {method: residual, steps: 5, options: {steps: 6}",
            "'steps' is given twice, as 5 and as option 6",
        ),
        ("train-head, with: {method: cleannet", "pass its directory as --detection"),
        ("tune, with: {method: residual, options: {alfa: 1}", "method residual: unknown option 'alfa'; did you mean"),
        ("tune, with: {method: residual, search: [alfa]", "alfa"),
        (
            "detect-noise, with: {method: knn, options: {neighbors: 5}",
            "unknown option 'neighbors'; did you mean 'neighbours'",
        ),
        ("detect-noise, with: {method: posterior, options: {alfa: 5}", "detector posterior: unknown option 'alfa'"),
        ("detect-noise, with: {method: run, options: {alfa: 5}", "detector of tags run: unknown option 'alfa'"),
        ("detect-noise, with: {method: kn", "unknown detector 'kn'"),
    ],
)
def test_options_of_methods_are_checked_before_anything_runs(tmp_path: Path, stage: str, told: str) -> None:
    """Also in a dry run, which needs none of the inputs."""
    rest = "dataset: '${base}', features: f}}"
    text = f"stages:\n  - {{name: base, run: make}}\n  - {{name: x, run: {stage}, {rest}\n"
    with pytest.raises(NlcliError, match=rf"stage 2 \(x\): .*{re.escape(told)}"):
        plan(tmp_path, text)


def test_options_that_a_method_has_pass(tmp_path: Path) -> None:
    """The run that a head starts from need not be there, nor is it known yet how many labels an image has."""
    rest = "dataset: '${base}', features: f}}"
    plan(
        tmp_path,
        f"""
stages:
  - {{name: base, run: make}}
  - {{name: first, run: train-head, with: {{method: residual, options: {{alpha: 0.3}}, init: nowhere, {rest}
  - {{name: tags, run: detect-noise, with: {{method: run, from_run: '${{first}}', {rest}
  - {{name: knn, run: detect-noise, with: {{method: knn, options: {{neighbours: 5}}, {rest}
  - {{name: tuned, run: tune, with: {{method: residual, search: [alpha], {rest}
""",
    )


def test_included_stages_come_first_and_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files that include a third share its stages; relative work directories are the caller's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "base.yaml").write_text("workdir: runs/base\nstages: [{name: base, run: make}]\n")
    (tmp_path / "parts" / "more.yaml").write_text(
        "include: base.yaml\nstages: [{name: more, run: make, with: {source: '${base}/x'}}]\n"
    )
    text = "workdir: runs/top\ninclude: [parts/more.yaml, parts/base.yaml]\nstages: [{name: top, run: make}]\n"
    (tmp_path / "p.yaml").write_text(text)
    outputs = {step.name: str(step.output) for step in read_pipeline(tmp_path / "p.yaml").steps}
    assert outputs == {"base": "runs/base/base", "more": "runs/top/more", "top": "runs/top/top"}
    short = {step.name: str(step.output) for step in read_pipeline(tmp_path / "p.yaml", scale=0.1).steps}
    assert short == {
        "base": "runs/base-scale-0.1/base",
        "more": "runs/top-scale-0.1/more",
        "top": "runs/top-scale-0.1/top",
    }
    together = read_pipeline(tmp_path / "p.yaml", Path("here")).steps
    assert [str(step.output) for step in together] == ["here/base", "here/more", "here/top"]
    run_pipeline(read_pipeline(tmp_path / "p.yaml"))
    run_pipeline(read_pipeline(tmp_path / "parts" / "base.yaml"))
    assert RAN == ["base", "more", "top"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"p": "include: p.yaml\nstages: []"}, r"p.yaml: includes .*p.yaml, which leads back to it"),
        (
            {"p": "include: q.yaml", "q": "include: ./r.yaml", "r": "include: ../folder/p.yaml"},
            r"r.yaml: includes .*p.yaml",
        ),
        ({"p": "include: no.yaml"}, "cannot read pipeline .*no.yaml"),
        ({"p": "include: 3"}, "'include' must be a pipeline file"),
        ({"p": "include: [q.yaml, {}]", "q": "stages: [{name: a, run: make}]"}, "'include' must be a pipeline file"),
        ({"p": "include: q.yaml", "q": "stages: []"}, "q.yaml: 'stages' is empty"),
        ({"p": "include: q.yaml", "q": "name: q"}, "q.yaml: expected a mapping with a list 'stages'"),
        (
            {"p": "include: q.yaml\nstages: [{name: a, run: make}]", "q": "stages: [{name: a, run: make}]"},
            r"p.yaml, stage 1 \(a\): the name 'a' is taken",
        ),
    ],
)
def test_mistakes_in_includes(tmp_path: Path, files: dict[str, str], words: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    with pytest.raises(NlcliError, match=words):
        read_pipeline(folder / "p.yaml")


PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.mark.parametrize("file", sorted(PIPELINES.rglob("*.yaml")), ids=lambda file: str(file.relative_to(PIPELINES)))
def test_shipped_pipelines_are_valid(file: Path) -> None:
    assert read_pipeline(file).about


@pytest.mark.parametrize("file", sorted(PIPELINES.glob("*.yaml")), ids=lambda file: file.stem)
def test_what_shipped_pipelines_name_exists(file: Path) -> None:
    """Methods, detectors, networks with their options and presets, and the rows of published tables."""
    from nlcli.detection import make_detector
    from nlcli.evaluation.comparison.paper_table import published_tables
    from nlcli.methods import configure, get_method
    from nlcli.networks.architectures import BACKBONES

    for step in read_pipeline(file).steps:
        options = step.config.model_dump()
        if step.stage.name == "train-head":
            configure(options["method"], options["options"], options["preset"])
            assert get_method(options["method"]).needs_detection == (options["detection"] is not None), step.name
            network = options["from_images"]
            assert network is None or network in BACKBONES or Path(network).parent in outputs(file), step.name
        elif step.stage.name == "detect-noise":
            make_detector(options["method"], options["options"])
        elif step.stage.name == "pretrain-backbone":
            assert options["backbone"] in BACKBONES
        elif step.stage.name == "table" and options["published"]:
            published = published_tables()[options["published"]]
            assert set(options["rows"]) <= {row["name"] for row in published["rows"]}
            assert options["deviations"]


def outputs(file: Path) -> set[Path]:
    return {step.output for step in read_pipeline(file).steps}


def test_every_published_table_has_a_pipeline() -> None:
    from nlcli.evaluation.comparison.paper_table import published_tables

    steps = [step.config.model_dump() for file in PIPELINES.glob("*.yaml") for step in read_pipeline(file).steps]
    assert {step.get("published") for step in steps} >= set(published_tables())


def test_every_pipeline_is_listed_in_the_documentation() -> None:
    page = (PIPELINES.parent / "docs" / "pipelines.md").read_text(encoding="utf-8")
    assert [file.name for file in PIPELINES.glob("*.yaml") if f"`{file.name}`" not in page] == []


def test_a_rehearsal_shortens_every_stage_in_a_directory_of_its_own() -> None:
    demo = PIPELINES / "demo.yaml"
    whole, short = read_pipeline(demo), read_pipeline(demo, scale=0.01, limit=200)
    assert short.workdir == whole.workdir.with_name(whole.workdir.name + "-scale-0.01-limit-200")
    configs = {step.stage.name: step.config.model_dump() for step in short.steps}
    assert configs["build-coco"]["limit"] == 200
    assert configs["pretrain-backbone"]["scale"] == configs["train-head"]["scale"] == 0.01
    assert all(short.workdir in step.output.parents for step in short.steps)


def test_the_directory_of_work_may_be_this_one_but_not_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "p.yaml").write_text("stages: [{run: make, name: a}]")
    assert [step.output for step in read_pipeline(tmp_path / "p.yaml", Path()).steps] == [Path("a")]
    shortened = read_pipeline(tmp_path / "p.yaml", Path(), limit=5).steps[0].output
    assert shortened.parent.parent == tmp_path
    assert shortened.parent.name.startswith("here")
    with pytest.raises(NlcliError, match="is the root of the disk"):
        read_pipeline(tmp_path / "p.yaml", Path("/"), limit=5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: Hütchen".encode("latin-1"), "byte 7 is not UTF-8; save it as UTF-8"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"stages: [{run: make, name: a, size: 3}]", "unknown key 'size'; .*; options of a stage stand under 'with'"),
    ],
)
def test_files_that_are_no_pipeline(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(NlcliError, match=told):
        read_pipeline(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_bytes("stages: [{run: make, name: a}]".encode("utf-16"))
    assert [step.name for step in read_pipeline(tmp_path / "p.yaml").steps] == ["a"]
    with pytest.raises(NlcliError, match=r"cannot read pipeline .*q\.yaml: No such file or directory$"):
        read_pipeline(tmp_path / "q.yaml")
