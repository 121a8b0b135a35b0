"""``python -m benchmarks [NAME ...] [--quick]``: measure speed and memory, side by side.

Each module of this package has ``run(quick) -> list[dict]``; every one runs in a process of its
own, so that peaks of memory are its own. Results are written to benchmarks/results/ as JSON.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import platform
import sys
import time
from pathlib import Path

from benchmarks._process import run_alone

RESULTS = Path(__file__).with_name("results")


def names() -> list[str]:
    """Every benchmark module of this package; that of accuracy, a package, runs by itself."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(m.name for m in modules if not m.name.startswith("_") and not m.ispkg)


def main() -> None:
    """Run what is asked for and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which ones (default: all of {', '.join(names())})")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to try the benchmarks themselves")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"unknown benchmark {sorted(unknown)[0]}; known: {', '.join(names())}")
    from nlcli.runtime import cpu_count, versions

    rows: list[dict] = []
    for name in arguments.names or names():
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        rows += [{"benchmark": name, **row} for row in run_alone(name, arguments.quick)]
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}{'-quick' if arguments.quick else ''}.json"
    machine = {"processor": _processor(), "cores": cpu_count(), "system": platform.platform(), "versions": versions()}
    target.write_text(json.dumps({"machine": machine, "quick": arguments.quick, "rows": rows}, indent=2) + "\n")
    _print(rows)
    print(f"\nwritten to {target}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _print(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("benchmark", "what", "value", "ratio", "to", "target", "peak memory")
    for row in rows:
        ratio, target, peak = row.get("ratio"), row.get("target"), row.get("peak_memory")
        table.add_row(
            row["benchmark"],
            row["name"],
            f"{row['value']:,.4g} {row['unit']}",
            "" if ratio is None else f"{ratio:.2f}",
            row.get("ratio_to") or "",
            "" if target is None else str(target),
            "" if peak is None else f"{peak / 2**20:,.0f} MiB",
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
