"""The loop: phases, groups, what is kept, resuming to the same bytes, blocks, devices, bad losses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, Phase, Schedule
from nlcli.runtime import quiet_tensorflow
from nlcli.training.loop.checkpoints import CHECKPOINT
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.history import HISTORY, read_history
from nlcli.training.loop.optimizers import OPTIMIZERS
from nlcli.training.loop.steps import StepFunction
from nlcli.training.loop.train import train
from worlds.small_training import ArraySource, Planted, make, metrics_of, planted


class TwoNets:
    """A cleaning net and a classifier with rates of their own, and a layer with statistics."""

    def __init__(self, data: Planted, seed: int = 0) -> None:
        keras.utils.set_random_seed(seed)
        self.cleaner = keras.layers.Dense(data.true.shape[1], name="cleaner")
        self.norm = keras.layers.BatchNormalization(name="norm", momentum=0.9)
        self.classifier = keras.layers.Dense(data.true.shape[1], name="classifier")
        for layer in (self.cleaner, self.norm, self.classifier):
            layer.build((None, data.features.shape[1]))

    def groups(self) -> Mapping[str, list[keras.Variable]]:
        return {
            "cleaning": self.cleaner.trainable_variables,
            "classifier": self.norm.trainable_variables + self.classifier.trainable_variables,
        }

    def weights(self) -> Mapping[str, keras.Variable]:
        return {v.path: v for layer in (self.cleaner, self.norm, self.classifier) for v in layer.variables}

    def begin(self, phase: str, inputs: Any) -> None:
        return

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        clean = tf.reduce_mean((batch.of_clean(self.cleaner(inputs)) - batch.verified) ** 2)
        if phase == "pre":
            return {"loss": clean, "L_clean": clean}
        noisy = tf.reduce_mean((batch.of_noisy(self.classifier(self.norm(inputs, training=True))) - batch.noisy) ** 2)
        return {"loss": 0.1 * clean + noisy, "L_clean": clean, "L_classify": noisy}

    def values(self) -> np.ndarray:
        return np.concatenate([v.numpy().ravel() for v in self.weights().values()])


class Centred(TwoNets):
    """The same around a centre, which no step trains: each phase begins by moving it."""

    def __init__(self, data: Planted, seed: int = 0) -> None:
        super().__init__(data, seed)
        self.centre = keras.Variable(np.zeros(data.features.shape[1], np.float32), trainable=False, name="centre")
        self.begun: list[str] = []

    def begin(self, phase: str, inputs: Any) -> None:
        self.begun.append(phase)
        means = [part.mean(axis=0) for part in inputs()]
        self.centre.assign(0.5 * self.centre + np.mean(means, axis=0) + 0.01 * self.cleaner.kernel.numpy().sum())

    def weights(self) -> Mapping[str, keras.Variable]:
        return {**super().weights(), "centre": self.centre}

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        return super().losses(phase, inputs - self.centre.value, batch)


def two_phases(steps: tuple[int, int] = (23, 40)) -> tuple[Phase, ...]:
    return (
        Phase("pre", "clean", steps[0], {"cleaning": Schedule(0.01)}, "rmsprop", monitor="L_clean"),
        Phase(
            "joint", "mixed", steps[1], {"cleaning": Schedule(0.01, 0.5, 1.0, "epochs"), "classifier": Schedule(0.001)}
        ),
    )


def scripted(values: Mapping[str, list[float]]) -> Callable[[Phase], dict[str, float]]:
    """An evaluation that returns the given metrics of each phase one after the other."""
    left = {name: list(metrics) for name, metrics in values.items()}
    return lambda phase: {figure_of(phase): left[phase.name].pop(0)}


def figure_of(phase: Phase) -> str:
    """What chooses the steps of ``phase`` on multi-label data."""
    return "AP_all" if phase.monitor == "auto" else phase.monitor


def test_phases_train_their_groups_and_end_with_their_best_weights(tmp_path: Path) -> None:
    data = planted(200)
    model = TwoNets(data)
    seen: list[tuple[str, int, np.ndarray]] = []
    script = scripted({"pre": [9.0, 3.0, 5.0, 4.0], "joint": [0.1, 0.5, 0.9, 0.3, 0.2]})

    def evaluate(phase: Phase) -> dict[str, float]:
        seen.append((phase.name, len(seen), model.values()))
        return script(phase)

    before = model.values()
    outcome = train(model, two_phases(), ArraySource(data), evaluate, Settings(eval_every=10), tmp_path)
    steps = [(line.phase, line.step) for line in outcome.history]
    # before the first step, every ten, and at the end of each phase
    assert steps == [("pre", n) for n in (0, 10, 20, 23)] + [("joint", n) for n in (0, 10, 20, 30, 40)]
    assert (outcome.phase, outcome.step, outcome.value, outcome.selected_by) == ("joint", 20, 0.9, "AP_all")
    # lower is better for L_clean, higher for AP_all; each phase begins with the best of the one before
    np.testing.assert_array_equal(seen[4][2], seen[1][2])
    np.testing.assert_array_equal(model.values(), seen[6][2])
    cleaner = model.cleaner.count_params()
    assert (seen[3][2][:cleaner] != before[:cleaner]).all()
    np.testing.assert_array_equal(seen[3][2][cleaner:], before[cleaner:])  # not trained in this phase
    assert (seen[5][2][cleaner:] != before[cleaner:]).any()
    assert [set(line.train) for line in outcome.history[3:6]] == [
        {"loss", "L_clean"},
        set(),
        {"loss", "L_clean", "L_classify"},
    ]
    assert read_history(tmp_path) == outcome.history


@pytest.mark.parametrize(("patience", "phase_patience", "last"), [(0, None, 60), (2, None, 40), (2, 0, 60), (0, 1, 30)])
def test_patience(tmp_path: Path, patience: int, phase_patience: int | None, last: int) -> None:
    data = planted(100)
    phase = Phase("joint", "mixed", 60, {"classifier": Schedule(0.001)}, patience=phase_patience)
    script = scripted({"joint": [0.1, 0.2, 0.5, 0.4, 0.45, 0.3, 0.6]})
    outcome = train(TwoNets(data), [phase], ArraySource(data), script, Settings(10, patience), tmp_path)
    assert outcome.history[-1].step == outcome.steps == last
    assert outcome.stopped == ("steps" if last == 60 else "patience")
    assert outcome.step == (60 if last == 60 else 20)


def test_single_label_data_are_chosen_by_top_1(tmp_path: Path) -> None:
    """Where metrics have a top_1 and the phase does not ask for another one."""
    data, results = planted(100), {}
    for monitor in ("auto", "AP_all"):
        script = iter([(0.1, 0.9), (0.7, 0.2), (0.3, 0.3)])
        phase = Phase("joint", "mixed", 20, {"classifier": Schedule(0.001)}, monitor=monitor)
        (tmp_path / monitor).mkdir()
        outcome = train(
            TwoNets(data),
            [phase],
            ArraySource(data),
            lambda _, script=script: dict(zip(("top_1", "AP_all"), next(script), strict=True)),
            Settings(10),
            tmp_path / monitor,
        )
        results[monitor] = outcome.selected_by, outcome.step, outcome.value
    assert results == {"auto": ("top_1", 10, 0.7), "AP_all": ("AP_all", 0, 0.9)}


def test_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    data = planted(100)
    model = TwoNets(data)
    outcome = train(model, two_phases((5, 5)), ArraySource(data), None, Settings(2), tmp_path)
    assert (outcome.selected_by, outcome.value, outcome.step) == (None, None, 5)
    assert outcome.metrics() == {}


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "where", [pytest.param(n, marks=() if n in (1, 5, 9) else pytest.mark.slow) for n in range(1, 10)]
)
def test_resumes_to_the_same_bytes_from_any_evaluation(tmp_path: Path, where: int) -> None:
    data = planted(200)

    def run(folder: Path, kill: list[int], block_steps: int) -> tuple[np.ndarray, str]:
        folder.mkdir(exist_ok=True)
        model, count = Centred(data), 0

        def watch(_: Mapping[str, Any]) -> None:
            nonlocal count
            count += 1
            if kill and count == kill[0]:
                kill.pop(0)
                raise Killed

        def evaluate(phase: Phase) -> dict[str, float]:  # depends on the weights, with ups and downs
            return {figure_of(phase): float(np.sin(1e3 * model.values().sum()))}

        source = ArraySource(data, block_steps=block_steps)
        first, second = two_phases()
        try:
            train(
                model,
                (first, replace(second, average=15)),
                source,
                evaluate,
                Settings(10, checkpoint_seconds=0),
                folder,
                watch,
            )
        except Killed:
            return run(folder, kill, block_steps=5)  # a new process: new weights, other blocks
        return model.values(), (folder / HISTORY).read_text()

    whole = run(tmp_path / "whole", [], 7)
    broken = run(tmp_path / "broken", [where, 2], 7)
    assert np.array_equal(whole[0], broken[0])
    assert whole[1] == broken[1]


def test_averages_are_validated_and_kept_and_steps_go_on_without_them(tmp_path: Path) -> None:
    """Of the first steps their mean, from then on an exponential average, by NumPy from weights after every step."""
    data, phase = planted(200), Phase("joint", "mixed", 12, {"classifier": Schedule(0.01)})

    def run(average: int) -> tuple[list[np.ndarray], np.ndarray]:
        model, seen = TwoNets(data), list[np.ndarray]()
        folder = tmp_path / str(average)
        folder.mkdir()

        def evaluate(_: Phase) -> dict[str, float]:
            seen.append(model.values())
            return {"AP_all": float(len(seen))}  # the last one is the best

        train(model, (replace(phase, average=average),), ArraySource(data), evaluate, Settings(1), folder)
        return seen, model.values()

    steps, last = run(0)
    np.testing.assert_array_equal(last, steps[-1])
    averaged, kept = run(4)
    trained = np.concatenate([np.full(v.shape, v.trainable).ravel() for v in TwoNets(data).weights().values()])
    trained[: TwoNets(data).cleaner.count_params()] = False  # of a group that the phase leaves out
    expected = np.zeros_like(steps[0], dtype=np.float64)
    for number, values in enumerate(steps[1:], 1):
        expected += (values - expected) / min(number, 4)
        np.testing.assert_allclose(averaged[number][trained], expected[trained], atol=1e-6)
    np.testing.assert_array_equal(averaged[0], steps[0])
    np.testing.assert_array_equal(kept, averaged[-1])


def test_without_validation_the_last_averages_are_kept(tmp_path: Path) -> None:
    data, phase = planted(100), Phase("joint", "mixed", 6, {"classifier": Schedule(0.01)}, average=3)
    models = [TwoNets(data), TwoNets(data)]
    for model, every in zip(models, (2, 6), strict=True):
        (tmp_path / str(every)).mkdir()
        train(model, (phase,), ArraySource(data), None, Settings(every), tmp_path / str(every))
    plain = TwoNets(data)
    (tmp_path / "plain").mkdir()
    train(plain, (replace(phase, average=0),), ArraySource(data), None, Settings(2), tmp_path / "plain")
    np.testing.assert_array_equal(models[0].values(), models[1].values())
    assert np.abs(models[0].values() - plain.values()).max() > 1e-4


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    data = planted(100)
    model = TwoNets(data)
    first = train(model, two_phases((5, 5)), ArraySource(data), None, Settings(2), tmp_path)
    again = TwoNets(data, seed=1)
    outcome = train(again, two_phases((5, 5)), ArraySource(data), None, Settings(2), tmp_path)
    assert outcome.steps_per_second == 0
    assert outcome.history == first.history
    assert np.array_equal(model.values(), again.values())


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    data = planted(100)
    train(TwoNets(data), two_phases((5, 5)), ArraySource(data), None, Settings(5), tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(NlcliError, match=r"cannot read .*checkpoint.npz .*--force"):
        train(TwoNets(data), two_phases((5, 5)), ArraySource(data), None, Settings(5), tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_says_where(tmp_path: Path) -> None:
    data = planted(100)

    class Breaks(ArraySource):
        def block(self, phase: Phase, first: int, count: int) -> Any:
            block = super().block(phase, first, count)
            if first <= 25 < first + count:
                features = np.concatenate([block.table, np.full((1, block.table.shape[1]), np.nan, np.float32)])
                rows = block.rows.copy()
                rows[25 - first, 5] = len(features) - 1
                return type(block)(features, rows, block.noisy, block.verified, block.mask)
            return block

    with pytest.raises(NlcliError, match="between steps 25 and 26 of phase 'joint'"):
        train(TwoNets(data), two_phases()[1:], Breaks(data), None, Settings(10), tmp_path)


def test_an_error_while_preparing_a_block_arrives(tmp_path: Path) -> None:
    class Fails(ArraySource):
        def block(self, phase: Phase, first: int, count: int) -> Any:
            if first > 10:
                raise NlcliError("shard 3 is cut short")
            return super().block(phase, first, count)

    data = planted(100)
    with pytest.raises(NlcliError, match="shard 3"):
        train(TwoNets(data), two_phases(), Fails(data), None, Settings(10), tmp_path)


def test_one_step_by_hand(tmp_path: Path) -> None:
    """One SGD step of FT-L on one feature: the gradient of BCE is (sigmoid(x) - t) f."""
    data = Planted(np.array([[2.0]], np.float32), np.array([[1]], np.uint8), np.array([[0]], np.uint8), np.array([0]))
    method = make("finetune-last", data, optimizer="sgd", learning_rate=0.5, steps=1)
    method.classifier.set_weights([np.array([[0.5]], np.float32), np.zeros(1, np.float32)])
    train(method, method.phases(), ArraySource(data, batch_size=2), None, Settings(1), tmp_path)
    slope = 1 / (1 + np.exp(-1.0)) - 1
    kernel, bias = method.classifier.get_weights()
    assert kernel[0, 0] == pytest.approx(0.5 - 0.5 * slope * 2.0, rel=1e-6)
    assert bias[0] == pytest.approx(-0.5 * slope, rel=1e-6)


def test_weight_decay_by_hand(tmp_path: Path) -> None:
    """0.5 * 0.3 * w^2 is added to the loss and 0.3 w to the gradient of the kernel; the bias has none."""
    data = Planted(np.array([[2.0]], np.float32), np.array([[1]], np.uint8), np.array([[0]], np.uint8), np.array([0]))
    method = make("finetune-last", data, optimizer="sgd", learning_rate=0.5, steps=1, weight_decay=0.3)
    method.classifier.set_weights([np.array([[0.5]], np.float32), np.array([0.25], np.float32)])
    outcome = train(method, method.phases(), ArraySource(data, batch_size=2), None, Settings(1), tmp_path)
    assert outcome.history[-1].train["loss"] == pytest.approx(np.log1p(np.exp(-1.25)) + 0.15 * 0.25, rel=1e-6)
    slope = 1 / (1 + np.exp(-1.25)) - 1
    kernel, bias = method.classifier.get_weights()
    assert kernel[0, 0] == pytest.approx(0.5 - 0.5 * (slope * 2.0 + 0.3 * 0.5), rel=1e-6)
    assert bias[0] == pytest.approx(0.25 - 0.5 * slope, rel=1e-6)


def test_a_shortened_phase_keeps_the_shape_of_its_rates() -> None:
    rates = {"a": Schedule(1.0, 0.1, 50, "steps"), "b": Schedule(1.0, 0.5, 2.0, "epochs"), "c": Schedule(0.3)}
    phase = Phase("p", "noisy", 100, rates).scaled(0.1)
    assert phase.steps == 10
    at = {name: rate.at(np.array([4, 5]), epoch_steps=2) for name, rate in phase.rates.items()}
    np.testing.assert_allclose(at["a"], [1.0, 0.1])
    np.testing.assert_allclose(at["b"], [0.5, 0.5])
    np.testing.assert_allclose(at["c"], [0.3, 0.3], rtol=1e-6)


def block_losses(settings: Settings, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    data = planted(200)
    model, phase = TwoNets(data), two_phases()[1]
    variables = [v for group in model.groups().values() for v in group]
    steps = StepFunction(model, phase, OPTIMIZERS["adam"](variables), 3, settings)
    block = ArraySource(data).block(phase, 0, 12)
    block = type(block)(block.table.astype(dtype), block.rows, block.noisy, block.verified, block.mask)
    losses = steps(block, np.full((12, 1), 0.01, np.float32), 0)
    assert steps.names == ["loss", "L_clean", "L_classify"]
    return losses, model.values()


def test_xla_and_loss_scale_change_nothing_but_rounding() -> None:
    losses, values = block_losses(Settings(1))
    for settings in (Settings(1, xla=True), Settings(1, loss_scale=1024.0)):
        others, other_values = block_losses(settings)
        np.testing.assert_allclose(others, losses, rtol=1e-4)
        np.testing.assert_allclose(other_values, values, atol=2e-3)


@pytest.mark.parametrize(
    ("devices", "settings", "expected"),
    [
        (["GPU:0"], Settings(10), (True, False)),
        (["GPU:0"], Settings(10, tensor_float_32=True), (True, True)),
        (["GPU:0"], Settings(10, xla=True), (False, False)),
        ([], Settings(10, tensor_float_32=True), (False, False)),
    ],
)
def test_kernels_of_a_gpu_repeat_themselves_while_something_is_trained_unless_xla_has_none(
    devices: list[str],
    settings: Settings,
    expected: tuple[bool, bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gradient of max pooling by XLA is refused where kernels must repeat themselves: --xla failed on every GPU."""
    quiet_tensorflow()
    monkeypatch.setattr("nlcli.training.loop.gpu_arithmetic.gpus", lambda: devices)
    data, seen = planted(100), set()

    def evaluate(phase: Phase) -> dict[str, float]:
        seen.add(_gpu_flags())
        return {phase.monitor: 0.5}

    train(TwoNets(data), two_phases()[:1], ArraySource(data), evaluate, settings, tmp_path)
    assert seen == {expected}
    assert _gpu_flags() == (False, False)


