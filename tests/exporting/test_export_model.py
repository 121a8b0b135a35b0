"""Exported models: what is written gives the scores of ``predict``, in every format, and is refused where it does not."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import ExtractFeatures, ImportFeatures
from nlcli.data.features.extract import extract_features
from nlcli.data.features.import_features import import_features
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate, Predict
from nlcli.evaluation.evaluate import evaluate
from nlcli.evaluation.exported_model import EXPORT, ExportRecord
from nlcli.evaluation.metrics_file import read_metrics
from nlcli.evaluation.predict import predict
from nlcli.exporting.config import ExportModel
from nlcli.exporting.export_model import export_model
from nlcli.exporting.file_formats import write_model
from nlcli.exporting.gate import FLOAT32, VECTORS, Gate, made_up_features, made_up_images, tolerance_of
from nlcli.exporting.model_card import CARD, model_card
from nlcli.networks.model_formats import FORMATS
from nlcli.stages.files import read_json, write_json
from nlcli.stages.stage import read_stage
from nlcli.training.config import TrainHead
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import train_head
from worlds.onnx_files import write_onnx
from worlds.scored_chain import CLASSES, Chain, shared_chain

EXTRAS = [name for name, format in FORMATS.items() if all(importlib.util.find_spec(m) for m, _ in format.packages)]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


@pytest.fixture(scope="module")
def exported(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of two nets and its network, for Keras; the card tells the test figures, too.

    The features of an untrained network are small: their scale makes much of them, and of differences of rounding.
    """
    run = chain.run("residual", hidden=8, feature_scale="length")
    output = tmp_path_factory.mktemp("exported") / "residual"
    tested = evaluate(Evaluate(model=run, output=output.parent / "tested", bootstrap=50, examples=0))
    return export_model(ExportModel(run=run, output=output, evaluation=tested))


