"""result.json: what is read back, what 0.1.0 wrote, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.files import read_json, write_json
from nlcli.training.result import RESULT, BackboneResult, HeadResult, SelectedBy, read_result
from worlds.made_evaluations import made_result

# As 0.1.0 wrote them, but for the settings: without a version, and only what a kind of training has.
OLD_HEAD: dict[str, Any] = {
    "classes_without_positives": {"clean": [], "noisy": ["c1"]},
    "clean": {"fraction": 0.2, "images": 90, "keys": "sha256:ff", "pairs": {"train": 90, "validation": 150}, "seed": 0},
    "images_without_features": {"train": 2, "validation": 1},
    "initial_layer": None,
    "method": "noise-types",
    "order": "shuffled",
    "phase": "finetune",
    "score": "classifier",
    "selected_by": {"metric": "top_1", "split": "validation", "value": 1.0},
    "settings": {"steps": 60},
    "step": 0,
    "steps": 130,
    "stopped_by": "steps",
    "training_images": {"clean": 90, "noisy": 358},
    "validation": {"AP_all": 0.9997, "images": 149, "images_of_known_class": 149, "mAP": 1.0, "top_1": 1.0},
}
OLD_BACKBONE: dict[str, Any] = {
    "classes_without_positives": [],
    "clean": None,
    "labels": "noisy",
    "last_layer": "new",
    "network": "small_cnn",
    "precision": "float32",
    "selected_by": {"split": None, "why": "no verified label on validation; the last step was kept"},
    "settings": {"steps": 30},
    "step": 30,
    "steps": 30,
    "stopped_by": "patience",
    "training_images": 64,
    "unreadable_images": {"train": 1, "validation": 1},
    "validation": {"images": 0},
}


@pytest.mark.parametrize(("value", "kind"), [(OLD_HEAD, HeadResult), (OLD_BACKBONE, BackboneResult)])
def test_results_of_the_first_release_are_read(tmp_path: Path, value: dict[str, Any], kind: type) -> None:
    write_json(tmp_path / RESULT, value)
    result = read_result(tmp_path)
    assert isinstance(result, kind)
    result.write(tmp_path / RESULT)
    assert read_json(tmp_path / RESULT) == value | {"version": 1}
    assert read_result(tmp_path) == result


def test_a_directory_without_a_result_tells_nothing(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None


def test_selection() -> None:
    assert SelectedBy.of("mAP", 0.5, steps=9).model_dump(exclude_unset=True) == {
        "split": "validation",
        "metric": "mAP",
        "value": 0.5,
    }
    assert SelectedBy.of(None, None, steps=9).split is None
    assert SelectedBy.of(None, None, steps=0).why == "no verified label on validation; no step was taken"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": "many"}, "field 'step': input should be a valid integer.* \\(given: 'many'\\)"),
        ({"clean": {"images": 3}}, "field 'clean.keys' is required"),
        ({"colour": 1}, "field 'colour': extra inputs are not permitted"),
        ({"version": 7}, "has format 7, and this version of nlcli reads format 1"),
    ],
)
def test_a_malformed_result_is_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    write_json(tmp_path / RESULT, made_result("joint", 3).to_json() | change)
    with pytest.raises(NlcliError, match=f"{RESULT}:? .*{sentence}.*; make it again with 'nlcli train-head'"):
        read_result(tmp_path)


def test_a_result_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text(json.dumps([1]))
    with pytest.raises(NlcliError, match="does not hold a JSON object"):
        read_result(tmp_path)
