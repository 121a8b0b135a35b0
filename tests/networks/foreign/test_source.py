"""Names of networks of other libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.networks.foreign.base import ForeignOptions
from nlcli.networks.foreign.source import ForeignSource, is_foreign, located
from nlcli.networks.weights import open_backbone


def test_names() -> None:
    assert [is_foreign(name) for name in ("onnx:a", "hub:a", "timm:a@b")] == [True] * 3
    assert [is_foreign(name) for name in ("resnet50", "onnx:", "C:a", "runs/b", "keras:a")] == [False] * 5
    source = ForeignSource.of("timm:vit.in1k@w/a@b.safetensors", ForeignOptions())
    assert source is not None
    assert (source.kind, source.name, source.weights) == ("timm", "vit.in1k", Path("w/a@b.safetensors"))
    assert ForeignSource.of("resnet50", ForeignOptions(image_size=100)) is None


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.onnx").write_bytes(b"")
    assert located("onnx:n.onnx") == f"onnx:{tmp_path}/n.onnx"
    assert located("timm:vit@w.safetensors") == f"timm:vit@{tmp_path}/w.safetensors"
    assert located("timm:vit") == "timm:vit"
    assert located("hub:dinov2_base") == "hub:dinov2_base"
    assert located("resnet50") == "resnet50"
    assert located("n.onnx") == f"{tmp_path}/n.onnx"


def test_a_place_where_they_cannot_be_used() -> None:
    with pytest.raises(NlcliError, match="onnx:a.onnx gives features only; extract them by extract-features"):
        open_backbone("onnx:a.onnx")
