"""Work on blocks by several threads whose results are taken in order, so that sums do not depend on the threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from nlcli.runtime import cpu_count

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], most_threads: int | None = None
) -> Iterator[Result]:
    """``function`` of each of ``items``, in their order, computed by as many threads as there are processors.

    No more items are taken ahead than there are threads: what they hold stays bounded. A single item is worked on
    here.
    """
    given = iter(items)
    first = next(given, None)
    if first is None:
        return
    second = next(given, None)
    threads = cpu_count() if most_threads is None else min(cpu_count(), most_threads)
    if second is None or threads == 1:
        yield function(first)
        if second is not None:
            yield from map(function, chain([second], given))
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in chain([first, second], given):
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
