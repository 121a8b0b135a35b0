"""The battery that every method passes: ours in our tests, one from outside in its own (docs/add-your-own.md).

    from nlcli.training.checks import check_method

    def test_mine():
        check_method("mine", steps=300)

It needs no pytest: what is wrong is told by the sentence of an ``AssertionError``. Methods are trained by
the same loop, from the same kind of source, as ``train-head`` trains them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.data.labels import Task, verified_pairs
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Problem, Tensor
from nlcli.methods.base.method import Method
from nlcli.networks.linear_layer import LinearLayer
from nlcli.runtime import quiet_tensorflow
from nlcli.seeds import stream
from nlcli.training.planted import PlantedProblem, planted_problem

if TYPE_CHECKING:
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.loop.feature_source import FeatureSource
    from nlcli.training.solved_head import SolvedOutcome

TASKS: tuple[Task, ...] = ("multi-label", "single-label")
EVALUATE_EVERY = 50
CONSTANT = (1.0, 0.0, "steps")
"""Factor, length and unit of the stairs of a rate that does not decay, as some in papers do not."""
LEARNT = {"multi-label": ("AP_all", 0.8), "single-label": ("top_1", 0.85)}
"""What a method must reach on validation images of the planted problem, which linear layers reach well."""


def check_method(method: str | type[Method], **options: Any) -> None:
    """Put a method through the whole battery, on every task that it is for.

    Args:
        method: its name, if it is registered, or the class.
        options: of its configuration, with which it learns a planted problem of 600 images and five classes;
            ``steps=300`` and ``learning_rate=0.01`` unless given. Give fewer steps of other phases, too.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    quiet_tensorflow()
    cls = _class_of(method)
    check_statements(cls)
    check_other_tasks_are_refused(cls)
    for task in cls.tasks:
        for check in checks_of(cls):
            check(Case(cls, task, options))


def checks_of(cls: type[Method]) -> tuple[Callable[[Case], None], ...]:
    """Those of a method that takes steps, of one that is solved, or of one that can do both."""
    return tuple(dict.fromkeys((*(CHECKS if cls.stepped else ()), *(SOLVED_CHECKS if cls.solvable else ()))))


def _class_of(method: str | type[Method]) -> type[Method]:
    if isinstance(method, str):
        from nlcli.methods import get_method

        return get_method(method)
    return method


