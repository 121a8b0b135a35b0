"""What checking images brings: wrong labels that are left, and a classifier, over the images that were checked.

``python -m benchmarks.accuracy.checking`` starts from a row's verified images. In each round ``detect-noise`` and
``suggest`` choose what is checked next, a person who makes no mistakes checks it, and the labels and a classifier of
``train-head`` are measured. Three queues: ``random``, and the two goals ``clean`` and ``train`` as they are by default.
The curves of a row and a seed are one file; one that is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cases import Case, Truth
from benchmarks.accuracy.ours import stage_inputs
from benchmarks.accuracy.rows import Row, case, rows
from nlcli.console import markdown_table, set_quiet
from nlcli.stages.files import atomic_path, write_csv, write_json

ROWS = ("digits-class-38@5", "weak-digits-image-40@5", "clothing-image-38@5")
RANDOM = "random"
QUEUES = (RANDOM, "clean", "train")
DETECTOR = HEAD = "posterior"
FIRST = 1 / 3
"""Of the verified images at the start, those that are the validation split: chosen at random, as all of them are."""
_STREAM = 0x636B


def main() -> None:
    """Measure the curves that are not there, and write what they show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.checking", description=__doc__)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--count", type=int, default=150, help="images that are checked in a round")
    parser.add_argument("--most", type=int, default=None, help="images outside test")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table of what is there")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the data sets are, or are made")
    arguments = parser.parse_args()
    set_quiet(True)
    folder = arguments.runs / "checking"
    if not arguments.table:
        for seed in range(arguments.seeds):
            for row in rows(arguments.rows, arguments.runs):
                place = folder / row.name / f"{seed}.json"
                if not place.exists():
                    asked, truth = case(row, seed, arguments.runs, arguments.most)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    write_json(place, curves(row, asked, truth, arguments.rounds, arguments.count))
    print(write_tables(folder))


def curves(row: Row, asked: Case, truth: Truth, rounds: int, count: int) -> dict[str, Any]:
    """A point a round and queue: images checked since the start, the share of labels that is wrong, top-1 of test."""
    started = time.process_time()
    begun = len(asked.verified)
    at = {queue: _Point(asked, truth, begun) for queue in QUEUES}  # all begin alike
    first = at[RANDOM].measured(tuple(queue for queue in QUEUES if queue != RANDOM), count)
    points = {queue: [first.values] for queue in QUEUES}
    chosen = first.chosen
    for number in range(rounds):
        for queue in QUEUES:
            drawn = _at_random(at[queue].asked, count, number) if queue == RANDOM else chosen[queue]
            at[queue] = _Point(_checked(at[queue].asked, truth, drawn), truth, begun)
            wanted = () if queue == RANDOM or number == rounds - 1 else (queue,)
            after = at[queue].measured(wanted, count)
            points[queue].append(after.values)
            chosen |= after.chosen
    seconds = round(time.process_time() - started, 1)
    for queue, line in points.items():
        told = " ".join(f"{point['label_error']:.4f}/{point['top_1']:.4f}" for point in line)
        print(f"{row.name:24} {asked.seed} {queue:8} {told} {seconds:6.1f} s", file=sys.stderr, flush=True)
    return {"row": row.name, "seed": asked.seed, "points": points, "seconds": seconds}


@dataclass(frozen=True, eq=False)
class _Measured:
    values: dict[str, float]
    chosen: dict[str, np.ndarray]  # by queue, the rows to check next


@dataclass(frozen=True, eq=False)
class _Point:
    """Where a queue has come to; ``begun`` images were verified at the start."""

    asked: Case
    truth: Truth
    begun: int

    def measured(self, queues: tuple[str, ...], count: int) -> _Measured:
        """Its numbers, and what each of ``queues`` would check next."""
        asked = self.asked
        with tempfile.TemporaryDirectory(prefix="checking-") as work:
            validation = FIRST * self.begun / len(asked.verified)
            dataset, features = stage_inputs(asked, Path(work), validation)
            values = {
                "checked": len(asked.verified) - self.begun,
                "label_error": float(np.mean(asked.labels != self.truth.labels)),
                "top_1": _top_1(asked, self.truth, dataset, features),
            }
            return _Measured(values, _chosen(queues, asked, dataset, features, count) if queues else {})


def _at_random(asked: Case, count: int, number: int) -> np.ndarray:
    """``count`` rows that nobody has checked."""
    return np.random.default_rng([asked.seed, number, _STREAM]).permutation(asked.unverified)[:count]


