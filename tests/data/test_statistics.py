"""Counts and quality of labels, worked out by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data import statistics
from nlcli.data.config import BuildFolders
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists, verified_pairs
from nlcli.data.labels import single_label_table as single_label_table_of
from nlcli.data.plots import class_statistics_plot, confusion_plot
from nlcli.data.sources.folders import build_folders
from nlcli.data.statistics import label_statistics, published_coco, write_single_label_statistics, write_statistics
from nlcli.data.statistics_tables import show_dataset
from nlcli.metrics.confusion import Confusion
from nlcli.stages.files import read_json
from nlcli.stages.stage import open_stage
from worlds.stage_builders import MakeConfig, small_table, verified_table


def hand_table() -> LabelTable:
    """Three fully verified training images and one test image; class c occurs nowhere."""
    return LabelTable(
        task="multi-label",
        classes=("a", "b", "c"),
        groups=("g", "h", None),
        keys=np.array(list("wxyz"), object),
        paths=np.array(list("wxyz"), object),
        image_root=Path("/"),
        split=np.array([0, 0, 0, 2], np.int8),
        noisy=matrix_from_lists([[0], [0, 1], [0], [1]], 3, [[0.9], [0.5, 0.1], [0.3], [1.0]]),
        present=matrix_from_lists([[0, 1], [1], [], [1]], 3),
        absent=matrix_from_lists([[]] * 4, 3),
        verification=np.full(4, FULL, np.uint8),
    )


def test_counts_and_quality_by_hand() -> None:
    statistics = label_statistics(hand_table())
    train = statistics["splits"]["train"]
    assert train["images"] == 3
    assert train["clean"] == {"annotations": 3, "labels_per_image": 1.0, "images_per_label": 1.0}
    assert train["noisy"] == {"annotations": 4, "labels_per_image": 4 / 3, "images_per_label": 4 / 3}
    # right: a on w, b on x
    assert (train["precision"], train["recall"]) == (2 / 4, 2 / 3)
    assert train["macro_precision"] == pytest.approx((1 / 3 + 1) / 2)
    assert train["macro_recall"] == pytest.approx((1 + 1 / 2) / 2)
    validation = statistics["splits"]["validation"]
    assert validation["images"] == 0
    assert validation["clean"] == {"annotations": 0, "labels_per_image": None, "images_per_label": 0.0}
    assert validation["precision"] is None
    assert statistics["splits"]["test"]["precision"] == 1.0
    assert statistics["classes"] == [
        {
            "class": "a",
            "group": "g",
            "verified": 1,
            "noisy": 3,
            "noisy_checked": 3,
            "noisy_right": 1,
            "quality": 1 / 3,
            "recall": 1.0,
        },
        {
            "class": "b",
            "group": "h",
            "verified": 3,
            "noisy": 2,
            "noisy_checked": 2,
            "noisy_right": 2,
            "quality": 1.0,
            "recall": 2 / 3,
        },
        {
            "class": "c",
            "group": None,
            "verified": 0,
            "noisy": 0,
            "noisy_checked": 0,
            "noisy_right": 0,
            "quality": None,
            "recall": None,
        },
    ]


def test_only_checked_noisy_labels_count_where_verification_is_partial() -> None:
    classes = label_statistics(small_table())["classes"]
    # a: wrong on w (verified absent); b: wrong on x (fully verified, not present); c: right on w, unverified on z
    assert [(c["noisy"], c["noisy_checked"], c["noisy_right"], c["quality"]) for c in classes] == [
        (1, 1, 0, 0.0),
        (1, 1, 0, 0.0),
        (2, 1, 1, 1.0),
    ]


def test_agrees_with_counting_entry_by_entry() -> None:
    table = verified_table(200, 7, seed=3, splits=(40, 60))
    rows = table.rows("test")
    y, (v, _) = table.noisy_targets(rows), table.verified_targets(rows)
    split = label_statistics(table)["splits"]["test"]
    assert split["precision"] == (y & v).sum() / y.sum()
    assert split["recall"] == (y & v).sum() / v.sum()
    assert split["noisy"]["annotations"] == y.sum()


def test_published_figures_agree_with_each_other() -> None:
    """Labels an image and images a label follow from the other numbers, as printed in the paper."""
    statistics = published_coco()
    together = statistics["splits"].pop("all")
    for split in statistics["splits"].values():
        for kind in ("clean", "noisy"):
            counts = split[kind]
            # The paper prints 2.16 for 36,225 / 16,714 = 2.167: it cuts off instead of rounding. The other ratio it rounds.
            assert math.floor(100 * counts["annotations"] / split["images"]) == round(100 * counts["labels_per_image"])
            assert round(counts["annotations"] / statistics["classes"]) == counts["images_per_label"]
    assert sum(split["images"] for split in statistics["splits"].values()) == together["images"] == 101_690
    noisy = [split["noisy"]["annotations"] for split in statistics["splits"].values()]
    assert sum(noisy) == together["noisy"]["annotations"] == 170_476
    assert together["clean"]["annotations"] is None  # the paper does not add them up


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    statistics = label_statistics(hand_table())
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_statistics(tmp_path / name, statistics)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"statistics.json", "class_statistics.csv", "class_statistics.png"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    lines = (tmp_path / "one" / "class_statistics.csv").read_text().splitlines()
    assert lines[0].startswith("class,group,verified,noisy")
    assert lines[3] == "c,,0,0,0,0,,"


def test_figure_of_hundreds_of_classes_stays_readable_in_size(tmp_path: Path) -> None:
    from PIL import Image

    table = verified_table(50, 400, splits=(10, 10))
    class_statistics_plot(label_statistics(table), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size[0] <= 3000


def single_label_table() -> LabelTable:
    """Ten images of three classes; the last three have no pair: not verified, only called wrong, no noisy label."""
    true = np.array([0, 0, 0, 0, 1, 1, 2, -1, -1, 1])
    noisy = np.array([0, 0, 1, 1, 1, 0, 2, 1, 1, -1])
    right = np.array([-1, -1, -1, -1, -1, -1, -1, -1, 0, -1])
    names = [f"k{i}" for i in range(10)]
    split = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 2])
    return single_label_table_of(("a", "b", "c"), names, names, Path("/"), split, noisy, true, right)


def test_confusion_of_clean_and_noisy_labels_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with open_stage("dataset", MakeConfig(output=tmp_path / "d"), {}) as stage:
        summary = write_single_label_statistics(stage.work, single_label_table())
        stage.finish(summary)
    assert summary == {"pairs": 7, "pairs_right": 0.5714}  # 4 of 7
    with open(tmp_path / "d" / "label_confusion.csv", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["true", "a", "b", "c"],
            ["a", "2", "2", "0"],
            ["b", "1", "1", "0"],
            ["c", "0", "0", "1"],
        ]
    confusion_read = read_json(tmp_path / "d" / "statistics.json")["label_confusion"]
    assert confusion_read == {
        "images": 7,
        "accuracy": 4 / 7,
        "largest": [
            {"true": "a", "noisy": "b", "images": 2, "share": 0.5},
            {"true": "b", "noisy": "a", "images": 1, "share": 0.5},
        ],
    }
    with Image.open(tmp_path / "d" / "label_confusion.png") as image:
        assert image.width > 300
    show_dataset([tmp_path / "d"])
    shown = capsys.readouterr().out
    assert "Largest confusions of noisy labels (7 pairs, 57.14 % right; all in label_confusion.csv)" in " ".join(
        shown.split()
    )
    assert "66.7 % of 3" in shown  # right, of the checked labels a: two of a, one of b
    assert "50.0 % of 4" in shown  # found, of the images of a
    confusion = Confusion(("a", "b", "c"), np.array([[2, 2, 0], [1, 1, 0], [0, 0, 1]]))
    assert confusion.frequency.tolist() == [4 / 7, 2 / 7, 1 / 7]
    assert confusion.shares.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]


def test_data_without_a_pair_have_no_confusion(tmp_path: Path) -> None:
    table = single_label_table()
    table.verification[:] = np.where(table.verification == FULL, 1, table.verification)
    assert write_single_label_statistics(tmp_path, table) == {"pairs": 0, "pairs_right": None}
    assert not (tmp_path / "label_confusion.csv").exists()
    assert read_json(tmp_path / "statistics.json")["label_confusion"]["accuracy"] is None


def test_figures_of_many_classes(tmp_path: Path) -> None:
    classes = tuple(f"class {i}" for i in range(90))
    confusion = Confusion(classes, np.eye(90, dtype=np.int64))
    confusion_plot([("noisy label", confusion), ("classifier", confusion)], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert image.width > image.height


def test_many_classes_are_counted_without_a_square_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 300)
    noisy = np.where(rng.random(300) < 0.4, rng.integers(0, 5, 300), true)
    names = [f"{i}.jpg" for i in range(300)]
    table = single_label_table_of(tuple("abcde"), names, names, tmp_path, np.zeros(300, np.int8), noisy, true)
    for name in ("dense", "sparse"):
        (tmp_path / name).mkdir()
    dense = statistics.write_single_label_statistics(tmp_path / "dense", table)
    monkeypatch.setattr(statistics, "MOST_DENSE_CLASSES", 4)
    assert statistics.write_single_label_statistics(tmp_path / "sparse", table) == dense
    assert (tmp_path / "sparse/statistics.json").read_text() == (tmp_path / "dense/statistics.json").read_text()
    rows = (tmp_path / "sparse/label_confusion.csv").read_text().splitlines()
    assert rows[0] == "true,noisy,images"
    counts = np.zeros((5, 5), int)
    for row in rows[1:]:
        one, other, images = row.split(",")
        counts["abcde".index(one), "abcde".index(other)] = int(images)
    assert counts.tolist() == verified_pairs(table, np.arange(300)).tolist()
    assert not (tmp_path / "sparse/label_confusion.png").exists()


def test_names_are_text_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither what a terminal obeys nor rich's brackets."""
    names = ("\x1b[31mred", "[bold]b[/bold]", "a\u202etxt")
    for c in range(len(names)):
        for i in range(4):
            path = tmp_path / "photos" / f"{c}{i}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    rows = "".join(f'{c}{i}.jpg,"{name}"\n' for c, name in enumerate(names) for i in range(4))
    (tmp_path / "t.csv").write_text("path,noisy_label\n" + rows, encoding="utf-8")
    config = BuildFolders(images=tmp_path / "photos", table=tmp_path / "t.csv", output=tmp_path / "out")
    show_dataset([build_folders(config)])
    printed = capsys.readouterr()
    assert "[bold]b[/bold]" in printed.out
    assert "?[31mred" in printed.out
    for stream in printed:
        assert "\x1b" not in stream
        assert "\u202e" not in stream
