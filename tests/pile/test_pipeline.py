"""The pipeline that is written: what it runs, and that nobody's changes are lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlcli.errors import NlcliError
from nlcli.pile.config import CleanPile
from nlcli.pile.pipeline import stages_of, write_pipeline
from nlcli.stages.pipeline import read_pipeline


def stages(tmp_path: Path, task: Any = "single-label", **options: Any) -> dict[str, dict[str, Any]]:
    config = CleanPile(photos=tmp_path / "photos", output=tmp_path / "mine", **options)
    return {stage["name"]: stage for stage in stages_of(config, task)}


def test_folders_and_nothing_checked(tmp_path: Path) -> None:
    made = stages(tmp_path)
    assert [stage["run"] for stage in made.values()] == [
        "build-folders",
        "deduplicate",
        "extract-features",
        "detect-noise",
        "clean-labels",
        "suggest",
        "train-head",
        "train-head",
        "report",
    ]
    assert "verified" not in made["all"]["with"]
    # Nothing measures the changes: they are listed, and no label is touched.
    assert made["cleaned"]["with"]["policy"] == "suggest"
    assert "${classifier}" in made["page"]["with"]["directories"]


def test_checked_images_choose_measure_and_let_labels_be_changed(tmp_path: Path) -> None:
    made = stages(tmp_path, checked=tmp_path / "checked.csv", labels=tmp_path / "labels.csv", precision=0.8)
    assert made["all"]["with"]["table"] == str(tmp_path / "labels.csv")
    assert made["all"]["with"]["checked"] == str(tmp_path / "checked.csv")
    assert made["all"]["with"]["verified"] == []  # no folder is believed
    assert made["cleaned"]["with"]["policy"] == "fix"
    assert made["cleaned"]["with"]["precision"] == 0.8
    assert made["tested"] == {"name": "tested", "run": "eval", "with": {"model": "${classifier}", "split": "test"}}
    assert made["classifier-before"]["with"]["method"] == "noisy"


def test_folders_of_splits_are_measured_on(tmp_path: Path) -> None:
    (tmp_path / "photos" / "train" / "cat").mkdir(parents=True)
    assert "tested" not in stages(tmp_path)
    for name in ("val", "test"):
        (tmp_path / "photos" / name).mkdir()
    made = stages(tmp_path)
    assert made["cleaned"]["with"]["policy"] == "fix"
    assert "tested" in made


def test_features_that_exist_and_networks_that_are_trained(tmp_path: Path) -> None:
    given = stages(tmp_path, features=tmp_path / "f.npy", keys=tmp_path / "keys.txt", duplicates="keep")
    assert given["features"]["run"] == "import-features"
    assert given["features"]["with"]["keys"] == str(tmp_path / "keys.txt")
    assert "all" not in given
    trained = stages(
        tmp_path, "multi-label", labels=tmp_path / "l.csv", backbone="small_cnn", weights="none", image_size=32
    )
    assert trained["all"]["run"] == "build-tags"
    assert trained["network"]["with"]["image_size"] == 32
    assert trained["features"]["with"] == {"dataset": "${dataset}", "backbone": "${network}"}


def test_the_file_is_a_pipeline_and_somebodys_changes_stay(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    config = CleanPile(photos=tmp_path / "photos", output=tmp_path / "mine", checked=tmp_path / "checked.csv")
    stages = stages_of(config, "single-label")
    where = write_pipeline(config, stages)
    plan = read_pipeline(where)
    assert plan.workdir == tmp_path / "mine"
    assert plan.steps[-1].output == tmp_path / "mine" / "report.html"
    first = where.read_text()
    write_pipeline(config, stages[:-1])  # ours: written anew
    assert where.read_text() != first
    write_pipeline(config, stages)
    assert where.read_text() == first
    where.write_text(first.replace("detect-noise\n", "detect-noise # mine\n"))
    with pytest.raises(
        NlcliError, match=r"pipeline.yaml was changed by hand; run it with 'nlcli run .*or pass --force"
    ):
        write_pipeline(config, stages)
    write_pipeline(config.model_copy(update={"force": True}), stages)
    assert where.read_text() == first
