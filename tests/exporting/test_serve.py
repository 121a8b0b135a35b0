"""The server of examples/serve.py, started on a port that is free and asked by HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nlcli.evaluation.config import Predict
from nlcli.evaluation.exported_model import EXPORT, ExportRecord
from nlcli.evaluation.predict import predict
from nlcli.exporting.config import ExportModel
from nlcli.exporting.export_model import export_model
from worlds.scored_chain import Chain, shared_chain

ROOT = Path(__file__).parents[2]
for _package in ("fastapi", "uvicorn", "tf2onnx", "onnxruntime"):
    pytest.importorskip(_package)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory)


def asked(port: int, body: bytes) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_the_example_answers_as_predict_does(chain: Chain, tmp_path: Path) -> None:
    run = chain.run("residual", hidden=8, feature_scale="length")
    model = export_model(ExportModel(run=run, output=tmp_path / "model", format="onnx"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--app-dir", ROOT / "examples", "--port", str(port), "serve:app"],
        cwd=tmp_path,
        env=os.environ | {"MODEL": str(model)},
        stderr=subprocess.PIPE,
    )
    try:
        picture = chain.root / "squares" / "070.jpg"
        while True:
            assert server.poll() is None, server.stderr.read().decode()[-2000:]
            try:
                status, answer = asked(port, picture.read_bytes())
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        assert status == 200
        predict(Predict(images=picture, run=run, format="jsonl", output=tmp_path / "scores.jsonl", top=3))
        told = json.loads((tmp_path / "scores.jsonl").read_text())["predictions"]
        expected = {one["class"]: one["score"] for one in told}
        assert answer["scores"] == pytest.approx(expected, abs=1e-4)
        thresholds = ExportRecord.read(model / EXPORT).thresholds.values
        reached = np.array(list(answer["scores"].values())) >= thresholds
        assert answer["given"] == [name for name, one in zip(answer["scores"], reached, strict=True) if one]
        assert asked(port, b"no image")[0] == 400
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate()
