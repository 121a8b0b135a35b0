"""One battery over every registered method, and each method's equations against values by hand.

A method that is registered without a row in ``SMALL`` fails the first test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import nlcli.methods
from nlcli.errors import NlcliError
from nlcli.methods import METHODS, configure, get_method
from nlcli.methods.base.contract import Batch, Problem
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training.checks import CHECKS, SOLVED_CHECKS, Case, check_other_tasks_are_refused, check_statements
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.train import train
from worlds.small_training import ArraySource, make, planted

# Options that make each method learn the planted problem in a few hundred steps.
SMALL: dict[str, dict[str, object]] = {
    "auto": {},
    "noisy": {"steps": 300, "learning_rate": 1e-2},
    "clean": {"steps": 300, "learning_rate": 1e-2},
    "clean-and-noisy": {"steps": 300, "learning_rate": 1e-2},
    "posterior": {},
    "finetune-last": {"steps": 300, "learning_rate": 1e-2},
    "finetune-mixed": {"steps": 300, "learning_rate": 1e-2},
    "finetune-whole": {"steps": 300, "learning_rate": 1e-2},  # here on a backbone that is not trained
    "ground-truth": {"steps": 300, "learning_rate": 1e-2},
    "veit": {
        "variant": "pretrained",
        "steps": 300,
        "learning_rate": 1e-2,
        "cleaning_rate": 1e-2,
        "pretrain_rate": 1e-2,
        "pretrain_steps": 150,
        "embedding": 8,
        "hidden": 16,
    },
    "misra": {"steps": 300, "learning_rate": 1e-2, "relevance_rate": 1e-2, "visual_steps": 100},
    "teacher-student": {
        "steps": 300,
        "hidden": 32,
        "learning_rate": 1e-2,
        "teacher_rate": 1e-2,
        "pretrain_rate": 1e-2,
        "pretrain_steps": 100,
    },
    "residual": {"steps": 300, "hidden": 32, "learning_rate": 1e-2},
    "bottom-up": {
        "steps": 200,
        "learning_rate": 1e-2,
        "pretrain_rate": 1e-2,
        "pretrain_steps": 100,
        "finetune_steps": 50,
    },
    "forward": {
        "transition": "anchors",
        "steps": 300,
        "noisy_steps": 200,
        "learning_rate": 1e-2,
        "finetune_steps": 50,
    },
    "noise-types": {
        "steps": 200,
        "hidden": 16,
        "learning_rate": 1e-2,
        "pretrain_rate": 1e-2,
        "pretrain_steps": 200,
        "first_steps": 50,
        "finetune_steps": 50,
    },
    "cleannet": {"steps": 300, "learning_rate": 1e-2, "finetune_steps": 50, "finetune_rate": 1e-3},
}


# Every method on every kind of data that it is for.
CASES = [Case(get_method(name), task, SMALL[name]) for name in METHODS.ours for task in get_method(name).tasks]


def test_every_method_is_in_the_battery() -> None:
    assert list(SMALL) == list(METHODS.ours)


@pytest.mark.parametrize(
    ("case", "check"),
    [
        (c, check)
        for c in CASES
        if c.cls.solvable
        for check in SOLVED_CHECKS
        if not c.cls.stepped or check not in CHECKS
    ],
    ids=lambda part: part.__name__ if callable(part) else f"{part.cls.name}-{part.task}",
)
def test_battery_of_solved_methods(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", [c for c in CASES if c.cls.stepped], ids=lambda case: f"{case.cls.name}-{case.task}")
def test_battery(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("name", METHODS.ours)
def test_what_a_method_states(name: str) -> None:
    check_statements(get_method(name))
    check_other_tasks_are_refused(get_method(name))


def settings_table(card: str) -> tuple[list[str], dict[str, list[str]]]:
    """Column names and rows by option of the card's table of settings."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in card.split("## Suggested settings")[1].split("##")[0].splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    return rows[0][2:], {row[0].strip("`"): row[1:] for row in rows[1:]}


