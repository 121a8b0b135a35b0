"""Where weights come from, how networks are saved, and which files are refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from nlcli.errors import NlcliError
from nlcli.networks.architectures import BACKBONES
from nlcli.networks.backbone import Backbone
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.imagenet import imagenet_classes
from nlcli.networks.model_formats import FORMATS
from nlcli.networks.weights import (
    build_backbone,
    load_backbone,
    load_keras_file,
    open_backbone,
    save_backbone,
    weights_from_file,
)
from nlcli.stages import hdf5_trial
from worlds.damaged_hdf5 import endless, write_an_attribute
from worlds.networks import pixels


def test_saved_backbone_comes_back_the_same(small: Backbone, saved: Path) -> None:
    back = load_backbone(saved)
    assert back.fingerprint == small.fingerprint
    assert (back.name, back.classes, back.preprocessing) == (small.name, small.classes, small.preprocessing)
    images = pixels(64)
    np.testing.assert_array_equal(back.inference()(images).numpy(), small.inference()(images).numpy())
    with np.load(saved / "last_layer.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["kernel"], small.last_layer.kernel)
        assert arrays["classes"].tolist() == ["cat", "dog", "kite"]
    assert sorted(path.name for path in saved.iterdir()) == ["backbone.json", "last_layer.npz", "model.keras"]


def test_saved_without_classes(small: Backbone, tmp_path: Path) -> None:
    bare = small.without_classes().trained_on(data="nothing", steps=0)
    save_backbone(tmp_path / "b", bare)
    back = load_backbone(tmp_path / "b")
    assert back.classes is None
    assert back.last_layer is None
    assert back.history == ({"data": "nothing", "steps": 0},)
    assert back.fingerprint == bare.fingerprint != small.fingerprint


def test_altered_weights_are_noticed(small: Backbone, saved: Path) -> None:
    other = build_backbone("small_cnn", "none", classes=("cat", "dog", "kite"), seed=4)
    other.model.save(saved / "model.keras")
    with pytest.raises(NlcliError, match="altered"):
        load_backbone(saved)


def test_altered_preprocessing_is_noticed(saved: Path) -> None:
    described = json.loads((saved / "backbone.json").read_text())
    described["preprocessing"]["scaling"] = "caffe"
    (saved / "backbone.json").write_text(json.dumps(described))
    with pytest.raises(NlcliError, match="altered"):
        load_backbone(saved)


def test_damaged_backbones(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="there is no directory"):
        load_backbone(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NlcliError, match=r"it has no backbone\.json"):
        load_backbone(tmp_path / "empty")
    content = (saved / "model.keras").read_bytes()
    (saved / "model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(NlcliError, match=r"cannot load .*model\.keras"):
        load_backbone(saved)
    (saved / "backbone.json").write_text('{"schema": 1}')
    with pytest.raises(NlcliError, match=r"backbone\.json: field 'network' is required; save the network again"):
        load_backbone(saved)


@pytest.fixture(scope="module")
def mobilenet_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    app = keras.applications.MobileNetV2(weights=None, classes=7, classifier_activation=None)
    files = {"new": folder / "m.weights.h5", "misnamed": folder / "m.h5", "notop": folder / "bare.weights.h5"}
    app.save_weights(files["new"])
    shutil.copy(files["new"], files["misnamed"])  # of the new format, under the old one's name
    bare = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
    bare.set_weights(app.get_weights()[:-2])
    bare.save_weights(files["notop"])
    return files


@pytest.mark.parametrize("kind", ["new", "misnamed", "notop"])
def test_weights_files_of_the_right_network(mobilenet_files: dict[str, Path], kind: str) -> None:
    backbone = build_backbone("mobilenet_v2", mobilenet_files[kind], classes=("a", "b"), image_size=96)
    with h5py.File(mobilenet_files["notop"]) as file:
        stored = file["layers/conv2d/vars/0"][:]
    np.testing.assert_array_equal(backbone.model.get_layer("Conv1").kernel.numpy(), stored)


@pytest.mark.slow
def test_weights_of_another_network(mobilenet_files: dict[str, Path], tmp_path: Path, saved: Path) -> None:
    with pytest.raises(NlcliError, match=r"m\.weights\.h5 is not of a resnet50"):
        build_backbone("resnet50", mobilenet_files["new"])
    with pytest.raises(NlcliError, match="are of a small_cnn, not of a mobilenet_v2"):
        build_backbone("mobilenet_v2", saved)
    with pytest.raises(NlcliError, match="7 classes, not ImageNet's 1000"):
        build_backbone("mobilenet_v2", mobilenet_files["new"], top=True)
    with pytest.raises(NlcliError, match="no last layer"):
        build_backbone("mobilenet_v2", mobilenet_files["notop"], top=True)
    with pytest.raises(NlcliError, match="no weights file"):
        build_backbone("mobilenet_v2", tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("not hdf5")
    with pytest.raises(NlcliError, match="cannot be read as HDF5"):
        build_backbone("mobilenet_v2", tmp_path / "text.h5")


def test_weights_files_with_links_are_refused(mobilenet_files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "linked.weights.h5"
    shutil.copy(mobilenet_files["new"], path)
    with h5py.File(path, "a") as file:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(NlcliError, match="links are refused"):
        build_backbone("mobilenet_v2", path)


def test_files_over_which_the_library_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_trial, "SECONDS", 1)
    damaged = endless(write_an_attribute(tmp_path / "model.weights.h5"))
    with pytest.raises(NlcliError, match="never come to an end"):
        weights_from_file(BACKBONES["mobilenet_v2"], damaged)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.write(damaged, damaged.name)
    (tmp_path / "names.txt").write_text("one\n")
    with pytest.raises(NlcliError, match="never come to an end"):
        load_keras_file(tmp_path / "model.keras", tmp_path / "names.txt")
    with pytest.raises(NlcliError, match="never come to an end"):
        FORMATS["keras"].open(tmp_path / "model.keras")


def test_legacy_weights_files(tmp_path: Path) -> None:
    """The format of keras.applications' own downloads."""
    app = keras.applications.MobileNetV2(weights=None, classes=3)
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(tmp_path / "old.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, app)
    backbone = build_backbone("mobilenet_v2", tmp_path / "old.h5")
    np.testing.assert_array_equal(
        backbone.model.get_layer("Conv1").kernel.numpy(), app.get_layer("Conv1").kernel.numpy()
    )


def test_failed_download_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("URL fetch failure on https://example.invalid: None -- timed out")

    broken = replace(BACKBONES["mobilenet_v2"], application=fail)
    monkeypatch.setitem(BACKBONES, "mobilenet_v2", broken)
    with pytest.raises(NlcliError, match=r"could not be downloaded .*pass --weights PATH"):
        build_backbone("mobilenet_v2")
    with pytest.raises(NlcliError, match="no ImageNet weights of small_cnn"):
        build_backbone("small_cnn")


def test_unknown_networks() -> None:
    with pytest.raises(NlcliError, match="did you mean 'resnet50'"):
        build_backbone("resnet5")
    with pytest.raises(NlcliError, match="did you mean 'mobilenet_v2'"):
        open_backbone("mobilenetv2")


def test_weights_from_a_saved_backbone(small: Backbone, saved: Path) -> None:
    same = build_backbone("small_cnn", saved, top=True)
    assert same.fingerprint == small.fingerprint
    fresh = build_backbone("small_cnn", saved, classes=("x", "y"), image_size=96)
    assert fresh.preprocessing.size == 96
    assert fresh.classes == ("x", "y")
    np.testing.assert_array_equal(
        fresh.model.get_layer("conv3").kernel.numpy(), small.model.get_layer("conv3").kernel.numpy()
    )


def foreign(tmp_path: Path, *tail: layers.Layer) -> Path:
    body = [layers.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    model = keras.Sequential(body + list(tail))
    path = tmp_path / "theirs.keras"
    model.save(path)
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    return path


@pytest.mark.parametrize("split", [False, True])
def test_keras_file_with_class_list(tmp_path: Path, split: bool) -> None:
    tail = [layers.Dense(3), layers.Softmax()] if split else [layers.Dense(3, activation="softmax")]
    path = foreign(tmp_path, *tail)
    backbone = open_backbone(path, classes_file=tmp_path / "names.txt", scaling="unit", top=True)
    assert backbone.classes == ("one", "two", "three")
    assert backbone.activation == "softmax"
    images = pixels(32)
    expected = keras.saving.load_model(path)(images / np.float32(255)).numpy()
    np.testing.assert_allclose(backbone.inference(output="probabilities")(images).numpy(), expected, rtol=1e-4)


def test_unsuitable_keras_files(tmp_path: Path) -> None:
    path = foreign(tmp_path, layers.Dense(4, activation="softmax"))
    with pytest.raises(NlcliError, match=r"has 4 classes, .*names 3"):
        load_keras_file(path, tmp_path / "names.txt")
    with pytest.raises(NlcliError, match="needs its class names"):
        load_keras_file(path, None)
    with pytest.raises(NlcliError, match="does not end in a Dense layer"):
        load_keras_file(foreign(tmp_path, layers.Dense(3), layers.Dropout(0.5)), tmp_path / "names.txt")
    with pytest.raises(
        NlcliError, match=r"gives an array of shape \(2, 3\) an image; a score for each class is needed"
    ):
        load_keras_file(foreign(tmp_path, layers.Reshape((2, 2)), layers.Dense(3)), tmp_path / "names.txt")
    with pytest.raises(NlcliError, match=r"does not tell how its pixels are scaled.*pass --classifier-scaling"):
        load_keras_file(foreign(tmp_path, layers.Dense(3)), tmp_path / "names.txt")
    for tail in (
        [layers.Dense(3, activation="tanh")],
        [layers.Dense(3, activation="softmax"), layers.Softmax()],  # of which one would be taken and one left out
        [layers.Dense(3, activation="relu"), layers.Activation("sigmoid")],
        [layers.Dense(3), layers.Softmax(axis=0)],  # over the images of a batch
    ):
        with pytest.raises(
            NlcliError, match="another activation than softmax, log_softmax, sigmoid or none, or in two"
        ):
            load_keras_file(foreign(tmp_path, *tail), tmp_path / "names.txt", scaling="raw")


@pytest.mark.parametrize("shape", [(32, 32, 1), (3, 32, 32), (None, None, 3), (32, 48, 3), (3072,)])
def test_inputs_that_are_no_square_rgb_images(tmp_path: Path, shape: tuple[int | None, ...]) -> None:
    given = layers.Input(shape)
    flat = layers.Flatten()(given) if None not in shape else layers.GlobalAveragePooling2D()(given)
    keras.Model(given, layers.Dense(3)(flat)).save(tmp_path / "theirs.keras")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(NlcliError, match="square RGB images of a fixed size, channels last, are needed: save it with"):
        load_keras_file(tmp_path / "theirs.keras", tmp_path / "names.txt", scaling="raw")


@pytest.mark.parametrize("dtype", ["uint8", "float64", "float16"])
def test_inputs_of_other_types_are_fed_as_they_are_meant(tmp_path: Path, dtype: str) -> None:
    given = layers.Input((32, 32, 3), dtype=dtype)
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(given)))
    model = keras.Model(given, layers.Dense(3, activation="softmax")(pooled))
    model.save(tmp_path / "theirs.keras")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    backbone = load_keras_file(tmp_path / "theirs.keras", tmp_path / "names.txt")
    images = pixels(32)
    expected = model(images.astype(dtype), training=False).numpy()
    np.testing.assert_allclose(backbone.inference(output="probabilities")(images).numpy(), expected, atol=1e-3)


