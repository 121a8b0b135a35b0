"""Analyses of Veit 2017 and the curves of Hu 2019, on made-up scores with hand-computed results."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from nlcli.data.class_groups import categories, count_annotations, equal_groups, mean_in_groups
from nlcli.data.label_files import dataset_blocks, read_dataset
from nlcli.data.labels import LabelTable, matrix_from_lists
from nlcli.errors import NlcliError
from nlcli.evaluation import score_files
from nlcli.evaluation import scored_images as stored
from nlcli.evaluation.comparison.analyse import analyse, show_analysis
from nlcli.evaluation.comparison.learning_curves import (
    LearningCurve,
    Varying,
    band,
    over_seeds,
    read_learning_curve,
    seeds_band,
)
from nlcli.evaluation.comparison.model_rows import OverSeeds, Seeds
from nlcli.evaluation.config import Analyse
from nlcli.evaluation.score_files import read_images, read_scores, write_scores
from nlcli.metrics.bootstrap import resample_weights
from nlcli.metrics.curves import precision_recall_curve
from nlcli.metrics.intervals import (
    Support,
    classes_support,
    difference_interval,
    metric_interval,
    ranking_support,
    share_support,
    widest,
)
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage
from nlcli.training.result import RESULT
from worlds.made_evaluations import curve_lines, made_evaluation, made_result, made_run
from worlds.stage_builders import published, small_table, verified_table

NAN = float("nan")


def lines_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- groups of classes -----------------------------------------------------------------------


def as_lists(groups: list[np.ndarray]) -> list[list[int]]:
    return [group.tolist() for group in groups]


def test_equal_groups_by_hand():
    values = np.array([5.0, 1, 3, 3, 2, 9, 7])
    usable = np.array([True, True, True, True, True, False, True])
    # sorted: 1 (1), 4 (2), 2 (3), 3 (3), 0 (5), 6 (7)
    assert as_lists(equal_groups(values, usable, 3)) == [[1, 4], [2, 3], [0, 6]]
    assert as_lists(equal_groups(values, usable, 10)) == [[1, 4], [2, 3], [0, 6]]  # no group of one class
    assert as_lists(equal_groups(values, usable, 2)) == [[1, 4], [2, 3, 0, 6]]  # no cut through a tie
    every = np.ones(7, bool)
    assert as_lists(equal_groups(values, every, 3)) == [[1, 4], [2, 3, 0], [6, 5]]
    assert as_lists(equal_groups(np.zeros(5), np.ones(5, bool), 2)) == [[0, 1, 2, 3, 4]]
    assert as_lists(equal_groups(values, np.arange(7) == 4, 10)) == [[4]]
    assert equal_groups(values, np.zeros(7, bool), 10) == []


def test_ten_groups_of_6012_classes():
    groups = equal_groups(np.random.default_rng(0).random(6012), np.ones(6012, bool), 10)
    assert sorted(map(len, groups), reverse=True) == [602, 602, *[601] * 8]
    assert sorted(np.concatenate(groups).tolist()) == list(range(6012))


def test_the_order_of_the_classes_decides_no_group():
    """Qualities of few checked labels are often the same, those of all that are right above all."""
    rng = np.random.default_rng(1)
    quality = np.minimum(rng.integers(2, 9, 300) / 6, 1.0)  # 1 of about four in seven
    groups = equal_groups(quality, np.ones(300, bool), 10)
    order = rng.permutation(300)
    others = [np.sort(order[group]) for group in equal_groups(quality[order], np.ones(300, bool), 10)]
    assert as_lists(others) == [sorted(group) for group in as_lists(groups)]
    assert [set(quality[group]) for group in groups][-1] == {1.0}
    assert 2 <= len(groups) < 10


def test_means_leave_out_classes_without_positives():
    per_class = np.array([[0.2, NAN, 0.6, 1.0], [NAN, NAN, 0.5, 0.3]])
    means = mean_in_groups(per_class, [np.array([0, 1]), np.array([2, 3]), np.array([1])])
    np.testing.assert_allclose(means, [[0.2, 0.8, NAN], [NAN, 0.4, NAN]])


def test_categories_need_two():
    by_name = categories(("b", None, "a", "b"))
    assert {name: group.tolist() for name, group in by_name.items()} == {"b": [0, 3], "a": [2]}
    assert categories(("a", "a", None)) == {}
    assert categories(None) == {}


def test_annotations_are_counted_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = published(small_table(), tmp_path / "dataset")
    counted, paths, labels = count_annotations(dataset, {"x", "z"})
    assert counted.in_train.tolist() == [1, 1, 1]
    assert counted.checked.tolist() == [1, 1, 1]  # a and c of w, b of x; c of z was never verified
    assert counted.right.tolist() == [0, 0, 1]
    assert counted.quality.tolist() == [0, 0, 1]
    assert counted.verified_images == {"train": 2, "validation": 1, "test": 0}
    assert paths == {"x": Path("/images/x, 1.jpg"), "z": Path("/images/z.jpg")}
    assert labels == {"x": (1,), "z": (2,)}


def test_a_data_set_in_blocks_is_the_data_set(tmp_path: Path):
    dataset = published(verified_table(23, 4, splits=(5, 6)), tmp_path / "dataset")
    whole, blocks = read_dataset(dataset), list(dataset_blocks(dataset, 10))
    assert [len(block) for block in blocks] == [10, 10, 3]
    for name in ("keys", "split", "verification"):
        assert np.concatenate([getattr(b, name) for b in blocks]).tolist() == getattr(whole, name).tolist()
    for name in ("noisy", "present", "absent"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(b, name).toarray() for b in blocks]), getattr(whole, name).toarray()
        )


# --- learning curves -------------------------------------------------------------------------


def test_steps_of_phases_follow_each_other(tmp_path: Path):
    lines = curve_lines([0.1, 0.3, 0.2], "teacher") + curve_lines([0.25, 0.4], "student")
    lines.insert(1, {"phase": "teacher", "step": 5, "train": {"loss": 1.0}, "validation": {}})
    curve = read_learning_curve(made_run(tmp_path / "run", lines, ("student", 10)))
    assert curve is not None
    assert curve.steps.tolist() == [0, 10, 20, 20, 30]
    assert curve.phases == ("teacher", "teacher", "teacher", "student", "student")
    assert curve.metrics["mAP"].tolist() == [0.1, 0.3, 0.2, 0.25, 0.4]
    assert curve.metrics["AP_all"].tolist() == pytest.approx([0.2, 0.4, 0.3, 0.35, 0.5])
    assert curve.chosen == 4
    short = read_learning_curve(made_run(tmp_path / "short", curve_lines([0.5, 0.1])))
    assert short is not None
    assert short.chosen is None
    steps, values = over_seeds([curve, short], "mAP")
    assert steps.tolist() == [0, 10]
    assert values.tolist() == [[0.1, 0.3], [0.5, 0.1]]
    assert over_seeds([curve], "mAP")[1].tolist() == [[0.1, 0.3, 0.25, 0.4]]
    assert over_seeds([curve], "top_1")[0].tolist() == []


def test_bands_are_intervals_of_the_mean_from_three_seeds_on():
    values = np.array([[0.1, 0.97], [0.2, 1.0], [0.3, 1.0]])
    half = 4.302652729749464 * 0.1 / np.sqrt(3)
    low, high = seeds_band(values)
    assert (low[0], high[0]) == pytest.approx((0.0, 0.2 + half))  # a metric stays between 0 and 1
    assert high[1] == 1.0
    assert low[1] == pytest.approx(0.99 - 4.302652729749464 * np.sqrt(0.0003) / np.sqrt(3))
    assert [end.tolist() for end in seeds_band(values[:2])] == [[0.1, 0.97], [0.2, 1.0]]


def varied(value: float, replicates: list[float], images: int, support: Support) -> Varying:
    return Varying(value, images, np.array(replicates), support)


def curve_of(values: list[float], varying: Varying | None, images: int = 100) -> LearningCurve:
    steps, phases = np.arange(len(values)), ("joint",) * len(values)
    varies = {} if varying is None else {"mAP": varying}
    return LearningCurve(steps, phases, {"mAP": np.array(values)}, None, {"mAP": images}, varies)


DRAWN = [0.7, 0.85, 0.9, 0.75]  # their variance is 0.025 / 3


def test_bands_of_one_seed_are_over_images():
    """At the value and the number of images that were evaluated the band is the evaluation's own interval."""
    support = ranking_support(50)
    own = varied(0.8, DRAWN, 100, support)
    low, high = band([curve_of([0.8, 0.5, 0.8], own)], "mAP") or ([], [])
    assert (low[0], high[0]) == pytest.approx(metric_interval(0.8, DRAWN, support))
    # At 0.5 the variance is that at 0.8 times 0.25 / 0.16.
    wider = 0.5 + (np.array(DRAWN) - 0.8) * 1.25
    assert (low[1], high[1]) == pytest.approx(metric_interval(0.5, wider, support))
    # Of four times the images it is a quarter, and of 50 positives there are 200.
    more = band([curve_of([0.8], own, images=400)], "mAP") or ([], [])
    half = 0.8 + (np.array(DRAWN) - 0.8) / 2
    assert (more[0][0], more[1][0]) == pytest.approx(metric_interval(0.8, half, ranking_support(50)), abs=5e-3)
    assert more[0][0] > low[0]


