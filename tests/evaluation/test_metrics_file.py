"""``metrics.json`` and what reads it: as it was written, or refused in a sentence."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.compare import compare
from nlcli.evaluation.measured import Measured
from nlcli.evaluation.metrics_file import (
    FORMAT,
    METRICS,
    Bootstrap,
    ClassifierMetrics,
    Estimate,
    Named,
    Selection,
    TestedModel,
    estimates,
    flat,
    read_metrics,
)
from nlcli.metrics.intervals import ranking_support, share_support
from nlcli.stages.files import read_json, write_json
from nlcli.stages.stage import read_stage
from worlds.made_evaluations import made_clean_set, written


def made(**more: object) -> ClassifierMetrics:
    return ClassifierMetrics(
        version=FORMAT,
        task="single-label",
        name="noisy",
        score="classifier",
        split="validation",
        images=3,
        classes=2,
        model=TestedModel(directory="run", kind="run", settings={"seed": 4, "clean_fraction": 0.1, "scale": None}),
        selection=Selection(clean=made_clean_set(0.1), step=7),
        bootstrap=Bootstrap(resamples=20, seed=0),
        metrics={
            "mAP": Estimate(value=0.5, rests_on=3, counted="positives", no_interval="3 positives, fewer than 5"),
            "top_1": Estimate(value=None, interval=(0.25, 0.75), rests_on=3, counted="images"),
        },
        verified_entries=6,
        positives=3,
        classes_without_positives=Named(count=1, names=("b",)),
        **more,
    )


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    metrics = made(dataset="photos", mAP_by_group={"warm": None, "cold": 0.25})
    record = read_stage(written(metrics, tmp_path / "evaluation"))
    assert read_metrics(record) == metrics
    content = read_json(record.path / METRICS)
    assert content["version"] == FORMAT
    assert content["metrics"]["top_1"] == {
        "value": None,
        "interval": [0.25, 0.75],
        "rests_on": 3,
        "counted": "images",
        "no_interval": None,
    }
    assert metrics.names == ["top_1", "mAP"]  # as they are shown
    assert (metrics.model.seed, metrics.model.clean_fraction, metrics.model.scale) == (4, 0.1, 1.0)
    assert metrics.clean_images == 10


def test_estimates_hold_null_for_what_is_not_defined() -> None:
    drawn, nothing = np.arange(101) / 100, np.empty(0)
    supports = {"mAP": ranking_support(4), "top_1": share_support(40)}
    values = {"mAP": math.nan, "top_1": 0.5}
    measured = Measured(values, nothing, nothing, {"mAP": drawn, "top_1": drawn}, nothing, supports, False)
    wilson = binomtest(20, 40).proportion_ci(method="wilson")
    ends = (wilson.low, wilson.high)
    assert {name: estimate.model_dump() for name, estimate in estimates(measured).items()} == {
        "mAP": {
            "value": None,
            "interval": None,
            "rests_on": 4,
            "counted": "positives",
            "no_interval": "4 positives, fewer than 5",
        },
        "top_1": {
            "value": 0.5,
            "interval": pytest.approx(ends),
            "rests_on": 40,
            "counted": "images",
            "no_interval": None,
        },
    }
    assert flat(estimates(measured)) == {"mAP": None, "top_1": 0.5, "top_1_interval": pytest.approx(list(ends))}
    assert set(estimates(measured, only=("top_1",))) == {"top_1"}
    without = estimates(replace(measured, replicates={}))
    assert (without["mAP"].interval, without["mAP"].no_interval, without["top_1"].interval) == (None, None, None)


def test_an_evaluation_of_0_1_0_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    output = written(made(), tmp_path / "evaluation")
    old = read_json(output / METRICS)
    del old["version"]
    write_json(output / METRICS, old | {"mAP": 0.5})
    with pytest.raises(
        NlcliError, match=rf"has format 0, .* with 'nlcli eval MODEL --split validation --output {output}'"
    ):
        read_metrics(read_stage(output))
    with pytest.raises(NlcliError, match="make it again with 'nlcli eval"):
        compare([output])
    write_json(output / METRICS, read_json(output / METRICS) | {"version": FORMAT + 1})
    with pytest.raises(NlcliError, match=f"has format {FORMAT + 1}, and this version of nlcli reads format {FORMAT}"):
        read_metrics(read_stage(output))


def test_a_field_of_the_wrong_type_is_a_sentence(tmp_path: Path) -> None:
    output = written(made(), tmp_path / "evaluation")
    content = read_json(output / METRICS)
    write_json(output / METRICS, content | {"images": "many"})
    with pytest.raises(NlcliError, match=r"metrics.json: field 'images': .*make it again with 'nlcli eval"):
        read_metrics(read_stage(output))
    write_json(output / METRICS, [1, 2])
    with pytest.raises(NlcliError, match="does not hold a JSON object"):
        read_metrics(read_stage(output))
