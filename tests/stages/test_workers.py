"""Which steps have the whole machine is a matter of the plan alone."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from nlcli.stages import workers
from nlcli.stages.workers import Step, alone_steps, run_steps


def steps(**needs: str) -> list[Step]:
    """Steps by name, each with what it needs in letters; only the plan matters here."""
    nothing: Any = None
    return [Step(name, nothing, nothing, tuple(needed)) for name, needed in needs.items()]


def test_a_step_is_alone_where_every_other_is_before_or_after_it() -> None:
    assert alone_steps(steps(a="", b="a", c="a", d="bc", e="d")) == {"a", "d", "e"}
    assert alone_steps(steps(a="", b="a", c="a", d="bc", e="d", f="d")) == {"a", "d"}  # of two ends neither
    assert alone_steps(steps(a="", b="a", c="b")) == {"a", "b", "c"}
    assert alone_steps(steps(a="", b="", c="b")) == set()
    assert alone_steps(steps(b="a", d="bc", e="d")) == {"b", "d", "e"}  # a and c are done: they part nothing


def test_a_step_has_its_share_whatever_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """b takes longer than c and f: were its turn's last step run here, its share would hang on how long others took."""
    here: list[str] = []
    there: list[str] = []

    class Pool:
        def submit(self, function: Any, step: Step, force: bool) -> Future[float]:
            there.append(step.name)
            future: Future[float] = Future()
            future.set_result(0.0)
            return future

        def shutdown(self, **options: Any) -> None:
            return None

    def run(step: Step, force: bool) -> float:
        here.append(step.name)
        return 0.0

    monkeypatch.setattr(workers, "_pool", lambda jobs: Pool())
    monkeypatch.setattr(workers, "_run", run)
    done: list[str] = []
    run_steps(
        steps(a="", b="a", c="a", f="c", d="bcf", e="d"),
        2,
        False,
        started=lambda step: None,
        finished=lambda step, seconds: done.append(step.name),
    )
    assert here == ["a", "d", "e"]
    assert there == ["b", "c", "f"]  # f was ready alone, and b could still have run
    assert (done[0], *done[-2:]) == ("a", "d", "e")
