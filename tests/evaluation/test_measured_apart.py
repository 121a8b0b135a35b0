"""Records of stages tell how many of the checked images that they used were chosen by score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nlcli.data.score_chosen import LOG
from nlcli.detection.detect_noise import detect_noise
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.evaluate import evaluate
from nlcli.stages.stage import read_stage
from nlcli.training.config import TrainHead
from nlcli.training.train_head import train_head
from worlds.detection import make_world


def test_images_chosen_by_score_are_counted_apart(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    checked = np.concatenate([world.rows("train")[world.verified[world.rows("train")]][:30], world.rows("test")[:10]])
    keys = [world.keys[row] for row in checked]
    pq.write_table(pa.table({"key": keys, "how": ["errors"] * 40}), world.dataset() / LOG)

    detection = detect_noise(world.config("knn", "knn", options={"neighbours": 5}))
    assert read_stage(detection).summary["clean_images_chosen_by_score"] == 30
    assert json.loads((detection / "detection.json").read_text())["clean"]["chosen_by_score"] == 30
    run = train_head(
        TrainHead(dataset=world.dataset(), features=world.stored(), output=tmp_path / "run", method="clean")
    )
    assert read_stage(run).summary["clean_images_chosen_by_score"] == 30
    for model in (detection, run):
        measured = evaluate(Evaluate(model=model, split="test", bootstrap=0, output=tmp_path / f"{model.name}-test"))
        metrics = json.loads((measured / "metrics.json").read_text())
        assert metrics["selection"]["clean"]["chosen_by_score"] == 30
        assert metrics["remarks"][-1 if model is detection else 0].startswith(
            "10 of the 120 verified images were checked because of their score, and 110 were not"
        )