def test_bands_of_a_share_are_wilsons_on_the_validation_images():
    own = varied(0.5, [0.4, 0.6], 1000, share_support(1000))
    low, high = band([curve_of([0.9], own, images=100)], "mAP") or ([], [])
    z = 1.959963984540054
    middle, spread = 0.9 + z**2 / 200, z * np.sqrt(0.9 * 0.1 / 100 + z**2 / 40_000)
    assert (low[0], high[0]) == pytest.approx(
        ((middle - spread) / (1 + z**2 / 100), (middle + spread) / (1 + z**2 / 100))
    )


def test_bands_of_seeds_hold_images_and_seeds_as_compare_has_them():
    support = ranking_support(50)
    values, drawn = [0.8, 0.84, 0.79], [DRAWN, [0.75, 0.86, 0.95, 0.8], [0.7, 0.8, 0.92, 0.74]]
    own = [curve_of([v], varied(v, r, 100, support)) for v, r in zip(values, drawn, strict=True)]
    low, high = band(own, "mAP") or ([], [])
    expected = OverSeeds.of(Seeds(np.array(values), np.array(drawn), support)).interval
    assert (low[0], high[0]) == pytest.approx(expected)
    alone = seeds_band(np.array(values)[:, None])
    assert high[0] - low[0] > alone[1][0] - alone[0][0]
    # Where one of them tells nothing of images, seeds alone are left, and of one seed nothing.
    told = band([*own[:2], curve_of([0.79], None)], "mAP")
    assert told is not None
    assert (told[0][0], told[1][0]) == pytest.approx((alone[0][0], alone[1][0]))
    assert band([curve_of([0.79], None)], "mAP") is None


