"""Results of blocks come in order, few at a time, and what is solved with them has the same bits on any threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from nlcli.estimation import in_order as module
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.in_order import in_order
from nlcli.estimation.neighbours import Neighbours
from nlcli.estimation.objective import Term
from nlcli.estimation.solver import solve


def threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(module, "cpu_count", lambda: count)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("items", [0, 1, 2, 20])
def test_results_come_in_order(monkeypatch: pytest.MonkeyPatch, count: int, items: int) -> None:
    threads(monkeypatch, count)

    def slow_at_first(item: int) -> int:
        time.sleep(0.002 * (items - item))
        return item * item

    assert list(in_order(slow_at_first, range(items))) == [item * item for item in range(items)]


def test_few_items_are_taken_ahead_and_a_single_one_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads(monkeypatch, 2)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(50):
            taken.append(item)
            yield item

    most = 0
    for result in in_order(lambda item: item, items()):
        most = max(most, taken[-1] - result)
    assert most <= 4
    (worked,) = in_order(lambda item: threading.current_thread(), [0])
    assert worked is threading.main_thread()


def test_what_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    threads(monkeypatch, 2)
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 // item, [2, 1, 0, 3]))


def test_a_solution_has_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((3000, 40)).astype(np.float32)
    labels = np.eye(5, dtype=np.float32)[rng.integers(0, 5, 3000)]
    design = ArrayBlocks(features)
    design._block = 256  # as features of many megabytes have them
    kernels, nearest = [], []
    for count in (1, 2, 5):
        threads(monkeypatch, count)
        kernels.append(solve(design, Term(labels), "single-label", 5, 1e-3).model.kernel)
        nearest.append(Neighbours(features).nearest(features[:700], 7)[1])
    for kernel, cosines in zip(kernels[1:], nearest[1:], strict=True):
        np.testing.assert_array_equal(kernel, kernels[0])
        np.testing.assert_array_equal(cosines, nearest[0])
