"""The trials of a search, in optuna's journal: a file of lines that a kill cannot spoil, and that is taken up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from nlcli.errors import NlcliError
from nlcli.seeds import stream
from nlcli.tuning.search_space import plain
from nlcli.tuning.tuning_record import Trial

JOURNAL = "journal.log"
_OPTIONS, _ERROR = "options", "error"


class _NoLock:
    """The stage's own lock holds; optuna's would outlive a killed process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class Journal:
    """A search that goes on where it was.

    What is proposed depends on the seed and on the trials before, so that a search that was killed ends as one that was
    not: a trial that had not ended is proposed again.

    Args:
        work: Directory of the journal.
        space: By option its ``optuna`` distribution.
        whole: Whether there are so few combinations that each is tried, and none twice.

    Raises:
        NlcliError: optuna is not installed, or the journal is not one of this search.
    """

    def __init__(self, work: Path, space: dict[str, Any], seed: int, *, whole: bool = False) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        where = work / JOURNAL
        _mend(where)
        self._optuna, self._space, self._seed = optuna, space, seed
        self._whole = _shuffled(space, seed) if whole else None
        try:
            storage = JournalStorage(JournalFileBackend(str(where), lock_obj=_NoLock()))  # type: ignore[arg-type]
            self._study = optuna.create_study(
                storage=storage, study_name="tune", direction="maximize", load_if_exists=True
            )
            for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        except Exception as error:  # a file that is no journal raises nearly anything
            raise NlcliError(f"{where} cannot be read; pass --force to begin anew") from error

    @property
    def trials(self) -> list[Trial]:
        """Those that ended, in order."""
        states = self._optuna.trial.TrialState
        ended = self._study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
        return [
            Trial(
                options=t.user_attrs[_OPTIONS],
                value=t.value if t.state == states.COMPLETE else None,
                error=t.user_attrs.get(_ERROR),
            )
            for t in ended
        ]

    def run(self, measure: Callable[[int, dict[str, Any]], float]) -> Trial:
        """One more trial; ``measure`` gives the metric of options by the trial's place, or raises ``NlcliError``."""
        before = self.trials
        asked = None
        if self._whole is not None:
            params = self._whole[len(before)]
        else:
            seed = int(stream(self._seed, "tune", len(before)).integers(2**31))
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
            asked = self._study.ask(self._space)
            params = asked.params
        trial = _tried(plain(params), before, measure)
        states = self._optuna.trial.TrialState
        told: dict[str, Any] = {_OPTIONS: trial.options}
        told |= {} if trial.error is None else {_ERROR: trial.error}
        state = states.PRUNED if trial.value is None else states.COMPLETE
        if asked is None:
            ended = self._optuna.trial.create_trial(
                state=state, value=trial.value, params=params, distributions=self._space, user_attrs=told
            )
            self._study.add_trial(ended)
        else:
            for name, value in told.items():
                asked.set_user_attr(name, value)
            self._study.tell(asked, trial.value, state=state)
        return trial


def _tried(options: dict[str, Any], before: list[Trial], measure: Callable[[int, dict[str, Any]], float]) -> Trial:
    """What comes of ``options``; what was tried before is not tried again."""
    known = next((trial for trial in before if trial.options == options), None)
    if known is not None:
        return known
    try:
        return Trial(options=options, value=measure(len(before), options))
    except NlcliError as error:
        return Trial(options=options, value=None, error=str(error))


def _shuffled(space: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """All combinations of choices."""
    every = [dict(zip(space, values, strict=True)) for values in product(*(of.choices for of in space.values()))]
    order = stream(seed, "tune").permutation(len(every))
    return [every[i] for i in order.tolist()]


def require_optuna() -> None:
    """Refuse, before anything is done, where it is not installed.

    Raises:
        NlcliError: it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise NlcliError("tune needs the package optuna; install it with: pip install 'nlcli[tune]'") from error


def _mend(journal: Path) -> None:
    """Cut off a line that a kill left unfinished: what is appended would stand on it."""
    if not journal.is_file():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with open(journal, "r+b") as file:
            file.truncate(whole)
