"""Extraction by another program than TensorFlow: what is recorded, up to date, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.features import extract as extracting
from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.extract import extract_features
from nlcli.data.features.shards import write_shard
from nlcli.data.features.store import FeatureStore
from nlcli.errors import NlcliError
from nlcli.networks import engine_choice
from worlds.extraction import config_of

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
OTHER = "onnxruntime"  # it needs no second for its first batch


@pytest.fixture(scope="module")
def by_other(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("by_other") / "f"
    return extract_features(config_of(work, output, engine_cpu=OTHER))


def _chooses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "choose_engine", lambda *_: name)


def test_features_are_tensorflows_within_what_is_recorded(by_other: Path, extracted: Path) -> None:
    rows = np.arange(21)
    plain, other = FeatureStore(extracted).read(rows), FeatureStore(by_other).read(rows)
    np.testing.assert_allclose(other, plain, rtol=1e-4, atol=1e-5)
    record = FeaturesRecord.read(by_other / DESCRIPTION).engine_cpu
    assert record is not None
    assert (record.name, record.tolerance) == (OTHER, 1e-4)
    assert record.difference < 1e-5
    assert json.loads((by_other / "stage.json").read_text())["recipe"]["config"]["engine_cpu"] == OTHER


def test_tensorflows_are_what_they_were(extracted: Path) -> None:
    """Nothing is said of engines where there is no other, so that what was made before stays up to date."""
    assert "engine_cpu" not in json.loads((extracted / DESCRIPTION).read_text())
    assert "engine_cpu" not in json.loads((extracted / "stage.json").read_text())["recipe"]["config"]


def test_auto_is_up_to_date_with_whatever_it_made(
    work: Path, by_other: Path, extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_choice, "choose_engine", lambda *_: pytest.fail("measured again"))
    for made in (by_other, extracted):
        extract_features(config_of(work, made, engine_cpu="auto"))
        assert f"{made} is up to date" in capsys.readouterr().err
    with pytest.raises(NlcliError, match="engine_cpu onnxruntime -> None"):
        extract_features(config_of(work, by_other))


def test_auto_goes_on_with_the_engine_that_it_began_with(
    work: Path, by_other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    written: list[Path] = []

    def dying(path: Path, *rest: Any) -> Any:
        if len(written) == 2:
            raise Killed
        written.append(path)
        return write_shard(path, *rest)

    _chooses(OTHER, monkeypatch)
    monkeypatch.setattr(extracting, "write_shard", dying)
    with pytest.raises(Killed):
        extract_features(config_of(work, tmp_path / "f", engine_cpu="auto"))
    monkeypatch.setattr(extracting, "write_shard", write_shard)
    _chooses("tensorflow", monkeypatch)  # what it would choose now
    path = extract_features(config_of(work, tmp_path / "f", engine_cpu="auto"))
    fingerprints = [json.loads((made / "stage.json").read_text())["fingerprint"] for made in (by_other, path)]
    assert fingerprints[0] == fingerprints[1]


def test_force_chooses_anew(work: Path, by_other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _chooses(OTHER, monkeypatch)
    extract_features(config_of(work, tmp_path / "f", engine_cpu="auto"))
    _chooses("tensorflow", monkeypatch)
    config = config_of(work, tmp_path / "f", engine_cpu="auto", dtype="float16")
    recipe = json.loads((extract_features(config, force=True) / "stage.json").read_text())["recipe"]
    assert "engine_cpu" not in recipe["config"]


def test_networks_of_other_libraries_run_themselves(work: Path, tmp_path: Path) -> None:
    from worlds.onnx_files import write_onnx

    pytest.importorskip("onnx")
    changes = {"backbone": f"onnx:{write_onnx(tmp_path / 'small.onnx')}", "scaling": "unit", "network_output": "mean"}
    config = config_of(work, tmp_path / "f").model_copy(update=changes)
    with pytest.raises(NlcliError, match="is run by its own library; leave out --engine-cpu"):
        extract_features(config.model_copy(update={"engine_cpu": OTHER}))
    made = extract_features(config.model_copy(update={"engine_cpu": "auto"}))
    assert FeaturesRecord.read(made / DESCRIPTION).engine_cpu is None
