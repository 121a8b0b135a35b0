"""The choice among detectors: what verified labels decide, what they do not see, and what is said without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nlcli.detection import make_detector
from nlcli.detection.base import Data
from nlcli.detection.verification import withheld
from nlcli.errors import NlcliError
from nlcli.estimation.calibration import calibrate
from nlcli.estimation.score_mixture import NormalScores
from worlds.detection import CLASSES, World, data_of


def seen(world: World, shown: np.ndarray | None = None) -> Data:
    """What a detector sees where the images ``shown`` (n,) bool are verified: half of train and all of validation."""
    shown = world.verified & (world.split < 2) if shown is None else shown
    data = data_of(world, np.where(shown, world.right, -1))
    return Data(data.table, data.store, true=np.where(shown, world.true, -1))


def fit(data: Data, place: Path, *candidates: str) -> Any:
    detector = make_detector("auto", {"candidates": list(candidates)})
    detector.fit(data, 0, place)
    return detector


@pytest.fixture(scope="module")
def chosen(world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fit(seen(world), tmp_path_factory.mktemp("auto"), "margin", "neighbours")


def test_it_parts_right_from_wrong_as_well_as_its_candidates(world: World, chosen: Any) -> None:
    rows = np.flatnonzero((world.split == 2) | ((world.split == 0) & ~world.verified))
    score = chosen.score(world.features[rows], world.noisy[rows], rows)
    area = roc_auc_score(world.right[rows], score)
    for detector in chosen._detectors.values():
        other = roc_auc_score(world.right[rows], detector.score(world.features[rows], world.noisy[rows], rows))
        assert area > other - 0.01
    assert ((score >= 0) & (score <= 1)).all()
    names = [entry["name"] for entry in chosen.notes["candidates"]]
    assert names == ["mixture", "margin", "neighbours", "every label believed"]
    assert chosen.notes["chosen_by"] == "verified labels"
    assert chosen.notes["verified"] == int((world.verified & (world.split < 2)).sum())
    gains = {entry["name"]: entry["gain"] for entry in chosen.notes["candidates"]}
    assert gains["margin"] > 0.2
    assert chosen.remarks == []


def test_a_verified_image_is_scored_without_its_own_label(world: World, chosen: Any, tmp_path: Path) -> None:
    """The models of a fold, from the scores of the candidate and scikit-learn-free calibration on the other folds."""
    kept = chosen.notes["kept"]
    if kept == "mixture":
        pytest.skip("the models of a mixture are tested by the battery")
    data = seen(world)
    rows = np.flatnonzero(world.verified & (world.split < 2))
    raw = chosen._detectors[kept].score(world.features[rows], world.noisy[rows], rows)
    train = data.train.rows
    scale = NormalScores.of(chosen._detectors[kept].score(world.features[train], world.noisy[train], train))
    fold = chosen._fold_of[rows]
    given = chosen.score(world.features[rows], world.noisy[rows], rows)
    for number in range(5):
        inside = fold != number
        curve = calibrate(
            scale(raw[inside]), world.right[rows][inside], world.noisy[rows][inside], len(CLASSES), enough=10**6
        )
        expected = curve.probability(scale(raw[~inside]), world.noisy[rows][~inside])
        np.testing.assert_allclose(given[~inside], expected, atol=1e-6)


def test_labels_that_nothing_tells_apart(world: World, tmp_path: Path) -> None:
    """Where verification is drawn by lot no candidate is better than believing every label, and it is said so."""
    rng = np.random.default_rng(3)
    data = data_of(world)
    shown = world.verified & (world.split < 2)
    label = np.where(shown, (rng.random(len(shown)) < 0.8).astype(np.int8), -1)
    detector = fit(Data(withheld(data.table, label), data.store), tmp_path, "neighbours")
    assert len(detector.remarks) == 1
    assert detector.remarks[0].startswith(
        f"no candidate is told from believing every label by {int(shown.sum())} verified labels"
    )


@pytest.mark.parametrize(("count", "wrong", "more"), [(0, 0, 50), (40, 4, 100)])
def test_too_few_verified(world: World, tmp_path: Path, count: int, wrong: int, more: int) -> None:
    """Twenty verified labels with two wrong ones are as one in ten: a hundred have ten."""
    train = world.rows("train")
    picked = np.concatenate([train[world.right[train] == 1][: count - wrong], train[world.right[train] == 0][:wrong]])
    shown = np.zeros(len(world.keys), bool)
    shown[picked] = True
    data = seen(world, shown)
    detector = fit(data, tmp_path, "margin", "neighbours")
    alone = make_detector("margin")
    (tmp_path / "alone").mkdir()
    alone.fit(data, 0, tmp_path / "alone")
    rows = world.rows("test")
    np.testing.assert_array_equal(
        detector.score(world.features[rows], world.noisy[rows], rows),
        alone.score(world.features[rows], world.noisy[rows], rows),
    )
    assert detector.natural_threshold == 0
    assert detector.remarks == [
        f"margin was kept because it did best elsewhere: {count} verified labels, {wrong} of them wrong, tell nothing "
        f"here; about {more} verified would begin to"
    ]


def test_without_any_verified_label_the_most_trusted_is_kept(world: World, tmp_path: Path) -> None:
    detector = fit(seen(world, np.zeros(len(world.keys), bool)), tmp_path)
    assert list(detector._detectors) == ["posterior"]
    assert detector.remarks[0].startswith("posterior was kept because it did best elsewhere: 0 verified labels")


def test_what_verified_labels_cannot_compare_is_no_candidate() -> None:
    with pytest.raises(NlcliError, match="svm does not score training images out of fold, so verified ones cannot"):
        make_detector("auto", {"candidates": ["svm"]}).check()
    with pytest.raises(NlcliError, match="unknown detector 'margn'; did you mean 'margin'"):
        make_detector("auto", {"candidates": ["margn"]}).check()


def test_a_candidate_that_cannot_be_fitted_is_left_out(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlcli.detection.detectors.posterior import Posterior

    def refused(*given: Any) -> None:
        raise NlcliError("it does not fit into memory")

    monkeypatch.setattr(Posterior, "fit", refused)
    monkeypatch.setattr("nlcli.detection.detectors.auto.TRUSTED", ("mixture", "posterior", "margin", "neighbours"))
    detector = fit(seen(world), tmp_path)
    assert list(detector._detectors) == ["margin", "neighbours"]
    assert detector.notes["left_out"] == {"posterior": "it does not fit into memory"}
    assert [entry["name"] for entry in detector.notes["candidates"]] == [
        *("mixture", "margin", "neighbours", "every label believed")
    ]
    with pytest.raises(NlcliError, match="does not fit"):
        fit(seen(world), tmp_path, "posterior", "margin")
