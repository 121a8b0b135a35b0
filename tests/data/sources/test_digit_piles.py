"""Piles of pictures: bad labels, a few checked ones, and the truth to judge by."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.config import BuildDigits
from nlcli.data.sources import digit_classifier
from nlcli.data.sources.digit_painting import DIGITS, glyphs
from nlcli.data.sources.digit_scenes import part_digits
from nlcli.data.sources.digits import build_digits
from nlcli.networks.weights import load_backbone
from nlcli.stages.stage import read_stage


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True, scope="module")
def _a_network_of_few_steps() -> Iterator[None]:
    """What the network learns is tried in test_digit_classifier."""
    patch = pytest.MonkeyPatch()
    patch.setattr(digit_classifier, "PICTURES", 64)
    patch.setattr(digit_classifier, "EPOCHS", 1)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("pile") / "pile"
    return build_digits(BuildDigits(kind="pile", train_images=300, checked=0.1, output=output, seed=3))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("scenes") / "pile"
    return build_digits(BuildDigits(kind="scene-pile", train_images=150, size=48, checked=0.1, output=output))


def test_a_pile_of_digits(pile: Path) -> None:
    labels, truth = rows(pile / "labels.csv"), {row["path"]: row["label"] for row in rows(pile / "truth.csv")}
    assert [row["path"] for row in labels] == list(truth) == sorted(p.name for p in (pile / "photos").iterdir())
    with Image.open(pile / "photos" / labels[0]["path"]) as image:
        assert image.size == (32, 32)
    # The group is the handwritten digit, and what is written there is what the truth says.
    values = glyphs()[1]
    assert all(DIGITS[values[int(row["group"].removeprefix("digit-"))]] == truth[row["path"]] for row in labels)
    drawn = {int(row["group"].removeprefix("digit-")) for row in labels}
    assert len(drawn) == 300  # of 1,114: none comes twice before all have come
    assert not drawn & set(part_digits(3)["single"].tolist())  # these are the network's
    assert load_backbone(pile / "network").num_features == 256
    wrong = sum(row["noisy_label"] != truth[row["path"]] for row in labels)
    assert abs(wrong / 300 - 0.38) < 4 * np.sqrt(0.38 * 0.62 / 300)
    checked = rows(pile / "checked.csv")
    assert len(checked) == 30
    assert all(truth[row["path"]] == row["label"] for row in checked)
    assert read_stage(pile, "digits").summary == {"photos": 300, "wrong_labels": wrong, "checked": 30}


def test_a_pile_of_scenes(scenes: Path) -> None:
    def tags(name: str, column: str) -> dict[str, set[str]]:
        return {row["path"]: set(filter(None, row[column].split("|"))) for row in rows(scenes / name)}

    labels, truth, checked = tags("labels.csv", "noisy"), tags("truth.csv", "present"), tags("checked.csv", "present")
    assert list(labels) == list(truth)
    assert all(truth.values())  # every scene shows a digit
    assert set().union(*truth.values()) == set(DIGITS)
    assert checked.items() <= truth.items()
    assert len(checked) == 15
    wrong = sum(len(labels[path] - truth[path]) for path in labels)
    missing = sum(len(truth[path] - labels[path]) for path in labels)
    summary = read_stage(scenes, "digits").summary
    assert (summary["wrong_tags"], summary["missing_tags"]) == (wrong, missing)
    assert 0.15 < missing / sum(map(len, truth.values())) < 0.6
    assert 0 < wrong < missing


def test_the_same_seed_gives_the_same_pile(pile: Path, tmp_path: Path) -> None:
    again = build_digits(BuildDigits(kind="pile", train_images=300, checked=0.1, output=tmp_path / "p", seed=3))
    for name in ("labels.csv", "checked.csv", "truth.csv", "photos/000007.png"):
        assert (again / name).read_bytes() == (pile / name).read_bytes()
    other = build_digits(BuildDigits(kind="pile", train_images=20, output=tmp_path / "q", seed=4))
    assert (other / "photos/000007.png").read_bytes() != (pile / "photos/000007.png").read_bytes()
