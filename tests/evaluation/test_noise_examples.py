"""What a model of label noise makes of single images (Xiao 2015, figure 7)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.data.label_files import read_dataset
from nlcli.evaluation.examples import draw_by_labels
from nlcli.evaluation.image_scorer import open_scorer
from nlcli.evaluation.noise_examples import NoiseExample, noise_examples_plot, write_noise_examples
from nlcli.stages.stage import read_stage
from worlds.evaluated import evaluated
from worlds.scored_chain import Chain, shared_chain


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


def lines_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_half_of_the_drawn_have_a_wrong_label() -> None:
    rows = np.arange(100, 120)
    true, noisy = np.zeros(20, np.int64), np.zeros(20, np.int64)
    noisy[:8], true[18], noisy[19] = 1, -1, -1  # 8 wrong, 10 right, 2 not known
    drawn = draw_by_labels(rows, true, noisy, 7, 0)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert [int((drawn < 108).sum()), int((drawn >= 108).sum())] == [4, 3]
    assert not {118, 119} & set(draw_by_labels(rows, true, noisy, 50, 0).tolist())
    assert len(draw_by_labels(rows, true, noisy, 50, 0)) == 18
    assert len(draw_by_labels(rows, true, np.where(noisy == 1, 0, noisy), 6, 0)) == 6  # none is wrong
    assert len(draw_by_labels(rows[:8], true[:8], noisy[:8], 6, 0)) == 6  # all are
    assert len(draw_by_labels(rows, true, noisy, 0, 0)) == 0


def test_the_table_by_hand(tmp_path: Path) -> None:
    """Seven classes, of which the label's and the true one are always listed."""
    classes = np.array([0.5, 0.2, 0.1, 0.08, 0.06, 0.04, 0.02])
    joint = np.zeros((7, 3))
    joint[0] = [0.0, 0.1, 0.6]
    joint[6] = [0.25, 0.0, 0.05]
    picture = tmp_path / "a.png"
    Image.new("RGB", (48, 32), "steelblue").save(picture)
    example = NoiseExample("a", picture, 6, 0, classes, np.array([0.2, 0.1, 0.7]), joint)
    names = [f"c{i}" for i in range(7)]
    write_noise_examples(tmp_path / "t.csv", [example], names)
    lines = lines_of(tmp_path / "t.csv")
    assert [line["class"] for line in lines] == ["c0", "c6", "c1", "c2", "c3", "c4"]
    assert list(lines[0].values()) == [
        *("a", "c6", "c0", "c0", "0.500000", "0.700000", "0.000000", "0.100000", "0.600000"),
        *("0.200000", "0.100000", "0.700000"),
    ]
    assert [lines[1][name] for name in ("p(y|x)", "p(y|n,x)", "p(y,confusing|n,x)")] == [
        *("0.020000", "0.300000", "0.050000")
    ]
    noise_examples_plot([example, example], names, tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 24) or []}
    assert (70, 130, 180) in colours


CONFUSING = np.array([[0.0, 0.0, 1.0], [0.7, 0.0, 0.0], [0.3, 0.0, 0.0]], np.float32)


@pytest.fixture
def modelled(single: Chain, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose method says what noise-types says, of any image with the same noise types."""
    from nlcli.methods.noisy import Noisy

    def noise_types(_: object, features: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.6, 0.1, 0.3], np.float32), (len(features), 1))

    def posterior(method: Noisy, features: np.ndarray, noisy: np.ndarray) -> np.ndarray:
        of_label = np.stack([noisy, (1 - noisy) / 2, noisy @ CONFUSING], axis=2)
        classes = np.asarray(method.score(features, "classifier"))
        joint = classes[:, :, None] * noise_types(None, features)[:, None, :] * of_label
        return joint / joint.sum(axis=(1, 2), keepdims=True)

    monkeypatch.setattr(Noisy, "noise_type_probabilities", noise_types, raising=False)
    monkeypatch.setattr(Noisy, "posterior", posterior, raising=False)
    return single.run()


def follows_bayes(output: Path, dataset: Path, confusing: np.ndarray) -> None:
    """p(y, z | n, x) is p(y | x) p(z | x) p(n | y, z), divided by its sum (eq. 5)."""
    lines = lines_of(output / "noise_examples.csv")
    names = list(read_dataset(dataset).classes)
    keys = list(dict.fromkeys(line["key"] for line in lines))
    assert len(keys) == 4
    assert {line["key"] for line in lines if line["noisy"] != line["true"]}
    for key in keys:
        own = {line["class"]: line for line in lines if line["key"] == key}
        assert set(own) == set(names)  # fewer than five classes: all are listed
        n = names.index(own[names[0]]["noisy"])
        expected, told = np.empty((3, 3)), np.empty((3, 3))
        for y, name in enumerate(names):
            for z, (kind, of) in enumerate(
                (("noise-free", n == y), ("random", (n != y) / 2), ("confusing", confusing[n, y]))
            ):
                expected[y, z] = float(own[name]["p(y|x)"]) * float(own[name][f"p({kind}|x)"]) * of
                told[y, z] = float(own[name][f"p(y,{kind}|n,x)"])
            assert float(own[name]["p(y|n,x)"]) == pytest.approx(told[y].sum(), abs=1e-5)
        np.testing.assert_allclose(told, expected / expected.sum(), atol=1e-4)
    with Image.open(output / "noise_examples.png") as image:
        assert min(image.size) > 300


def test_an_evaluation_has_examples_that_follow_bayes(single: Chain, modelled: Path) -> None:
    output = evaluated(modelled, examples=4, output=single.root / "noise-examples")
    follows_bayes(output, single.dataset, CONFUSING)
    assert not (evaluated(modelled, examples=0, output=single.root / "none") / "noise_examples.csv").exists()


@pytest.mark.slow  # trains two nets
def test_so_do_those_of_trained_noise_types(single: Chain) -> None:
    from nlcli.training.saved_head import load_head

    run = single.run("noise-types")
    output = evaluated(run, examples=4, output=single.root / "trained-noise-examples")
    method: Any = load_head(run).method
    follows_bayes(output, single.dataset, np.asarray(method.confusing.value))


def test_classes_in_another_order_are_followed(single: Chain, modelled: Path) -> None:
    from nlcli.data.features.store import FeatureStore

    store = FeatureStore(single.features)
    scorer = open_scorer(read_stage(modelled), store)
    turned = scorer.for_classes(scorer.classes[::-1])
    assert scorer.posterior is not None
    assert turned.posterior is not None
    features = np.asarray(store.read(np.arange(3)), np.float32)
    noisy = np.eye(3, dtype=np.float32)[[0, 1, 0]]
    expected = scorer.posterior(features, noisy)[:, ::-1]
    np.testing.assert_allclose(turned.posterior(features, noisy[:, ::-1]), expected, atol=1e-6)
