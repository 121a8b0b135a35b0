"""The one training loop: blocks of steps, validation, the best weights, checkpoints.

Heads on cached features and whole networks on images are trained by the same ``train``; they differ
in the ``Trainable`` (what is stepped) and the ``Source`` (where a block's rows come from). A block
is many steps in one call of one compiled function: rows are drawn and labels made dense on the host
a block ahead, and inputs are gathered inside the graph, so that Python is left alone while it runs.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from nlcli.errors import NlcliError
from nlcli.methods.base import Batch, Phase
from nlcli.optimizers import OPTIMIZERS, Optimizer, Schedule
from nlcli.progress import Bar, progress
from nlcli.stage import atomic_path

HIGHER_IS_BETTER = ("AP_all", "mAP", "top_1", "top_5")
CHECKPOINT = "checkpoint.npz"
METRICS = "metrics.jsonl"
_BLOCK_SECONDS = 2.0  # a block takes about this long, so that progress is seen and little is lost
_FIRST_BLOCK = 8  # steps, before the speed is known
_CHECKPOINT_SHARE = 0.05  # most of the time that writing checkpoints may take
_SCALE_STEPS = 2000  # steps without overflow until the loss scale is doubled


class Trainable(Protocol):
    """What is trained: a method on features, or a network with a method on top."""

    def groups(self) -> Mapping[str, Sequence[keras.Variable]]:
        """Trainable variables by learning-rate group."""

    def weights(self) -> Mapping[str, keras.Variable]:
        """Everything that steps change and a checkpoint must hold, statistics of layers included."""

    def begin(self, phase: str, inputs: Callable[[], Iterator[Any]]) -> None:
        """Called before the first step of a phase; what it changes must be among ``weights``.

        ``inputs`` gives those of T in parts, see ``Source.inputs``.
        """

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        """Scalars of one batch with the key ``loss``. Floating inputs come as float32."""


@dataclass(frozen=True)
class Block:
    """K steps' worth of data, B rows a step.

    Args:
        table: (n, ...) array or tensor that inputs are gathered from.
        rows: (K, B) int32 into ``table``, V rows first in each batch.
        noisy: (K, rows with noisy labels, C) uint8.
        verified, mask: (K, V rows, C) uint8.
        draws: (K, B, n) float32 in [0, 1), random numbers of each row for ``Settings.augment``.
        weights: (K, T rows) float32 factors on the losses of the rows of T; ones when None.
    """

    table: Any
    rows: np.ndarray
    noisy: np.ndarray
    verified: np.ndarray
    mask: np.ndarray
    draws: np.ndarray | None = None
    weights: np.ndarray | None = None


class Source(Protocol):
    """Where blocks come from. ``block`` is called from another thread than the one that trains."""

    def clean_rows(self, phase: Phase) -> int:
        """V rows in a batch."""

    def inputs(self) -> Iterator[Any]:
        """Inputs of the images with noisy labels, in parts and in an order that is always the same."""

    def steps_in_block(self, phase: Phase) -> int:
        """The most steps that a block should have."""

    def epoch_steps(self, phase: Phase) -> float:
        """Steps in an epoch, for learning-rate schedules."""

    def block(self, phase: Phase, first: int, count: int) -> Block:
        """The block of steps ``first`` to ``first + count - 1`` of the phase."""


@dataclass(frozen=True)
class Settings:
    """How the loop runs.

    Args:
        eval_every: steps between validations.
        patience: validations without a better one before a phase ends; 0 means never.
        checkpoint_seconds: least time between two checkpoints. Resuming gives the same result from
            any of them.
        xla: compile the step with XLA.
        strategy: several devices: each takes an equal share of every batch, gradients are averaged.
            Variables must have been made in its scope.
        loss_scale: first factor on the loss before and off the gradients after the backward pass,
            for float16. A step whose gradients overflow is left out and halves the factor; it
            doubles after 2,000 steps without (Micikevicius et al. 2018, section 3.2).
        augment: (gathered rows of a batch, their ``draws``) to what the model gets; a part of the
            graph, computed on the host.
        title: shown beside the progress bar.
    """

    eval_every: int
    patience: int = 0
    checkpoint_seconds: float = 10.0
    xla: bool = False
    strategy: tf.distribute.Strategy | None = None
    loss_scale: float | None = None
    augment: Callable[[Any, Any], Any] | None = None
    title: str = "training"


@dataclass
class Outcome:
    """What came of a training; the model holds the chosen weights.

    Args:
        history: one entry an evaluation.
        phase, step: of the chosen weights.
        selected_by: the figure that chose them, or None where nothing could be validated and the
            last weights were kept.
        value: of that figure.
        steps: taken in all phases.
        stopped: ``patience`` or ``steps``.
        steps_per_second: of the steps this process took, validations left out.
    """

    history: list[dict[str, Any]]
    phase: str
    step: int
    selected_by: str | None
    value: float | None
    steps: int
    stopped: str
    steps_per_second: float

    def figures(self) -> dict[str, float]:
        """Validation figures of the chosen weights; empty where nothing was validated."""
        return next(
            (dict(line["validation"]) for line in self.history
             if line["phase"] == self.phase and line["step"] == self.step), {},
        )


@dataclass
class _Position:
    """Where training stands; with weights and moments it is all that a checkpoint holds."""

    phase: int = 0
    step: int = 0
    taken: int = 0  # steps of all phases so far
    stopped: str = "steps"
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None  # phase, step, value of the best evaluation of this phase, and by what
    stale: int = 0  # evaluations since it
    done: bool = False


def train(
    model: Trainable,
    phases: Sequence[Phase],
    source: Source,
    evaluate: Callable[[Phase], Mapping[str, float]] | None,
    settings: Settings,
    work: Path,
    on_evaluation: Callable[[Mapping[str, Any]], None] | None = None,
) -> Outcome:
    """Train ``model`` through ``phases``, or take up a training that was interrupted in ``work``.

    ``evaluate`` gives figures of the current weights on the validation split; it runs before the
    first step, every ``eval_every`` steps and at the end of a phase. Each phase ends with its best
    weights by ``phase.monitor``, with which the next one begins; without ``evaluate`` with its last.

    Writes ``metrics.jsonl`` and ``checkpoint.npz`` into ``work``. A process killed at any moment and
    started again ends with the same weights, bit for bit on the same machine.

    Raises:
        NlcliError: the loss is not finite, or the checkpoint cannot be read.
    """
    run = _Run(model, phases, source, evaluate, settings, work, on_evaluation)
    return run.run()


class _Run:
    def __init__(
        self,
        model: Trainable,
        phases: Sequence[Phase],
        source: Source,
        evaluate: Callable[[Phase], Mapping[str, float]] | None,
        settings: Settings,
        work: Path,
        on_evaluation: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self.model, self.phases, self.source = model, phases, source
        self.evaluate, self.settings, self.work = evaluate, settings, work
        self.on_evaluation = on_evaluation
        self.weights = dict(model.weights())
        self.at = _Position()
        self.best_weights: dict[str, np.ndarray] = {}
        self.state: list[keras.Variable] = []  # moments and loss scale of the phase that runs
        self.since: list[np.ndarray] = []  # losses since the last evaluation, one row a step
        self.saved, self.saving = time.monotonic(), 0.0
        self.rate: float | None = None  # steps a second of the newest block
        self.busy, self.stepped = 0.0, 0

    def run(self) -> Outcome:
        moments = self._load()
        _write_lines(self.work / METRICS, self.at.history)
        total = sum(phase.steps for phase in self.phases)
        before = sum(phase.steps for phase in self.phases[: self.at.phase]) + self.at.step
        with progress(total, self.settings.title, unit="steps", done=before) as bar:
            while not self.at.done:
                self._phase(self.phases[self.at.phase], bar, moments)
                moments = None
        best = self.at.best or {}
        return Outcome(
            history=self.at.history,
            phase=best.get("phase", self.phases[-1].name),
            step=best.get("step", self.phases[-1].steps),
            selected_by=best.get("by"),
            value=best.get("value"),
            steps=self.at.taken,
            stopped=self.at.stopped,
            steps_per_second=self.stepped / self.busy if self.busy else 0.0,
        )

    # --- one phase ---

    def _phase(self, phase: Phase, bar: Bar, moments: list[np.ndarray] | None) -> None:
        groups = [name for name in self.model.groups() if name in phase.rates]
        variables = [(v, g) for g, name in enumerate(groups) for v in self.model.groups()[name]]
        with self.settings.strategy.scope() if self.settings.strategy else nullcontext():
            optimizer = OPTIMIZERS[phase.optimizer]([v for v, _ in variables], [g for _, g in variables])
            steps = StepFunction(self.model, phase, optimizer, self.source.clean_rows(phase), self.settings)
        self.state = [*optimizer.state, *steps.scaling]
        if moments is not None:
            for variable, value in zip(self.state, moments, strict=True):
                variable.assign(value)
        schedules = [phase.rates[name] for name in groups]
        epoch_steps = self.source.epoch_steps(phase)
        if self.at.step == 0:
            self.model.begin(phase.name, self.source.inputs)
            self._evaluation(phase, {}, bar)
        with closing(self._blocks(phase)) as blocks:
            self._steps(phase, steps, blocks, schedules, epoch_steps, bar)
        self._end_phase(phase)

    def _steps(
        self, phase: Phase, steps: StepFunction, blocks: Iterator[tuple[int, Block]],
        schedules: Sequence[Schedule], epoch_steps: float, bar: Bar,
    ) -> None:
        for first, block in blocks:
            started = time.monotonic()
            count = len(block.rows)
            rates = np.stack(
                [s.at(np.arange(first, first + count), epoch_steps) for s in schedules], axis=1
            )
            losses = steps(block, rates, first)
            seconds = time.monotonic() - started
            self.rate = count / max(seconds, 1e-9)
            self.busy += seconds
            self.stepped += count
            if not np.isfinite(losses).all():
                bad = first + int(np.argmin(np.isfinite(losses).all(axis=1)))
                raise NlcliError(
                    f"the loss stopped being a finite number between steps {bad} and {bad + 1} of phase "
                    f"'{phase.name}'; lower the learning rate"
                )
            self.since.append(losses)
            self.at.step += count
            self.at.taken += count
            bar.advance(count)
            if self.at.step % self.settings.eval_every == 0 or self.at.step == phase.steps:
                means = np.concatenate(self.since).mean(axis=0, dtype=np.float64)
                self.since = []
                if self._evaluation(phase, dict(zip(steps.names, means.tolist(), strict=True)), bar):
                    bar.advance(phase.steps - self.at.step)
                    self.at.stopped = "patience"
                    break
            self._save(force=False)

    def _blocks(self, phase: Phase) -> Generator[tuple[int, Block], None, None]:
        """Blocks from where training stands, each prepared while the one before it runs."""
        most = max(1, self.source.steps_in_block(phase))
        every = self.settings.eval_every

        def steps_now() -> int:
            return max(1, int(self.rate * _BLOCK_SECONDS)) if self.rate is not None else _FIRST_BLOCK

        def segments() -> Iterator[tuple[int, int]]:
            first = self.at.step
            while first < phase.steps:
                stop = min(first + min(most, steps_now()), (first // every + 1) * every, phase.steps)
                yield first, stop - first
                first = stop

        with ThreadPoolExecutor(1, thread_name_prefix="block") as thread:
            ahead = None
            for first, count in segments():
                coming = (first, thread.submit(self.source.block, phase, first, count))
                if ahead is not None:
                    yield ahead[0], ahead[1].result()
                ahead = coming
            if ahead is not None:
                yield ahead[0], ahead[1].result()

    def _evaluation(self, phase: Phase, losses: Mapping[str, float], bar: Bar) -> bool:
        """Evaluate, keep the best, write the line; True when the phase should end."""
        figures = dict(self.evaluate(phase)) if self.evaluate is not None else {}
        line = {"phase": phase.name, "step": self.at.step, "train": dict(losses), "validation": figures}
        self.at.history.append(line)
        with open(self.work / METRICS, "a", encoding="utf-8") as file:
            file.write(_json_line(line))
        if self.on_evaluation is not None:
            self.on_evaluation(line)
        if not figures:
            return False
        monitor = phase.monitor
        if monitor == "auto":
            monitor = "top_1" if "top_1" in figures else "AP_all"
        value = figures[monitor]
        bar.note(f"{monitor} {value:.4f}")
        sign = 1.0 if monitor in HIGHER_IS_BETTER else -1.0
        if self.at.best is None or sign * value > sign * self.at.best["value"]:
            self.at.best = {"phase": phase.name, "step": self.at.step, "value": value, "by": monitor}
            self.best_weights = {name: _copy(v) for name, v in self.weights.items()}
            self.at.stale = 0
        elif self.at.step:
            self.at.stale += 1
        patience = self.settings.patience if phase.patience is None else phase.patience
        return bool(patience) and self.at.stale >= patience and self.at.step < phase.steps

    def _end_phase(self, phase: Phase) -> None:
        for name, value in self.best_weights.items():
            self.weights[name].assign(value)
        self.at.done = self.at.phase + 1 == len(self.phases)
        if not self.at.done:
            self.at.phase, self.at.step, self.at.best, self.at.stale = self.at.phase + 1, 0, None, 0
            self.at.stopped = "steps"
            self.best_weights = {}
        self.state, self.since = [], []
        self._save(force=True)

    # --- checkpoints ---

    def _save(self, force: bool) -> None:
        least = self.settings.checkpoint_seconds
        started = time.monotonic()
        if not force and started - self.saved < (least and max(least, self.saving / _CHECKPOINT_SHARE)):
            return
        arrays: dict[str, Any] = {"position": np.asarray(json.dumps(vars(self.at)))}
        arrays |= {f"weights/{name}": _copy(v) for name, v in self.weights.items()}
        arrays |= {f"best/{name}": value for name, value in self.best_weights.items()}
        arrays |= {f"moments/{i}": _copy(v) for i, v in enumerate(self.state)}
        if self.since:
            arrays["since"] = np.concatenate(self.since)
        with atomic_path(self.work / CHECKPOINT) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
        self.saved = time.monotonic()
        self.saving = self.saved - started

    def _load(self) -> list[np.ndarray] | None:
        """Take up the checkpoint, if there is one; moments of its optimizer in order."""
        path = self.work / CHECKPOINT
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                self.at = _Position(**json.loads(str(arrays["position"])))
                for name, variable in self.weights.items():
                    variable.assign(arrays[f"weights/{name}"])
                self.best_weights = {
                    n.removeprefix("best/"): arrays[n] for n in arrays.files if n.startswith("best/")
                }
                self.since = [arrays["since"]] if "since" in arrays.files else []
                count = sum(n.startswith("moments/") for n in arrays.files)
                return [arrays[f"moments/{i}"] for i in range(count)] if count else None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise NlcliError(f"{path} cannot be read ({error}); pass --force to begin anew") from error


class StepFunction:
    """Many steps in one compiled call.

    Args:
        clean: V rows in a batch.

    Attributes:
        names: what ``losses`` returned, in its order; known after the first call.
        scaling: the loss scale and the steps since it was changed; empty without loss scaling.
    """

    def __init__(
        self, model: Trainable, phase: Phase, optimizer: Optimizer, clean: int, settings: Settings
    ) -> None:
        self.model, self.phase, self.optimizer, self.clean = model, phase, optimizer, clean
        self.strategy, self.augment = settings.strategy, settings.augment
        self.replicas = settings.strategy.num_replicas_in_sync if settings.strategy else 1
        if settings.xla and self.replicas > 1:
            raise NlcliError("XLA cannot compile a step that several devices share; leave it out, or use one device")
        self.names: list[str] = []
        self.scaling: list[keras.Variable] = []
        if settings.loss_scale is not None:
            self.scaling = [
                keras.Variable(np.float32(value), trainable=False, name=name)
                for name, value in (("loss_scale", settings.loss_scale), ("steps_since", 0.0))
            ]
        self._update = tf.function(self._step, jit_compile=True) if settings.xla else self._step
        self._block: Any = None

    def __call__(self, block: Block, rates: np.ndarray, first: int) -> np.ndarray:
        """Run the block, whose first step is number ``first``, at ``rates`` (K, groups).

        Returns:
            (K, number of losses) float32.
        """
        if self.replicas > 1 and (self.clean % self.replicas or block.rows.shape[1] % self.replicas):
            raise NlcliError(
                f"batches of {block.rows.shape[1]} rows, {self.clean} of them clean, cannot be shared equally "
                f"by {self.replicas} devices; choose a batch size that they divide"
            )
        count, size = block.rows.shape
        draws = np.empty((count, size, 0), np.float32) if block.draws is None else block.draws
        weights = np.ones((count, size - self.clean), np.float32) if block.weights is None else block.weights
        with self._place(block.table.dtype):
            gathered = [tf.convert_to_tensor(a) for a in (block.table, block.rows, draws)]
        labels = (block.noisy, block.verified, block.mask, weights, rates)
        tensors = [*gathered, *(tf.convert_to_tensor(a) for a in labels)]
        if self._block is None:  # one graph for blocks of any length and tables of any size
            specs = [tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in tensors]
            self._block = tf.function(self._many).get_concrete_function(*specs, tf.TensorSpec((), tf.int32))
        return self._block(*tensors, tf.constant(first, tf.int32)).numpy()

    def _place(self, dtype: Any) -> Any:
        """Where rows are gathered: on the host for bytes and for several devices, else where the step runs.

        Rows of a table that lay on one GPU would be copied to the others with all of the table, and
        bytes have no kernel there.
        """
        on_host = self.replicas > 1 or tf.as_dtype(dtype) == tf.uint8
        return tf.device("CPU:0") if on_host else nullcontext()

    def _many(self, table, rows, draws, noisy, verified, mask, weights, rates, first):
        count = tf.shape(rows)[0]
        losses = tf.TensorArray(tf.float32, count, element_shape=(None,))

        def body(k: Any, losses: Any) -> Any:
            with self._place(table.dtype):  # so that gathering does not wait for the step before
                gathered = (table, rows[k], draws[k])
            arguments = (*gathered, noisy[k], verified[k], mask[k], weights[k], rates[k], first + k)
            if self.strategy is None:
                values = self._one(*arguments)
            else:
                values = self.strategy.run(self._one, arguments)
                values = self.strategy.reduce(tf.distribute.ReduceOp.MEAN, values, axis=None)
            return k + 1, losses.write(k, values)

        _, losses = tf.while_loop(lambda k, _: k < count, body, (0, losses))
        return losses.stack()

    def _one(self, table, rows, draws, noisy, verified, mask, weights, rates, done):
        if self.replicas > 1:
            rows, draws, noisy, verified, mask, weights = self._share(rows, draws, noisy, verified, mask, weights)
        with self._place(table.dtype):
            inputs = tf.gather(table, rows)
            if self.augment is not None:
                inputs = self.augment(inputs, draws)
        return self._update(inputs, noisy, verified, mask, weights, rates, done)

    def _step(self, inputs, noisy, verified, mask, weights, rates, done):
        """One update: all that XLA compiles."""
        if inputs.dtype.is_floating:
            inputs = tf.cast(inputs, tf.float32)
        labels = (tf.cast(part, tf.float32) for part in (noisy, verified, mask))
        batch = Batch(self.clean // self.replicas, *labels, weights=weights)
        variables = [v.value for v in self.optimizer.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            parts = self.model.losses(self.phase.name, inputs, batch)
            if self.phase.weight_decay:
                squares = sum(tf.nn.l2_loss(v) for v in variables if v.shape.rank > 1)
                parts = parts | {"loss": parts["loss"] + self.phase.weight_decay * squares}
            target = parts["loss"] * self.scaling[0].value if self.scaling else parts["loss"]
        gradients = tape.gradient(target, variables)
        self.names = list(parts)
        if self.replicas > 1:
            replica = tf.distribute.get_replica_context()
            gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        if self.scaling:
            self._apply_scaled(gradients, rates, done)
        else:
            self.optimizer.apply(gradients, rates, done)
        return tf.stack([tf.cast(value, tf.float32) for value in parts.values()])

    def _apply_scaled(self, gradients, rates, done):
        scale, since = self.scaling
        gradients = [g if g is None else g / scale.value for g in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None])

        def apply():
            self.optimizer.apply(gradients, rates, done)
            return tf.constant(0)

        tf.cond(finite, apply, lambda: tf.constant(0))
        grown = since.value + 1.0 >= _SCALE_STEPS
        larger = tf.where(grown, scale.value * 2.0, scale.value)
        scale.assign(tf.where(finite, larger, tf.maximum(scale.value * 0.5, 1.0)))
        since.assign(tf.where(finite & ~grown, since.value + 1.0, 0.0))

    def _share(self, rows, draws, noisy, verified, mask, weights):
        """This replica's part of a batch: every n-th row of V and of T."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        every = slice(replica, None, self.replicas)
        if self.phase.noisy_labels == "all":
            noisy = tf.concat([noisy[: self.clean][every], noisy[self.clean :][every]], axis=0)
        else:
            noisy = noisy[every]
        rows, draws = (tf.concat([a[: self.clean][every], a[self.clean :][every]], axis=0) for a in (rows, draws))
        return rows, draws, noisy, verified[every], mask[every], weights[every]


def _copy(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def _json_line(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(_json_line(line) for line in lines), encoding="utf-8")