def vectors(exported: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(exported / VECTORS) as arrays:
        (name,) = set(arrays.files) - {"scores"}
        return arrays[name], arrays["scores"]


_ALONE = """
import json, sys
import numpy as np
sys.modules["nlcli"] = None
import keras
model = keras.models.load_model(sys.argv[1], safe_mode=True)
vectors = np.load(sys.argv[2])
scores = model.predict(vectors["images"], verbose=0)
assert not any(name.startswith("nlcli") and module is not None for name, module in sys.modules.items())
print(json.dumps({"difference": float(np.abs(scores - vectors["scores"]).max()), "inputs": str(model.inputs[0].dtype)}))
"""


def test_keras_alone_loads_and_runs_it(exported: Path, tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(_ALONE)
    done = subprocess.run(
        [sys.executable, script, exported / "model.keras", exported / VECTORS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["inputs"] == "uint8"
    assert told["difference"] < FLOAT32


def test_vectors_are_what_predict_gives(chain: Chain, exported: Path) -> None:
    """By the network and the head themselves, one step after the other."""
    from nlcli.networks.weights import load_backbone

    images, scores = vectors(exported)
    features = np.asarray(load_backbone(chain.backbone).inference()(images))
    np.testing.assert_allclose(
        scores, load_head(chain.run("residual", hidden=8, feature_scale="length")).score(features), atol=FLOAT32
    )
    assert images.dtype == np.uint8
    assert np.ptp(scores, axis=0).min() > 1e-4  # the images do make a difference


def test_what_is_told_of_it(chain: Chain, exported: Path) -> None:
    record = ExportRecord.read(exported / EXPORT)
    assert record.classes == CLASSES
    assert record.given.shape == (64, 64, 3)
    assert record.given.preprocessing.scaling == "unit"
    assert (record.source.method, record.source.score, record.source.network) == ("residual", "clean", "small_cnn")
    assert record.checked.difference < FLOAT32
    assert (record.checked.made_up, record.checked.validation) == (8, 16)
    assert [part.split for part in record.measured] == ["test", "validation"]
    assert len(record.thresholds.by_class) == 3
    card = (exported / CARD).read_text(encoding="utf-8")
    for name, estimate in record.measured[0].metrics.items():
        assert f"| {name} | {100 * estimate.value:.1f} % |" in card
    assert f"{record.thresholds.images} validation images" in card


def test_metrics_of_validation_are_those_of_eval(chain: Chain, exported: Path, tmp_path: Path) -> None:
    measured = ExportRecord.read(exported / EXPORT).measured[1]
    config = Evaluate(
        model=chain.run("residual", hidden=8, feature_scale="length"),
        split="validation",
        output=tmp_path / "v",
        examples=0,
    )
    assert measured.metrics == read_metrics(read_stage(evaluate(config))).metrics


def test_a_second_time_nothing_is_done(chain: Chain, exported: Path, capsys: pytest.CaptureFixture) -> None:
    written = (exported / "model.keras").stat().st_mtime_ns
    tested = exported.parent / "tested"
    config = ExportModel(
        run=chain.run("residual", hidden=8, feature_scale="length"), output=exported, evaluation=tested
    )
    export_model(config)
    assert "is up to date" in capsys.readouterr().err
    assert (exported / "model.keras").stat().st_mtime_ns == written


# --- every format ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "format",  # Keras is that of the other tests; OpenVINO takes half of the time of all, and runs below
    [pytest.param(name, marks=pytest.mark.slow if name == "openvino" else ()) for name in EXTRAS if name != "keras"],
)
def test_every_format_gives_the_same(chain: Chain, exported: Path, tmp_path: Path, format: str) -> None:
    """Of any number of rows; read again from where it lies."""
    output = export_model(
        ExportModel(
            run=chain.run("residual", hidden=8, feature_scale="length"), output=tmp_path / "model", format=format
        )
    )
    apply = FORMATS[format].open(output / FORMATS[format].file)
    images, scores = vectors(exported)
    for count in (1, 3, 8):
        np.testing.assert_allclose(apply(images[:count]), scores[:count], atol=FLOAT32)
    assert set(ExportRecord.read(output / EXPORT).libraries) == {package for _, package in FORMATS[format].packages}
    predicted = predictions(output, chain, tmp_path)
    of_run = predictions(chain.run("residual", hidden=8, feature_scale="length"), chain, tmp_path)
    assert list(predicted) == list(of_run)
    for name, expected in of_run.items():
        np.testing.assert_allclose(predicted[name], expected, atol=FLOAT32, err_msg=name)


def predictions(model: Path, chain: Chain, folder: Path) -> dict[str, list[float]]:
    """Scores of some images of the data set, by ``predict``; a score for each class."""
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    table = read_dataset(chain.dataset)
    for row in range(5):
        shutil.copy(table.image_path(row), pictures / f"{row}{table.image_path(row).suffix}")
    (pictures / "broken.png").write_bytes(b"\x89PNG cut short")
    output = folder / "scores.csv"
    config = Predict(images=pictures, run=model, format="csv", wide=True, output=output)
    assert predict(config) == {"images": 5, "errors": 1}
    with open(output, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["error"]]
    return {row["image"]: [float(row[name]) for name in CLASSES] for row in rows}


def test_predict_takes_the_model_for_keras(chain: Chain, exported: Path, tmp_path: Path) -> None:
    of_run = predictions(chain.run("residual", hidden=8, feature_scale="length"), chain, tmp_path)
    predicted = predictions(exported, chain, tmp_path)
    assert len(predicted) == 5
    for name, expected in of_run.items():
        np.testing.assert_allclose(predicted[name], expected, atol=FLOAT32, err_msg=name)


def test_predict_decides_by_the_thresholds_in_the_export(chain: Chain, exported: Path, tmp_path: Path) -> None:
    scores = predictions(exported, chain, tmp_path)
    output = tmp_path / "given.csv"
    config = Predict(images=tmp_path / "pictures", run=exported, format="csv", wide=True, decide=True, output=output)
    predict(config)
    with open(output, newline="", encoding="utf-8") as file:
        given = {row["image"]: [row[name] for name in CLASSES] for row in csv.DictReader(file) if not row["error"]}
    limits = ExportRecord.read(exported / EXPORT).thresholds.values
    assert given == {name: [str(int(s >= t)) for s, t in zip(own, limits, strict=True)] for name, own in scores.items()}


def test_what_predict_refuses_of_an_exported_model(chain: Chain, exported: Path, tmp_path: Path) -> None:
    picture = exported / CARD  # nothing is looked at before the model is
    with pytest.raises(NlcliError, match="has its network in it; leave out --backbone"):
        predict(Predict(images=picture, run=exported, backbone=chain.backbone))
    with pytest.raises(NlcliError, match="run by its format's program; leave out --engine-cpu"):
        predict(Predict(images=picture, run=exported, engine_cpu="auto"))
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    record = read_json(copy / EXPORT)
    write_json(copy / EXPORT, record | {"classes": ["one", "two"], "thresholds": None})
    with pytest.raises(NlcliError, match=r"gives scores of shape \(1, 3\), not of 2 classes"):
        predict(Predict(images=picture, run=copy))
    write_json(copy / EXPORT, record | {"format": "../other"})
    with pytest.raises(NlcliError, match=r"the format '\.\./other' is not known"):
        predict(Predict(images=picture, run=copy))
    write_json(copy / EXPORT, record | {"thresholds": None, "unchosen": "nothing was verified"})
    with pytest.raises(NlcliError, match="has no thresholds: nothing was verified; pass --threshold"):
        predict(Predict(images=picture, run=copy, decide=True))
    (copy / "model.keras").write_bytes(b"no archive")
    with pytest.raises(NlcliError, match="cannot be run; export it again"):
        predict(Predict(images=picture, run=copy))


@pytest.mark.slow  # 17 methods in 5 formats: minutes
@pytest.mark.parametrize("format", EXTRAS)
def test_every_method_in_every_format(tmp_path: Path, format: str) -> None:
    from nlcli.exporting.whole_model import whole_model
    from nlcli.methods import METHODS, configure, get_method
    from nlcli.methods.base.contract import Problem
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.networks.weights import build_backbone
    from nlcli.training.keras_head import keras_head
    from nlcli.training.validation import Scorer

    backbone = build_backbone("small_cnn", "none")
    images = made_up_images(64)
    features = np.asarray(backbone.inference()(images))
    for number, name in enumerate(METHODS.ours):  # length and standard hold numbers that no layer owns
        cls = get_method(name)
        problem = Problem(256, ("a", "b", "c", "d"), cls.tasks[0])
        scale = ("none", "length", "unit", "root", "standard")[number % 5]
        kernel = np.random.default_rng(0).normal(size=(256, 4)).astype(np.float32)
        layer = LinearLayer(kernel, np.zeros(4, np.float32), problem.classes) if cls.needs_last_layer else None
        method = cls(configure(name, {"feature_scale": scale}), problem, layer)
        method.scale.fit([features])
        score = method.offered()[0]
        gate = Gate(images, Scorer(method)(features, score), 1e-4)
        gate.difference(write_model(format, whole_model(backbone, keras_head(method, score)), tmp_path), name)


# --- other models ----------------------------------------------------------------------------


def test_a_head_on_imported_features_is_exported_alone(single: Chain, tmp_path: Path) -> None:
    """Features to scores, and the answer is one class."""
    from nlcli.data.label_files import read_dataset

    table = read_dataset(single.dataset)
    drawn = np.random.default_rng(0).normal(size=(len(table), 12)).astype(np.float32)
    drawn += 3 * np.eye(3, 12, dtype=np.float32)[np.asarray(table.present.argmax(axis=1)).ravel()]
    np.save(tmp_path / "vectors.npy", drawn)
    (tmp_path / "keys.txt").write_text("\n".join(table.keys.tolist()))
    features = import_features(
        ImportFeatures(
            dataset=single.dataset, source=tmp_path / "vectors.npy", keys=tmp_path / "keys.txt", output=tmp_path / "f"
        )
    )
    run = train_head(TrainHead(dataset=single.dataset, features=features, output=tmp_path / "run", method="auto"))
    record = ExportRecord.read(export_model(ExportModel(run=run, output=tmp_path / "model")) / EXPORT)
    assert (record.given.name, record.given.shape, record.given.preprocessing) == ("features", (12,), None)
    assert (record.thresholds, record.task, record.checked.validation) == (None, "single-label", 16)
    given, scores = vectors(tmp_path / "model")
    np.testing.assert_allclose(FORMATS["keras"].open(tmp_path / "model" / "model.keras")(given), scores, atol=1e-6)
    np.testing.assert_allclose(scores, load_head(run).score(given), atol=1e-6)
    assert "That network is not part of the model" in (tmp_path / "model" / CARD).read_text()
    with pytest.raises(NlcliError, match="is a head alone: it takes features, not images"):
        predict(Predict(images=tmp_path / "keys.txt", run=tmp_path / "model"))


def test_a_head_on_features_of_another_library_is_exported_alone(single: Chain, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = write_onnx(tmp_path / "small.onnx")
    options = {"scaling": "unit", "network_output": "mean", "output": tmp_path / "f"}
    features = extract_features(ExtractFeatures(dataset=single.dataset, backbone=f"onnx:{network}", **options))
    run = train_head(TrainHead(dataset=single.dataset, features=features, output=tmp_path / "run", method="noisy"))
    record = ExportRecord.read(export_model(ExportModel(run=run, output=tmp_path / "model")) / EXPORT)
    assert (record.given.name, record.given.shape, record.given.preprocessing) == ("features", (8,), None)


def test_a_run_from_images_brings_its_own_network(chain: Chain, tmp_path: Path) -> None:
    run = train_head(
        TrainHead(
            dataset=chain.dataset,
            from_images=str(chain.backbone),
            output=tmp_path / "run",
            method="clean",
            options={"feature_scale": "standard"},
            steps=2,
            trunk="trained",
            workers=1,
        )
    )
    record = ExportRecord.read(export_model(ExportModel(run=run, output=tmp_path / "model")) / EXPORT)
    assert record.checked.difference < 1e-4  # of noise, which standardised features make much of
    assert record.measured[0].images == 16


def test_rounded_features_widen_the_tolerance(chain: Chain, tmp_path: Path) -> None:
    """Features that are kept as float16 are rounded by ``predict`` and not by the model; the card says so."""
    features = extract_features(
        ExtractFeatures(dataset=chain.dataset, backbone=str(chain.backbone), output=tmp_path / "f", dtype="float16")
    )
    run = train_head(TrainHead(dataset=chain.dataset, features=features, output=tmp_path / "run", method="clean"))
    record = ExportRecord.read(export_model(ExportModel(run=run, output=tmp_path / "model")) / EXPORT)
    assert (record.checked.tolerance, record.checked.dtype) == (1e-2, "float16")
    assert 1e-7 < record.checked.difference < 1e-2
    assert "stored as float16: hence the tolerance" in (tmp_path / "model" / CARD).read_text()
    assert tolerance_of("float32", "float32") == 1e-4
    assert tolerance_of("bfloat16", "float32") == 5e-2


def test_a_backbone_is_exported_with_its_last_layer(chain: Chain, tmp_path: Path) -> None:
    """It tells no data set, so nothing chooses thresholds; the card says so."""
    record = ExportRecord.read(export_model(ExportModel(run=chain.backbone, output=tmp_path / "model")) / EXPORT)
    assert (record.source.kind, record.thresholds, record.measured) == ("backbone", None, ())
    assert "does not tell of its data set" in record.unchosen
    card = (tmp_path / "model" / CARD).read_text()
    assert "Nothing was measured on validation" in card
    assert "is not chosen yet" in card


# --- refusals --------------------------------------------------------------------------------


def test_a_model_with_other_scores_is_not_written(chain: Chain, tmp_path: Path) -> None:
    config = ExportModel(
        run=chain.run("residual", hidden=8, feature_scale="length"), output=tmp_path / "model", tolerance=1e-12
    )
    with pytest.raises(NlcliError, match=r"does not give the scores of predict: they differ by up to .*, more than"):
        export_model(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (np.full((8, 2), np.nan), "gives scores that are no numbers"),
        (np.zeros((8, 3)), r"gives scores of shape \(8, 3\), not \(8, 2\)"),
        (np.zeros((8, 2)) + 1e-3, "differ by up to 0.001, more than 0.0001"),
    ],
)
def test_the_gate(made: np.ndarray, message: str) -> None:
    gate = Gate(np.arange(8), np.zeros((8, 2)), 1e-4)
    with pytest.raises(NlcliError, match=message):
        gate.difference(lambda rows: made[rows], "it")
    assert gate.difference(lambda rows: np.zeros((len(rows), 2)), "it") == 0.0


def test_a_model_that_takes_one_number_of_rows_alone_is_refused() -> None:
    gate = Gate(np.arange(8), np.zeros((8, 2)), 1e-4)
    with pytest.raises(NlcliError, match=r"gives scores of shape \(8, 2\), not \(1, 2\)"):
        gate.difference(lambda rows: np.zeros((8, 2)), "it")


def test_a_method_with_two_outputs_is_refused() -> None:
    from nlcli.methods import LinearMethod, MethodConfig, Problem
    from nlcli.training.keras_head import keras_head

    class Twice(LinearMethod):
        """Scores twice."""

        name, citation, Config, phase = "twice", "@misc{t}", MethodConfig, ("noisy", "noisy")

        def losses(self, phase, features, batch):
            return {}

        def score(self, features, name):
            return (self.classifier(features), self.classifier(features))

    class Counts(Twice):
        """Looks at numbers that a symbolic tensor does not have."""

        def score(self, features, name):
            return float(features[0, 0]) * self.classifier(features)

    problem = Problem(4, ("a", "b"), "multi-label")
    with pytest.raises(NlcliError, match="has 2 outputs; a model that is exported has one"):
        keras_head(Twice(MethodConfig(), problem), "classifier")
    with pytest.raises(NlcliError, match="the score 'classifier' of method twice cannot be written as layers of Keras"):
        keras_head(Counts(MethodConfig(), problem), "classifier")


def test_mistakes_are_sentences(chain: Chain, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = chain.run("residual", hidden=8, feature_scale="length")

    def refused(message: str, **options: object) -> None:
        with pytest.raises(NlcliError, match=message):
            export_model(ExportModel(**{"run": run, "output": tmp_path / "out"} | options))
        assert not (tmp_path / "out").exists()

    refused("is a features directory; expected a run or backbone directory", run=chain.features)
    refused("unknown score 'nosy'; did you mean 'noisy'", score="nosy")
    tested = evaluate(Evaluate(model=chain.run(), output=tmp_path / "tested", bootstrap=0, examples=0))
    refused("is no evaluation of", evaluation=tested)
    refused(
        "evaluates the score 'clean', and 'noisy' is exported", evaluation=exported.parent / "tested", score="noisy"
    )
    (tmp_path / "file").write_text("mine")
    refused("a part of the path is not a directory", output=tmp_path / "file" / "model")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused(r"--format onnx needs the package tf2onnx; .*pip install 'nlcli\[onnx\]'", format="onnx")
    refused(r"--format litert needs the package ai-edge-litert; .*'nlcli\[litert\]'", format="litert")
    refused(r"--format openvino needs the package openvino; .*'nlcli\[openvino\]'", format="openvino")


def test_runs_of_another_version_and_without_their_network(chain: Chain, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(chain.run("residual", hidden=8, feature_scale="length"), run)
    config = ExportModel(run=run, output=tmp_path / "out")
    written = read_json(run / "stage.json")
    lost = dict(
        written,
        inputs=written["inputs"] | {"features": written["inputs"]["features"] | {"path": "/gone", "relative": "gone"}},
    )
    write_json(run / "stage.json", lost)
    with pytest.raises(NlcliError, match="the features directory of .* is no longer at /gone; pass --backbone"):
        export_model(config)
    export_model(config.model_copy(update={"backbone": chain.backbone}))  # thresholds need the features, it does not
    assert "is no longer at /gone" in ExportRecord.read(tmp_path / "out" / EXPORT).unchosen
    write_json(run / "config.json", read_json(run / "config.json") | {"version": 99})
    with pytest.raises(NlcliError, match="has format 99, and this version of nlcli reads format 1"):
        export_model(config.model_copy(update={"output": tmp_path / "other", "backbone": chain.backbone}))


def test_names_from_outside_are_text_in_the_card(exported: Path) -> None:
    hostile = ("<script>alert(1)</script>", "a|b\n# c", "[x](javascript:y)")
    record = ExportRecord.read(exported / EXPORT).model_copy(update={"classes": hostile})
    card = model_card(record)
    assert "<script>" not in card
    assert "[x](" not in card
    assert "\n# c" not in card
    rows = [line for line in card.splitlines() if line.startswith(("| 0", "| 1", "| 2"))]
    assert len(rows) == 3
    assert r"a\|b" in rows[1]


def test_made_up_inputs_differ() -> None:
    images, features = made_up_images(32), made_up_features(6)
    assert images.shape == (8, 32, 32, 3)
    assert len({image.tobytes() for image in images}) == 8
    assert len({row.tobytes() for row in features}) == 8
