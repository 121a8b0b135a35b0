"""Evaluations read together: on the images that all of them scored, and which of them are one model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import FILE as CHECKED
from nlcli.evaluation.checked_labels import CheckedLabels, read_checked
from nlcli.evaluation.checked_tags import CheckedTags, read_checked_tags
from nlcli.evaluation.measured import Measured, MeasuredRanking
from nlcli.evaluation.metrics_file import (
    ClassifierMetrics,
    DetectionMetrics,
    NoiseMetrics,
    TagNoiseMetrics,
    TestedModel,
    read_metrics,
)
from nlcli.evaluation.score_files import FILE, REPLICATES, read_replicates, read_scores
from nlcli.evaluation.scored_images import ScoredImages, measure
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
    metrics: ClassifierMetrics | NoiseMetrics
    content: ScoredImages | CheckedLabels | CheckedTags
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
    def model(self) -> TestedModel:
        """What was evaluated."""
        return self.metrics.model

    @property
    def features(self) -> str | None:
        """Where the model's features were, to tell backbones apart."""
        features = self.record.inputs.get("features")
        return None if features is None else features.path

    @property
    def seed(self) -> int:
        """The model's seed."""
        return self.model.seed or 0

    @property
    def planted_error(self) -> float | None:
        """Of a detection, its average error where truth was planted; None where it is not known."""
        if isinstance(self.metrics, ClassifierMetrics) or self.metrics.planted_error is None:
            return None
        return self.metrics.planted_error.value

    def measure(self, resamples: int, seed: int) -> Measured:
        """Metrics with replicates: the stored ones where they fit, else made anew."""
        made, content = self.metrics.bootstrap, self.content
        stored = resamples and self.whole and made.resamples == resamples and made.seed == seed
        if isinstance(content, CheckedLabels | CheckedTags):
            measured = content.measure(0 if stored else resamples, seed)
            if not stored:
                return measured
            replicates, per_class = read_replicates(self.path / REPLICATES, measured.values)
            supports = content.supports(measured.counts, per_class)
            return replace(measured, replicates=replicates, per_class=per_class, supports=supports)
        if not stored:
            return measure(content, self.metrics.task, resamples, seed)
        estimates = self.metrics.metrics
        values = {name: estimates[name].value for name in self.metrics.names}
        replicates, per_class = read_replicates(self.path / REPLICATES, values)
        known = {name: math.nan if value is None else value for name, value in values.items()}
        of_known_class = int(content.answers.known.sum())
        return MeasuredRanking.of(known, content.metrics(), replicates, per_class, of_known_class)


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
        """``multi-label``, ``single-label``, or of detections ``label-noise`` and ``tag-noise``."""
        return self.members[0].metrics.task

    @property
    def split(self) -> str:
        """Of the data set."""
        return self.members[0].metrics.split

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
    whole = [_read(record) for record in evaluation_records(paths)]
    detections = [isinstance(e.metrics, NoiseMetrics) for e in whole]
    if any(detections) and not all(detections):
        one, other = whole[detections.index(True)], whole[detections.index(False)]
        raise NlcliError(f"{one.path} evaluates a detection and {other.path} a classifier; compare one kind at a time")
    for e in whole:
        if any(detections) and e.metrics.task != whole[0].metrics.task:
            raise NlcliError(
                f"{e.path} and {whole[0].path} evaluate detections on one label and on several labels an image; "
                "compare one kind at a time"
            )
    made = whole[0].metrics.bootstrap
    keys = _common_keys(whole)
    left_out = len(set().union(*(e.content.keys.tolist() for e in whole))) - len(keys)
    if left_out:
        say(f"{left_out:,} images were not scored by all models and are left out")
    members = [
        e if np.array_equal(e.content.keys, keys) else replace(e, content=e.content.only(keys), whole=False)
        for e in whole
    ]
    hashes = [e.content.label_hash() for e in members]
    for e, own in zip(members, hashes, strict=True):
        if own != hashes[0]:
            raise NlcliError(
                f"{e.path} and {whole[0].path} have different verified labels; evaluate both on one data set"
            )
    return Evaluations(
        tuple(members),
        left_out,
        made.resamples if resamples is None else resamples,
        made.seed if seed is None else seed,
    )