def _gpu_flags() -> tuple[bool, bool]:
    return is_op_determinism_enabled(), tf.config.experimental.tensor_float_32_execution_enabled()


def test_half_precision_features_are_trained_on_in_single_precision() -> None:
    losses, _ = block_losses(Settings(1), "float16")
    np.testing.assert_allclose(losses, block_losses(Settings(1))[0], rtol=1e-2)


def test_a_step_that_overflows_is_left_out_and_halves_the_loss_scale() -> None:
    data = planted(100)
    data.features *= 100
    model, phase = TwoNets(data), two_phases()[1]
    before = model.cleaner.kernel.numpy()
    variables = [v for group in model.groups().values() for v in group]
    steps = StepFunction(model, phase, OPTIMIZERS["adam"](variables), 3, Settings(1, loss_scale=3e38))
    source, rates = ArraySource(data), np.full((1, 1), 0.01, np.float32)
    steps(source.block(phase, 0, 1), rates, 0)
    assert np.array_equal(model.cleaner.kernel.numpy(), before)
    assert [float(v.numpy()) for v in steps.scaling] == [float(np.float32(3e38)) / 2, 0.0]
    for step in range(1, 12):
        steps(source.block(phase, step, 1), rates, step)
    assert not np.array_equal(model.cleaner.kernel.numpy(), before)
    assert np.isfinite(model.values()).all()
    steps.scaling[0].assign(8.0)
    steps.scaling[1].assign(1999.0)
    steps(source.block(phase, 12, 1), rates, 12)
    assert [float(v.numpy()) for v in steps.scaling] == [16.0, 0.0]


