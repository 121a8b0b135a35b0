"""Comparisons of heads and backbones on real files."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.evaluation.comparison import side_by_side_plot
from nlcli.evaluation.comparison.compare import compare, compare_evaluations, show_evaluations, show_report
from nlcli.evaluation.comparison.model_rows import Comparison, OverSeeds, Row
from nlcli.evaluation.comparison.side_by_side_table import comparison_table
from nlcli.evaluation.config import Compare
from nlcli.evaluation.metrics_file import Bootstrap
from nlcli.evaluation.score_files import read_scores
from nlcli.metrics.intervals import difference_interval, metric_interval, ranking_support
from nlcli.stages.files import read_json, write_json
from nlcli.stages.stage import read_stage
from worlds.evaluated import evaluated, metrics_of, value_of
from worlds.scored_chain import Chain, shared_chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Multi-label; test image 060 is broken."""
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


def test_comparison_pairs_seeds_and_resamples(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = [chain.run("noisy", 0), chain.run("noisy", 1), chain.run("residual", 0), chain.run("residual", 1)]
    evaluations = [evaluated(run, output=tmp_path / run.name) for run in runs]
    comparison = compare(evaluations)
    assert [row.label for row in comparison.rows] == ["noisy", "residual"]
    assert [row.seeds for row in comparison.rows] == [(0, 1), (0, 1)]
    assert comparison.rows[0].clean_images is None  # the noisy method uses no clean label
    assert comparison.rows[1].clean_images == 20
    assert comparison.rows[1].selected_by == "validation cost_beyond_start"

    values = [value_of(path, "AP_all") for path in evaluations]
    first, second = (row.metrics["AP_all"] for row in comparison.rows)
    assert first.value == pytest.approx(np.mean(values[:2]))
    assert first.spread == pytest.approx(np.std(values[:2], ddof=1))
    assert first.difference is None
    assert second.difference == pytest.approx(np.mean(values[2:]) - np.mean(values[:2]))
    scored = [read_scores(path / "scores.parquet") for path in evaluations]
    replicates = [s.resampled(60, 0).ap_all for s in scored]
    support = ranking_support(int(scored[0].metrics().positives.sum()))
    expected = difference_interval(values[2:], replicates[2:], values[:2], replicates[:2], support)
    assert second.difference_interval == pytest.approx(expected)
    assert second.interval == pytest.approx(metric_interval(values[2:], replicates[2:], support))
    # The same from scores, without the stored replicates.
    again = compare(evaluations, resamples=61, seed=0)
    assert again.rows[1].metrics["AP_all"].value == second.value

    show_evaluations(evaluations)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["model", "clean", "seeds", "mAP", "difference", "AP_all", "difference"]
    assert "residual  50 % (20)  2" in shown
    assert "95 % interval over other images like these, and other seeds where a row has several" in shown
    assert "paired by image" in shown
    assert "23 images of split 'test'; fewer than 50 rank no models" in shown


def test_what_evaluations_remark_stands_below_the_table(chain: Chain, tmp_path: Path) -> None:
    evaluations = [evaluated(chain.run("noisy", seed), output=tmp_path / f"noisy-{seed}") for seed in (0, 1)]
    evaluations.append(evaluated(chain.run("residual", 0), output=tmp_path / "residual"))
    for i, path in enumerate(evaluations):
        metrics = read_json(path / "metrics.json")
        write_json(path / "metrics.json", metrics | {"remarks": [f"remark {i}.{n}" for n in range((1, 0, 9)[i])]})
    comparison = compare(evaluations)
    assert [len(row.remarks) for row in comparison.rows] == [1, 9]
    notes = comparison_table(comparison)[2]
    assert "noisy: seed 0: remark 0.0" in notes
    assert "residual: remark 2.0" in notes
    assert notes[-1] == "2 more remarks stand in the evaluations' metrics.json"


def test_report_directory(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    evaluations = tuple(evaluated(chain.run(m), output=tmp_path / m) for m in ("noisy", "residual"))
    report = compare_evaluations(Compare(evaluations=evaluations, output=tmp_path / "report"))
    comparison = Comparison.read(report / "comparison.json")
    assert comparison == compare(evaluations)
    with open(report / "comparison.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["model"] for line in lines] == ["noisy", "residual"]
    assert float(lines[1]["AP_all"]) == pytest.approx(comparison.rows[1].metrics["AP_all"].value, abs=1e-6)
    assert lines[0]["AP_all_difference"] == ""
    markdown = (report / "comparison.md").read_text(encoding="utf-8")
    assert markdown.startswith("| model | clean | mAP | difference | AP_all | difference |\n| --- |")
    assert "| residual | 50 % (20) |" in markdown
    with open(report / "per_class.csv", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["class", "positives", "noisy, 50 % clean", "residual, 50 % clean"]
    with Image.open(report / "comparison.png") as image:
        assert image.width > 300
    assert (report / "comparison.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert read_stage(report, "report").summary["models"] == 2
    capsys.readouterr()
    show_report([report])
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["model", "clean", "mAP"]


def test_no_line_runs_through_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The dashed line at the first model's value stands behind the numbers, which cover it."""
    figures: list[Figure] = []
    monkeypatch.setattr(side_by_side_plot, "save_figure", lambda figure, path: figures.append(figure))
    row = Row(
        label="one", clean_fraction=None, clean_images=None, seeds=(0,), selected_by="", planted=None,
        metrics={"mAP": OverSeeds(value=0.5)},
    )  # fmt: skip
    comparison = Comparison(
        task="multi-label", split="test", images=9, images_left_out=0, images_of_unknown_class=0,
        classes_without_positives=0, resamples=0, reference="one", naive={}, rows=(row,),
    )  # fmt: skip
    side_by_side_plot.comparison_plot(comparison, tmp_path / "x.png")
    (axes,) = figures[0].axes
    (number,) = axes.texts
    (line,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert number.get_text() == "0.500"
    assert number.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)
    assert number.get_zorder() > line.get_zorder()


@pytest.mark.slow
def test_rows_are_told_apart_by_what_differs(chain: Chain, tmp_path: Path) -> None:
    runs = [chain.run("residual"), chain.run("residual", alpha=0.5), chain.run("residual", activation="tanh")]
    evaluations = [evaluated(run, output=tmp_path / run.name, bootstrap=0) for run in runs]
    evaluations.append(evaluated(runs[0], output=tmp_path / "h", bootstrap=0, score="noisy"))
    comparison = compare(evaluations)
    assert [row.label for row in comparison.rows] == [
        "residual",
        "residual (alpha=0.5)",
        "residual (activation=tanh)",
        "residual (score noisy)",
    ]
    assert all(row.metrics["mAP"].interval is None for row in comparison.rows)
    assert all(row.metrics["mAP"].spread is None for row in comparison.rows)


def test_comparison_keeps_to_common_images(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    whole = evaluated(chain.run(), output=tmp_path / "whole")
    part = tmp_path / "part"
    shutil.copytree(whole, part)
    scores = pq.read_table(part / "scores.parquet")
    pq.write_table(scores.slice(3), part / "scores.parquet")
    metrics_of(part).model_copy(update={"bootstrap": Bootstrap(resamples=0, seed=0)}).write(part / "metrics.json")
    record = read_json(part / "stage.json")
    write_json(part / "stage.json", record | {"fingerprint": "sha256:another"})
    comparison = compare([whole, part])
    assert (comparison.images, comparison.images_left_out) == (20, 3)
    first, second = (row.metrics["AP_all"] for row in comparison.rows)
    assert first.value == second.value
    half = 1.959964 / (len(read_scores(part / "scores.parquet").together()[0].nonzero()[0]) + 2)
    assert second.difference_interval == pytest.approx((-half, half), rel=1e-6), "alike here, not everywhere"
    assert "3 images were not scored by all models" in capsys.readouterr().err


def test_evaluations_that_cannot_be_compared(chain: Chain, single: Chain, tmp_path: Path) -> None:
    test = evaluated(chain.run(), output=tmp_path / "test")
    train = evaluated(chain.run(), output=tmp_path / "train", split="train")
    with pytest.raises(NlcliError, match="no image in common"):
        compare([test, train])
    other = evaluated(single.run(), output=tmp_path / "single")
    with pytest.raises(NlcliError, match="different verified labels"):
        compare([test, other])
    with pytest.raises(NlcliError, match="the same evaluation"):
        compare([test, test])
    with pytest.raises(NlcliError, match="nothing to compare"):
        compare([])
    with pytest.raises(NlcliError, match="is a dataset directory"):
        compare([chain.dataset])
