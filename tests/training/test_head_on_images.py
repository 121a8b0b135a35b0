"""Heads trained from images behind a backbone: frozen, fine-tuned, killed, evaluated."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from nlcli.data.config import ExtractFeatures
from nlcli.data.features.extract import extract_features
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import choose_clean
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate, Predict
from nlcli.evaluation.evaluate import evaluate
from nlcli.evaluation.image_scorer import open_scorer
from nlcli.evaluation.predict import score_images
from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Batch, Problem
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.linear_layer import LinearLayer
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage
from nlcli.training.config import TrainHead
from nlcli.training.head_on_images import MethodOnImages, Trunk
from nlcli.training.loop.checkpoints import CHECKPOINT
from nlcli.training.pretrain_backbone import pretrain_backbone
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import train_head
from worlds.drawn_images import SIZE, config, make_dataset
from worlds.evaluated import metrics_of


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def backbone(dataset: Path) -> Path:
    """A small network trained on the noisy labels for a moment."""
    return pretrain_backbone(config(dataset, dataset.parent / "backbone", steps=10, learning_rate=3e-4))


def head(dataset: Path, output: Path, backbone: Path | str, **options: Any) -> TrainHead:
    settings: dict[str, Any] = {
        "method": "residual",
        "steps": 20,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "eval_every": 10,
        "clean_fraction": 0.5,
        "workers": 2,
        "flip": "none",
    }
    return TrainHead(dataset=dataset, output=output, from_images=str(backbone), **settings | options)


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(path: Path) -> list[np.ndarray]:
    from nlcli.networks.weights import load_backbone

    return load_backbone(path).without_classes().model.get_weights()


@pytest.fixture(scope="module")
def trained(dataset: Path, backbone: Path) -> Path:
    """Residual on a trunk that is fine-tuned with it."""
    return train_head(head(dataset, dataset.parent / "trained", backbone, trunk="trained", trunk_rate=1e-3))


# --- frozen ----------------------------------------------------------------------------------


def test_a_frozen_trunk_gives_what_cached_features_give(dataset: Path, backbone: Path, tmp_path: Path) -> None:
    features = extract_features(
        ExtractFeatures(dataset=dataset, backbone=str(backbone), output=tmp_path / "features", workers=2)
    )
    from_images = head(dataset, tmp_path / "images", backbone, steps=3, eval_every=1)
    on_features = from_images.model_copy(
        update={
            "from_images": None,
            "features": features,
            "output": tmp_path / "cached",
            "flip": "both",
            "workers": 0,
            "options": {"start": "new", "average": 0, "selection": "metric"},  # as images are trained on
        }
    )
    runs = [train_head(c) for c in (from_images, on_features)]
    lines = [history(run) for run in runs]
    assert [line["step"] for line in lines[0]] == [0, 1, 2, 3]
    for one, other in zip(*lines, strict=True):
        assert one["train"] == pytest.approx(other["train"], abs=1e-5)
        assert one["validation"] == pytest.approx(other["validation"], abs=1e-4)
    for one, other in zip(weights(runs[0] / "backbone"), weights(backbone), strict=True):
        np.testing.assert_array_equal(one, other)

    # The run scores on its own and on cached features alike, and a head on features may start from it.
    scores = [load_head(run).score(FeatureStore(features).read(np.arange(5)).astype(np.float32)) for run in runs]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_flips_change_batches_of_a_frozen_trunk(dataset: Path, backbone: Path, tmp_path: Path) -> None:
    runs = [
        train_head(head(dataset, tmp_path / flip, backbone, flip=flip, method="noisy", steps=2))
        for flip in ("none", "both")
    ]
    first, second = (history(run)[-1]["train"]["loss"] for run in runs)
    assert first != second
    assert first == pytest.approx(second, rel=0.2)
    assert load_head(runs[0]).open_backbone().last_layer is not None


# --- trained ---------------------------------------------------------------------------------


def test_learns_and_scores_without_features(dataset: Path, trained: Path, tmp_path: Path) -> None:
    lines, result = history(trained), read_json(trained / "result.json")
    best = result["validation"]["AP_all"]
    assert best > lines[0]["validation"]["AP_all"] + 0.1
    assert best > 0.75
    assert result["selected_by"]["value"] == best
    assert result["trunk"] == "trained"
    assert read_stage(trained, "run").summary["unreadable_images"] == 0
    assert not (trained / CHECKPOINT).exists()

    scored = evaluate(Evaluate(model=trained, split="validation", output=tmp_path / "eval", bootstrap=0, examples=0))
    metrics = metrics_of(scored)
    assert metrics.metrics["AP_all"].value == pytest.approx(best, abs=1e-3)  # the weights of the best step were saved
    assert metrics.name == "residual"
    table = read_dataset(dataset)
    path = table.image_path(int(table.rows("validation")[0]))
    scorer = open_scorer(read_stage(trained))
    (computed,) = score_images(scorer, ["a"], [str(path)], Predict(images=path, run=trained))
    assert scorer.classes == table.classes
    own = load_head(trained)
    pixels = next(iterate_images([path], own.open_backbone().preprocessing, 1)).images
    expected = own.score(own.open_backbone().inference()(pixels).numpy())[0]
    np.testing.assert_allclose(computed.scores, expected, atol=1e-6)
    noise = evaluate(
        Evaluate(model=trained, split="validation", score="noisy", output=tmp_path / "noise", bootstrap=0, examples=0)
    )
    assert metrics_of(noise).metrics["AP_all"] != metrics.metrics["AP_all"]


def test_the_trunk_is_changed_by_its_own_rate(dataset: Path, backbone: Path, trained: Path, tmp_path: Path) -> None:
    before, after = weights(backbone), weights(trained / "backbone")
    assert max(np.abs(a - b).max() for a, b in zip(after, before, strict=True)) > 1e-3
    slow = train_head(head(dataset, tmp_path / "slow", backbone, trunk="trained", trunk_rate=1e-9, steps=5))
    kernels = [i for i, w in enumerate(before) if w.ndim == 4]
    for i in kernels:
        np.testing.assert_allclose(weights(slow / "backbone")[i], before[i], atol=1e-7)


_KILLED = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from nlcli.training.loop import pace
pace.IMAGE_CHECKPOINT_SECONDS = 0.0
pace.BLOCK_SECONDS = 1e-9
pace.FIRST_BLOCK = 1
from nlcli.training.config import TrainHead
from nlcli.training.train_head import train_head
train_head(TrainHead.model_validate_json({config!r}))
"""


