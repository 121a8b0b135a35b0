"""The papers' own cleaned labels: of veit, noise-types and teacher-student, measured on validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import nlcli
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import choose_clean, noisy_classes, only_class
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Problem
from nlcli.methods.base.transition import confusing_noise
from nlcli.methods.noise_types import NoiseTypes, NoiseTypesConfig
from nlcli.training.saved_head import cleaning_methods, load_head
from nlcli.training.train_head import train_head
from worlds.heads import Work, single_label, table_of

STEPS = {
    "veit": {
        "options": {"start": "new", "embedding": 8, "hidden": 16, "cleaning_rate": 3e-3},
        "steps": 600,
        "learning_rate": 3e-3,
    },
    "teacher-student": {"options": {"hidden": 32, "teacher_rate": 1e-2, "pretrain": "none"}, "steps": 600},
    "noise-types": {"options": {"pretrain_steps": 200, "pretrain_rate": 0.05}, "steps": 100},
}


@pytest.fixture(scope="module", params=["veit", "teacher-student"])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, Path]:
    work = Work(tmp_path_factory.mktemp(request.param), table_of())
    return work, train_head(work.config("run", method=request.param, **STEPS[request.param]))


def test_tags_as_the_run_cleans_them(several: tuple[Work, Path], tmp_path: Path) -> None:
    work, run = several
    output = nlcli.clean_labels(
        dataset=work.dataset, source=run, output=tmp_path / "clean", precision=0.85, max_changes=1
    )
    before, after, head = read_dataset(work.dataset), read_dataset(output), load_head(run)
    store = FeatureStore(work.features)
    train = before.rows("train")
    v = choose_clean(before, 0.2, 0)
    told = np.isin(np.arange(len(before)), v)
    noisy = before.noisy.toarray() > 0
    now = after.noisy.toarray() > 0
    truth = before.present.toarray() > 0
    np.testing.assert_array_equal(now[v], truth[v])  # a person's word
    np.testing.assert_array_equal(now[before.rows("validation")], noisy[before.rows("validation")])
    others = np.array([i for i in train if not told[i] and before.keys[i] not in store.errors], np.int64)
    clean = head.cleaned(noisy[others].astype(np.float32), store.read(store.rows_of(before.keys[others])))
    record = json.loads((output / "cleaning.json").read_text())
    # A threshold is the score of the last change; the last digit of a score depends on which rows are scored together.
    low = {claim["kind"]: claim["threshold"] - 1e-6 for claim in record["claims"]}
    gone = noisy[others] & (clean < 0.5) & (1 - clean >= (low.get("remove") or 2))
    come = ~noisy[others] & (clean > 0.5) & (clean >= (low.get("add") or 2))
    np.testing.assert_array_equal(now[others], (noisy[others] & ~gone) | come)
    assert gone.sum() + come.sum() > 30
    wrong = np.mean(truth[others] != noisy[others]), np.mean(truth[others] != now[others])
    assert wrong[1] < 0.7 * wrong[0]
    rows = pq.read_table(output / "changes.parquet").to_pylist()
    assert {row["method"] for row in rows} == {head.method.name}
    assert {row["old"] for row in rows} == {"given", "missing"}


def test_how_sure_it_is_rests_on_validation_alone(several: tuple[Work, Path]) -> None:
    from nlcli.cleaning.clean_labels import plan_changes
    from nlcli.cleaning.config import CleanDataset

    work, run = several
    planned = plan_changes(CleanDataset(dataset=work.dataset, source=run, output=Path("x"), precision=0, max_changes=1))
    table, head, store = read_dataset(work.dataset), load_head(run), FeatureStore(work.features)
    rows = np.array([i for i in table.rows("validation") if table.keys[i] not in store.errors], np.int64)
    noisy, truth = table.noisy_targets(rows) > 0, table.present[rows].toarray() > 0
    clean = head.cleaned(noisy, store.read(store.rows_of(table.keys[rows])))
    for claim in planned["cleaning"]["claims"]:
        would = (noisy & (clean < 0.5)) if claim["kind"] == "remove" else (~noisy & (clean > 0.5))
        right = would & (truth != noisy)
        assert (claim["verified"], claim["right"]) == (would.sum(), right.sum())


def test_single_labels_by_the_posterior_of_noise_types(tmp_path: Path) -> None:
    work = Work(tmp_path, single_label())
    run = train_head(work.config("run", method="noise-types", **STEPS["noise-types"]))
    output = nlcli.clean_labels(dataset=work.dataset, source=run, output=tmp_path / "clean", max_changes=1)
    before, after = read_dataset(work.dataset), read_dataset(output)
    train, true = before.rows("train"), only_class(before.present)
    wrong = [np.mean(noisy_classes(table)[train] != true[train]) for table in (before, after)]
    assert wrong[0] > 0.25
    assert wrong[1] < 0.1
    rows = [row for row in pq.read_table(output / "changes.parquet").to_pylist() if row["rule"] == "detector"]
    assert all(row["runner_up"] not in (None, row["new"], row["old"]) for row in rows)


def test_posterior_of_the_true_class_by_hand() -> None:
    """p(y | n, x) is proportional to p(y | x) sum_z p(z | x) p(n | y, z) (Xiao 2015, eq. 1 and 5)."""
    pairs = np.array([[8, 2, 0], [3, 6, 1], [0, 2, 9]])
    method = NoiseTypes(NoiseTypesConfig(), Problem(4, ("a", "b", "c"), "single-label", pairs=pairs), seed=1)
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    classes = method.score(features, "classifier").numpy().astype(np.float64)
    types = method.noise_type_probabilities(features).numpy().astype(np.float64)
    confusing = confusing_noise(pairs)
    of_type = [np.eye(3), (1 - np.eye(3)) / 2, confusing]
    for noisy in range(3):
        mixed = sum(types[:, [z]] * of_type[z][noisy] for z in range(3))
        expected = classes * mixed
        expected /= expected.sum(1, keepdims=True)
        cleaned = method.cleaned(tf.one_hot([noisy] * 6, 3), features).numpy()
        np.testing.assert_allclose(cleaned, expected, atol=1e-5)


def test_a_method_without_cleaned_labels(tmp_path: Path) -> None:
    work = Work(tmp_path, table_of())
    run = train_head(work.config("run", method="noisy", steps=20))
    assert set(cleaning_methods()) >= set(STEPS)
    with pytest.raises(NlcliError, match="method noisy of .* gives no cleaned labels; name a run of .*veit"):
        nlcli.clean_labels(dataset=work.dataset, source=run, output=tmp_path / "clean")
