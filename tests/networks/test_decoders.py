"""Processes that decode pictures: the same pixels and reasons as in threads, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.networks import decoders
from nlcli.networks.decoders import POOL, DecoderPool
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.images import Preprocessing

PRE = Preprocessing(size=32, scaling="unit", decode="fast")
WORKERS = 2


@pytest.fixture(autouse=True)
def _few_suffice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two processes, for any number of pictures; none is left behind."""
    monkeypatch.setattr(decoders, "PAYS_FROM", 1)
    monkeypatch.setattr(decoders, "THREADS_SUFFICE", 1)
    POOL.close()  # what other tests left
    yield
    POOL.close()


def pictures(folder: Path, count: int) -> list[Path]:
    """Noise as JPEG, PNG and GIF, among them files that cannot be used."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        path = folder / f"{number}.{('jpg', 'png', 'gif')[number % 3]}"
        Image.fromarray(rng.integers(0, 256, (90, 70, 3), np.uint8)).save(path)
        paths.append(path)
    paths[3].write_bytes(b"")
    paths[4].write_bytes(paths[4].read_bytes()[:60])
    paths[5].unlink()
    paths[6].unlink()
    os.mkfifo(paths[6])
    return paths


def outcome(paths: list[Path], workers: int, batch_size: int = 7) -> tuple[np.ndarray, list[int], dict[int, str]]:
    batches = list(iterate_images(paths, PRE, batch_size, workers, start=1))
    rows = [int(row) for batch in batches for row in batch.rows]
    errors = {row: reason for batch in batches for row, reason in batch.errors}
    return np.concatenate([batch.images for batch in batches]), rows, errors


def test_processes_give_the_pixels_and_the_reasons_of_threads(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 30)
    Image.new("1", (8000, 5001), 1).save(paths[7])  # is decoded by whoever asks, as one of its kind at a time is
    images, rows, errors = outcome(paths, WORKERS)
    assert 1 <= POOL.waiting <= WORKERS
    expected_images, expected_rows, expected_errors = outcome(paths, 1)
    np.testing.assert_array_equal(images, expected_images)
    assert (rows, errors) == (expected_rows, expected_errors)
    assert set(errors) == {3, 4, 5, 6}


def test_processes_are_used_again_survive_kills_and_end_when_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pictures(tmp_path, 16)
    expected = outcome(paths, 1)
    first, last = (POOL.take(new=True) for _ in range(WORKERS))
    assert first is not None
    assert last is not None
    POOL.give(first)
    POOL.give(last)
    last.process.kill()  # the next one that is asked
    images, *rest = outcome(paths, WORKERS)
    np.testing.assert_array_equal(images, expected[0])
    assert rest == list(expected[1:])
    processes = [decoder.process for decoder in POOL._idle]
    assert first.process in processes
    assert last.process not in processes
    monkeypatch.setattr(decoders, "IDLE_SECONDS", 0.05)
    POOL.rest()
    deadline = time.monotonic() + 30
    while POOL.waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(process.wait(30) == 0 for process in processes)


def does(how: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that do this over a picture in which ``deadly`` stands."""
    program = folder / "does.py"
    program.write_text(
        "import os, signal\n"
        "from nlcli.networks import decoder_process, pixels\n"
        "decode = pixels.decode\n"
        "def does(content, pre, name, **how):\n"
        "    if b'deadly' in content:\n"
        f"        {how}\n"
        "    return decode(content, pre, name, **how)\n"
        "pixels.decode = does\n"
        "decoder_process.main()\n"
    )
    monkeypatch.setattr(decoders, "_PROGRAM", [str(program)])
    decoders.POOL.close()  # those that are idle decode as they always did


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the process that decoded it died of it (SIGSEGV)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process that decoded it was killed, probably for memory"),
        ("os._exit(3)", "the process that decoded it died of it (exit code 3)"),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGSTOP)",
            "the process that decoded it gave no answer for 5 s",
            marks=pytest.mark.slow,
        ),
        ("while True: pass", "decoding it takes more time than a picture may"),
    ],
)
def test_a_picture_over_which_its_decoder_fails_is_a_row_with_an_error(
    how: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "ANSWER_SECONDS", 5.0 if "STOP" in how else 60.0)
    monkeypatch.setattr(decoders, "SECONDS", 3 if "while" in how else 60)  # more than the others take while loaded
    paths = pictures(tmp_path, 20)
    expected = outcome(paths, 1)
    paths[12].write_bytes(b"deadly")
    does(how, tmp_path, monkeypatch)
    images, rows, errors = outcome(paths, WORKERS)
    assert errors.pop(12) == reason
    assert errors == expected[2]
    assert rows == [row for row in expected[1] if row != 12]
    np.testing.assert_array_equal(images, expected[0][np.array(expected[1]) != 12])


def test_processes_that_are_killed_again_and_again_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else a machine without memory would make a row with an error of every picture."""
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        path.write_bytes(b"deadly")
    does("os.kill(os.getpid(), signal.SIGKILL)", tmp_path, monkeypatch)
    monkeypatch.setattr(decoders, "POOL", DecoderPool())
    with pytest.raises(NlcliError, match="killed again and again.* fewer --workers, and run the same command again"):
        outcome(paths, WORKERS)


def test_one_that_somebody_stopped_is_given_up_and_its_work_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(decoders, "CLOSE_SECONDS", 0.1)
    paths = pictures(tmp_path, 16)
    expected = outcome(paths, 1)
    stopped, idle = (POOL.take(new=True) for _ in range(2))
    assert stopped is not None
    assert idle is not None
    for decoder in (idle, stopped):
        decoder.process.send_signal(signal.SIGSTOP)
        POOL.give(decoder)
    images, *rest = outcome(paths, WORKERS)
    np.testing.assert_array_equal(images, expected[0])
    assert rest == list(expected[1:])
    POOL.give(idle)
    POOL.close()  # does not wait for those that are stopped
    assert idle.process.returncode == -signal.SIGKILL
    assert stopped.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("program", [["-c", "pass"], ["-c", "print('hello')"]])
def test_threads_do_it_where_no_process_can_be_started(
    program: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "_PROGRAM", program)
    monkeypatch.setattr(decoders, "POOL", DecoderPool())
    paths = pictures(tmp_path, 10)
    images, *rest = outcome(paths, WORKERS)
    expected = outcome(paths, 1)
    np.testing.assert_array_equal(images, expected[0])
    assert rest == list(expected[1:])


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from nlcli.networks.decoders import POOL\n"
        "one = POOL.take()\n"
        "print(one.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _lives(child)


def test_a_fork_asks_processes_of_its_own(tmp_path: Path) -> None:
    """Who is asked by two would give each the other's pixels; and the end of one is not that of the other's."""
    script = (
        "import os, sys\n"
        "from nlcli.networks.decoders import POOL\n"
        "POOL.give(POOL.take())\n"
        "asked = POOL._idle[0].process.pid\n"
        "if not os.fork():\n"
        "    assert POOL.waiting == 0\n"
        "    if sys.argv[1] == 'asks':\n"
        "        other = POOL.take()\n"
        "        assert other.process.pid != asked\n"
        "        POOL.give(other)\n"
        "    sys.exit()\n"
        "assert os.waitstatus_to_exitcode(os.wait()[1]) == 0\n"
        "one = POOL.take()\n"
        "assert one.process.pid == asked and one.process.poll() is None\n"
        "POOL.give(one)\n"
    )
    for does in ("asks", "ends"):
        subprocess.run([sys.executable, "-c", script, does], check=True, timeout=120)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
