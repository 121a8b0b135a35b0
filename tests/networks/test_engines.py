"""Other programs compute what TensorFlow does; the fastest is chosen once, and a broken one is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.errors import NlcliError
from nlcli.networks import backbone as backbones
from nlcli.networks import engine_choice
from nlcli.networks.backbone import Backbone
from nlcli.networks.cpu_engines.agreement import largest_difference, made_up_pictures
from nlcli.networks.cpu_engines.catalogue import OTHERS
from nlcli.networks.cpu_engines.contract import CpuEngine
from nlcli.networks.engine_choice import choose_engine
from nlcli.networks.forward import open_forward
from nlcli.runtime import cpu_flags
from worlds.networks import pixels, relative

LOW = pytest.mark.skipif(not cpu_flags() & {"amx_bf16", "avx512_bf16"}, reason="this processor has no bfloat16")


@pytest.mark.parametrize("output", ["features", "probabilities", pytest.param("logits", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_engines_compute_what_tensorflow_does(small: Backbone, name: str, output: Any) -> None:
    _require(name)
    made = open_forward(small, "float32", output, name)
    for count in (5, 2):  # batches need not be of one size
        images = pixels(64, count)
        expected = small.inference("float32", output)(images).numpy()
        assert relative(made.compute(images), expected) < 1e-5
    assert made.engine is not None
    assert (made.engine.name, made.engine.tolerance) == (name, 1e-4)
    assert made.engine.difference < 1e-5


@LOW
def test_bfloat16_by_openvino_points_the_same_way(small: Backbone) -> None:
    _require("openvino")
    images = pixels(64, 8)
    exact = small.inference("float32")(images).numpy()
    low = open_forward(small, "bfloat16", "features", "openvino").compute(images)
    cosine = (low * exact).sum(1) / np.linalg.norm(low, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.999
    assert relative(low, exact) > 1e-5  # it was computed in fewer digits


def test_a_batch_is_not_overwritten_by_the_next(small: Backbone) -> None:
    """Extraction sends a batch before it stores the one before."""
    for name in OTHERS:
        _require(name)
        compute = open_forward(small, "float32", "features", name).compute
        first = compute(pixels(64, 2))
        kept = first.copy()
        compute(255 - pixels(64, 2))
        np.testing.assert_array_equal(first, kept)


def test_engines_refuse_what_they_cannot(small: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    _require("onnxruntime")
    with pytest.raises(NlcliError, match="onnxruntime computes in float32, not in bfloat16; pass --precision float32"):
        open_forward(small, "bfloat16", "features", "onnxruntime")
    monkeypatch.setitem(OTHERS, "absent", _fake("absent", _like(), modules=(("no_such_module", "no-such-package"),)))
    with pytest.raises(NlcliError, match=r"needs the package no-such-package; install it with: .*'nlcli\[fake\]'"):
        open_forward(small, "float32", "features", "absent")
    monkeypatch.setattr(backbones, "gpus", lambda: ["a GPU"])
    with pytest.raises(NlcliError, match="means something only without a GPU"):
        open_forward(small, "float32", "features", "onnxruntime")


def test_differences_are_parts_of_a_results_length() -> None:
    expected = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    assert largest_difference(expected, expected) == 0
    assert largest_difference(expected + np.float32([[0, 0], [0.3, 0.4]]), expected) == pytest.approx(0.25)
    assert largest_difference(expected[:1], expected) == np.inf
    assert largest_difference(np.full((2, 2), np.nan, np.float32), expected) == np.inf


def test_made_up_pictures_are_pictures() -> None:
    images = made_up_pictures(64)
    assert (images.shape, images.dtype) == ((4, 64, 64, 3), np.uint8)
    assert images.std(axis=(1, 2, 3)).min() > 20
    assert len({image.tobytes() for image in images}) == 4


# --- the choice ------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_choice, "SECONDS", 0.0)
    return tmp_path / "cache/nlcli/engines"


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, CpuEngine]:
    """The catalogue, with nothing in it but what a test puts there."""
    catalogue: dict[str, CpuEngine] = {}
    monkeypatch.setattr(engine_choice, "OTHERS", catalogue)
    return catalogue


def test_the_fastest_is_chosen_once_and_remembered(
    small: Backbone, cache: Path, engines: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    engines["quick"] = _fake("quick", _like(told=opened))
    monkeypatch.setattr(engine_choice, "_fastest_batches", lambda *_: {"tensorflow": 0.08, "quick": 0.02})
    assert choose_engine(small, "float32", "features", 4) == "quick"
    assert "engine: quick; quick 200 images/s, tensorflow 50 images/s, measured now" in capsys.readouterr().err
    monkeypatch.setattr(engine_choice, "_fastest_batches", None)  # nothing is timed again
    assert choose_engine(small, "float32", "features", 4) == "quick"
    assert "measured before on this machine" in capsys.readouterr().err
    assert opened == ["float32"]
    (file,) = cache.glob("*.json")
    monkeypatch.setattr(engine_choice, "_fastest_batches", lambda *_: {"tensorflow": 1.0, "quick": 0.98})
    assert choose_engine(small, "float32", "features", 8) == "tensorflow"  # another batch, and not faster by enough
    assert len(list(cache.glob("*.json"))) == 2
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chosen": "stranger"}))
    assert choose_engine(small, "float32", "features", 4) == "tensorflow"  # what is damaged is measured again
    assert json.loads(file.read_text())["chosen"] == "tensorflow"


def test_programs_take_turns(small: Backbone, cache: Path) -> None:
    turns: list[str] = []

    def noted(name: str) -> Callable[[np.ndarray], None]:
        return lambda images: turns.append(f"{name} {len(images)}")

    engine_choice._fastest_batches(small, {"tensorflow": noted("tensorflow"), "quick": noted("quick")}, 6)
    assert turns == ["tensorflow 6", "quick 6"] * 4  # once to compile, three times by the clock


def test_what_cannot_be_used_is_left_out_in_a_sentence(
    small: Backbone, cache: Path, engines: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(function: Any, precision: str) -> Any:
        raise ValueError("no operation\nof this kind")

    engines["broken"] = _fake("broken", fails)
    engines["wrong"] = _fake("wrong", _like(factor=1.001))
    engines["absent"] = _fake("absent", fails, modules=(("no_such_module", "no-such-package"),))
    assert choose_engine(small, "float32", "features", 2) == "tensorflow"
    said = capsys.readouterr().err
    assert "engine broken is left out: no operation of this kind" in said
    assert "engine wrong is left out: its results differ from TensorFlow's in float32 by 0.001 of their length" in said
    assert "absent" not in said
    (file,) = cache.glob("*.json")
    assert set(json.loads(file.read_text())["left_out"]) == {"broken", "wrong"}


def test_nothing_is_measured_where_there_is_no_choice(
    small: Backbone, cache: Path, engines: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engines["quick"] = _fake("quick", _like(), precisions=frozenset({"float32"}))
    assert choose_engine(small, "bfloat16", "features", 2) == "tensorflow"
    assert "no other that computes in bfloat16 is installed" in capsys.readouterr().err
    monkeypatch.setattr(engine_choice, "gpus", lambda: ["a GPU"])
    assert choose_engine(small, "float32", "features", 2) == "tensorflow"
    assert "--engine-cpu means something only without" in capsys.readouterr().err
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_stops_nothing(
    small: Backbone, tmp_path: Path, engines: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(engine_choice, "_fastest_batches", lambda *_: {"tensorflow": 0.08, "quick": 0.02})
    engines["quick"] = _fake("quick", _like())
    assert choose_engine(small, "float32", "features", 4) == "quick"


def _require(name: str) -> None:
    for module, _ in OTHERS[name].modules:
        pytest.importorskip(module)


def _fake(name: str, open: Callable[[Any, str], Any], **changes: Any) -> CpuEngine:
    """A program whose package is NumPy's, so that it has a version."""
    precisions = frozenset({"float32", "bfloat16"})
    return CpuEngine(name, "numpy", open, **({"precisions": precisions, "extra": "fake"} | changes))


def _like(factor: float = 1.0, told: list[str] | None = None) -> Callable[[Any, str], Any]:
    """What computes as TensorFlow does, times ``factor``."""

    def open(function: Any, precision: str) -> Any:
        if told is not None:
            told.append(precision)
        return lambda images: function(images).numpy() * np.float32(factor)

    return open