@pytest.mark.slow
def test_killed_and_resumed_without_its_images_in_memory_it_ends_the_same(
    dataset: Path, backbone: Path, trained: Path, tmp_path: Path
) -> None:
    """SIGKILL between two evaluations; the rest is done with other blocks, decoding as it goes."""
    resumed = head(dataset, tmp_path / "killed", backbone, trunk="trained", trunk_rate=1e-3)
    tests = Path(__file__).parents[1]
    code = _KILLED.format(tests=str(tests), root=str(tests.parent), config=resumed.model_dump_json())
    checkpoint, step, deadline = tmp_path / "killed.partial" / CHECKPOINT, 0, time.monotonic() + 120
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        while not 2 <= step < 18:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
            if checkpoint.exists():
                with np.load(checkpoint) as arrays:
                    step = json.loads(str(arrays["position"]))["step"]
        process.send_signal(signal.SIGKILL)
    run = train_head(resumed.model_copy(update={"memory": 1e-4}))
    assert read_stage(run).summary["in_memory"] is False
    for name in ("head.npz", "metrics.jsonl", "result.json"):
        assert (run / name).read_bytes() == (trained / name).read_bytes(), name
    assert load_head(run).backbone_fingerprint == load_head(trained).backbone_fingerprint


def test_a_phase_that_begins_anew_takes_the_trunk_along(backbone: Path) -> None:
    from nlcli.networks.weights import load_backbone

    problem = Problem(load_backbone(backbone).num_features, ("a", "b"), "single-label")
    method = get_method("forward")(configure("forward"), problem)
    images = [np.random.default_rng(0).integers(0, 255, (5, SIZE, SIZE, 3)).astype(np.uint8)]
    for phase, restarted in (("noisy", False), ("corrected", True)):
        trunk = Trunk(load_backbone(backbone), True, "float32", 10, 0)
        initial = trunk.model.get_weights()
        changed = [w + 0.01 for w in initial]
        trunk.model.set_weights(changed)
        predictions = method.score(trunk.features(images[0]), "classifier").numpy()
        MethodOnImages(trunk, method).begin(phase, lambda: iter(images))
        for value, expected in zip(trunk.model.get_weights(), initial if restarted else changed, strict=True):
            np.testing.assert_array_equal(value, expected)
    # T was read off the trunk as it had become.
    assert all((np.abs(predictions - row).max(axis=1) < 1e-5).any() for row in method.transition.numpy())


@pytest.mark.parametrize("precision", ["none", "bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_phases_and_losses_that_choose_steps_work_behind_a_trunk(
    dataset: Path, backbone: Path, tmp_path: Path, precision: str
) -> None:
    """veit has a phase that is ended by its own loss on validation, and reads noisy labels of V."""
    options = {"variant": "pretrained", "pretrain_steps": 4, "embedding": 8, "hidden": 8}
    run = train_head(
        head(
            dataset,
            tmp_path / "run",
            backbone,
            method="veit",
            trunk="trained",
            steps=4,
            eval_every=2,
            learning_rate=1e-3,
            options=options,
            mixed_precision=precision,
            crop=0.8,
            flip="both",
        )
    )
    phases = [(line["phase"], line["step"]) for line in history(run)]
    assert len({phase for phase, _ in phases}) == 2
    assert [step for _, step in phases] == [0, 2, 4] * 2
    assert all(np.isfinite(list(line["validation"].values())).all() for line in history(run))
    assert read_json(run / "config.json")["precision"] == {"none": "float32"}.get(precision, precision)


def test_broken_images_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, 60)
    table = read_dataset(dataset)
    for row in (int(table.rows("train")[3]), int(table.rows("validation")[0])):
        table.image_path(row).write_bytes(b"not an image")
    run = train_head(
        head(dataset, tmp_path / "run", "small_cnn", weights="none", image_size=SIZE, steps=2, eval_every=2)
    )
    assert read_json(run / "result.json")["unreadable_images"] == {"train": 1, "validation": 1}
    assert read_json(run / "result.json")["validation"]["images"] == 29
    assert (run / "unreadable.csv").read_text().count("\n") == 3