def _chosen(queues: tuple[str, ...], asked: Case, dataset: Path, features: Path, count: int) -> dict[str, np.ndarray]:
    """Rows that ``suggest`` asks about, by goal."""
    import pyarrow.parquet as pq

    from nlcli.detection.config import DetectNoise
    from nlcli.detection.detect_noise import detect_noise
    from nlcli.suggestion.config import Suggest
    from nlcli.suggestion.suggest import suggest

    work, seed = dataset.parent, asked.seed
    detection = detect_noise(
        DetectNoise(
            dataset=dataset, features=features, output=work / "detection", method=DETECTOR, seed=seed, suspects=0
        )
    )
    chosen = {}
    for goal in queues:
        config = Suggest.parse(
            {"dataset": dataset, "source": detection, "output": work / goal, "count": count, "seed": seed, "goal": goal}
        )
        keys = pq.read_table(suggest(config) / "queue.parquet", columns=["key"]).column(0).to_pylist()
        chosen[goal] = np.array([int(key) for key in keys], np.int64)
    return chosen


def _checked(asked: Case, truth: Truth, chosen: np.ndarray) -> Case:
    """The case after a person told the true classes of ``chosen``."""
    return replace(
        asked,
        verified=np.concatenate([asked.verified, chosen]),
        known=np.concatenate([asked.known, truth.labels[chosen]]),
    )


def _top_1(asked: Case, truth: Truth, dataset: Path, features: Path) -> float:
    from nlcli.training.config import TrainHead
    from nlcli.training.saved_head import load_head
    from nlcli.training.train_head import train_head

    run = train_head(
        TrainHead(dataset=dataset, features=features, output=dataset.parent / "run", method=HEAD, seed=asked.seed)
    )
    scores = load_head(run).score(asked.test_features)
    return float(np.mean(scores.argmax(axis=1) == truth.test))


# --- what they show --------------------------------------------------------------------------


Values = dict[tuple[str, str, int], dict[int, dict[str, float]]]
"""Points by row, queue and images checked, then by seed."""


def write_tables(folder: Path) -> str:
    """``checking.csv``, ``checking.md`` and ``checking.png``: the curves' means, and each queue less ``random``."""
    values: Values = defaultdict(dict)
    for path in sorted(folder.glob("*/*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        for queue, points in told["points"].items():
            for point in points:
                values[told["row"], queue, point["checked"]][told["seed"]] = point
    lines = []
    for (row, queue, checked), of_seed in sorted(values.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        line: list[Any] = [row, checked, queue, len(of_seed)]
        for metric in ("label_error", "top_1"):
            line.append(round(float(np.mean([point[metric] for point in of_seed.values()])), 5))
            line += _less_random(values[row, RANDOM, checked], of_seed, metric)
        lines.append(line)
    header = ["row", "checked", "queue", "seeds"]
    for metric in ("label_error", "top_1"):
        header += [metric, f"{metric}_less_random", f"{metric}_half_interval"]
    write_csv(folder / "checking.csv", header, lines)
    text = markdown_table(header, [[_cell(value) for value in line] for line in lines])
    with atomic_path(folder / "checking.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    _plot(values, folder / "checking.png")
    return text


def _less_random(others: dict[int, dict[str, float]], own: dict[int, dict[str, float]], metric: str) -> list[float]:
    """The mean over seeds of the difference, and half of its 95 % interval over them."""
    from scipy.special import stdtrit

    gaps = np.array([own[seed][metric] - others[seed][metric] for seed in own if seed in others])
    if len(gaps) < 2:
        return [float(gaps.mean()) if len(gaps) else float("nan"), float("nan")]
    half = float(stdtrit(len(gaps) - 1, 0.975)) * float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    return [round(float(gaps.mean()), 5), round(half, 5)]


def _cell(value: Any) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) else str(value)


def _plot(values: Values, path: Path) -> None:
    from nlcli.drawing import new_figure, plain_axes, save_figure

    names = sorted({row for row, _, _ in values})
    if not names:
        return
    figure = new_figure(3.2 * len(names), 5)
    grid = figure.subplots(2, len(names), squeeze=False)
    for column, row in enumerate(names):
        for line, metric in enumerate(("label_error", "top_1")):
            axes = grid[line][column]
            plain_axes(axes, "y")
            for number, queue in enumerate(QUEUES):
                counts = sorted(checked for name, other, checked in values if (name, other) == (row, queue))
                of = [[100 * point[metric] for point in values[row, queue, count].values()] for count in counts]
                axes.plot(counts, [np.mean(seeds) for seeds in of], "o-", color=f"C{number}", label=queue, markersize=3)
            axes.set_title(row if line == 0 else "", fontsize=8)
            axes.set_xlabel("images checked" if line else "")
            axes.set_ylabel({"label_error": "wrong labels, %", "top_1": "top-1 of test, %"}[metric])
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
