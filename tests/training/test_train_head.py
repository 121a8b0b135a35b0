"""train-head from a data set and cached features to a head, and everything it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.features.store import FeatureStore
from nlcli.data.labels import choose_clean, matrix_from_lists, single_label_table
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Phase, Problem, Schedule
from nlcli.methods.base.feature_scale import TensorScale
from nlcli.metrics.ranking import ranking_metrics, sparse_ranking_metrics
from nlcli.networks.linear_layer import LinearLayer
from nlcli.stages.files import read_json, write_json
from nlcli.training.loop.feature_source import FeatureSource, RowFeatures, training_rows
from nlcli.training.loop.pools import StoredRows, stored_rows
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import train_head
from nlcli.training.validation import validation_of
from worlds.heads import Work, single_label, table_of


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("heads"), table_of())


@pytest.fixture(scope="module")
def residual_run(work: Work) -> Path:
    return train_head(work.config("residual"))


def test_a_run_tells_everything(work: Work, residual_run: Path) -> None:
    result = json.loads((residual_run / "result.json").read_text())
    config = json.loads((residual_run / "config.json").read_text())
    lines = [json.loads(line) for line in (residual_run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(0, 201, 5))
    best = min(lines, key=lambda line: line["validation"]["cost_beyond_start"])
    assert result["step"] == best["step"]
    assert result["selected_by"] == {
        "split": "validation",
        "metric": "cost_beyond_start",
        "value": best["validation"]["cost_beyond_start"],
    }
    assert result["validation"] == best["validation"] | {"images": 149}
    chosen = choose_clean(work.table, 0.2, 0)
    assert result["clean"]["images"] == len(chosen) == 90
    assert result["clean"]["keys"].startswith("sha256:")
    labelled = np.diff(work.table.noisy.indptr)[:450] > 0
    outside = np.setdiff1d(np.flatnonzero(labelled), chosen)
    missing = np.intersect1d([3, 449], np.union1d(outside, chosen))
    assert len(missing)
    assert result["images_without_features"] == {"train": len(missing), "validation": 1}
    assert result["training_images"]["noisy"] == len(np.setdiff1d(outside, [3, 449]))
    assert config["classes"] == list(work.table.classes)
    assert config["method_config"]["alpha"] == 0.2
    assert config["method_config"]["learning_rate"] == 1e-2
    assert not (residual_run / "checkpoint.npz").exists()


def test_the_head_that_is_loaded_is_the_one_that_was_chosen(work: Work, residual_run: Path) -> None:
    head = load_head(residual_run)
    assert (head.classes, head.score_names, head.task) == (work.table.classes, ("clean", "noisy"), "multi-label")
    rows = np.setdiff1d(work.table.rows("validation"), [450])
    scores = head.score(work.features_of[rows])
    assert scores.shape == (149, 5)
    assert scores.dtype == np.float32
    truth, mask = work.table.verified_targets(rows)
    ranking = ranking_metrics(truth, scores, mask)
    result = json.loads((residual_run / "result.json").read_text())
    assert ranking.ap_all == pytest.approx(result["validation"]["AP_all"], abs=1e-6)
    assert ranking.mean_ap == pytest.approx(result["validation"]["mAP"], abs=1e-6)
    assert ranking.ap_all > 0.8
    assert not np.array_equal(head.score(work.features_of[rows], "noisy"), scores)
    with pytest.raises(NlcliError, match=r"unknown score 'cleen'; did you mean 'clean'\?"):
        head.score(work.features_of[:2], "cleen")
    with pytest.raises(NlcliError, match="takes features of length 24"):
        head.score(np.zeros((2, 7), np.float32))


def test_same_command_does_nothing_and_same_seed_gives_the_same_bytes(work: Work, residual_run: Path) -> None:
    before = (residual_run / "head.npz").stat().st_mtime_ns
    assert train_head(work.config("residual")) == residual_run
    assert (residual_run / "head.npz").stat().st_mtime_ns == before
    again = train_head(work.config("again"))
    other = train_head(work.config("other", seed=1))
    for name in ("head.npz", "metrics.jsonl", "result.json", "config.json"):
        assert (again / name).read_bytes() == (residual_run / name).read_bytes(), name
    assert (other / "head.npz").read_bytes() != (residual_run / "head.npz").read_bytes()


def test_where_features_are_read_from_does_not_change_the_result(work: Work, residual_run: Path) -> None:
    streamed = train_head(work.config("streamed", order="shuffled", memory=1e-5))
    assert json.loads((streamed / "stage.json").read_text())["summary"]["streamed"] is True
    assert (streamed / "head.npz").read_bytes() == (residual_run / "head.npz").read_bytes()


def test_features_larger_than_the_budget_are_read_in_blocks(work: Work) -> None:
    """With weights of its own: a head that stays where it was solved is the same in any order."""
    new = {"start": "new"}
    blocks = train_head(work.config("blocks", memory=1e-5, options=new))
    resident = train_head(work.config("resident-blocks", order="block-shuffled", options=new))
    shuffled = train_head(work.config("resident", options=new))
    result = json.loads((blocks / "result.json").read_text())
    assert result["order"] == "block-shuffled"
    assert result["validation"]["AP_all"] > 0.8
    assert (blocks / "head.npz").read_bytes() == (resident / "head.npz").read_bytes()
    assert (blocks / "head.npz").read_bytes() != (shuffled / "head.npz").read_bytes()


def test_half_precision_features(work: Work) -> None:
    halves = work.write(work.root / "halves", "float16", seed=1)
    run = train_head(work.config("half", features=halves))
    assert json.loads((run / "result.json").read_text())["validation"]["AP_all"] > 0.8


_TRAIN = """
import sys
sys.path[:0] = {paths!r}
from nlcli.training.config import TrainHead
from nlcli.training.loop import pace
pace.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every block
from nlcli.training.train_head import train_head
train_head(TrainHead.model_validate_json({config!r}))
"""


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(work: Work, residual_run: Path, times: int) -> None:
    """SIGKILL at moments that depend on the machine; then the same command finishes."""
    rng = np.random.default_rng()
    config = work.config(f"killed-{times}")
    code = _TRAIN.format(paths=[str(Path(__file__).parents[2])], config=config.model_dump_json())
    metrics = work.root / f"killed-{times}.partial" / "metrics.jsonl"
    kills = 0
    for lines in sorted(rng.choice(np.arange(2, 38), times, replace=False).tolist()):
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if metrics.exists() and metrics.read_bytes().count(b"\n") >= lines:
                    time.sleep(rng.uniform(0, 0.02))
                    break
                time.sleep(0.002)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            else:
                assert process.returncode == 0, process.stderr.read().decode()[-2000:]
    assert kills, "the training ended before it could be killed"
    run = train_head(config)
    for name in ("head.npz", "metrics.jsonl", "result.json"):
        assert (run / name).read_bytes() == (residual_run / name).read_bytes(), name


# --- pools -----------------------------------------------------------------------------------


def phase(rows: str, **options: Any) -> Phase:
    return Phase(rows, rows, 10, {"head": Schedule(1e-3)}, **options)


def test_pools_and_blocks(work: Work) -> None:
    table, store = work.table, FeatureStore(work.features)
    mixed = phase("mixed")
    rows = training_rows(table, store, (mixed, phase("noisy")), 0.2, 0)
    chosen = choose_clean(table, 0.2, 0)
    labelled = np.flatnonzero((np.diff(table.noisy.indptr) > 0) & (table.split == 0))
    without = [3, 449]
    expected = {
        "clean": np.setdiff1d(chosen, without),
        "labelled": np.setdiff1d(labelled, without),
        "mixed": np.setdiff1d(np.setdiff1d(labelled, chosen), without),
    }
    for name, wanted in expected.items():
        np.testing.assert_array_equal(np.sort(rows.used.dataset[getattr(rows, name)]), wanted)
    assert (np.diff(rows.used.stored) > 0).all()
    for budget in (1 << 30, 1 << 10):
        source = FeatureSource(table, store, rows, 32, 0, "shuffled", budget)
        assert source.resident == (budget > 1 << 20)
        block = source.block(mixed, 4, 3)
        everything = FeatureSource(table, store, rows, 32, 0, "shuffled", 1 << 30).block(mixed, 0, 7)
        table_rows = np.asarray(block.table)[block.rows]
        np.testing.assert_array_equal(table_rows, np.asarray(everything.table)[everything.rows[4:]])
        # each row's labels belong to the image whose features it has
        index = {row.tobytes(): i for i, row in enumerate(work.features_of)}
        images = np.array([[index[row.tobytes()] for row in batch] for batch in table_rows])
        assert np.isin(images[:, :3], chosen).all()
        assert not np.isin(images[:, 3:], chosen).any()
        np.testing.assert_array_equal(block.noisy, table.noisy_targets(images[:, 3:].ravel()).reshape(3, 29, 5))
        np.testing.assert_array_equal(block.verified, table.present[images[:, :3].ravel()].toarray().reshape(3, 3, 5))
        assert (block.mask == 1).all()
    assert source.block(phase("mixed", noisy_labels="all"), 0, 2).noisy.shape == (2, 32, 5)
    noisy = source.block(phase("noisy"), 0, 2)
    assert (noisy.noisy.shape, noisy.verified.shape) == ((2, 32, 5), (2, 0, 5))


def test_what_a_phase_asks_of_its_clean_rows(tmp_path: Path) -> None:
    """Rows 0, 4, 8, ... have a true class; 1, 5, ... are known right or wrong; 2, 6, ... have no noisy label."""
    number = np.arange(700) % 4
    table = single_label(
        true=lambda true, noisy: np.where((number == 0) | (number == 2), true, -1),
        noisy=lambda true, noisy: np.where(number == 2, -1, noisy),
        right=lambda true, noisy: np.where(number == 1, true == noisy, -1),
    )
    work = Work(tmp_path, table, missing=())
    phases = [
        replace(phase("mixed", clean_rows=what, clean_share=None), name=what) for what in ("any", "named", "pairs")
    ]
    rows = training_rows(work.table, FeatureStore(work.features), phases, 1.0, 0)
    right = table.present[np.arange(700)].sum(axis=1) > 0
    train = np.arange(450)
    expected = {
        "any": train[number[:450] != 3],
        "named": train[(number[:450] != 3) & right[:450]],
        "pairs": train[number[:450] < 2],
    }
    assert len(expected["named"]) < len(expected["any"])
    for one in phases:
        v, t = rows.pools(one)
        np.testing.assert_array_equal(np.sort(rows.used.dataset[v]), expected[one.name])
        np.testing.assert_array_equal(np.sort(rows.used.dataset[t]), train[number[:450] == 3])
        source = FeatureSource(work.table, FeatureStore(work.features), rows, 32, 0, "shuffled", 1 << 30)
        assert source.clean_rows(one) == round(32 * len(v) / (len(v) + len(t)))
    np.testing.assert_array_equal(rows.clean, rows.pools(phases[0])[0])
    table.verification[:450][number[:450] != 2] = 0
    table.present = matrix_from_lists([[0] if i >= 450 or number[i] == 2 else [] for i in range(700)], 5)
    with pytest.raises(NlcliError, match="none of its 112 images has features and a verified noisy label"):
        training_rows(table, FeatureStore(work.features), [phase("mixed", clean_rows="pairs")], 1.0, 0)


def test_inputs_of_a_beginning_are_those_of_the_images_with_noisy_labels(work: Work) -> None:
    store = FeatureStore(work.features)
    rows = training_rows(work.table, store, (phase("noisy"),), 0.2, 0)
    labelled = np.flatnonzero((np.diff(work.table.noisy.indptr) > 0) & (work.table.split == 0))
    expected = work.features_of[np.setdiff1d(labelled, [3, 449])]
    for budget in (1 << 30, 1 << 10):
        parts = list(FeatureSource(work.table, store, rows, 32, 0, "shuffled", budget).inputs())
        assert all(part.dtype == np.float32 for part in parts)
        computed = np.concatenate(parts)
        np.testing.assert_array_equal(computed[np.lexsort(computed.T)], expected[np.lexsort(expected.T)])


def test_masks_follow_partial_verification() -> None:
    table = table_of()
    table.verification[:] = 1
    table.absent = matrix_from_lists([[4] if 4 not in table.present[[i]].indices else [] for i in range(700)], 5)

    class Store:
        shape, dtype = (700, 24), np.dtype("float32")

        def rows_of(self, keys: Any, strict: bool = True) -> np.ndarray:
            return np.array([int(key[1:]) for key in keys])

        def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
            out[:] = rows[:, None]

    rows = training_rows(table, Store(), (phase("clean"),), 0.5, 0)
    block = FeatureSource(table, Store(), rows, 8, 0, "shuffled", 1 << 30).block(phase("clean"), 0, 5)
    images = np.asarray(block.table)[block.rows][:, :, 0].astype(int)
    present, absent = (m[images.ravel()].toarray().reshape(5, 8, 5) for m in (table.present, table.absent))
    np.testing.assert_array_equal(block.verified, present)
    np.testing.assert_array_equal(block.mask, present | absent)
    assert block.noisy.shape == (5, 0, 5)


def test_validation_features_are_the_same_kept_or_read(work: Work) -> None:
    store = FeatureStore(work.features)
    rows = stored_rows(work.table, store, work.table.rows("validation"))
    assert (len(rows), rows.missing) == (149, 1)
    kept, read = (RowFeatures(store, work.table, rows, budget) for budget in (1 << 30, 0))
    assert (kept.kept_bytes, read.kept_bytes) == (149 * 24 * 4, 0)
    for source in (kept, read):
        ((first, features),) = source.parts()
        assert first == 0
        np.testing.assert_array_equal(features, work.features_of[rows.dataset])


class Known:
    """A method whose score for class c is feature c."""

    def __init__(self, num_classes: int) -> None:
        self.problem = Problem(num_classes, tuple(f"c{i}" for i in range(num_classes)), "single-label")
        self.scores, self.starts_solved = ("classifier",), False
        self.scale = TensorScale("none", num_classes)
        self.arrays = True

    def offered(self) -> tuple[str, ...]:
        return self.scores

    def score(self, features: Any, name: str) -> Any:
        return features


@pytest.mark.parametrize("num_classes", [3, 7])
def test_validation_metrics_of_single_labels(num_classes: int) -> None:
    """Images: known (2 of them right), called right (predicted so), called wrong and unverified (not counted)."""
    true, noisy = np.array([0, 1, 2, -1, -1, -1]), np.array([0, 0, 0, 1, 2, 2])
    right = np.array([-1, -1, -1, 1, 0, -1])
    names = [str(i) for i in range(6)]
    table = single_label_table(
        [f"c{i}" for i in range(num_classes)], names, names, Path("/images"), np.ones(6), noisy, true, right
    )
    rows = np.array([5, 4, 3, 2, 1, 0])
    scores = np.zeros((6, num_classes), np.float32)
    scores[rows == 2], scores[rows == 1] = 0.01 * np.arange(num_classes), np.eye(num_classes)[1]
    scores[rows == 0], scores[rows == 3] = np.eye(num_classes)[2], np.eye(num_classes)[1]
    # Image 2 (true class 2) has classes from 3 on ahead of it; image 0 (true class 0) has class 2 ahead.

    class Data:
        def __init__(self) -> None:
            self.rows = StoredRows(rows, np.arange(6), 0)

        def parts(self) -> Any:
            yield 0, scores[:4]
            yield 4, scores[4:]

    validate = validation_of(Known(num_classes), table, Data())
    metrics = validate(phase("noisy"))
    assert validate.of_known_class == 4
    expected = {"top_1": 3 / 4} if num_classes == 3 else {"top_1": 2 / 4, "top_5": 1.0}
    assert {name: value for name, value in metrics.items() if name.startswith("top")} == expected
    position, column, label = table.verified_entries(rows)
    flat = sparse_ranking_metrics(column, label, scores[position, column], num_classes)
    assert (metrics["AP_all"], metrics["mAP"]) == (flat.ap_all, flat.mean_ap)


def test_a_single_label_run_is_chosen_by_top_1_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train_head(Work(tmp_path, single_label()).config("run", method="noisy", clean_fraction=0.2))
    lines = [json.loads(line)["validation"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    result, summary = (json.loads((run / name).read_text()) for name in ("result.json", "stage.json"))
    best = max(line["top_1"] for line in lines)
    assert best > lines[0]["top_1"] + 0.3
    assert result["selected_by"] == {"split": "validation", "metric": "top_1", "value": best}
    assert result["validation"]["top_1"] == summary["summary"]["validation_top_1"] == best
    assert result["validation"]["images_of_known_class"] == result["validation"]["images"] == 149
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"validation top_1 {best:.4f}" in told
    assert "AP_all" not in told
    scored = load_head(run)
    assert scored.task == "single-label"


# --- starting from a layer -------------------------------------------------------------------


def test_fine_tuning_starts_from_a_noisy_run(work: Work) -> None:
    noisy = train_head(work.config("noisy", method="noisy"))
    for method in ("finetune-last", "finetune-mixed"):
        run = train_head(work.config(method, method=method, init=noisy))
        first, *_, last = [json.loads(line)["validation"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert first == {
            k: v for k, v in json.loads((noisy / "result.json").read_text())["validation"].items() if k != "images"
        }
        assert last != first


def test_fine_tuning_takes_the_backbones_layer_by_class_name(work: Work, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(24, 6)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    classes = ("c4", "other", "c3", "c2", "c1", "c0")
    features = work.write(tmp_path / "features", last_layer=LinearLayer(kernel, bias, classes), seed=2)
    run = train_head(work.config(tmp_path / "run", method="finetune-last", features=features, steps=1))
    order = [classes.index(name) for name in work.table.classes]
    head = load_head(run)
    if json.loads((run / "result.json").read_text())["step"] == 0:
        np.testing.assert_array_equal(head.method.last_layer().kernel, kernel[:, order])
    else:
        np.testing.assert_allclose(head.method.last_layer().kernel, kernel[:, order], atol=0.011)


def test_methods_that_may_start_from_a_layer(work: Work, tmp_path: Path) -> None:
    """From the features' own layer where it has the classes, from --init's before it, else from new weights."""
    rng = np.random.default_rng(0)
    layer = LinearLayer(
        rng.normal(size=(24, 5)).astype(np.float32),
        rng.normal(size=5).astype(np.float32),
        ("c4", "c3", "c2", "c1", "c0"),
    )
    own = work.write(tmp_path / "own", last_layer=layer, seed=5)
    foreign = work.write(
        tmp_path / "foreign", last_layer=LinearLayer(layer.kernel[:, :2], layer.bias[:2], ("cat", "c0")), seed=6
    )
    noisy = train_head(work.config(tmp_path / "noisy", method="noisy", steps=20))
    slow = {"method": "veit", "steps": 1, "learning_rate": 1e-9, "options": {"start": "new"}}
    for name, changes, expected in (
        ("own", {"features": own}, layer.kernel[:, ::-1]),
        ("init", {"features": own, "init": noisy}, load_head(noisy).method.last_layer().kernel),
        ("foreign", {"features": foreign}, None),
    ):
        run = train_head(work.config(tmp_path / f"veit-{name}", **slow, **changes))
        recorded = json.loads((run / "result.json").read_text())["initial_layer"]
        assert recorded == {"own": "features", "init": "init", "foreign": None}[name]
        kernel = load_head(run).method.last_layer().kernel
        if expected is not None:
            np.testing.assert_allclose(kernel, expected, atol=1e-6)
        else:
            assert np.abs(kernel).max() < np.sqrt(6 / 29)  # Glorot's limit


# --- the other methods -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "phases", "score_names"),
    [
        ("veit", {"cleaning_rate": 1e-2}, ("joint",), ("classifier",)),
        (
            "veit",
            {"variant": "pretrained", "pretrain_rate": 1e-2, "pretrain_steps": 100},
            ("cleaning", "joint"),
            ("classifier",),
        ),
        ("misra", {"visual_steps": 100}, ("visual", "joint"), ("visual", "relevance")),
        (
            "teacher-student",
            {"hidden": 16, "teacher_rate": 1e-2, "pretrain_rate": 1e-2, "pretrain_steps": 100},
            ("pretrain", "joint"),
            ("student", "teacher"),
        ),
    ],
)
def test_methods_on_cached_features(
    work: Work, method: str, options: dict[str, Any], phases: tuple[str, ...], score_names: tuple[str, ...]
) -> None:
    run = train_head(work.config(f"{method}-{len(phases)}", method=method, options=options))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((run / "result.json").read_text())
    assert tuple(dict.fromkeys(line["phase"] for line in lines)) == phases
    metric = result["selected_by"]["metric"]
    assert metric == ("cost_beyond_start" if result["settings"].get("start") == "solved" else "ranking_cost")
    assert result["validation"]["AP_all"] > 0.8
    assert result["selected_by"]["value"] == min(
        line["validation"][metric] for line in lines if line["phase"] == phases[-1]
    )
    head = load_head(run)
    assert head.score_names == score_names
    rows = np.setdiff1d(work.table.rows("validation"), [450])
    truth, mask = work.table.verified_targets(rows)
    ranking = ranking_metrics(truth, head.score(work.features_of[rows]), mask)
    # What is loaded scores in NumPy, what was trained in TensorFlow: scores alike to 1e-6 may change places.
    assert ranking.ap_all == pytest.approx(result["validation"]["AP_all"], abs=1e-4)


def test_veits_pretraining_is_chosen_by_the_validation_loss(work: Work) -> None:
    """L_clean on the validation rows, whose noisy labels are read for it, recomputed from the labels."""
    options = {"variant": "pretrained", "pretrain_rate": 1e-9, "pretrain_steps": 1}
    run = train_head(work.config("veit-first", method="veit", options=options, steps=1))
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    rows = np.setdiff1d(work.table.rows("validation"), [450])
    wrong = np.abs(work.table.noisy_targets(rows).astype(float) - work.table.verified_targets(rows)[0])
    assert first["phase"] == "cleaning"
    assert first["validation"]["L_clean"] == pytest.approx(wrong.mean(), rel=1e-5)  # c_hat = y at the start


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "finetune-last"},
            "fine-tunes a trained last layer, which is not there; pass --init RUN of a noisy head",
        ),
        ({"method": "finetun-last"}, "unknown method 'finetun-last'; did you mean 'finetune-last'?"),
        ({"steps": 10, "options": {"steps": 20}}, "'steps' is given twice, as 10 and as option 20"),
        ({"options": {"alpa": 1}}, "unknown option 'alpa'; did you mean 'alpha'?"),
        ({"preset": "cocoo"}, "unknown preset 'cocoo'; did you mean 'coco'?"),
        ({"learning_rate": 1e12, "options": {"optimizer": "sgd", "activation": "linear"}}, "lower the learning rate"),
    ],
)
def test_mistakes_are_sentences(work: Work, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NlcliError) as refusal:
        train_head(work.config(f"refused-{abs(hash(message))}", **changes))
    assert message in str(refusal.value)


def test_init_where_nothing_starts_from_it(work: Work, residual_run: Path) -> None:
    with pytest.raises(NlcliError, match="method residual starts from new weights; leave out --init"):
        train_head(work.config("refused-init", init=residual_run))
    with pytest.raises(NlcliError, match="is a residual head, not a linear one"):
        train_head(work.config("refused-init2", method="finetune-last", init=residual_run))


def test_init_of_another_backbone(work: Work, tmp_path: Path) -> None:
    other = work.write(tmp_path / "features", backbone_fingerprint="sha256:other", seed=3)
    noisy = train_head(work.config(tmp_path / "noisy", method="noisy", features=other, steps=1))
    with pytest.raises(NlcliError, match="was trained on features of another backbone"):
        train_head(work.config(tmp_path / "run", method="finetune-last", init=noisy))


def test_a_layer_that_lacks_a_class(work: Work, tmp_path: Path) -> None:
    layer = LinearLayer.zeros(24, ("c0", "c1", "c2", "c4"))
    features = work.write(tmp_path / "features", last_layer=layer, seed=4)
    with pytest.raises(NlcliError, match=r"has no class 'c3' in .*; pass --init RUN"):
        train_head(work.config(tmp_path / "run", method="finetune-last", features=features))


def test_features_of_another_data_set(work: Work, tmp_path: Path) -> None:
    features = work.write(tmp_path / "features", dataset_fingerprint="sha256:other", seed=5)
    with pytest.raises(NlcliError, match="holds the features of another data set"):
        train_head(work.config(tmp_path / "run", features=features))


@pytest.mark.parametrize("memory", [None, 1e-5])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named(work: Work, tmp_path: Path, memory: float | None, value: float) -> None:
    row = int(choose_clean(work.table, 0.2, 0)[0])
    kept = work.features_of[row, 5]
    work.features_of[row, 5] = value
    try:
        features = work.write(tmp_path / "features", seed=6)
    finally:
        work.features_of[row, 5] = kept
    with pytest.raises(NlcliError, match=f"features of image 'k{row:05d}' are not finite"):
        train_head(work.config(tmp_path / "run", features=features, memory=memory))


def test_an_empty_clean_set(tmp_path: Path) -> None:
    table = table_of()
    table.verification[table.rows("train")] = 0
    empty = [[] if s == 0 else table.present[[i]].indices.tolist() for i, s in enumerate(table.split)]
    table.present = matrix_from_lists(empty, 5)
    work = Work(tmp_path, table)
    with pytest.raises(NlcliError, match="the clean set is empty: no training image has a verified label"):
        train_head(work.config("run"))
    train_head(work.config("noisy", method="noisy", steps=5))  # needs none


def test_a_clean_set_without_features(tmp_path: Path) -> None:
    table = table_of()
    table.verification[table.rows("train")] = 0
    table.verification[3] = 2
    with pytest.raises(NlcliError, match="the clean set is empty: none of its 1 images has features"):
        train_head(Work(tmp_path, table).config("run", clean_fraction=1.0))


def test_no_noisy_label_outside_the_clean_set(work: Work) -> None:
    with pytest.raises(NlcliError, match="no training image outside the clean set has a noisy label .*clean-fraction"):
        train_head(work.config("refused-all", clean_fraction=1.0))


def test_classes_without_positives_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of()
    clean = choose_clean(table, 0.2, 0)
    present = [table.present[[i]].indices.tolist() for i in range(700)]
    for row in clean:
        present[row] = [c for c in present[row] if c not in (1, 4)]
    table.present = matrix_from_lists(present, 5)
    work = Work(tmp_path, table)
    run = train_head(work.config("run", steps=5))
    without = json.loads((run / "result.json").read_text())["classes_without_positives"]
    assert without == {"clean": ["c1", "c4"], "noisy": []}
    assert "2 of 5 classes have no positive clean label: c1, c4" in capsys.readouterr().err


def test_without_verified_validation_the_last_step_is_kept(tmp_path: Path) -> None:
    table = table_of()
    table.verification[table.rows("validation")] = 0
    present = [table.present[[i]].indices.tolist() if s != 1 else [] for i, s in enumerate(table.split)]
    table.present = matrix_from_lists(present, 5)
    run = train_head(Work(tmp_path, table).config("run", steps=20, options={"hidden": 16, "start": "new"}))
    result = json.loads((run / "result.json").read_text())
    assert result["step"] == 20
    assert result["selected_by"]["split"] is None


@pytest.mark.parametrize("damage", ["cut", "missing", "NaN", "text", "complex"])
def test_damaged_weights_are_named(residual_run: Path, tmp_path: Path, damage: str) -> None:
    copy = shutil.copytree(residual_run, tmp_path / "run")
    if damage == "cut":
        (copy / "head.npz").write_bytes((copy / "head.npz").read_bytes()[:-100])
    elif damage == "missing":
        (copy / "head.npz").unlink()
    else:
        weights = dict(np.load(copy / "head.npz"))
        name, values = next(iter(weights.items()))
        weights[name] = values * np.nan if damage == "NaN" else values.astype(complex if damage == "complex" else str)
        np.savez(copy / "head.npz", **weights)
    told = {"NaN": "holds NaN", "text": "holds <U.*, expected numbers", "complex": "holds complex.*, expected numbers"}
    with pytest.raises(
        NlcliError, match=rf"head\.npz cannot be read \(.*{told.get(damage, '.')}.*\); train the head again"
    ):
        load_head(copy)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_features": 25}, r"head\.npz cannot be read \(.*expected \(25, 16\)\); train the head again"),
        ({"classes": None}, "config.json: field 'classes': input should be a valid tuple.*'nlcli train-head'"),
        ({"classes": []}, "config.json: field 'classes': "),
        ({"method": "residul"}, "config.json: unknown method 'residul'; did you mean 'residual'?"),
        ({"num_features": 10**12}, r"config.json: field 'num_features': input should be less than or equal to \d+"),
        (
            {"method_config": {"hidden": 10**12}},
            "config.json: layer 'clean' of method residual would have 30,0.* weights",
        ),
    ],
)
def test_a_description_that_is_no_heads_is_refused(
    residual_run: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    """Before any memory is allocated by what it says."""
    copy = shutil.copytree(residual_run, tmp_path / "run")
    write_json(copy / "config.json", read_json(copy / "config.json") | changes)
    with pytest.raises(NlcliError, match=sentence):
        load_head(copy)


def test_a_description_of_the_first_release_is_read(residual_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(residual_run, tmp_path / "run")
    described = read_json(copy / "config.json")
    del described["version"]
    write_json(copy / "config.json", described)
    features = np.zeros((3, load_head(copy).num_features), np.float32)
    np.testing.assert_array_equal(load_head(copy).score(features), load_head(residual_run).score(features))
