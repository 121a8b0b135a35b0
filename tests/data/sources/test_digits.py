"""The embedded data set: scenes, annotations that fit them, an annotator that has seen neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.class_map import read_class_map
from nlcli.data.config import BuildCoco, BuildDigits
from nlcli.data.label_files import read_dataset
from nlcli.data.sources import digits
from nlcli.data.sources.coco import build_coco
from nlcli.data.sources.digit_scenes import CATEGORIES, DIGITS, draw_scene, draw_single, glyphs, outlines, shoelace
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An annotator trained on next to nothing."""
    monkeypatch.setattr(digits, "_PICTURES", 84)
    monkeypatch.setattr(digits, "_EPOCHS", 1)


def test_no_digit_is_in_two_parts() -> None:
    parts = digits.part_digits(0)
    everything = np.concatenate(list(parts.values()))
    assert sorted(everything.tolist()) == list(range(1797))
    _, values = glyphs()
    for part in parts.values():
        assert np.bincount(values[part], minlength=10).min() > 30
    assert not np.array_equal(parts["train"], digits.part_digits(1)["train"])


def test_scenes_repeat_and_hold_one_to_five_digits() -> None:
    pool = digits.part_digits(0)["train"]
    counts = set()
    for number in range(60):
        picture, placed = draw_scene(pool, 96, np.random.default_rng([0, number]))
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8
        counts.add(sum(item.category < len(DIGITS) for item in placed))
        again, _ = draw_scene(pool, 96, np.random.default_rng([0, number]))
        assert np.array_equal(picture, again)
    assert counts == {1, 2, 3, 4, 5}


def test_annotations_fit_what_pycocotools_makes_of_them(tmp_path: Path, capsys) -> None:
    from pycocotools.coco import COCO

    pool = digits.part_digits(0)["val"]
    scenes = [draw_scene(pool, 96, np.random.default_rng([1, number]))[1] for number in range(40)]
    (tmp_path / "i.json").write_text(json.dumps(digits.instances(scenes, 96)))
    coco = COCO(str(tmp_path / "i.json"))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == sum(map(len, scenes))
    for annotation in annotations:
        mask = coco.annToMask(annotation)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y, width, height = annotation["bbox"]
        assert abs(columns[0] - x) <= 1.5
        assert abs(rows[0] - y) <= 1.5
        assert abs(columns[-1] + 1 - x - width) <= 1.5
        assert abs(rows[-1] + 1 - y - height) <= 1.5
        assert 0 <= x <= x + width <= 96
        assert 0 <= y <= y + height <= 96
        # an outline half a pixel inside or outside changes the area by about half its length
        assert abs(mask.sum() - annotation["area"]) <= 0.25 * annotation["area"] + 12
    assert {c["name"] for c in coco.loadCats(coco.getCatIds())} == set(CATEGORIES)


def test_outlines_of_a_square_with_a_hole_by_hand() -> None:
    mask = np.zeros((12, 12), bool)
    mask[2:8, 3:9] = True
    mask[4:6, 5:7] = False
    (points,) = outlines(mask)  # the hole is filled
    # the contour runs half a pixel outside of the pixels' centres and cuts the corners
    assert shoelace(points) == pytest.approx(36 - 4 * 0.125)
    assert points.min(axis=0).tolist() == [3, 2]
    assert points.max(axis=0).tolist() == [9, 8]
    assert outlines(np.zeros((4, 4), bool)) == []


def test_styles_are_what_their_names_say() -> None:
    """Thin strokes cover less than bold ones; light objects are lighter than what is around them."""
    from nlcli.data.sources.digit_scenes import digit_mask

    images, _ = glyphs()
    area = {
        weight: sum(digit_mask(images[n], 48, weight, np.random.default_rng(n)).sum() for n in range(40))
        for weight in ("thin", "bold")
    }
    assert area["bold"] > 1.4 * area["thin"]
    pool = {name: np.flatnonzero(glyphs()[1] == value) for value, name in enumerate(DIGITS)}
    for tone, sign in (("light", 1), ("dark", -1)):
        spread = []
        for number in range(30):
            rng = np.random.default_rng([2, number])
            grey = draw_single(("bold", tone, "zero"), pool, 96, rng).mean(axis=2)
            spread.append(sign * (np.percentile(grey, 99) + np.percentile(grey, 1) - 2 * np.median(grey)))
        assert np.median(spread) > 10


def test_vocabulary_is_finer_and_poor_in_two_digits() -> None:
    found = digits.vocabulary()
    assert len(set(found)) == len(found) == 8 * 4 + 2 + 4 * 4 + 4 * 2
    assert sum(source[-1] == "eight" for source in found) == 1
    assert sum(source[-1] == "three" for source in found) == 4


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
    train = digits.train_classifier
    monkeypatch.setattr(digits, "train_classifier", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    config = BuildDigits(output=tmp_path / "resumed", train_images=20, val_images=20)
    with pytest.raises(KeyboardInterrupt):
        digits.build_digits(config)
    assert not (tmp_path / "resumed").exists()
    monkeypatch.setattr(digits, "train_classifier", train)
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
    found = read_json(dataset / "statistics.json")
    assert 0.35 < found["splits"]["all"]["precision"] < 0.65
    assert 0.25 < found["splits"]["all"]["recall"] < 0.55
    kept = found["splits"]["all"]["images"] / 1200
    assert 0.7 < kept < 0.95
    quality = [entry["quality"] for entry in found["classes"]]
    assert max(quality) - min(quality) > 0.2  # it differs by class
