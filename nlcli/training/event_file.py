"""Files of events, which TensorBoard reads, without TensorFlow: scalars of steps.

A file is records, each with its length and checksums (TensorFlow's ``TFRecord``), of messages in protocol buffers'
encoding: an ``Event`` with a ``Summary`` of one value, as ``tf.summary.scalar`` writes it.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from pathlib import Path

_CASTAGNOLI = 0x82F63B78
_MASK = 0xA282EAD8


class EventFile:
    """One file of events in ``folder``, which is made."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / f"events.out.tfevents.{int(time.time())}.{os.getpid()}", "wb")  # noqa: SIM115
        self._event(_text(3, "brain.Event:2"))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """One value of a step."""
        tensor = _number(1, 1) + _message(2, b"") + _message(5, struct.pack("<f", value))  # DT_FLOAT, of no dimension
        metadata = _message(1, _text(1, "scalars")) + _number(4, 1)  # of plug-in "scalars", DATA_CLASS_SCALAR
        summary = _message(1, _text(1, tag) + _message(8, tensor) + _message(9, metadata))
        self._event(_number(2, step) + _message(5, summary))

    def flush(self) -> None:
        """What was written can be read."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _event(self, content: bytes) -> None:
        event = struct.pack("<Bd", 1 << 3 | 1, time.time()) + content
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))


# --- encodings -------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


@functools.cache
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        return value

    return tuple(map(entry, range(256)))


def _checksum(content: bytes) -> bytes:
    """CRC-32C, turned and shifted as TensorFlow does."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)
