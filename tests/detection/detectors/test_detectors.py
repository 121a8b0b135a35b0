"""Every detector does its work and keeps its promises; the supervised ones agree with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC

from nlcli.data.features.store import FeatureStore
from nlcli.detection import DETECTORS, make_detector
from nlcli.detection.base import Data, Detector, labelled_images
from nlcli.detection.detectors.classification_filter import ranks
from nlcli.detection.detectors.knn import Knn
from nlcli.detection.per_class import ClassImages, unit_length
from nlcli.detection.threshold import best_threshold
from nlcli.detection.verification import verification_labels, withheld
from nlcli.errors import NlcliError
from nlcli.networks.linear_layer import LinearLayer
from nlcli.seeds import stream
from worlds.detection import CLASSES, World, make_world, rates_of

QUICK: dict[str, dict[str, Any]] = {
    "mlp": {"weight_decay": 0.01},
    "knn": {},
    "svm": {},
    "label-propagation": {},
    "label-spreading": {},
    "classification-filter": {"steps": 400, "learning_rate": 0.02},
    "confident-learning": {"steps": 300, "learning_rate": 0.02},
}
SUPERVISED = ("mlp", "knn", "svm", "label-propagation", "label-spreading")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def data_of(world: World, label: np.ndarray | None = None, **options: Any) -> Data:
    """What a detector sees of ``world``: nothing verified of test."""
    table = world.table()
    shown = verification_labels(table) if label is None else label
    return Data(withheld(table, np.where(world.split == 2, -1, shown)), FeatureStore(world.stored()), **options)


def scores(detector: Detector, data: Data, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a split and the detector's scores of them."""
    images = labelled_images(data.table, data.store, data.table.rows(split))
    found = detector.score(data.features(images, np.arange(len(images))), images.noisy, images.rows)
    return images.rows, found


@pytest.fixture(scope="module")
def fitted(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Detector, Data, Path]]:
    """Each detector fitted once with quick settings."""
    made: dict[str, tuple[Detector, Data, Path]] = {}

    def fit(name: str) -> tuple[Detector, Data, Path]:
        if name not in made:
            detector, data, work = make_detector(name, QUICK[name]), data_of(world), tmp_path_factory.mktemp(name)
            detector.fit(data, 0, work)
            made[name] = detector, data, work
        return made[name]

    return fit


# --- what all of them promise ----------------------------------------------------------------


@pytest.mark.parametrize("name", DETECTORS.ours)
def test_cards_tell_of_every_option(name: str) -> None:
    card = DETECTORS.describe(name)
    assert card["card"].startswith(f"# `{name}`: ")
    for option in card["options"]:
        assert f"`{option}`" in card["card"], f"the card of {name} does not tell of {option}"


def test_unknown_detectors_and_options() -> None:
    with pytest.raises(NlcliError, match=r"unknown detector 'cleanet'; did you mean 'cleannet'\?"):
        make_detector("cleanet")
    with pytest.raises(NlcliError, match=r"detector knn: unknown option 'neighbors'; did you mean 'neighbours'\?"):
        make_detector("knn", {"neighbors": 3})
    with pytest.raises(NlcliError, match="detector naive: unknown option 'k'; it has none"):
        make_detector("naive", {"k": 3})
    with pytest.raises(NlcliError, match="detector knn: option 'neighbours': .* greater than or equal to 1"):
        make_detector("knn", {"neighbours": 0})


# --- supervised ------------------------------------------------------------------------------


