"""Noise models on planted single-label problems: what each is for, and its losses by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlcli.errors import NlcliError
from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Batch, Problem
from nlcli.methods.base.method import Method
from nlcli.methods.base.transition import NOISE_TYPES, confusing_noise, confusion
from nlcli.metrics.decisions import confusion_matrix
from nlcli.metrics.ranking import average_precision
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.train import train
from worlds.small_training import ArraySource, Planted, make


def fit(method: Method, data: Planted, folder: Path) -> Method:
    """Train to the last step, without validation."""
    folder.mkdir(exist_ok=True)
    train(
        method,
        method.phases(),
        ArraySource(data, method.config.batch_size, block_steps=200),
        None,
        Settings(10_000),
        folder,
    )
    return method


def correct(method: Method, data: Planted) -> float:
    """Part of the images whose true class scores highest."""
    return float(
        (method.score(tf.constant(data.features), "classifier").numpy().argmax(1) == data.true.argmax(1)).mean()
    )


def gradients(method: Method, phase: str, features: np.ndarray, batch: Batch, group: str) -> tuple[dict, list]:
    """Losses of a batch, and the gradient of what is minimised in the variables of ``group``; None becomes 0."""
    variables = [v.value for v in method.groups()[group]]
    with tf.GradientTape() as tape:
        losses = method.losses(phase, tf.constant(features, tf.float32), batch)
    slopes = tape.gradient(losses["loss"], variables, unconnected_gradients="zero")
    return {name: float(value) for name, value in losses.items()}, [g.numpy() for g in slopes]


# --- noise that depends on the image ---------------------------------------------------------

CLASSES, FEATURES, CLEAN = 6, 20, 90
SHORT = {"pretrain_steps": 200, "pretrain_rate": 5e-3, "learning_rate": 5e-3}


def confused(images: int, seed: int) -> tuple[Planted, np.ndarray]:
    """An image has a class and is more or less confusing; what is, is called the next class. And its noise type.

    5 % of the labels are wrong at random besides. Features show both, half hidden.
    """
    shared = np.random.default_rng(5)
    looks, confusing_look = shared.normal(size=(CLASSES, FEATURES)), 0.7 * shared.normal(size=FEATURES)
    rng = np.random.default_rng(seed)
    true, how = rng.integers(CLASSES, size=images), rng.normal(size=images)
    features = looks[true] + np.outer(how, confusing_look) + 1.2 * rng.normal(size=(images, FEATURES))
    types = np.where(rng.random(images) < 1 / (1 + np.exp(-8 * (how - 0.5))), 2, 0)
    types[(types == 0) & (rng.random(images) < 0.08)] = 1
    anywhere = rng.integers(1, CLASSES, size=images)
    noisy = (true + np.choose(types, [0, anywhere, 1])) % CLASSES
    eye = np.eye(CLASSES, dtype=np.uint8)
    return Planted(features.astype(np.float32), eye[true], eye[noisy], np.arange(CLEAN)), types


def test_em_recovers_true_labels_and_noise_types(tmp_path: Path) -> None:
    """Better than the nets that it started from, trained on 90 verified images, and than noisy labels alone."""
    data, types = confused(3000, 0)
    unseen, unseen_types = confused(2000, 1)
    wrong = (data.noisy != data.true).any(axis=1)
    assert 0.3 < wrong.mean() < 0.4
    noisy = fit(make("noisy", data, single=True, steps=500, learning_rate=5e-3), data, tmp_path / "noisy")
    started = fit(make("noise-types", data, single=True, steps=1, **SHORT), data, tmp_path / "started")
    trained = fit(make("noise-types", data, single=True, steps=500, **SHORT), data, tmp_path / "trained")
    assert correct(trained, unseen) > max(correct(started, unseen) + 0.05, correct(noisy, unseen) + 0.1, 0.88)

    features, labels = tf.constant(data.features[CLEAN:]), tf.constant(data.noisy[CLEAN:], tf.float32)
    cleaned, accuracies = [], []
    for method in (started, trained):
        posterior = method.posterior(features, labels).numpy()
        np.testing.assert_allclose(posterior.sum(axis=(1, 2)), 1, rtol=1e-4)
        cleaned.append((posterior.sum(axis=2).argmax(1) == data.true[CLEAN:].argmax(1)).mean())
        accuracies.append((posterior.sum(axis=1).argmax(1) == types[CLEAN:]).mean())
    assert cleaned[1] > max(cleaned[0] + 0.02, 0.95)
    assert accuracies[1] > max(accuracies[0] + 0.02, 0.94)
    # Without the label: which images are confusing
    confusing = unseen_types == NOISE_TYPES.index("confusing")
    before, after = (
        average_precision(confusing, m.noise_type_probabilities(tf.constant(unseen.features)).numpy()[:, 2])
        for m in (started, trained)
    )
    assert after > max(before + 0.03, 0.83)
    probabilities = trained.noise_type_probabilities(tf.constant(unseen.features)).numpy()
    assert probabilities.shape == (2000, 3)
    assert np.abs(probabilities.mean(axis=0) - np.bincount(unseen_types) / 2000).max() < 0.06


# --- noise that depends on the class ---------------------------------------------------------

# [true, noisy]; of two classes most images are called something else.
PLANTED_T = np.array(
    [
        [0.45, 0.55, 0.0, 0.0, 0.0],
        [0.0, 0.8, 0.2, 0.0, 0.0],
        [0.1, 0.0, 0.9, 0.0, 0.0],
        [0.0, 0.05, 0.0, 0.4, 0.55],
        [0.0, 0.0, 0.1, 0.0, 0.9],
    ]
)


def mislabelled(images: int, seed: int, spread: float = 0.8) -> Planted:
    """Labels by the rows of ``PLANTED_T``, whatever the image."""
    looks = np.random.default_rng(5).normal(size=(5, 16))
    rng = np.random.default_rng(seed)
    true = rng.integers(5, size=images)
    noisy = (rng.random((images, 1)) > PLANTED_T[true].cumsum(axis=1)).sum(axis=1)
    features = looks[true] + spread * rng.normal(size=(images, 16))
    eye = np.eye(5, dtype=np.uint8)
    return Planted(features.astype(np.float32), eye[true], eye[noisy], np.arange(images // 20))


OPTIONS = {
    "bottom-up": ("bottom-up", {"pretrain_steps": 100, "pretrain_rate": 3e-3}),
    "forward by pairs": ("forward", {}),
    "forward by anchors": ("forward", {"transition": "anchors", "noisy_steps": 500}),
}


@pytest.mark.parametrize("which", OPTIONS)
def test_noise_matrices_undo_noise_that_depends_on_the_class(which: str, tmp_path: Path) -> None:
    data, unseen = mislabelled(4000, 0), mislabelled(2000, 1)
    name, options = OPTIONS[which]
    noisy = fit(make("noisy", data, single=True, steps=500, learning_rate=5e-3), data, tmp_path / "noisy")
    method = fit(make(name, data, single=True, steps=500, learning_rate=5e-3, **options), data, tmp_path / name)
    assert correct(method, unseen) > max(correct(noisy, unseen) + 0.1, 0.87)


def test_forwards_transition_matrix_is_near_the_planted_one(tmp_path: Path) -> None:
    data = mislabelled(8000, 0, spread=0.4)
    options = {
        "transition": "anchors",
        "noisy_steps": 400,
        "steps": 1,
        "hidden": 32,
        "learning_rate": 1e-2,
        "batch_size": 256,
    }
    by_anchors = make("forward", data, single=True, **options)
    assert np.array_equal(by_anchors.transition.numpy(), np.eye(5))
    fit(by_anchors, data, tmp_path)
    assert np.abs(by_anchors.transition.numpy() - PLANTED_T).max() < 0.1
    by_pairs = make("forward", data, single=True)
    true, noisy = (labels[data.clean].argmax(1) for labels in (data.true, data.noisy))
    np.testing.assert_allclose(by_pairs.transition.numpy(), confusion(confusion_matrix(true, noisy, 5)).T, rtol=1e-6)
    assert np.abs(by_pairs.transition.numpy() - PLANTED_T).max() < 0.2  # of 80 images a class


def test_forward_begins_anew_once_the_matrix_is_known() -> None:
    data = mislabelled(300, 0)
    method = make("forward", data, single=True, transition="anchors")
    assert [(phase.name, phase.rows) for phase in method.phases()] == [("noisy", "noisy"), ("corrected", "noisy")]
    initial = method.classifier.get_weights()
    trained = [np.random.default_rng(0).normal(size=w.shape).astype(np.float32) for w in initial]
    method.classifier.set_weights(trained)
    parts = np.array_split(data.features, 3)
    method.begin("noisy", lambda: iter(parts))
    np.testing.assert_array_equal(method.classifier.get_weights()[0], trained[0])
    predictions = method.score(tf.constant(data.features), "classifier").numpy()
    method.begin("corrected", lambda: iter(parts))
    np.testing.assert_array_equal(method.classifier.get_weights()[0], initial[0])
    for row, column in zip(method.transition.numpy(), predictions.T, strict=True):
        below = np.where(column <= np.percentile(column, 97), column, 0)
        np.testing.assert_allclose(row, predictions[below.argmax()], rtol=1e-5)
    (alone,) = make("forward", data, single=True).phases()  # T from pairs: nothing to train before
    assert alone.name == "corrected"


# --- what is read off pairs ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["noise-types", "bottom-up", "forward"])
def test_matrices_come_from_the_pairs_and_are_kept_with_the_weights(name: str) -> None:
    pairs = np.random.default_rng(0).integers(0, 50, (4, 4))
    problem = Problem(3, tuple("abcd"), "single-label", pairs)
    method = get_method(name)(configure(name), problem)
    matrix, expected = {
        "noise-types": ("C", confusing_noise(pairs)),
        "bottom-up": ("Q", confusion(pairs)),
        "forward": ("T", confusion(pairs).T),
    }[name]
    np.testing.assert_allclose(method.weights()[matrix].numpy(), expected, rtol=1e-6)
    assert matrix not in {v.name for group in method.groups().values() for v in group}
    loaded = get_method(name)(configure(name), Problem(3, tuple("abcd"), "single-label"))
    assert loaded.weights()[matrix].shape == (4, 4)


@pytest.mark.parametrize("name", ["noise-types", "bottom-up"])
def test_the_classifier_starts_from_a_trained_layer_of_its_shape(name: str) -> None:
    layer = LinearLayer(np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(4, dtype=np.float32))
    problem = Problem(3, tuple("abcd"), "single-label", PAIRS)
    last = get_method(name)(configure(name), problem, layer).last_layer()
    np.testing.assert_array_equal(last.kernel, layer.kernel)
    np.testing.assert_array_equal(last.bias, layer.bias)
    assert [get_method(name).starts_from_layer(configure(name, {"hidden": h})) for h in (0, 5)] == [True, False]
    assert not get_method("forward").starts_from_layer(configure("forward"))


@pytest.mark.parametrize(
    ("name", "options"), [("noise-types", {}), ("bottom-up", {}), ("forward", {"transition": "pairs"})]
)
def test_pairs_without_a_wrong_label_are_refused(name: str, options: dict) -> None:
    for pairs in (np.zeros((3, 3), int), np.diag([4, 2, 1])):
        with pytest.raises(NlcliError, match=f"method {name} reads off .* of {pairs.sum()} .* none is labelled wrong"):
            get_method(name)(configure(name, options), Problem(3, tuple("abc"), "single-label", pairs))


def test_without_pairs_forward_takes_anchor_points() -> None:
    for pairs in (None, np.diag([4, 2, 1])):
        method = get_method("forward")(configure("forward"), Problem(3, tuple("abc"), "single-label", pairs))
        assert [phase.name for phase in method.phases()] == ["noisy", "corrected"]
    uses = {
        value: get_method("forward").uses_pairs(configure("forward", {"transition": value}))
        for value in ("auto", "pairs", "anchors")
    }
    assert uses == {"auto": True, "pairs": True, "anchors": False}


# --- losses ----------------------------------------------------------------------------------


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, noisy labels, and verified ones with their mask: four rows of V, three of T, four classes.

    Of V one row is labelled right, one wrong, one has no noisy label, and of one only the noisy label was
    looked at and found wrong.
    """
    rng = np.random.default_rng(2)
    eye = np.eye(4)
    noisy = np.stack([eye[0], eye[2], 0 * eye[0], eye[1], eye[3], eye[0], eye[2]])
    verified = np.stack([eye[0], eye[1], eye[3], 0 * eye[0]])
    return rng.normal(size=(7, 5)), noisy, verified, np.stack([eye[0] + eye[1], *np.ones((2, 4)), eye[1]])


