"""Extraction to shards, resumed and repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nlcli.data.features import extract as extracting
from nlcli.data.features.extract import extract_features
from nlcli.data.features.shards import shard_path, write_shard
from nlcli.data.features.store import FeatureStore
from nlcli.errors import NlcliError
from nlcli.networks.backbone import Backbone
from nlcli.networks.provenance import NetworkSource
from nlcli.networks.weights import build_backbone, save_backbone
from worlds.extraction import BROKEN, config_of, table_of
from worlds.stage_builders import published


def test_features_are_those_of_the_network(extracted: Path, expected: np.ndarray, backbone: Backbone) -> None:
    store = FeatureStore(extracted)
    assert store.shape == expected.shape == (21, 256)
    assert store.dtype == np.float32
    np.testing.assert_allclose(store.read(np.arange(21)), expected, rtol=1e-4, atol=1e-5)
    assert store.keys.tolist() == [f"k{i}" for i in range(23) if i not in BROKEN]
    assert store.backbone_fingerprint == backbone.fingerprint
    last = store.last_layer
    assert last is not None
    np.testing.assert_array_equal(last.kernel, backbone.last_layer.kernel)
    assert last.classes == ("a", "b")


def test_broken_images_are_rows_with_a_reason(extracted: Path, capsys: pytest.CaptureFixture[str], work: Path) -> None:
    index = pq.read_table(extracted / "index.parquet").to_pylist()
    assert [row["key"] for row in index] == [f"k{i}" for i in range(23)]
    assert {i: row["error"] for i, row in enumerate(index) if row["status"] == "error"} == BROKEN
    assert [row["row"] for row in index[:10]] == [0, 1, 2, 3, -1, 0, 1, 2, 3, 4]
    assert [row["shard"] for row in index[3:7]] == [0, 0, 1, 1]
    store = FeatureStore(extracted)
    assert store.errors == {"k4": "the file is empty", "k11": "there is no such file"}
    np.testing.assert_array_equal(store.rows_of(["k5", "k0", "k4"], strict=False), [4, 0, -1])
    with pytest.raises(NlcliError, match="image 'k4' could not be read .*the file is empty"):
        store.rows_of(["k0", "k4"])
    with pytest.raises(NlcliError, match="no features of image 'stranger'"):
        store.rows_of(["k0", "stranger"])


def test_broken_images_are_counted_at_the_end(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract_features(config_of(work, tmp_path / "f"))
    assert "2 of 23 images could not be read" in capsys.readouterr().err
    record = json.loads((tmp_path / "f/stage.json").read_text())
    assert record["summary"]["broken"] == 2


@pytest.mark.parametrize("changes", [{"batch_size": 23}, {"shard_rows": 100}, {"workers": 1}, {"shard_rows": 1}])
def test_cutting_up_changes_nothing(work: Path, tmp_path: Path, expected: np.ndarray, changes: dict) -> None:
    store = FeatureStore(extract_features(config_of(work, tmp_path / "f", **changes)))
    np.testing.assert_allclose(store.read(np.arange(21)), expected, rtol=1e-4, atol=1e-5)


def test_float16_is_stored_rounded(work: Path, tmp_path: Path, extracted: Path) -> None:
    store = FeatureStore(extract_features(config_of(work, tmp_path / "f", dtype="float16")))
    assert store.dtype == np.float16
    np.testing.assert_array_equal(
        store.read(np.arange(21)), FeatureStore(extracted).read(np.arange(21)).astype(np.float16)
    )


def test_the_recipe_names_what_decides(work: Path, tmp_path: Path) -> None:
    path = extract_features(config_of(work, tmp_path / "f", precision="auto", decode="fast"))
    recipe = json.loads((path / "stage.json").read_text())["recipe"]
    assert recipe["config"]["precision"] in ("float32", "bfloat16", "float16")
    assert recipe["config"]["decode"] == "fast"
    assert set(recipe["inputs"]) == {"dataset", "backbone"}
    assert json.loads((path / "features.json").read_text())["preprocessing"]["decode"] == "fast"
    with pytest.raises(NlcliError, match="decode fast -> exact"):
        extract_features(config_of(work, tmp_path / "f", precision="auto", decode="exact"))


def test_up_to_date_extraction_computes_nothing(
    work: Path, extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor opens the network."""
    monkeypatch.setattr(NetworkSource, "open", lambda source: pytest.fail("opened"))
    assert extract_features(config_of(work, extracted)) == extracted
    with pytest.raises(pytest.fail.Exception, match="opened"):
        extract_features(config_of(work, tmp_path / "another"))