def sklearn_scores(name: str, setting: dict[str, Any], world: World, data: Data) -> np.ndarray:
    """Scores of the test images by one estimator of scikit-learn a class, on features of length one."""
    unit = world.features / np.linalg.norm(world.features, axis=1, keepdims=True)
    train, test = world.rows("train"), world.rows("test")
    found = np.empty(len(test))
    for c in range(len(CLASSES)):
        asked = world.noisy[test] == c
        known = train[(world.noisy[train] == c) & world.verified[train]]
        every = np.concatenate([known, train[(world.noisy[train] == c) & ~world.verified[train]]])
        label = np.where(world.verified[every], world.right[every], -1)
        if name == "knn":
            model: Any = KNeighborsClassifier(min(setting["neighbours"], len(known)))
        elif name == "svm":
            model = SVC(C=setting["c"], gamma="scale")
        elif name == "mlp":
            # The random start is the detector's own, drawn from its stream; L-BFGS depends on the order of rows.
            known = known[np.argsort(data.store.rows_of(data.table.keys[known]))]
            model = MLPClassifier(
                (64,),
                alpha=setting["weight_decay"],
                max_iter=100,
                solver="lbfgs",
                random_state=int(stream(0, "detection", "mlp").integers(2**31)),
            )
        elif name == "label-propagation":
            model = LabelPropagation(kernel="knn", n_neighbors=setting["neighbours"])
        else:
            model = LabelSpreading(
                kernel="knn", n_neighbors=setting["neighbours"], alpha=setting["alpha"], max_iter=1000
            )
        if name.startswith("label"):
            model.fit(unit[every], label)
        else:
            model.fit(unit[known], world.right[known])
        if name == "svm":
            found[asked] = 1 / (1 + np.exp(-model.decision_function(unit[test[asked]])))
        else:
            found[asked] = model.predict_proba(unit[test[asked]])[:, 1]
    return found


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name", SUPERVISED)
def test_supervised_detectors_are_those_of_scikit_learn_and_find_noise(name: str, world: World, fitted: Any) -> None:
    detector, data, _ = fitted(name)
    rows, found = scores(detector, data, "test")
    order = np.argsort(rows)
    expected = sklearn_scores(name, detector.notes["setting"], world, data)
    np.testing.assert_allclose(found[order], expected, atol={"mlp": 2e-3, "svm": 3e-4}.get(name, 1e-5))

    validation, score = scores(detector, data, "validation")
    delta, _ = best_threshold(score, world.right[validation], world.noisy[validation])
    rates = rates_of((found >= delta).astype(np.int8), world.right[rows], world.noisy[rows])
    assert rates.naive_average > 0.28
    assert rates.average < 0.4 * rates.naive_average


def test_settings_are_chosen_on_validation(world: World, fitted: Any, tmp_path: Path) -> None:
    detector, data, _ = fitted("knn")
    errors = {}
    for k in (1, 3, 5, 9, 15, 25, 51):
        one, work = make_detector("knn", {"neighbours": k}), tmp_path / str(k)
        work.mkdir()
        one.fit(data, 0, work)
        rows, score = scores(one, data, "validation")
        errors[k] = best_threshold(score, world.right[rows], world.noisy[rows])[1]
    recorded = {entry["neighbours"]: entry["validation_error"] for entry in detector.notes["settings"]}
    assert recorded == pytest.approx(errors)
    assert errors[detector.notes["setting"]["neighbours"]] == min(errors.values())
    assert len(set(errors.values())) > 2


def test_the_first_settings_are_not_simply_taken(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Knn, "settings", lambda self: [{"neighbours": 1000}, {"neighbours": 5}]
    )  # all votes, or near ones
    detector = make_detector("knn")
    detector.fit(data_of(world), 0, tmp_path)
    assert detector.notes["setting"] == {"neighbours": 5}
    worse, better = (entry["validation_error"] for entry in detector.notes["settings"])
    assert better < 0.5 * worse


def test_a_class_without_both_kinds_gets_the_share_of_right_ones(world: World, tmp_path: Path) -> None:
    label = np.where(world.verified, world.right, -1)
    label[(world.noisy == 2) & (world.split == 0)] = -1  # nothing verified
    four = np.flatnonzero((world.noisy == 4) & (world.split == 0))
    label[four] = -1
    label[four[:3]] = 1  # three right ones and no wrong one
    share = np.mean(label[(world.split == 0) & (label >= 0)] == 1)
    detector, data = make_detector("svm"), data_of(world, label)
    detector.fit(data, 0, tmp_path)
    assert detector.notes["classes_by_prior"] == ["cat", "elk"]
    rows, found = scores(detector, data, "test")
    np.testing.assert_allclose(found[world.noisy[rows] == 2], share, rtol=1e-6)
    np.testing.assert_allclose(found[world.noisy[rows] == 4], (3 + share) / 4, rtol=1e-6)
    assert len(np.unique(found[world.noisy[rows] == 1])) > 5


def test_without_verified_validation_images_the_defaults_hold(world: World, tmp_path: Path) -> None:
    label = np.where(world.split == 0, verification_labels(world.table()), -1)
    detector = make_detector("knn")
    detector.fit(data_of(world, label), 0, tmp_path)
    assert detector.notes["setting"] == {"neighbours": 5}
    assert all(entry["validation_error"] is None for entry in detector.notes["settings"])


