"""Predictions of a classifier: order, keys, resuming, and files that are not as they should be."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.annotate import annotate, read_predictions, top_predictions
from nlcli.data.config import Annotate
from nlcli.errors import NlcliError
from nlcli.networks.image_files import find_images, folder_labels
from nlcli.stages.files import read_json, write_json
from nlcli.stages.stage import read_stage
from worlds.coco import SOURCES, WrittenClassifier, write_images

annotating = importlib.import_module("nlcli.data.annotate")  # ``nlcli.annotate`` is the stage's function


def settings(tmp_path: Path, **values: object) -> Annotate:
    return Annotate(**{"images": (tmp_path / "a",), "output": tmp_path / "out", "keep": 3, "workers": 1, **values})


def test_top_predictions_by_hand() -> None:
    logits = np.log(np.array([[0.1, 0.4, 0.1, 0.4], [0.7, 0.1, 0.15, 0.05]], np.float32))
    indices, scores = top_predictions(logits, 3)
    assert indices.tolist() == [[1, 3, 0], [0, 2, 1]]  # equal ones by index
    assert scores == pytest.approx(np.array([[0.4, 0.4, 0.1], [0.7, 0.15, 0.1]]), abs=1e-6)
    _, scores = top_predictions(np.array([[0.0, 2.0]], np.float32), 2, "sigmoid")
    assert scores[0] == pytest.approx([1 / (1 + np.exp(-2)), 0.5])
    indices, scores = top_predictions(np.array([[-1000.0, 1000.0, 999.0, -900.0]], np.float32), 4)
    assert indices.tolist() == [[1, 2, 3, 0]]  # also where probabilities round to 0
    assert np.isfinite(scores).all()


def test_predictions_of_a_folder(tmp_path: Path, classifier: WrittenClassifier) -> None:
    write_images(tmp_path / "a", "x", [0, 1, 2])
    write_images(tmp_path / "a" / "deep", "y", [3])
    (tmp_path / "a" / ".x00.png").write_bytes(b"resource fork")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "broken.jpg").write_bytes(b"not a picture")
    output = annotate(settings(tmp_path))
    predictions = read_predictions(output)
    assert predictions.keys.tolist() == ["a/broken.jpg", "a/deep/y03.png", "a/x00.png", "a/x01.png", "a/x02.png"]
    assert predictions.errors == {"a/broken.jpg": "not an image in a known format"}
    assert predictions.indices.tolist() == [[-1, -1, -1], [2, 0, 1], [0, 4, 1], [1, 3, 0], [4, 2, 0]]
    powers = np.exp(np.arange(6, 0, -1.0))
    assert predictions.scores[1] == pytest.approx(powers[:3] / powers.sum(), abs=1e-6)
    assert predictions.classes == SOURCES
    assert read_stage(output).summary["unreadable"] == 1


def test_images_of_which_none_can_be_read_are_refused(tmp_path: Path, classifier: WrittenClassifier) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "text.jpg").write_text("hello")
    (tmp_path / "a" / "zero.jpg").touch()
    told = "none of the 2 images could be read; the first, a/text.jpg: not an image in a known format"
    with pytest.raises(NlcliError, match=told):
        annotate(settings(tmp_path))
    write_images(tmp_path / "a", "x", [0])
    again = annotate(settings(tmp_path), force=True)
    assert read_predictions(again).keys.tolist() == ["a/text.jpg", "a/x00.png", "a/zero.jpg"]


def test_the_batch_size_does_not_count(tmp_path: Path, classifier, monkeypatch) -> None:
    monkeypatch.setattr(annotating, "PART_IMAGES", 3)
    write_images(tmp_path / "a", "x", list(range(8)))
    one = annotate(settings(tmp_path, batch_size=2))
    two = annotate(settings(tmp_path, batch_size=7, output=tmp_path / "other"))
    assert read_stage(one).fingerprint == read_stage(two).fingerprint
    assert len(list(one.glob("part-*.parquet"))) == 3


def test_an_added_or_changed_image_is_another_result(tmp_path: Path, classifier) -> None:
    write_images(tmp_path / "a", "x", [0])
    annotate(settings(tmp_path))
    assert classifier.seen == 1
    annotate(settings(tmp_path))
    assert classifier.seen == 1
    write_images(tmp_path / "a", "x", [1])
    with pytest.raises(NlcliError, match="content of images"):
        annotate(settings(tmp_path))
    annotate(settings(tmp_path), force=True)
    assert classifier.seen == 3


def test_keys_tell_folders_of_one_name_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "one" / "images", tmp_path / "two" / "images", tmp_path / "one" / "images"]
    assert folder_labels(folders) == ["one/images", "two/images", "one/images"]
    assert folder_labels([tmp_path / "train2014", tmp_path / "val2014"]) == ["train2014", "val2014"]
    for folder in folders:
        write_images(folder, "x", [0])
    keys = {image.key for files in find_images(folders).values() for image in files.values()}
    assert keys == {"one/images/x00.png", "two/images/x00.png"}


def test_nan_is_named_with_its_image(tmp_path: Path, classifier) -> None:
    write_images(tmp_path / "a", "x", [0, 1, 2])
    classifier.logits[1, 2] = np.nan
    with pytest.raises(NlcliError, match=r"NaN or infinity for .*x01\.png"):
        annotate(settings(tmp_path))


def test_a_damaged_part_is_named(tmp_path: Path, classifier) -> None:
    write_images(tmp_path / "a", "x", [0, 1])
    output = annotate(settings(tmp_path))
    part = output / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(NlcliError, match=r"cannot read .*part-00000\.parquet"):
        read_predictions(output)


def test_no_images_and_no_classes(tmp_path: Path, classifier) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(NlcliError, match="no images in"):
        annotate(settings(tmp_path))
    write_images(tmp_path / "a", "x", [0])
    classifier.classes = None
    with pytest.raises(NlcliError, match="has no class names"):
        annotate(settings(tmp_path))


def test_a_saved_backbone_and_a_keras_file_answer_like_the_network_itself(tmp_path: Path) -> None:
    from nlcli.networks.images import load_image
    from nlcli.networks.weights import build_backbone, load_backbone, save_backbone

    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(tmp_path / "a" / f"{number}.png")
    backbone = build_backbone("small_cnn", "none", classes=SOURCES, activation="softmax", image_size=32, seed=4)
    save_backbone(tmp_path / "net", backbone)
    predictions = read_predictions(annotate(settings(tmp_path, classifier=str(tmp_path / "net"))))
    images = np.stack([load_image(tmp_path / "a" / f"{n}.png", backbone.preprocessing) for n in range(5)])
    plain = load_backbone(tmp_path / "net").model(images.astype(np.float32) / 255, training=False)["logits"].numpy()
    powers = np.exp(plain - plain.max(axis=1, keepdims=True))
    probability = powers / powers.sum(axis=1, keepdims=True)
    assert (predictions.indices == np.argsort(-plain, axis=1)[:, :3]).all()
    assert predictions.scores == pytest.approx(-np.sort(-probability, axis=1)[:, :3], abs=1e-5)

    import keras

    keras.Model(backbone.model.inputs, backbone.model.output["logits"]).save(tmp_path / "net.keras")
    (tmp_path / "names.txt").write_text("\n".join(SOURCES) + "\n")
    file = settings(tmp_path, classifier=str(tmp_path / "net.keras"), classifier_scaling="unit", output=tmp_path / "f")
    with pytest.raises(NlcliError, match="needs --classifier-classes"):
        annotate(file)
    with_names = Annotate(**(file.model_dump() | {"classifier_classes": tmp_path / "names.txt"}))
    again = read_predictions(annotate(with_names))
    assert (again.indices == predictions.indices).all()
    assert again.scores == pytest.approx(predictions.scores, abs=1e-5)


def test_importing_the_module_does_not_hide_the_function_of_the_package(tmp_path: Path, classifier) -> None:
    import nlcli

    write_images(tmp_path / "a", "x", [0])
    output = nlcli.annotate(images=[tmp_path / "a"], output=tmp_path / "out")
    assert read_predictions(output).keys.tolist() == ["a/x00.png"]


@pytest.mark.parametrize(("field", "value"), [("name", 1), ("classes", {"a": 1}), ("preprocessing", {"size": "?"})])
def test_a_damaged_description_of_the_classifier_is_told(
    tmp_path: Path, classifier: WrittenClassifier, field: str, value: object
) -> None:
    write_images(tmp_path / "a", "x", [0])
    output = annotate(settings(tmp_path))
    described = read_json(output / annotating.CLASSIFIER)
    assert described == {"name": "written", "classes": list(SOURCES), "preprocessing": described["preprocessing"]}
    write_json(output / annotating.CLASSIFIER, described | {field: value})
    with pytest.raises(
        NlcliError, match=rf"classifier\.json: field '{field}.*; remove its directory and annotate again$"
    ):
        read_predictions(output)


def test_auto_chooses_an_engine_for_logits_once(tmp_path: Path, classifier: WrittenClassifier, monkeypatch) -> None:
    from nlcli.networks import engine_choice, forward

    asked: list[tuple[object, ...]] = []

    def choose(*given: object) -> str:
        asked.append(given)
        return "openvino"

    def opened(network: WrittenClassifier, precision: str, output: str, engine: str) -> forward.Forward:
        asked.append((engine, output))
        return forward.Forward(network.inference(precision, output))

    monkeypatch.setattr(engine_choice, "choose_engine", choose)
    monkeypatch.setattr(forward, "open_forward", opened)
    write_images(tmp_path / "a", "x", [0, 1])
    output = annotate(settings(tmp_path, engine_cpu="auto", batch_size=7))
    assert asked == [(classifier, "float32", "logits", 7), ("openvino", "logits")]
    assert read_stage(output).config["engine_cpu"] == "openvino"
    annotate(settings(tmp_path, engine_cpu="auto", batch_size=7))
    assert len(asked) == 2  # it is up to date with what was chosen then
