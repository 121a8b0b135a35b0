"""Processes that decode pictures, because threads of one Python do not go beyond some four processors.

Decoding itself lets other threads run, but what is around it does not: 16 threads decoded as many pictures a second as
6 would, a tenth of what a GPU's network takes, 16 processes three times as many. Each of these processes is asked over
pipes and writes pixels straight into the batch; it ends when the pipe does, so that none outlives who asks.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pickle
import signal
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nlcli.networks.decoder_process import PIXELS, READY, REFUSED
from nlcli.networks.images import load_each, load_into
from nlcli.networks.preprocessing import Preprocessing
from nlcli.stages.other_python import other_python

THREADS_SUFFICE = 4
"""So many decoders are threads."""
PAYS_FROM = 2000
"""Pictures for which starting processes pays."""
REQUEST = 8
"""Pictures in a request."""
IDLE_SECONDS = 10.0
"""After so long without a request the processes end."""
_PIPE_BYTES = 1 << 20
_PROGRAM = ["-m", "nlcli.networks.decoder_process"]


class DecoderDied(Exception):
    """A process ended over a picture.

    Attributes:
        code: Its exit code, minus the signal's number when one ended it.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    @property
    def reason(self) -> str:
        """Why the picture cannot be used."""
        if self.code == -signal.SIGKILL:
            return "the process that decoded it was killed, probably for memory"
        how = signal.Signals(-self.code).name if self.code < 0 else f"exit code {self.code}"
        return f"the process that decoded it died of it ({how})"


class Decoder:
    """One process.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        command, environment = other_python(*_PROGRAM)
        self.process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout
        with contextlib.suppress(AttributeError, OSError):  # Linux; fewer and larger reads
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            if bytes(self._read(1)) != READY:
                raise OSError("the process says something else")
        except DecoderDied as death:
            raise OSError(f"it ended at once, with {death.code}") from None

    def decode(self, paths: Sequence[str], pre: Preprocessing, out: np.ndarray) -> Iterator[str | None]:
        """For each picture why it cannot be used, None where its pixels are in ``out``, or ``""``: decode it yourself.

        Args:
            paths: n of them.
            pre: How they become pixels.
            out: (n, S, S, 3) uint8, contiguous.

        Raises:
            DecoderDied: over the next one.
        """
        request = pickle.dumps((pre, list(paths)))
        try:
            self._requests.write(struct.pack("<I", len(request)) + request)
        except OSError:
            raise self._death() from None
        for position in range(len(paths)):
            status = bytes(self._read(1))
            if status == PIXELS:
                self._read_into(memoryview(out[position]).cast("B"))
                yield None
            elif status == REFUSED:
                length = struct.unpack("<I", self._read(4))[0]
                yield bytes(self._read(length)).decode("utf-8", "surrogateescape")
            else:
                yield ""

    def close(self) -> None:
        """Let it end."""
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()
        self.process.wait()

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        self._read_into(memoryview(data))
        return data

    def _read_into(self, view: memoryview) -> None:
        while len(view):
            count = self._answers.readinto(view)  # type: ignore[attr-defined]  # a FileIO, as it is not buffered
            if not count:
                raise self._death()
            view = view[count:]

    def _death(self) -> DecoderDied:
        self.close()
        return DecoderDied(self.process.returncode)


class DecoderPool:
    """Processes that wait for requests; those that nobody asks any more end after a while.

    A fork of the process that started them starts its own: two that ask over the same pipes would get each other's
    pixels.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._closing: threading.Timer | None = None
        self._broken = self._registered = False

    @property
    def waiting(self) -> int:
        """How many are idle."""
        return len(self._idle) if self._process == os.getpid() else 0

    def take(self, *, new: bool = False) -> Decoder | None:
        """One that is idle, or a ``new`` one; None where none can be started."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._closing is not None:
                self._closing.cancel()
                self._closing = None
            if self._idle and not new:
                return self._idle.pop()
            if self._broken:
                return None
        try:
            return Decoder()
        except OSError:
            self._broken = True
            return None

    def give(self, decoder: Decoder) -> None:
        """Put one back."""
        with self._lock:
            self._idle.append(decoder)
            if not self._registered:
                atexit.register(self.close)
                self._registered = True

    def rest(self) -> None:
        """Let those that are idle end after a while, unless one is taken before."""
        with self._lock:
            if self._closing is not None:
                self._closing.cancel()
            self._closing = threading.Timer(IDLE_SECONDS, self.close)
            self._closing.daemon = True
            self._closing.start()

    def close(self) -> None:
        """End those that are idle."""
        if self._process != os.getpid():
            return
        with self._lock:
            idle, self._idle = self._idle, []
            if self._closing is not None:
                self._closing.cancel()
                self._closing = None
        for decoder in idle:
            decoder.close()


POOL = DecoderPool()


def processes_pay(sources: Sequence[Path | str | bytes], pre: object, workers: int, start: int = 0) -> bool:
    """Whether ``workers`` processes decode ``sources`` from position ``start`` on faster than as many threads.

    Pictures that are in memory and preparations of other libraries are for threads.
    """
    if workers <= THREADS_SUFFICE or not isinstance(pre, Preprocessing) or len(sources) <= start:
        return False
    return not isinstance(sources[start], bytes) and (len(sources) - start >= PAYS_FROM or bool(POOL.waiting))


def decode_elsewhere(paths: Sequence[Path | str], pre: Preprocessing, out: np.ndarray) -> list[str | None]:
    """Decode some pictures in a process, and alone what it leaves to its caller.

    What a process leaves when it dies is done by another one. A picture of which a new process dies, too, that was
    asked for it alone, cannot be used: the first one may have been killed for reasons of its own.

    Args:
        paths: n of them.
        pre: How they become pixels.
        out: (n, S, S, 3) uint8, filled where there is no reason against it.

    Returns:
        For each why it cannot be used, or None.
    """
    reasons: list[str | None] = []
    died = False
    while len(reasons) < len(paths):
        decoder = POOL.take(new=died)
        if decoder is None:
            return reasons + load_each(paths[len(reasons) :], pre, out[len(reasons) :])
        first = len(reasons)
        asked = paths[first : first + 1] if died else paths[first:]
        try:
            for reason in decoder.decode([os.fspath(path) for path in asked], pre, out[first:]):
                here = len(reasons)
                reasons.append(load_into(paths[here], pre, out, here) if reason == "" else reason)
        except DecoderDied as death:
            if died:
                reasons.append(death.reason)
            died = not died
        else:
            died = False
            POOL.give(decoder)
    return reasons