def test_bands_need_enough_images():
    low, high = band([curve_of([0.5, np.nan], varied(0.5, [0.4, 0.6], 100, ranking_support(3)))], "mAP") or ([], [])
    assert np.isnan([*low, *high]).all()


def test_runs_without_validation_and_broken_files(tmp_path: Path):
    run = made_run(tmp_path / "run", [{"phase": "a", "step": 0, "train": {}, "validation": {}}])
    assert read_learning_curve(run) is None
    assert read_learning_curve(tmp_path) is None
    (run / "metrics.jsonl").write_text('{"phase": "a", "step": 0, "validation": {}}\n{"phase": "a"')
    with pytest.raises(NlcliError, match="line 2: not a line of training metrics"):
        read_learning_curve(run)
    (run / "metrics.jsonl").write_text('{"phase": "a", "step": 0, "validation": {"mAP": 0.5}}\n')
    (run / RESULT).write_text(json.dumps(made_result("a", 0).to_json() | {"step": "first"}))
    with pytest.raises(NlcliError, match=r"result.json: field 'step': .*; make it again with 'nlcli train-head'"):
        read_learning_curve(run)


# --- whole analyses --------------------------------------------------------------------------

CLASSES = 9
NAMES = "noisy", "veit"


def made_table(root: Path, *, partly: bool = False) -> LabelTable:
    """90 images, nine classes in three categories; class 8 is never present in test."""
    table = verified_table(90, CLASSES, seed=3, splits=(20, 40))
    root.mkdir()
    for path in table.paths[50:]:
        Image.new("RGB", (48, 32), "steelblue").save(root / path)
    present = table.present.toarray().astype(bool)
    present[50:, 8] = False
    table.groups = ("x", "x", "y", "y", "y", None, "z", "x", "z")
    table.image_root = root
    if not partly:
        table.present = matrix_from_lists([np.flatnonzero(row).tolist() for row in present], CLASSES)
        return table
    looked = np.random.default_rng(7).random(present.shape) < 0.5
    table.present = matrix_from_lists([np.flatnonzero(row).tolist() for row in present & looked], CLASSES)
    table.absent = matrix_from_lists([np.flatnonzero(row).tolist() for row in ~present & looked], CLASSES)
    table.verification[:] = 1
    return table