@pytest.mark.parametrize("name", METHODS.ours)
def test_the_card_states_the_settings_as_they_are(name: str) -> None:
    method = get_method(name)
    presets, rows = settings_table(METHODS.describe(name)["card"])
    named = [re.match(r"`([a-z0-9-]+)`", column)[1] for column in presets]
    assert set(named) == set(method.presets)
    changed = {option for settings in method.presets.values() for option in settings}
    assert changed | ({"learning_rate", "steps", "optimizer"} if method.stepped else set()) <= set(rows)
    for option, cells in rows.items():
        for preset, cell in zip([None, *named], cells, strict=True):
            shown = re.match(r"[^ ]+", cell)[0].replace(",", "")
            actual = getattr(configure(name, {}, preset), option)
            assert (shown if isinstance(actual, str) else float(shown)) == actual, (option, preset)


@pytest.mark.parametrize("name", METHODS.ours)
def test_card_and_citation(name: str) -> None:
    described = METHODS.describe(name)
    for section in ("How to use", "Equations", "Suggested settings", "Technical details", "Departures", "Attribution"):
        assert f"## {section}" in described["card"], section
    assert re.match(r"@\w+\{\w+,\n", described["citation"])
    assert described["citation"].count("{") == described["citation"].count("}")
    assert all(f"`{score}`" in described["card"] for score in described["scores"])


@pytest.mark.parametrize("name", METHODS.ours)
def test_the_card_names_what_papers_leave_open_of_its_options(name: str) -> None:
    """Of RMSProp no paper states more than the rate; what losses are divided by is not the same as in the papers."""
    card = re.sub(r"\s+", " ", METHODS.describe(name)["card"].split("## Departures")[1].split("## Attribution")[0])
    optimizers = {configure(name, {}, preset).optimizer for preset in get_method(name).presets}
    told = "RMSProp's decay rate and momentum are not stated; 0.9 and none here." in card
    assert told == ("rmsprop" in optimizers)
    assert ("`normalise=images`" in card) == ("normalise" in get_method(name).Config.model_fields)


def test_listing_names_every_method_once() -> None:
    assert [row["name"] for row in METHODS.listing()] == list(METHODS.ours)
    assert all(row["title"] and row["paper"] for row in METHODS.listing())
    cards = {path.stem for path in (Path(nlcli.methods.__file__).parent / "cards").glob("*.md")}
    assert cards == set(METHODS.ours)


# --- configuration ---------------------------------------------------------------------------


def test_veits_rate_in_the_paper_depends_on_the_variant() -> None:
    rates = {v: configure("veit", {"variant": v}, "open-images") for v in ("joint", "pretrained")}
    assert {v: (r.cleaning_rate, r.pretrain_rate) for v, r in rates.items()} == {
        "joint": (0.015, 0.015),
        "pretrained": (0.001, 0.015),
    }


@pytest.mark.parametrize(
    ("name", "preset", "variant"),
    [
        ("finetune-last", "open-images-2017", None),
        ("finetune-mixed", "open-images-2017", None),
        ("veit", "open-images", "joint"),
        ("veit", "open-images", "pretrained"),
        ("misra", "open-images", None),
    ],
)
def test_all_that_veit_2017_fine_tunes_has_one_schedule(name: str, preset: str, variant: str | None) -> None:
    """Section 4.4: from 0.001, times 0.94 every 2 epochs of 9,011,219 images by 32, 563,201 steps; 4 million in all.

    However many of a batch's rows are noisy: 29 of 32 would make the stairs 621,463 steps long.
    """
    options = {} if variant is None else {"variant": variant}
    layer = LinearLayer.zeros(3, ("a", "b"))
    method = get_method(name)(configure(name, options, preset), Problem(3, ("a", "b")), layer)
    (phase,) = (phase for phase in method.phases() if phase.steps == 4_000_000 and phase.patience is None)
    group = {"misra": "visual", "veit": "classifier"}.get(name, "head")
    steps = np.array([0, 563_199, 563_200, 3_999_999])
    for rows in (29, 32):
        rates = phase.rates[group].at(steps, 9_011_219 / rows)
        np.testing.assert_allclose(rates, [1e-3, 1e-3, 9.4e-4, 1e-3 * 0.94**7], rtol=1e-6)