def _read(record: StageRecord) -> Evaluation:
    metrics = read_metrics(record)
    if isinstance(metrics, TagNoiseMetrics):
        return Evaluation(record, metrics, read_checked_tags(record.path / CHECKED))
    if isinstance(metrics, DetectionMetrics):
        return Evaluation(record, metrics, read_checked(record.path / CHECKED))
    return Evaluation(record, metrics, read_scores(record.path / FILE))


def _common_keys(evaluations: Sequence[Evaluation]) -> NDArray[np.object_]:
    first = evaluations[0]
    common = set(first.content.keys.tolist())
    for other in evaluations[1:]:
        if other.content.classes != first.content.classes:
            raise NlcliError(f"{other.path} and {first.path} score different classes; compare models of one data set")
        common &= set(other.content.keys.tolist())
        if not common:
            raise NlcliError(f"{other.path} and {first.path} have no image in common; compare evaluations of one split")
    return first.content.keys[[key in common for key in first.content.keys.tolist()]]


# --- which evaluations are one model ---------------------------------------------------------


def _grouped(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[int]]]:
    """Label and members of every row: what differs in nothing but the seed is one row."""
    groups: dict[str, list[int]] = {}
    for i, e in enumerate(evaluations):
        settings = {k: v for k, v in e.model.settings.items() if k != "seed"}
        told = [e.metrics.name, e.metrics.score, settings, _weighted_by(e)]
        groups.setdefault(json.dumps(told, sort_keys=True), []).append(i)
    parts: list[list[int]] = []
    for members in groups.values():
        seeds = [evaluations[i].model.seed for i in members]
        if len(set(seeds)) == len(seeds):
            parts.append(members)
            continue
        # One seed twice: the same head on other features, or the same thing under another name.
        by_features: dict[str | None, list[int]] = {}
        for i in members:
            by_features.setdefault(evaluations[i].features, []).append(i)
        parts += list(by_features.values()) if len(by_features) > 1 else [[i] for i in members]
    parts.sort(key=lambda members: members[0])
    return list(zip(_labels([evaluations[members[0]] for members in parts]), parts, strict=True))


def _labels(firsts: Sequence[Evaluation]) -> list[str]:
    """The method with its options; where that does not tell rows apart, the settings that differ."""
    labels = [_label(e) for e in firsts]
    alike: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    for label, e in zip(labels, firsts, strict=True):
        alike.setdefault((label, e.model.clean_fraction), []).append(e.model.settings)
    told = []
    for label, e in zip(labels, firsts, strict=True):
        others, own = alike[label, e.model.clean_fraction], e.model.settings
        if len(others) == 1:
            told.append(label)
            continue
        differing = [
            name for name in own if name not in _NOT_SETTINGS and any(other.get(name) != own[name] for other in others)
        ]
        apart = ", ".join(f"{name}={own[name]}" for name in differing) or e.model.directory
        told.append(f"{label} ({apart})")
    return told


def _weighted_by(e: Evaluation) -> str:
    """The detection that weighted the model's noisy labels; empty without one."""
    detection = e.metrics.selection.detection
    return "" if detection is None else detection.told


def _label(e: Evaluation) -> str:
    model, name = e.model, e.metrics.name
    if model.kind == "backbone":
        return name if model.labels is None else f"{name}, {model.labels} labels"
    told = [f"{key}={value}" for key, value in sorted(model.options.items())]
    if model.preset:
        told.insert(0, model.preset)
    if isinstance(e.metrics, ClassifierMetrics) and e.metrics.score_chosen:
        told.append(f"score {e.metrics.score}")
    if _weighted_by(e):
        told.append(_weighted_by(e))
    return name + (f" ({', '.join(told)})" if told else "")
