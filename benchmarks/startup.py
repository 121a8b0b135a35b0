"""How long ``nlcli --help`` takes, beside an empty Python and beside importing what it does not import."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

_PROGRAMS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "nlcli --help": [sys.executable, "-m", "nlcli", "--help"],
    "nlcli train-head --help": [sys.executable, "-m", "nlcli", "train-head", "--help"],
    "python -c 'import tensorflow'": [sys.executable, "-c", "import tensorflow"],
}


def run(quick: bool) -> list[dict]:
    """Median wall seconds of each program, in turn."""
    times: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    peaks: dict[str, int] = {}
    for turn in range(3 if quick else 11):
        for name, command in _PROGRAMS.items():
            if "tensorflow" in name and turn >= 3:
                continue
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, _, usage = os.wait4(process.pid, 0)
            times[name].append(time.perf_counter() - started)
            peaks[name] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    base = statistics.median(times["python -c pass"])
    rows = []
    for name, seconds in times.items():
        median = statistics.median(seconds)
        target = "at most 0.4 s, 20 x python -c pass" if name == "nlcli --help" else None
        rows.append(
            {
                "name": name,
                "value": median,
                "unit": "s",
                "ratio": median / base,
                "ratio_to": "python -c pass",
                "target": target,
                "peak_memory": peaks[name],
            }
        )
    return rows