def test_large_classes_are_subsampled_by_the_seed(world: World, tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((0, 0, 1)):
        detector, data = make_detector("knn", {"neighbours": 1}), data_of(world, class_images=20)
        (tmp_path / str(number)).mkdir()
        detector.fit(data, seed, tmp_path / str(number))
        found.append(scores(detector, data, "test")[1])
        verified = [np.sum((data.train.noisy == c) & (data.train.label >= 0)) for c in range(len(CLASSES))]
        assert data.subsampled == {CLASSES[c]: n for c, n in enumerate(verified) if n > 20}
        assert data.subsampled
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_features_come_in_the_order_asked_for(world: World) -> None:
    data = data_of(world)  # 690 images in shards of 200, in another order than the data set's
    for positions in (np.array([400, 3, 77, 3, 12]), np.arange(50), np.zeros(0, np.int64)):
        found = data.features(data.train, positions)
        np.testing.assert_array_equal(found, world.features[data.train.rows[positions]])
        assert found.dtype == np.float32
    rows = np.concatenate([data.train.rows[part] for part, _ in data.parts(data.train)])
    np.testing.assert_array_equal(rows, data.train.rows)


def test_a_class_is_drawn_once(world: World) -> None:
    data = data_of(world, class_images=10)
    positions = data.train.of_class(1)
    drawn = data.at_most(positions, 1, 0)
    assert len(drawn) == 10
    assert np.isin(drawn, positions).all()
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(data.at_most(positions, 1, 0), drawn)
    assert len(data.at_most(positions, 1, 0, 4)) == 4
    assert set(data.at_most(positions, 1, 0, 4)) < set(drawn)


def test_graphs_are_bounded(world: World, tmp_path: Path) -> None:
    detector, data = make_detector("label-spreading", {"unlabelled": 7}), data_of(world)
    detector.fit(data, 0, tmp_path)
    for c in range(len(CLASSES)):
        positions = detector.positions(data, c, 0)  # type: ignore[attr-defined]
        label = data.train.label[positions]
        assert np.sum(label < 0) == 7
        assert np.sum(label >= 0) == np.sum((data.train.noisy == c) & (data.train.label >= 0))


def test_propagated_labels_by_hand() -> None:
    detector = make_detector("label-propagation")
    images = ClassImages(np.eye(4, dtype=np.float32), np.array([1, 1, 0, -1]))
    # Image 0 got 3/4 right, image 1 all right; no verified image is linked to images 2 and 3.
    state = {"right": np.array([0.75, 1, 0, 0]), "any": np.array([1, 1, 0, 0])}
    asked = np.array([[1, 0.9, 0, 0], [0, 1, 0.9, 0], [0, 0, 0.9, 1]], np.float32)
    found = detector.score_class(images, state, {"neighbours": 2}, asked)  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, [1.75 / 2, 1, 2 / 3])  # the last one: the share of right labels in the class


def test_features_of_length_one() -> None:
    found = unit_length(np.array([[3, 4], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])
    assert found.dtype == np.float32


# --- average ---------------------------------------------------------------------------------


def test_average_is_the_cosine_to_the_mean(world: World, tmp_path: Path) -> None:
    detector, data = make_detector("average", {"references": 0}), data_of(world)
    detector.fit(data, 0, tmp_path)
    rows, found = scores(detector, data, "test")
    train = world.rows("train")
    for i in (0, 17, 60):
        mean = world.features[train[world.noisy[train] == world.noisy[rows[i]]]].mean(axis=0)
        x = world.features[rows[i]]
        assert found[i] == pytest.approx(x @ mean / np.linalg.norm(x) / np.linalg.norm(mean), rel=1e-5)
    assert detector.score(np.zeros((1, 16), np.float32), np.array([1])) == 0  # no direction, no resemblance


# --- classification filter -------------------------------------------------------------------


def test_ranks_by_hand() -> None:
    outputs = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [1, 2, 3]])
    assert ranks(outputs, np.array([2, 0, 2, 0])).tolist() == [2, 1, 3, 3]


