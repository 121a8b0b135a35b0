"""Papers' tables: cells by hand, published figures beside them, and what cannot be one table."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.detection_files import Threshold
from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.paper_table import paper_table, published_tables, show_table
from nlcli.evaluation.comparison.table_cells import NUMBERED
from nlcli.evaluation.config import Table
from nlcli.evaluation.metrics_file import (
    FORMAT,
    Bootstrap,
    ClassifierMetrics,
    DetectionMetrics,
    Estimate,
    MeasuredHeldOut,
    Named,
    Selection,
    TestedModel,
)
from nlcli.evaluation.score_files import read_scores
from nlcli.metrics.intervals import metric_interval, ranking_support
from nlcli.metrics.names import LOWER_IS_BETTER
from nlcli.stages.pipeline import read_pipeline
from nlcli.training.result import WeightedBy
from worlds.made_evaluations import curve_lines, made_clean_set, made_evaluation, made_run, written
from worlds.stage_builders import published as published_dataset
from worlds.stage_builders import verified_table


def classifier(output: Path, settings: dict[str, Any], values: dict[str, float], **more: Any) -> Path:
    """A finished evaluation of a classifier that holds what a table reads."""
    told: dict[str, Any] = {
        "task": "multi-label",
        "split": "test",
        "selection": Selection(clean=made_clean_set(settings.get("clean_fraction", 1.0))),
        "classes_without_positives": Named(count=0),
    }
    metrics = ClassifierMetrics(
        version=FORMAT,
        name="m",
        score="clean",
        images=100,
        classes=5,
        model=TestedModel(directory=output.name, kind="run", settings=settings),
        bootstrap=Bootstrap(resamples=0, seed=0),
        metrics={name: Estimate(value=value, rests_on=90, counted="images") for name, value in values.items()},
        verified_entries=500,
        positives=100,
        **(told | more),
    )
    return written(metrics, output)


def evaluation(output: Path, fraction: float | None, seed: int, mean_ap: float, ap_all: float, **more: Any) -> Path:
    """A finished evaluation of a multi-label classifier; without a fraction it used no clean label."""
    groups = more.pop("groups", {"vehicles": mean_ap + 0.1, "art": 0.5})
    settings = {"clean_fraction": fraction or 0.05, "seed": seed, "method": "m", **more}
    clean = made_clean_set(fraction or 0.05, images=0 if fraction is None else round(1000 * fraction))
    return classifier(
        output,
        settings,
        {"mAP": mean_ap, "AP_all": ap_all},
        selection=Selection(clean=clean),
        mAP_by_group=groups,
    )


def cell(measured: float | None, spread: float | None, seeds: int, published: float | None) -> dict[str, Any]:
    """A cell of evaluations without a bootstrap."""
    told = {"measured": measured, "spread": spread, "seeds": seeds, "published": published}
    return told | {"interval": None, "no_interval": None}


def test_cells_are_means_and_spreads_over_seeds_beside_the_published(tmp_path: Path, capsys) -> None:
    rows = {
        "Proposed (soft label)": [evaluation(tmp_path / f"s{i}", 0.05, i, 0.50 + 0.02 * i, 0.6) for i in range(3)],
        "Proposed (hard label)": [evaluation(tmp_path / "h", 0.1, 0, 0.55, 0.61, scale=0.01)],
    }
    output = paper_table(Table(rows=rows, output=tmp_path / "table", published="hu2018-table6", deviations=("ours",)))
    table = json.loads((output / "table.json").read_text())
    soft, hard = (row["cells"] for row in table["rows"])
    assert table["columns"] == ["0.05", "0.1"]
    assert table["metrics"] == ["mAP", "AP_all"]
    assert soft["0.05"]["mAP"] == pytest.approx(cell(52.0, 2.0, 3, 56.82))
    assert soft["0.1"]["mAP"] == cell(None, None, 0, 58.38)
    assert hard["0.1"]["AP_all"] == pytest.approx(cell(61.0, None, 1, 60.95))
    assert table["deviations"][0] == "ours"
    assert "training shortened to 1 % of its steps" in table["deviations"]
    with open(output / "table.csv", newline="") as file:
        lines = {(line["row"], line["clean_fraction"], line["metric"]): line for line in csv.DictReader(file)}
    assert float(lines["Proposed (hard label)", "0.1", "AP_all"]["difference"]) == pytest.approx(0.05)
    assert "52.00 ± 2.00 (56.82)" in (output / "table.md").read_text()
    assert (output / "table.png").stat().st_size > 5000
    show_table([output])
    assert "52.00 ± 2.00 (56.82)" in capsys.readouterr().out


def test_classes_without_an_ap_are_told(tmp_path: Path) -> None:
    """Veit 2017, section 4.2, takes the mean over all d classes; two of five have no positive here."""
    without = Named(count=2, names=("a", "b"))
    made = classifier(tmp_path / "e", {"seed": 0}, {"mAP": 0.5, "AP_all": 0.6}, classes_without_positives=without)
    table = json.loads((paper_table(Table(rows={"mine": [made]}, output=tmp_path / "t")) / "table.json").read_text())
    assert "mAP is of the 3 of 5 classes that have a positive in split 'test'" in table["deviations"]


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
    both = json.loads(
        (paper_table(Table(rows=rows, output=tmp_path / "a", published="hu2018-table4")) / "table.json").read_text()
    )
    cells = next(row["cells"] for row in both["rows"] if row["name"] == "ResNet50 (GT)")
    assert cells["any"]["mAP"] == pytest.approx(cell(70.0, None, 1, 65.16))
    alone = json.loads((paper_table(Table(rows={"all": [bound]}, output=tmp_path / "b")) / "table.json").read_text())
    assert alone["columns"] == ["1"]


def test_categories_and_tables_of_our_own(tmp_path: Path) -> None:
    rows = {"Baseline": [evaluation(tmp_path / "n", None, 0, 0.4, 0.3)]}
    told = paper_table(Table(rows=rows, output=tmp_path / "t3", published="veit2017-table3"))
    found = json.loads((told / "table.json").read_text())["rows"][0]["cells"]["any"]["mAP vehicles"]
    assert found == pytest.approx(cell(50.0, None, 1, 56.92))
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


# --- intervals -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """Evaluations of scores that are kept, with a bootstrap of 60: by row, a seed each."""

    rows: dict[str, list[Path]]
    root: Path


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Seeds 0 and 1 of ``mine``, seed 0 of ``one``, and ``apart``, whose second seed was judged by other labels."""
    root, rows = tmp_path_factory.mktemp("scored"), {}
    tables = [verified_table(90, 5, seed=seed, splits=(20, 40)) for seed in (3, 4)]
    datasets = [published_dataset(table, root / f"dataset-{i}") for i, table in enumerate(tables)]
    run = made_run(root / "run", curve_lines([0.5]))
    for name, on in (("mine", (0, 0)), ("one", (0,)), ("apart", (0, 1))):
        for seed, where in enumerate(on):
            table, rng = tables[where], np.random.default_rng(10 * len(name) + seed)
            scores = 1.5 * table.present.toarray()[50:] + rng.normal(size=(40, 5))
            made = made_evaluation(
                root / f"{name}-{seed}",
                table,
                datasets[where],
                run,
                (1 / (1 + np.exp(-scores))).astype(np.float32),
                name=name,
                seed=seed,
                resamples=60,
                fraction=0.05,
            )
            rows.setdefault(name, []).append(made)
    return Scored(rows, root)


