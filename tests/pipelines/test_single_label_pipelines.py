"""Shipped single-label pipelines from end to end: tiny releases, a small network, a sliver of the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from nlcli.stages.files import read_json
from nlcli.stages.pipeline import Plan, read_pipeline, run_pipeline
from nlcli.stages.stage import read_stage
from worlds.releases import small_pipelines, write_clothing1m, write_photographs


def run(name: str, folder: Path, scale: float) -> Plan:
    plan = read_pipeline(small_pipelines(folder) / f"{name}.yaml", scale=scale)
    run_pipeline(plan, jobs=1)
    return plan


@pytest.mark.slow
def test_alternating_training_refreshes_the_features_and_then_fixes_the_convolutions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlcli.networks.weights import load_backbone

    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "data")
    shipped = small_pipelines(tmp_path) / "alternating.yaml"
    content = yaml.safe_load(shipped.read_text())
    rounds = next(stage["stages"] for stage in content["stages"] if "stages" in stage)
    noise = next(stage for stage in rounds if stage["run"] == "detect-noise")
    noise["with"]["options"] = {"steps": 50_000}  # a sliver of the default's 1,000 tells nothing
    shipped.write_text(yaml.safe_dump(content, sort_keys=False))
    both = tmp_path / "both.yaml"
    text = shipped.read_text().replace("  until: network-{round}\n", "")
    assert text != shipped.read_text()
    both.write_text(text)
    plan = read_pipeline(both, scale=0.002, rounds=2)
    run_pipeline(plan, jobs=1)
    work = plan.workdir
    for number in (1, 2):
        features, noise = read_stage(work / f"features-{number}"), read_stage(work / f"noise-{number}")
        network = read_stage(work / f"network-{number}")
        before = load_backbone(work / f"network-{number - 1}" / "backbone").fingerprint
        assert read_json(features.path / "features.json")["backbone_fingerprint"] == before
        assert noise.input_fingerprint("features") == features.fingerprint
        assert network.input_fingerprint("detection") == noise.fingerprint
        assert network.config["trunk"] == ("trained" if number == 1 else "frozen")
    first, second = (
        load_backbone(work / f"network-{number}" / "backbone").without_classes().model.get_weights()
        for number in (1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    rows = read_json(work / "report" / "comparison.json")["rows"]
    assert len(rows) == 3
    assert all(row["metrics"]["top_1"]["value"] > 0.34 for row in rows)  # better than chance
    # As shipped it ends when the classifier stops improving on validation.
    top_1 = [read_stage(work / f"network-{number}").summary["validation_top_1"] for number in range(3)]
    made = run_pipeline(read_pipeline(shipped, scale=0.002, rounds=2), jobs=1, only=("network-*",))
    assert ("network-2" in made) == (top_1[1] > top_1[0])


@pytest.mark.slow
def test_a_published_table_comes_out_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clothing1m(tmp_path / "data")
    work = run("xiao2015_table2", tmp_path, 1e-4).workdir
    table = read_json(work / "xiao2015-table2" / "table.json")
    assert table["columns"] == ["validation", "test"]
    cells = [row["cells"][column]["top_1"] for row in table["rows"] for column in table["columns"]]
    assert len(cells) == 12
    assert all(cell["measured"] is not None and cell["published"] is not None for cell in cells)
    assert any("backbone small_cnn instead of alexnet" in note for note in table["deviations"])
    confusing = read_json(work / "test-alexnet-noise-types" / "metrics.json")
    assert confusing["metrics"]["top_1"]["value"] > 0.5  # colours are easy
    assert confusing["confusing_noise"]
