"""stage.json and recipe.json: 0.1.0's are read, damaged ones are sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.files import read_json, write_json
from nlcli.stages.lineage import describe_path, print_lineage
from nlcli.stages.publishing import RECIPE, RECORD, work_path
from nlcli.stages.records import ClassText, Record
from nlcli.stages.stage import open_stage, read_stage
from worlds.stage_builders import MakeConfig

OF_0_1_0 = {
    "complete": True,
    "config": {"output": "out", "seed": 0, "size": 3, "source": None, "workers": 1},
    "files": {"x": "sha256:1"},
    "fingerprint": "sha256:2",
    "inputs": {
        "features": {"fingerprint": "sha256:3", "path": "/f", "relative": "../f", "stage": "features"},
        "weights": {"fingerprint": "sha256:4"},
    },
    "recipe": {"config": {"seed": 0, "size": 3}, "inputs": {}, "schema": 1, "stage": "made"},
    "schema": 1,
    "seed": None,
    "seconds": 2,
    "stage": "made",
    "summary": {"images": 4, "mAP": 0.5},
    "versions": {"nlcli": "0.1.0", "python": "3.11.7"},
}
WRONG: tuple[Any, ...] = (None, 3, "text", [1], {"a": 1}, {"a": {"fingerprint": 3}}, float("nan"), True)


def written(path: Path, **changes: Any) -> Path:
    path.mkdir(exist_ok=True)
    write_json(path / RECORD, OF_0_1_0 | changes)
    return path


def test_what_0_1_0_wrote_is_read_and_is_up_to_date(tmp_path: Path) -> None:
    record = read_stage(written(tmp_path / "out"), "made")
    assert (record.kind, record.seconds, record.seed, record.summary["images"]) == ("made", 2, None, 4)
    assert record.input_fingerprint("features") == "sha256:3"
    assert record.input_fingerprint("weights") == "sha256:4"
    assert record.input_fingerprint("dataset") is None
    assert record.input_path("weights") is None
    with open_stage("made", MakeConfig(output=tmp_path / "out"), {}) as stage:
        assert stage.up_to_date


def test_what_is_written_has_the_fields_of_0_1_0(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    with open_stage("made", MakeConfig(output=tmp_path / "a"), {"source": source, "text": "sha256:5"}) as stage:
        stage.finish({})
    with open_stage("made", MakeConfig(output=tmp_path / "b"), {"stage": read_stage(tmp_path / "a")}) as stage:
        stage.finish({})
    first, second = (read_json(tmp_path / name / RECORD) for name in "ab")
    assert set(first) == set(second) == set(OF_0_1_0)
    assert set(first["inputs"]["source"]) == {"path", "fingerprint"}
    assert first["inputs"]["text"] == {"fingerprint": "sha256:5"}
    assert set(second["inputs"]["stage"]) == {"path", "relative", "stage", "fingerprint"}


@pytest.mark.parametrize("field", sorted(OF_0_1_0))
@pytest.mark.parametrize("value", WRONG, ids=str)
def test_a_field_of_another_type_is_a_sentence(tmp_path: Path, field: str, value: Any) -> None:
    """Whatever a field holds: it is read, or refused in one sentence that names the file."""
    where = written(tmp_path / "out", **{field: value})
    for use in (read_stage, lambda path: print_lineage(describe_path(path)), _run):
        sentence = _refusal(use, where)
        assert sentence is None or str(where) in sentence
        assert sentence is None or "\n" not in sentence


def _refusal(use: Callable[[Path], object], where: Path) -> str | None:
    try:
        use(where)
    except NlcliError as error:
        return str(error)
    return None


def _run(path: Path) -> None:
    with open_stage("made", MakeConfig(output=path, size=4), {}) as stage:
        assert stage.up_to_date


def test_a_record_that_is_none_is_told_with_the_field(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match=r"not a stage record \(field 'seconds': .*\); make the directory again"):
        read_stage(written(tmp_path / "out", seconds="long"))
    with pytest.raises(NlcliError, match=r"\(field 'inputs.a.fingerprint': .*\); remove .*out or choose another --out"):
        _run(written(tmp_path / "out", inputs={"a": {"fingerprint": 3}}))
    (tmp_path / "out" / RECORD).write_text("[]")
    with pytest.raises(NlcliError, match="not a stage record"):
        read_stage(tmp_path / "out")


@pytest.mark.parametrize("recipe", [[], "text", 3, {"config": 3}, {"stage": "made", "config": [], "inputs": 7}, {}])
def test_a_damaged_recipe_of_unfinished_work_is_a_sentence(tmp_path: Path, recipe: Any) -> None:
    work = work_path(tmp_path / "out")
    work.mkdir()
    (work / "part").write_text("half")
    (work / RECIPE).write_text(json.dumps(recipe))
    with pytest.raises(NlcliError, match="holds unfinished work of another configuration"):
        _run(tmp_path / "out")
    sentence = _refusal(lambda path: print_lineage(describe_path(path)), tmp_path / "out")
    assert sentence is None or "begin again with --force" in sentence


def test_half_a_character_is_no_name_of_a_class(tmp_path: Path) -> None:
    class Classes(Record):
        made_by = "make"
        classes: tuple[ClassText, ...]

    (tmp_path / "made.json").write_text(
        '{"version": 1, "classes": ["\\ud83d\\ude00", "b\\ud83d"]}'
    )  # a pair, and half of one
    with pytest.raises(NlcliError, match=r"made\.json: field 'classes\.1': half a character \(such as \\ud800\)"):
        Classes.read(tmp_path / "made.json")
    (tmp_path / "made.json").write_text('{"version": 1, "classes": ["\\ud83d\\ude00"]}')
    assert Classes.read(tmp_path / "made.json").classes == ("\U0001f600",)
