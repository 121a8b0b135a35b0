"""Detections on disk: weights made of them, CSV for spreadsheets, and files that are damaged."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.detection_files import ScoredLabels, read_detection, read_weights, write_detection
from nlcli.detection.config import DetectNoise
from nlcli.errors import NlcliError
from worlds.made_detections import record_of


def labels_of(scores: list[float], keys: list[str], probability: list[float] | None = None) -> ScoredLabels:
    count = len(keys)
    names = np.array(keys, object)
    return ScoredLabels(
        keys=names,
        paths=names,
        splits=np.array(["train"] * count, object),
        noisy=np.zeros(count, np.int64),
        verified=np.full(count, -1, np.int8),
        score=np.array(scores, np.float32),
        verdict=np.array([int(s >= 0.5) for s in scores], np.int8),
        measured=np.full(count, -1, np.int8),
        probability=np.full(count, np.nan, np.float32) if probability is None else np.array(probability, np.float32),
        suggested=np.full(count, -1),
        suggested_probability=np.full(count, np.nan, np.float32),
    )


def made_by_hand(output: Path, scores: list[float], keys: list[str], *, soft: bool = True) -> Path:
    from nlcli.stages.stage import open_stage

    config = DetectNoise(dataset=output, features=output, output=output, method="average", seed=int(soft))
    with open_stage("detection", config, {}) as stage:
        write_detection(stage.work, record_of(classes=("a",), soft=soft), labels_of(scores, keys))
        stage.finish({})
    return output


def test_weights_by_hand(tmp_path: Path) -> None:
    made = made_by_hand(tmp_path / "d", [0.7, -0.2, 0.5, 0.49, 1.5], ["a", "b", "c", "d", "e"])
    keys = np.array(["c", "a", "b", "e", "d"], object)
    np.testing.assert_allclose(read_weights(made, keys, "soft"), [0.5, 0.7, 0, 1, 0.49])
    np.testing.assert_array_equal(read_weights(made, keys, "hard"), [1, 1, 0, 1, 0])
    assert read_weights(made, keys[:0], "soft").dtype == np.float32
    with pytest.raises(NlcliError, match=r"has no score of 1 of 2 images \(such as 'x'\)"):
        read_weights(made, np.array(["a", "x"], object), "soft")
    other = made_by_hand(tmp_path / "ranks", [-1, -3], ["a", "b"], soft=False)
    with pytest.raises(NlcliError, match="the score of average is no weight between 0 and 1"):
        read_weights(other, np.array(["a"], object), "soft")


def test_csv_runs_nothing_in_a_spreadsheet(tmp_path: Path) -> None:
    keys = ["=HYPERLINK(1)", "+SUM(1)", "-1", "@x", 'a "quoted", key', "plain\nline"]
    made = made_by_hand(tmp_path / "d", [0.1, 0.2, 0.3, 0.4, -0.5, 0.6123456789], keys)
    with open(made / "noise.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == [keys[4], "'=HYPERLINK(1)", "'+SUM(1)", "-1", "'@x", keys[5]]
    assert (rows[0]["score"], rows[5]["score"]) == ("-0.5", "0.6123457")
    assert rows[0]["verified"] == ""
    assert pd.read_parquet(made / "noise.parquet").key.tolist()[1] == "=HYPERLINK(1)"


def test_damaged_detections_are_refused(tmp_path: Path) -> None:
    made = made_by_hand(tmp_path / "d", [0.1, 0.9], ["a", "b"])
    with pytest.raises(NlcliError, match="is not a detection directory"):
        read_detection(tmp_path)
    good = pq.read_table(made / "noise.parquet")
    bad = good.set_column(6, "verdict", pa.array(["right", "perhaps"]))
    pq.write_table(bad, made / "noise.parquet")
    with pytest.raises(NlcliError, match="column 'verdict' has a value that it cannot have"):
        read_detection(made)
    pq.write_table(good.drop_columns("score"), made / "noise.parquet")
    with pytest.raises(NlcliError, match="does not have the columns that nlcli writes there"):
        read_detection(made)
    (made / "noise.parquet").write_bytes(b"PAR1")
    with pytest.raises(NlcliError, match="cannot read"):
        read_detection(made)
    info = json.loads((made / "detection.json").read_text())
    for damage, words in (
        ({"classes": 3}, r"detection.json: field 'classes': .*; make it again with 'nlcli detect-noise'"),
        ({"threshold": {"value": "high"}}, r"field 'threshold\.value': .*valid number.* \(given: 'high'\)"),
        ({"more": 1}, "field 'more'"),
        ({"classes": ["\ud800", "b"]}, r"field 'classes\.0': half a character"),
    ):
        (made / "detection.json").write_text(json.dumps(info | damage))
        with pytest.raises(NlcliError, match=words):
            read_detection(made)
    for text in ("[]", "{", '{"version": 1}'):
        (made / "detection.json").write_text(text)
        with pytest.raises(NlcliError, match=r"detection\.json"):
            read_detection(made)
