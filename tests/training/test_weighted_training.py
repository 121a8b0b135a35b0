"""Single-label classifiers on clean, noisy, both and weighted labels: losses by hand, planted noise, runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from nlcli.data.detection_files import DETECTION, DetectionRecord
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable, choose_clean, clean_set_record, single_label_table
from nlcli.errors import NlcliError
from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Batch, Problem
from nlcli.methods.base.finetuning import FINETUNE
from nlcli.methods.base.losses import weighted_softmax_cross_entropy
from nlcli.methods.base.method import Method
from nlcli.networks.linear_layer import LinearLayer
from nlcli.stages.stage import read_stage
from nlcli.training.config import TrainHead
from nlcli.training.head_on_images import TRUNK, ImageFeed
from nlcli.training.loop import checkpoints, pace
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.train import train
from nlcli.training.pretrain_backbone import pretrain_backbone
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import train_head
from worlds.drawn_images import config as backbone_config
from worlds.drawn_images import draw_images
from worlds.heads import Work, single_label
from worlds.made_detections import made_detection
from worlds.small_training import ArraySource, Planted, imperfect_detection, make
from worlds.stage_builders import published

# --- by hand ---------------------------------------------------------------------------------

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 1.0], [0.0, 3.0, 1.0]])
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))


def tensor(value: Any) -> tf.Tensor:
    return tf.constant(value, tf.float32)


def on_logits(name: str, **options: Any) -> Method:
    """The method with a classifier that hands features through as logits."""
    method = get_method(name)(configure(name, options), Problem(3, ("a", "b", "c"), "single-label"))
    method.classifier.set_weights([np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    return method


def test_weighted_cross_entropy_is_a_mean_over_rows() -> None:
    weights = np.array([0.5, 0.0, 0.25])
    expected = -(0.5 * LOG_P[0, 1] + 0.25 * LOG_P[2, 2]) / 3
    computed = weighted_softmax_cross_entropy(tensor(LOGITS), tensor(np.eye(3)[[1, 0, 2]]), tensor(weights))
    assert float(computed) == pytest.approx(expected, rel=1e-6)


def test_losses_by_hand() -> None:
    """Two rows of V, one of them known only not to be of class c; one row of T, of noisy class b."""
    v, m = np.array([[1, 0, 0], [0, 0, 0]]), np.array([[1, 1, 1], [0, 0, 1]])
    noisy, weights = np.eye(3)[[1]], np.array([0.3])
    batch = Batch(2, tensor(noisy), tensor(v), tensor(m), weights=tensor(weights))
    of_clean = Batch(2, tensor(noisy[:0]), tensor(v), tensor(m), weights=tensor(weights[:0]))
    of_noisy = Batch(0, tensor(noisy), tensor(v[:0]), tensor(m[:0]), weights=tensor(weights))
    clean, told = -LOG_P[0, 0], -LOG_P[2, 1]
    for name, phase, rows, given, expected in (
        ("clean", "clean", slice(2), of_clean, clean),
        ("clean-and-noisy", "mixed", slice(3), batch, (clean + told) / 2),
        ("cleannet", "weighted", slice(2, 3), of_noisy, 0.3 * told),
        ("cleannet", FINETUNE, slice(2), of_clean, clean),
    ):
        losses = on_logits(name).losses(phase, tensor(LOGITS[rows]), given)
        assert float(losses["loss"]) == pytest.approx(expected, rel=1e-5), name


def test_the_phases_of_fine_tuning() -> None:
    method = on_logits("cleannet", steps=10, learning_rate=1e-2, finetune_steps=5, finetune_rate=1e-3, weight_decay=0.1)
    weighted, last = method.phases()
    assert (weighted.rows, weighted.steps, weighted.rates["head"].initial, weighted.trunk_factor) == (
        "noisy",
        10,
        1e-2,
        1,
    )
    assert (last.name, last.rows, last.clean_rows, last.steps) == (FINETUNE, "clean", "named", 5)
    assert (last.rates["head"].initial, last.trunk_factor, last.weight_decay) == (1e-3, pytest.approx(0.1), 0.1)
    assert [phase.name for phase in on_logits("cleannet").phases()] == ["weighted"]


# --- planted noise ---------------------------------------------------------------------------


def confused(images: int, wrong: float, clean: int, seed: int = 0, noise: float = 1.0, width: int = 40) -> Planted:
    """Images whose label is, with probability ``wrong``, that of the next class; the first ``clean`` are verified."""
    rng, classes = np.random.default_rng(seed), 5
    means = np.random.default_rng(100).normal(size=(classes, width))
    label = rng.integers(classes, size=images)
    noisy = np.where(rng.random(images) < wrong, (label + 1) % classes, label)
    features = means[label] + noise * rng.normal(size=(images, width))
    eye = np.eye(classes, dtype=np.uint8)
    return Planted(features.astype(np.float32), eye[label], eye[noisy], np.arange(clean))


def top_1(name: str, data: Planted, unseen: Planted, folder: Path, **options: Any) -> float:
    """Accuracy on ``unseen`` of a method trained on ``data`` to its last step, without validation."""
    weights = imperfect_detection(data, options.get("weights", "soft")) if get_method(name).needs_detection else None
    method = make(name, data, single=True, **{"steps": 600, "learning_rate": 3e-3} | options)
    folder.mkdir(exist_ok=True, parents=True)
    train(method, method.phases(), ArraySource(data, block_steps=200, weights=weights), None, Settings(10_000), folder)
    scores = method.score(tf.constant(unseen.features), method.offered()[0]).numpy()
    return float((scores.argmax(1) == unseen.true.argmax(1)).mean())


@pytest.mark.parametrize("weights", ["soft", "hard"])
def test_weights_of_an_imperfect_detection_improve_the_classifier(weights: str, tmp_path: Path) -> None:
    """More than half of the labels are wrong; of these the detection takes a tenth for right."""
    data, unseen = confused(2000, 0.55, 0), confused(1000, 0.0, 0, seed=1)
    right = data.true.argmax(1) == data.noisy.argmax(1)
    kept = imperfect_detection(data, "hard") > 0
    assert 0.85 < (kept == right).mean() < 0.95
    noisy = top_1("noisy", data, unseen, tmp_path / "noisy")
    weighted = top_1("cleannet", data, unseen, tmp_path / "weighted", weights=weights)
    assert noisy < 0.5
    assert weighted > noisy + 0.3


def test_fine_tuning_on_clean_labels_mends_what_the_weights_left(tmp_path: Path) -> None:
    """The detection knows nothing, so that only the last phase can tell right from wrong."""
    data, unseen = confused(2000, 0.6, 100), confused(1000, 0.0, 0, seed=1)
    blind = ArraySource(data, block_steps=200, weights=np.ones(2000, np.float32))
    accuracies = []
    for steps in (0, 300):
        method = make(
            "cleannet", data, single=True, steps=600, learning_rate=3e-3, finetune_steps=steps, finetune_rate=3e-3
        )
        (tmp_path / str(steps)).mkdir()
        train(method, method.phases(), blind, None, Settings(10_000), tmp_path / str(steps))
        scores = method.score(tf.constant(unseen.features), "classifier").numpy()
        accuracies.append((scores.argmax(1) == unseen.true.argmax(1)).mean())
    assert accuracies[0] < 0.4
    assert accuracies[1] > accuracies[0] + 0.2


def test_clean_noisy_and_both(tmp_path: Path) -> None:
    """With half of many labels wrong, noisy labels mislead; with some wrong and few clean ones, they help."""
    unseen = confused(1000, 0.0, 0, seed=1, noise=2.0)
    accuracy = {}
    for case, data in {
        "misled": confused(2000, 0.6, 500, noise=2.0),
        "helped": confused(2000, 0.25, 15, noise=2.0),
    }.items():
        accuracy[case] = {
            name: top_1(name, data, unseen, tmp_path / case / name) for name in ("noisy", "clean", "clean-and-noisy")
        }
    assert accuracy["misled"]["noisy"] + 0.1 < accuracy["misled"]["clean-and-noisy"]
    assert accuracy["misled"]["noisy"] + 0.3 < accuracy["misled"]["clean"]
    assert accuracy["helped"]["clean"] + 0.1 < min(accuracy["helped"]["noisy"], accuracy["helped"]["clean-and-noisy"])


def detected(output: Path, dataset: Path, table: LabelTable, scores: np.ndarray, soft: bool = True) -> Path:
    """A detection by these scores of the images' noisy labels, made with all 450 clean images; threshold 0.45."""
    made_detection(output, dataset, table, scores.tolist(), threshold=0.45)
    info = DetectionRecord.read(output / DETECTION)
    clean = info.clean.model_copy(update={"images": 450})
    info.model_copy(update={"soft": soft, "clean": clean}).write(output / DETECTION)
    return output