@dataclass(frozen=True)
class Case:
    """A method on one task, as a check is given it.

    Args:
        options: of the method's configuration.
    """

    cls: type[Method]
    task: Task
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def planted(self) -> PlantedProblem:
        """The problem that it is to learn."""
        return planted_problem(self.task)

    def config(self, **changes: Any) -> MethodConfig:
        """Its configuration: 300 quick steps, then ``options``, then ``changes``."""
        return self.cls.Config(**{"steps": 300, "learning_rate": 1e-2} | dict(self.options) | changes)

    def build(self, config: MethodConfig | None = None, seed: int = 0, *, arrays: bool = False) -> Method:
        """The method; where it needs a layer to start from, one that scores at random."""
        config = config or self.config()
        table, width = self.planted.table, self.planted.features.shape[1]
        pairs = None
        if self.task == "single-label" and self.cls.uses_pairs(config):
            pairs = verified_pairs(table, np.flatnonzero(table.verification))
        problem = Problem(width, table.classes, self.task, pairs)
        layer = None
        if self.cls.needs_last_layer:
            kernel = 0.1 * stream(seed, "layer").normal(size=(width, table.num_classes)).astype(np.float32)
            layer = LinearLayer(kernel, np.zeros(table.num_classes, np.float32), table.classes)
        return self.cls(config, problem, layer, seed, arrays=arrays)

    def solved_config(self) -> MethodConfig:
        """Its configuration where it is solved: ``options`` that are not of steps."""
        own = {name: value for name, value in self.options.items() if name in self.cls.solved_options}
        return self.cls.decided(self.cls.Config(**{"solver": "solved"} | own), own, stepped=False)

    def solve(
        self, method: Method, folder: Path, *, verified: bool = True, counts: np.ndarray | None = None
    ) -> SolvedOutcome:
        """Solve it, as ``train-head`` does.

        Args:
            verified: Whether there are validation images; without them those of the clean set choose.
            counts: (n,) what each image of the data set counts; None: 1.
        """
        from nlcli.training.loop.feature_source import RowFeatures, training_rows
        from nlcli.training.loop.pools import stored_rows
        from nlcli.training.solved_head import labelled, solve_head
        from nlcli.training.validation import validation_of

        table, store = self.planted.table, self.planted.store
        rows = training_rows(table, store, method.phases(), 1.0, 0)
        images = table.rows("validation") if verified else np.empty(0, np.int64)
        validation = RowFeatures(store, table, stored_rows(table, store, images), 1 << 30)
        weights = self.planted.weights[rows.used.dataset] if self.cls.needs_detection else None
        start = None
        if method.needs_last_layer and (layer := method.last_layer()) is not None:
            start = layer
        clean = np.flatnonzero(table.verification[: len(table)] * (table.split == 0))
        data = labelled(
            method,
            table,
            store,
            rows,
            validation,
            clean=clean,
            weights=weights,
            counts=None if counts is None else counts[rows.used.dataset],
            start=start,
            budget=1 << 30,
        )
        validate = validation_of(method, table, validation)
        return solve_head(method, data, validate.metrics if verified else None, folder)

    def source(self, method: Method, seed: int = 0, batch_size: int | None = None) -> FeatureSource:
        """Blocks of the planted problem, weighted where the method needs a detection."""
        from nlcli.training.loop.feature_source import FeatureSource, training_rows

        table, store = self.planted.table, self.planted.store
        rows = training_rows(table, store, method.phases(), 1.0, seed)
        weights = self.planted.weights[rows.used.dataset] if self.cls.needs_detection else None
        size = batch_size or method.config.batch_size
        return FeatureSource(table, store, rows, size, seed, "shuffled", 1 << 30, weights)

    def train(self, method: Method, folder: Path, *, seed: int = 0, stop_after: int | None = None) -> Outcome:
        """Train it, and choose its best steps on validation.

        Args:
            folder: where checkpoints are written, or one lies to go on from.
            seed: of the batches.
            stop_after: evaluations after which training is broken off, as by a signal; None: never.

        Raises:
            KeyboardInterrupt: it was broken off.
        """
        from nlcli.training.head_on_features import MethodOnFeatures
        from nlcli.training.loop.contract import Settings
        from nlcli.training.loop.feature_source import RowFeatures
        from nlcli.training.loop.pools import stored_rows
        from nlcli.training.loop.train import train
        from nlcli.training.validation import validation_of

        table, store = self.planted.table, self.planted.store
        rows = stored_rows(table, store, table.rows("validation"))
        validate = validation_of(method, table, RowFeatures(store, table, rows, 1 << 30))
        evaluations = 0

        def evaluate(phase: Phase) -> Mapping[str, float]:
            nonlocal evaluations
            if evaluations == stop_after:
                raise KeyboardInterrupt
            evaluations += 1
            return validate(phase)

        settings = Settings(EVALUATE_EVERY, checkpoint_seconds=0, title=f"checking {method.name}")
        method.scale.fit([self.planted.features[: self.planted.table.rows("train")[-1] + 1]])
        model = MethodOnFeatures(method)
        return train(model, method.phases(), self.source(method, seed), evaluate, settings, folder)

    def batch(self, method: Method, phase: Phase, rows: int = 20) -> tuple[Tensor, Batch]:
        """Features and labels of the first batch of ``rows`` rows of ``phase``."""
        import tensorflow as tf

        source = self.source(method, batch_size=rows)
        block, clean = source.block(phase, 0, 1), source.clean_rows(phase)
        labels = (tf.cast(part[0], tf.float32) for part in (block.noisy, block.verified, block.mask))
        weights = np.ones(rows - clean, np.float32) if block.weights is None else block.weights[0]
        return tf.gather(block.table, block.rows[0]), Batch(clean, *labels, weights=tf.constant(weights))


# --- the checks of a class -------------------------------------------------------------------


def check_statements(cls: type[Method]) -> None:
    """It states its name, citation, options, presets and scores; one that is registered has a card."""
    from nlcli.methods import METHODS

    METHODS.check_statements(cls)
    assert issubclass(cls.Config, MethodConfig), f"{cls.name}: Config is not a MethodConfig"
    assert cls.scores, f"{cls.name} names no score: state what it can score with, the classifier it is for first"
    assert set(cls.tasks) & set(TASKS) == set(cls.tasks) != set(), f"{cls.name}: tasks are of {', '.join(TASKS)}"
    for preset in cls.presets:
        cls.Config(**cls.preset_settings(preset, {}))
    if cls.needs_detection:
        assert "weights" in cls.Config.model_fields, f"{cls.name} needs a detection, but has no option 'weights'"