def test_a_kill_between_evaluations_loses_nothing(tmp_path: Path) -> None:
    data = planted(200)

    class Fails(ArraySource):
        def __init__(self, at: int) -> None:
            super().__init__(data, block_steps=5)
            self.at = at

        def block(self, phase: Phase, first: int, count: int) -> Any:
            if first + count > self.at:
                raise Killed
            return super().block(phase, first, count)

    settings = Settings(40, checkpoint_seconds=0)
    (tmp_path / "whole").mkdir()
    whole = Centred(data)
    train(whole, two_phases((60, 20)), ArraySource(data), None, settings, tmp_path / "whole")
    assert whole.begun == ["pre", "joint"]
    with pytest.raises(Killed):
        train(Centred(data), two_phases((60, 20)), Fails(30), None, settings, tmp_path)
    position = json.loads(str(np.load(tmp_path / CHECKPOINT)["position"]))
    assert 0 < position["step"] < 40  # no evaluation came before the kill
    resumed = Centred(data, seed=1)
    train(resumed, two_phases((60, 20)), ArraySource(data), None, settings, tmp_path)
    assert resumed.begun == ["joint"]
    assert np.array_equal(whole.values(), resumed.values())
    assert (tmp_path / HISTORY).read_text() == (tmp_path / "whole" / HISTORY).read_text()


