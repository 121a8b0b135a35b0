"""Evaluations read together: on the images that all of them scored, and which of them are one model."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import FILE as CHECKED
from nlcli.evaluation.checked_labels import CheckedLabels, DetectionMetrics, read_checked
from nlcli.evaluation.score_files import FILE, METRICS, REPLICATES, read_replicates, read_scores
from nlcli.evaluation.scored_images import Figures, ScoredImages, figures
from nlcli.metrics.names import HEADINGS, LABEL_NOISE
from nlcli.stages.files import read_json
from nlcli.stages.stage import StageRecord, read_stage

_NOT_SETTINGS = ("seed", "method", "options", "preset", "clean_fraction", "backbone")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, of a classifier or of a detection of label noise.

    Attributes:
        record: Of its directory.
        metrics: What its ``metrics.json`` says.
        content: Its images.
        whole: Whether ``content`` are all images that it scored.
    """

    record: StageRecord
    metrics: dict[str, Any]
    content: ScoredImages | CheckedLabels
    whole: bool = True

    @property
    def scored(self) -> ScoredImages:
        """Its images with the scores of a classifier; NlcliError of a detection's evaluation."""
        if not isinstance(self.content, ScoredImages):
            raise NlcliError(
                f"{self.path} evaluates a detection of label noise, not a classifier; compare it with other detections "
                "by 'nlcli compare'"
            )
        return self.content

    @property
    def path(self) -> Path:
        """Its directory."""
        return self.record.path

    @property
    def features(self) -> str | None:
        """Where the model's features were, to tell backbones apart."""
        features = self.record.inputs.get("features")
        return None if features is None else features.path

    @property
    def settings(self) -> dict[str, Any]:
        """The model's settings."""
        return self.metrics["model"]["settings"]

    @property
    def clean_images(self) -> int | None:
        """Clean images that the model used; None where it used none."""
        return (self.metrics["selection"].get("clean") or {}).get("images") or None

    def figures(self, resamples: int, seed: int) -> Figures | DetectionMetrics:
        """Figures with replicates: the stored ones where they fit, else made anew."""
        made, content = self.metrics["bootstrap"], self.content
        stored = resamples and self.whole and made["resamples"] == resamples and made["seed"] == seed
        if isinstance(content, CheckedLabels):
            found = content.figures(0 if stored else resamples, seed)
            if not stored:
                return found
            return replace(found, **self._replicates(found.values))
        if not stored:
            return figures(content, self.metrics["task"], resamples, seed)
        names = [name for name in HEADINGS if name in self.metrics]
        values = {n: math.nan if self.metrics[n] is None else float(self.metrics[n]) for n in names}
        return Figures(values, content.metrics(), **self._replicates(values))

    def _replicates(self, names: Collection[str]) -> dict[str, Any]:
        replicates, per_class = read_replicates(self.path / REPLICATES, names)
        return {"replicates": replicates, "per_class": per_class}