def check_other_tasks_are_refused(cls: type[Method]) -> None:
    """Data that it is not for are refused by a sentence that says so."""
    for task in set(TASKS) - set(cls.tasks):
        refusal = None
        try:
            cls(cls.Config(), Problem(3, ("a", "b"), task))
        except NlcliError as error:
            refusal = str(error)
        assert refusal, f"{cls.name} is for {' and '.join(cls.tasks)} data, but takes {task} data"
        assert task in refusal, f"{cls.name} refuses {task} data, but does not say so: {refusal}"


# --- the checks of a class on a task ---------------------------------------------------------


def check_phases(case: Case) -> None:
    """Phases train groups that exist, every weight is in one, and the settings of all methods reach them."""
    method = case.build(case.config(weight_decay=0.125, decay=0.5, decay_steps=7))
    phases, groups, name = method.phases(), method.groups(), case.cls.name
    assert phases, f"{name} has no phase"
    names = [phase.name for phase in phases]
    assert len(set(names)) == len(names), f"two phases of {name} have the same name"
    trained = {group for phase in phases for group in phase.rates}
    assert trained == set(groups), f"phases of {name} train {sorted(trained)}; its variables are in {sorted(groups)}"
    in_groups = [variable.path for group in groups.values() for variable in group]
    assert len(set(in_groups)) == len(in_groups), f"a variable of {name} is in two groups, or two have one name"
    lost = set(method.weights()) - {*in_groups, *method.constants}
    assert not lost, f"{sorted(lost)} of {name} are in no group; a value that no step trains is a constant"
    assert set(in_groups) <= set(method.weights()), f"some variables of {name} are not among its weights"
    steps = sum(phase.steps for phase in phases)
    assert steps >= method.config.steps, f"{name} takes {steps} steps where {method.config.steps} are asked for"
    decay = 0.125 / (method.problem.num_classes if method.averages_classes else 1)
    for phase in phases:
        assert phase.weight_decay == decay, f"phase '{phase.name}' of {name} ignores weight_decay; use make_phase"
        stairs = {(rate.factor, rate.every, rate.unit) for rate in phase.rates.values()} - {CONSTANT}
        assert stairs <= {(0.5, 7, "steps")}, f"rates of phase '{phase.name}' of {name} ignore decay_steps"
    decays = any(rate.every for phase in phases for rate in phase.rates.values())
    assert decays, f"no rate of {name} decays as decay and decay_steps say; use make_phase"


def check_losses_are_finite(case: Case) -> None:
    """Losses and gradients are finite on features of any size, and where nothing of V is verified."""
    import tensorflow as tf

    method = case.build()
    for phase in method.phases():
        features, batch = case.batch(method, phase)
        for scale in (1.0, 1e4):
            for labels in (batch, replace(batch, mask=tf.zeros_like(batch.mask))):
                losses, gradients = _gradients(method, phase, scale * features, labels)
                where = f"{case.cls.name}, phase '{phase.name}', features times {scale:g}"
                assert "loss" in losses, f"{where}: losses() gives no 'loss'"
                bad = [name for name, value in losses.items() if not np.isfinite(value)]
                assert not bad, f"{where}: {', '.join(bad)} is not finite"
                given = [gradient for gradient in gradients if gradient is not None]
                assert given, f"{where}: the loss has no gradient"
                assert all(np.isfinite(gradient).all() for gradient in given), f"{where}: a gradient is not finite"


def check_unverified_entries_have_no_influence(case: Case) -> None:
    """What stands in ``batch.verified`` outside the mask changes neither losses nor gradients."""
    import tensorflow as tf

    method = case.build()
    for phase in method.phases():
        features, batch = case.batch(method, phase)
        if not batch.clean:
            continue
        mask = tf.constant(stream(0, "mask").random(batch.mask.shape) < 0.5, tf.float32)
        results = []
        for verified in (batch.verified, batch.verified * mask + (1 - batch.verified) * (1 - mask)):
            results.append(_gradients(method, phase, features, replace(batch, verified=verified, mask=mask)))
        (losses, gradients), (other_losses, other_gradients) = results
        where = f"{case.cls.name}, phase '{phase.name}': unverified entries change"
        for name, value in losses.items():
            assert np.isclose(value, other_losses[name], rtol=1e-6, atol=0), f"{where} {name}"
        for one, other in zip(gradients, other_gradients, strict=True):
            same = one is other if one is None or other is None else np.allclose(one, other, rtol=1e-5, atol=1e-8)
            assert same, f"{where} a gradient"