def made_scores(table: LabelTable, strength: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(40, CLASSES))
    present = table.present.toarray()[50:]
    return np.round(1 / (1 + np.exp(-noise - strength * present)), 2).astype(np.float32)  # rounded: with ties


class World:
    """A baseline and a better model of two seeds, their scores kept."""

    def __init__(self, root: Path, *, partly: bool = False, resamples: int = 60) -> None:
        self.root, self.table = root, made_table(root / "images", partly=partly)
        self.dataset = published(self.table, root / "dataset")
        self.scores: dict[tuple[str, int], np.ndarray] = {}
        self.paths = []
        for name, strength in (("noisy", 0.5), ("veit", 1.5)):
            for seed in (0, 1):
                self.scores[name, seed] = made_scores(self.table, strength, 10 * len(name) + seed)
                start = [strength / 10, strength / 5, strength / 4 + seed / 50]
                run = made_run(root / f"{name}-{seed}", curve_lines(start), ("joint", 20))
                self.paths.append(
                    made_evaluation(
                        root / f"test-{name}-{seed}",
                        self.table,
                        self.dataset,
                        run,
                        self.scores[name, seed],
                        name=name,
                        seed=seed,
                        resamples=resamples,
                    )
                )
        self.labels, self.mask = (a.astype(bool) for a in self.table.verified_targets(self.table.rows("test")))

    def analyse(self, output: str = "analysis", **options: Any) -> Path:
        return analyse(Analyse(evaluations=tuple(self.paths), output=self.root / output, **options))

    def per_class(
        self, name: str, seed: int, weight: np.ndarray | None = None, classes: Sequence[int] = range(CLASSES)
    ) -> np.ndarray:
        """AP of ``classes`` by scikit-learn."""
        scores, values = self.scores[name, seed], []
        weight = np.ones(40) if weight is None else weight
        for c in classes:
            k = self.mask[:, c] & (weight > 0)
            truth = self.labels[k, c]
            values.append(average_precision_score(truth, scores[k, c], sample_weight=weight[k]) if truth.any() else NAN)
        return np.array(values)

    def gain_interval(self, classes: list[int]) -> tuple[float, float]:
        """Of veit over noisy in the mAP of ``classes``, resampled by scikit-learn."""
        weights = resample_weights(40, 0, 60, 0)
        values, drawn = (
            [np.array([[self.per_class(name, seed, w, classes) for w in ws] for seed in (0, 1)]) for name in NAMES]
            for ws in ([None], weights)
        )
        positives = (self.labels & self.mask).sum(axis=0)[classes]
        support = widest(classes_support(positives, one) for each in drawn for one in each)
        (base, other), (of_base, of_other) = ([np.nanmean(a, axis=2) for a in arrays] for arrays in (values, drawn))
        ends = difference_interval(other[:, 0], of_other, base[:, 0], of_base, support)
        assert ends is not None
        return ends

    def mean(self, name: str, classes: list[int], weight: np.ndarray | None = None) -> float:
        return float(np.mean([np.nanmean(self.per_class(name, seed, weight, classes)) for seed in (0, 1)]))


