"""The folder and the lines of docs/export.md for TensorFlow Serving, with a server that does as its REST API says.

TensorFlow Serving itself does not run here: a server of a few lines stands for it, which finds the newest version in the
folder of the model, makes a tensor of the type that the signature states from the list of ``instances``, runs the
signature, and answers with the values of its only output as ``predictions``.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.evaluation.config import Predict
from nlcli.evaluation.predict import predict
from nlcli.exporting.config import ExportModel
from nlcli.exporting.export_model import export_model
from worlds.scored_chain import CLASSES, Chain, shared_chain

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def model(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("served") / "residual"
    run = chain.run("residual", hidden=8, feature_scale="length")
    return export_model(ExportModel(run=run, output=output, format="saved-model"))


def section() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index("## Serve it with TensorFlow Serving") : text.index("## Serve it with FastAPI")]


def answer_of(folder: Path, body: Any) -> dict[str, Any]:
    """What the REST API answers, by the newest version in ``folder``."""
    import tensorflow as tf

    version = max(int(path.name) for path in folder.iterdir())
    loaded = tf.saved_model.load(str(folder / str(version)))
    serve = loaded.signatures["serving_default"]
    ((name, stated),) = serve.structured_input_signature[1].items()
    rows = tf.constant(body["instances"], stated.dtype)
    assert stated.shape.is_compatible_with(rows.shape)
    (scores,) = serve(**{name: rows}).values()
    return {"predictions": scores.numpy().tolist()}


@pytest.fixture
def port(model: Path) -> Iterator[int]:
    """Of a server of the model ``residual``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/models/residual:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(answer_of(model / "model", body)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_lines_of_the_page_get_the_scores_of_predict(
    chain: Chain,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    assert "http://localhost:8501/v1/models/residual:predict" in code
    shutil.copy(chain.root / "squares" / "070.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("localhost:8501", f"127.0.0.1:{port}"), {})
    told = json.loads(capsys.readouterr().out)
    run = chain.run("residual", hidden=8, feature_scale="length")
    predict(Predict(images=tmp_path / "photo.jpg", run=run, format="jsonl", output=tmp_path / "scores.jsonl", top=3))
    scores = {one["class"]: one["score"] for one in json.loads(Path("scores.jsonl").read_text())["predictions"]}
    np.testing.assert_allclose(told, [scores[name] for name in CLASSES], atol=1e-4)


def test_the_signature_is_the_one_on_the_page(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As TensorFlow's own tool shows it."""
    from tensorflow.python.tools import saved_model_cli

    (line,) = re.findall(r"\$ saved_model_cli (show .*)\n", section())
    arguments = line.replace("exported/residual", str(model)).split()
    parsed = saved_model_cli.create_parser().parse_args(arguments)
    parsed.func()
    shown = capsys.readouterr().out
    told = section().split(line)[1].split("```")[0]
    names = re.compile(r"(inputs|outputs)\['(\w+)'\]|(dtype: \w+)|(shape: \([-\d, ]+\))|(Method name is: \S+)")
    assert len(names.findall(told)) == 7
    assert names.findall(shown) == names.findall(told)
