"""Batches of images, decoded ahead of their use, in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.networks.decoders import POOL, REQUEST, decode_elsewhere, processes_pay
from nlcli.networks.images import Source, load_each
from nlcli.networks.preparation import Preparation
from nlcli.networks.preprocessing import Preprocessing
from nlcli.runtime import cpu_count


@dataclass(frozen=True)
class ImageBatch:
    """Some consecutive images.

    Attributes:
        rows: (b,) int64, positions of the good images in the list that was given.
        images: (b, S, S, 3) uint8 RGB, or as a ``Preparation`` has them.
        errors: position and reason of those that could not be used.
    """

    rows: np.ndarray
    images: np.ndarray
    errors: list[tuple[int, str]]


def iterate_images(
    sources: Sequence[Source], pre: Preprocessing | Preparation, batch_size: int, workers: int = 0, start: int = 0
) -> Iterator[ImageBatch]:
    """Batches of ``sources`` from position ``start`` on, decoded ahead by ``workers`` (0: one a core).

    These are threads, or processes where they are many and so are the images; the pixels are the same.

    The order is kept; each batch stands for ``batch_size`` consecutive sources (the last for the
    rest), of which the bad ones are in ``errors``. At least two batches are being decoded while
    the caller works on one, and never more than about two plus what keeps all of them busy.
    """
    workers = workers or cpu_count()
    elsewhere = processes_pay(sources, pre, workers, start)
    part = REQUEST if elsewhere else 1
    ahead = 2 + math.ceil(workers * (2 * part if elsewhere else 1) / batch_size)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[tuple[int, np.ndarray, list[Future[list[str | None]]]]] = deque()
    decode: Any = decode_elsewhere if elsewhere else load_each

    def submit(first: int) -> None:
        count = min(batch_size, len(sources) - first)
        buffer = np.empty((count, *pre.shape), pre.dtype)
        futures = [
            pool.submit(decode, [sources[first + i] for i in range(k, min(k + part, count))], pre, buffer[k : k + part])
            for k in range(0, count, part)
        ]
        pending.append((first, buffer, futures))

    try:
        upcoming = iter(range(start, len(sources), batch_size))
        for first in upcoming:
            submit(first)
            if len(pending) >= ahead:
                break
        while pending:
            first, buffer, futures = pending.popleft()
            reasons = [reason for future in futures for reason in future.result()]
            following = next(upcoming, None)
            if following is not None:
                submit(following)
            good = np.array([reason is None for reason in reasons])
            yield ImageBatch(
                rows=first + np.flatnonzero(good),
                images=buffer if good.all() else buffer[good],
                errors=[(first + i, reason) for i, reason in enumerate(reasons) if reason is not None],
            )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if POOL.waiting:
            POOL.rest()