def test_logarithms_of_probabilities_become_probabilities(tmp_path: Path) -> None:
    path = foreign(tmp_path, layers.Dense(3, activation="log_softmax"))
    backbone = load_keras_file(path, tmp_path / "names.txt", scaling="unit")
    images = pixels(32)
    expected = np.exp(keras.saving.load_model(path)(images / np.float32(255)).numpy())
    np.testing.assert_allclose(backbone.inference(output="probabilities")(images).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    path = foreign(tmp_path, layers.Dense(3))
    model = keras.saving.load_model(path)
    model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])
    model.save(path)
    backbone = load_keras_file(path, tmp_path / "names.txt", scaling="raw")
    with pytest.raises(NlcliError, match="contain NaN or infinity; get others"):
        backbone.inference()


def test_a_network_of_two_outputs(tmp_path: Path) -> None:
    given = layers.Input((32, 32, 3))
    pooled = layers.GlobalAveragePooling2D()(given)
    keras.Model(given, [layers.Dense(3)(pooled), layers.Dense(2)(pooled)]).save(tmp_path / "theirs.keras")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(NlcliError, match=r"theirs\.keras has more than one .* output \(1 and 2\); save it with one"):
        load_keras_file(tmp_path / "theirs.keras", tmp_path / "names.txt")


