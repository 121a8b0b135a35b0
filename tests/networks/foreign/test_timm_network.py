"""Models of timm: the same features as its own transform and model give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.networks.foreign.base import ForeignOptions
from nlcli.networks.foreign.timm_network import TimmNetwork
from nlcli.networks.image_batches import iterate_images

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")

CONVOLUTIONS, TRANSFORMER = "test_convnext.r160_in1k", "test_vit.r160_in1k"  # timm's own for tests: 1 MB each


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of whole classifiers, as timm's own files are."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name in (CONVOLUTIONS, TRANSFORMER):
        found[name] = folder / f"{name}.safetensors"
        save_file(timm.create_model(name).state_dict(), found[name])
    return found


def features(network: TimmNetwork, paths: list[Path]) -> np.ndarray:
    parts = [network.compute(batch.images) for batch in iterate_images(paths, network.preparation, 3, 2)]
    return np.concatenate(parts)


def own_call(name: str, weights: Path, paths: list[Path], **given: Any) -> np.ndarray:
    """The library's own, an image at a time."""
    loaded = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}
    model = timm.create_model(name, num_classes=0, **loaded, **given)
    config = timm.data.resolve_model_data_config(model)
    if given:
        config["input_size"] = (3, given["img_size"], given["img_size"])
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        rows = [model.eval()(transform(Image.open(path)).unsqueeze(0)).numpy() for path in paths]
    return np.concatenate(rows)


@pytest.mark.parametrize("name", [CONVOLUTIONS, TRANSFORMER])
def test_features_are_those_of_timm(name: str, weights: dict[str, Path], photographs: list[Path]) -> None:
    network = TimmNetwork(name, weights[name], ForeignOptions())
    np.testing.assert_allclose(features(network, photographs), own_call(name, weights[name], photographs), atol=1e-4)
    config = timm.data.resolve_model_data_config(timm.create_model(name))
    said = network.preprocessing
    assert (said.height, said.width) == config["input_size"][1:]
    assert said.stated == {
        key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
    }
    assert said.scale == pytest.approx([1 / 255 / deviation for deviation in config["std"]])
    assert TimmNetwork(name, weights[name], ForeignOptions()).fingerprint == network.fingerprint


def test_another_size(weights: dict[str, Path], photographs: list[Path]) -> None:
    network = TimmNetwork(TRANSFORMER, weights[TRANSFORMER], ForeignOptions(image_size=96))
    expected = own_call(TRANSFORMER, weights[TRANSFORMER], photographs, img_size=96)
    np.testing.assert_allclose(features(network, photographs), expected, atol=1e-4)
    assert network.preprocessing.width == 96
    of_convolutions = TimmNetwork(CONVOLUTIONS, weights[CONVOLUTIONS], ForeignOptions(image_size=64))
    assert of_convolutions.preparation.shape == (3, 64, 64)


def test_weights_of_a_classifier_of_others_and_of_none(weights: dict[str, Path], tmp_path: Path) -> None:
    """Weights that somebody trained further, or saved without the last layer: the features are the same."""
    from safetensors.torch import load_file, save_file

    state = load_file(weights[TRANSFORMER])
    few = {name: tensor[:7].clone() if name.startswith("head.") else tensor for name, tensor in state.items()}
    save_file(few, tmp_path / "few.safetensors")
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("head.")}, tmp_path / "none.pth")
    prints = {
        TimmNetwork(TRANSFORMER, file, ForeignOptions()).fingerprint
        for file in (weights[TRANSFORMER], tmp_path / "few.safetensors", tmp_path / "none.pth")
    }
    assert len(prints) == 1
    del state["blocks.0.norm1.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(NlcliError, match="is not of timm:.*Missing key"):
        TimmNetwork(TRANSFORMER, tmp_path / "less.safetensors", ForeignOptions())


def test_weights_of_another_model(weights: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="is not of timm:test_vit.r160_in1k .*name the model that it was made for"):
        TimmNetwork(TRANSFORMER, weights[CONVOLUTIONS], ForeignOptions())
    with pytest.raises(NlcliError, match="is no file of tensors"):
        TimmNetwork(TRANSFORMER, tmp_path / "w.pkl", ForeignOptions())
    with pytest.raises(NlcliError, match="there is no weights file"):
        TimmNetwork(TRANSFORMER, tmp_path / "w.safetensors", ForeignOptions())
    with pytest.raises(NlcliError, match="unknown model of timm 'resnet5'; did you mean"):
        TimmNetwork("resnet5", None, ForeignOptions())


def test_pickles_are_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return print, ("was run",)

    torch.save({"state_dict": Runs()}, tmp_path / "w.pth")
    with pytest.raises(NlcliError, match=r"weights file .* is not of timm:test_vit.r160_in1k \(.*[Ww]eights"):
        TimmNetwork(TRANSFORMER, tmp_path / "w.pth", ForeignOptions())


def test_weights_that_no_network_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        NlcliError, match="could not be downloaded .no route to host.*pass timm:test_vit.r160_in1k@FILE"
    ):
        TimmNetwork(TRANSFORMER, None, ForeignOptions())
