"""Test sets drawn again and again from one world, to see how often intervals hold what is to be expected there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from nlcli.evaluation.checked_labels import CheckedLabels
from nlcli.evaluation.comparison.model_rows import OverSeeds, Seeds
from nlcli.evaluation.measured import Measured
from nlcli.evaluation.scored_images import Answers, Dense, ScoredImages, measure

RESAMPLES = 200


def classifiers(task: str, positives: int, classes: int = 10, seed: int = 0) -> Callable[[int], list[ScoredImages]]:
    """Draws ``classifiers(...)(n)``: the n-th test set, scored by two models, the second a little better.

    Images differ in how hard they are, classes in how well they are told; most of an image's noise is
    the same for both models. ``positives`` are to be expected of every class.
    """
    images = positives * classes if task == "single-label" else {3: 200, 10: 400, 100: 1000}[positives]
    if task == "multi-label" and classes > 20:
        images *= 2  # three labels an image, not one in ten of so many classes
    rng = np.random.default_rng([seed, positives, classes])
    shifts = rng.normal(1.6, 0.5, classes)
    models = shifts, shifts + rng.normal(0.15, 0.2, classes)
    names = tuple(f"c{i}" for i in range(classes))
    keys = np.array([f"{i}.jpg" for i in range(images)], object)

    def draw(n: int) -> list[ScoredImages]:
        rng = np.random.default_rng([seed, positives, classes, n])
        if task == "single-label":
            truth = rng.integers(0, classes, images)
            labels = np.eye(classes, dtype=np.uint8)[truth]
        else:
            truth = np.full(images, -1)
            labels = (rng.random((images, classes)) < positives / images).astype(np.uint8)
        hard, common = rng.normal(size=(images, 1)), rng.normal(size=labels.shape)
        scored = []
        for shift in models:
            noise = math.sqrt(0.75) * common + 0.5 * rng.normal(size=labels.shape)
            scores = (shift * labels * np.exp(0.3 * hard) + 0.4 * hard + noise).astype(np.float32)
            scored.append(ScoredImages(names, keys, Dense(labels, scores), Answers.of(truth, scores)))
        return scored

    return draw


def detections(images_a_class: int, classes: int = 10, seed: int = 0) -> Callable[[int], list[CheckedLabels]]:
    """The same of two detectors: about 30 % of the labels are wrong, of every class as many images on average."""
    images = images_a_class * classes
    rng = np.random.default_rng([seed, images_a_class, classes, 1])
    rates = np.clip(rng.normal(0.3, 0.1, classes), 0.05, 0.9)
    shifts = rng.normal(2, 0.5, classes)
    models = shifts, shifts + rng.normal(0.2, 0.3, classes)
    names = tuple(f"c{i}" for i in range(classes))
    keys = np.array([f"{i}.jpg" for i in range(images)], object)

    def draw(n: int) -> list[CheckedLabels]:
        rng = np.random.default_rng([seed, images_a_class, classes, 1, n])
        noisy = rng.integers(0, classes, images)
        right = rng.random(images) >= rates[noisy]
        common, nothing = rng.normal(size=images), np.zeros(images, bool)
        checked = []
        for shift in models:
            signal = shift[noisy] * np.where(right, 0.5, -0.5)
            score = (signal + 0.8 * common + 0.6 * rng.normal(size=images)).astype(np.float32)
            said = (1 / (1 + np.exp(-1.5 * score))).astype(np.float32)  # surer than it may be of most classes
            checked.append(CheckedLabels(names, keys, noisy, right, score >= 0, score, nothing, said))
        return checked

    return draw


@dataclass
class Coverage:
    """Of how many intervals how many held what they were to hold; how many were not given."""

    held: int = 0
    given: int = 0
    withheld: int = 0
    widths: list[float] = field(default_factory=list)

    def add(self, ends: tuple[float | None, float | None] | None, truth: float) -> None:
        """One more interval, None where there is none."""
        if ends is None or ends[0] is None or ends[1] is None:
            self.withheld += 1
            return
        self.given += 1
        self.held += ends[0] <= truth <= ends[1]
        self.widths.append(ends[1] - ends[0])

    @property
    def share(self) -> float:
        """Of those given, the part that held."""
        return self.held / max(1, self.given)


def coverage(
    draw: Callable[[int], list[ScoredImages]] | Callable[[int], list[CheckedLabels]],
    task: str,
    sets: int,
    truths: int = 1000,
) -> dict[str, Coverage]:
    """By metric (``mAP``, ``mAP difference``) the coverage of what is expected, the mean over ``truths`` other sets."""

    def measured(n: int, resamples: int) -> Iterator[Measured]:
        for one in draw(n):
            if isinstance(one, CheckedLabels):
                yield one.measure(resamples, n)
            else:
                yield measure(one, task, resamples, n)

    values = [[one.values for one in measured(sets + n, 0)] for n in range(truths)]
    names = list(values[0][0])
    truth = {name: np.nanmean([[one[name] for one in pair] for pair in values], axis=0) for name in names}
    found = {f"{name}{kind}": Coverage() for name in names for kind in ("", " difference")}
    for n in range(sets):
        first, second = measured(n, RESAMPLES)
        for name in names:
            own, other = (
                Seeds(np.array([one.values[name]]), one.replicates[name][None], one.supports[name])
                for one in (first, second)
            )
            rows = OverSeeds.of(own), OverSeeds.of(other, own)
            found[name].add(rows[0].interval, truth[name][0])
            found[name].add(rows[1].interval, truth[name][1])
            found[f"{name} difference"].add(rows[1].difference_interval, truth[name][1] - truth[name][0])
    return found