# --- runs on cached features -----------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """450 training images of five classes, all verified, with features."""
    return Work(tmp_path_factory.mktemp("single"), single_label())


@pytest.fixture(scope="module")
def scores(work: Work) -> np.ndarray:
    """Of every image, what an imperfect detector says of its noisy label."""
    right = work.table.noisy.indices == work.table.present.indices
    return np.clip(np.random.default_rng(0).normal(np.where(right, 0.7, 0.2), 0.2), -1, 1)


@pytest.fixture(scope="module")
def detection(work: Work, scores: np.ndarray) -> Path:
    return detected(work.root / "detection", work.dataset, work.table, scores)


@pytest.mark.parametrize("memory", [None, 1e-5])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_run_reads_the_weights_of_its_images(
    work: Work, scores: np.ndarray, detection: Path, tmp_path: Path, kind: str, memory: float | None
) -> None:
    """The first step of a classifier of zeros by hand: its loss is log C times the mean weight of the batch."""
    layer = LinearLayer.zeros(24, work.table.classes)
    features = work.write(tmp_path / "features", last_layer=layer, seed=9)
    run = train_head(
        work.config(
            tmp_path / "run",
            method="cleannet",
            detection=detection,
            features=features,
            steps=1,
            batch_size=400,
            options={"weights": kind, "learning_rate": 1e-9},
            learning_rate=None,
            memory=memory,
            order="shuffled",
        )
    )
    loss = json.loads((run / "metrics.jsonl").read_text().splitlines()[1])["train"]["loss"]
    weights = np.maximum(scores, 0) if kind == "soft" else scores >= 0.45
    # The batch holds 400 of the 448 images with features: their mean is that of all, less of 48 unknown ones.
    train_rows = np.setdiff1d(np.arange(450), [3, 449])
    every = weights[train_rows].sum()
    least = (every - np.sort(weights[train_rows])[-48:].sum()) / 400
    most = (every - np.sort(weights[train_rows])[:48].sum()) / 400
    assert least < loss / np.log(5) < most
    assert most < 0.75  # not the mean of ones


