"""Processes that decode pictures: those that are not plain, and all where there are many processors.

What a picture takes is bounded there: a process that needs more seconds or more memory for one, or gives no answer,
ends, and the picture is a row with an error. And threads of one Python do not go beyond some four processors.
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
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from nlcli.console import duration
from nlcli.errors import NlcliError
from nlcli.networks.decoder_process import LENGTH, PIXELS, READY, REASON, REFUSED, SHAPE, Request
from nlcli.networks.pixels import ImageError, decode, one_large_image, read_image_file
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
SECONDS, LARGE_SECONDS = 60, 300
"""Of the processor that a picture may take, and a large one."""
MEMORY, LARGE_MEMORY = 2 << 30, 6 << 30
"""Bytes that a picture may take, and a large one."""
START_SECONDS = ANSWER_SECONDS = 600.0
"""After so long a process that does not start, or gives no answer, is given up: somebody stopped it, or a disk does not
answer."""
MOST_KILLED = 3
"""Pictures in turn over which processes may be killed."""
CLOSE_SECONDS = 5.0
"""After so long a process that was let go is ended."""
_PIPE_BYTES = 1 << 20
_PROGRAM = ["-m", "nlcli.networks.decoder_process"]


class DecoderDied(Exception):
    """A process ended over a picture.

    Attributes:
        code: Its exit code, minus the signal's number when one ended it; None: it gave no answer and was given up.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code

    @property
    def took_too_long(self) -> bool:
        """Whether over the picture itself, so that another process would, too."""
        return self.code == -signal.SIGXCPU

    @property
    def was_killed(self) -> bool:
        """Whether by somebody else, most likely the system for want of memory."""
        return self.code == -signal.SIGKILL

    @property
    def reason(self) -> str:
        """Why the picture cannot be used."""
        if self.code is None:
            return f"the process that decoded it gave no answer for {duration(ANSWER_SECONDS)}"
        if self.took_too_long:
            return "decoding it takes more time than a picture may"
        if self.was_killed:
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
        os.set_blocking(self._requests.fileno(), False)
        with contextlib.suppress(AttributeError, OSError):  # Linux; fewer and larger reads
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._await(self._answers, select.POLLIN, START_SECONDS)
            if bytes(self._read(1)) != READY:
                raise OSError("the process says something else")
        except DecoderDied as death:
            raise OSError(f"it ended at once, with {death.code}") from None

    def decode(self, request: Request, out: np.ndarray | None) -> Iterator[np.ndarray | str]:
        """For each picture its pixels, why it cannot be used, or ``""``: it is large.

        Args:
            request: n pictures.
            out: (n, S, S, 3) uint8, contiguous, where their pixels go; None: anywhere.

        Raises:
            DecoderDied: over the next one.
        """
        data = pickle.dumps(request)
        self._write(LENGTH.pack(len(data)) + data)
        for position in range(len(request.sources)):
            status = bytes(self._read(1))
            if status == PIXELS:
                height, width = SHAPE.unpack(self._read(SHAPE.size))
                pixels: np.ndarray = np.empty((height, width, 3), np.uint8) if out is None else out[position]
                self._read_into(pixels.data.cast("B"))
                yield pixels
            elif status == REFUSED:
                (length,) = REASON.unpack(self._read(REASON.size))
                yield bytes(self._read(length)).decode("utf-8", "surrogateescape")
            else:
                yield ""

    def close(self) -> None:
        """Let it end, and end it where it does not."""
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()
        if not self._ends():
            self.process.kill()
            self._ends()

    def _ends(self) -> bool:
        try:
            self.process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            self._await(self._requests, select.POLLOUT)
            try:
                view = view[self._requests.write(view) or 0 :]
            except OSError:
                raise self._death() from None

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        self._read_into(memoryview(data))
        return data

    def _read_into(self, view: memoryview) -> None:
        while len(view):
            self._await(self._answers, select.POLLIN)
            count = self._answers.readinto(view)  # type: ignore[attr-defined]  # a FileIO, as it is not buffered
            if not count:
                raise self._death()
            view = view[count:]

    def _await(self, pipe: IO[bytes], event: int, seconds: float | None = None) -> None:
        """Wait until ``pipe`` can be read or written, or has ended."""
        seconds = ANSWER_SECONDS if seconds is None else seconds
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(seconds * 1000):
            self.process.kill()
            self.close()
            raise DecoderDied(None)

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
        self._killed = 0

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

    def note(self, death: DecoderDied | None) -> None:
        """Note how the last picture ended that was decoded.

        Raises:
            NlcliError: processes are killed again and again, so that it is not for the pictures.
        """
        self._killed = self._killed + 1 if death is not None and death.was_killed else 0
        if self._killed >= MOST_KILLED:
            raise NlcliError(
                "the processes that decode pictures are killed again and again, probably because there is not enough "
                "memory; end other programs or use fewer --workers, and run the same command again"
            )

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
    """Decode some pictures in a process.

    Args:
        paths: n of them.
        pre: How they become pixels.
        out: (n, S, S, 3) uint8, filled where there is no reason against it.

    Returns:
        For each why it cannot be used, or None.

    Raises:
        NlcliError: processes that decode are killed again and again.
    """
    results = _decoded([os.fspath(path) for path in paths], pre, out)
    return [result if isinstance(result, str) else None for result in results]


