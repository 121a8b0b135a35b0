"""Noise planted on several labels an image: rates, whom it hits, what stays known, and the truth."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import AddNoise
from nlcli.data.derived.add_noise import add_noise
from nlcli.data.derived.resemblance import chance_of
from nlcli.data.derived.tag_noise import plant_tags, read_tag_rates, usual_company, write_tag_rates
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import FULL, NONE, LabelTable, choose_clean, matrix_from_lists, take_rows
from nlcli.data.true_tags import read_true_tags
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.feature_store import Store
from worlds.stage_builders import published, verified_table

CLASSES = 4


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,000 fully verified images; every class is in 30 % of them."""
    return published(verified_table(4000, CLASSES, splits=(500, 500)), tmp_path_factory.mktemp("tags") / "clean")


def planted(clean: Path, output: Path, **options: object) -> tuple[LabelTable, np.ndarray, np.ndarray]:
    """The table, its truth and its given tags (N, C)."""
    path = add_noise(AddNoise(dataset=clean, output=output, **options))
    table = read_dataset(path)
    truth, known = read_true_tags(path, table)
    assert known.all()
    return table, truth.toarray() > 0, table.noisy.toarray() > 0


def test_rates_of_dropped_and_added_tags(clean: Path, tmp_path: Path) -> None:
    table, true, given = planted(clean, tmp_path / "out", drop=0.4, add=0.5)
    assert np.array_equal(true, read_dataset(clean).present.toarray() > 0)
    for c in range(CLASSES):  # 1,200 true tags: three standard deviations are 0.042 and 0.056
        assert np.mean(~given[:, c][true[:, c]]) == pytest.approx(0.4, abs=0.045)
        assert np.sum(given[:, c] & ~true[:, c]) / np.sum(true[:, c]) == pytest.approx(0.5, abs=0.06)
    assert (table.noisy.data == 1).all()
    summary = read_stage(tmp_path / "out").summary
    assert summary["dropped"] == pytest.approx(np.mean(~given[true]), abs=1e-4)
    assert summary["given_wrong"] == pytest.approx(np.mean(~true[given]), abs=1e-4)
    assert json.loads((tmp_path / "out" / "statistics.json").read_text())["classes"][0]["class"] == "c0"


def test_what_stays_known(clean: Path, tmp_path: Path) -> None:
    source = read_dataset(clean)
    table, true, given = planted(clean, tmp_path / "out", drop=0.5, verified=0.1, seed=4)
    train = table.rows("train")
    known = train[table.verification[train] == FULL]
    assert np.array_equal(known, choose_clean(source, 0.1, 4))
    hidden = np.setdiff1d(train, known)
    assert (table.verification[hidden] == NONE).all()
    assert table.present[hidden].nnz == 0  # the truth is not in the table
    others = np.setdiff1d(np.arange(len(table)), hidden)
    assert np.array_equal(table.present[others].toarray() > 0, true[others])
    assert (given <= true).all()  # nothing was added
    part = take_rows(table, np.array([3, 1]))
    assert np.array_equal(read_true_tags(tmp_path / "out", part)[0].toarray() > 0, true[[3, 1]])


def test_only_some_splits(clean: Path, tmp_path: Path) -> None:
    source = read_dataset(clean)
    table, _, given = planted(clean, tmp_path / "out", add=0.5, splits=("validation",))
    for name in ("train", "test"):
        assert np.array_equal(given[table.rows(name)], source.noisy[source.rows(name)].toarray() > 0)
    assert (table.verification == FULL).all()
    assert not np.array_equal(given, source.noisy.toarray() > 0)


