"""Which references a class is seen by (Lee 2018, figure 3)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from nlcli.detection.attention import attended_references, write_attended
from nlcli.detection.references import References
from worlds.noisy import detection_data


def test_the_nearest_images_by_hand(tmp_path: Path) -> None:
    """Six training images of class 0 on a line, and one of class 1, which has a single reference: nothing to choose."""
    features = np.array([[0], [1], [2], [3], [4], [5], [0]], np.float32)
    noisy = np.array([0, 0, 0, 0, 0, 0, 1])
    data = detection_data(tmp_path, features, noisy, np.full(7, -1), 2, np.zeros(7, np.int64))
    vectors = np.zeros((2, 4, 1), np.float32)
    vectors[0, :3, 0] = [0.25, 4.9, 2.0]  # the fourth place is empty
    references = References(vectors, np.array([3, 1]))
    attention = np.array([[0.2, 0.7, 0.1, 0.0], [1.0, 0.0, 0.0, 0.0]])
    (one,) = attended_references(data, references, attention, 0)
    assert one.name == data.classes[0]
    assert one.attention.tolist() == [0.7, 0.2, 0.1]
    assert one.rows.tolist() == [5, 0, 2]
    np.testing.assert_allclose(one.distances, [0.1, 0.25, 0.0], atol=1e-6)

    table = data.table
    table.image_root = tmp_path
    for row, color in ((5, "steelblue"), (2, "orange")):
        path = table.image_path(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), color).save(path)
    write_attended(tmp_path, [one], table)
    with open(tmp_path / "attention.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["rank"], line["attention"], line["nearest_image"]) for line in lines] == [
        *(("1", "0.700000", table.keys[5]), ("2", "0.200000", table.keys[0]), ("3", "0.100000", table.keys[2]))
    ]
    with Image.open(tmp_path / "attention.png") as image:  # of three references the first and the last
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 24) or []}
    assert {(70, 130, 180), (255, 165, 0)} <= colours


def test_at_most_four_classes_are_drawn(tmp_path: Path) -> None:
    noisy = np.repeat(np.arange(9), 3)
    features = np.arange(27, dtype=np.float32)[:, None]
    data = detection_data(tmp_path, features, noisy, np.full(27, -1), 9, np.zeros(27, np.int64))
    references = References(features[:, 0].reshape(9, 3)[:, :2, None], np.full(9, 2))
    attention = np.tile([0.4, 0.6], (9, 1))
    drawn = [[one.name for one in attended_references(data, references, attention, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(names) for names in drawn] == [4, 4, 4]
    assert drawn[0] == sorted(drawn[0], key=data.classes.index)
