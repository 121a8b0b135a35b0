"""Papers' tables: cells by hand, published figures beside them, and what cannot be one table."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from builders import MakeConfig

from nlcli.config import Table
from nlcli.errors import NlcliError
from nlcli.pipeline import read_pipeline
from nlcli.stage import open_stage, write_json
from nlcli.tables import paper_table, published_tables, show_table


def evaluation(output: Path, fraction: float | None, seed: int, mean_ap: float, ap_all: float, **more: Any) -> Path:
    """A finished evaluation that holds just what a table reads."""
    clean = {"images": 0 if fraction is None else round(1000 * fraction)}
    settings = {"clean_fraction": fraction or 0.05, "seed": seed, "method": "m", **more}
    metrics = {
        "task": "multi-label", "images": 100, "classes": 5, "split": "test", "mAP": mean_ap, "AP_all": ap_all,
        "selection": {"clean": clean}, "model": {"settings": settings}, "mAP_by_group": {"vehicles": mean_ap + 0.1, "art": 0.5},
    }
    with open_stage("evaluation", MakeConfig(output=output), {}) as stage:
        write_json(stage.work / "metrics.json", metrics)
        stage.finish({})
    return output


def test_cells_are_means_and_spreads_over_seeds_beside_the_published(tmp_path: Path, capsys) -> None:
    rows = {
        "Proposed (soft label)": [evaluation(tmp_path / f"s{i}", 0.05, i, 0.50 + 0.02 * i, 0.6) for i in range(3)],
        "Proposed (hard label)": [evaluation(tmp_path / "h", 0.1, 0, 0.55, 0.61, scale=0.01)],
    }
    output = paper_table(Table(rows=rows, output=tmp_path / "table", published="hu2018-table6", deviations=("ours",)))
    found = json.loads((output / "table.json").read_text())
    soft, hard = (row["cells"] for row in found["rows"])
    assert found["columns"] == ["0.05", "0.1"]
    assert found["figures"] == ["mAP", "AP_all"]
    assert soft["0.05"]["mAP"] == pytest.approx({"measured": 52.0, "spread": 2.0, "seeds": 3, "published": 56.82})
    assert soft["0.1"]["mAP"] == {"measured": None, "spread": None, "seeds": 0, "published": 58.38}
    assert hard["0.1"]["AP_all"] == pytest.approx({"measured": 61.0, "spread": None, "seeds": 1, "published": 60.95})
    assert found["deviations"][0] == "ours"
    assert "training shortened to 1 % of its steps" in found["deviations"]
    with open(output / "table.csv", newline="") as file:
        lines = {(line["row"], line["clean_fraction"], line["figure"]): line for line in csv.DictReader(file)}
    assert float(lines["Proposed (hard label)", "0.1", "AP_all"]["difference"]) == pytest.approx(0.05)
    assert "52.00 ± 2.00 (56.82)" in (output / "table.md").read_text()
    assert (output / "table.png").stat().st_size > 5000
    show_table([output])
    assert "52.00 ± 2.00 (56.82)" in capsys.readouterr().out


def test_a_model_without_clean_labels_stands_in_every_column(tmp_path: Path, capsys) -> None:
    rows = {
        "ResNet50 (Noisy)": [evaluation(tmp_path / "n", None, 0, 0.4, 0.3)],
        "ResNet50 (Noisy-FT-L)": [evaluation(tmp_path / "f", 0.3, 0, 0.5, 0.6)],
    }
    output = paper_table(Table(rows=rows, output=tmp_path / "table", published="hu2018-table2"))
    show_table([output])
    out = capsys.readouterr().out
    assert out.count("40.00 (45.30)") == 3
    assert out.count("50.00 (59.19)") == 1
    assert "not measured: ResNet50 (Noisy-FT-W)" in out


def test_a_bound_with_all_labels_stands_beside_every_part(tmp_path: Path) -> None:
    bound = evaluation(tmp_path / "g", 1.0, 0, 0.7, 0.7)
    part = evaluation(tmp_path / "p", 0.05, 0, 0.5, 0.5)
    rows = {"ResNet50 (GT)": [bound], "Proposed": [part]}
    both = json.loads((paper_table(Table(rows=rows, output=tmp_path / "a", published="hu2018-table4")) / "table.json").read_text())
    cells = next(row["cells"] for row in both["rows"] if row["name"] == "ResNet50 (GT)")
    assert cells["any"]["mAP"] == pytest.approx({"measured": 70.0, "spread": None, "seeds": 1, "published": 65.16})
    alone = json.loads((paper_table(Table(rows={"all": [bound]}, output=tmp_path / "b")) / "table.json").read_text())
    assert alone["columns"] == ["1"]


def test_categories_and_tables_of_our_own(tmp_path: Path) -> None:
    rows = {"Baseline": [evaluation(tmp_path / "n", None, 0, 0.4, 0.3)]}
    found = paper_table(Table(rows=rows, output=tmp_path / "t3", published="veit2017-table3"))
    cell = json.loads((found / "table.json").read_text())["rows"][0]["cells"]["any"]["mAP vehicles"]
    assert cell == pytest.approx({"measured": 50.0, "spread": None, "seeds": 1, "published": 56.92})
    own = paper_table(Table(rows={"mine": [tmp_path / "n"]}, output=tmp_path / "own"))
    assert json.loads((own / "table.json").read_text())["columns"] == ["any"]


def test_what_cannot_stand_in_a_table_is_refused(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "a", 0.05, 0, 0.5, 0.5)
    twin = evaluation(tmp_path / "b", 0.05, 0, 0.6, 0.6)
    with pytest.raises(NlcliError, match="have the same part of the clean set and the same seed"):
        paper_table(Table(rows={"x": [one, twin]}, output=tmp_path / "t"))
    with pytest.raises(NlcliError, match=r"unknown row 'Proposd'"):
        paper_table(Table(rows={"Proposd": [one]}, output=tmp_path / "t", published="hu2018-table6"))
    with pytest.raises(NlcliError, match="did you mean 'hu2018-table6'"):
        paper_table(Table(rows={"x": [one]}, output=tmp_path / "t", published="hu2018-tabel6"))


def test_published_figures_add_up() -> None:
    """Figures that a paper prints in two tables are the same in both."""
    tables = published_tables()
    rows = {(name, row["name"]): row["cells"] for name, table in tables.items() for row in table["rows"]}
    ours = rows["hu2018-table2", "Proposed (teacher-student)"]["0.05"]
    for other in (("hu2018-table4", "Proposed"), ("hu2018-table5", "Pre-train both nets"), ("hu2018-table6", "Proposed (hard label)")):
        assert rows[other]["0.05"] == ours
    assert rows["hu2019-table3", "Proposed (sigmoid)"]["1"] == rows["hu2019-table5", "training g, h jointly"]["1"]
    assert all(20 < v < 100 for cells in rows.values() for column in cells.values() for v in column.values())


def test_every_published_table_has_its_pipeline() -> None:
    folder = Path(__file__).parents[1] / "pipelines"
    made = {step.config.model_dump().get("published") for file in folder.glob("*.yaml") for step in read_pipeline(file).steps}
    assert set(published_tables()) <= made
