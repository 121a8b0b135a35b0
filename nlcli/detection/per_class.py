"""One binary classifier a class, learned from its verified labels: the supervised baselines.

Lee 2018 section 4.2: "Supervised methods learn a binary classification from verification labels for
each class." What they share is here. Features are normalised to length one, so that one set of
hyper-parameters fits every backbone; the hyper-parameters are the same for all classes, those with
the least average error rate on the verified validation images.

A class without a right and a wrong verified label has nothing to learn from. All its images get the
share of right labels among its verified ones, which counts as one more image the share among all
classes' verified images.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import progress
from nlcli.detection.base import READ_ROWS, Data, Detector, Images
from nlcli.detection.threshold import best_threshold
from nlcli.detection.verification import RIGHT, UNVERIFIED
from nlcli.runtime import cpu_count
from nlcli.stages.files import read_arrays, write_arrays

State = Mapping[str, np.ndarray]
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class ClassImages:
    """Training images of one class.

    Attributes:
        features: (n, D) float32, of length one.
        label: (n,) int8, 1 right, 0 wrong, -1 not verified.
    """

    features: np.ndarray
    label: np.ndarray


class PerClass(Detector):
    """Base of detectors with a binary classifier a class."""

    uses_verification = True
    soft = True

    @abstractmethod
    def settings(self) -> Sequence[Setting]:
        """The hyper-parameters to choose among; the first ones hold where nothing can choose."""

    @abstractmethod
    def fit_class(self, images: ClassImages, settings: Sequence[Setting], seed: int) -> list[State]:
        """What is learned with each of ``settings`` from a class that has right and wrong labels."""

    @abstractmethod
    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        """(n,) scores in [0, 1] of ``features`` (n, D) of length one."""

    def positions(self, data: Data, c: int, seed: int) -> np.ndarray:
        """Positions in ``data.train`` of the images of class ``c`` that it learns from."""
        return data.at_most(verified_of_class(data.train, c), c, seed)

    # --- Detector ---

    def fit(self, data: Data, seed: int, work: Path) -> None:
        settings = list(self.settings())
        known = data.train.label != UNVERIFIED
        share = float(np.mean(data.train.label[known] == RIGHT))
        chosen_by = data.validation.verified
        score = np.empty((len(settings), len(chosen_by)))
        self._data, self._seed, self._prior = data, seed, {}
        self._states: dict[int, Path] = {}
        of_class = [np.flatnonzero(data.validation.noisy[chosen_by] == c) for c in range(len(data.classes))]
        for c, asked in enumerate(of_class):
            verified = verified_of_class(data.train, c)
            right = int((data.train.label[verified] == RIGHT).sum())
            if right in (0, len(verified)):
                self._prior[c] = (right + share) / (len(verified) + 1)
                score[:, asked] = self._prior[c]
            else:
                self._states[c] = work / f"class-{c:05d}.npz"
        for c, of_validation in self._fit_classes({c: chosen_by[of_class[c]] for c in self._states}, settings):
            score[:, of_class[c]] = of_validation
        self._choose(settings, score)
        self._say_what_is_not_told()
        self.natural_threshold = 0.5
        self._loaded: tuple[int, ClassImages, State] | None = None

    def _say_what_is_not_told(self) -> None:
        """Classes with images and nothing to learn from: what is learned of other classes says nothing of them."""
        data = self._data
        untold = [c for c in self._prior if len(data.train.of_class(c))]
        if untold:
            count = int(np.isin(data.train.noisy, untold).sum())
            self.remarks.append(
                f"{len(untold):,} classes without a right and a wrong verified label, {count:,} training images, have "
                "one score for all their images: verify some of them, or take a detector that needs none (margin, auto)"
            )

    def _fit_classes(
        self, asked: Mapping[int, np.ndarray], settings: list[Setting]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Each class and its ``_class``, a class on every processor at a time.

        A class's matrices are so small that several threads at one of them hinder each other.
        """
        # Warnings are filtered here because filters are not the threads' own. What is asked for as the most
        # iterations is what there shall be.
        import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which must be there to be limited
        import sklearn.utils  # noqa: F401 - and OpenMP
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        with progress(len(asked), f"fitting {self.name}", unit="classes") as bar, warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            with threadpool_limits(1), ThreadPoolExecutor(cpu_count()) as pool:
                under_way = {pool.submit(self._class, c, rows, settings): c for c, rows in asked.items()}
                try:
                    for future in as_completed(under_way):
                        yield under_way[future], future.result()
                        bar.advance()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def _class(self, c: int, asked: np.ndarray, settings: list[Setting]) -> np.ndarray:
        """(settings, n) scores of the validation images ``asked``; what was learned is in a file."""
        path, data = self._states[c], self._data
        # Subsampling is recorded as it is asked for, so it is asked for also where nothing is fitted.
        positions = self.positions(data, c, self._seed)
        if not path.exists():
            images = self._images(positions)
            states = self.fit_class(images, settings, self._seed)
            scores = np.empty((len(settings), len(asked)))
            for first in range(0, len(asked), READ_ROWS):
                part = slice(first, first + READ_ROWS)
                features = unit_length(data.features(data.validation, asked[part]))
                for i, (state, setting) in enumerate(zip(states, settings, strict=True)):
                    scores[i, part] = self.score_class(images, state, setting, features)
            of_states = {f"{i}/{name}": value for i, state in enumerate(states) for name, value in state.items()}
            write_arrays(path, {"validation": scores, **of_states})
        return read_arrays(path)["validation"]

    def _images(self, positions: np.ndarray) -> ClassImages:
        data = self._data
        return ClassImages(unit_length(data.features(data.train, positions)), data.train.label[positions])

    def _choose(self, settings: list[Setting], score: np.ndarray) -> None:
        validation = self._data.validation
        rows = validation.verified
        errors: list[float | None] = [None] * len(settings)
        if len(rows):
            errors = [best_threshold(line, validation.label[rows], validation.noisy[rows])[1] for line in score]
        self._number = min(range(len(settings)), key=lambda i: (errors[i] or 0.0, i))
        self._setting = settings[self._number]
        self.notes |= {
            "setting": dict(self._setting),
            "settings": [{**setting, "validation_error": e} for setting, e in zip(settings, errors, strict=True)],
            "classes_by_prior": [self._data.classes[c] for c in self._prior],
        }

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        score = np.empty(len(noisy), np.float32)
        for c in np.unique(noisy).tolist():
            inside = noisy == c
            if c in self._prior:
                score[inside] = self._prior[c]
            else:
                images, state = self._fitted(c)
                score[inside] = self.score_class(images, state, self._setting, unit_length(features[inside]))
        return score

    def _fitted(self, c: int) -> tuple[ClassImages, State]:
        """What the chosen setting learned of class ``c``; one class is held at a time."""
        if self._loaded is None or self._loaded[0] != c:
            prefix = f"{self._number}/"
            arrays = read_arrays(self._states[c])
            state = {n.removeprefix(prefix): value for n, value in arrays.items() if n.startswith(prefix)}
            self._loaded = c, self._images(self.positions(self._data, c, self._seed)), state
        return self._loaded[1:]


def verified_of_class(images: Images, c: int) -> np.ndarray:
    """Positions of the images of class ``c`` with a verified label, increasing."""
    return np.flatnonzero((images.noisy == c) & (images.label != UNVERIFIED))


def unit_length(features: np.ndarray) -> np.ndarray:
    """``features`` (n, D) divided by their Euclidean length; a zero vector stays one."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    normalised: np.ndarray = features / np.where(norms > 0, norms, 1).astype(features.dtype)
    return normalised


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    from scipy.special import expit

    y: np.ndarray = expit(x)
    return y
