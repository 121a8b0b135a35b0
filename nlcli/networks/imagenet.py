"""The 1000 classes of ImageNet (ILSVRC 2012) in the order of ``keras.applications``."""

from __future__ import annotations

import csv
from importlib import resources


def imagenet_classes() -> tuple[str, ...]:
    """Their names; two of them occur twice."""
    return _column("name")


def imagenet_ids() -> tuple[str, ...]:
    """Their WordNet ids, by which they are sorted."""
    return _column("wnid")


def _column(name: str) -> tuple[str, ...]:
    text = resources.files("nlcli").joinpath("resources/imagenet_classes.csv").read_text(encoding="utf-8")
    return tuple(row[name] for row in csv.DictReader(text.splitlines()))