def decode_one_elsewhere(content: bytes, pre: Preprocessing | None, name: str) -> np.ndarray:
    """Decode what an image file holds in a process: (S, S, 3) uint8 RGB; or upright (H, W, 3) without ``pre``.

    Args:
        name: Of the image, for the error.

    Raises:
        ImageError: it cannot be used.
        NlcliError: processes that decode are killed again and again.
    """
    (result,) = _decoded([content], pre, None)
    if isinstance(result, str):
        raise ImageError(name, result)
    return result


def _decoded(sources: list[str | bytes], pre: Preprocessing | None, out: np.ndarray | None) -> list[np.ndarray | str]:
    """For each picture its pixels, or why it cannot be used; large ones one at a time."""
    results = _asked(sources, pre, out, large=False)
    for position, result in enumerate(results):
        if isinstance(result, str) and not result:
            with one_large_image:
                place = None if out is None else out[position : position + 1]
                (results[position],) = _asked(sources[position : position + 1], pre, place, large=True)
    return results


def _asked(
    sources: list[str | bytes], pre: Preprocessing | None, out: np.ndarray | None, *, large: bool
) -> list[np.ndarray | str]:
    """For each picture its pixels, why it cannot be used, or ``""``: it is large, and not asked for.

    What a process leaves when it dies is done by another one. A picture of which a new process dies, too, that was
    asked for it alone, cannot be used: the first one may have been killed for reasons of its own.
    """
    limits = (LARGE_SECONDS, LARGE_MEMORY) if large else (SECONDS, MEMORY)
    results: list[np.ndarray | str] = []
    died = False
    while (first := len(results)) < len(sources):
        place = None if out is None else out[first:]
        decoder = POOL.take(new=died)
        if decoder is None:
            results.append(_decoded_here(sources[first], pre, place))
            continue
        asked = sources[first : first + 1] if died else sources[first:]
        try:
            for result in decoder.decode(Request(asked, pre, *limits, large), place):
                results.append(result)
                POOL.note(None)
        except DecoderDied as death:
            if died or death.took_too_long:
                results.append(death.reason)
                POOL.note(death)
                died = False
            else:
                died = True
        else:
            died = False
            POOL.give(decoder)
    return results


def _decoded_here(source: str | bytes, pre: Preprocessing | None, out: np.ndarray | None) -> np.ndarray | str:
    """Where no process can be started."""
    try:
        content = source if isinstance(source, bytes) else read_image_file(Path(source))
        pixels = decode(content, pre, "")
    except ImageError as error:
        return error.reason
    if out is None:
        return pixels
    out[0] = pixels
    place: np.ndarray = out[0]
    return place