def test_detections_improve_a_run_and_are_named_in_it(work: Work, detection: Path, tmp_path: Path) -> None:
    options = {"finetune_steps": 40, "finetune_rate": 1e-3, "selection": "metric"}
    run = train_head(
        work.config(
            tmp_path / "run", method="cleannet", detection=detection, options=options, clean_fraction=0.2, eval_every=20
        )
    )
    result = json.loads((run / "result.json").read_text())
    assert result["selected_by"]["metric"] == "top_1"
    assert result["detection"] == {
        "method": "average",
        "threshold": 0.45,
        "held_out": [],
        "clean": {"images": 450, "chosen_by_score": None, "fraction": 1.0, "seed": 0, "keys": "sha256:x"},
    }
    told = {"trained": 90, "chose": 149}
    assert result["clean"] == result["detection"]["clean"] | told  # which the 90 images of the last phase are among
    assert result["training_images"] == {"clean": 90, "noisy": 448}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    phases = [(line["phase"], line["step"]) for line in lines]
    assert phases == [("weighted", n) for n in range(0, 201, 20)] + [(FINETUNE, n) for n in (0, 20, 40)]
    best = max(line["validation"]["top_1"] for line in lines if line["phase"] == "weighted")
    assert lines[-3]["validation"]["top_1"] == best  # the last phase begins with the best of the first
    assert result["validation"]["top_1"] >= best > 0.9
    assert json.loads((run / "stage.json").read_text())["inputs"]["detection"]["path"] == str(detection)
    assert load_head(run).score(work.features_of[:3]).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_detection_by_the_stage_itself(work: Work, tmp_path: Path) -> None:
    from nlcli.detection.config import DetectNoise
    from nlcli.detection.detect_noise import detect_noise

    detected = detect_noise(
        DetectNoise(
            dataset=work.dataset,
            features=work.features,
            output=tmp_path / "detection",
            method="knn",
            clean_fraction=0.2,
        )
    )
    run = train_head(work.config(tmp_path / "run", method="cleannet", detection=detected, steps=100))
    result = json.loads((run / "result.json").read_text())
    assert result["clean"] | {"fraction": 0.2} == clean_set_record(work.table, choose_clean(work.table, 0.2, 0)) | {
        "fraction": 0.2,
        "seed": 0,
        "trained": 0,
        "chose": 149,
        "chosen_by_score": None,
    }
    assert result["validation"]["top_1"] > 0.9