def _gradients(
    method: Method, phase: Phase, features: Tensor, batch: Batch
) -> tuple[dict[str, float], list[np.ndarray | None]]:
    """The losses, and the gradient of ``loss`` for every variable that ``phase`` trains."""
    import tensorflow as tf

    variables = [variable.value for group in phase.rates for variable in method.groups()[group]]
    with tf.GradientTape() as tape:
        losses = method.losses(phase.name, features, batch)
    gradients = tape.gradient(losses["loss"], variables)
    return (
        {name: float(value) for name, value in losses.items()},
        [None if gradient is None else gradient.numpy() for gradient in gradients],
    )


def check_scores(case: Case) -> None:
    """Every score that is stated is (rows, classes) float32 in [0, 1]; those offered are among them."""
    method, features = case.build(), case.planted.features[:50]
    offered, stated, name = method.offered(), method.scores, case.cls.name
    assert offered, f"{name} offers no score"
    assert set(offered) <= set(stated), f"{name} offers {offered}, of its scores {stated}"
    for score in stated:
        scores = np.asarray(method.score(features, score))
        shape = (len(features), method.problem.num_classes)
        assert scores.shape == shape, f"score '{score}' of {name} has shape {scores.shape}, not {shape}"
        assert scores.dtype == np.float32, f"score '{score}' of {name} is {scores.dtype}, not float32"
        assert ((scores >= 0) & (scores <= 1)).all(), f"score '{score}' of {name} is not within 0 and 1"


def check_cleaned_labels(case: Case) -> None:
    """Cleaned labels, of a method that gives some, are (rows, classes) float32 in [0, 1]."""
    method, features, name = case.build(), case.planted.features[:50], case.cls.name
    if not method.cleans:
        return
    noisy = case.planted.table.noisy_targets(np.arange(len(features))).astype(np.float32)
    cleaned = np.asarray(method.cleaned(noisy, features))
    assert cleaned.shape == noisy.shape, f"cleaned labels of {name} have shape {cleaned.shape}, not {noisy.shape}"
    assert cleaned.dtype == np.float32, f"cleaned labels of {name} are {cleaned.dtype}, not float32"
    assert ((cleaned >= 0) & (cleaned <= 1)).all(), f"cleaned labels of {name} are not within 0 and 1"


def check_learns(case: Case) -> None:
    """It learns the planted problem: every phase lowers its loss, and validation reaches what ``LEARNT`` says.

    What it has learnt then survives being saved and loaded, to the bit.
    """
    method, name = case.build(), case.cls.name
    with tempfile.TemporaryDirectory() as folder:
        outcome = case.train(method, Path(folder))
    for phase in method.phases():
        lines = [line.train["loss"] for line in outcome.history if line.train and line.phase == phase.name]
        assert len(lines) < 2 or lines[-1] < lines[0], f"{name}: the loss of phase '{phase.name}' does not fall"
    metric, least = LEARNT[case.task]
    before, after = outcome.history[0].validation[metric], outcome.metrics()[metric]
    assert after > least, f"{name} reaches {metric} {after:.3f} on the planted problem, where {least} is asked for"
    assert case.cls.needs_last_layer or after > before + 0.2, f"{name} has {metric} {before:.3f} before training"
    check_saved_weights_give_the_same_scores(method)


def check_saved_weights_give_the_same_scores(method: Method) -> None:
    """Built anew with its saved weights it scores the same bits; on arrays, as a run is loaded, the same to 1e-5.

    Probabilities are no more exact than the logits that they are of, and a float32 near 20 has a last digit of 2e-6.
    """
    from nlcli.training.saved_head import with_weights

    saved = {name: variable.numpy() for name, variable in method.weights().items()}
    problem = replace(method.problem, pairs=None)
    loaded, on_arrays, on_tensors = (
        with_weights(type(method), method.config, problem, saved, arrays=arrays)
        for arrays in (method.arrays, True, False)
    )
    rng = stream(0, "features")
    features = rng.normal(size=(50, method.problem.num_features)).astype(np.float32)
    for score in method.scores:
        before, after = (_forward(built, "score", features, score) for built in (method, loaded))
        assert np.array_equal(before, after), (
            f"score '{score}' of {method.name} differs after loading: what it needs must be among its weights, "
            "as a layer or a constant"
        )
    noisy = np.eye(method.problem.num_classes, dtype=np.float32)[rng.integers(method.problem.num_classes, size=50)]
    asked: list[tuple[str, tuple[Any, ...]]] = [("score", (features, score)) for score in method.scores]
    if method.cleans:
        asked.append(("cleaned", (noisy, features)))
    if hasattr(method, "noise_type_probabilities"):
        asked.append(("noise_type_probabilities", (features,)))
    for what, given in asked:
        arrays, tensors = (_forward(built, what, *given) for built in (on_arrays, on_tensors))
        most = float(np.abs(arrays - tensors).max())
        assert most <= 1e-5, f"{what} of {method.name} differs by {most:.1e} on arrays; write it in ops, not in Keras"