# --- methods that train the whole network ----------------------------------------------------


def test_finetune_whole_is_pretraining_on_verified_labels(dataset: Path, backbone: Path, tmp_path: Path) -> None:
    stage = pretrain_backbone(
        config(
            dataset,
            tmp_path / "stage",
            weights=str(backbone),
            labels="verified",
            clean_fraction=0.5,
            steps=6,
            eval_every=2,
            decay=0.9,
            decay_epochs=0.5,
        )
    )
    run = train_head(
        head(
            dataset,
            tmp_path / "run",
            backbone,
            method="finetune-whole",
            trunk="trained",
            steps=6,
            eval_every=2,
            learning_rate=1e-3,
            flip="both",
            options={"optimizer": "rmsprop", "decay": 0.9, "decay_epochs": 0.5},
        )
    )
    for one, other in zip(history(stage), history(run), strict=True):
        assert one["train"] == pytest.approx(other["train"], rel=2e-3)
        assert one["validation"] == pytest.approx(other["validation"], abs=5e-3)
    assert history(run)[-1]["train"]["loss"] < history(run)[1]["train"]["loss"]
    computed = read_json(run / "result.json")
    assert computed["initial_layer"] == "backbone"
    assert computed["clean"]["images"] == len(choose_clean(read_dataset(dataset), 0.5, 0))
    assert load_head(run).open_backbone().classes == read_dataset(dataset).classes


def test_ground_truth_takes_every_verified_image(dataset: Path, tmp_path: Path) -> None:
    run = train_head(
        head(
            dataset,
            tmp_path / "run",
            "small_cnn",
            weights="none",
            image_size=SIZE,
            method="ground-truth",
            trunk="trained",
            steps=2,
            eval_every=2,
            clean_fraction=0.1,
        )
    )
    result = read_json(run / "result.json")
    assert result["clean"]["fraction"] == 1.0
    assert result["training_images"] == {"clean": 90, "noisy": 0}
    assert result["initial_layer"] is None


@pytest.mark.parametrize("name", ["finetune-whole", "ground-truth"])
def test_whole_network_losses_by_hand(name: str) -> None:
    layer = LinearLayer(np.array([[1.0, -1.0]], np.float32), np.array([0.0, 0.5], np.float32))
    method = get_method(name)(configure(name), Problem(1, ("a", "b")), layer)
    v, m = tf.constant([[1.0, 0.0], [0.0, 0.0]]), tf.constant([[1.0, 1.0], [0.0, 1.0]])
    batch = Batch(2, tf.zeros((0, 2)), v, m)
    # Logits (2, -1.5) and (-1, 1.5); the first entry of the second image is not verified.
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.5)) + np.log1p(np.exp(1.5))) / 3
    computed = float(method.losses("verified", tf.constant([[2.0], [-1.0]]), batch)["loss"])
    assert computed == pytest.approx(expected, rel=1e-5)


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "finetune-whole"}, "pass --from-images BACKBONE --trunk trained, or run 'nlcli pretrain-backbone"),
        (
            {"method": "ground-truth", "from_images": None, "features": Path("f"), "workers": 0, "flip": "both"},
            "trains the backbone too; pass --from-images",
        ),
        ({"features": Path("f")}, "and not both"),
        ({"from_images": None, "workers": 0, "flip": "both"}, "needs --features DIRECTORY or --from-images BACKBONE"),
        (
            {"from_images": None, "features": Path("f"), "trunk": "trained", "workers": 0, "flip": "both"},
            "--trunk means something only with --from-images",
        ),
        ({"trunk_rate": 1e-3}, "--trunk-rate is for a backbone that is trained"),
        ({"order": "block-shuffled"}, "--order block-shuffled is for features"),
        ({"from_images": "resnet51"}, "unknown network 'resnet51'; did you mean 'resnet50'?"),
        ({"weights": "none"}, "is a saved backbone and has its weights; leave out --weights"),
        ({"method": "finetune-last", "from_images": "small_cnn", "weights": "none"}, "last layer, which is not there"),
    ],
)
def test_mistakes_are_sentences(
    dataset: Path, backbone: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    values = head(dataset, tmp_path / "refused", backbone).model_dump() | options
    with pytest.raises(NlcliError) as refusal:
        train_head(TrainHead(**values))
    assert message in str(refusal.value)
