"""A head on features of another library's network: image files are read by that network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import ExtractFeatures
from nlcli.data.features.extract import extract_features
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Predict
from nlcli.evaluation.image_scorer import open_scorer
from nlcli.evaluation.predict import predict
from nlcli.stages.stage import read_stage
from worlds.onnx_files import write_onnx
from worlds.scored_chain import Chain, table_of_squares
from worlds.stage_builders import published


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    dataset = published(table_of_squares(tmp_path / "squares"), tmp_path / "dataset")
    network = write_onnx(tmp_path / "small.onnx", "side")
    config = ExtractFeatures(
        dataset=dataset,
        backbone=f"onnx:{network}",
        output=tmp_path / "features",
        scaling="imagenet",
        image_size=48,
        network_output="mean",
    )
    return Chain(tmp_path, dataset, network, extract_features(config))


def test_image_files_score_as_their_features_do(chain: Chain) -> None:
    run = read_stage(chain.run())
    table = read_dataset(chain.dataset)
    rows = table.rows("test")
    of_files = open_scorer(run)
    of_features = open_scorer(run, FeatureStore(chain.features))
    scores = [
        np.concatenate([batch.scores for _, batch in scorer.score_rows(table, rows)])
        for scorer in (of_files, of_features)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    assert of_files.backbone == "onnx:small.onnx"


def test_a_network_that_moved_or_changed(chain: Chain, tmp_path: Path) -> None:
    run = read_stage(chain.run())
    write_onnx(chain.backbone, "side", seed=1)
    with pytest.raises(NlcliError, match="is not the one whose features"):
        open_scorer(run)
    chain.backbone.unlink()
    with pytest.raises(NlcliError, match=r"was trained on, is no longer at .*: put it back, .* --backbone onnx:NAME"):
        open_scorer(run)
    moved = write_onnx(tmp_path / "elsewhere.onnx", "side")
    drawn = tmp_path / "squares"
    wanted = {"images": drawn / "000.jpg", "run": chain.run(), "format": "csv"}
    assert predict(Predict(**wanted, backbone=Path(f"onnx:{moved}"), output=tmp_path / "a.csv")) == {
        "images": 1,
        "errors": 0,
    }
    write_onnx(moved, "side", seed=1)
    with pytest.raises(NlcliError, match="is not the one whose features"):
        predict(Predict(**wanted, backbone=Path(f"onnx:{moved}")))