def test_outputs_without_an_activation_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for tail, told in (
        ([], True),
        ([layers.Activation("linear")], True),
        ([layers.Activation("softmax")], False),
        ([layers.Softmax()], False),
        ([layers.Activation("sigmoid")], False),
    ):
        path = foreign(tmp_path, layers.Dense(3), *tail)
        load_keras_file(path, tmp_path / "names.txt", scaling="raw")
        assert ("its outputs are taken for logits of a softmax" in capsys.readouterr().err) is told


def test_names_of_classes_as_editors_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ImageNet has two cranes, so a name may stand twice, and is told."""
    path = foreign(tmp_path, layers.Dense(3, activation="softmax"))
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfcrane\r\nheron\r\n\r\ncrane\r\n")
    assert load_keras_file(path, tmp_path / "names.txt", scaling="raw").classes == ("crane", "heron", "crane")
    assert "has 1 names more than once, such as 'crane'" in capsys.readouterr().err


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("layer", [layers.Rescaling(1 / 127.5, -1), layers.Normalization(mean=127.0, variance=3600.0)])
def test_a_classifier_that_scales_its_own_pixels_is_found_out(
    tmp_path: Path, nested: bool, layer: layers.Layer, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = [layers.Input((32, 32, 3)), layers.RandomFlip(), layer]
    body = [keras.Sequential(begin)] if nested else begin[1:]
    tail = [layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")]
    model = keras.Sequential([layers.Input((32, 32, 3)), *body, *tail])
    model.save(tmp_path / "theirs.keras")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    backbone = load_keras_file(tmp_path / "theirs.keras", tmp_path / "names.txt")
    assert backbone.preprocessing.scaling == "raw"
    assert "scales its pixels itself (layer '" in capsys.readouterr().err
    images = pixels(32)
    expected = model(images.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(backbone.inference(output="probabilities")(images).numpy(), expected, rtol=1e-4)
    load_keras_file(tmp_path / "theirs.keras", tmp_path / "names.txt", scaling="tf")
    assert "warning: " in capsys.readouterr().err


def test_code_in_a_keras_file_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path, layers.Lambda(lambda x: x * 2), layers.Dense(3))
    with pytest.raises(NlcliError, match="contains code, which is refused"):
        load_keras_file(path, tmp_path / "names.txt")


@pytest.mark.slow
def test_real_mobilenet_recognises_real_photographs(shared_data: Path) -> None:
    """Most photographs in which COCO has a large zebra get that ImageNet class."""
    annotations = json.loads((shared_data / "coco_sample/annotations/instances_train.json").read_text())
    zebra = next(c["id"] for c in annotations["categories"] if c["name"] == "zebra")
    shown = {a["image_id"] for a in annotations["annotations"] if a["category_id"] == zebra and a["area"] > 5000}
    folder = shared_data / "coco_sample/images/train"
    paths = [folder / image["file_name"] for image in annotations["images"] if image["id"] in shown]
    assert paths
    weights = shared_data / "weights/mobilenetv2_imagenet1k.weights.h5"
    backbone = build_backbone("mobilenet_v2", weights, top=True)
    assert backbone.classes == imagenet_classes()
    assert backbone.activation == "softmax"
    run = backbone.inference(output="probabilities")
    top = [
        backbone.classes[i]
        for batch in iterate_images(paths, backbone.preprocessing, 8)
        for i in run(batch.images).numpy().argmax(1)
    ]
    assert np.mean([name == "zebra" for name in top]) >= 0.6