def test_an_image_without_a_score_is_named(work: Work, scores: np.ndarray, tmp_path: Path) -> None:
    part = detected(tmp_path / "part", work.dataset, single_label(400), scores[:400])
    expected = r"has no score of 49 of 448 images \(such as 'k004..'\); run detect-noise on this data set"
    with pytest.raises(NlcliError, match=expected):
        train_head(work.config(tmp_path / "run", method="cleannet", detection=part))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "cleannet"}, "run 'nlcli detect-noise' and pass its directory as --detection"),
        ({"method": "noisy", "detection": True}, "method noisy does not weight labels; leave out --detection"),
        ({"method": "cleannet", "detection": "dataset"}, "is a dataset directory; expected a detection directory"),
        ({"method": "cleannet", "detection": "zeros"}, "calls every training label wrong"),
        ({"method": "cleannet", "detection": "none"}, "the score of average is no weight between 0 and 1"),
    ],
)
def test_mistakes_are_sentences(
    work: Work, detection: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    def made(soft: bool, score: float) -> Path:
        return detected(tmp_path / "made", work.dataset, work.table, np.full(700, score), soft=soft)

    known = {
        True: lambda: detection,
        "dataset": lambda: work.dataset,
        "zeros": lambda: made(True, -1.0),
        "none": lambda: made(False, 1.0),
    }
    if "detection" in changes:
        changes = changes | {"detection": known[changes["detection"]]()}
    with pytest.raises(NlcliError) as refusal:
        train_head(work.config(tmp_path / "run", **changes))
    assert message in str(refusal.value)


def test_multi_label_data_are_refused(tmp_path: Path) -> None:
    from worlds.heads import table_of

    multi = Work(tmp_path, table_of())
    made = detected(tmp_path / "detection", multi.dataset, single_label(), np.full(700, 0.5))
    with pytest.raises(NlcliError, match="method cleannet is for single-label data, and this data set is multi-label"):
        train_head(multi.config("run", method="cleannet", detection=made))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("residual", {"hidden": 16}),
        ("clean", {}),
        ("clean-and-noisy", {}),
        ("noisy", {}),
        ("noise-types", {"pretrain_steps": 60}),
        ("bottom-up", {"pretrain_steps": 30}),
        ("forward", {}),
    ],
)
def test_single_label_methods_on_cached_features(
    work: Work, tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    run = train_head(work.config(tmp_path / "run", method=method, options=options, clean_fraction=0.2))
    result = json.loads((run / "result.json").read_text())
    chosen_by = {"residual": "cost_beyond_start", "noise-types": "scaled_log_loss"}
    assert result["selected_by"]["metric"] == chosen_by.get(method, "top_1")
    assert result["validation"]["top_1"] > 0.85
    assert result["training_images"]["clean"] == {"noisy": 0, "forward": 0}.get(
        method, len(choose_clean(work.table, 0.2, 0))
    )
    head, rows = load_head(run), np.setdiff1d(work.table.rows("validation"), [450])
    chosen = head.score(work.features_of[rows]).argmax(axis=1)
    assert (chosen == work.table.present[rows].indices).mean() == result["validation"]["top_1"]


@pytest.mark.parametrize("splits", ["train", "train+validation"])
def test_every_image_whose_pair_is_read_is_counted_and_recorded(work: Work, tmp_path: Path, splits: str) -> None:
    options = {} if splits == "train" else {"pairs_of": splits}  # validation only when it is asked for
    run = train_head(work.config(tmp_path / "run", method="bottom-up", steps=20, clean_fraction=0.2, options=options))
    train, validation = choose_clean(work.table, 0.2, 0), work.table.rows("validation")
    rows = train if splits == "train" else np.concatenate([train, validation])
    counts = np.zeros((5, 5))  # of images without features, too: labels are enough
    np.add.at(counts, (work.table.present[rows].indices, work.table.noisy[rows].indices), 1)
    assert counts.trace() < counts.sum() == len(rows) == (90 if splits == "train" else 240)
    confusion = load_head(run).method.weights()["Q"].numpy()
    np.testing.assert_allclose(confusion, (counts / counts.sum(axis=1, keepdims=True)).T, rtol=1e-6)
    clean = json.loads((run / "result.json").read_text())["clean"]
    assert clean["images"] == len(rows)
    assert clean["pairs"] == ({"train": 90} if splits == "train" else {"train": 90, "validation": 150})
    assert (clean["trained"], clean["chose"]) == (90, 149)  # one has no features
    summary = read_stage(run).summary
    assert (summary["clean_images"], summary["clean_pairs_of_train"]) == (len(rows), 90)
    assert summary["clean_images_that_chose_the_step"] == 149
    forward = train_head(work.config(tmp_path / "forward", method="forward", steps=2, clean_fraction=0.2))
    assert read_stage(forward).summary["clean_images"] == 90  # in no loss, but T is read off them
    noisy = json.loads(
        (train_head(work.config(tmp_path / "noisy", method="noisy", steps=2)) / "result.json").read_text()
    )
    assert noisy["clean"]["images"] == 0  # whoever asks for no pairs uses no clean labels
    assert "pairs" not in noisy["clean"]


def test_a_run_killed_after_a_phase_set_its_constants_ends_the_same(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward reads T off its first classifier as the second phase begins; the run dies inside that phase."""
    options = {"transition": "anchors", "noisy_steps": 40}
    config = work.config(tmp_path / "run", method="forward", options=options, steps=60, eval_every=10)
    whole = train_head(config.model_copy(update={"output": tmp_path / "whole"}))
    write, begun = checkpoints.write_checkpoint, []

    def dies(folder: Path, checkpoint: checkpoints.Checkpoint) -> None:
        write(folder, checkpoint)
        if checkpoint.position.phase == 1 and checkpoint.position.step >= 20:
            raise KeyboardInterrupt

    begin = get_method("forward").begin
    monkeypatch.setattr(
        get_method("forward"), "begin", lambda self, phase, rows: (begun.append(phase), begin(self, phase, rows))
    )
    monkeypatch.setattr(pace, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "write_checkpoint", dies)
    with pytest.raises(KeyboardInterrupt):
        train_head(config)
    monkeypatch.setattr(checkpoints, "write_checkpoint", write)
    run = train_head(config)
    assert begun == ["noisy", "corrected"]
    for name in ("head.npz", "metrics.jsonl", "result.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    matrix = load_head(run).method.weights()["T"].numpy()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert np.abs(matrix - np.eye(5)).max() > 0.05
    streamed = train_head(
        config.model_copy(update={"output": tmp_path / "streamed", "memory": 1e-5, "order": "shuffled"})
    )
    assert (streamed / "head.npz").read_bytes() == (whole / "head.npz").read_bytes()


# --- whole networks --------------------------------------------------------------------------

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 images of one colour each; a third of the noisy labels name the next one. 90 train, 30 validation."""
    root = tmp_path_factory.mktemp("single-colours")
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=120)
    noisy = np.where(rng.random(120) < 0.33, (true + 1) % 3, true)
    names = [f"{i:03d}.jpg" for i in range(120)]
    table = single_label_table(COLOURS, names, names, root / "images", np.repeat([0, 1], [90, 30]), noisy, true)
    draw_images(table, root / "images")
    return published(table, root / "dataset")


def on_images(dataset: Path, output: Path, **options: Any) -> TrainHead:
    settings: dict[str, Any] = {
        "from_images": "small_cnn",
        "weights": "none",
        "image_size": 32,
        "trunk": "trained",
        "trunk_rate": 1e-3,
        "steps": 40,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "eval_every": 20,
        "clean_fraction": 0.5,
        "workers": 2,
        "flip": "none",
    }
    return TrainHead(dataset=dataset, output=output, **settings | options)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("residual", {"hidden": 16}),
        ("noisy", {}),
        pytest.param("clean", {}, marks=pytest.mark.slow),
        pytest.param("clean-and-noisy", {}, marks=pytest.mark.slow),
        ("cleannet", {}),
        pytest.param("noise-types", {"pretrain_steps": 40}, marks=pytest.mark.slow),
        pytest.param("bottom-up", {"pretrain_steps": 40}, marks=pytest.mark.slow),
        ("forward", {"transition": "anchors", "noisy_steps": 40}),
    ],
)
def test_single_label_methods_train_the_whole_network(
    colours: Path, tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    """Losses fall and single-label metrics choose the step; what is saved scores as the run did."""
    table, given = read_dataset(colours), {}
    if method == "cleannet":
        right = table.noisy.indices == table.present.indices
        given["detection"] = detected(tmp_path / "detection", colours, table, np.where(right, 0.9, 0.1))
        options = {"finetune_steps": 20, "finetune_rate": 1e-3}
    run = train_head(on_images(colours, tmp_path / "run", method=method, options=options, **given))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((run / "result.json").read_text())
    assert result["selected_by"]["metric"] == "top_1"
    trained = [line["train"]["loss"] for line in lines if line["train"] and line["phase"] == lines[0]["phase"]]
    assert trained[-1] < trained[0]
    head = load_head(run)
    backbone = head.open_backbone()
    if method != "residual":
        assert backbone.activation == "softmax"
        assert backbone.classes == COLOURS
    rows = table.rows("validation")
    from nlcli.networks.image_batches import iterate_images

    paths = [table.image_path(int(row)) for row in rows]
    pixels = np.concatenate([part.images for part in iterate_images(paths, backbone.preprocessing, 16)])
    predicted = head.score(backbone.inference()(pixels).numpy()).argmax(axis=1)
    assert (predicted == table.present[rows].indices).mean() == pytest.approx(result["validation"]["top_1"], abs=1 / 29)


def test_the_trunk_slows_down_with_the_classifier_in_fine_tuning(colours: Path, tmp_path: Path) -> None:
    table = read_dataset(colours)
    given = detected(tmp_path / "detection", colours, table, np.full(120, 0.5))
    options = {"finetune_steps": 20, "finetune_rate": 1e-3, "decay": 0.1, "decay_steps": 10}
    config = on_images(colours, tmp_path / "run", method="cleannet", options=options, detection=given, scale=0.5)
    feed = ImageFeed(config, table, tmp_path)
    method = get_method("cleannet")(
        configure("cleannet", options | {"learning_rate": 1e-2, "steps": 40}),
        Problem(feed.start.num_features, table.classes, table.task),
    )
    prepared = feed.prepare(method, [phase.scaled(0.5) for phase in method.phases()], 0.5, None)
    rates = [phase.rates[TRUNK] for phase in prepared.phases]
    assert [rate.initial for rate in rates] == [1e-3, pytest.approx(1e-4)]
    assert [(rate.factor, rate.every, rate.unit) for rate in rates] == [(0.1, 5, "steps")] * 2


def test_the_weighted_classifier_goes_on_from_the_noisy_one(colours: Path, tmp_path: Path) -> None:
    """Step 3 of alternating training: the backbone's layer for these classes is where it starts."""
    table = read_dataset(colours)
    backbone = pretrain_backbone(backbone_config(colours, tmp_path / "backbone", steps=10))
    given = detected(tmp_path / "detection", colours, table, np.full(120, 0.5))
    frozen = on_images(
        colours,
        tmp_path / "run",
        method="cleannet",
        detection=given,
        from_images=str(backbone),
        weights="imagenet",
        image_size=None,
        trunk="frozen",
        trunk_rate=None,
        steps=1,
        eval_every=1,
    )
    run = train_head(frozen)
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert json.loads((run / "result.json").read_text())["initial_layer"] == "backbone"
    assert first["validation"]["top_1"] == pytest.approx(
        json.loads((backbone / "result.json").read_text())["validation"]["top_1"]
    )
