"""What a user would otherwise take: scikit-learn as it comes, cleanlab, a vote of neighbours, and a careful regression.

``regression`` is the floor that nothing recommended may fall below: one L2-regularised logistic regression on features
of unit length, the verified labels put in, how strong and how they are weighted chosen out of fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.accuracy.cases import Answer, Case
from nlcli.estimation.cross_fitting import out_of_fold, strata_of_tags, stratified_folds
from nlcli.estimation.design import as_blocks
from nlcli.estimation.linear_model import Task, probabilities
from nlcli.estimation.objective import Term
from nlcli.estimation.path import path_values
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import solve

_FOLDS = 5
_WEIGHTS = (1.0, 5.0, 20.0)

Reference = Callable[[Case], Answer | None]


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


# --- scikit-learn as it comes ----------------------------------------------------------------


def sklearn_noisy(case: Case) -> Answer:
    """LogisticRegression on the noisy labels alone; a margin out of fold for how right they are."""
    return _as_it_comes(case, np.arange(len(case.noisy)), case.noisy)


def sklearn_clean(case: Case) -> Answer | None:
    """On the verified images alone."""
    return None if not len(case.verified) else _as_it_comes(case, case.verified, case.known, scores=False)


def sklearn_both(case: Case) -> Answer | None:
    """On all images, the verified labels put in."""
    return None if not len(case.verified) else _as_it_comes(case, np.arange(len(case.noisy)), case.labels)


def sklearn_true(case: Case, truth: np.ndarray) -> Answer:
    """On the true labels of all images: what could be reached, not a method."""
    return _as_it_comes(case, np.arange(len(case.noisy)), truth, scores=False)


def _as_it_comes(case: Case, rows: np.ndarray, labels: np.ndarray, scores: bool = True) -> Answer:
    features = unit(case.features)
    test = fitted(features[rows], labels, case.classes)(unit(case.test_features))
    if not scores:
        return Answer(test)
    return Answer(test, *_rightness(case, predicted_apart(features, labels, case.classes)))


def fitted(
    features: np.ndarray, labels: np.ndarray, classes: int, strength: float = 1.0, weights: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Class probabilities by logistic regression; of several labels, one a class."""
    from sklearn.linear_model import LogisticRegression

    def model(of: np.ndarray) -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LogisticRegression(C=strength, max_iter=500).fit(features, of, sample_weight=weights)

    if labels.ndim == 1:
        there = np.unique(labels)
        if len(there) == 1:
            return lambda x: np.eye(classes)[np.full(len(x), there[0])]
        whole = model(labels)

        def predict(x: np.ndarray) -> np.ndarray:
            scores = np.zeros((len(x), classes))
            scores[:, whole.classes_] = whole.predict_proba(x)
            return scores

        return predict
    each = [model(column) if 0 < column.sum() < len(column) else None for column in labels.T]
    means = labels.mean(axis=0)
    return lambda x: np.stack(
        [np.full(len(x), means[c]) if one is None else one.predict_proba(x)[:, 1] for c, one in enumerate(each)],
        axis=1,
    )


def predicted_apart(
    features: np.ndarray, labels: np.ndarray, classes: int, strength: float = 1.0, weights: np.ndarray | None = None
) -> np.ndarray:
    """(n, C) probabilities of each image by fits to the others' folds."""
    fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    scores = np.zeros((len(labels), classes))
    for k in range(_FOLDS):
        own = fold == k
        kept = None if weights is None else weights[~own]
        scores[own] = fitted(features[~own], labels[~own], classes, strength, kept)(features[own])
    return scores


def _rightness(case: Case, scores: np.ndarray) -> tuple[np.ndarray, float | None]:
    """The margin of each noisy label, and where right begins; of several labels the scores themselves."""
    if case.several:
        return scores, None
    return margin(scores, case.noisy), None


