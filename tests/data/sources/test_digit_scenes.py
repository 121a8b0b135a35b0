"""Scenes of digits: what is in them, and annotations that fit them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nlcli.data.sources.digit_painting import CATEGORIES, DIGITS, glyphs
from nlcli.data.sources.digit_scenes import draw_scene, instances, part_digits


def test_no_digit_is_in_two_parts() -> None:
    parts = part_digits(0)
    everything = np.concatenate(list(parts.values()))
    assert sorted(everything.tolist()) == list(range(1797))
    _, values = glyphs()
    assert {name: len(part) for name, part in parts.items()} == {"train": 683, "val": 431, "single": 683}
    assert [np.bincount(values[part]).min() for part in parts.values()] == [61, 34, 53]  # of the rarest digit
    assert not np.array_equal(parts["train"], part_digits(1)["train"])


def test_scenes_repeat_and_hold_one_to_five_digits() -> None:
    pool = part_digits(0)["train"]
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

    pool = part_digits(0)["val"]
    scenes = [draw_scene(pool, 96, np.random.default_rng([1, number]))[1] for number in range(40)]
    (tmp_path / "i.json").write_text(json.dumps(instances(scenes, 96)))
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