@pytest.fixture(scope="module", params=[False, True], ids=["fully", "partly"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("world"), partly=request.param)
    made.analyse()
    return made


def test_gains_are_those_of_scikit_learn(world: World):
    table, output = world.table, world.root / "analysis"
    noisy, present = table.noisy.toarray() > 0, table.present.toarray() > 0
    verified = table.verified_targets(np.arange(90))[1] > 0
    frequency = noisy[:30].sum(axis=0)
    checked, right = (noisy & verified).sum(axis=0), (noisy & present).sum(axis=0)
    some = world.labels.any(axis=0)
    assert not some[8]  # class 8 has no positive in test and belongs to no group
    assert some[:8].all()
    for by, values in (("frequency", frequency), ("quality", right / checked)):
        order = sorted(range(8), key=lambda c: (values[c], c))
        expected = [order[:2], order[2:4], order[4:6], order[6:]]
        own = [line for line in lines_of(output / "gains.csv") if line["by"] == by]
        assert [(line["group"], line["model"]) for line in own] == [
            (str(g), model) for g in (1, 2, 3, 4) for model in ("noisy", "veit")
        ]
        for g, classes in enumerate(expected):
            base, other = own[2 * g], own[2 * g + 1]
            assert float(other["from"]) == pytest.approx(values[classes[0]], abs=1e-5)
            assert float(other["to"]) == pytest.approx(values[classes[-1]], abs=1e-5)
            assert (other["classes"], other["with_positives"]) == ("2", "2")
            assert float(base["mAP"]) == pytest.approx(world.mean("noisy", classes), abs=1e-6)
            assert base["gain"] == base["gain_low"] == ""
            gain = world.mean("veit", classes) - world.mean("noisy", classes)
            assert float(other["gain"]) == pytest.approx(gain, abs=1e-6)
            seeds = [np.nanmean(world.per_class("veit", seed, classes=classes)) for seed in (0, 1)]
            assert float(other["spread"]) == pytest.approx(np.std(seeds, ddof=1), abs=1e-6)
    placed = {line["class"]: line for line in lines_of(output / "classes.csv")}
    assert placed["c8"]["frequency_group"] == placed["c8"]["quality_group"] == ""
    assert [int(placed[f"c{c}"]["noisy_in_train"]) for c in range(9)] == frequency.tolist()
    assert [int(placed[f"c{c}"]["noisy_right"]) for c in range(9)] == right.tolist()


def test_gain_intervals_are_paired_by_image(world: World):
    output = world.root / "analysis"
    places = {line["class"]: line["frequency_group"] for line in lines_of(output / "classes.csv")}
    classes = [c for c in range(CLASSES) if places[f"c{c}"] == "4"]
    low, high = world.gain_interval(classes)
    (line,) = [
        line
        for line in lines_of(output / "gains.csv")
        if (line["by"], line["group"], line["model"]) == ("frequency", "4", "veit")
    ]
    assert (float(line["gain_low"]), float(line["gain_high"])) == pytest.approx((float(low), float(high)), abs=1e-6)


def test_categories_are_table_3(world: World):
    by_place = {
        (line["category"], line["model"]): line for line in lines_of(world.root / "analysis" / "categories.csv")
    }
    members = {"x": [0, 1, 7], "y": [2, 3, 4], "z": [6, 8]}
    assert set(by_place) == {(name, model) for name in members for model in ("noisy", "veit")}
    for name, classes in members.items():
        some = [c for c in classes if c != 8]
        for model in ("noisy", "veit"):
            line = by_place[name, model]
            assert float(line["mAP"]) == pytest.approx(world.mean(model, some), abs=1e-6)
            assert (int(line["classes"]), int(line["with_positives"])) == (len(classes), len(some))
            keep = world.mask[:, classes]
            together = [
                average_precision_score(world.labels[:, classes][keep], world.scores[model, seed][:, classes][keep])
                for seed in (0, 1)
            ]
            assert float(line["AP_all"]) == pytest.approx(np.mean(together), abs=1e-6)
    table = read_json(world.root / "analysis" / "analysis.json")
    assert table["category"]["left_out"] == "1 class of no category"
    markdown = (world.root / "analysis" / "analysis.md").read_text(encoding="utf-8")
    assert "| model | x (3) | y (3) | z (1) |" in markdown
    assert "1 class without positives in split 'test'" in markdown
    lines = markdown.split("AP_all by category (Veit 2017, section 4.5.2)")[1].splitlines()
    assert "| model | (all) | x | y | z |" in lines
    for model in ("noisy", "veit"):
        together = []
        for classes in (range(CLASSES), *members.values()):
            keep = world.mask[:, classes]
            of_seeds = [
                average_precision_score(world.labels[:, classes][keep], world.scores[model, seed][:, classes][keep])
                for seed in (0, 1)
            ]
            together.append(f"{100 * np.mean(of_seeds):.2f}")
        assert f"| {model} | {' | '.join(together)} |" in lines
    assert "on verified images (train 30, validation 20, test 40)" in markdown


def test_precision_recall_curves_are_means_over_seeds(world: World):
    lines = lines_of(world.root / "analysis" / "precision_recall.csv")
    assert list(dict.fromkeys(line["category"] for line in lines)) == ["(all)", "x", "y", "z"]
    for category, classes in (("(all)", list(range(9))), ("y", [2, 3, 4])):
        own = [line for line in lines if (line["category"], line["model"]) == (category, "veit")]
        keep = world.mask[:, classes]
        expected = np.zeros(200)
        for seed in (0, 1):
            truth, scores = world.labels[:, classes][keep], world.scores["veit", seed][:, classes][keep]
            curve = precision_recall_curve(truth, scores)
            for i in range(200):  # the first point that reaches the recall
                expected[i] += curve.precision[np.flatnonzero(curve.recall >= 0.005 * (i + 1) - 1e-9)[0]] / 2
        assert [float(line["precision"]) for line in own] == pytest.approx(expected.tolist(), abs=1e-6)
        assert float(own[-1]["recall"]) == 1
        # At full recall everything is called that scores as high as the last positive.
        assert float(own[-1]["precision"]) >= world.labels[:, classes].sum() / keep.sum() - 1e-6


def test_examples_are_the_same_images_for_all_models(world: World):
    lines = lines_of(world.root / "analysis" / "examples.csv")
    keys = list(dict.fromkeys(line["key"] for line in lines))
    assert len(keys) == 6
    test = world.table.keys[50:].tolist()
    for line in lines:
        row, c = test.index(line["key"]), int(line["class"][1:])
        if line["verdict"] == "missed":
            assert world.labels[row, c]
            continue
        expected = "right" if world.labels[row, c] else "wrong" if world.mask[row, c] else "unverified"
        assert line["verdict"] == expected
        scores = world.scores[line["model"], 0][row]
        assert float(line["score"]) == pytest.approx(np.sort(scores)[-int(line["rank"])], abs=1e-6)
    for key in keys:
        assert world.labels[test.index(key)].any()
        for model in ("noisy", "veit"):
            own = [line for line in lines if (line["key"], line["model"]) == (key, model)]
            shown = {line["class"] for line in own if line["verdict"] in ("right", "missed")}
            assert shown == {f"c{c}" for c in np.flatnonzero(world.labels[test.index(key)])}


def test_examples_of_single_label_data_tell_the_noisy_label_and_shares(tmp_path: Path):
    """Hu 2019, figure 5: h, which fits noisy labels, beside g; 7 classes, so that two are not among the top."""
    table = verified_table(2, 7, splits=(0, 2))
    table.task = "single-label"
    table.noisy = matrix_from_lists([[1], [6]], 7)
    table.present, table.absent = matrix_from_lists([[0], [6]], 7), matrix_from_lists([[], []], 7)
    table.image_root = tmp_path
    for path in table.paths:
        Image.new("RGB", (48, 32), "steelblue").save(tmp_path / path)
    dataset = published(table, tmp_path / "dataset")
    h = np.array([[0.2, 0.8, 0.4, 0.3, 0.15, 0.1, 0.05], [0.5, 0.4, 0.3, 0.25, 0.2, 0.2, 0.15]], np.float32)
    g = np.array([[0.5, 0.05, 0.15, 0.1, 0.1, 0.08, 0.02], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4]], np.float32)
    paths = []
    for name, scores in (("h", h), ("g", g)):
        run = made_run(tmp_path / f"run of {name}", curve_lines([0.5]))
        paths.append(made_evaluation(tmp_path / name, table, dataset, run, scores, name=name))
    output = analyse(Analyse(evaluations=tuple(paths), output=tmp_path / "analysis"))
    lines = lines_of(output / "examples.csv")
    first, second = table.keys.tolist()
    told = {(line["key"], line["model"], line["class"]): line for line in lines}
    # Of both images h's scores sum to 2, g's to 1. The noisy label of the first is c1, which g ranks sixth.
    assert [
        told[first, "h", "c1"][name] for name in ("rank", "score", "verdict", "noisy_label", "share", "change")
    ] == [*("1", "0.800000", "wrong", "1", "0.400000", "")]
    assert [
        told[first, "g", "c1"][name] for name in ("rank", "score", "verdict", "noisy_label", "share", "change")
    ] == [*("6", "0.050000", "wrong", "1", "0.050000", "-0.350000")]
    assert [told[first, "g", "c0"][name] for name in ("rank", "verdict", "noisy_label", "share", "change")] == [
        *("1", "right", "0", "0.500000", "0.400000")
    ]
    # The second's is right, and h ranks it last.
    assert [told[second, "h", "c6"][name] for name in ("rank", "verdict", "noisy_label", "share")] == [
        *("7", "missed", "1", "0.075000")
    ]
    assert told[second, "g", "c6"]["change"] == "0.325000"
    assert sum(line["verdict"] == "missed" for line in lines) == 1
    assert len(lines) == 4 * 5 + 2
    with Image.open(output / "examples.png") as image:
        assert min(image.size) > 200


