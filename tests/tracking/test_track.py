"""track: what MLflow and TensorBoard are told, and that each stage is told once."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import nlcli
from nlcli import NlcliError
from nlcli.stages.stage import read_stage
from nlcli.tracking.board_folders import BoardFolders
from nlcli.tracking.mlflow_runs import FINGERPRINT
from nlcli.tracking.told_stage import plain_name, told_stage
from nlcli.training import tensorboard
from nlcli.training.loop.history import read_history
from worlds.heads import Work, table_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, features, a head that took steps and one that was solved."""
    root = tmp_path_factory.mktemp("runs")
    work = Work(root, table_of(400))
    nlcli.train_head(**work.config("veit", method="veit", steps=20, options={"pretrain_steps": 10}).model_dump())
    nlcli.train_head(**work.config("noisy", method="noisy", steps=None, learning_rate=None).model_dump())
    return root


def client(at: Path) -> Any:
    mlflow = pytest.importorskip("mlflow")
    return mlflow.MlflowClient(tracking_uri=str(at))


def logged(at: Path) -> dict[str, Any]:
    """MLflow's runs by name."""
    found = client(at).search_runs([client(at).get_experiment_by_name("nlcli").experiment_id])
    return {run.info.run_name: run for run in found}


def test_mlflow_has_settings_numbers_and_curves_once(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    told = nlcli.track(directories=[runs], to="mlflow", at=str(tmp_path / "ml"))
    assert (told["logged"], told["known"]) == (4, 0)
    assert nlcli.track(directories=[runs], to="mlflow", at=str(tmp_path / "ml"))["logged"] == 0
    found = logged(tmp_path / "ml")
    assert set(found) == {"dataset", "features", "veit", "noisy"}
    veit, record = found["veit"], read_stage(runs / "veit")
    assert veit.info.status == "FINISHED"
    assert veit.data.tags[FINGERPRINT] == record.fingerprint
    assert veit.data.params["method"] == "veit"
    assert veit.data.params["settings/pretrain_steps"] == "10"
    assert "dataset" not in veit.data.params  # where it lay on one machine decides nothing
    assert veit.data.metrics["validation_AP_all"] == record.summary["validation_AP_all"]
    history = read_history(runs / "veit")
    assert history is not None
    points = client(tmp_path / "ml").get_metric_history(veit.info.run_id, "validation/AP_all")
    assert [point.value for point in points] == [e.validation["AP_all"] for e in history]
    steps = [point.step for point in points]
    assert steps == sorted(steps)
    assert max(steps) == record.summary["steps"]


def test_what_was_cut_off_is_told_anew(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    at = tmp_path / "ml"

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "set_terminated", cut_off)
        with pytest.raises(KeyboardInterrupt):
            nlcli.track(directories=[runs / "noisy"], to="mlflow", at=str(at))
    assert [run.info.status for run in logged(at).values()] == ["RUNNING"]
    assert nlcli.track(directories=[runs / "noisy"], to="mlflow", at=str(at))["logged"] == 1
    assert [run.info.status for run in logged(at).values()] == ["FINISHED"]


def test_tensorboard_has_curves_once(runs: Path, tmp_path: Path) -> None:
    at = tmp_path / "board"
    assert nlcli.track(directories=[runs / "veit", runs / "noisy"], to="tensorboard", at=str(at))["logged"] == 2
    folders = {path.name.split("-")[0]: path for path in at.iterdir()}
    assert set(folders) == {"veit", "noisy"}
    (folder,) = folders["veit"].glob("events*")
    tags = [
        (value.tag, event.step)
        for event in tf.compat.v1.train.summary_iterator(str(folder))
        for value in event.summary.value
    ]
    assert ("run/validation_AP_all", 0) in tags
    assert ("validation/AP_all", read_stage(runs / "veit").summary["steps"]) in tags
    assert len(list((folders["noisy"] / "candidates").iterdir())) == 1
    (at / f".{folders['noisy'].name}.999999999.tmp~").mkdir()  # a kill left it
    shutil.rmtree(folders["noisy"])
    again = nlcli.track(directories=[runs / "veit", runs / "noisy"], to="tensorboard", at=str(at))
    assert (again["logged"], again["known"]) == (1, 1)
    assert sorted(path.name for path in at.iterdir()) == sorted(path.name for path in folders.values())


def test_two_processes_tell_tensorboard_of_one_stage(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other comes to its end while this one writes."""
    told, at, names = told_stage(read_stage(runs / "veit")), tmp_path / "board", []
    write = tensorboard.write_log

    def late(folder: Path, *rest: Any) -> None:
        if not names:
            names.append(folder.name)
            with monkeypatch.context() as other:
                other.setattr(os, "getpid", lambda: 1)
                assert BoardFolders(str(at)).take(told) is True
        write(folder, *rest)

    monkeypatch.setattr(tensorboard, "write_log", late)
    assert BoardFolders(str(at)).take(told) is False
    assert names
    assert [path.name.split("-")[0] for path in at.iterdir()] == ["veit"]
    assert len(list(at.glob("*/events*"))) == 1


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("validation/AP_all", "validation/AP_all"),
        ("a:b\n<script>", "a_b__script_"),
        ("../../etc", "etc"),
        ("/", "unnamed"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_are_such_as_every_program_takes(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_a_record_from_elsewhere_is_told_as_text(runs: Path, tmp_path: Path) -> None:
    """Whatever stands in a record, what is told is short, on one line, and numbers are finite."""
    shutil.copytree(runs / "noisy", tmp_path / "run")
    record = tmp_path / "run" / "stage.json"
    written = json.loads(record.read_text())
    written["summary"] |= {"bad": float("nan"), "a\nb": 1.0, "deep": {"c": 1}}
    written["recipe"]["config"]["method"] = "x\x1b[2J" * 1000
    written["fingerprint"] = "' or 1=1"
    record.write_text(json.dumps(written))
    told = told_stage(read_stage(tmp_path / "run"))
    assert "bad" not in told.numbers
    assert told.numbers["a_b"] == 1.0
    assert len(told.settings["method"]) <= 403
    assert told.settings["method"].isprintable()
    assert told.fingerprint.startswith("sha256:")


@pytest.mark.parametrize("at", ["http://ann:secret@127.0.0.1:{port}", "http://127.0.0.1:{port}/mlflow"])
def test_a_server_that_is_not_there_is_told_at_once(runs: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow itself would try for minutes; a password is not told."""
    pytest.importorskip("mlflow")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        address = at.format(port=taken.getsockname()[1])
        with pytest.raises(NlcliError, match=r"^no server of MLflow answers at http://127.0.0.1:\d+.*; start one"):
            nlcli.track(directories=[runs], to="mlflow", at=address)


@pytest.mark.parametrize("at", ["http://", "http://127.0.0.1:port", "https://127.0.0.1:99999"])
def test_addresses_that_are_none(runs: Path, at: str) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(NlcliError, match="^no server of MLflow answers at https?://"):
        nlcli.track(directories=[runs], to="mlflow", at=at)


def test_mistakes_are_sentences(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NlcliError, match="was not made by nlcli"):
        nlcli.track(directories=[tmp_path], to="tensorboard")
    (tmp_path / "file").write_text("")
    with pytest.raises(NlcliError, match="is a file; pass a folder as --at"):
        nlcli.track(directories=[runs], to="tensorboard", at=str(tmp_path / "file"))
    pytest.importorskip("mlflow")
    with pytest.raises(NlcliError, match="MLflow at nonsense://x refuses"):
        nlcli.track(directories=[runs], to="mlflow", at="nonsense://x")
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(NlcliError, match=r"pip install 'nlcli\[mlflow\]'"):
        nlcli.track(directories=[runs], to="mlflow", at=str(tmp_path / "ml"))


def test_tensorboard_writes_into_no_address(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NlcliError, match="--at s3://bucket/board is an address, and nlcli writes on disks"):
        nlcli.track(directories=[runs], to="tensorboard", at="s3://bucket/board")
    assert not list(tmp_path.iterdir())
