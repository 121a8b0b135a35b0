"""Which noisy labels are wrong, as an estimator; by any registered detector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from nlcli.console import quietly
from nlcli.estimators.array_stages import place, workplace, write_labels, write_vectors
from nlcli.estimators.checked_input import checked_arrays, seed_of, share_of_verified
from nlcli.estimators.label_arrays import Checked, LabelArrays, draw_validation

if TYPE_CHECKING:
    import pandas as pd

    from nlcli.detection.config import DetectNoise
    from nlcli.estimators.classifier import NoisyLabelClassifier


class LabelNoiseDetector(BaseEstimator):  # type: ignore[misc]  # scikit-learn states no types
    """Tells wrong noisy labels from right ones, as ``nlcli detect-noise`` does; with several labels a row wrong and
    missing ones.

    It judges the labels that it is fitted to and no others, so there is ``fit_predict`` and no ``predict``. Attributes
    have an entry a row; with several labels a row they are CSR matrices (n, C) of the entries that are listed: given
    labels and the likeliest of the others.

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
        self.random_state = random_state
        self.work = work
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
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
    ) -> Self:
        """Judge the noisy labels ``y`` of ``X``; arguments as of ``NoisyLabelClassifier.fit``.

        Raises:
            ValueError: arrays that do not fit together.
            NlcliError: what ``detect-noise`` refuses, such as a detector that cannot be without verified labels.
        """
        from nlcli.detection.detect_noise import detect_noise

        features, labels = checked_arrays(
            self, X, y, Checked(verified=verified, right=right, present=present, absent=absent, validation=validation)
        )
        seed, share = seed_of(self.random_state), share_of_verified(self.validation_fraction)
        if validation is None and share:
            draw_validation(labels.table, share, seed)
        with quietly(not self.verbose), workplace(self.work) as folder:
            dataset = write_labels(labels.table, folder)
            vectors = write_vectors(features, labels.table.keys.tolist(), dataset, folder)
            config = self._config(labels, dataset, vectors, seed, folder)
            self._take(detect_noise(config), labels)
        self.classes_ = labels.classes
        return self

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

    def _take(self, detection: Path, labels: LabelArrays) -> None:
        if labels.several:
            self._take_entries(detection, labels)
        else:
            self._take_labels(detection, labels)

    def _take_labels(self, detection: Path, labels: LabelArrays) -> None:
        from nlcli.data.detection_files import read_detection

        found = read_detection(detection)
        back = np.argsort(found.keys.astype(np.int64))  # the keys are the rows' numbers; all of them are there
        self.wrong_ = found.verdict[back] == 0
        self.scores_, self.probability_ = found.score[back], found.probability[back]
        other = np.where(found.suggested >= 0, found.suggested, found.noisy)[back]
        self.suggested_, self.suggested_probability_ = labels.classes[other], found.suggested_probability[back]
        self._given = labels.classes[found.noisy[back]]
        self.record_ = found.info.to_json()

    def _take_entries(self, detection: Path, labels: LabelArrays) -> None:
        from nlcli.data.tag_detection_files import read_tag_detection

        found = read_tag_detection(detection)
        entries = found.entries()
        shape = (len(labels.table), labels.table.num_classes)
        at = (entries.keys.astype(np.int64), entries.classes)

        def listed(values: np.ndarray, which: np.ndarray | None = None) -> csr_array:
            rows, columns = at if which is None else (at[0][which], at[1][which])
            return csr_array((values if which is None else values[which], (rows, columns)), shape=shape)

        self.wrong_ = listed(~entries.right, ~entries.right)
        self.scores_, self.probability_ = listed(entries.score), listed(entries.probability)
        should = entries.given == entries.right
        self.suggested_ = listed(should.astype(np.uint8), should)
        self._given = listed(entries.given.astype(np.uint8), entries.given)
        self.record_ = found.info.to_json()

    def issues(self) -> pd.DataFrame:
        """What is called wrong, the surest first.

        Returns:
            With one label a row: ``row, label, suggested, score, probability`` (that the label is right)
            ``, suggested_probability``. With several: ``row, class, issue`` (wrong or missing) ``, score,
            probability`` (that the class is present).
        """
        import pandas as pd

        check_is_fitted(self)
        if isinstance(self.wrong_, csr_array):
            row, column = (axis.astype(np.int64) for axis in self.wrong_.nonzero())
            given = np.asarray(self._given.tocsr()[row, column]).ravel() > 0
            probability = np.asarray(self.probability_[row, column]).ravel()
            doubt = np.where(given, probability, 1 - probability)
            columns = {
                "row": row,
                "class": self.classes_[column],
                "issue": np.where(given, "wrong", "missing"),
                "score": np.asarray(self.scores_[row, column]).ravel(),
                "probability": probability,
            }
        else:
            row = np.flatnonzero(self.wrong_)
            doubt = self.scores_[row]
            columns = {
                "row": row,
                "label": self._given[row],
                "suggested": self.suggested_[row],
                "score": self.scores_[row],
                "probability": self.probability_[row],
                "suggested_probability": self.suggested_probability_[row],
            }
        return pd.DataFrame(columns).iloc[np.argsort(doubt, kind="stable")].reset_index(drop=True)