def test_classification_filter_recovers_planted_noise(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("classification-filter")
    assert detector.notes["classifier"] == "trained on the noisy labels"
    rows, found = scores(detector, data, "test")
    right = world.right[rows] == 1
    assert np.mean(found[right] == -1) > 0.75  # right labels are what the classifier says
    assert np.mean(found[~right] < -1) > 0.75
    assert detector.natural_threshold == -1
    assert detector.explain(-3.5) == "the label is among the top 3 of the classifier's 6 classes"
    assert detector.explain(-1) == "the label is among the top 1 of the classifier's 6 classes"
    assert detector.explain(-200) == "the label is among the top 6 of the classifier's 6 classes"


def test_classification_filter_takes_the_features_own_layer(world: World, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = ("zebra", *CLASSES[::-1])
    kernel, bias = rng.normal(size=(16, 7)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    store = FeatureStore(world.stored("own", last_layer=LinearLayer(kernel, bias, classes)))
    data = Data(withheld(world.table(), np.full(len(world.keys), -1, np.int8)), store)
    detector = make_detector("classification-filter")
    detector.fit(data, 0, tmp_path)
    rows, found = scores(detector, data, "test")
    logits = (world.features @ kernel + bias)[:, 1:][:, ::-1]
    np.testing.assert_array_equal(found, -ranks(logits[rows], world.noisy[rows]))
    assert detector.notes["classifier"] == "last layer of the features' backbone"
    assert not list(tmp_path.iterdir())


def test_classification_filter_takes_a_run(world: World, tmp_path: Path) -> None:
    from nlcli.training.config import TrainHead
    from nlcli.training.saved_head import load_head
    from nlcli.training.train_head import train_head

    run = train_head(
        TrainHead(dataset=world.dataset(), features=world.stored(), output=tmp_path / "run", method="noisy", steps=50)
    )
    detector, data = make_detector("classification-filter"), data_of(world, classifier=run)
    detector.fit(data, 0, tmp_path)
    rows, found = scores(detector, data, "test")
    np.testing.assert_array_equal(found, -ranks(load_head(run).score(world.features[rows]), world.noisy[rows]))
    other = FeatureStore(world.stored("other", backbone_fingerprint="sha256:other"))
    with pytest.raises(NlcliError, match="was trained on features of another backbone"):
        detector.fit(Data(data.table, other, classifier=run), 0, tmp_path)


# --- confident learning ----------------------------------------------------------------------


def test_confident_learning_agrees_with_cleanlab(world: World, fitted: Any) -> None:
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched

    from nlcli.detection.detectors.confident_learning import probabilities

    detector, data, _ = fitted("confident-learning")
    train, noisy = data.train.rows, data.train.noisy
    fold = detector._fold_of[train]
    p = probabilities(detector._kernel, detector._bias, world.features[train], fold)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    quality = {"method": "normalized_margin"}
    issues = find_label_issues_batched(noisy, p, verbose=False, n_jobs=1, quality_score_kwargs=quality)
    found = detector.score(world.features[train], noisy, train)
    assert set(np.flatnonzero(found < detector.natural_threshold)) == set(issues.tolist())
    own = p[np.arange(len(p)), noisy]
    p[np.arange(len(p)), noisy] = -1
    np.testing.assert_allclose(found, (own - p.max(axis=1) + 1) / 2, atol=1e-6)
    assert np.mean(world.right[train[issues]] == 0) > 0.8  # most of what it calls wrong is wrong
    assert len(issues) > 0.7 * np.sum(world.right[train] == 0)


def test_classifiers_of_folds_do_not_see_their_fold() -> None:
    import tensorflow as tf

    from nlcli.detection.fold_classifiers import FoldClassifiers, fold_config
    from nlcli.methods.base.contract import Batch, Problem

    model = FoldClassifiers(fold_config({"folds": 3}), Problem(4, ("a", "b"), "single-label"), None, 0)
    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=(6, 4)), tf.float32)
    labels, fold = np.eye(2)[rng.integers(2, size=6)], np.array([0, 0, 1, 1, 2, 2])

    def kernel_gradient(labels: np.ndarray) -> np.ndarray:
        noisy = tf.constant(np.concatenate([labels, np.eye(3)[fold]], axis=1), tf.float32)
        kernel = model.classifiers.kernel.value
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = model.losses("noisy", features, Batch(0, noisy, None, None))["loss"]
        return tape.gradient(loss, kernel).numpy().reshape(4, 3, 2)

    before = kernel_gradient(labels)
    changed = labels.copy()
    changed[:2] = 1 - changed[:2]
    after = kernel_gradient(changed)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1:] != before[:, 1:]).any(axis=(0, 2)).all()
    # at the start every probability is 1/2: the gradient of one classifier by hand, the mean over rows of folds 1, 2
    expected = features.numpy()[2:].T @ (0.5 - labels[2:]) / 4
    np.testing.assert_allclose(before[:, 0], expected, atol=1e-6)


def test_images_that_were_not_in_training_get_the_mean_of_all_classifiers() -> None:
    from nlcli.detection.detectors.confident_learning import probabilities

    kernel = np.zeros((2, 1, 2))
    bias = np.log(np.array([[0.9, 0.1], [0.5, 0.5]]))
    found = probabilities(kernel, bias, np.zeros((3, 1)), np.array([0, 1, -1]))
    np.testing.assert_allclose(found, [[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]])


def test_confident_learning_without_cleanlab(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(
        NlcliError, match=r"needs the package cleanlab; install it with: pip install 'nlcli\[cleanlab\]'"
    ):
        make_detector("confident-learning").check()
