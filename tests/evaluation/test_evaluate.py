"""The stage ``eval``: what it takes, what it makes anew, what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
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
