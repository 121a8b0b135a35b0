"""Backbones of KerasHub: the same features as its own converter and backbone give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.networks.foreign.base import ForeignOptions
from nlcli.networks.foreign.hub_network import HubNetwork
from nlcli.networks.image_batches import iterate_images
from nlcli.runtime import quiet_tensorflow

quiet_tensorflow()
keras_hub = pytest.importorskip("keras_hub")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of a tiny transformer on 32 x 32 pixels."""
    folder = tmp_path_factory.mktemp("presets") / "vit"
    made = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    made.save_to_preset(str(folder))
    converter = keras_hub.layers.ViTImageConverter(
        image_size=(32, 32), scale=[1 / 127.5] * 3, offset=[-1.0, -0.9, -0.8], interpolation="bicubic", antialias=True
    )
    converter.save_to_preset(str(folder))
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of a tiny network of convolutions."""
    folder = tmp_path_factory.mktemp("presets") / "resnet"
    made = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 16],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )
    made.save_to_preset(str(folder))
    keras_hub.layers.ResNetImageConverter(image_size=(40, 40), scale=1 / 255).save_to_preset(str(folder))
    return folder


def features(network: HubNetwork, paths: list[Path]) -> np.ndarray:
    parts = [network.compute(batch.images) for batch in iterate_images(paths, network.preparation, 3, 2)]
    return np.concatenate(parts)


def own_call(preset: Path, paths: list[Path], side: int | None = None, **given: Any) -> np.ndarray:
    """The library's own, an image at a time."""
    backbone = keras_hub.models.Backbone.from_preset(str(preset), **given)
    converter = keras_hub.layers.ImageConverter.from_preset(str(preset))
    if side is not None:
        converter.image_size = (side, side)
    return np.concatenate([np.asarray(backbone(converter(np.asarray(Image.open(p))[None]))) for p in paths])


def test_a_transformer(vit: Path, photographs: list[Path]) -> None:
    network = HubNetwork(str(vit), ForeignOptions())
    tokens = own_call(vit, photographs)
    np.testing.assert_allclose(features(network, photographs), tokens[:, 0], atol=1e-4)
    averaged = HubNetwork(str(vit), ForeignOptions(pooling="average"))
    np.testing.assert_allclose(features(averaged, photographs), tokens.mean(axis=1), atol=1e-4)
    assert averaged.fingerprint != network.fingerprint
    assert HubNetwork(str(vit), ForeignOptions()).fingerprint == network.fingerprint
    said = network.preprocessing
    assert (said.height, said.width, said.interpolation, said.antialias) == (32, 32, "bicubic", True)
    assert said.crop == "middle of the image's shape"
    assert said.scale == pytest.approx([1 / 127.5] * 3)
    assert said.offset == (-1.0, -0.9, -0.8)
    assert said.stated["crop_to_aspect_ratio"] is True


@pytest.mark.slow
def test_convolutions_take_any_size(resnet: Path, photographs: list[Path]) -> None:
    network = HubNetwork(str(resnet), ForeignOptions())
    assert network.num_features == 16
    np.testing.assert_allclose(
        features(network, photographs), own_call(resnet, photographs).mean(axis=(1, 2)), atol=1e-4
    )
    larger = HubNetwork(str(resnet), ForeignOptions(image_size=64))
    expected = own_call(resnet, photographs, 64).mean(axis=(1, 2))
    np.testing.assert_allclose(features(larger, photographs), expected, atol=1e-4)
    assert larger.preprocessing.width == 64
    assert larger.fingerprint != network.fingerprint


def test_positions_of_a_transformer_fit_one_size(vit: Path) -> None:
    with pytest.raises(NlcliError, match="backbone of hub:.* cannot be loaded .*pass hub:PATH"):
        HubNetwork(str(vit), ForeignOptions(image_size=64))


def test_presets_of_something_else(vit: Path, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="it has no config.json"):
        HubNetwork(str(tmp_path), ForeignOptions())
    config = json.loads((vit / "config.json").read_text())
    for name, change in (
        ("config.json", {"module": "os.path", "registered_name": None}),
        ("config.json", {"registered_name": "mine>Network"}),
    ):
        for file in vit.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / name).write_text(json.dumps(config | change))
        with pytest.raises(NlcliError, match="which is not of KerasHub; only its own classes are loaded"):
            HubNetwork(str(tmp_path), ForeignOptions())


def test_a_preset_that_no_network_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_hub.src.utils import preset_utils

    def refuse(*given: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(preset_utils, "check_file_exists", refuse)
    with pytest.raises(
        NlcliError, match="hub:vit_base_patch16_224_imagenet cannot be loaded .no route to host.*hub:PATH"
    ):
        HubNetwork("vit_base_patch16_224_imagenet", ForeignOptions())
