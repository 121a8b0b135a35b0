"""The program of a process that decodes pictures for another one; see ``decoders.py``.

It reads requests from its standard input, until that ends, and answers on its standard output. A request is the length
of what follows in four bytes, and a pickle of ``(Preprocessing, list of paths)``. For each picture it answers with a
byte and what belongs to it: ``PIXELS`` and as many bytes as a picture has, ``REFUSED``, the length of the reason in
four bytes and the reason, or ``LARGE``: one that whoever asks should decode. Before the first request it says
``READY``.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

READY, PIXELS, REFUSED, LARGE = b"\0", b"\1", b"\2", b"\3"


def main() -> None:
    """Answer requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; whoever asks ends this one
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)  # what a library prints is no answer
    from nlcli.networks.images import ImageError, LargeImage, load_image

    _answer(answers, READY)
    while len(length := requests.read(4)) == 4:
        pre, paths = pickle.loads(requests.read(struct.unpack("<I", length)[0]))  # of the process that started this one
        for path in paths:
            try:
                pixels = load_image(Path(path), pre, large=False)
            except LargeImage:
                _answer(answers, LARGE)
            except ImageError as error:
                reason = error.reason.encode("utf-8", "surrogateescape")
                _answer(answers, REFUSED, struct.pack("<I", len(reason)), reason)
            else:
                _answer(answers, PIXELS, np.ascontiguousarray(pixels).data)


def _answer(answers: BinaryIO, *parts: bytes | memoryview) -> None:
    for part in parts:
        answers.write(part)
    answers.flush()


if __name__ == "__main__":
    main()
