"""Images with the scores of several detections (Lee 2018, figure 7)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import CheckedLabels
from nlcli.evaluation.comparison.compare import compare_evaluations
from nlcli.evaluation.comparison.label_examples import LabelExample, draw_label_examples, label_examples_plot
from nlcli.evaluation.config import Compare, Evaluate
from nlcli.evaluation.evaluate import evaluate
from worlds.made_detections import checked_table, made_dataset, made_detection

#          train, not verified; test, verified: of class a two right and one wrong, of b one of each
NOISY = [0, 1, 0, 0, 0, 1, 1]
TRUE_ = [0, 1, 0, 0, 1, 1, 0]
FULL = [0.9, 0.8, 0.9, 0.7, 0.1, 0.8, 0.2]
TRANSFER = [0.9, 0.8, 0.8, 0.4, 0.6, 0.7, 0.3]  # 0.5 and more is right: errs on the second and the third image of a


def lines_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def made(root: Path) -> tuple[Path, Path, Path]:
    """A data set and two evaluations; the second's detection held out class a."""
    table = checked_table(NOISY, TRUE_, [0, 0, 2, 2, 2, 2, 2], [i >= 2 for i in range(7)])
    dataset = made_dataset(root / "dataset", table)
    full = made_detection(root / "full", dataset, table, FULL)
    transfer = made_detection(root / "transfer", dataset, table, TRANSFER, held_out=("a",), hold_out=1)
    return dataset, *(evaluate(Evaluate(model=each, bootstrap=0)) for each in (full, transfer))


def test_examples_come_from_held_out_classes(tmp_path: Path) -> None:
    _, full, transfer = made(tmp_path)
    report = compare_evaluations(Compare(evaluations=(full, transfer), output=tmp_path / "report", examples=6))
    lines = lines_of(report / "examples.csv")
    assert {line["label"] for line in lines} == {"a"}  # b was held out by neither
    assert [line["class_held_out"] for line in lines] == ["0", "1"] * 3
    told = [(line["truth"], line["score"], line["verdict"]) for line in lines]
    assert told == [
        *(("right", "0.900000", "right"), ("right", "0.800000", "right")),
        *(("right", "0.700000", "right"), ("right", "0.400000", "wrong")),
        *(("wrong", "0.100000", "wrong"), ("wrong", "0.600000", "right")),
    ]
    assert len({line["model"] for line in lines}) == 2
    with Image.open(report / "examples.png") as image:
        assert min(image.size) > 300


def test_without_the_option_or_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, full, _ = made(tmp_path)
    report = compare_evaluations(Compare(evaluations=(full,), output=tmp_path / "plain"))
    assert not list(report.glob("examples*"))
    dataset.rename(tmp_path / "elsewhere")
    report = compare_evaluations(Compare(evaluations=(full,), output=tmp_path / "gone", examples=2))
    assert "the examples have no photographs" in capsys.readouterr().err
    lines = lines_of(report / "examples.csv")
    assert sorted(line["truth"] for line in lines) == ["right", "wrong"]  # of all classes, half of them wrong
    assert (report / "examples.png").exists()


def test_drawn_are_the_same_images_of_all(tmp_path: Path) -> None:
    n = 40
    keys = np.array([f"k{i:02d}" for i in range(n)], object)
    right, score = np.arange(n) % 4 != 0, np.linspace(0, 1, n, dtype=np.float32)
    labels = CheckedLabels(("a",), keys, np.zeros(n, np.int64), right, score > 0.5, score, np.zeros(n, bool), score)
    drawn = draw_label_examples([labels, labels], 8, 0)
    assert [sum(example.right for example in drawn), len(drawn)] == [4, 8]
    assert [example.key for example in drawn] == sorted(example.key for example in drawn)
    assert all(example.scores[0] == example.scores[1] == score[int(example.key[1:])] for example in drawn)
    assert [e.key for e in draw_label_examples([labels], 8, 1)] != [e.key for e in drawn]
    assert len(draw_label_examples([labels], 50, 0)) == n


def test_the_plot_shows_photographs_and_survives_their_absence(tmp_path: Path) -> None:
    Image.new("RGB", (48, 32), "steelblue").save(tmp_path / "a.png")
    examples = [LabelExample(key, "ramen", False, (0.7, 0.1), (True, False), (False, True)) for key in ("a", "b")]
    label_examples_plot(["F", "D"], examples, {"a": tmp_path / "a.png"}, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 24) or []}
    assert (70, 130, 180) in colours


def test_classifiers_have_none_here(tmp_path: Path) -> None:
    from worlds.made_evaluations import curve_lines, made_evaluation, made_run
    from worlds.stage_builders import published, verified_table

    table = verified_table(6, 2, splits=(0, 6))
    dataset = published(table, tmp_path / "dataset")
    run = made_run(tmp_path / "run", curve_lines([0.5]))
    scores = np.random.default_rng(0).random((6, 2)).astype(np.float32)
    scored = made_evaluation(tmp_path / "scored", table, dataset, run, scores, name="noisy")
    with pytest.raises(NlcliError, match="--examples is of detections of single labels"):
        compare_evaluations(Compare(evaluations=(scored,), output=tmp_path / "report", examples=2))