def tensors(noisy: np.ndarray, verified: np.ndarray, mask: np.ndarray) -> Batch:
    return Batch(len(verified), *(tf.constant(a, tf.float32) for a in (noisy, verified, mask)))


PAIRS = np.array([[9, 1, 0, 5], [2, 8, 7, 1], [0, 0, 5, 0], [1, 6, 6, 9]])


def built(name: str, **options: object) -> tuple[Method, dict[str, np.ndarray]]:
    method = get_method(name)(configure(name, options), Problem(5, tuple("abcd"), "single-label", PAIRS), seed=3)
    return method, {key: value.numpy().astype(np.float64) for key, value in method.weights().items()}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("hidden", [0, 3])
def test_noise_types_by_hand(batch: tuple, hidden: int) -> None:
    features, noisy, verified, mask = batch
    method, w = built(
        "noise-types", hidden=hidden, activation="tanh", clean_weight=0.4, type_weight=0.3, z_gradient=0.2
    )

    def net(name: str) -> np.ndarray:
        if not hidden:
            return features @ w[f"{name}/kernel"] + w[f"{name}/bias"]
        inside = np.tanh(features @ w[f"{name}/hidden/kernel"] + w[f"{name}/hidden/bias"])
        return inside @ w[f"{name}/output/kernel"] + w[f"{name}/output/bias"]

    of_class, of_type = log_softmax(net("classifier")), log_softmax(net("types"))
    clean = -(of_class[0, 0] + of_class[1, 1] + of_class[2, 3]) / 3
    assert w["C"][2, 1] == 1.0  # of 2, 7, 1 wrong labels of the second class: confused with the third
    of_types = -(of_type[0, 0] + of_type[1, 2]) / 2  # right, confused; the others have no pair
    noise, noise_of_types = 0.0, 0.0
    for row, n in ((4, 3), (5, 0), (6, 2)):
        eye = np.eye(4)[n]
        joint = (
            np.stack([eye, (1 - eye) / 3, w["C"][n]], axis=1) * np.exp(of_class[row])[:, None] * np.exp(of_type[row])
        )
        expected = joint / joint.sum()
        noise -= expected.sum(axis=1) @ of_class[row] / 3
        noise_of_types -= expected.sum(axis=0) @ of_type[row] / 3
    computed = {
        key: float(value)
        for key, value in method.losses("em", tf.constant(features, tf.float32), tensors(noisy, verified, mask)).items()
    }
    assert computed == pytest.approx(
        {
            "loss": 0.4 * clean + noise + 0.2 * noise_of_types + 0.3 * of_types,
            "L_clean": clean,
            "L_noise": noise,
            "L_noise_types": noise_of_types,
            "L_types": of_types,
        },
        rel=1e-5,
    )
    alone = method.losses("pretrain", tf.constant(features[:4], tf.float32), tensors(noisy[:4], verified, mask))
    assert float(alone["loss"]) == pytest.approx(clean + of_types, rel=1e-5)


