"""Extraction by networks of other libraries: the same store, the same resuming, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.features import extract as extracting
from nlcli.data.features.extract import extract_features
from nlcli.data.features.store import FeatureStore
from nlcli.errors import NlcliError
from nlcli.networks.backbone import Backbone
from nlcli.networks.foreign.source import ForeignSource
from nlcli.networks.images import load_image
from nlcli.networks.weights import build_backbone
from worlds.extraction import BROKEN, config_of
from worlds.onnx_files import write_onnx

GOOD = [i for i in range(23) if i not in BROKEN]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return write_onnx(tmp_path_factory.mktemp("onnx") / "small.onnx")


def extract(work: Path, output: Path, backbone: str, **changes: Any) -> FeatureStore:
    config = config_of(work, output, **changes).model_copy(update={"backbone": backbone})
    return FeatureStore(extract_features(config))


def onnx(work: Path, output: Path, network: Path, **changes: Any) -> FeatureStore:
    options = {"scaling": "tf", "network_output": "mean"} | changes
    return extract(work, output, f"onnx:{network}", **options)


def test_a_network_in_an_onnx_file(work: Path, network: Path, tmp_path: Path) -> None:
    import onnxruntime

    store = onnx(work, tmp_path / "f", network)
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    from PIL import Image

    pixels = np.stack(
        [np.asarray(Image.open(work / f"images/{i}.png").resize((32, 32), Image.Resampling.BILINEAR)) for i in GOOD]
    )
    expected = session.run(["mean"], {"pixels": (pixels / 127.5 - 1).astype(np.float32).transpose(0, 3, 1, 2)})[0]
    np.testing.assert_allclose(store.read(np.arange(21)), expected, atol=1e-4)
    assert store.errors == {f"k{i}": reason for i, reason in BROKEN.items()}
    assert store.last_layer is None
    recorded = json.loads((store.path / "features.json").read_text())["preprocessing"]
    assert recorded["library"] == f"onnxruntime {onnxruntime.__version__}"
    assert (recorded["height"], recorded["width"], recorded["channels"]) == (32, 32, "RGB")
    assert recorded["scale"] == pytest.approx([1 / 127.5] * 3)


def test_a_killed_extraction_goes_on_and_ends_the_same(
    work: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, written = extracting.write_shard, []

    def dies(path: Path, *rest: Any) -> Any:
        written.append(path.name)
        if len(written) == 3:
            raise KeyboardInterrupt
        return whole(path, *rest)

    monkeypatch.setattr(extracting, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        onnx(work, tmp_path / "f", network)
    one = onnx(work, tmp_path / "f", network)
    other = onnx(work, tmp_path / "other", network)
    assert written[:8] == [f"features-0000{i}.h5" for i in (0, 1, 2, 2, 3, 4, 0, 1)]
    stages = [json.loads((store.path / "stage.json").read_text()) for store in (one, other)]
    assert stages[0]["fingerprint"] == stages[1]["fingerprint"]
    monkeypatch.setattr(ForeignSource, "open", lambda source: pytest.fail("opened"))
    onnx(work, tmp_path / "f", network)


def test_another_file_is_another_backbone(work: Path, network: Path, tmp_path: Path) -> None:
    copied = tmp_path / "small.onnx"
    copied.write_bytes(network.read_bytes())
    first = onnx(work, tmp_path / "f", copied)
    assert first.path == onnx(work, tmp_path / "f", network).path, "the same content is the same input"
    write_onnx(copied, seed=1)
    with pytest.raises(NlcliError, match="differs in content of backbone"):
        onnx(work, tmp_path / "f", copied)
    stated = tmp_path / "preprocessor_config.json"
    stated.write_text('{"size": {"height": 32, "width": 32}, "resample": 2, "rescale_factor": 0.1}')
    options = {"scaling": None, "network_output": "mean"}
    second = onnx(work, tmp_path / "g", copied, **options)
    stated.write_text('{"size": {"height": 32, "width": 32}, "resample": 3, "rescale_factor": 0.1}')
    with pytest.raises(NlcliError, match="differs in content of preprocessing"):
        onnx(work, second.path, copied, **options)


def test_options_that_mean_nothing_are_refused(work: Path, network: Path, tmp_path: Path) -> None:
    for changes, sentence in (
        ({"weights": "none"}, "says itself where its weights are; leave out --weights"),
        ({"precision": "bfloat16"}, "is computed in float32; leave out --precision"),
        ({"decode": "fast"}, "takes images as they are; leave out --decode fast"),
    ):
        with pytest.raises(NlcliError, match=sentence):
            onnx(work, tmp_path / "f", network, **changes)
    for name, changes, sentence in (
        ("small_cnn", {"scaling": "tf"}, "--scaling means something only to networks of onnx:, not to small_cnn"),
        ("small_cnn", {"pooling": "token"}, "--pooling means something only to networks of onnx: and hub:"),
        ("timm:resnet18", {"resize": "crop"}, "--resize means something only to networks of onnx:, not to timm"),
        ("onnx:absent.onnx", {}, "there is no file absent.onnx; pass onnx:FILE"),
        ("timm:resnet18@absent.pth", {}, "there is no weights file absent.pth; pass timm:NAME@FILE"),
    ):
        with pytest.raises(NlcliError, match=sentence):
            extract(work, tmp_path / "f", name, **changes)


@pytest.mark.parametrize(
    ("backbone", "package", "extra"),
    [("onnx:x.onnx", "onnxruntime", "onnx"), ("hub:x", "keras_hub", "hub"), ("timm:resnet18", "timm", "timm")],
)
def test_libraries_that_are_not_there(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, package: str, extra: str
) -> None:
    import sys

    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NlcliError, match=rf"install .* with: pip install 'nlcli\[{extra}\]'"):
        extract(work, tmp_path / "f", backbone)


# --- size of images ---------------------------------------------------------------------------


def test_another_size_of_a_saved_network(work: Path, tmp_path: Path, backbone: Backbone) -> None:
    """Its weights on larger images, as the plain model computes them."""
    store = extract(work, tmp_path / "f", str(work / "backbone"), image_size=48)
    larger = build_backbone("small_cnn", "none", image_size=48)
    larger.model.set_weights(backbone.without_classes().model.get_weights())
    images = np.stack([load_image(work / f"images/{i}.png", larger.preprocessing) for i in GOOD])
    assert images.shape[1:] == (48, 48, 3)
    expected = larger.model(images.astype(np.float32) / 255, training=False)["features"].numpy()
    np.testing.assert_allclose(store.read(np.arange(21)), expected, rtol=1e-4, atol=1e-5)
    assert json.loads((store.path / "features.json").read_text())["preprocessing"]["size"] == 48
    assert store.backbone_fingerprint != backbone.fingerprint
    same = extract(work, tmp_path / "g", str(work / "backbone"), image_size=32)
    assert same.backbone_fingerprint == backbone.fingerprint, "32 is what it was trained with"


def test_another_size_of_a_registered_network(work: Path, tmp_path: Path) -> None:
    store = extract(work, tmp_path / "f", "small_cnn", weights="none", image_size=40)
    assert store.backbone_fingerprint == build_backbone("small_cnn", "none", image_size=40).fingerprint


def test_networks_that_fit_one_size(work: Path, tmp_path: Path, backbone: Backbone) -> None:
    backbone.model.save(tmp_path / "n.keras")
    with pytest.raises(NlcliError, match="takes images of the size that it was saved with; leave out --image-size"):
        extract(work, tmp_path / "f", str(tmp_path / "n.keras"), image_size=48)
