"""Every table of a paper from end to end: a made-up release of its data set, a small network, a sliver of the steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nlcli.stages.files import read_json
from nlcli.stages.pipeline import read_pipeline, run_pipeline
from worlds.releases import (
    PIPELINES,
    small_pipelines,
    write_clothing1m,
    write_coco,
    write_food101n,
    write_open_images,
    write_webvision,
)

# Pipelines that share a work directory run one after the other, as they would on the real data.
TOGETHER: dict[str, tuple[tuple[Callable[[Path], None], ...], tuple[str, ...], float]] = {
    "coco": (
        (write_coco,),
        ("hu2018_table2", "hu2018_table4", "hu2018_table5", "hu2018_table6", "hu2019_table2"),
        1e-4,
    ),
    "open-images": (
        (write_open_images,),
        (
            *("hu2018_table3", "hu2019_table2_open_images", "hu2019_table3", "hu2019_table5"),
            *("veit2017_table2", "veit2017_table3"),
        ),
        2e-6,
    ),
    "clothing1m": ((write_clothing1m,), ("hu2019_table4", "lee2018_table4", "xiao2015_table2"), 1e-4),
    "food101n": ((write_food101n,), ("lee2018_figure5", "lee2018_table3"), 2e-5),
    "lee2018": ((write_food101n, write_clothing1m), ("lee2018_table2",), 2e-5),
    "webvision": ((write_webvision,), ("lee2018_table6",), 2e-5),
}


# What the figures hold besides: of a stage's file, how many different values a column has at least.
FIGURES: dict[tuple[str, str, str], tuple[str, int]] = {
    ("hu2018_table2", "hu2018-figure6", "examples.csv"): ("model", 3),
    ("hu2018_table2", "hu2018-cleaned", "changes.csv"): ("key", 1),
    ("hu2019_table2", "hu2019-figure3", "examples.csv"): ("model", 3),
    ("hu2019_table2", "hu2019-figure4", "learning_curves.csv"): ("model", 3),
    ("hu2019_table2_open_images", "hu2019-figure3-open-images", "examples.csv"): ("model", 3),
    ("hu2019_table4", "hu2019-figure5", "examples.csv"): ("change", 2),
    ("veit2017_table2", "veit2017-cleaned", "changes.csv"): ("key", 1),
    ("veit2017_table2", "dataset", "categories.csv"): ("category", 9),  # table 1: eight, and others
    ("veit2017_table3", "veit2017-figures", "gains.csv"): ("by", 2),  # figure 5: frequency and quality
    ("veit2017_table3", "veit2017-figures", "categories.csv"): ("category", 8),  # table 3 with intervals
    ("veit2017_table3", "veit2017-figures", "precision_recall.csv"): ("category", 9),  # figure 6: all, and the eight
    ("veit2017_table3", "veit2017-figures", "examples.csv"): ("model", 5),
    ("xiao2015_table2", "clothing1m", "label_confusion.csv"): ("true", 14),
    ("xiao2015_table2", "validation-alexnet-noise-types", "noise_examples.csv"): ("key", 2),
    ("xiao2015_table2", "validation-alexnet-noise-types", "rank_precision.csv"): ("rank", 28),
    ("lee2018_table2", "lee2018-figure7-clothing1m", "examples.csv"): ("key", 12),
    ("lee2018_figure5", "food101n-noise-1", "attention.csv"): ("class", 4),
    ("lee2018_figure5", "lee2018-figure7", "examples.csv"): ("model", 2),
}


def test_every_table_is_run() -> None:
    made = {file.stem for file in PIPELINES.glob("*.yaml") if file.stem[:3] in ("hu2", "lee", "vei", "xia")}
    assert made == {name for _, names, _ in TOGETHER.values() for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("group", TOGETHER)
def test_every_published_row_that_is_evaluated_is_measured(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers, names, scale = TOGETHER[group]
    monkeypatch.chdir(tmp_path)
    for write in writers:
        write(tmp_path / "data")
    folder = small_pipelines(tmp_path)
    for name in names:
        plan = read_pipeline(folder / f"{name}.yaml", scale=scale)
        run_pipeline(plan, jobs=1)
        outputs = {step.name: step.output for step in plan.steps}
        for (file, stage, path), (column, least) in FIGURES.items():
            if file == name:
                rows = pd.read_csv(outputs[stage] / path)
                assert rows[column].nunique() >= least, f"{stage}/{path}"
        for step in plan.steps:
            if step.stage.name != "table":
                continue
            table = read_json(step.output / "table.json")
            lacking = [
                (row["name"], column, metric)
                for row in table["rows"]
                if row["name"] in step.config.rows
                for column, cells in row["cells"].items()
                for metric, cell in cells.items()
                if cell["published"] is not None and cell["measured"] is None
            ]
            assert not lacking, step.name
            assert all(sentence in table["deviations"] for sentence in step.config.deviations)
