"""The program of a process that decodes pictures for another one; see ``decoders.py``.

It reads requests from its standard input, until that ends, and answers on its standard output. A request is the length
of what follows in eight bytes, and a pickled ``Request``. For each picture it answers with a byte and what belongs to
it: ``PIXELS``, its height and width in four bytes each and its pixels; ``REFUSED``, the length of the reason in four
bytes and the reason; or ``LARGE``: one that is to be asked for alone. Before the first request it says ``READY``.

Over a picture that takes more than it may the process dies, or tells that there is no memory.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nlcli.networks.preprocessing import Preprocessing

READY, PIXELS, REFUSED, LARGE = b"\0", b"\1", b"\2", b"\3"
LENGTH, SHAPE, REASON = struct.Struct("<Q"), struct.Struct("<II"), struct.Struct("<I")


@dataclass(frozen=True)
class Request:
    """Pictures to decode.

    Attributes:
        sources: Paths, or what is in the files.
        pre: How they become pixels; None: upright, in their own size.
        seconds: Of the processor that one may take.
        memory: Bytes that one may take.
        large: Whether large ones are decoded, too.
    """

    sources: list[str | bytes]
    pre: Preprocessing | None
    seconds: int
    memory: int
    large: bool


def main() -> None:
    """Answer requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; whoever asks ends this one
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)  # what a library prints is no answer
    from nlcli.networks.pixels import ImageError, LargeImage, decode, read_image_file
    from nlcli.stages.own_limits import allow_memory, allow_seconds, leave_no_core

    leave_no_core()
    _answer(answers, READY)
    while len(length := requests.read(LENGTH.size)) == LENGTH.size:
        request = pickle.loads(requests.read(*LENGTH.unpack(length)))  # of the process that started this one
        allow_memory(request.memory)
        for source in request.sources:
            allow_seconds(request.seconds)
            try:
                content = source if isinstance(source, bytes) else read_image_file(Path(source))
                pixels = decode(content, request.pre, "", large=request.large)
            except LargeImage:
                _answer(answers, LARGE)
            except ImageError as error:
                reason = error.reason.encode("utf-8", "surrogateescape")
                _answer(answers, REFUSED, REASON.pack(len(reason)), reason)
            else:
                _answer(answers, PIXELS, SHAPE.pack(*pixels.shape[:2]), np.ascontiguousarray(pixels).data)


def _answer(answers: BinaryIO, *parts: bytes | memoryview) -> None:
    for part in parts:
        answers.write(part)
    answers.flush()


if __name__ == "__main__":
    main()
