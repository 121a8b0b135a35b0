"""``predict`` on a hundred thousand small pictures: processor time, memory, and what a kill half-way costs.

Pictures of 32 x 32, of which there are a thousand under many names, by an untrained small network: so little work that
what the command itself takes would show. Ten thousand in one go are beside it, to see whether memory grows.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._process import cost_of
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Output
from nlcli.stages.stage import open_stage

IMAGES, FEWER, PICTURES = 100_000, 10_000, 1000


class _Network(StageConfig):
    output: Output


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; ``quick`` has a tenth of the images."""
    many, few = (IMAGES // 10, FEWER // 4) if quick else (IMAGES, FEWER)
    with tempfile.TemporaryDirectory(prefix="predictions-") as place:
        root = Path(place)
        network = _network(root / "network")
        for name, count in (("many", many), ("few", few)):
            _pictures(root, root / name, count)
        in_one_go = cost_of(_command(root / "few", network, root / "few.csv"))
        killed = _killed_half_way(_command(root / "many", network, root / "many.csv"), root / "many.csv.partial")
        rest = cost_of(_command(root / "many", network, root / "many.csv"))
        lines = (root / "many.csv").read_text(encoding="utf-8").splitlines()
        names = [line.partition(",")[0] for line in lines[1:]]
        if names != sorted(names) or len(names) != many or {line.partition(",")[2] for line in lines[1:]} == {""}:
            raise RuntimeError("an image is missing, or is there twice")
        both = killed[0] + rest[0]
    parts = {
        f"{few:,} images in one go": in_one_go,
        f"{many:,} images until killed": killed,
        f"{many:,} images, the rest": rest,
    }
    rows: list[dict[str, Any]] = [
        {"name": f"{name}, processor", "value": seconds, "unit": "s", "peak_memory": peak}
        for name, (seconds, peak) in parts.items()
    ]
    return [*rows, {"name": f"{many:,} images together, processor", "value": 1000 * both / many, "unit": "ms an image"}]


def _network(output: Path) -> Path:
    quiet_tensorflow()
    from nlcli.networks.weights import build_backbone, save_backbone

    with open_stage("backbone", _Network(output=output), {}) as stage:
        backbone = build_backbone("small_cnn", "none").with_classes(("red", "green", "blue"))
        stage.finish({}, content={"model.keras": save_backbone(stage.work, backbone)})
    return output


def _pictures(root: Path, folder: Path, count: int) -> None:
    """``count`` names, a thousand in a folder, of few pictures."""
    random, drawn = np.random.default_rng(0), []
    for i in range(PICTURES):
        path = root / f"{i}.png"
        if not path.exists():
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        drawn.append(path)
    for i in range(count):
        name = folder / f"{i // 1000:03d}" / f"{i:06d}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(drawn[i % PICTURES], name)


def _command(images: Path, network: Path, output: Path) -> list[str]:
    told = ["--run", network, "--format", "csv", "--top", 1, "--output", output]
    return [sys.executable, "-m", "nlcli", "predict", str(images), *map(str, told)]


def _killed_half_way(command: list[str], parts: Path) -> tuple[float, int]:
    """Processor seconds and peak memory until half of the parts were there."""
    images = sum(1 for _ in Path(command[4]).rglob("*.png"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(list(parts.glob("part-*.json"))) * 2048 < images // 2:
        time.sleep(0.1)
        if process.poll() is not None:
            raise RuntimeError("it ended before it was killed")
    process.send_signal(signal.SIGKILL)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
