"""Networks in ONNX files: the same features as the runtime's own call on images that were prepared by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.networks.foreign.base import ForeignOptions
from nlcli.networks.foreign.onnx_network import OnnxNetwork
from nlcli.networks.foreign.pixel_steps import steps_of_file
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.images import ImageError, load_image
from worlds.onnx_files import add_output, write_onnx

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

STATED = {
    "do_resize": True,
    "size": {"shortest_edge": 40},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.5],
}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "small.onnx")


def features(network: OnnxNetwork, paths: list[Path]) -> np.ndarray:
    parts = [network.compute(batch.images) for batch in iterate_images(paths, network.preparation, 3, 2)]
    return np.concatenate(parts)


def own_call(path: Path, inputs: list[np.ndarray], output: str) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([output], {"pixels": one[None].astype(np.float32)})[0] for one in inputs])


def by_hand(path: Path) -> np.ndarray:
    """What ``STATED`` says, step by step: (3, 32, 32)."""
    image = Image.open(path)
    factor = 40 / min(image.size)
    image = image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.BICUBIC)
    values = np.asarray(image, np.float64) / 255
    top, left = (values.shape[0] - 32) // 2, (values.shape[1] - 32) // 2
    values = (values[top : top + 32, left : left + 32] - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
    return values.transpose(2, 0, 1)


def state(network: Path, **changes: Any) -> None:
    content = {key: value for key, value in (STATED | changes).items() if value is not None}
    network.with_name("preprocessor_config.json").write_text(json.dumps(content))


def test_what_the_file_beside_it_states(network: Path, photographs: list[Path]) -> None:
    state(network)
    made = OnnxNetwork(network, ForeignOptions(network_output="mean"))
    expected = own_call(network, [by_hand(path) for path in photographs], "mean")
    np.testing.assert_allclose(features(made, photographs), expected, atol=1e-4)
    assert made.num_features == 8
    said = made.preprocessing
    assert (said.height, said.width, said.interpolation, said.channels) == (32, 32, "bicubic", "RGB")
    assert said.crop == "shorter side to 40, middle 32 x 32"
    assert said.scale == pytest.approx([1 / 255 / 0.2, 1 / 255 / 0.25, 1 / 255 / 0.5])
    assert said.offset == pytest.approx([-2.5, -1.6, -0.6])
    assert said.stated == STATED


def test_an_image_processor_of_hugging_face(network: Path, photographs: list[Path]) -> None:
    """Theirs is the reference for such files."""
    transformers = pytest.importorskip("transformers")
    state(network)
    made = OnnxNetwork(network, ForeignOptions(network_output="mean"))
    processor = transformers.CLIPImageProcessorPil.from_pretrained(network.parent)
    for path in photographs:
        theirs = processor(Image.open(path), return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(load_image(path, made.preparation), theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("scaling", "scaled"),
    [
        ("raw", lambda x: x),
        ("unit", lambda x: x / 255),
        ("tf", lambda x: x / 127.5 - 1),
        ("caffe", lambda x: x[..., ::-1] - [103.939, 116.779, 123.68]),
        ("imagenet", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
    ],
)
def test_what_options_state(network: Path, photographs: list[Path], scaling: Any, scaled: Any) -> None:
    made = OnnxNetwork(network, ForeignOptions(scaling=scaling, network_output="mean"))
    inputs = []
    for path in photographs:
        values = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR), np.float64)
        inputs.append(scaled(values).transpose(2, 0, 1))
    expected = own_call(network, inputs, "mean")
    np.testing.assert_allclose(features(made, photographs), expected, rtol=1e-4, atol=1e-4)
    assert made.preprocessing.channels == ("BGR" if scaling == "caffe" else "RGB")
    assert made.preprocessing.stated == {"scaling": scaling, "resize": "stretch"}


def test_outputs_and_pooling(network: Path, photographs: list[Path]) -> None:
    state(network)
    inputs = [by_hand(path) for path in photographs]
    tokens = own_call(network, inputs, "tokens")
    for pooling, expected in (("token", tokens[:, 0]), ("average", tokens.mean(axis=1))):
        made = OnnxNetwork(network, ForeignOptions(network_output="tokens", pooling=pooling))
        np.testing.assert_allclose(features(made, photographs), expected, atol=1e-4)
    of_map = OnnxNetwork(network, ForeignOptions(network_output="map"))
    np.testing.assert_allclose(features(of_map, photographs), own_call(network, inputs, "mean"), atol=1e-4)
    with pytest.raises(NlcliError, match="gives 64 vectors an image; say which is meant: --pooling token"):
        OnnxNetwork(network, ForeignOptions(network_output="tokens"))
    with pytest.raises(NlcliError, match="has 3 outputs; choose the features by --network-output: map, mean, tokens"):
        OnnxNetwork(network, ForeignOptions())
    with pytest.raises(NlcliError, match="has no output 'features'; it has: map, mean, tokens"):
        OnnxNetwork(network, ForeignOptions(network_output="features"))


def test_another_layout_type_and_size(tmp_path: Path, photographs: list[Path]) -> None:
    """Pixels as they are, channels last; the side is free, so it has to be said."""
    path = write_onnx(tmp_path / "last.onnx", "side", dtype="UINT8", channels_last=True)
    with pytest.raises(NlcliError, match="does not fix the side of its square input; pass --image-size"):
        OnnxNetwork(path, ForeignOptions(scaling="raw", network_output="mean"))
    with pytest.raises(NlcliError, match="takes whole numbers, 0 to 255, .*; pass --scaling raw"):
        OnnxNetwork(path, ForeignOptions(scaling="unit", image_size=48, network_output="mean"))
    made = OnnxNetwork(path, ForeignOptions(scaling="raw", image_size=48, network_output="mean"))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(p).resize((48, 48), Image.Resampling.BILINEAR)) for p in photographs])
    np.testing.assert_allclose(features(made, photographs), session.run(["mean"], {"pixels": images})[0], atol=1e-4)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_number_of_images_at_once(tmp_path: Path, photographs: list[Path], batch: int) -> None:
    """As exporters write them that are told of no free axis: the same features as of the network that takes any number."""
    fixed, free = (write_onnx(tmp_path / f"{b}.onnx", batch=b) for b in (batch, "batch"))
    options = ForeignOptions(scaling="unit", network_output="mean")
    np.testing.assert_allclose(
        features(OnnxNetwork(fixed, options), photographs), features(OnnxNetwork(free, options), photographs), atol=1e-5
    )


def test_input_in_double_precision(tmp_path: Path, photographs: list[Path]) -> None:
    double, single = (write_onnx(tmp_path / f"{kind}.onnx", dtype=kind) for kind in ("DOUBLE", "FLOAT"))
    options = ForeignOptions(scaling="tf", network_output="mean")
    np.testing.assert_allclose(
        features(OnnxNetwork(double, options), photographs),
        features(OnnxNetwork(single, options), photographs),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("operator", "constants", "attributes", "told"),
    [
        ("Softmax", (), {"axis": 0}, "gives an image other features beside another image than alone"),
        ("RandomNormalLike", (), {}, "or other ones each time; export the network as it is used"),
        ("ArgMax", (), {"axis": 1}, "output 'odd' is not a batch of numbers; choose another"),
        ("ReduceMean", (), {"keepdims": 0}, "output 'odd' is not a batch of numbers; choose another"),
        ("ReduceMean", ([0],), {"keepdims": 1}, "output 'odd' is not a batch of numbers; choose another"),
        ("ReduceMean", ([1],), {"keepdims": 0}, r"gives arrays of shape \(2,\); features are vectors"),
        ("Slice", ([0], [0], [1]), {}, r"gives nothing, arrays of shape \(2, 0\); name another network or output"),
    ],
)
def test_outputs_that_are_no_features(
    network: Path, operator: str, constants: tuple[Any, ...], attributes: dict[str, Any], told: str
) -> None:
    add_output(network, operator, *constants, **attributes)
    with pytest.raises(NlcliError, match=told):
        OnnxNetwork(network, ForeignOptions(network_output="odd", scaling="unit"))


def test_logarithms_of_probabilities_are_features_like_others(network: Path, photographs: list[Path]) -> None:
    add_output(network, "LogSoftmax", axis=1)
    raw, logs = (
        features(OnnxNetwork(network, ForeignOptions(network_output=name, scaling="unit")), photographs)
        for name in ("mean", "odd")
    )
    expected = raw - np.log(np.exp(raw.astype(np.float64)).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(logs, expected, atol=1e-5)


def test_inputs_that_are_no_square_rgb_images(tmp_path: Path) -> None:
    import onnx

    options = ForeignOptions(scaling="unit", network_output="mean")
    path = write_onnx(tmp_path / "wide.onnx", 32, width=48)
    with pytest.raises(
        NlcliError, match="takes images of 32 x 48, which are not square: put a preprocessor_config.json"
    ):
        OnnxNetwork(path, options)
    state(path, size={"height": 32, "width": 48}, do_center_crop=None, crop_size=None)  # as the sentence says
    made = OnnxNetwork(path, ForeignOptions(network_output="mean"))
    assert (made.preprocessing.height, made.preprocessing.width) == (32, 48)
    path = write_onnx(tmp_path / "grey.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.zeros((8, 1, 4, 4), np.float32), "kernel"))
    onnx.save_model(model, path)
    with pytest.raises(NlcliError, match="not images of 3 channels; only networks of RGB images can be used"):
        OnnxNetwork(path, options)
    with pytest.raises(NlcliError, match=r"tensor\(int32\); expected one batch of images, float32, .*: export it"):
        OnnxNetwork(write_onnx(tmp_path / "int.onnx", dtype="INT32"), options)


def test_what_decides_the_features_decides_the_fingerprint(network: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path = network, **options: Any) -> str:
        return OnnxNetwork(
            path, ForeignOptions(**({"network_output": "mean", "scaling": "unit"} | options))
        ).fingerprint

    other = write_onnx(tmp_path / "other.onnx", seed=1)
    copied = tmp_path / "copy.onnx"
    copied.write_bytes(network.read_bytes())
    found = [
        fingerprint(),
        fingerprint(other),
        fingerprint(scaling="tf"),
        fingerprint(resize="crop"),
        fingerprint(network_output="map"),
    ]
    assert len(set(found)) == 5
    assert fingerprint(copied) == found[0]


def test_what_is_not_said_is_refused(network: Path) -> None:
    with pytest.raises(NlcliError, match="nothing says how images become the input of .*; put|nothing says how"):
        OnnxNetwork(network, ForeignOptions(network_output="mean"))
    with pytest.raises(NlcliError, match="takes images of 32 x 32 only, and 48 x 48 is stated"):
        OnnxNetwork(network, ForeignOptions(network_output="mean", scaling="tf", image_size=48))
    state(network)
    named = network.with_name("preprocessor_config.json")
    with pytest.raises(NlcliError, match="states the preprocessing of .*; leave out --scaling and --resize"):
        OnnxNetwork(network, ForeignOptions(network_output="mean", scaling="tf", preprocessing=named))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 40}, "'size' is a single number, which image processors read in two ways"),
        ({"size": {"longest_edge": 40}}, "'size' is .*; expected height and width"),
        ({"crop_size": {"height": 0, "width": 32}}, "expected whole numbers from 1 to 2048"),
        ({"crop_size": {"height": 1e9, "width": 32}}, "expected whole numbers from 1 to 2048"),
        ({"resample": None}, "does not state 'resample' as Pillow's number"),
        ({"do_center_crop": False}, "leaves the input's size open"),
        ({"do_pad": True}, "states 'do_pad', which is not done here"),
        ({"crop_pct": 0.9}, "states 'crop_pct'"),
        ({"image_std": [0.2, 0, 0.5]}, "'image_std' has a zero"),
        ({"image_mean": [0.5]}, "'image_mean' is .*; expected three numbers"),
        ({"image_mean": ["a", 0, 0]}, "'image_mean' is a; expected a number"),
    ],
)
def test_files_that_leave_something_open(network: Path, changes: dict[str, Any], sentence: str) -> None:
    state(network, **changes)
    with pytest.raises(NlcliError, match=sentence):
        steps_of_file(network.with_name("preprocessor_config.json"), None)


def test_another_size_keeps_the_proportion(network: Path) -> None:
    state(network)
    steps, _ = steps_of_file(network.with_name("preprocessor_config.json"), 64)
    assert (steps.resize, steps.crop) == (80, (64, 64))


def test_strips_are_refused_before_they_are_enlarged(network: Path, tmp_path: Path) -> None:
    """1 x 60000 would become 40 x 2,400,000."""
    state(network)
    made = OnnxNetwork(network, ForeignOptions(network_output="mean"))
    Image.new("RGB", (1, 60_000)).save(tmp_path / "strip.png")
    with pytest.raises(ImageError, match="1 x 60000 pixels, too narrow"):
        load_image(tmp_path / "strip.png", made.preparation)
    Image.new("RGB", (1, 600)).save(tmp_path / "strip.png")
    assert load_image(tmp_path / "strip.png", made.preparation).shape == (3, 32, 32)


def test_files_that_are_no_networks(network: Path, tmp_path: Path) -> None:
    options = ForeignOptions(scaling="unit", network_output="mean")
    whole = network.read_bytes()
    for content in (b"", b"ONNX", whole[: len(whole) // 2]):
        network.write_bytes(content)
        with pytest.raises(NlcliError, match="is not an ONNX network that can be run"):
            OnnxNetwork(network, options)
    with pytest.raises(NlcliError, match="pass onnx:FILE with the path of the network"):
        OnnxNetwork(tmp_path / "absent.onnx", options)


def test_weights_in_another_file_are_refused(network: Path) -> None:
    import onnx

    onnx.save_model(onnx.load(network), network, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(NlcliError, match="keeps its weights in another file, which is refused"):
        OnnxNetwork(network, ForeignOptions(scaling="unit", network_output="mean"))