@dataclass(frozen=True)
class Evaluations:
    """Evaluations on the same images with the same verified labels.

    Attributes:
        members: In the order in which they were given.
        left_out: Images that some of them did not score.
        resamples, seed: Of the bootstrap that all of them are to share.
    """

    members: tuple[Evaluation, ...]
    left_out: int
    resamples: int
    seed: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Names."""
        return self.members[0].content.classes

    @property
    def task(self) -> str:
        """``multi-label``, ``single-label``, or ``label-noise`` of detections."""
        return self.members[0].metrics["task"]

    @property
    def split(self) -> str:
        """Of the data set."""
        return self.members[0].metrics["split"]

    def __len__(self) -> int:
        return len(self.members[0].content)

    def models(self) -> list[tuple[str, list[int]]]:
        """Label and members of every model: what differs in nothing but the seed is one model."""
        return _grouped(self.members)


def evaluation_records(paths: Sequence[Path | str]) -> list[StageRecord]:
    """The records of evaluation directories.

    Raises:
        NlcliError: none is given, one is given twice, or one is not an evaluation.
    """
    if not paths:
        raise NlcliError("nothing to compare; name at least one evaluation directory")
    records = [read_stage(path, "evaluation") for path in paths]
    seen: dict[str, Path] = {}
    for record in records:
        if record.fingerprint in seen:
            raise NlcliError(f"{record.path} and {seen[record.fingerprint]} are the same evaluation; name it once")
        seen[record.fingerprint] = record.path
    return records


def read_evaluations(paths: Sequence[Path | str], resamples: int | None = None, seed: int | None = None) -> Evaluations:
    """Read evaluations and keep the images that all of them scored.

    Args:
        paths: Evaluation directories.
        resamples, seed: Of the bootstrap (None: as in the first evaluation).

    Raises:
        NlcliError: evaluations of other classes, other labels, or without a common image.
    """
    found = [_read(record) for record in evaluation_records(paths)]
    detections = [e.metrics["task"] == LABEL_NOISE for e in found]
    if any(detections) and not all(detections):
        one, other = found[detections.index(True)], found[detections.index(False)]
        raise NlcliError(f"{one.path} evaluates a detection and {other.path} a classifier; compare one kind at a time")
    made = found[0].metrics["bootstrap"]
    keys = _common_keys(found)
    left_out = len(set().union(*(e.content.keys.tolist() for e in found))) - len(keys)
    if left_out:
        say(f"{left_out:,} images were not scored by all models and are left out")
    members = [
        e if np.array_equal(e.content.keys, keys) else Evaluation(e.record, e.metrics, e.content.only(keys), False)
        for e in found
    ]
    hashes = [e.content.label_hash() for e in members]
    for e, own in zip(members, hashes, strict=True):
        if own != hashes[0]:
            raise NlcliError(
                f"{e.path} and {found[0].path} have different verified labels; evaluate both on one data set"
            )
    return Evaluations(
        tuple(members),
        left_out,
        made["resamples"] if resamples is None else resamples,
        made["seed"] if seed is None else seed,
    )


def _read(record: StageRecord) -> Evaluation:
    metrics = read_json(record.path / METRICS)
    if metrics["task"] == LABEL_NOISE:
        return Evaluation(record, metrics, read_checked(record.path / CHECKED))
    return Evaluation(record, metrics, read_scores(record.path / FILE))


def _common_keys(found: list[Evaluation]) -> np.ndarray:
    first = found[0]
    common = set(first.content.keys.tolist())
    for other in found[1:]:
        if other.content.classes != first.content.classes:
            raise NlcliError(f"{other.path} and {first.path} score different classes; compare models of one data set")
        common &= set(other.content.keys.tolist())
        if not common:
            raise NlcliError(f"{other.path} and {first.path} have no image in common; compare evaluations of one split")
    return first.content.keys[[key in common for key in first.content.keys.tolist()]]


# --- which evaluations are one model ---------------------------------------------------------


def _grouped(found: Sequence[Evaluation]) -> list[tuple[str, list[int]]]:
    """Label and members of every row: what differs in nothing but the seed is one row."""
    groups: dict[str, list[int]] = {}
    for i, e in enumerate(found):
        settings = {k: v for k, v in e.settings.items() if k != "seed"}
        told = [e.metrics["name"], e.metrics["score"], settings, _weighted_by(e)]
        groups.setdefault(json.dumps(told, sort_keys=True), []).append(i)
    parts: list[list[int]] = []
    for members in groups.values():
        seeds = [found[i].settings.get("seed") for i in members]
        if len(set(seeds)) == len(seeds):
            parts.append(members)
            continue
        # One seed twice: the same head on other features, or the same thing under another name.
        by_features: dict[str | None, list[int]] = {}
        for i in members:
            by_features.setdefault(found[i].features, []).append(i)
        parts += list(by_features.values()) if len(by_features) > 1 else [[i] for i in members]
    parts.sort(key=lambda members: members[0])
    return list(zip(_labels(found, parts), parts, strict=True))


def _labels(found: Sequence[Evaluation], parts: list[list[int]]) -> list[str]:
    """The method with its options; where that does not tell rows apart, the settings that differ."""
    firsts = [found[members[0]] for members in parts]
    labels = [_label(e) for e in firsts]
    fractions = [e.settings.get("clean_fraction") for e in firsts]

    def alike(i: int) -> list[int]:
        return [j for j in range(len(labels)) if (labels[j], fractions[j]) == (labels[i], fractions[i])]

    told = list(labels)
    for i in range(len(labels)):
        same = alike(i)
        if len(same) == 1:
            continue
        settings = [firsts[j].settings for j in same]
        own = firsts[i].settings
        differing = [
            name
            for name in own
            if name not in _NOT_SETTINGS and any(other.get(name) != own[name] for other in settings)
        ]
        if differing:
            told[i] += f" ({', '.join(f'{name}={own[name]}' for name in differing)})"
        else:
            told[i] += f" ({firsts[i].metrics['model']['directory']})"
    return told


def _weighted_by(e: Evaluation) -> str:
    """The detection that weighted the model's noisy labels; empty without one."""
    found = e.metrics["selection"].get("detection")
    if found is None:
        return ""
    held_out = len(found["held_out"])
    return f"weights by {found['method']}" + (f", {held_out} classes held out" if held_out else "")


def _label(e: Evaluation) -> str:
    settings, name = e.settings, e.metrics["name"]
    if e.metrics["model"]["kind"] == "backbone":
        return f"{name}, {settings['labels']} labels" if "labels" in settings else name
    told = [f"{key}={value}" for key, value in sorted((settings.get("options") or {}).items())]
    if settings.get("preset"):
        told.insert(0, settings["preset"])
    if e.metrics.get("score_chosen"):
        told.append(f"score {e.metrics['score']}")
    if _weighted_by(e):
        told.append(_weighted_by(e))
    return name + (f" ({', '.join(told)})" if told else "")
