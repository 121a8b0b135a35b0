"""``python -m torture [PART ...] [--quick] [--seed N]``: attack the program and count what it does not withstand."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
import time
from pathlib import Path

from torture._report import Count


def parts() -> list[str]:
    """Every part of the campaign."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_"))


def main() -> None:
    """Run what is asked for, print the counts, and exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"which ones (default: all of {', '.join(parts())})")
    parser.add_argument("--quick", action="store_true", help="a small part of everything, about a minute")
    parser.add_argument("--inputs", type=int, help="inputs of each reader (fuzz; default: 20,000)")
    parser.add_argument("--kills", type=int, help="kills of pipelines (kills; default: 300)")
    parser.add_argument(
        "--only",
        action="append",
        help="readers (fuzz), works (kills) or stages (together) whose name holds this; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(parts())
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]}; known: {', '.join(parts())}")
    counts: list[Count] = []
    for name in arguments.parts or parts():
        started = time.monotonic()
        attack = importlib.import_module(f"torture.{name}")
        options = {"inputs": arguments.inputs, "kills": arguments.kills, "only": arguments.only}
        taken = inspect.signature(attack.run).parameters
        given = {key: value for key, value in options.items() if key in taken and value is not None}
        counts += attack.run(arguments.quick, arguments.seed, **given)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    width = max((len(count.what) for count in counts), default=0)
    for count in counts:
        print(f"{count.what:<{width}}  {count.times:>7,}  {len(count.failures) or 'withstood'}")
        for failure in count.failures[:20]:
            print(f"    {failure}")
    broken = sum(len(count.failures) for count in counts)
    print(f"{sum(count.times for count in counts):,} attacks, {broken:,} promises broken")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