def test_the_seed_decides_and_the_orders_of_images_and_classes_do_not(clean: Path, tmp_path: Path) -> None:
    _, _, first = planted(clean, tmp_path / "one", kind="co-occurrence", drop=0.3, add=0.2, seed=1)
    _, _, second = planted(clean, tmp_path / "two", kind="co-occurrence", drop=0.3, add=0.2, seed=2)
    assert not np.array_equal(first, second)
    source = read_dataset(clean)
    rows = np.random.default_rng(0).permutation(len(source))
    columns = np.array([2, 0, 3, 1])
    shuffled = take_rows(source, rows)
    names = tuple(source.classes[c] for c in columns)
    matrices = {name: getattr(shuffled, name)[:, columns] for name in ("noisy", "present", "absent")}
    other = published(replace(shuffled, classes=names, **matrices), tmp_path / "shuffled")
    _, _, third = planted(other, tmp_path / "three", kind="co-occurrence", drop=0.3, add=0.2, seed=1)
    assert np.array_equal(third, first[rows][:, columns])


def test_classes_with_rates_of_their_own(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("class,drop,add\nc1,1,0\nc3,0,0.8\n")
    _, true, given = planted(clean, tmp_path / "out", drop=0.2, rates=tmp_path / "rates.csv")
    assert not given[:, 1].any()
    assert given[:, 3][true[:, 3]].all()
    assert np.sum(given[:, 3] & ~true[:, 3]) / np.sum(true[:, 3]) == pytest.approx(0.8, abs=0.08)
    assert np.mean(~given[:, 0][true[:, 0]]) == pytest.approx(0.2, abs=0.045)
    # What was planted can be planted again.
    again = read_tag_rates(tmp_path / "out" / "tag_rates.csv", ("c0", "c1", "c2", "c3"))
    assert again["c1"] == (1, 0)
    assert again["c3"][1] == pytest.approx(np.sum(given[:, 3] & ~true[:, 3]) / np.sum(true[:, 3]), rel=1e-5)


def test_counts_of_what_was_planted(tmp_path: Path) -> None:
    truth = matrix_from_lists([[0, 1], [0], [0], [1]], 2)
    given = matrix_from_lists([[0], [0, 1], [1], [1]], 2)
    write_tag_rates(tmp_path / "rates.csv", ("a", "=b"), truth, given)
    with open(tmp_path / "rates.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"class": "a", "true": "3", "dropped": "1", "added": "0", "drop": "0.333333", "add": "0"}
    assert rows[1] == {"class": "'=b", "true": "2", "dropped": "1", "added": "2", "drop": "0.5", "add": "1"}
    assert read_tag_rates(tmp_path / "rates.csv", ("a", "=b"))["=b"] == (0.5, 1.0)


def test_usual_company_by_hand() -> None:
    # Images: ab, ab, a, bc, -.  P(b|a) = 2/3, P(a|b) = 2/3, P(c|b) = 1/3, P(b|c) = 1, P(a|c) = P(c|a) = 0.
    truth = matrix_from_lists([[0, 1], [0, 1], [0], [1, 2], []], 3)
    expected = [
        [2 / 3, 2 / 3, (0 + 1 / 3) / 2],
        [2 / 3, 2 / 3, (0 + 1 / 3) / 2],
        [3 / 5, 2 / 3, 0],  # nothing beside its a: the share of a
        [(2 / 3 + 0) / 2, 1, 1 / 3],
        [3 / 5, 3 / 5, 1 / 5],
    ]
    np.testing.assert_allclose(usual_company(truth, slice(0, 3)), expected)
    np.testing.assert_allclose(usual_company(truth, slice(1, 2)), np.array(expected)[:, 1:2])


def test_what_is_usual_is_added_and_what_is_hard_to_see_goes_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first = rng.random(6000) < 0.5
    second = np.where(rng.random(6000) < 0.9, first, ~first)  # nearly always beside the first
    third = rng.random(6000) < 0.3
    true = np.stack([first, second, third], axis=1)
    truth = matrix_from_lists([np.flatnonzero(row).tolist() for row in true], 3)
    table = replace(verified_table(6000, 3), present=truth, verification=np.full(6000, FULL, np.uint8))
    config = AddNoise(dataset="d", output="o", kind="co-occurrence", drop=0.3, add=0.05)
    given = plant_tags(config, table, truth, np.arange(6000)).toarray() > 0
    added = given[:, 1] & ~true[:, 1]
    assert first[added].mean() > 2 * first[~true[:, 1]].mean()
    dropped = ~given[:, 1] & true[:, 1]
    assert first[dropped].mean() < first[true[:, 1]].mean() - 0.1
    # By features: how strongly a class is to be seen is known.
    strength = rng.random((6000, 3))
    features = (true * strength + 0.05 * rng.normal(size=true.shape)).astype(np.float32)

    class MadeStore(Store):
        def require_images_of(self, *_: object) -> None: ...

        def rows_of(self, keys: np.ndarray) -> np.ndarray:
            return np.arange(len(keys))

    monkeypatch.setattr("nlcli.data.features.store.FeatureStore", lambda _: MadeStore(features))
    config = AddNoise(dataset="d", output="o", kind="features", features="f", drop=0.3, add=0.1)
    given = plant_tags(config, table, truth, np.arange(6000)).toarray() > 0
    assert np.mean(~given[:, 2][true[:, 2]]) == pytest.approx(0.3, abs=0.04)
    assert strength[:, 2][~given[:, 2] & true[:, 2]].mean() < strength[:, 2][given[:, 2] & true[:, 2]].mean() - 0.2


def test_chances_have_the_rate_as_their_mean() -> None:
    margin = np.array([1.0, 2.0, 4.0])
    chance = chance_of(margin, 0.4, 2.0)
    assert chance.mean() == pytest.approx(0.4)
    odds = np.log(chance / (1 - chance))
    np.testing.assert_allclose(np.diff(odds), 2.0 * np.diff(margin) / margin.std())
    assert chance_of(margin, 0.4, 0.0) == pytest.approx([0.4] * 3)
    assert not chance_of(margin, 0.0, 2.0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs --drop, --add or --rates"),
        ({"kind": "pair", "drop": 0.1}, "--kind pair is of data with one label an image"),
        ({"rate": 0.1, "drop": 0.1}, "give --drop and --add"),
        ({"kind": "features", "drop": 0.1}, "--kind features needs --features"),
        ({"drop": 0.1, "features": Path("f")}, "--kind symmetric takes no --features"),
        ({"add": 3}, "adding 3 wrong tags for each of the 1,2.. true ones of class 'c0' would give it to 100 %"),
    ],
)
def test_options_that_do_not_fit(clean: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(NlcliError, match=message):
        planted(clean, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,drop\nc0,1\n", "no column 'add'"),
        ("class,drop,add\nc9,1,1\n", "line 2: unknown class 'c9'"),
        ("class,drop,add\nc0,1,1\nc0,1,1\n", "line 3: class 'c0' comes twice"),
        ("class,drop,add\nc0,1.5,1\n", "line 2: '1.5' is not a number from 0 to 1"),
        ("class,drop,add\nc0,nan,1\n", "'nan' is not a number"),
        ("class,drop,add\nc0,0,-1\n", "'-1' is not a number from 0 to 100"),
    ],
)
def test_malformed_rates(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(NlcliError, match=message):
        read_tag_rates(tmp_path / "r.csv", ("c0", "c1"))


def test_truth_that_is_not_whole(clean: Path, tmp_path: Path) -> None:
    noised, _, _ = planted(clean, tmp_path / "noisy", drop=0.1)
    with pytest.raises(NlcliError, match="the whole truth of 2,700 of 4,000 images is not known"):
        planted(tmp_path / "noisy", tmp_path / "again", drop=0.1)
    with pytest.raises(NlcliError, match="only data sets made by nlcli add-noise"):
        read_true_tags(clean, noised)
    (tmp_path / "noisy" / "truth.parquet").write_bytes(b"PAR1")
    with pytest.raises(NlcliError, match="make the data set again"):
        read_true_tags(tmp_path / "noisy", noised)