def test_draws_reach_the_rows_they_belong_to() -> None:
    """An augmentation that adds a row's draw to its features is seen by the losses, row by row."""
    data, phase = planted(100), two_phases()[1]
    block = ArraySource(data).block(phase, 0, 4)
    rng = np.random.default_rng(0)
    draws = rng.random((*block.rows.shape, data.features.shape[1]), np.float32)
    added = (block.table[block.rows] + draws).reshape(-1, data.features.shape[1])
    rows = np.arange(block.rows.size, dtype=np.int32).reshape(block.rows.shape)

    def losses(given: Any, settings: Settings) -> np.ndarray:
        net = TwoNets(data)
        variables = [v for group in net.groups().values() for v in group]
        return StepFunction(net, phase, OPTIMIZERS["adam"](variables), 3, settings)(
            given, np.full((4, 1), 0.01, np.float32), 0
        )

    labels = block.noisy, block.verified, block.mask
    augmented = losses(type(block)(block.table, block.rows, *labels, draws), Settings(1, augment=lambda x, d: x + d))
    np.testing.assert_allclose(augmented, losses(type(block)(added, rows, *labels), Settings(1)), rtol=1e-5)


def test_weights_reach_the_rows_they_belong_to() -> None:
    """The rows' weights are seen as one of the losses, those of T alone; without any they are ones."""
    data = planted(100)
    given = np.arange(100, dtype=np.float32)

    class Weighed(TwoNets):
        def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
            firsts = batch.of_noisy(inputs)[:, 0]
            return {**super().losses(phase, inputs, batch), "weighed": tf.reduce_sum(batch.weights * firsts)}

    for weights in (given, None):
        for phase in two_phases()[1], Phase("noisy", "noisy", 9, {"classifier": Schedule(0.01)}):
            net, source = Weighed(data), ArraySource(data, weights=weights)
            clean, block = source.clean_rows(phase), source.block(phase, 0, 4)
            variables = [v for group in net.groups().values() for v in group]
            losses = StepFunction(net, phase, OPTIMIZERS["adam"](variables), clean, Settings(1))(
                block, np.full((4, 1), 0.01, np.float32), 0
            )
            rows = block.rows[:, clean:]
            expected = ((np.ones(100) if weights is None else weights)[rows] * data.features[rows, 0]).sum(axis=1)
            np.testing.assert_allclose(losses[:, -1], expected, rtol=1e-4)