def test_options_come_after_the_preset() -> None:
    config = configure("residual", {"alpha": "0.3"}, "open-images")
    assert (config.alpha, config.learning_rate, config.optimizer, config.steps) == (0.3, 1e-3, "rmsprop", 2_000_000)
    assert configure("residual", {"activation": "tanh"}, "coco").learning_rate == 1e-5
    assert configure("residual", {}, "coco").learning_rate == 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("residul",), "unknown method 'residul'; did you mean 'residual'?"),
        (("residual", {"alhpa": 1}), "method residual: unknown option 'alhpa'; did you mean 'alpha'?"),
        (("residual", {}, "cocoa"), "method residual: unknown preset 'cocoa'; did you mean 'coco'?"),
        (("residual", {"alpha": -1}), "option 'alpha'"),
        (("residual", {"activation": "gelu"}), "option 'activation'"),
    ],
)
def test_mistakes_are_sentences(arguments: tuple, message: str) -> None:
    with pytest.raises(NlcliError, match=re.escape(message)):
        configure(*arguments)


# --- equations -------------------------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def cross_entropy(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


@pytest.fixture
def two_rows() -> tuple[tf.Tensor, Batch]:
    """One row of V, of which one class was looked at, and one row of T; two features, two classes."""
    return tf.constant([[1.0, 2.0], [-1.0, 0.5]]), Batch(
        1, tf.constant([[1.0, 0.0]]), tf.constant([[1.0, 1.0]]), tf.constant([[1.0, 0.0]])
    )


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "linear"])
def test_residual_equations(two_rows: tuple[tf.Tensor, Batch], activation: str) -> None:
    features, batch = two_rows
    config = configure("residual", {"alpha": 0.5, "activation": activation, "hidden": 3})
    method = get_method("residual")(config, Problem(2, ("a", "b")), seed=4)
    w = {name: value.numpy() for name, value in method.weights().items()}
    for bias in [name for name in w if name.endswith("bias")]:  # zero at the start: make them count
        w[bias] = np.linspace(-0.3, 0.4, w[bias].size).astype(np.float32)
        method.weights()[bias].assign(w[bias])
    act = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "linear": lambda x: x}[activation]

    def net(part: str) -> np.ndarray:
        hidden = act(features.numpy() @ w[f"{part}/hidden/kernel"] + w[f"{part}/hidden/bias"])
        return hidden @ w[f"{part}/output/kernel"] + w[f"{part}/output/bias"]

    c, r = net("clean"), net("residual")
    g, h = sigmoid(c), sigmoid(c + r)
    losses = {key: float(value) for key, value in method.losses("joint", features, batch).items()}
    assert losses["L_clean"] == pytest.approx(cross_entropy(g[0, 0], 1.0), rel=1e-5)
    assert losses["L_noise"] == pytest.approx(cross_entropy(h[1], np.array([1.0, 0.0])).mean(), rel=1e-5)
    assert losses["loss"] == pytest.approx(0.5 * losses["L_clean"] + losses["L_noise"], rel=1e-6)
    np.testing.assert_allclose(method.score(features, "clean"), g, rtol=1e-5)
    np.testing.assert_allclose(method.score(features, "noisy"), h, rtol=1e-5)


def with_biases(method: nlcli.methods.Method) -> dict[str, np.ndarray]:
    """The weights in float64, after biases, and kernels that start at zero, are given values that count."""
    for value in method.weights().values():
        if not np.ptp(value.numpy()):
            value.assign(np.linspace(-0.6, 0.5, value.numpy().size).reshape(value.shape))
    return {name: value.numpy().astype(np.float64) for name, value in method.weights().items()}


