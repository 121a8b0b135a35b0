"""detect-noise from a data set and features to scores, verdicts and error rates, and everything it refuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from nlcli.data.detection_files import read_detection
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset, write_truth
from nlcli.data.labels import NONE, choose_clean
from nlcli.detection import DETECTORS, base, plots
from nlcli.detection.detect_noise import detect_noise
from nlcli.detection.detectors.knn import Knn
from nlcli.detection.detectors.naive import Naive
from nlcli.detection.per_class import PerClass
from nlcli.detection.threshold import best_threshold, cross_fitted
from nlcli.detection.verification import verification_labels
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.detection import CLASSES, World, relabelled
from worlds.stage_builders import published

QUICK: dict[str, dict[str, Any]] = {
    "classification-filter": {"l2": 1e-3},
    "drae": {"steps": 20},
    "average": {"references": 4},
    "cleannet": {"steps": 20, "references": 4},
    "confident-learning": {"l2": 1e-3},
    "auto": {"candidates": ["neighbours"]},
    "margin": {"l2": 1e-3, "weight": 1.0},
    "mlp": {"weight_decay": 0.01, "iterations": 10, "hidden": 4},
}


@pytest.fixture(scope="module")
def knn(world: World) -> Path:
    return detect_noise(world.config("knn", "knn", options={"neighbours": 5}))


def info_of(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "detection.json").read_text())


def by_key(directory: Path) -> pd.DataFrame:
    return pd.read_parquet(directory / "noise.parquet").set_index("key")


def knn_scores(world: World, clean: np.ndarray) -> np.ndarray:
    """Share of right labels among the five nearest of ``clean`` (n,) of the same class, by scikit-learn."""
    unit = world.features / np.linalg.norm(world.features, axis=1, keepdims=True)
    score = np.empty(len(unit))
    for c in range(len(CLASSES)):
        known, asked = clean & (world.noisy == c), world.noisy == c
        model = KNeighborsClassifier(5).fit(unit[known], world.right[known])
        score[asked] = model.predict_proba(unit[asked])[:, 1]
    return score


# --- the whole chain -------------------------------------------------------------------------


def test_everything_agrees_with_a_direct_computation(world: World, knn: Path) -> None:
    score = knn_scores(world, (world.split == 0) & world.verified)
    validation, test = world.rows("validation"), world.rows("test")
    delta, error = best_threshold(score[validation], world.right[validation], world.noisy[validation])
    verdict = (score >= delta).astype(int)
    # 120 images of test are few: those of validation count, too, each by a threshold chosen without its fold.
    verdict[validation] = cross_fitted(score[validation], world.right[validation], world.noisy[validation], 0)
    wrong, measured = verdict != world.right, np.concatenate([validation, test])
    average = np.mean([wrong[measured][world.noisy[measured] == c].mean() for c in range(6)])

    info, rows = info_of(knn), by_key(knn)
    np.testing.assert_allclose(rows.score[world.keys], score, atol=1e-6)
    threshold = info["threshold"]
    assert threshold["value"] == pytest.approx(delta, abs=1e-6)
    assert (threshold["chosen_on"], threshold["images"]) == ("validation", len(validation))
    assert threshold["error"] == pytest.approx(error)
    rates = info["errors"]["all"]
    assert (info["errors"]["split"], info["errors"]["cross_fitted"]) == ("validation+test", True)
    assert rates["images"] == len(measured)
    assert rates["average"] == pytest.approx(average)
    assert rates["micro"] == pytest.approx(wrong[measured].mean())
    assert rates["naive_micro"] == pytest.approx(1 - world.right[measured].mean())
    assert read_stage(knn).summary["measured_on"] == (
        f"{len(measured)} verified images of validation+test, 6 of 6 classes, threshold cross-fitted"
    )
    assert rates["average"] < 0.5 * rates["naive_average"]
    by_class = {entry["name"]: entry for entry in info["errors"]["by_class"]}
    assert set(by_class) == set(CLASSES)
    assert by_class["bee"]["error"] == pytest.approx(wrong[measured][world.noisy[measured] == 1].mean())
    verdicts = np.where(score >= delta, "right", "wrong")
    assert rows.verdict[world.keys].tolist() == verdicts.tolist()
    assert info["called_wrong"]["train"] == int(np.sum(score[world.rows("train")] < delta))


def test_rows_are_all_noisy_labels_worst_first(world: World, knn: Path) -> None:
    rows = pd.read_parquet(knn / "noise.parquet")
    assert list(rows.columns) == [
        *("key", "path", "split", "label", "verified", "score", "verdict", "measured"),
        *("probability", "suggested", "suggested_probability"),
    ]
    assert set(rows.key) == set(world.keys)
    order = sorted(range(len(rows)), key=lambda i: (rows.score[i], rows.key[i]))
    assert order == list(range(len(rows)))
    at = {key: i for i, key in enumerate(world.keys)}
    for row in rows.itertuples():
        i = at[row.key]
        assert row.path == f"{row.key}.jpg"
        assert row.label == CLASSES[world.noisy[i]]
        assert row.split == ("train", "validation", "test")[world.split[i]]
        known = {1: "right", 0: "wrong"}[int(world.right[i])] if world.verified[i] else None
        assert (row.verified if isinstance(row.verified, str) else None) == known
        measured = row.measured if isinstance(row.measured, str) else None
        assert (measured is None) == (row.split == "train")
        assert measured == row.verdict or row.split != "test"
    with open(knn / "noise.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == list(rows.columns)
    assert [line[0] for line in lines[1:]] == rows.key.tolist()  # with their commas
    assert [float(line[5]) for line in lines[1:]] == pytest.approx(rows.score.tolist(), rel=1e-6)


def test_the_worst_labels_are_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    drawn: list[list[str]] = []
    grid = plots.photograph_grid

    def watched(cells: Any, path: Path, columns: int) -> None:
        drawn.extend([text for text, _ in lines] for _, lines in cells)
        grid(cells, path, columns)

    monkeypatch.setattr(plots, "read_photograph", read.append)  # gives None: there is no such file
    monkeypatch.setattr(plots, "photograph_grid", watched)
    directory = detect_noise(world.config("suspects", "knn", suspects=7))
    rows = pd.read_parquet(directory / "noise.parquet").query("split == 'train'").head(7)
    assert read == [Path("/images") / path for path in rows.path]
    for texts, row in zip(drawn, rows.itertuples(), strict=True):
        assert texts[:2] == [f"'{row.label}'?", f"score {row.score:.3f}"]
        said = {"right": "✓ verified: right", "wrong": "✗ verified: wrong"}
        assert texts[2] == (said[row.verified] if isinstance(row.verified, str) else "not verified")
    for name in ("suspects.png", "scores.png"):
        with Image.open(directory / name) as image:
            assert min(image.size) > 300
    assert not (detect_noise(world.config("no-suspects", "naive")) / "suspects.png").exists()


def test_read_back(world: World, knn: Path) -> None:
    found, rows = read_detection(knn), pd.read_parquet(knn / "noise.parquet")
    assert len(found) == len(world.keys)
    assert (found.method, found.classes, found.held_out) == ("knn", CLASSES, ())
    assert found.keys.tolist() == rows.key.tolist()
    at = {key: i for i, key in enumerate(world.keys)}
    order = [at[key] for key in found.keys]
    np.testing.assert_array_equal(found.noisy, world.noisy[order])
    np.testing.assert_array_equal(found.verified, np.where(world.verified, world.right, -1)[order])
    np.testing.assert_array_equal(found.verdict, found.score >= found.threshold)
    split = world.split[order]
    np.testing.assert_array_equal(found.measured[split == 2], found.verdict[split == 2])
    np.testing.assert_array_equal(found.measured == -1, split == 0)


def test_errors_rest_on_test_alone_where_enough_of_it_is_verified(
    world: World, knn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, rows = info_of(knn), by_key(knn)
    monkeypatch.setattr("nlcli.detection.single_label.ENOUGH", len(world.rows("test")))
    made = detect_noise(world.config("enough", "knn", options={"neighbours": 5}))
    enough, own = info_of(made), by_key(made)
    assert (enough["errors"]["split"], enough["errors"]["cross_fitted"]) == ("test", False)
    assert enough["errors"]["all"]["images"] == len(world.rows("test")) < few["errors"]["all"]["images"]
    assert own.verdict.tolist() == rows.verdict.tolist()
    test = own[own.split == "test"]
    assert enough["errors"]["all"]["micro"] == pytest.approx((test.verdict != test.verified).mean())
    assert own.measured[own.split == "validation"].isna().all()


def test_without_labels_on_test_the_threshold_is_cross_fitted(world: World) -> None:
    label = np.where(world.verified & (world.split < 2), world.right, -1)
    made = detect_noise(
        world.config("cross-fitted", "knn", options={"neighbours": 5}, **world.with_label("cross", label))
    )
    info, rows = info_of(made), by_key(made)
    validation = world.rows("validation")  # their keys increase
    score = rows.score[[world.keys[i] for i in validation]].to_numpy()
    verdict = cross_fitted(score, world.right[validation], world.noisy[validation], 0)
    wrong = verdict != world.right[validation]
    average = np.mean([wrong[world.noisy[validation] == c].mean() for c in range(6)])
    assert (info["errors"]["split"], info["errors"]["cross_fitted"]) == ("validation", True)
    assert info["errors"]["all"]["average"] == pytest.approx(average)
    words = np.array(["wrong", "right"])[verdict]
    assert rows.measured[[world.keys[i] for i in validation]].tolist() == words.tolist()
    assert rows.measured[[world.keys[i] for i in world.rows("test")]].isna().all()


def test_a_part_of_the_verified_images(world: World) -> None:
    made = detect_noise(world.config("part", "knn", options={"neighbours": 5}, clean_fraction=0.7, seed=3))
    table = read_dataset(world.dataset())
    chosen = np.isin(np.arange(len(table)), choose_clean(table, 0.7, 3))
    np.testing.assert_allclose(by_key(made).score[world.keys], knn_scores(world, chosen), atol=1e-6)
    clean = info_of(made)["clean"]
    assert (clean["images"], clean["fraction"], clean["seed"]) == (int(chosen.sum()), 0.7, 3)


def test_planted_truth_is_measured_where_nothing_is_verified(world: World, tmp_path: Path) -> None:
    from nlcli.detection.single_label import FIT

    dataset = published(world.table(), tmp_path / "dataset")
    write_truth(dataset, read_dataset(dataset).keys, world.true)
    made = detect_noise(world.config("planted", "knn", dataset=dataset, features=world.stored("planted-f", dataset)))
    info, rows = info_of(made), by_key(made)
    hidden = [i for i in world.rows("train") if not world.verified[i]]
    wrong = (rows.verdict[[world.keys[i] for i in hidden]] == "right").to_numpy() != (world.right[hidden] == 1)
    assert info["planted"]["all"]["images"] == len(hidden)
    assert info["planted"]["all"]["micro"] == pytest.approx(wrong.mean())
    assert not (made / FIT).exists()


# --- held-out classes ------------------------------------------------------------------------


_LONG = {"cleannet", "drae", "label-propagation", "label-spreading"}
"""Detectors that take long twice; the battery has one of each quickly."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in _LONG else name for name in DETECTORS.ours]
)
def test_nothing_leaks_of_held_out_classes(name: str, world: World) -> None:
    """Other verification of their images changes no score, no threshold and no verdict."""
    held = ("cat", "fox")
    file = world.root / "held.txt"
    file.write_text("fox\ncat\n")
    inside = np.isin(world.noisy, [CLASSES.index(c) for c in held])
    label = np.where(world.verified, world.right, -1)
    flipped = np.where(inside & (label >= 0), 1 - label, label)
    found = []
    for which, labels in (("as-is", label), ("flipped", flipped)):
        found.append(
            detect_noise(
                world.config(
                    f"leak-{name}-{which}",
                    name,
                    options=QUICK.get(name, {}),
                    hold_out_classes=file,
                    **world.with_label(f"leak-{which}", labels),
                )
            )
        )
    one, other = (read_detection(path) for path in found)
    assert one.held_out == held
    assert one.threshold == other.threshold
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_array_equal(one.score, other.score)
    assert one.info.errors.others == other.info.errors.others
    assert one.info.errors.held_out != other.info.errors.held_out
    # and that is not because verification does not matter to this detector
    if name in ("knn", "svm", "mlp"):
        everything = detect_noise(
            world.config(
                f"leak-{name}-none", name, options=QUICK.get(name, {}), **world.with_label("leak-flipped", flipped)
            )
        )
        assert not np.array_equal(np.sort(read_detection(everything).score), np.sort(one.score))


