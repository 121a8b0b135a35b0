"""LabelNoiseDetector: what detect-noise finds, row by row."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import has_fit_parameter

import nlcli
from nlcli import NlcliError
from nlcli.data.detection_files import read_detection
from nlcli.detection import DETECTORS
from nlcli.detection.tags import TAG_DETECTORS
from worlds.arrays import several_labels, single_labels

SINGLE, SEVERAL = single_labels(), several_labels()
WRONG = SINGLE.noisy != SINGLE.true


def judged(method: str = "auto", **changes: Any) -> nlcli.LabelNoiseDetector:
    detector = nlcli.LabelNoiseDetector(method, **changes)
    return detector.fit(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified)


def judged_tags(method: str = "posterior", **changes: Any) -> nlcli.LabelNoiseDetector:
    detector = nlcli.LabelNoiseDetector(method, **changes)
    return detector.fit(SEVERAL.features, SEVERAL.noisy, present=SEVERAL.present, absent=SEVERAL.absent)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[nlcli.LabelNoiseDetector, Path]:
    work = tmp_path_factory.mktemp("single")
    return judged(work=work), next(work.glob("detection-*"))


def test_rows_are_those_of_the_detection(single: tuple[nlcli.LabelNoiseDetector, Path]) -> None:
    detector, directory = single
    found = read_detection(directory)
    for i, key in enumerate(found.keys.tolist()):
        row = int(key)
        assert detector.wrong_[row] == (found.verdict[i] == 0)
        assert detector.scores_[row] == found.score[i]
        assert detector.probability_[row] == found.probability[i]
        assert detector.suggested_[row] == found.classes[found.suggested[i]]
    assert len(found) == len(detector.wrong_) == 240
    assert detector.record_["method"] == "auto"


def test_wrong_labels_are_found(single: tuple[nlcli.LabelNoiseDetector, Path]) -> None:
    detector, _ = single
    unseen = ~SINGLE.checked
    assert roc_auc_score(~WRONG[unseen], detector.scores_[unseen]) > 0.9
    assert (detector.wrong_ == WRONG)[unseen].mean() > 0.85
    found = detector.wrong_ & WRONG & unseen
    assert (detector.suggested_ == SINGLE.true)[found].mean() > 0.85
    assert detector.record_["errors"]["split"] == "validation"


def test_issues_are_the_surest_first(single: tuple[nlcli.LabelNoiseDetector, Path]) -> None:
    detector, _ = single
    issues = detector.issues()
    assert len(issues) == detector.wrong_.sum()
    assert issues["score"].is_monotonic_increasing
    assert issues["label"].tolist() == SINGLE.noisy[issues["row"]].tolist()
    assert (issues["suggested"] != issues["label"]).all()


def test_fit_predict_and_pickle(single: tuple[nlcli.LabelNoiseDetector, Path]) -> None:
    detector, _ = single
    margin = nlcli.LabelNoiseDetector("margin")
    called = margin.fit_predict(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified)
    np.testing.assert_array_equal(called, margin.wrong_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(detector)).scores_, detector.scores_)


def test_several_labels() -> None:
    detector = judged_tags()
    true, noisy = SEVERAL.true.astype(bool), SEVERAL.noisy.astype(bool)
    wrong = detector.wrong_.toarray()
    assert isinstance(detector.suggested_, csr_array)
    np.testing.assert_array_equal(detector.suggested_.toarray().astype(bool), noisy ^ wrong)
    unseen = ~SEVERAL.checked
    assert (detector.suggested_.toarray() == true)[unseen].mean() > (noisy == true)[unseen].mean()
    issues = detector.issues()
    assert len(issues) == wrong.sum()
    missing = (issues["issue"] == "missing").to_numpy()
    np.testing.assert_array_equal(noisy[issues["row"], issues["class"]], ~missing)
    doubt = np.where(missing, 1 - issues["probability"], issues["probability"])
    assert (np.diff(doubt) >= 0).all()


def test_a_trained_classifier_judges(tmp_path: Path) -> None:
    classifier = nlcli.NoisyLabelClassifier("clean-and-noisy").fit(
        SEVERAL.features, SEVERAL.noisy, present=SEVERAL.present, absent=SEVERAL.absent
    )
    detector = judged_tags("run", classifier=classifier, others=4, floor=0.0)
    listed = detector.scores_.toarray()
    scores = classifier.predict_proba(SEVERAL.features)
    np.testing.assert_allclose(expit(listed), scores, atol=2e-6)  # its scores are log-odds
    with pytest.raises(NlcliError, match="needs --from"):
        judged_tags("run")


# --- rows that were not in fit ---------------------------------------------------------------

SEEN = np.arange(240) < 180
"""Rows of ``fit``; the others come later."""


def _with_later_rows(method: str, **changes: Any) -> nlcli.LabelNoiseDetector:
    detector = nlcli.LabelNoiseDetector(method, novelty=True, **changes)
    return detector.fit(SINGLE.features[SEEN], SINGLE.noisy[SEEN], verified=SINGLE.verified[SEEN])


def test_labels_of_new_rows_are_judged() -> None:
    detector = _with_later_rows("margin")
    X, y = SINGLE.features[~SEEN], SINGLE.noisy[~SEEN]
    wrong, scores = detector.predict(X, y), detector.score_samples(X, y)
    assert wrong.shape == scores.shape == (60,)
    assert roc_auc_score(~WRONG[~SEEN], scores) > 0.9
    np.testing.assert_array_equal(wrong, scores < detector.record_["threshold"]["value"])
    issues = detector.issues(X, y)
    assert issues["row"].tolist() == np.flatnonzero(wrong)[np.argsort(scores[wrong], kind="stable")].tolist()
    assert len(detector.wrong_) == 180
    assert len(detector.issues()) == detector.wrong_.sum()


def test_a_new_row_is_judged_by_itself() -> None:
    """Not by those that it comes with, and nothing is learned from its label: what was fitted stays."""
    detector = _with_later_rows("margin")
    X, y = SINGLE.features[~SEEN], SINGLE.noisy[~SEEN]
    together = detector.score_samples(X, y)
    alone = np.concatenate([detector.score_samples(X[i : i + 1], y[i : i + 1]) for i in (0, 7)])
    np.testing.assert_allclose(alone, together[[0, 7]], atol=1e-6)
    others = np.array(["ant"] * 60)
    as_ant = detector.score_samples(X, others)
    np.testing.assert_allclose(as_ant[y == "ant"], together[y == "ant"], atol=1e-6)


def test_new_rows_that_were_in_fit_are_judged_as_new() -> None:
    """A row that is there twice is judged by classifiers that may have seen it: it is another row."""
    detector = _with_later_rows("naive")
    assert not detector.predict(SINGLE.features[SEEN], SINGLE.noisy[SEEN]).any()


def test_what_new_rows_cannot_be() -> None:
    detector = _with_later_rows("naive")
    with pytest.raises(ValueError, match="'dog', which is no class of the labels"):
        detector.predict(SINGLE.features[:2], ["ant", "dog"])
    with pytest.raises(ValueError, match=r"y has shape \(1,\), and X has 2 rows"):
        detector.predict(SINGLE.features[:2], ["ant"])
    with pytest.raises(ValueError, match="8 features"):
        detector.predict(SINGLE.features[:2, :3], ["ant", "ant"])
    assert not hasattr(nlcli.LabelNoiseDetector(), "predict")
    assert not hasattr(nlcli.LabelNoiseDetector(), "score_samples")
    with pytest.raises(ValueError, match="novelty=True"):
        judged("naive").issues(SINGLE.features[:2], ["ant", "ant"])


def test_new_rows_after_a_pickle_and_sparse_ones() -> None:
    detector = pickle.loads(pickle.dumps(_with_later_rows("margin")))
    X, y = SINGLE.features[~SEEN], SINGLE.noisy[~SEEN]
    expected = detector.score_samples(X, y)
    np.testing.assert_array_equal(detector.score_samples(csr_array(X), y), expected)
    sparse = nlcli.LabelNoiseDetector("margin", novelty=True)
    sparse.fit(csr_array(SINGLE.features[SEEN]), SINGLE.noisy[SEEN], verified=SINGLE.verified[SEEN])
    np.testing.assert_array_equal(sparse.score_samples(X, y), expected)


def test_tags_of_new_rows_are_judged() -> None:
    detector = nlcli.LabelNoiseDetector("posterior", novelty=True)
    detector.fit(
        SEVERAL.features[SEEN], SEVERAL.noisy[SEEN], present=SEVERAL.present[SEEN], absent=SEVERAL.absent[SEEN]
    )
    X, y = SEVERAL.features[~SEEN], SEVERAL.noisy[~SEEN]
    wrong = detector.predict(X, y)
    assert isinstance(wrong, csr_array)
    assert wrong.shape == (60, 4)
    true = SEVERAL.true[~SEEN].astype(bool)
    should = y.astype(bool) ^ wrong.toarray()
    assert (should == true).mean() > (y == true).mean()
    assert len(detector.issues(X, y)) == wrong.sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS.names())
def test_every_detector_judges_new_rows(name: str) -> None:
    if name == "confident-learning":
        pytest.importorskip("cleanlab")
    detector = _with_later_rows(name, options={"transform": "l2"} if name == "cleannet" else None)
    X, y = SINGLE.features[~SEEN], SINGLE.noisy[~SEEN]
    together = detector.score_samples(X, y)
    np.testing.assert_allclose(detector.score_samples(X[:1], y[:1]), together[:1], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS.names())
def test_every_detector(name: str) -> None:
    if name == "confident-learning":
        pytest.importorskip("cleanlab")
    options = {"transform": "l2"} if name == "cleannet" else None  # these features reach below zero
    assert judged(name, options=options).scores_.shape == (240,)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TAG_DETECTORS.names() if name != "run"])
def test_every_detector_of_tags(name: str) -> None:
    assert judged_tags(name).wrong_.shape == (240, 4)


def test_arguments_that_it_does_not_take() -> None:
    for call in (nlcli.LabelNoiseDetector().fit, nlcli.LabelNoiseDetector().fit_predict):
        with pytest.raises(
            TypeError, match="takes no sample_weight: what it measures are counts of rows; leave it out"
        ):
            call(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified, sample_weight=np.ones(240))
        with pytest.raises(TypeError, match="unknown argument 'verfied'; did you mean 'verified'"):
            call(SINGLE.features, SINGLE.noisy, verfied=SINGLE.verified)
    assert not has_fit_parameter(nlcli.LabelNoiseDetector(), "sample_weight")