def test_veit_equations() -> None:
    """Two rows of V, of which three entries were looked at, and one row of T."""
    features = np.array([[1.0, 2.0], [0.5, -1.0], [-1.0, 0.5]])
    y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    v, m = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    method = get_method("veit")(configure("veit", {"embedding": 2, "hidden": 3}), Problem(2, ("a", "b")), seed=1)
    w = with_biases(method)

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    hidden = dense("hidden", np.concatenate([dense("labels", y), dense("features", features)], axis=1))
    cleaned = np.clip(y + dense("output", hidden), 0, 1)
    assert ((cleaned > 0.05) & (cleaned < 0.95)).any()
    h = sigmoid(dense("classifier", features))
    clean = (np.abs(cleaned[:2] - v) * m).sum() / 3
    classify = ((cross_entropy(h[:2], v) * m).sum() + cross_entropy(h[2], cleaned[2]).sum()) / 5
    batch = Batch(2, *(tf.constant(a, tf.float32) for a in (y, v, m)))
    losses = {
        key: float(value) for key, value in method.losses("joint", tf.constant(features, tf.float32), batch).items()
    }
    assert losses["L_clean"] == pytest.approx(clean, rel=1e-5)
    assert losses["L_classify"] == pytest.approx(classify, rel=1e-5)
    assert losses["loss"] == pytest.approx(0.1 * clean + classify, rel=1e-5)
    np.testing.assert_allclose(
        method.cleaned(tf.constant(y, tf.float32), tf.constant(features, tf.float32)), cleaned, atol=1e-6
    )
    alone = Batch(2, *(tf.constant(a, tf.float32) for a in (y[:2], v, m)))
    cleaned_alone = method.losses("cleaning", tf.constant(features[:2], tf.float32), alone)
    assert float(cleaned_alone["loss"]) == pytest.approx(clean, rel=1e-5)


@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_teacher_student_equations(two_rows: tuple[tf.Tensor, Batch], targets: str) -> None:
    features, batch = two_rows
    config = configure("teacher-student", {"hidden": 3, "activation": "tanh", "targets": targets, "threshold": 0.45})
    method = get_method("teacher-student")(config, Problem(2, ("a", "b")), seed=4)
    w = with_biases(method)

    def net(name: str) -> np.ndarray:
        hidden = np.tanh(features.numpy() @ w[f"{name}/hidden/kernel"] + w[f"{name}/hidden/bias"])
        return sigmoid(hidden @ w[f"{name}/output/kernel"] + w[f"{name}/output/bias"])

    g, h = net("teacher"), net("student")
    taught = (g[1] > 0.45).astype(float) if targets == "hard" else g[1]
    clean = cross_entropy(g[0, 0], 1.0)
    classify = (cross_entropy(h[0, 0], 1.0) + cross_entropy(h[1], taught).sum()) / 3
    losses = {key: float(value) for key, value in method.losses("joint", features, batch).items()}
    assert losses["L_clean"] == pytest.approx(clean, rel=1e-5)
    assert losses["L_classify"] == pytest.approx(classify, rel=1e-5)
    assert losses["loss"] == pytest.approx(0.1 * clean + classify, rel=1e-5)
    first = method.losses("pretrain", features[1:], Batch(0, batch.noisy, batch.verified[:0], batch.mask[:0]))
    noise = sum(cross_entropy(p[1], np.array([1.0, 0.0])).mean() for p in (g, h))
    assert float(first["loss"]) == pytest.approx(noise, rel=1e-5)