def test_the_same_command_gives_the_same_files(work: Path, extracted: Path, tmp_path: Path) -> None:
    again = extract_features(config_of(work, tmp_path / "f"))
    fingerprints = [json.loads((path / "stage.json").read_text())["fingerprint"] for path in (extracted, again)]
    assert fingerprints[0] == fingerprints[1]


def test_features_that_are_not_finite_name_the_image(work: Path, tmp_path: Path) -> None:
    made = build_backbone("small_cnn", "none", image_size=32)
    gamma = made.model.get_layer("norm6").gamma
    gamma.assign(gamma.numpy() * np.float32(1e7))
    save_backbone(tmp_path / "b", made)
    config = config_of(work, tmp_path / "f", dtype="float16").model_copy(update={"backbone": str(tmp_path / "b")})
    with pytest.raises(NlcliError, match="features of image 'k0' contain NaN or infinity .*stored as float16"):
        extract_features(config)


def test_no_image_at_all(work: Path, tmp_path: Path) -> None:
    published(table_of(tmp_path, 3), tmp_path / "dataset")
    config = config_of(work, tmp_path / "f").model_copy(update={"dataset": tmp_path / "dataset"})
    with pytest.raises(NlcliError, match="none of the 3 images .*there is no such file"):
        extract_features(config)


def test_backbones_that_are_not_there(work: Path, tmp_path: Path) -> None:
    config = config_of(work, tmp_path / "f")
    with pytest.raises(NlcliError, match="nor is there a saved backbone"):
        extract_features(config.model_copy(update={"backbone": str(tmp_path / "absent")}))
    with pytest.raises(NlcliError, match="no weights file"):
        extract_features(config.model_copy(update={"backbone": "small_cnn", "weights": str(tmp_path / "w.h5")}))
    with pytest.raises(NlcliError, match="leave out --weights"):
        extract_features(config.model_copy(update={"weights": "none"}))


def test_registered_network(work: Path, tmp_path: Path) -> None:
    config = config_of(work, tmp_path / "f").model_copy(update={"backbone": "small_cnn", "weights": "none"})
    store = FeatureStore(extract_features(config))
    assert store.last_layer is None
    assert store.backbone_fingerprint == build_backbone("small_cnn", "none").fingerprint


class Killed(BaseException):
    """Stands for the end of the process: nothing in the program catches it."""


def test_a_killed_extraction_keeps_finished_shards(
    work: Path, extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def dying(path: Path, *rest: Any) -> Any:
        if len(written) == 2:
            raise Killed
        written.append(path)
        return write_shard(path, *rest)

    monkeypatch.setattr(extracting, "write_shard", dying)
    with pytest.raises(Killed):
        extract_features(config_of(work, tmp_path / "f"))
    partial = tmp_path / "f.partial"
    before = {path: shard_path(partial, number).stat().st_mtime_ns for number, path in enumerate(written)}
    shard_path(partial, 1).with_suffix(".json").unlink()  # as if killed between the shard and its record
    monkeypatch.setattr(extracting, "write_shard", write_shard)
    path = extract_features(config_of(work, tmp_path / "f"))
    assert shard_path(path, 0).stat().st_mtime_ns == before[written[0]]
    np.testing.assert_array_equal(FeatureStore(path).read(np.arange(21)), FeatureStore(extracted).read(np.arange(21)))


@pytest.mark.slow
def test_sigkill(work: Path, extracted: Path, tmp_path: Path) -> None:
    """Killed in the middle of a shard, the same command ends with the same result."""
    script = (
        "import sys, time; import nlcli.data.features.extract as f\n"
        "from nlcli.data.config import ExtractFeatures\n"
        "write = f.write_shard\n"
        "def slow(*given):\n    record = write(*given); print('shard', flush=True); time.sleep(0.05); return record\n"
        "f.write_shard = slow\n"
        "f.extract_features(ExtractFeatures.model_validate_json(sys.argv[1]))\n"
    )
    output = tmp_path / "f"
    command = [sys.executable, "-c", script, config_of(work, output).model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"shard\n"] * 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not output.exists()
    extract_features(config_of(work, output))
    fingerprints = [json.loads((path / "stage.json").read_text())["fingerprint"] for path in (extracted, output)]
    assert fingerprints[0] == fingerprints[1]
