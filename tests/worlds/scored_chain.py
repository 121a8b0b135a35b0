"""A whole chain in miniature: real JPEG files of coloured squares, a backbone, features, heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from PIL import Image

from nlcli.data.config import ExtractFeatures
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output
from nlcli.stages.stage import open_stage
from nlcli.training.config import TrainHead
from worlds.stage_builders import published

CLASSES = ("red", "green", "blue")
_COLORS = ((220, 40, 40), (40, 190, 60), (50, 60, 220))
SPLIT_SIZES = (40, 16, 24)


def draw(path: Path, present: list[int], rng: np.random.Generator) -> None:
    """A grey scene with one square of each present class's colour."""
    pixels = np.full((64, 64, 3), 120, np.uint8)
    for c in present:
        x, y = rng.integers(0, 40, 2)
        pixels[y : y + 20, x : x + 20] = _COLORS[c]
    Image.fromarray(pixels).save(path, quality=95)


def table_of_squares(folder: Path, *, single: bool = False, seed: int = 0) -> LabelTable:
    """80 fully verified images; a third of the noisy labels of a class is another class's."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    count = sum(SPLIT_SIZES)
    present = [
        [int(rng.integers(3))] if single else sorted(rng.choice(3, rng.integers(1, 3), replace=False).tolist())
        for _ in range(count)
    ]
    noisy = [sorted({int((c + (rng.random() < 0.33)) % 3) for c in labels}) for labels in present]
    names = [f"{i:03d}.jpg" for i in range(count)]
    for name, labels in zip(names, present, strict=True):
        draw(folder / name, labels, rng)
    return LabelTable(
        task="single-label" if single else "multi-label",
        classes=CLASSES,
        groups=("warm", "cold", "cold"),
        keys=np.array([f"squares/{name}" for name in names], object),
        paths=np.array(names, object),
        image_root=folder,
        split=np.repeat(np.arange(3, dtype=np.int8), SPLIT_SIZES),
        noisy=matrix_from_lists(noisy, 3, [[1.0] * len(labels) for labels in noisy]),
        present=matrix_from_lists(present, 3),
        absent=matrix_from_lists([[]] * count, 3),
        verification=np.full(count, FULL, np.uint8),
    )


class BackboneConfig(StageConfig):
    """As much of a backbone's configuration as an evaluation shows."""

    output: Output
    labels: Annotated[str, Option("Labels it was trained on.")] = "noisy"
    seed: Annotated[int, Option("Seed of its weights.")] = 0


def published_backbone(output: Path, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> Path:
    """An untrained small network as a finished backbone stage."""
    from nlcli.networks.weights import build_backbone, save_backbone

    with open_stage("backbone", BackboneConfig(output=output, seed=seed), {}, seed=seed) as stage:
        backbone = build_backbone("small_cnn", "none", seed=seed).with_classes(classes, seed=seed)
        stage.finish({"best_step": 7}, content={"model.keras": save_backbone(stage.work, backbone)})
    return output


@dataclass
class Chain:
    """Where the directories of a chain lie; heads are trained when they are asked for."""

    root: Path
    dataset: Path
    backbone: Path
    features: Path
    runs: dict[str, Path] = field(default_factory=dict)

    def run(self, method: str = "noisy", seed: int = 0, **options: object) -> Path:
        """A head trained for a few steps."""
        from nlcli.training.train_head import train_head

        told = "".join(f"-{k}{v}" for k, v in options.items())
        name = f"{method}-{seed}{told}"
        if name not in self.runs:
            config = TrainHead(
                dataset=self.dataset,
                features=self.features,
                output=self.root / name,
                method=method,
                seed=seed,
                steps=60,
                clean_fraction=0.5,
                options=options,
            )
            self.runs[name] = train_head(config)
        return self.runs[name]


def make_chain(root: Path, *, single: bool = False, broken: tuple[str, ...] = ()) -> Chain:
    """Images, data set, backbone and features; the image files named ``broken`` are cut short."""
    from nlcli.data.features.extract import extract_features

    dataset = published(table_of_squares(root / "squares", single=single), root / "dataset")
    for name in broken:
        file = root / "squares" / name
        file.write_bytes(file.read_bytes()[:200])
    backbone = published_backbone(root / "backbone")
    features = extract_features(
        ExtractFeatures(dataset=dataset, backbone=str(backbone), output=root / "features", workers=2)
    )
    return Chain(root, dataset, backbone, features)


_shared: dict[bool, Chain] = {}


def shared_chain(factory: pytest.TempPathFactory, *, single: bool = False) -> Chain:
    """One chain for all test files of a session, read only; test image 060 of the multi-label one is broken."""
    if single not in _shared:
        root = factory.mktemp("single" if single else "chain")
        _shared[single] = make_chain(root, single=single, broken=() if single else ("060.jpg",))
    return _shared[single]