def _forward(method: Method, what: str, *given: Any) -> np.ndarray:
    """What a method of ``method`` gives for arrays, scaled and as tensors where its layers are Keras's."""
    if not method.arrays:
        import tensorflow as tf

        given = tuple(tf.constant(part) if isinstance(part, np.ndarray) else part for part in given)
    *labels, features = (part for part in given if not isinstance(part, str))
    names = [part for part in given if isinstance(part, str)]
    return np.asarray(getattr(method, what)(*labels, method.scale(features), *names), np.float32)


def check_same_seed_same_bits(case: Case) -> None:
    """One seed gives the same weights, though training was broken off meanwhile; another gives other batches."""
    short = {option: 20 for option in case.config().model_dump() if option.endswith("steps")} | {"decay_steps": 0}
    config = case.config(**{option: min(most, getattr(case.config(), option)) for option, most in short.items()})
    weights = []
    for seed, stop_after in ((0, None), (0, 1), (1, None)):
        method = case.build(config)
        with tempfile.TemporaryDirectory() as folder:
            try:
                case.train(method, Path(folder), seed=seed, stop_after=stop_after)
            except KeyboardInterrupt:
                method = case.build(config)
                case.train(method, Path(folder), seed=seed)
        weights.append(np.concatenate([variable.numpy().ravel() for variable in method.weights().values()]))
    name = case.cls.name
    assert np.array_equal(weights[0], weights[1]), f"{name} broken off and taken up again ends with other weights"
    assert not np.array_equal(weights[0], weights[2]), f"{name} ends with the same weights whatever the batches"


def check_solves(case: Case) -> None:
    """It solves the planted problem, chosen on validation and without any, to the same bits whatever the seed.

    Where images count differently it asks what they count, as training has it.
    What it has learnt then survives being saved and loaded, to the bit.
    """
    name, (metric, least) = case.cls.name, LEARNT[case.task]
    counts = np.ones(len(case.planted.table))  # as much as without; whether they are asked for is told all the same
    weights = []
    for seed, verified in ((0, True), (1, True), (0, False)):
        method = case.build(case.solved_config(), seed=0 if case.cls.needs_last_layer else seed, arrays=True)
        with tempfile.TemporaryDirectory() as folder:
            outcome = case.solve(method, Path(folder), verified=verified, counts=None if verified else counts)
        assert outcome.solved.converged, f"{name} is solved, but not to convergence"
        assert outcome.history, f"{name} tells no point that was compared"
        if verified:
            after = outcome.metrics()[metric]
            assert after > least, f"{name}, solved, reaches {metric} {after:.3f}, where {least} is asked for"
        weights.append(np.concatenate([variable.numpy().ravel() for variable in method.weights().values()]))
        check_saved_weights_give_the_same_scores(method)
    assert np.array_equal(weights[0], weights[1]), f"{name}, solved, hangs on the seed"


def check_keras_alone_loads_it(case: Case) -> None:
    """Its head can be written with Keras's own layers, scale of features and all, and scores the same (to 1e-5)."""
    import keras

    from nlcli.training.keras_head import keras_head
    from nlcli.training.validation import Scorer

    features, name = case.planted.features, case.cls.name
    config = case.config() if case.cls.stepped else case.solved_config()
    for scale in ("root", "standard"):
        method = case.build(config.model_copy(update={"feature_scale": scale}))
        method.scale.fit([features])
        for variable in method.weights().values():  # biases that are no zeros, nets that say something
            if variable.trainable:
                variable.assign(variable + stream(1, variable.path).normal(scale=0.1, size=variable.shape))
        scorer = Scorer(method)
        for score in method.scores:
            with tempfile.TemporaryDirectory() as folder:
                keras_head(method, score).save(Path(folder) / "head.keras")
                head = keras.models.load_model(Path(folder) / "head.keras", safe_mode=True)
            difference = np.abs(np.asarray(head(features[:50])) - scorer(features[:50], score)).max()
            assert difference < 1e-5, f"score '{score}' of {name} differs by {difference:.2g} where Keras loads it"


SOLVED_CHECKS: tuple[Callable[[Case], None], ...] = (check_solves, check_keras_alone_loads_it)
CHECKS: tuple[Callable[[Case], None], ...] = (
    check_phases,
    check_losses_are_finite,
    check_unverified_entries_have_no_influence,
    check_scores,
    check_cleaned_labels,
    check_learns,
    check_same_seed_same_bits,
    check_keras_alone_loads_it,
)
