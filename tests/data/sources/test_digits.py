"""The embedded data set: scenes, annotations that fit them, an annotator that has seen neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.class_map import read_class_map
from nlcli.data.config import BuildCoco, BuildDigits
from nlcli.data.label_files import read_dataset
from nlcli.data.sources import digit_classifier, digits
from nlcli.data.sources.coco import build_coco
from nlcli.data.sources.digit_painting import DIGITS
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An annotator trained on next to nothing."""
    learn = digit_classifier.train_classifier

    def hastily(pictures: np.ndarray, labels: np.ndarray, seed: int, epochs: int) -> object:
        assert (len(pictures), epochs) == (84, 1)
        return learn(pictures, labels, seed, epochs)

    monkeypatch.setattr(digit_classifier, "PICTURES", 84)
    monkeypatch.setattr(digit_classifier, "EPOCHS", 1)
    monkeypatch.setattr(digit_classifier, "train_classifier", hastily)


def test_a_digits_directory_goes_through_build_coco(tmp_path: Path, hasty) -> None:
    config = BuildDigits(output=tmp_path / "digits", train_images=40, val_images=40, seed=3)
    made = digits.build_digits(config)
    with Image.open(made / "images" / "train" / "000000000040.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (96, 96))
    class_map = read_class_map(str(made / "class_map.csv"))
    assert class_map.targets == DIGITS
    dataset = build_coco(
        BuildCoco(
            train_images=made / "images" / "train",
            val_images=made / "images" / "val",
            train_annotations=made / "annotations" / "instances_train.json",
            val_annotations=made / "annotations" / "instances_val.json",
            output=tmp_path / "dataset",
            classifier=str(made / "classifier"),
            class_map=str(made / "class_map.csv"),
            top_k=20,
        )
    )
    table = read_dataset(dataset)
    assert table.classes == DIGITS
    # shapes are annotated, but no class: the verified labels are those of the digits alone
    content = read_json(made / "annotations" / "instances_train.json")
    first = {a["category_id"] for a in content["annotations"] if a["image_id"] == 1} & set(range(1, 11))
    row = table.keys.tolist().index("train/000000000001.jpg")
    assert {c + 1 for c in np.flatnonzero(table.present[[row]].toarray()[0])} == first


def test_interrupted_and_uninterrupted_give_the_same(tmp_path: Path, hasty, monkeypatch) -> None:
    whole = digits.build_digits(BuildDigits(output=tmp_path / "whole", train_images=20, val_images=20))
    train = digit_classifier.train_classifier
    monkeypatch.setattr(digit_classifier, "train_classifier", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    config = BuildDigits(output=tmp_path / "resumed", train_images=20, val_images=20)
    with pytest.raises(KeyboardInterrupt):
        digits.build_digits(config)
    assert not (tmp_path / "resumed").exists()
    monkeypatch.setattr(digit_classifier, "train_classifier", train)
    resumed = digits.build_digits(config)
    assert read_stage(resumed).fingerprint == read_stage(whole).fingerprint


@pytest.mark.slow
def test_noise_is_like_that_of_coco(tmp_path: Path) -> None:
    """The annotator as the demo uses it: about half of its labels right, two thirds of the verified missed."""
    made = digits.build_digits(BuildDigits(output=tmp_path / "digits", train_images=600, val_images=600))
    dataset = build_coco(
        BuildCoco(
            train_images=made / "images" / "train",
            val_images=made / "images" / "val",
            train_annotations=made / "annotations" / "instances_train.json",
            val_annotations=made / "annotations" / "instances_val.json",
            output=tmp_path / "dataset",
            classifier=str(made / "classifier"),
            class_map=str(made / "class_map.csv"),
            top_k=2,
        )
    )
    statistics = read_json(dataset / "statistics.json")
    assert 0.35 < statistics["splits"]["all"]["precision"] < 0.65
    assert 0.25 < statistics["splits"]["all"]["recall"] < 0.55
    kept = statistics["splits"]["all"]["images"] / 1200
    assert 0.7 < kept < 0.95
    quality = [entry["quality"] for entry in statistics["classes"]]
    assert max(quality) - min(quality) > 0.2  # it differs by class