def test_examples_of_single_label_data_have_both_labels(tmp_path: Path):
    """Hu 2019, figure 5: a true and a noisy label each. Of six images two have no noisy label, and one a wrong one."""
    table = verified_table(6, 3, splits=(0, 6))
    table.task = "single-label"
    table.noisy = matrix_from_lists([[], [0], [1], [], [2], [1]], 3)
    table.present, table.absent = matrix_from_lists([[0], [0], [2], [1], [2], [1]], 3), matrix_from_lists([[]] * 6, 3)
    table.image_root = tmp_path
    for path in table.paths:
        Image.new("RGB", (48, 32), "steelblue").save(tmp_path / path)
    scores = np.linspace(0.1, 0.9, 18).reshape(6, 3).astype(np.float32)

    def shown(name: str, **options: int) -> list[str]:
        dataset = published(table, tmp_path / f"{name}-dataset")
        run = made_run(tmp_path / f"run of {name}", curve_lines([0.5]))
        made = made_evaluation(tmp_path / name, table, dataset, run, scores, name=name)
        output = analyse(Analyse(evaluations=(made,), output=tmp_path / f"{name}-analysis", **options))
        file = output / "examples.csv"
        return list(dict.fromkeys(line["key"] for line in lines_of(file))) if file.is_file() else []

    keys = table.keys.tolist()
    assert shown("all", examples=6) == [keys[1], keys[2], keys[4], keys[5]]
    for seed in range(5):
        two = shown(f"two-{seed}", examples=2, seed=seed)
        assert keys[2] in two  # half of them are wrong
        assert len(two) == 2
        assert set(two) <= {keys[1], keys[2], keys[4], keys[5]}
    assert shown("none", examples=0) == []
    table.noisy = matrix_from_lists([[]] * 6, 3)
    assert shown("unlabelled", examples=6) == keys


