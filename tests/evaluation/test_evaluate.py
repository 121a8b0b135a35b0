"""The stage ``eval``: what it takes, what it makes anew, what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nlcli.errors import NlcliError
from nlcli.networks.cpu_engines.contract import CpuEngine
from nlcli.stages.files import read_json, write_json
from worlds.evaluated import evaluated
from worlds.scored_chain import Chain, shared_chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Multi-label; test image 060 is broken."""
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


def test_same_command_again_does_nothing_and_another_refuses(chain: Chain, capsys: pytest.CaptureFixture) -> None:
    output = evaluated(chain.run(), output=chain.root / "again")
    before = (output / "metrics.json").stat().st_mtime_ns
    assert evaluated(chain.run(), output=chain.root / "again") == output
    assert (output / "metrics.json").stat().st_mtime_ns == before
    assert "up to date" in capsys.readouterr().err
    with pytest.raises(NlcliError, match="--force"):
        evaluated(chain.run(), output=chain.root / "again", seed=5)
    assert (output / "metrics.json").stat().st_mtime_ns == before


def test_inputs_that_are_gone_or_of_another_kind(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="dataset directory; expected a run or backbone"):
        evaluated(chain.dataset)
    run = tmp_path / "moved" / "run"
    shutil.copytree(chain.run(), run)
    record = read_json(run / "stage.json")
    record["inputs"]["features"] |= {"path": str(tmp_path / "gone"), "relative": "../gone"}
    write_json(run / "stage.json", record)
    with pytest.raises(NlcliError, match="pass --features"):
        evaluated(run)
    assert evaluated(run, features=chain.features).name == "run-test"


def test_image_files_are_scored_by_the_engine_that_is_asked_for(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nlcli.networks.forward
    from nlcli.networks import engine_choice

    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    engines: list[str] = []
    whole = nlcli.networks.forward.opened

    def opened(engine: CpuEngine, *rest: Any) -> Any:
        engines.append(engine.name)
        return whole(engine, *rest)

    monkeypatch.setattr(nlcli.networks.forward, "opened", opened)
    plain = evaluated(chain.backbone, dataset=chain.dataset, output=tmp_path / "plain")
    assert engines == []
    other = evaluated(chain.backbone, dataset=chain.dataset, output=tmp_path / "other", engine_cpu="onnxruntime")
    assert engines == ["onnxruntime"]
    expected, scores = (pd.read_parquet(made / "scores.parquet") for made in (plain, other))
    assert list(scores.key) == list(expected.key)
    np.testing.assert_allclose(np.stack(scores.scores), np.stack(expected.scores), atol=1e-5)
    assert read_json(other / "stage.json")["recipe"]["config"]["engine_cpu"] == "onnxruntime"
    assert "engine_cpu" not in read_json(plain / "stage.json")["recipe"]["config"]  # 0.1.0 had the same recipe

    # What is finished says by which it was made, so that auto need not choose.
    monkeypatch.setattr(engine_choice, "choose_engine", lambda *_: pytest.fail("chosen again"))
    assert evaluated(chain.backbone, dataset=chain.dataset, output=tmp_path / "other", engine_cpu="auto") == other
    monkeypatch.setattr(engine_choice, "choose_engine", lambda network, *how: engines.append(str(how)) or "tensorflow")
    chosen = evaluated(chain.backbone, dataset=chain.dataset, output=tmp_path / "chosen", engine_cpu="auto")
    assert engines[1:] == [str(("float32", "probabilities", 32))]
    assert read_json(chosen / "metrics.json")["metrics"] == read_json(plain / "metrics.json")["metrics"]


def test_an_engine_where_no_network_is_run(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="no network is run; leave out --engine-cpu"):
        evaluated(chain.run(), output=tmp_path / "made", engine_cpu="onnxruntime")
    made = evaluated(chain.run(), output=tmp_path / "made")
    assert evaluated(chain.run(), output=tmp_path / "made", engine_cpu="auto") == made  # which is TensorFlow's, if any