def test_verified_images_without_a_noisy_label_teach_no_noise_types(batch: tuple) -> None:
    features, noisy, verified, mask = batch
    method, _ = built("noise-types")
    without = noisy.copy()
    without[:4] = 0
    losses, computed = gradients(method, "pretrain", features[:4], tensors(without[:4], verified, mask), "types")
    assert losses["L_types"] == 0.0
    assert all((g == 0).all() for g in computed)
    # One such row more changes nothing.
    some = gradients(method, "pretrain", features[:4], tensors(noisy[:4], verified, mask), "types")
    fewer = gradients(method, "pretrain", features[:2], tensors(noisy[:2], verified[:2], mask[:2]), "types")
    assert some[0]["L_types"] == pytest.approx(fewer[0]["L_types"], rel=1e-6)
    for one, other in zip(some[1], fewer[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


def test_factors_on_what_noisy_labels_teach_the_noise_types(batch: tuple) -> None:
    features, noisy, verified, mask = batch
    by_factor = {}
    for factor in (1.0, 0.1, 0.0):
        method, _ = built("noise-types", z_gradient=factor, type_weight=0.0, clean_weight=0.5)
        by_factor[factor] = gradients(method, "em", features, tensors(noisy, verified, mask), "types")
    assert np.abs(by_factor[1.0][1][0]).max() > 1e-3
    for factor in (0.1, 0.0):
        assert by_factor[factor][0]["L_noise_types"] == pytest.approx(by_factor[1.0][0]["L_noise_types"], rel=1e-6)
        for one, other in zip(by_factor[factor][1], by_factor[1.0][1], strict=True):
            np.testing.assert_allclose(one, factor * other, rtol=1e-4, atol=1e-8)


def test_the_authors_first_stage_holds_the_noise_types_fixed(batch: tuple) -> None:
    features, noisy, verified, mask = batch
    method, _ = built("noise-types", first_steps=10, first_clean_weight=0.1, clean_weight=1.0)
    phases = {phase.name: phase for phase in method.phases()}
    assert list(phases) == ["pretrain", "fixed-types", "em"]
    assert [set(phase.rates) for phase in phases.values()] == [{"head", "types"}, {"head"}, {"head", "types"}]
    losses, of_types = gradients(method, "fixed-types", features, tensors(noisy, verified, mask), "types")
    assert losses["loss"] == pytest.approx(0.1 * losses["L_clean"] + losses["L_noise"], rel=1e-6)
    assert all((g == 0).all() for g in of_types)
    later, _ = gradients(method, "em", features, tensors(noisy, verified, mask), "types")
    assert later["L_noise"] == pytest.approx(losses["L_noise"], rel=1e-6)


def test_row_5_of_xiaos_table_begins_at_model_2() -> None:
    """Table 1: the bottom-up model starts from the network that the clean set has trained, and is not trained on it again."""
    bottom_up, _ = built("bottom-up", **get_method("bottom-up").presets["clothing1m"])
    assert [(phase.name, phase.steps) for phase in bottom_up.phases()] == [("mixed", 160_000)]
    assert [phase.name for phase in built("bottom-up", pretrain_steps=7)[0].phases()] == ["pretrain", "mixed"]


def test_images_without_a_class_teach_a_whole_network_nothing_and_top_1_chooses_its_step() -> None:
    """As ``pretrain-backbone`` has it: both leave out images that are known only not to be of their noisy class."""
    method = get_method("finetune-whole")(configure("finetune-whole", {}), Problem(4, ("a", "b"), "single-label"))
    (phase,) = method.phases()
    assert (phase.rows, phase.clean_rows, phase.monitor) == ("clean", "named", "auto")


def test_bottom_up_and_forward_by_hand(batch: tuple) -> None:
    features, noisy, verified, mask = batch
    bottom_up, w = built("bottom-up", clean_weight=0.4)
    of_class = log_softmax(features @ w["classifier/kernel"] + w["classifier/bias"])
    clean = -(of_class[0, 0] + of_class[1, 1] + of_class[2, 3]) / 3
    shares = PAIRS / PAIRS.sum(axis=1, keepdims=True)  # [true, noisy]
    noise = -np.mean([np.log(np.exp(of_class[row]) @ shares[:, n]) for row, n in ((4, 3), (5, 0), (6, 2))])
    computed = bottom_up.losses("mixed", tf.constant(features, tf.float32), tensors(noisy[4:], verified, mask))
    assert float(computed["loss"]) == pytest.approx(0.4 * clean + noise, rel=1e-5)
    alone = bottom_up.losses("pretrain", tf.constant(features[:4], tf.float32), tensors(noisy[:0], verified, mask))
    assert float(alone["loss"]) == pytest.approx(clean, rel=1e-5)
    forward, _ = built("forward")  # the same initial weights: the same seed and layer
    rows = tensors(noisy[4:], verified[:0], mask[:0])
    assert float(forward.losses("corrected", tf.constant(features[4:], tf.float32), rows)["loss"]) == pytest.approx(
        noise, rel=1e-5
    )
    plain = -np.mean([of_class[4, 3], of_class[5, 0], of_class[6, 2]])
    assert float(forward.losses("noisy", tf.constant(features[4:], tf.float32), rows)["loss"]) == pytest.approx(
        plain, rel=1e-5
    )
