"""A classifier as scikit-learn has them, trained by any method that takes features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from nlcli.console import quietly
from nlcli.errors import NlcliError
from nlcli.estimation.linear_model import log_softmax
from nlcli.estimators.array_stages import in_turn, place, workplace, write_labels, write_row_weights, write_vectors
from nlcli.estimators.checked_input import checked_arrays, checked_features, seed_of, share_of_verified
from nlcli.estimators.class_labels import WrongArray, places, plain_labels
from nlcli.estimators.feature_rows import Features, dense_parts
from nlcli.estimators.kept_run import KeptRun
from nlcli.estimators.label_arrays import Checked, LabelArrays, draw_validation, matrix
from nlcli.estimators.saved_classifier import ESTIMATOR, ClassifierRecord, kind_of

if TYPE_CHECKING:
    from nlcli.training.config import TrainHead

STEPPED_VALIDATION = 0.2
"""Of the verified rows, those that choose the step where a method takes steps and nobody says how many."""


class NoisyLabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn states no types
    """A classifier trained on many noisy labels and a few that people checked, as ``nlcli train-head`` trains it.

    The arrays are written as a data set and features, and ``train-head`` runs on these: the head has the bits that the
    command line would have given it.

    Args:
        method: Any method for features; ``nlcli methods`` lists them.
        options: Of the method, such as ``{"alpha": 0.2}``.
        preset: A paper's settings.
        steps, learning_rate, batch_size: Of methods that take steps; None: the method's.
        clean_fraction: Part of the verified training rows that is used.
        validation_fraction: Part of the verified rows that chooses instead of training, drawn by class; None: a fifth
            where the method takes steps, none where it is solved. Not used where ``fit`` is given ``validation``.
        detector: What weights noisy labels for methods that need that (``cleannet``).
        classes: Names of the columns of ``y`` with several labels a row; None: those of a data frame, else 0, 1, ...
        random_state: A whole number is the seed itself.
        work: Folder in which data set, features and run stay, so that a killed ``fit`` goes on where it was and equal
            ones are done once; None: a passing one in the system's temporary folder, which takes as much as ``X``.
        verbose: Tell what happens, on standard error.

    Attributes:
        classes_: (C,) labels; with several labels a row the names of the columns.
        n_features_in_, feature_names_in_: As in scikit-learn.
        result_: What ``result.json`` says: what chose, on which clean labels it rests, remarks.
        run_: The finished run.

    Example:
        >>> import numpy as np, nlcli
        >>> X = np.random.default_rng(0).normal(size=(60, 4))
        >>> noisy = np.where(X[:, 0] > 0, "cat", "dog")
        >>> verified = np.where(np.arange(60) < 20, noisy, None)  # nobody looked at the others
        >>> nlcli.NoisyLabelClassifier().fit(X, noisy, verified=verified).predict(X[:2]).tolist()
        ['cat', 'dog']
    """

    def __init__(
        self,
        method: str = "auto",
        *,
        options: dict[str, Any] | None = None,
        preset: str | None = None,
        steps: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        clean_fraction: float = 1.0,
        validation_fraction: float | None = None,
        detector: str = "auto",
        classes: Sequence[str] | None = None,
        random_state: Any = 0,
        work: str | os.PathLike[str] | None = None,
        verbose: bool = False,
    ) -> None:
        self.method = method
        self.options = options
        self.preset = preset
        self.steps = steps
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.clean_fraction = clean_fraction
        self.validation_fraction = validation_fraction
        self.detector = detector
        self.classes = classes
        self.random_state = random_state
        self.work = work
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = True
        return tags

    # --- fitting ---

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        verified: Any = None,
        right: Any = None,
        present: Any = None,
        absent: Any = None,
        validation: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Train on noisy labels and what was checked of them. What is given for rows can be sliced with them.

        Args:
            X: (n, D) features, dense or sparse.
            y: (n,) noisy labels, or (n, C) ones and zeros, dense or sparse, where a row may have several.
            verified: With one label a row: (n,) true labels, None (or NaN, or -1 where no class is) where nobody
                looked. With several: (n,) booleans, rows of which every class was looked at.
            right: With one label a row: (n,) True or False where a person said so of the noisy label, else None.
            present, absent: With several: (n, C) ones where a person saw the class, and where it is not, dense or
                sparse. What is in neither is unchecked, but in rows that ``verified`` calls so.
            validation: (n,) booleans, rows that choose and do not train.
            sample_weight: (n,) what a row counts in the loss, from 0 on; only of methods that are solved, the default
                among them. A row of 2 counts as two such rows, one of 0 as none. What chooses (the strength of
                regularisation, candidates) counts every row above 0 once, and so does what says how labels go wrong.

        Raises:
            ValueError: arrays that do not fit together.
            NlcliError: what ``train-head`` refuses, such as a method that cannot be without verified labels.
        """
        checked = Checked(verified=verified, right=right, present=present, absent=absent, validation=validation)
        features, labels, weights = checked_arrays(self, X, y, checked, sample_weight)
        seed = seed_of(self.random_state)
        with quietly(not self.verbose):
            if validation is None:
                share = self._validation_share()
                if share:
                    draw_validation(labels.table, share, seed)
            with workplace(self.work) as folder:
                self.run_ = KeptRun.of(in_turn(lambda: self._trained(features, labels, weights, seed, folder)))
        self.classes_, self._sparse = labels.classes, labels.sparse
        self.result_ = self.run_.result()
        return self

    def _trained(
        self, features: Features, labels: LabelArrays, weights: np.ndarray | None, seed: int, folder: Path
    ) -> Path:
        from nlcli.methods import get_method
        from nlcli.training.train_head import train_head

        dataset = write_labels(labels.table, folder)
        vectors = write_vectors(features, labels.table.keys.tolist(), dataset, folder)
        method = get_method(self.method)
        more: dict[str, Path] = {}
        if weights is not None:
            more["image_weights"] = write_row_weights(weights, labels.table.keys, folder)
        if method.whole_network:
            raise NlcliError(f"method {self.method} trains the network that features come from; name another method")
        if method.needs_detection:
            more["detection"] = _detected(self.detector, dataset, vectors, self.clean_fraction, seed, folder)
        if method.needs_last_layer:
            more["init"] = train_head(_at(folder, self._config(dataset, vectors, seed, "noisy", more)))
        return train_head(_at(folder, self._config(dataset, vectors, seed, more=more)))

    def _config(
        self,
        dataset: Path,
        features: Path,
        seed: int,
        method: str | None = None,
        more: Mapping[str, Path] = MappingProxyType({}),
    ) -> TrainHead:
        """What ``train-head`` is asked for; of another ``method`` with the options that every one has."""
        from nlcli.training.config import TrainHead

        own = (
            {}
            if method
            else {
                "options": dict(self.options or {}),
                "preset": self.preset,
                "steps": self.steps,
                "learning_rate": self.learning_rate,
                "batch_size": self.batch_size,
            }
        )
        told = {
            "dataset": dataset,
            "features": features,
            "output": Path("unnamed"),
            "method": method or self.method,
            "clean_fraction": self.clean_fraction,
            "seed": seed,
        }
        return TrainHead.parse({**told, **own, **more}, type(self).__name__)

    def _validation_share(self) -> float:
        from nlcli.training.train_head import method_settings

        if self.validation_fraction is not None:
            return share_of_verified(self.validation_fraction)
        settings = method_settings(self._config(Path("none"), Path("none"), 0))
        return 0.0 if getattr(settings, "solver", "steps") == "solved" else STEPPED_VALIDATION

    # --- using ---

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, C); with one label a row each row sums to 1, with several each class is by itself."""
        parts = [expit(part) if self._several else np.exp(part) for part in self._decisions(X)]
        return np.concatenate(parts)

    def decision_function(self, X: Any) -> np.ndarray:
        """What orders rows as ``predict_proba`` does, also where that is all but 0 or 1.

        Returns:
            float64: with one label a row (n, C) log-probabilities, of two classes (n,) the log-odds of the second; with
            several (n, C) log-odds.
        """
        decisions = np.concatenate(list(self._decisions(X)))
        return decisions[:, 1] - decisions[:, 0] if decisions.shape[1] == 2 and not self._several else decisions

    def predict(self, X: Any) -> Any:
        """The likeliest label (n,); with several labels a row (n, C) ones where a class is likelier than not."""
        parts = list(self._decisions(X))
        if self._several:
            return self._matrix(np.concatenate([part >= 0 for part in parts]))
        return self.classes_[np.concatenate([part.argmax(axis=1) for part in parts])]

    def clean(self, X: Any, y: Any) -> Any:
        """Noisy labels ``y`` of ``X`` as the method has cleaned them, of one that does (``veit``, ``teacher-student``,
        ``noise-types``).

        Raises:
            NlcliError: it gives no cleaned labels; ``LabelNoiseDetector`` tells wrong ones of any data.
        """
        check_is_fitted(self)
        features, several = checked_features(self, X), self._several
        rows, classes = features.shape[0], len(self.classes_)
        if several:
            noisy = matrix(y, (rows, classes), "y").toarray()
        else:
            given = plain_labels(np.asarray(y))
            if given.shape != (rows,) or not np.isin(given, self.classes_).all():
                raise WrongArray(f"y has to be {rows:,} of the classes that the estimator was fitted with")
            noisy = np.eye(classes, dtype=np.uint8)[places(given, self.classes_)]
        parts = dense_parts(features)
        cleaned = np.concatenate([self.run_.head.cleaned(noisy[at : at + len(part)], part) for at, part in parts])
        return self._matrix(cleaned >= 0.5) if several else self.classes_[cleaned.argmax(axis=1)]

    @property
    def _several(self) -> bool:
        return bool(self.run_.head.task == "multi-label")

    def _decisions(self, X: Any) -> Iterator[np.ndarray]:
        """(n, C) float64 log-odds of several labels, log-probabilities of one; some rows at a time."""
        check_is_fitted(self)
        for _, part in dense_parts(checked_features(self, X)):
            logits = self.run_.head.logits(part)
            if logits is None:
                scores = self.run_.head.score(part).astype(np.float64)
                yield _log_odds(scores) if self._several else np.log(_of_one(scores))
            else:
                yield logits if self._several else log_softmax(logits)

    def _matrix(self, of: np.ndarray) -> Any:
        whole = of.astype(np.int64)
        return csr_array(whole) if self._sparse else whole

    # --- on disk ---

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the fitted estimator to ``path``: a run's directory, which ``load_head`` and ``nlcli info`` read, too.

        Args:
            force: Replace what an estimator or a command of nlcli wrote there.

        Raises:
            NlcliError: something else is there.
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        if not isinstance(parameters["random_state"], int | np.integer | None):
            parameters["random_state"] = None
        parameters |= {"work": None, "classes": None if self.classes is None else [str(c) for c in self.classes]}
        record = ClassifierRecord(
            parameters=parameters,
            kind=kind_of(self.classes_),
            classes=tuple(self.classes_.tolist()),
            sparse=self._sparse,
            features=tuple(self.feature_names_in_.tolist()) if hasattr(self, "feature_names_in_") else None,
        )
        return self.run_.publish(path, {ESTIMATOR: record.to_bytes()}, force=force)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator that was saved at ``path``; also the head of a run that ``train-head`` trained on features.

        Raises:
            NlcliError: there is none, or its files are damaged.
        """
        run, where = KeptRun.of(Path(path)), Path(path) / ESTIMATOR
        head = run.head
        if where.is_file():
            record = ClassifierRecord.read(where)
            unknown = sorted(set(record.parameters) - set(cls().get_params()))
            if unknown or len(record.classes) != len(head.classes):
                raise NlcliError(f"{where} does not fit the run that it stands beside; save the estimator again")
            made = cls(**record.parameters)
            made.classes_, made._sparse = record.class_labels(), record.sparse
            if record.features is not None:
                made.feature_names_in_ = np.asarray(record.features, object)
        else:
            made = cls(head.method.name)
            made.classes_, made._sparse = np.asarray(head.classes), False
        made.run_, made.result_, made.n_features_in_ = run, run.result(), head.num_features
        return made


