"""The one training loop: blocks of steps, validation, the best weights, checkpoints.

Heads on cached features and whole networks on images are trained by the same ``train``; they differ
in the ``Trainable`` (what is stepped) and the ``Source`` (where a block's rows come from). A block
is many steps in one call of one compiled function: rows are drawn and labels made dense on the host
a block ahead, and inputs are gathered inside the graph, so that Python is left alone while it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import Bar, progress, say
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Phase, Schedule
from nlcli.training.loop import checkpoints, pace
from nlcli.training.loop.checkpoints import BestEvaluation, Checkpoint, Position
from nlcli.training.loop.contract import Block, Outcome, Settings, Source, Trainable
from nlcli.training.loop.fading import fading_note
from nlcli.training.loop.history import Evaluation, append_to_history, write_history

if TYPE_CHECKING:
    from nlcli.training.loop.array_steps import ArraySteps, ArrayTrainable
    from nlcli.training.loop.steps import StepFunction

HIGHER_IS_BETTER = ("AP_all", "mAP", "top_1", "top_5")


def train(
    model: Trainable | ArrayTrainable,
    phases: Sequence[Phase],
    source: Source,
    evaluate: Callable[[Phase], Mapping[str, float]] | None,
    settings: Settings,
    work: Path,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> Outcome:
    """Train ``model`` through ``phases``, or take up a training that was interrupted in ``work``.

    ``evaluate`` gives metrics of the current weights on the validation split; it runs before the
    first step, every ``eval_every`` steps and at the end of a phase. Each phase ends with its best
    weights by ``phase.monitor``, with which the next one begins; without ``evaluate`` with its last.

    Writes ``metrics.jsonl`` and ``checkpoint.npz`` into ``work``. A process killed at any moment and
    started again ends with the same weights, bit for bit on the same machine; not on a GPU with ``xla``.

    Raises:
        NlcliError: the loss is not finite, or the checkpoint cannot be read.
    """
    run = _Run(model, phases, source, evaluate, settings, work, on_evaluation)
    if getattr(model, "arrays", False):  # without TensorFlow
        return run.run()
    from nlcli.training.loop.gpu_arithmetic import gpu_arithmetic

    with gpu_arithmetic(repeatable=not settings.xla, tensor_float_32=settings.tensor_float_32):
        return run.run()


class _Run:
    def __init__(
        self,
        model: Trainable | ArrayTrainable,
        phases: Sequence[Phase],
        source: Source,
        evaluate: Callable[[Phase], Mapping[str, float]] | None,
        settings: Settings,
        work: Path,
        on_evaluation: Callable[[Evaluation], None] | None,
    ) -> None:
        self.model, self.phases, self.source = model, phases, source
        self.evaluate, self.settings, self.work = evaluate, settings, work
        self.on_evaluation = on_evaluation
        self.weights = dict(model.weights())
        self.at = Position()
        self.best_weights: dict[str, np.ndarray] = {}
        self.state: list[Any] = []  # moments, loss scale and averages of the phase that runs
        self.averaged: list[tuple[Any, Any]] = []  # its variables and their averages
        self.since: list[np.ndarray] = []  # losses since the last evaluation, one row a step
        self.saved, self.saving = time.monotonic(), 0.0
        self.rate: float | None = None  # steps a second of the newest block
        self.busy, self.stepped = 0.0, 0

    def run(self) -> Outcome:
        moments = self._load()
        write_history(self.work, self.at.history)
        total = sum(phase.steps for phase in self.phases)
        before = sum(phase.steps for phase in self.phases[: self.at.phase]) + self.at.step
        with progress(total, self.settings.title, unit="steps", done=before) as bar:
            while not self.at.done:
                self._phase(self.phases[self.at.phase], bar, moments)
                moments = None
        best, last = self.at.best, self.phases[-1]
        return Outcome(
            history=self.at.history,
            phase=best.phase if best else last.name,
            step=best.step if best else last.steps,
            selected_by=best.by if best else None,
            value=best.value if best else None,
            steps=self.at.taken,
            stopped=self.at.stopped,
            steps_per_second=self.stepped / self.busy if self.busy else 0.0,
        )

    # --- one phase ---

    def _phase(self, phase: Phase, bar: Bar, moments: Sequence[np.ndarray] | None) -> None:
        groups = [name for name in self.model.groups() if name in phase.rates]
        steps = self._stepper(phase, groups)
        optimizer = steps.optimizer
        self.state = [*optimizer.state, *steps.scaling, *steps.averages]
        self.averaged = list(zip(optimizer.variables, steps.averages, strict=True)) if steps.averages else []
        if moments is not None:
            self._take_up(dict(enumerate(self.state)), dict(enumerate(moments)))
        schedules = [phase.rates[name] for name in groups]
        epoch_steps = self.source.epoch_steps(phase)
        if self.at.step == 0:
            fading = fading_note(phase, epoch_steps)
            if fading is not None:
                say(f"note: {fading}")
            self.model.begin(phase.name, self.source.inputs)
            self._evaluation(phase, {}, bar)
        with closing(self._blocks(phase)) as blocks:
            self._steps(phase, steps, blocks, schedules, epoch_steps, bar)
        self._end_phase(phase)

    def _stepper(self, phase: Phase, groups: Sequence[str]) -> StepFunction | ArraySteps:
        """What takes the steps of ``phase``; TensorFlow is imported for it unless the model is one of arrays."""
        held = self.model.groups()
        variables = [v for name in groups for v in held[name]]
        of_group = [g for g, name in enumerate(groups) for _ in held[name]]
        clean = self.source.clean_rows(phase)
        model: Any = self.model
        if getattr(model, "arrays", False):
            from nlcli.training.loop.array_steps import ARRAY_OPTIMIZERS, ArraySteps

            return ArraySteps(model, phase, ARRAY_OPTIMIZERS[phase.optimizer](variables, of_group), clean)
        from nlcli.training.loop.optimizers import OPTIMIZERS
        from nlcli.training.loop.steps import StepFunction

        with self.settings.strategy.scope() if self.settings.strategy else nullcontext():
            optimizer = OPTIMIZERS[phase.optimizer](variables, of_group)
            return StepFunction(model, phase, optimizer, clean, self.settings)

    def _steps(
        self,
        phase: Phase,
        steps: StepFunction | ArraySteps,
        blocks: Iterator[tuple[int, Block]],
        schedules: Sequence[Schedule],
        epoch_steps: float,
        bar: Bar,
    ) -> None:
        for first, block in blocks:
            started = time.monotonic()
            count = len(block.rows)
            rates = np.stack([s.at(np.arange(first, first + count), epoch_steps) for s in schedules], axis=1)
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
            return max(1, int(self.rate * pace.BLOCK_SECONDS)) if self.rate is not None else pace.FIRST_BLOCK

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
        with self._averages():
            return self._evaluated(phase, losses, bar)

    @contextmanager
    def _averages(self) -> Iterator[None]:
        """The averages in place of the weights, once there has been a step."""
        averaged = self.averaged if self.at.step else []
        last = [_copy(variable) for variable, _ in averaged]
        for variable, average in averaged:
            variable.assign(average.value)
        yield
        for (variable, _), value in zip(averaged, last, strict=True):
            variable.assign(value)

    def _evaluated(self, phase: Phase, losses: Mapping[str, float], bar: Bar) -> bool:
        metrics = dict(self.evaluate(phase)) if self.evaluate is not None else {}
        evaluation = Evaluation(phase=phase.name, step=self.at.step, train=dict(losses), validation=metrics)
        self.at.history.append(evaluation)
        append_to_history(self.work, evaluation)
        if self.on_evaluation is not None:
            self.on_evaluation(evaluation)
        if not metrics:
            return False
        monitor = phase.monitor
        if monitor == "auto":
            monitor = "top_1" if "top_1" in metrics else "AP_all"
        value = metrics[monitor]
        bar.note(f"{monitor} {value:.4f}")
        sign = 1.0 if monitor in HIGHER_IS_BETTER else -1.0
        if self.at.best is None or sign * value > sign * self.at.best.value:
            self.at.best = BestEvaluation(phase=phase.name, step=self.at.step, value=value, by=monitor)
            self.best_weights = {name: _copy(v) for name, v in self.weights.items()}
            self.at.stale = 0
        elif self.at.step:
            self.at.stale += 1
        patience = self.settings.patience if phase.patience is None else phase.patience
        return bool(patience) and self.at.stale >= patience and self.at.step < phase.steps

    def _end_phase(self, phase: Phase) -> None:
        for variable, average in self.averaged:
            variable.assign(average.value)
        for name, value in self.best_weights.items():
            self.weights[name].assign(value)
        self.at.done = self.at.phase + 1 == len(self.phases)
        if not self.at.done:
            self.at.phase, self.at.step, self.at.best, self.at.stale = self.at.phase + 1, 0, None, 0
            self.at.stopped = "steps"
            self.best_weights = {}
        self.state, self.averaged, self.since = [], [], []
        self._save(force=True)

    # --- checkpoints ---

    def _save(self, force: bool) -> None:
        least = self.settings.checkpoint_seconds
        if least is None:
            least = pace.CHECKPOINT_SECONDS
        started = time.monotonic()
        if not force and started - self.saved < (least and max(least, self.saving / pace.CHECKPOINT_SHARE)):
            return
        checkpoints.write_checkpoint(
            self.work,
            Checkpoint(
                self.at,
                {name: _copy(variable) for name, variable in self.weights.items()},
                self.best_weights,
                [_copy(variable) for variable in self.state],
                np.concatenate(self.since) if self.since else None,
            ),
        )
        self.saved = time.monotonic()
        self.saving = self.saved - started

    def _load(self) -> Sequence[np.ndarray] | None:
        """Take up the checkpoint, if there is one; moments of its optimizer in order."""
        checkpoint = checkpoints.read_checkpoint(self.work, list(self.weights))
        if checkpoint is None:
            return None
        self._take_up(self.weights, checkpoint.weights)
        self.at = checkpoint.position
        self.best_weights = dict(checkpoint.best_weights)
        self.since = [] if checkpoint.since is None else [checkpoint.since]
        return checkpoint.moments or None

    def _take_up(self, variables: Mapping[Any, Any], values: Mapping[Any, np.ndarray]) -> None:
        """Assign what a checkpoint holds, which may be that of another version."""
        try:
            for name, variable in variables.items():
                variable.assign(values[name])
        except (ValueError, TypeError, KeyError) as error:
            where = self.work / checkpoints.CHECKPOINT
            raise NlcliError(f"{where} cannot be read ({error}); pass --force to begin anew") from error


def _copy(variable: Any) -> np.ndarray:
    return np.array(variable.numpy())
