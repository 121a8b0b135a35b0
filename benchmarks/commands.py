"""What people wait for between two thoughts: CPU seconds and memory of commands on cached features of a small data set.

8,000 pictures of single digits, 38 % of their labels wrong, 5 % verified, beside 128 made-up features each that tell
digits apart about as well as a network does. Commands run one after the other, each in a process of its own, pictures
included. The ratio is to importing TensorFlow alone, which none of them does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

WIDTH = 128
_TENSORFLOW = "import tensorflow"


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    with TemporaryDirectory() as folder:
        here = Path(folder)
        # In a process of its own: what a process held when it started another counts among the memory of that one.
        program = f"from pathlib import Path; from benchmarks.commands import make_world; make_world(Path({folder!r})"
        root = Path(__file__).parents[1]
        subprocess.run([sys.executable, "-c", f"{program}, {600 if quick else 6000})"], cwd=root, check=True)
        base, base_memory = measured([sys.executable, "-c", _TENSORFLOW], here)
        rows = [_row(_TENSORFLOW, base, base_memory)]
        for name, arguments in commands().items():
            seconds, memory = measured([sys.executable, "-m", "nlcli", *arguments], here)
            rows.append(_row(name, seconds, memory) | {"ratio": seconds / base, "ratio_to": _TENSORFLOW})
    return rows


def commands() -> dict[str, list[str]]:
    """By what they are called in the table; the later ones read what the earlier ones wrote."""
    asked = ["--dataset", "data", "--features", "features"]
    return {
        "methods residual": ["methods", "residual"],
        "train-head, noisy (solved)": ["train-head", *asked, "--method", "noisy", "-o", "noisy"],
        "train-head, auto (solved)": ["train-head", *asked, "--method", "auto", "-o", "auto"],
        "eval": ["eval", "noisy"],
        "eval, auto": ["eval", "auto"],
        "compare": ["compare", "noisy-test", "auto-test", "-o", "compared"],
        "table": ["table", "--row", "noisy=noisy-test", "--row", "auto=auto-test", "--by", "none", "-o", "table"],
        "detect-noise, naive": ["detect-noise", *asked, "--method", "naive", "-o", "naive"],
        "detect-noise, margin": ["detect-noise", *asked, "--method", "margin", "-o", "margin"],
        "detect-noise, classification-filter": [
            *("detect-noise", *asked, "--method", "classification-filter", "-o", "filter"),
        ],
        "detect-noise, knn": ["detect-noise", *asked, "--method", "knn", "-o", "knn"],
        "clean-labels": [
            *("clean-labels", "--dataset", "data", "--from", "margin"),
            *("--precision", "0", "--max-changes", "1", "-o", "cleaned"),
        ],
        "suggest": ["suggest", "--dataset", "data", "--from", "margin", "-o", "queue"],
        "report": ["report", "noisy-test", "auto-test", "margin", "-o", "page.html"],
    }


def make_world(here: Path, images: int) -> None:
    """The data set ``data`` and its ``features``."""
    import nlcli
    from nlcli.data.labels import true_classes

    digits = nlcli.build_digits(kind="single", train_images=images, val_images=images // 3, output=here / "digits")
    splits = ("train", "validation", "test")
    clean = nlcli.build_folders(images=digits / "images", verified=splits, output=here / "clean")
    table = nlcli.read_dataset(clean)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(table.num_classes, WIDTH))
    features = centres[true_classes(table)] + 3.0 * rng.normal(size=(len(table), WIDTH))
    np.save(here / "features.npy", features.astype(np.float32))
    (here / "keys.txt").write_text("".join(f"{key}\n" for key in table.keys), encoding="utf-8")
    nlcli.add_noise(
        dataset=clean, kind="matrix", matrix=digits / "confusion.csv", rate=0.38, verified=0.05, output=here / "data"
    )
    nlcli.import_features(
        dataset=here / "data", source=here / "features.npy", keys=here / "keys.txt", output=here / "features"
    )


def measured(command: list[str], here: Path) -> tuple[float, int]:
    """CPU seconds and the most bytes in memory of a command."""
    process = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)}: {told.decode(errors='replace')[-500:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _row(name: str, seconds: float, memory: int) -> dict:
    target = None if name == _TENSORFLOW else "at most 2 s, 350 MiB"
    return {"name": name, "value": seconds, "unit": "CPU s", "target": target, "peak_memory": memory}