_TWO_DEVICES = """
import sys
import numpy as np, tensorflow as tf
sys.path.insert(0, {tests!r})
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from worlds.small_training import ArraySource, make, planted
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.train import train
from nlcli.errors import NlcliError
strategies = None, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
weights = np.random.default_rng(0).random(200).astype(np.float32)
for name, options in ("cleannet", {{"weight_decay": 0.1}}), ("residual", {{"hidden": 8}}):
    single, trained = name == "cleannet", []
    data = planted(200, single=single)
    for number, strategy in enumerate(strategies):
        with strategy.scope() if strategy else tf.device("CPU:0"):
            method = make(name, data, single=single, steps=12, learning_rate=1e-2, **options)
        source = ArraySource(data, batch_size=40, weights=weights)
        folder = Path({folder!r}) / (name + str(number))
        folder.mkdir()
        train(method, method.phases(), source, None, Settings(6, strategy=strategy), folder)
        trained.append(np.concatenate([v.numpy().ravel() for v in method.weights().values()]))
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-3, atol=1e-5)
try:
    train(method, method.phases(), ArraySource(data, batch_size=30), None, Settings(6, strategy=strategy), folder / "..")
except NlcliError as error:
    print(error)
"""


@pytest.mark.slow
def test_two_devices_take_the_steps_of_one(tmp_path: Path) -> None:
    code = _TWO_DEVICES.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "batches of 30 rows, 3 of them clean, cannot be shared equally by 2 devices" in done.stdout


def test_metrics_of_the_outcome_are_those_of_the_kept_step(tmp_path: Path) -> None:
    data = planted(200)
    method = make("noisy", data, steps=40, learning_rate=1e-2)
    outcome = train(
        method, method.phases(), ArraySource(data), lambda _: metrics_of(method, data), Settings(10), tmp_path
    )
    assert outcome.metrics() == metrics_of(method, data)