def test_misra_equations(two_rows: tuple[tf.Tensor, Batch]) -> None:
    features, batch = two_rows
    method = get_method("misra")(configure("misra"), Problem(2, ("a", "b")), seed=4)
    w = with_biases(method)
    z, r1, r0 = (
        sigmoid(features.numpy() @ w[f"{name}/kernel"] + w[f"{name}/bias"])
        for name in ("visual", "if_present", "if_absent")
    )
    h = r1 * z + r0 * (1 - z)
    loss = method.losses("joint", features[1:], Batch(0, batch.noisy, batch.verified[:0], batch.mask[:0]))["loss"]
    assert float(loss) == pytest.approx(cross_entropy(h[1], np.array([1.0, 0.0])).mean(), rel=1e-5)
    np.testing.assert_allclose(method.score(features, "visual"), z, rtol=1e-5)
    np.testing.assert_allclose(method.score(features, "relevance"), h, rtol=1e-5)


def test_residual_alone() -> None:
    """Table 5: each classifier alone has its own rows, its own loss and its own score."""
    for variant, rows, score in (("clean-only", "clean", "clean"), ("noise-only", "noisy", "noisy")):
        case = Case(get_method("residual"), "multi-label", {"train": variant})
        method = case.build()
        (phase,) = method.phases()
        assert (phase.rows, method.offered()) == (rows, (score,))
        losses = method.losses(phase.name, *case.batch(method, phase))
        assert set(losses) == {"loss", "L_clean" if variant == "clean-only" else "L_noise"}
        assert len({float(value) for value in losses.values()}) == 1


def linear(name: str) -> nlcli.methods.Method:
    layer = LinearLayer(np.array([[0.5, -1.0], [1.0, 0.25]], np.float32), np.array([0.1, -0.2], np.float32))
    method = get_method(name)(configure(name), Problem(2, ("a", "b")), layer)
    method.classifier.set_weights([layer.kernel, layer.bias])
    return method


def test_linear_methods_by_hand(two_rows: tuple[tf.Tensor, Batch]) -> None:
    features, batch = two_rows
    # Logits: row of V (0.5 + 2 + 0.1, -1 + 0.5 - 0.2), row of T (-0.5 + 0.5 + 0.1, 1 + 0.125 - 0.2)
    p = sigmoid(np.array([[2.6, -0.7], [0.1, 0.925]]))
    clean = cross_entropy(p[0, 0], 1.0)
    noisy = cross_entropy(p[1], np.array([1.0, 0.0])).sum()
    assert float(linear("finetune-last").losses("clean", features[:1], batch)["loss"]) == pytest.approx(clean, rel=1e-5)
    mixed = linear("finetune-mixed").losses("mixed", features, batch)["loss"]
    assert float(mixed) == pytest.approx((clean + noisy) / 3, rel=1e-5)
    alone = Batch(0, batch.noisy, batch.verified[:0], batch.mask[:0])
    assert float(linear("noisy").losses("noisy", features[1:], alone)["loss"]) == pytest.approx(noisy / 2, rel=1e-5)
    np.testing.assert_allclose(linear("noisy").score(features, "classifier"), p, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in METHODS.ours if get_method(name).needs_last_layer])
def test_fine_tuning_starts_from_the_given_layer(name: str) -> None:
    layer = LinearLayer(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([7, 8], np.float32))
    last = get_method(name)(configure(name), Problem(3, ("a", "b")), layer).last_layer()
    np.testing.assert_array_equal(last.kernel, layer.kernel)
    np.testing.assert_array_equal(last.bias, layer.bias)


def test_residual_recovers_the_clean_labels_that_the_noise_hides(tmp_path: Path) -> None:
    """Class 1 is noisily added wherever class 0 is: g unlearns it from the clean set, h keeps it."""
    data = planted(2000, seed=1)
    method = make("residual", data, hidden=64, steps=600, learning_rate=3e-3)
    train(method, method.phases(), ArraySource(data), None, Settings(600), tmp_path)
    held_out = planted(2000, seed=1)
    g, h = (method.score(tf.constant(held_out.features), name).numpy()[:, 1] for name in method.scores)
    planted_noise = (held_out.true[:, 0] == 1) & (held_out.true[:, 1] == 0)
    assert np.median(h[planted_noise]) > 0.8
    assert np.median(g[planted_noise]) < 0.5