_SMALL = np.finfo(np.float32)
"""What scores are held in: there is nothing between its least numbers and 0 or 1."""


def _of_one(scores: np.ndarray) -> np.ndarray:
    """(n, C) probabilities of classes of which a row has one, all above 0."""
    bounded = np.maximum(scores, _SMALL.tiny)
    shares: np.ndarray = bounded / bounded.sum(axis=1, keepdims=True)
    return shares


def _log_odds(scores: np.ndarray) -> np.ndarray:
    """(n, C) of probabilities, finite."""
    bounded = np.clip(scores, _SMALL.tiny, 1 - _SMALL.epsneg)
    odds: np.ndarray = np.log(bounded) - np.log1p(-bounded)
    return odds


def _at(folder: Path, config: TrainHead) -> TrainHead:
    """``config`` with its output in ``folder``, where its settings and inputs decide."""
    inputs = [
        None if path is None else path.name for path in (config.dataset, config.features, config.init, config.detection)
    ]
    if config.image_weights is not None:
        inputs.append(config.image_weights.name)
    return config.model_copy(update={"output": place(folder, "run", config.recipe(), inputs)})


def _detected(detector: str, dataset: Path, features: Path, clean_fraction: float, seed: int, folder: Path) -> Path:
    from nlcli.detection.config import DetectNoise
    from nlcli.detection.detect_noise import detect_noise

    config = DetectNoise(
        dataset=dataset,
        features=features,
        output=Path("unnamed"),
        method=detector,
        clean_fraction=clean_fraction,
        seed=seed,
        suspects=0,
    )
    output = place(folder, "detection", config.recipe(), dataset.name, features.name)
    return detect_noise(config.model_copy(update={"output": output}))
