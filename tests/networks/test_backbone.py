"""Backbones: what they compute, how they are saved, and which weights they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from nlcli.errors import NlcliError
from nlcli.networks import backbone as backbones
from nlcli.networks.architectures import BACKBONES, LocalResponseNorm, imagenet_classes
from nlcli.networks.backbone import Backbone, Inference, resolve_precision, scale_pixels
from nlcli.networks.folding import absorbs_scaling, folded_layers, inference_copy
from nlcli.networks.images import Preprocessing, iterate_images
from nlcli.networks.weights import build_backbone, load_backbone, load_keras_file, open_backbone, save_backbone


def randomise_norms(model: keras.Model, seed: int = 0) -> int:
    """Statistics as after training (fresh ones fold to nearly nothing); returns their number."""
    rng = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        count = norm.moving_mean.shape
        norm.moving_mean.assign(rng.normal(0, 0.3, count))
        norm.moving_variance.assign(rng.uniform(0.5, 2, count))
        if norm.center:
            norm.beta.assign(rng.normal(0, 0.3, count))
        if norm.scale:
            norm.gamma.assign(rng.uniform(0.5, 1.5, count))
    return len(norms)


def pixels(size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="module")
def small() -> Backbone:
    backbone = build_backbone("small_cnn", "none", classes=("cat", "dog", "kite"), seed=3)
    randomise_norms(backbone.model)
    return backbone


@pytest.fixture
def saved(small: Backbone, tmp_path: Path) -> Path:
    save_backbone(tmp_path / "backbone", small)
    return tmp_path / "backbone"


# --- what they compute -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_folding_is_exact_in_every_registered_network(name: str) -> None:
    backbone = build_backbone(name, "none", classes=("a", "b", "c"), image_size=227 if name == "alexnet" else 96)
    norms = randomise_norms(backbone.model)
    assert folded_layers(backbone.model) == norms  # all of them, in all of these networks
    assert backbone.num_features == BACKBONES[name].num_features
    images = pixels(backbone.preprocessing.size)
    expected = backbone.model(scale_pixels(images, backbone.preprocessing.scaling), training=False)
    found = backbone.inference("float32", "features")(images).numpy()
    assert found.dtype == np.float32
    assert relative(found, expected["features"].numpy()) < 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v2", "small_cnn"])
def test_bfloat16_features_point_the_same_way(name: str) -> None:
    backbone = build_backbone(name, "none", image_size=96)
    randomise_norms(backbone.model)
    images = pixels(96, 8)
    exact, low = (backbone.inference(precision)(images).numpy() for precision in ("float32", "bfloat16"))
    cosine = (low * exact).sum(1) / np.linalg.norm(low, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.999
    assert relative(low, exact) > 1e-5  # it was computed in fewer digits


def test_folding_against_a_formula() -> None:
    """A 1x1 convolution and a BatchNorm on one pixel, worked by hand."""
    inputs = layers.Input((1, 1, 1))
    outputs = layers.BatchNormalization(epsilon=0.0, name="norm")(layers.Conv2D(1, 1, name="conv")(inputs))
    model = keras.Model(inputs, outputs)
    model.get_layer("conv").set_weights([np.full((1, 1, 1, 1), 3.0), np.array([1.0])])
    model.get_layer("norm").set_weights([np.array([2.0]), np.array([0.5]), np.array([4.0]), np.array([16.0])])
    copied = inference_copy(model)
    # x = 5: convolution 16; (16 - 4) / sqrt(16) * 2 + 0.5 = 6.5; kernel 3 * 2 / 4, bias (1 - 4) / 2 + 0.5
    assert float(copied(np.full((1, 1, 1, 1), 5.0))[0, 0, 0, 0]) == 6.5
    kernel, bias = copied.get_layer("conv").get_weights()
    assert (kernel.item(), bias.item()) == (1.5, -1.0)


def mixed_network() -> keras.Model:
    """Everything folding has to tell apart: separable, depthwise, dense, shared, used twice, nested."""
    inputs = layers.Input((16, 16, 3))
    x = layers.BatchNormalization(name="first")(inputs)  # nothing before it
    x = layers.SeparableConv2D(8, 3, 2, "same", depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)  # foldable
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(scale=False)(x))  # foldable
    y = layers.Conv2D(16, 3, padding="same", name="twice")(x)
    z = layers.BatchNormalization(center=False)(y)  # not: its input is added below as well
    x = layers.Add()([y, z])
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, activation="relu")(x))  # not: behind a relu
    shared = layers.Conv2D(16, 1, use_bias=False)
    x = layers.Concatenate()([layers.BatchNormalization()(shared(x)), shared(x)])  # not: shared
    inner = layers.Input((4, 4, 32))
    nested = keras.Model(inner, layers.BatchNormalization()(layers.Conv2D(8, 1)(inner)), name="nested")
    x = layers.GlobalAveragePooling2D()(nested(layers.Cropping2D(1)(x)))
    x = layers.BatchNormalization()(layers.Dense(6, use_bias=False)(x))  # foldable
    return keras.Model(inputs, {"features": x, "twice": keras.ops.tanh(x)})


def test_folding_leaves_alone_what_it_must() -> None:
    model = mixed_network()
    randomise_norms(model)
    randomise_norms(model.get_layer("nested"), seed=1)
    assert folded_layers(model) == 3
    assert folded_layers(model.get_layer("nested")) == 1
    assert not absorbs_scaling(model)
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    expected = model(x, training=False)
    for precision, most in (("float32", 1e-5), ("bfloat16", 0.05), ("float16", 0.01)):
        found = inference_copy(model, precision)(x, training=False)
        for key in expected:
            assert relative(np.asarray(found[key], np.float32), expected[key].numpy()) < most


def test_inference_is_a_copy(small: Backbone) -> None:
    images = pixels(64)
    run = small.inference()
    before = run(images).numpy()
    kernel = small.model.get_layer("conv1").kernel
    kept = kernel.numpy()
    kernel.assign(kept * 2)
    np.testing.assert_array_equal(run(images).numpy(), before)
    kernel.assign(kept)


@pytest.mark.parametrize("scaling", ["caffe", "tf", "unit", "raw"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_pixel_scaling_is_absorbed_exactly(scaling: str, precision: str) -> None:
    made = build_backbone("small_cnn", "none", classes=("a", "b"))
    backbone = Backbone("x", made.model, Preprocessing(size=64, scaling=scaling), made.classes)
    images = pixels(64)
    expected = made.model(scale_pixels(images, scaling), training=False)["features"].numpy()
    found = backbone.inference(precision)(images).numpy()
    assert relative(found, expected) < (1e-5 if precision == "float32" else 5e-3)


def test_scaling_matches_keras_applications() -> None:
    images = pixels(8).astype(np.float32)
    for scaling, module in (("caffe", keras.applications.resnet50), ("tf", keras.applications.inception_v3)):
        expected = module.preprocess_input(images.copy())
        np.testing.assert_allclose(np.asarray(scale_pixels(images, scaling)), expected, atol=1e-5)
    assert BACKBONES["resnet50"].preprocessing.scaling == "caffe"
    assert BACKBONES["inception_v3"].preprocessing.size == 299


def test_outputs_of_inference(small: Backbone) -> None:
    images = pixels(64, 5)
    logits = small.inference(output="logits")(images).numpy()
    features = small.inference(output="features")(images).numpy()
    last = small.last_layer
    assert last is not None
    np.testing.assert_allclose(features @ last.kernel + last.bias, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        small.inference(output="probabilities")(images).numpy(), 1 / (1 + np.exp(-logits)), rtol=1e-5
    )
    soft = small.with_last_layer(last, activation="softmax")
    np.testing.assert_allclose(soft.inference(output="probabilities")(images).numpy().sum(1), 1, rtol=1e-5)
    with pytest.raises(NlcliError, match="has no classes"):
        small.without_classes().inference(output="logits")


def test_compiled_inference_fills_up_small_batches(small: Backbone) -> None:
    plain = small.inference()
    compiled = Inference(small, "float32", "features", compile_xla=True)
    images = pixels(64, 6)
    for count in (6, 1, 4):
        found = compiled(images[:count]).numpy()
        np.testing.assert_allclose(found, plain(images[:count]).numpy(), rtol=1e-4, atol=1e-5)
        assert len(found) == count


def test_auto_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "gpus", list)
    monkeypatch.setattr(backbones, "cpu_flags", lambda: frozenset({"avx2"}))
    assert resolve_precision("auto") == "float32"
    monkeypatch.setattr(backbones, "cpu_flags", lambda: frozenset({"avx2", "amx_bf16"}))
    assert resolve_precision("auto") == "bfloat16"
    assert resolve_precision("float16") == "float16"


def test_local_response_norm_by_hand() -> None:
    x = np.arange(1, 8, dtype=np.float32).reshape(1, 1, 1, 7) * 100
    found = np.asarray(LocalResponseNorm()(x)).ravel()
    # Channel 3 sees channels 1 to 5: 200^2 + 300^2 + 400^2 + 500^2 + 600^2 = 900,000.
    assert found[3] == pytest.approx(400 / (2 + 1e-4 * 900_000) ** 0.75, rel=1e-5)
    assert found[0] == pytest.approx(100 / (2 + 1e-4 * (100**2 + 200**2 + 300**2)) ** 0.75, rel=1e-5)


def test_weights_that_are_not_finite_are_named() -> None:
    made = build_backbone("small_cnn", "none")
    made.model.get_layer("conv3").kernel.assign(made.model.get_layer("conv3").kernel.numpy() * np.float32(np.nan))
    with pytest.raises(NlcliError, match="weights 'conv3/kernel' of backbone small_cnn contain NaN"):
        made.inference()


def test_seed_decides_the_weights() -> None:
    def fingerprint(seed: int) -> str:
        return build_backbone("small_cnn", "none", classes=("a", "b"), seed=seed).fingerprint

    assert fingerprint(1) == fingerprint(1)
    assert fingerprint(1) != fingerprint(2)


def test_small_cnn_learns_from_scratch() -> None:
    """Which corner is bright: four epochs over 256 images suffice."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 256)
    images = rng.integers(0, 100, (256, 64, 64, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = 32 * (label // 2), 32 * (label % 2)
        image[y : y + 32, x : x + 32, label % 3] += 100
    backbone = build_backbone("small_cnn", "none", classes=tuple("abcd"), activation="softmax")
    model = keras.Model(backbone.model.input, backbone.model.output["logits"])
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.asarray(scale_pixels(images, "unit")), labels, batch_size=16, epochs=4, verbose=0, shuffle=False)
    scores = backbone.inference(output="logits")(images).numpy()
    assert (scores.argmax(1) == labels).mean() > 0.9


# --- on disk ---------------------------------------------------------------------------------


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


# --- weights ---------------------------------------------------------------------------------


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

    broken = backbones.replace(BACKBONES["mobilenet_v2"], application=fail)
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


def test_imagenet_classes() -> None:
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet_tissue")


# --- somebody else's classifier --------------------------------------------------------------


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
        load_keras_file(foreign(tmp_path, layers.Reshape((2, 2))), tmp_path / "names.txt")


def test_code_in_a_keras_file_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path, layers.Lambda(lambda x: x * 2), layers.Dense(3))
    with pytest.raises(NlcliError, match="contains code, which is refused"):
        load_keras_file(path, tmp_path / "names.txt")


# --- real weights ----------------------------------------------------------------------------


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
