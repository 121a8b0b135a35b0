"""The whole pipeline, killed with SIGKILL at random moments: the same command ends with the same result."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.pipeline import read_pipeline
from nlcli.stage import read_stage

CATEGORIES = ("red", "green", "blue")
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
    """Coloured images in COCO's format, and an annotating classifier that knows nothing."""
    from nlcli.backbones import build_backbone, save_backbone

    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("val", 40)):
        (root / split).mkdir()
        images, annotations = [], []
        for number in range(count):
            shown = rng.permutation(3)[: rng.integers(1, 4)]
            pixels = rng.integers(0, 60, (40, 40, 3))
            pixels[..., shown] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / split / f"{split}{number:03d}.jpg")
            images.append({"id": number, "file_name": f"{split}{number:03d}.jpg", "width": 40, "height": 40})
            annotations += [
                {"id": 10 * number + int(c), "image_id": number, "category_id": int(c) + 1, "iscrowd": 0,
                 "bbox": [0, 0, 9, 9], "area": 81}
                for c in shown
            ]
        categories = [{"id": i + 1, "name": name, "supercategory": "colour"} for i, name in enumerate(CATEGORIES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(content))
    sources = [f"source {i}" for i in range(6)]
    save_backbone(root / "classifier", build_backbone("small_cnn", "none", classes=sources, image_size=32, seed=1))
    lines = [f"{i},,{name},{CATEGORIES[i % 3]}" for i, name in enumerate(sources)]
    (root / "map.csv").write_text("\n".join(["source_index,source_id,source_name,target_name", *lines]) + "\n")
    (root / "pipeline.yaml").write_text(PIPELINE.format(root))
    return root


def command(world: Path, workdir: Path) -> list[str]:
    return [sys.executable, "-m", "nlcli", "run", str(world / "pipeline.yaml"), "--workdir", str(workdir), "--jobs", "1"]


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
        process = subprocess.Popen(command(world, tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
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