def margin(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probability of the label less the largest other's."""
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return scores[rows, labels] - others.max(axis=1)


# --- a careful regression --------------------------------------------------------------------


def regression(case: Case) -> Answer:
    """Strength and weight of the verified images chosen out of fold on these; the noisy labels' own without any.

    Solved by ``nlcli.estimation``, which is tested to reach scikit-learn's optimum and warm-starts along the path.
    """
    features = np.asarray(unit(case.features), np.float32)
    labels = case.labels
    targets = labels if case.several else np.eye(case.classes)[labels]
    scored = case.verified if len(case.verified) else np.arange(len(labels))
    folds = stratified_folds(strata_of_tags(labels) if case.several else labels, _FOLDS)
    task: Task = "multi-label" if case.several else "single-label"
    path, turned = path_values(features)[1:8], Preconditioner(as_blocks(features))
    best, chosen = (-np.inf, 1.0, 0.0), np.empty(0)
    for weight in _WEIGHTS if len(case.verified) else _WEIGHTS[:1]:
        weights = np.ones(len(labels))
        weights[case.verified] = weight
        term = Term(targets, weights)
        of_path = out_of_fold(features, term, task, case.classes, path, folds, tolerance=1e-4, preconditioner=turned)
        for logits, l2 in zip(of_path, path, strict=True):
            scores = probabilities(logits.astype(np.float64), task)
            value = _log_likelihood(scores[scored], labels[scored])
            if value > best[0]:
                best, chosen = (value, weight, l2), scores
    _, weight, l2 = best
    weights = np.ones(len(labels))
    weights[case.verified] = weight
    model = solve(features, Term(targets, weights), task, case.classes, l2).model
    test = model.probabilities(np.asarray(unit(case.test_features), np.float32))
    right, threshold = _rightness(case, chosen)
    return Answer(test, right, threshold, note=f"l2 {l2:.2g}, weight {weight:g}")


def _log_likelihood(scores: np.ndarray, labels: np.ndarray) -> float:
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    if labels.ndim == 1:
        return float(np.log(clipped[np.arange(len(labels)), labels]).mean())
    return float((labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped)).mean())


# --- cleanlab --------------------------------------------------------------------------------


def cleanlab(case: Case) -> Answer | None:
    """CleanLearning around LogisticRegression, and label quality scores of probabilities out of fold."""
    if case.several:
        return _cleanlab_several(case)
    from cleanlab.classification import CleanLearning
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression

    features = unit(case.features)
    scores = predicted_apart(features, case.labels, case.classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CleanLearning(LogisticRegression(max_iter=500), seed=case.seed, verbose=False)
        model.fit(features, case.labels, pred_probs=scores)
        test = model.predict_proba(unit(case.test_features))
    quality = get_label_quality_scores(case.noisy, scores, method="normalized_margin")
    return Answer(test, quality)


def _cleanlab_several(case: Case) -> Answer:
    """Only its scores by class and its issues: CleanLearning is for one label an image."""
    from cleanlab.filter import find_multilabel_issues_per_class
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    scores = predicted_apart(unit(case.features), case.labels, case.classes)
    lists = [np.flatnonzero(row).tolist() for row in case.noisy]
    own = get_label_quality_scores_per_class(labels=lists, pred_probs=scores)
    issues = np.asarray(find_multilabel_issues_per_class(labels=lists, pred_probs=scores), bool)
    given = case.noisy > 0
    return Answer(None, np.where(given, own, 1 - own), present=given ^ issues)


# --- neighbours ------------------------------------------------------------------------------


def neighbours_10(case: Case) -> Answer:
    """The vote of the 10 nearest by cosine."""
    return _vote(case, 10)


def neighbours_50(case: Case) -> Answer:
    """The vote of the 50 nearest."""
    return _vote(case, 50)


def _vote(case: Case, count: int) -> Answer:
    from sklearn.neighbors import NearestNeighbors

    features, labels = unit(case.features), case.labels
    onehot = labels if case.several else np.eye(case.classes)[labels]
    search = NearestNeighbors(n_neighbors=min(count, len(features) - 1), algorithm="brute", metric="cosine")
    search.fit(features)
    test = onehot[search.kneighbors(unit(case.test_features), return_distance=False)].mean(axis=1)
    own = onehot[search.kneighbors(return_distance=False)].mean(axis=1)
    return Answer(test, *_rightness(case, own))


def believed(case: Case) -> Answer:
    """Every noisy label is right."""
    if case.several:
        return Answer(None, case.noisy.astype(np.float64), present=case.noisy > 0)
    return Answer(None, np.ones(case.noisy.shape), threshold=0.5)


REFERENCES: dict[str, Reference] = {
    "sklearn-noisy": sklearn_noisy,
    "sklearn-clean": sklearn_clean,
    "sklearn-both": sklearn_both,
    "regression": regression,
    "cleanlab": cleanlab,
    "neighbours-10": neighbours_10,
    "neighbours-50": neighbours_50,
    "believed": believed,
}
"""What a method is compared with."""
TRUE = "sklearn-true"
"""What could be reached; no reference is it."""
