"""Which noisy labels are wrong, as an estimator; by any registered detector."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from nlcli.console import quietly
from nlcli.errors import unknown_name
from nlcli.estimators.array_stages import (
    digest_of_rows,
    fingerprint_of_labels,
    in_turn,
    place,
    workplace,
    write_labels,
    write_vectors,
)
from nlcli.estimators.checked_input import checked_arrays, checked_features, seed_of, share_of_verified
from nlcli.estimators.class_labels import WrongArray
from nlcli.estimators.feature_rows import Features, one_below_the_other
from nlcli.estimators.judgement import Judgement, judgement_of
from nlcli.estimators.label_arrays import Checked, LabelArrays, draw_validation, with_new_rows

if TYPE_CHECKING:
    import pandas as pd

    from nlcli.detection.config import DetectNoise
    from nlcli.estimators.classifier import NoisyLabelClassifier


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a detector was fitted to, kept where new rows are to be judged beside it."""

    features: Features
    labels: LabelArrays
    seed: int


_NO_WEIGHTS = (
    "LabelNoiseDetector takes no sample_weight: what it measures are counts of rows; leave it out, take out the rows "
    "that shall not count, or weigh them in NoisyLabelClassifier"
)


def _unknown(name: str) -> str:
    known = set(inspect.signature(LabelNoiseDetector.fit).parameters) - {"self", "others"}
    return f"LabelNoiseDetector.fit(): {unknown_name(name, known, 'argument')}"


def _judges_new_rows(detector: LabelNoiseDetector) -> bool:
    return detector.novelty