def test_learning_curves_are_those_of_the_runs(world: World):
    lines = lines_of(world.root / "analysis" / "learning_curves.csv")
    own = [line for line in lines if (line["model"], line["seed"]) == ("veit", "1")]
    assert [int(line["step"]) for line in own] == [0, 10, 20]
    assert [float(line["validation mAP"]) for line in own] == pytest.approx([0.15, 0.3, 0.395])
    assert [line["chosen"] for line in own] == ["0", "0", "1"]
    assert len(lines) == 12
    bands = lines_of(world.root / "analysis" / "learning_bands.csv")
    veit = [line for line in bands if (line["model"], line["validation metric"]) == ("veit", "mAP")]
    assert [(int(line["step"]), int(line["seeds"])) for line in veit] == [(0, 2), (10, 2), (20, 2)]
    assert all(float(line["low"]) < float(line["mean"]) < float(line["high"]) for line in veit)


def test_every_plot_is_drawn(world: World):
    output = world.root / "analysis"
    for name in ("categories", "gains", "precision_recall", "learning_curves"):
        with Image.open(output / f"{name}.png") as image:
            assert min(image.size) > 200
            assert len(image.convert("RGB").resize((64, 64)).getcolors(1 << 12) or []) > 20  # not a blank sheet
        assert (output / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
    with Image.open(output / "examples.png") as image:
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 24) or []}
        assert (70, 130, 180) in colours  # the photographs themselves
    assert not list(output.glob(".*"))


def test_the_same_again_does_nothing_and_the_table_is_printed(world: World, capsys: pytest.CaptureFixture[str]):
    output = world.analyse()
    assert "up to date" in capsys.readouterr().err
    show_analysis([output])
    shown = capsys.readouterr().out
    assert "mAP by category (Veit 2017, table 3)" in shown
    assert "mAP of noisy" in shown
    assert "paired by image" in shown
    summary = read_stage(output, "analysis").summary
    assert (summary["models"], summary["categories"], summary["groups_by_quality"]) == (2, 3, 4)


# --- what else may be given ------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Without a bootstrap."""
    return World(tmp_path_factory.mktemp("plain"), resamples=0)


def test_without_bootstrap_and_with_one_made_here(plain: World):
    without = lines_of(plain.analyse() / "gains.csv")
    assert {line["low"] + line["gain_high"] for line in without} == {""}
    output = plain.analyse("made", bootstrap=60, examples=0, groups=2)
    made = lines_of(output / "gains.csv")
    assert {line["classes"] for line in made} == {"4"}
    places = {line["class"]: line["quality_group"] for line in lines_of(output / "classes.csv")}
    classes = [c for c in range(CLASSES) if places[f"c{c}"] == "2"]
    expected = plain.gain_interval(classes)
    (line,) = [e for e in made if (e["by"], e["group"], e["model"]) == ("quality", "2", "veit")]
    assert (float(line["gain_low"]), float(line["gain_high"])) == pytest.approx(expected, abs=1e-6)
    assert not (plain.root / "made" / "examples.png").exists()


