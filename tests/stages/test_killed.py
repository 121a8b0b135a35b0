"""The whole pipeline, killed with SIGKILL at random moments: the same command ends with the same result."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlcli.stages.pipeline import read_pipeline
from nlcli.stages.stage import read_stage
from worlds.colours import write_colours

PIPELINE = """
name: killed
workdir: unused
stages:
  - name: dataset
    run: build-coco
    with: {{train_images: {0}/train, train_annotations: {0}/train.json, val_images: {0}/val,
           val_annotations: {0}/val.json, classifier: {0}/classifier, class_map: {0}/map.csv, top_k: 2}}
  - name: backbone
    run: pretrain-backbone
    with: {{dataset: "${{dataset}}", backbone: small_cnn, weights: none, image_size: 32, steps: 30, batch_size: 8,
           eval_every: 10, optimizer: adam, learning_rate: 1.0e-3}}
  - name: features
    run: extract-features
    with: {{dataset: "${{dataset}}", backbone: "${{backbone}}", shard_rows: 16, batch_size: 8}}
  - name: residual
    run: train-head
    with: {{dataset: "${{dataset}}", features: "${{features}}", method: residual, clean_fraction: 0.5, steps: 400,
           eval_every: 50}}
  - name: test
    run: eval
    with: {{model: "${{residual}}", bootstrap: 50}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_colours(root)
    (root / "pipeline.yaml").write_text(PIPELINE.format(root))
    return root


def command(world: Path, workdir: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "nlcli",
        "run",
        str(world / "pipeline.yaml"),
        "--workdir",
        str(workdir),
        "--jobs",
        "1",
    ]


def fingerprints(world: Path, workdir: Path) -> dict[str, str]:
    steps = read_pipeline(world / "pipeline.yaml", workdir).steps
    return {step.name: read_stage(step.output).fingerprint for step in steps}


@pytest.mark.slow
def test_killed_again_and_again_the_pipeline_ends_with_the_same_result(world: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    subprocess.run(command(world, tmp_path / "whole"), check=True, capture_output=True)
    whole = time.monotonic() - started
    moments = random.Random(3)
    kills = 0
    for _ in range(30):
        process = subprocess.Popen(
            command(world, tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, errors = process.communicate(timeout=moments.uniform(0.15, 0.7) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, errors.decode()
        break
    else:
        subprocess.run(command(world, tmp_path / "killed"), check=True, capture_output=True)
    assert kills >= 2
    assert fingerprints(world, tmp_path / "killed") == fingerprints(world, tmp_path / "whole")
    left = [path.name for path in (tmp_path / "killed").iterdir() if path.name.endswith((".partial", ".replaced"))]
    assert not left


@pytest.mark.slow
def test_two_processes_do_not_write_one_output(world: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(command(world, tmp_path / "one"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ended = [(process, process.communicate()[1].decode()) for process in both]
    codes = sorted(process.returncode for process, _ in ended)
    assert codes in ([0, 1], [0, 0])  # the second may come when a stage is already finished
    for process, errors in ended:
        if process.returncode == 1:
            assert "is being written by another process" in errors
            assert "Traceback" not in errors
    assert set(fingerprints(world, tmp_path / "one")) == {"dataset", "backbone", "features", "residual", "test"}