class LabelNoiseDetector(BaseEstimator):  # type: ignore[misc]  # scikit-learn states no types
    """Tells wrong noisy labels from right ones, as ``nlcli detect-noise`` does; with several labels a row wrong and
    missing ones.

    It judges the labels that it is fitted to (``fit_predict``) and, with ``novelty``, also others, as scikit-learn's
    ``LocalOutlierFactor`` does: then ``predict(X, y)`` and ``score_samples(X, y)`` take rows that were not in ``fit``.
    What is judged is a row with its label, so that both take labels, too. Attributes have an entry a row; with several
    labels a row they are CSR matrices (n, C) of the entries that are listed: given labels and the likeliest of the
    others.

    Args:
        method: Any detector; ``nlcli detectors`` lists them, and with ``--tags`` those of several labels a row.
        options: Of the detector, such as ``{"neighbours": 5}``.
        threshold: Score from which a label is right (None: chosen on verified labels); with several labels a row the
            probability from which a given one is.
        missing_threshold: With several labels a row: probability from which one is missing (None: chosen).
        clean_fraction: Part of the verified training rows that is used.
        validation_fraction: Part of the verified rows, drawn by class, that the detector does not see, and that
            ``record_`` measures errors on. Not used where ``fit`` is given ``validation``.
        others, floor: With several labels a row: how many classes without a label are listed for a row, and from
            which probability on.
        classifier: A fitted ``NoisyLabelClassifier`` whose scores are taken, by detectors that take some (``run``,
            ``classification-filter``).
        classes: Names of the columns of ``y`` with several labels a row; None: those of a data frame, else 0, 1, ...
        novelty: Whether rows that were not in ``fit`` can be judged; the detector then keeps ``X``.
        random_state, work, verbose: As of ``NoisyLabelClassifier``.

    Attributes:
        wrong_: bool, whether a label is called wrong (given and wrong, or missing).
        scores_: float32, higher for what is more likely right; with several labels a row more likely present.
        probability_: float32, that the label is right, NaN where nothing verified tells; with several labels a row
            that the class is present.
        suggested_: The likeliest other class, the label itself where none is known; with several labels a row all
            labels as they should be.
        suggested_probability_: float32, that the suggested class is right, with one label a row.
        record_: What ``detection.json`` says: threshold, errors with intervals, remarks.
        classes_, n_features_in_, feature_names_in_: As in scikit-learn.

    Example:
        >>> import numpy as np, nlcli
        >>> X = np.repeat([[0.0, 1.0], [1.0, 0.0]], 30, axis=0)
        >>> noisy = np.repeat(["cat", "dog"], 30)
        >>> noisy[0] = "dog"
        >>> nlcli.LabelNoiseDetector("confident-learning").fit_predict(X, noisy).nonzero()[0].tolist()
        [0]
    """

    def __init__(
        self,
        method: str = "auto",
        *,
        options: dict[str, Any] | None = None,
        threshold: float | None = None,
        missing_threshold: float | None = None,
        clean_fraction: float = 1.0,
        validation_fraction: float = 0.2,
        others: int = 10,
        floor: float = 0.05,
        classifier: NoisyLabelClassifier | None = None,
        classes: Sequence[str] | None = None,
        novelty: bool = False,
        random_state: Any = 0,
        work: str | os.PathLike[str] | None = None,
        verbose: bool = False,
    ) -> None:
        self.method = method
        self.options = options
        self.threshold = threshold
        self.missing_threshold = missing_threshold
        self.clean_fraction = clean_fraction
        self.validation_fraction = validation_fraction
        self.others = others
        self.floor = floor
        self.classifier = classifier
        self.classes = classes
        self.novelty = novelty
        self.random_state = random_state
        self.work = work
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags

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
        **others: Any,
    ) -> Self:
        """Judge the noisy labels ``y`` of ``X``; arguments as of ``NoisyLabelClassifier.fit``, without weights of rows.

        Raises:
            ValueError: arrays that do not fit together.
            TypeError: other arguments.
            NlcliError: what ``detect-noise`` refuses, such as a detector that cannot be without verified labels.
        """
        for name in others:  # not named above, or scikit-learn would take it that weights are heeded
            raise TypeError(_NO_WEIGHTS if name == "sample_weight" else _unknown(name))
        features, labels, _ = checked_arrays(
            self, X, y, Checked(verified=verified, right=right, present=present, absent=absent, validation=validation)
        )
        seed, share = seed_of(self.random_state), share_of_verified(self.validation_fraction)
        if validation is None and share:
            draw_validation(labels.table, share, seed)
        judgement, self.record_ = self._detected(features, labels, seed)
        self._take(judgement)
        self.classes_ = labels.classes
        self._seen: _Seen | None = _Seen(features, labels, seed) if self.novelty else None
        self._answered: tuple[tuple[str, str], Judgement] | None = None
        return self

    def _detected(self, features: Features, labels: LabelArrays, seed: int) -> tuple[Judgement, dict[str, Any]]:
        """What ``detect-noise`` says of all rows."""
        from nlcli.detection.detect_noise import detect_noise

        def detected(folder: Path) -> Path:
            dataset = write_labels(labels.table, folder)
            vectors = write_vectors(features, labels.table.keys.tolist(), dataset, folder)
            return detect_noise(self._config(labels, dataset, vectors, seed, folder))

        with quietly(not self.verbose), workplace(self.work) as folder:
            return judgement_of(in_turn(lambda: detected(folder)), labels)

    def fit_predict(self, X: Any, y: Any, **checked: Any) -> Any:
        """``fit``, and which labels are called wrong: ``wrong_``."""
        return self.fit(X, y, **checked).wrong_

    def _config(self, labels: LabelArrays, dataset: Path, features: Path, seed: int, folder: Path) -> DetectNoise:
        from nlcli.detection.config import DetectNoise

        told: dict[str, Any] = {
            "dataset": dataset,
            "features": features,
            "output": Path("unnamed"),
            "method": self.method,
            "options": dict(self.options or {}),
            "threshold": self.threshold,
            "clean_fraction": self.clean_fraction,
            "seed": seed,
            "suspects": 0,
        }
        if labels.several:
            told |= {"missing_threshold": self.missing_threshold, "others": self.others, "floor": self.floor}
        of_run = None
        if self.classifier is not None:
            check_is_fitted(self.classifier)
            told["from_run" if labels.several else "classifier"] = self.classifier.save(folder / "run", force=True)
            of_run = self.classifier.run_.fingerprint
        config = DetectNoise.parse(told, type(self).__name__)
        facts = (config.recipe(), dataset.name, features.name, of_run)
        return config.model_copy(update={"output": place(folder, "detection", *facts)})

    # --- what came of it ---

    def _take(self, judgement: Judgement) -> None:
        self.wrong_, self.scores_, self.probability_ = judgement.wrong, judgement.scores, judgement.probability
        self.suggested_ = judgement.suggested
        if judgement.suggested_probability is not None:
            self.suggested_probability_ = judgement.suggested_probability
        self._judgement = judgement

    def issues(self, X: Any = None, y: Any = None) -> pd.DataFrame:
        """What is called wrong, the surest first.

        Args:
            X, y: Features and noisy labels that were not in ``fit``; only with ``novelty``. None: those of ``fit``.

        Returns:
            With one label a row: ``row, label, suggested, score, probability`` (that the label is right)
            ``, suggested_probability``. With several: ``row, class, issue`` (wrong or missing) ``, score,
            probability`` (that the class is present).
        """
        check_is_fitted(self)
        judgement = self._judgement if X is None and y is None else self._judged(X, y)
        return judgement.issues(self.classes_)

    # --- new rows ---

    @available_if(_judges_new_rows)  # type: ignore[untyped-decorator]  # scikit-learn states no types
    def predict(self, X: Any, y: Any) -> Any:
        """Whether each noisy label ``y`` of new rows ``X`` is called wrong, as ``wrong_`` says of those of ``fit``.

        Nothing of ``y`` is learned from. The detector is fitted to the rows of ``fit`` once more, so that this takes as
        long as ``fit`` did; asked again about the same rows, it answers from memory.

        Raises:
            ValueError: arrays that do not fit together, or a class that ``fit`` has not seen.
        """
        return self._judged(X, y).wrong

    @available_if(_judges_new_rows)  # type: ignore[untyped-decorator]  # scikit-learn states no types
    def score_samples(self, X: Any, y: Any) -> Any:
        """The score of each noisy label ``y`` of new rows ``X``, as ``scores_``; see ``predict``."""
        return self._judged(X, y).scores

    def _judged(self, X: Any, y: Any) -> Judgement:
        check_is_fitted(self)
        seen = self._seen
        if seen is None:
            raise WrongArray("new rows are judged by LabelNoiseDetector(novelty=True), which keeps X; fit it so")
        features = checked_features(self, X)
        count = len(seen.labels.table)
        labels = with_new_rows(seen.labels, y, features.shape[0])
        asked = (digest_of_rows(features), fingerprint_of_labels(labels.table))
        if self._answered is None or self._answered[0] != asked:
            both = one_below_the_other(seen.features, features)
            whole, _ = self._detected(both, labels, seen.seed)
            self._answered = asked, whole.of_rows(count, count + features.shape[0])
        return self._answered[1]
