"""``python -m benchmarks.accuracy.spread``: how far a method goes with which images were verified.

Noise and test images stay, the verified images are drawn anew, so that nothing else moves the result. The same verified
images give the same result of whatever is solved, whatever the seed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cells import answered
from benchmarks.accuracy.measure import measured
from benchmarks.accuracy.ours import Stages
from benchmarks.accuracy.rows import case, rows
from nlcli.console import markdown_table, set_quiet


def main() -> None:
    """Measure and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.spread", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=["*@2"], help="such as 'clothing-*@2'")
    parser.add_argument("--methods", nargs="+", default=["head:auto"], help="as of benchmarks.accuracy")
    parser.add_argument("--draws", type=int, default=5, help="of the verified images")
    parser.add_argument("--seed", type=int, default=0, help="of the noise and of the test images")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the data sets are, or are made")
    arguments = parser.parse_args()
    set_quiet(True)
    lines = []
    for row in rows(arguments.rows, arguments.runs):
        for method in arguments.methods:
            values = []
            for draw in range(1, arguments.draws + 1):
                asked, truth = case(row, arguments.seed, arguments.runs, draw=draw)
                with Stages() as stages:
                    answer = answered(asked, truth, method, stages)
                if answer is None:
                    break
                name, value = next(iter(measured(asked, truth, answer).items()))
                values.append(value)
                print(f"{row.name:24} {draw} {method:24} {name} {value:.4f}", file=sys.stderr, flush=True)
            if len(values) > 1:
                found = np.array(values)
                told = [found.mean(), found.std(ddof=1), found.min(), found.max()]
                lines.append([row.name, method, name, *(f"{value:.4f}" for value in told)])
    print(markdown_table(["row", "method", "metric", "mean", "standard deviation", "least", "most"], lines))


if __name__ == "__main__":
    main()