def test_a_detector_sees_nothing_of_test_nor_outside_the_clean_set(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[base.Data] = []
    fit = Knn.fit

    def watched(self: Knn, data: base.Data, seed: int, work: Path) -> None:
        seen.append(data)
        fit(self, data, seed, work)

    monkeypatch.setattr(Knn, "fit", watched)
    detect_noise(world.config("seen", "knn", options={"neighbours": 5}, clean_fraction=0.7, seed=3))
    shown = verification_labels(seen[0].table)
    chosen = choose_clean(read_dataset(world.dataset()), 0.7, 3)
    assert set(np.flatnonzero(shown >= 0)) == {*chosen.tolist(), *world.rows("validation").tolist()}
    assert not set(chosen) & set(world.rows("test"))


def test_errors_on_held_out_classes_apart(world: World) -> None:
    made = detect_noise(world.config("held", "average", options={"references": 0}, hold_out=2, seed=5))
    info, rows = info_of(made), by_key(made)
    held = info["held_out"]["classes"]
    assert len(held) == 2
    assert info["held_out"] == {"classes": held, "drawn": True, "verification_used": False}
    test = rows[rows.measured.notna()]
    wrong = test.measured != test.verified
    for group, which in (("held_out", test.label.isin(held)), ("others", ~test.label.isin(held))):
        assert info["errors"][group]["average"] == pytest.approx(wrong[which].groupby(test.label[which]).mean().mean())
        assert info["errors"][group]["images"] == which.sum()
    assert {entry["name"] for entry in info["errors"]["by_class"] if entry["held_out"]} == set(held)
    more = info_of(detect_noise(world.config("held-4", "average", options={"references": 0}, hold_out=4, seed=5)))
    assert set(held) < set(more["held_out"]["classes"])


def test_verification_of_held_out_classes_can_be_used_and_reported_apart(world: World, knn: Path) -> None:
    """The supervised row of Lee 2018's figure 5: nothing is withheld, the same classes are reported."""
    made = detect_noise(world.config("used", "knn", options={"neighbours": 5}, hold_out=2, seed=5, use_held_out=True))
    assert by_key(made).score[world.keys].tolist() == by_key(knn).score[world.keys].tolist()
    info = info_of(made)
    assert info["threshold"] == info_of(knn)["threshold"]
    assert info["held_out"]["verification_used"]
    assert info["errors"]["held_out"]["classes"] == 2


# --- thresholds ------------------------------------------------------------------------------


def test_without_verification_a_detector_s_own_threshold(world: World) -> None:
    nothing = world.with_label("nothing", np.full(len(world.keys), -1))
    made = info_of(detect_noise(world.config("own", "classification-filter", options={"l2": 1e-3}, **nothing)))
    assert made["threshold"] == {
        "value": -1,
        "chosen_on": "detector",
        "images": 0,
        "error": None,
        "meaning": "the label is among the top 1 of the classifier's 6 classes",
    }
    assert made["errors"]["split"] is None
    assert made["errors"]["all"] is None
    with pytest.raises(NlcliError, match="average has none of its own; give one by --threshold, or verify some"):
        detect_noise(world.config("none", "average", **nothing))
    given = detect_noise(world.config("given", "average", threshold=0.9, **nothing))
    rows = by_key(given)
    assert (rows.verdict == "right").tolist() == (rows.score >= 0.9).tolist()
    assert 0 < (rows.verdict == "right").sum() < len(rows)


def test_validation_without_wrong_labels_chooses_no_threshold(world: World) -> None:
    """Where labels were only planted wrong in train, the best threshold would be to believe everything."""
    label = np.where(world.verified, np.where(world.split == 1, 1, world.right), -1)
    clean = world.with_label("clean-validation", label)
    made = info_of(detect_noise(world.config("clean-v", "knn", **clean)))
    assert (made["threshold"]["chosen_on"], made["threshold"]["value"]) == ("detector", 0.5)
    assert made["called_wrong"]["test"] > 20
    with pytest.raises(
        NlcliError, match="all 150 verified noisy labels on validation are right, so they choose no thr"
    ):
        detect_noise(world.config("clean-v-average", "average", **clean))


def test_a_given_threshold_needs_no_cross_fitting(world: World) -> None:
    label = np.where(world.verified & (world.split < 2), world.right, -1)
    made = detect_noise(world.config("fixed", "average", threshold=0.9, **world.with_label("cross", label)))
    info, rows = info_of(made), by_key(made)
    assert info["errors"]["cross_fitted"] is False
    validation = rows[rows.split == "validation"]
    assert (validation.measured == validation.verdict).all()
    assert info["errors"]["all"]["micro"] == pytest.approx((validation.verdict != validation.verified).mean())


def test_naive_believes_every_label_whatever_is_verified(world: World) -> None:
    label = np.where(world.verified, 0, -1)  # every one is wrong: the sweep would call all wrong
    info = info_of(detect_noise(world.config("naive-all", "naive", **world.with_label("wrong", label))))
    assert info["threshold"]["chosen_on"] == "detector"
    assert info["errors"]["all"]["average"] == 1
    with pytest.raises(NlcliError, match="naive has no threshold to choose"):
        detect_noise(world.config("naive-2", "naive", threshold=0.4))


def test_errors_at_a_detector_s_own_threshold_are_told(world: World, knn: Path) -> None:
    own, rows = info_of(knn)["own_threshold"], by_key(knn)
    test = rows[rows.measured.notna()]
    wrong = (test.score >= 0.5) != (test.verified == "right")
    assert own["value"] == 0.5
    assert own["all"]["micro"] == pytest.approx(wrong.mean())


# --- memory, resuming ------------------------------------------------------------------------


def test_features_are_read_in_bounded_parts(world: World, knn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = FeatureStore.read_into

    def watched(store: FeatureStore, rows: np.ndarray, out: np.ndarray) -> None:
        asked.append(len(rows))
        read(store, rows, out)

    monkeypatch.setattr(FeatureStore, "read_into", watched)
    monkeypatch.setattr(FeatureStore, "read", lambda *a: pytest.fail("mapped features stay in memory"))
    for module in ("nlcli.detection.single_label", "nlcli.detection.base", "nlcli.detection.per_class"):
        monkeypatch.setattr(f"{module}.READ_ROWS", 16)
    made = detect_noise(world.config("bounded", "knn", options={"neighbours": 5}))
    largest = max(np.sum((world.noisy == c) & world.verified & (world.split == 0)) for c in range(6))
    assert max(asked) <= max(16, largest)
    assert base.READ_ROWS == 16
    assert by_key(made).score.to_dict() == by_key(knn).score.to_dict()


class _Killed(BaseException):
    pass


def test_a_killed_detection_goes_on(world: World, knn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    of_class = Knn.fit_class

    def counted(self: Knn, images: Any, *rest: Any) -> Any:
        if len(fitted) == 3:
            raise _Killed
        fitted.append(len(images.label))
        return of_class(self, images, *rest)

    config = world.config("killed", "knn", options={"neighbours": 5})
    with monkeypatch.context() as patch:
        patch.setattr(Knn, "fit_class", counted)
        patch.setattr("nlcli.detection.per_class.cpu_count", lambda: 1)
        with pytest.raises(_Killed):
            detect_noise(config)
    assert len(list((world.root / "killed.partial" / "fit").iterdir())) == 3
    again: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(Knn, "fit_class", lambda *a: again.append(1) or of_class(*a))
        made = detect_noise(config)
    assert len(again) == 3
    assert (made / "noise.parquet").read_bytes() == (knn / "noise.parquet").read_bytes()
    assert info_of(made) == info_of(knn)
    with monkeypatch.context() as patch:
        patch.setattr(PerClass, "fit", lambda *a: pytest.fail("an up-to-date detection is not made again"))
        assert detect_noise(config) == made


def test_the_seed_and_options_belong_to_the_recipe(world: World, knn: Path) -> None:
    with pytest.raises(NlcliError, match=r"holds a different result \(differs in options"):
        detect_noise(world.config("knn", "knn", options={"neighbours": 3}))
    recorded = json.loads((knn / "stage.json").read_text())
    assert set(recorded["inputs"]) == {"dataset", "features"}
    assert all(entry["fingerprint"].startswith("sha256:") for entry in recorded["inputs"].values())
    assert recorded["summary"]["average_error"] == info_of(knn)["errors"]["all"]["average"]


def test_images_without_features_are_counted(world: World, knn: Path) -> None:
    lacking = world.stored("lacking", missing=(world.keys[0], world.keys[-1]))
    made = detect_noise(world.config("lacking-d", "knn", options={"neighbours": 5}, features=lacking))
    assert info_of(made)["images_without_features"] == 2
    assert len(pd.read_parquet(made / "noise.parquet")) == len(world.keys) - 2
    assert info_of(knn)["images_without_features"] == 0


# --- what is refused -------------------------------------------------------------------------


def test_refused_in_a_sentence(world: World, tmp_path: Path) -> None:
    nothing = world.with_label("nothing", np.full(len(world.keys), -1))
    file = tmp_path / "classes.txt"
    file.write_text("wolf\n")
    everywhere = world.config("refused", "knn")
    for settings, message in (
        ({"method": "kn"}, r"unknown detector 'kn'; did you mean 'knn'\?"),
        ({"options": {"k": 3}}, "detector knn: unknown option 'k'"),
        ({"classifier": tmp_path}, "knn takes no --classifier"),
        ({"hold_out": 1, "hold_out_classes": file}, "both name the held-out classes"),
        ({"use_held_out": True}, "--use-held-out needs --hold-out"),
        ({"hold_out": 6}, "the data set has 6 classes"),
        ({"hold_out_classes": file}, "unknown class 'wolf'"),
        (nothing, "knn learns from verified noisy labels, and no training image has one"),
        ({"features": world.dataset()}, "expected a features directory"),
        (
            {"dataset": published(relabelled(world, keys=[f"x{k}" for k in world.keys]).table(), tmp_path / "other")},
            "holds the features of another data set",
        ),
    ):
        with pytest.raises(NlcliError, match=message):
            detect_noise(everywhere.model_copy(update=settings))
        assert not (world.root / "refused").exists()


def test_features_that_are_not_finite_are_named(world: World, tmp_path: Path) -> None:
    broken = relabelled(world, features=world.features.copy(), root=tmp_path)
    broken.features[7, 3] = np.nan
    with pytest.raises(NlcliError, match=f"features of image '{broken.keys[7]}' are not finite"):
        detect_noise(broken.config("broken", "naive"))


def test_scores_that_are_not_finite_are_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Knn, "score", lambda self, features, noisy, rows: np.full(len(noisy), np.nan, np.float32))
    with pytest.raises(NlcliError, match="knn gave image .* a score that is not finite"):
        detect_noise(world.config("nan", "knn"))


def test_nothing_to_score(world: World, tmp_path: Path) -> None:
    table = world.table()
    table = replace(
        table,
        noisy=table.noisy[:0].__class__(table.noisy.shape, dtype=np.float32),
        verification=np.full(len(table), NONE, np.uint8),
    )
    dataset = published(table, tmp_path / "empty")
    with pytest.raises(NlcliError, match="no training image of .* has a noisy label and features"):
        detect_noise(world.config("empty-d", "naive", dataset=dataset, features=world.stored("empty-f", dataset)))


# --- what is written -------------------------------------------------------------------------


def test_a_detection_of_0_1_0_is_refused_and_made_again_by_the_same_command(world: World, capsys: Any) -> None:
    """It took seconds to make; what it says has another form."""
    config = world.config("old", "naive")
    made = detect_noise(config)
    new = (made / "detection.json").read_text()
    stage, info = json.loads((made / "stage.json").read_text()), json.loads(new)
    del info["version"], stage["recipe"]["format"]
    (made / "detection.json").write_text(json.dumps(info))
    (made / "stage.json").write_text(json.dumps(stage))
    with pytest.raises(
        NlcliError, match=r"old/detection\.json has format 0, .*; make it again with 'nlcli detect-noise'"
    ):
        read_detection(made)
    assert detect_noise(config) == made
    assert "old was made by an earlier version of nlcli; it is made again" in capsys.readouterr().err
    assert (made / "detection.json").read_text() == new
    with pytest.raises(NlcliError, match="differs in seed"):
        detect_noise(config.model_copy(update={"seed": 1}))


def test_what_a_detector_notes_may_be_numpy_s(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = {"array": np.array([1.5, np.nan]), "number": np.float32(0.5), "pair": (np.int64(3), "x"), "none": None}
    monkeypatch.setattr(
        Naive, "fit", lambda self, *a: setattr(self, "natural_threshold", 0.5) or self.notes.update(noted)
    )
    made = detect_noise(world.config("notes", "naive"))
    assert info_of(made)["notes"] == {"array": [1.5, None], "number": 0.5, "pair": [3, "x"], "none": None}
    assert read_detection(made).info.notes == info_of(made)["notes"]


def test_without_verified_labels_verdicts_are_cautious(world: World, tmp_path: Path, capsys: Any) -> None:
    """All labels are right, and features tell classes badly: what looks wrong there is the classifier's own error."""
    blurred = world.features + 0.5 * np.random.default_rng(4).normal(size=world.features.shape)
    right = relabelled(world, features=blurred.astype(np.float32), noisy=world.true, root=tmp_path)
    nothing = np.full(len(right.keys), -1, np.int8)
    made = detect_noise(right.config("out", "auto", **right.with_label("unseen", nothing)))
    info, rows = info_of(made), by_key(made)
    looks_wrong = int((rows.score[np.asarray(right.keys)[right.rows("train")]] < 0.5).sum())
    assert looks_wrong > 0
    assert info["called_wrong"] == {"train": 0, "validation": 0, "test": 0}
    assert (info["threshold"]["chosen_on"], info["threshold"]["value"]) == ("detector", 0.0)
    meaning = info["threshold"]["meaning"]
    assert meaning.startswith(f"cautious, as no verified label chooses it: {looks_wrong} labels look wrong, and ")
    assert f"auto keeps its own threshold, {meaning}" in capsys.readouterr().err
