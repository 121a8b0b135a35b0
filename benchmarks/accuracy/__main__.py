"""``python -m benchmarks.accuracy``: fill the table of accuracy, write and print it; see the package's text."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # CPU seconds that can be compared
    os.environ.setdefault(_name, "1")


def main() -> None:
    """Measure what is asked for and is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--rows", nargs="*", default=[], help="such as 'clothing-*@5'; default: all whose data is here")
    parser.add_argument(
        "--methods",
        nargs="*",
        default=[],
        help="references, head:NAME, detector:NAME, MODULE:FUNCTION (of a Case, to an Answer); default: all",
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--again", action="store_true", help="measure what is there, too: a method has changed")
    parser.add_argument("--quick", action="store_true", help="one seed, 2,000 images, three rows: to try it")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table of what is there")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the data sets are, or are made")
    parser.add_argument("-o", "--output", type=Path, default=None, help="default: RUNS/accuracy")
    arguments = parser.parse_args()

    from benchmarks.accuracy.cells import Wanted, fill, read_cells
    from benchmarks.accuracy.rows import rows
    from benchmarks.accuracy.table import write_tables
    from nlcli.console import set_quiet

    folder = arguments.output or arguments.runs / ("accuracy-quick" if arguments.quick else "accuracy")
    patterns = arguments.rows or (
        ["digits-class-38@5", "weak-digits-image-40@5", "scenes@5"] if arguments.quick else []
    )
    if not arguments.table:
        set_quiet(True)
        fill(
            Wanted(
                rows=rows(patterns, arguments.runs),
                methods=arguments.methods,
                seeds=1 if arguments.quick else arguments.seeds,
                runs=arguments.runs,
                folder=folder,
                most=2000 if arguments.quick else None,
                again=arguments.again,
            )
        )
    print(write_tables(read_cells(folder), folder))


if __name__ == "__main__":
    main()