def test_one_model_alone_has_no_gain(plain: World):
    output = analyse(Analyse(evaluations=tuple(plain.paths[:1]), output=plain.root / "alone"))
    assert not (output / "gains.png").exists()
    assert (output / "categories.png").exists()
    assert "Gain by" not in (output / "analysis.md").read_text(encoding="utf-8")


def test_runs_that_are_gone_are_left_out(plain: World, capsys: pytest.CaptureFixture[str]):
    gone, moved = plain.root / "noisy-1", plain.root / "elsewhere"
    gone.rename(moved)
    try:
        output = plain.analyse("gone")
    finally:
        moved.rename(gone)
    assert "1 models have no learning curve" in capsys.readouterr().err
    assert read_json(output / "analysis.json")["without_learning_curve"] == [str(plain.paths[1])]
    seeds = {(line["model"], line["seed"]) for line in lines_of(output / "learning_curves.csv")}
    assert seeds == {("noisy", "0"), ("veit", "0"), ("veit", "1")}


def test_parts_of_the_clean_set_are_told_apart(plain: World):
    paths = [
        made_evaluation(
            plain.root / f"part-{fraction}",
            plain.table,
            plain.dataset,
            plain.root / "veit-0",
            made_scores(plain.table, fraction, 5),
            name="veit",
            fraction=fraction,
        )
        for fraction in (0.05, 0.5)
    ]
    output = analyse(Analyse(evaluations=(plain.paths[0], *paths), output=plain.root / "parts"))
    labels = [model["label"] for model in read_json(output / "analysis.json")["models"]]
    assert labels == ["noisy", "veit, 5 % clean", "veit, 50 % clean"]
    # One run scored twice has one learning curve.
    assert {line["model"] for line in lines_of(output / "learning_curves.csv")} == {"noisy", "veit, 5 % clean"}


def test_data_sets_that_do_not_fit(plain: World, tmp_path: Path):
    other = published(verified_table(10, 3), tmp_path / "other")
    with pytest.raises(NlcliError, match="has other classes than the evaluations"):
        plain.analyse("refused", dataset=other)
    assert not (plain.root / "refused").exists()
    where = plain.root / "dataset"
    where.rename(plain.root / "hidden")
    try:
        with pytest.raises(NlcliError, match="pass --dataset"):
            plain.analyse("refused")
    finally:
        (plain.root / "hidden").rename(where)


@pytest.mark.parametrize("partly", [False, True])
def test_scores_are_read_alike_in_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partly: bool):
    table = made_table(tmp_path / "images", partly=partly)
    rows, scores = table.rows("test"), made_scores(table, 1.0, 0)
    with write_scores(tmp_path / "s.parquet", table, rows) as writer:
        for part in (slice(0, 11), slice(11, 40)):
            writer.add(rows[part], scores[part])
    whole = read_scores(tmp_path / "s.parquet")
    read: list[int] = []

    def counted(blocks: Sequence[Any]) -> Any:
        read.append(len(blocks))
        return stored.joined(blocks)

    monkeypatch.setattr(score_files, "joined", counted)
    monkeypatch.setattr(score_files, "BATCH", 7)
    parts = read_scores(tmp_path / "s.parquet")
    assert read == [6, 6]  # 40 images, seven at a time: labels with scores, and answers
    assert parts.keys.tolist() == whole.keys.tolist() == table.keys[rows].tolist()
    assert parts.label_hash() == whole.label_hash()
    assert isinstance(parts.verified, stored.Entries if partly else stored.Dense)
    assert parts.metrics().ap_all == whole.metrics().ap_all
    wanted = [str(table.keys[rows[i]]) for i in (3, 12, 39)]
    images = read_images(tmp_path / "s.parquet", [*wanted, "unknown"])
    assert list(images) == wanted
    present, verified = table.verified_targets(rows)
    for i, key in zip((3, 12, 39), wanted, strict=True):
        np.testing.assert_array_equal(images[key].scores, scores[i])
        np.testing.assert_array_equal(images[key].present, present[i] > 0)
        np.testing.assert_array_equal(images[key].verified, verified[i] > 0)