def test_cells_have_intervals_over_images_and_seeds(scored: Scored, capsys: pytest.CaptureFixture) -> None:
    _, cells = read_table(Table(rows=scored.rows, output=scored.root / "table"))
    one = json.loads((scored.rows["one"][0] / "metrics.json").read_text())["metrics"]
    for metric in ("mAP", "AP_all"):
        assert cells["one"]["0.05"][metric]["interval"] == pytest.approx([100 * x for x in one[metric]["interval"]])
    # Of two seeds by what both were measured to have on the same resamples of the images.
    contents = [read_scores(path / "scores.parquet") for path in scored.rows["mine"]]
    values = [content.metrics().ap_all for content in contents]
    replicates = [content.resampled(60, 0).ap_all for content in contents]
    ends = metric_interval(values, replicates, ranking_support(int(contents[0].metrics().positives.sum())))
    low, high = (100 * end for end in ends)
    mine = cells["mine"]["0.05"]["AP_all"]
    assert mine["interval"] == pytest.approx([low, high])
    assert low < mine["measured"] < high
    apart = cells["apart"]["0.05"]["AP_all"]
    assert apart["interval"] is None
    assert "have different verified labels" in apart["no_interval"]
    with open(scored.root / "table" / "table.csv", newline="") as file:
        lines = {(line["row"], line["metric"]): line for line in csv.DictReader(file)}
    line = lines["mine", "AP_all"]
    assert (float(line["low"]), float(line["high"])) == pytest.approx((low, high), abs=1e-4)
    show_table([scored.root / "table"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{mine['measured']:.2f} ± {mine['spread']:.2f} [{low:.2f}, {high:.2f}]" in shown
    assert "[low, high]: 95 % interval over images, and over seeds where there are several" in shown
    assert "of one seed the interval is of that trained model" in shown
    assert "no interval of apart: " in shown


def single(output: Path, seed: int = 0, *, top_1: float = 0.5, fraction: float = 1.0, **more: Any) -> Path:
    """A finished evaluation of a single-label classifier."""
    settings = {"clean_fraction": fraction, "seed": seed}
    told = {"task": "single-label", "backbone": "resnet50", "dataset": "Clothing1M"} | more
    return classifier(output, settings, {"top_1": top_1, "mAP": 0.6, "AP_all": 0.7}, **told)


def judged(
    output: Path, seed: int = 0, *, error: float, held_out: int = 0, apart: float | None = None, **more: Any
) -> Path:
    """A finished evaluation of a detection."""
    values = {"average_error": error, "micro_error": error + 0.01, "AUC": 0.9}
    values |= {} if apart is None else {"held_out_error": apart}
    told: dict[str, Any] = {
        "split": "validation",
        "cross_fitted": True,
        "backbone": "resnet50",
        "dataset": "Clothing1M",
    }
    metrics = DetectionMetrics(
        version=FORMAT,
        task="label-noise",
        name="knn",
        score="score",
        images=40,
        wrong=10,
        classes=5,
        model=TestedModel(directory=output.name, kind="detection", settings={"clean_fraction": 1.0, "seed": seed}),
        selection=Selection(clean=made_clean_set(1.0)),
        bootstrap=Bootstrap(resamples=0, seed=0),
        metrics={name: Estimate(value=value, rests_on=90, counted="images") for name, value in values.items()},
        classes_without_images=Named(count=0),
        threshold=Threshold(value=0.5, chosen_on="validation"),
        held_out=MeasuredHeldOut(
            classes=tuple("abcde"[:held_out]), drawn=False, verification_used=False, images=held_out
        ),
        naive={},
        **(told | more),
    )
    return written(metrics, output)


def read_table(config: Table) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    table = json.loads((paper_table(config) / "table.json").read_text())
    return table, {row["name"]: row["cells"] for row in table["rows"]}


def test_detections_stand_in_columns_by_data_set(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = {
        "CleanNet": [
            judged(tmp_path / "c0", error=0.20),
            judged(tmp_path / "c1", 1, error=0.22),
            judged(tmp_path / "f0", error=0.10, dataset="Food-101N", split="test", cross_fitted=False),
        ],
        "naive baseline": [judged(tmp_path / "n", error=0.4, dataset="my own")],
    }
    config = Table(rows=rows, output=tmp_path / "t2", published="lee2018-table2")
    told, cells = read_table(config)
    assert (told["by"], told["columns"]) == ("dataset", ["Food-101N", "Clothing1M", "my own"])
    assert (told["metrics"], told["lower_is_better"]) == (["average_error"], ["average_error"])
    assert cells["CleanNet"]["Clothing1M"]["average_error"] == pytest.approx(cell(21.0, 2**0.5, 2, 15.91))
    assert cells["CleanNet"]["Food-101N"]["average_error"] == pytest.approx(cell(10.0, None, 1, 9.61))
    assert cells["naive baseline"]["my own"]["average_error"]["measured"] == pytest.approx(40)
    assert told["deviations"][:2] == [
        "measured on 40 verified noisy labels of split 'validation' of Clothing1M with 5 classes, each image's threshold "
        "chosen without its fold",
        "measured on 40 verified noisy labels of split 'test' of Food-101N with 5 classes",
    ]
    with open(tmp_path / "t2" / "table.csv", newline="") as file:
        lines = {(line["row"], line["dataset"]): line for line in csv.DictReader(file)}
    assert float(lines["CleanNet", "Food-101N"]["difference"]) == pytest.approx(0.39)
    show_table([tmp_path / "t2"])
    shown = capsys.readouterr().out
    assert "average error ↓ Food-101N" in shown
    assert "↓: lower is better" in shown
    assert "21.00 ± 1.41 (15.91)" in shown


def test_curves_over_held_out_classes(tmp_path: Path) -> None:
    rows = {
        "CleanNet": [
            judged(tmp_path / f"c{n}-{s}", s, error=0.1, held_out=n, apart=0.1 + 0.01 * n)
            for n in (1, 3)
            for s in (0, 1)
        ],
        "classification filtering": [judged(tmp_path / f"k{n}", error=0.1, held_out=n, apart=0.3) for n in (3, 1)],
    }
    told, cells = read_table(Table(rows=rows, output=tmp_path / "f5", published="lee2018-figure5"))
    assert (told["by"], told["columns"], told["metrics"]) == ("held_out", ["1", "3", "50"], ["held_out_error"])
    assert cells["CleanNet"]["3"]["held_out_error"] == pytest.approx(cell(13.0, 0.0, 2, None))
    assert cells["CleanNet"]["50"]["held_out_error"] == cell(None, None, 0, 11.02)
    assert "held-out error ↓ 3 held out" in (tmp_path / "f5" / "table.md").read_text()
    assert (tmp_path / "f5" / "table.png").stat().st_size > 5000
    weighted, whole = (
        {
            "selection": Selection(
                clean=made_clean_set(0.5),
                detection=WeightedBy(method="cleannet", threshold=0.1, held_out=classes, clean=made_clean_set(0.5)),
            )
        }
        for classes in (("a", "b"), ())
    )
    rows = {
        "CleanNet, w_soft": [
            single(tmp_path / "w2", top_1=0.8, **weighted),
            single(tmp_path / "w0", top_1=0.85, **whole),
        ],
        "None": [single(tmp_path / "w", top_1=0.7)],
    }
    told, cells = read_table(Table(rows=rows, output=tmp_path / "f6", published="lee2018-figure6"))
    assert told["columns"] == ["0", "2", "50", "70"]
    assert cells["CleanNet, w_soft"]["2"]["top_1"]["measured"] == pytest.approx(80)
    assert cells["CleanNet, w_soft"]["0"]["top_1"] == pytest.approx(cell(85, None, 1, 83.95))
    assert cells["None"]["any"]["top_1"] == pytest.approx(cell(70, None, 1, 81.44))


def test_columns_by_split_or_one_alone(tmp_path: Path) -> None:
    six = [
        single(tmp_path / name, top_1=value, split=name, backbone="alexnet")
        for name, value in (("test", 0.6), ("validation", 0.5))
    ]
    told, cells = read_table(Table(rows={"6 Ours, from 2": six}, output=tmp_path / "x", published="xiao2015-table2"))
    assert told["columns"] == ["validation", "test"]
    assert cells["6 Ours, from 2"]["test"]["top_1"] == pytest.approx(cell(60, None, 1, 78.24))
    assert cells["6 Ours, from 2"]["validation"]["top_1"]["measured"] == pytest.approx(50)
    assert not [text for text in told["deviations"] if "backbone" in text]
    # Whatever part of the clean set: the table has one column.
    rows = {"7 Proposed (sigmoid)": [single(tmp_path / "h", top_1=0.7, fraction=0.3)]}
    told, cells = read_table(Table(rows=rows, output=tmp_path / "h4", published="hu2019-table4"))
    assert told["columns"] == ["any"]
    assert cells["7 Proposed (sigmoid)"]["any"]["top_1"] == pytest.approx(cell(70, None, 1, 79.93))


def test_another_backbone_is_a_deviation_by_itself(tmp_path: Path) -> None:
    rows = {
        "1 ResNet50 (Noisy)": [single(tmp_path / "a", backbone="mobilenet_v2")],
        "2 ResNet50 (Clean)": [single(tmp_path / "b"), single(tmp_path / "c", 1, backbone="mobilenet_v2")],
        "5 Forward": [single(tmp_path / "d", backbone=None)],
    }
    told, _ = read_table(Table(rows=rows, output=tmp_path / "t", published="hu2019-table4"))
    others = [text for text in told["deviations"] if "backbone" in text]
    assert others == ["backbone mobilenet_v2 instead of resnet50 (1 ResNet50 (Noisy), 2 ResNet50 (Clean))"]
    alone = {"1 ResNet50 (Noisy)": [tmp_path / "a"]}
    told, _ = read_table(Table(rows=alone, output=tmp_path / "u", published="hu2019-table4"))
    assert "backbone mobilenet_v2 instead of resnet50" in told["deviations"]


def test_tables_of_our_own_lead_with_what_ranks_the_rows(tmp_path: Path) -> None:
    rows = {"a": [single(tmp_path / "a")], "b": [judged(tmp_path / "b", error=0.2, held_out=2, apart=0.3)]}
    told, cells = read_table(Table(rows=rows, output=tmp_path / "own", by="none"))
    assert told["metrics"] == ["top_1", "mAP", "AP_all", "average_error", "micro_error", "held_out_error", "AUC"]
    assert cells["b"]["any"]["held_out_error"]["measured"] == pytest.approx(30)
    assert told["lower_is_better"] == ["average_error", "micro_error", "held_out_error"]


def test_a_table_tells_what_its_rows_rest_on(tmp_path: Path) -> None:
    """Clean images by row, 50 and 100 of 5 and 10 %; a split of 30 images ranks no rows."""
    own = [evaluation(tmp_path / f"a{i}", share, 0, 0.4, 0.6) for i, share in enumerate((0.05, 0.1))]
    none = [evaluation(tmp_path / "b", None, 0, 0.4, 0.6)]
    told, _ = read_table(Table(rows={"own": own, "none": none}, output=tmp_path / "out"))
    assert told["rests_on"] == ["clean images fitted on: own 50 to 100, none none"]
    few = {name: [single(tmp_path / name).parent / name] for name in ("c", "d")}
    for records in few.values():
        path = records[0] / "metrics.json"
        path.write_text(path.read_text().replace('"images": 100', '"images": 30', 1))
    told, _ = read_table(Table(rows=few, output=tmp_path / "few"))
    assert told["rests_on"][-1] == "measured on 30 images, and fewer than 50 rank no rows"


def test_columns_that_a_table_cannot_have(tmp_path: Path) -> None:
    one, twin = single(tmp_path / "a"), single(tmp_path / "b", fraction=0.5)
    with pytest.raises(NlcliError, match=r"go by none, not by split; leave out --by"):
        paper_table(Table(rows={"5 Forward": [one]}, output=tmp_path / "t", published="hu2019-table4", by="split"))
    with pytest.raises(NlcliError, match="have the same data set and the same seed"):
        paper_table(Table(rows={"x": [one, twin]}, output=tmp_path / "t", by="dataset"))
    with pytest.raises(NlcliError, match="does not tell its dataset; evaluate again"):
        paper_table(Table(rows={"x": [single(tmp_path / "c", dataset=None)]}, output=tmp_path / "t", by="dataset"))


def test_published_figures_add_up() -> None:
    """Figures that a paper prints in two tables are the same in both."""
    tables = published_tables()
    rows = {(name, row["name"]): row["cells"] for name, table in tables.items() for row in table["rows"]}
    ours = rows["hu2018-table2", "Proposed (teacher-student)"]["0.05"]
    for other in (
        ("hu2018-table4", "Proposed"),
        ("hu2018-table5", "Pre-train both nets"),
        ("hu2018-table6", "Proposed (hard label)"),
    ):
        assert rows[other]["0.05"] == ours
    assert rows["hu2019-table3", "Proposed (sigmoid)"]["1"] == rows["hu2019-table5", "training g, h jointly"]["1"]
    values = [(name, v) for cells in rows.values() for column in cells.values() for name, v in column.items()]
    assert all(5 < v < 40 if name in LOWER_IS_BETTER else 20 < v < 100 for name, v in values)
    lee, hu = (
        [rows[name, row["name"]]["any"] for row in tables[name]["rows"]] for name in ("lee2018-table4", "hu2019-table4")
    )
    assert [lee[i] for i in (0, 1, 5, 6, 2, 3)] == hu[:6]
    # The text of Lee 2018, section 4.3: what every-image, semantic-308 and random-118 gain.
    one = {row["name"]: row["cells"]["WebVision 1"]["top_1"] for row in tables["lee2018-table6"]["rows"]}
    gain = one["every-image"] - one["baseline"]
    assert round(100 * (one["semantic-308"] - one["baseline"]) / gain) == 47
    assert round(100 * (one["random-118"] - one["baseline"]) / gain) == 29
    # Section 4.2: the errors of table 2 as the text repeats them; 4.3: the gains of figure 6.
    detect = {
        row["name"]: [c["average_error"] for c in row["cells"].values()] for row in tables["lee2018-table2"]["rows"]
    }
    assert detect["CleanNet"] == [9.61, 15.91]
    assert detect["CleanNet*"] == [6.99, 15.77]
    assert detect["MLP"] == [10.42, 16.09]
    assert detect["classification filtering"] == [16.60, 23.55]
    six = rows["lee2018-figure6", "CleanNet, w_soft"]
    none = rows["lee2018-figure6", "None"]["any"]["top_1"]
    assert [round(six[n]["top_1"] - none, 2) for n in ("50", "70")] == [2.1, 1.75]
    assert none == rows["lee2018-table3", "None, Food-101N"]["any"]["top_1"]
    assert six["0"] == rows["lee2018-table3", "CleanNet, w_soft"]["any"]


def test_published_tables_name_what_they_were_reached_with() -> None:
    from nlcli.networks.architectures import BACKBONES

    for name, table in published_tables().items():
        assert table["backbone"] in BACKBONES, name
        columns = {column for row in table["rows"] for column in row["cells"]} - {"any"}
        numbered = table["by"] in NUMBERED
        assert not numbered or all(float(column) >= 0 for column in columns)
        assert table["by"] != "none" or not columns
        assert table["by"] != "split" or columns == {"validation", "test"}


def test_every_published_table_has_its_pipeline() -> None:
    folder = Path(__file__).parents[3] / "pipelines"
    made = {
        step.config.model_dump().get("published")
        for file in folder.glob("*.yaml")
        for step in read_pipeline(file).steps
    }
    assert set(published_tables()) <= made


def test_a_row_that_used_no_clean_label_stands_where_the_paper_prints_it(tmp_path: Path) -> None:
    """Hu 2019, table 5: h alone learns from noisy labels, and the paper prints it beside what used all of V."""
    rows = {"training h alone": [evaluation(tmp_path / "h", None, 0, 0.6, 0.8)]}
    output = paper_table(Table(rows=rows, output=tmp_path / "table", published="hu2019-table5"))
    cells = {row["name"]: row["cells"] for row in json.loads((output / "table.json").read_text())["rows"]}
    assert list(cells["training h alone"]) == ["1"]
    expected = cell(60.0, None, 1, 64.06)
    assert cells["training h alone"]["1"]["mAP"] == pytest.approx(expected)


def test_rows_that_were_evaluated_and_show_nothing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Veit 2017, table 3, on a data set without categories: no cell could ever be filled."""
    rows = {"Baseline": [evaluation(tmp_path / "n", None, 0, 0.4, 0.3, groups={})]}
    show_table([paper_table(Table(rows=rows, output=tmp_path / "t3", published="veit2017-table3"))])
    told = " ".join(capsys.readouterr().out.split())
    assert "nothing to show for Baseline: the table is of mAP vehicles, mAP products," in told
    assert "and the evaluations have AP_all, mAP" in told
