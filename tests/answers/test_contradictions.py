"""What counts where answers contradict each other, and what says nothing at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import nlcli
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import PARTIAL, LabelTable
from nlcli.errors import NlcliError
from worlds.annotators import annotation
from worlds.made_detections import checked_table, made_dataset

EARLY, LATE = "2026-03-01T10:00:00Z", "2026-03-02T10:00:00+02:00"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of classes a, b, c, all called a; k00 is known to be a."""
    table = checked_table([0] * 6, [0] * 6, [0] * 6, [True, False, False, False, False, False])
    return made_dataset(tmp_path_factory.mktemp("data") / "data", table)


def label_studio(path: Path, *tasks: tuple[str, list[Any]]) -> Path:
    path.write_text(json.dumps([{"data": {"image": key, "key": key}, "annotations": given} for key, given in tasks]))
    return path


def imported(dataset: Path, output: Path, *answers: Path, **options: Any) -> LabelTable:
    return read_dataset(nlcli.import_verification(dataset=dataset, answers=answers, output=output, **options))


def true_of(table: LabelTable, key: str) -> list[str]:
    row = table.keys.tolist().index(key)
    return [table.classes[c] for c in table.present[[row]].indices]


def states(output: Path) -> list[str]:
    states: list[str] = pq.read_table(output / "verification.parquet")["state"].to_pylist()
    return states


def test_the_newest_the_most_frequent_or_none(dataset: Path, tmp_path: Path) -> None:
    """Late in another zone of time: 8 o'clock of the next day."""
    told = label_studio(
        tmp_path / "a.json",
        ("k01", [annotation(["b"], 1, EARLY), annotation(["c"], 2, LATE), annotation(["b"], 3, EARLY)]),
        ("k02", [annotation(["b"], 1, EARLY), annotation(["c"], 2, LATE)]),
    )
    with pytest.raises(NlcliError, match="contradict each other on 'k01'.*--conflicts newest"):
        imported(dataset, tmp_path / "no", told)
    newest = imported(dataset, tmp_path / "newest", told, conflicts="newest")
    assert (true_of(newest, "k01"), true_of(newest, "k02")) == (["c"], ["c"])
    assert states(tmp_path / "newest") == ["older", "used", "older", "older", "used"]
    most = imported(dataset, tmp_path / "most", told, conflicts="majority")
    assert (true_of(most, "k01"), true_of(most, "k02")) == (["b"], [])
    k02 = most.keys.tolist().index("k02")  # it is no a, as both say, and which class it is nothing decides
    assert (most.verification[k02], most.absent.toarray()[k02].tolist()) == (PARTIAL, [1, 0, 0])
    assert states(tmp_path / "most") == ["used", "outvoted", "used", "undecided", "undecided"]
    record = json.loads((tmp_path / "most" / "verification.json").read_text())
    # k01: one of three pairs alike; k02: none. 5 answers, 3 b and 2 c: expected 1 - (6 + 2) / 20.
    assert record["agreement"]["units"] == 2
    assert record["agreement"]["people"] == 3
    assert record["agreement"]["raw"] == pytest.approx(1 / 6, abs=1e-6)
    assert record["agreement"]["alpha"] == pytest.approx(1 - (3 * 2 / 3 + 2 * 1) / 5 / 0.6, abs=1e-6)


def test_what_was_known_is_the_oldest_word(dataset: Path, tmp_path: Path) -> None:
    told = label_studio(tmp_path / "a.json", ("k00", [annotation(["b"], 1)]), ("k01", [annotation(["b"], 1)]))
    with pytest.raises(NlcliError, match="contradicts what is known of 'k00'"):
        imported(dataset, tmp_path / "no", told)
    assert true_of(imported(dataset, tmp_path / "new", told, conflicts="newest"), "k00") == ["b"]
    assert json.loads((tmp_path / "new" / "verification.json").read_text())["changed"] == 1
    assert true_of(imported(dataset, tmp_path / "old", told, conflicts="majority"), "k00") == ["a"]


def test_a_truth_stands_alone(dataset: Path, tmp_path: Path) -> None:
    told = label_studio(
        tmp_path / "a.json", ("k01", [annotation(["b"], 1), annotation(["c"], 2, EARLY, ground_truth=True)])
    )
    assert true_of(imported(dataset, tmp_path / "made", told), "k01") == ["c"]
    assert states(tmp_path / "made") == ["not the final one", "used"]


def test_what_says_nothing(dataset: Path, tmp_path: Path) -> None:
    """Skipped, drafts, predictions, and annotations that were made of predictions without anybody opening them."""
    draft = [{"result": annotation(["b"])["result"], "user": "x"}]
    tasks: list[dict[str, Any]] = [
        {"data": {"image": "k01"}, "annotations": [annotation(["b"], was_cancelled=True)]},
        {"data": {"image": "k02"}, "annotations": [], "drafts": draft},
        {"data": {"image": "k03"}, "annotations": [], "predictions": [annotation(["b"])]},
        {"data": {"image": "k04"}, "annotations": [annotation(["b"], parent_prediction=9, lead_time=None)]},
        {"data": {"image": "k05"}, "annotations": [annotation(["b"], parent_prediction=9)]},
    ]
    told = tmp_path / "a.json"
    told.write_text(json.dumps(tasks))
    table = imported(dataset, tmp_path / "made", told)
    assert [true_of(table, f"k0{i}") for i in range(1, 6)] == [[], [], [], [], ["b"]]
    record = json.loads((tmp_path / "made" / "verification.json").read_text())
    assert record["answers"] == {"answered": 1, "no such image": 0, "not looked at": 3, "skipped": 1}
    told.write_text(json.dumps(tasks[:4]))
    with pytest.raises(NlcliError, match=r"nothing is answered \(3 not looked at, 1 skipped\)"):
        imported(dataset, tmp_path / "none", told)


def test_a_label_that_is_wrong_without_a_true_one(dataset: Path, tmp_path: Path) -> None:
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path", "right"], ["k01", "0"], ["k02", "1"], ["k03", ""]])
    table = imported(dataset, tmp_path / "made", tmp_path / "a.csv")
    assert table.verification.tolist() == [2, 1, 1, 0, 0, 0]
    assert table.absent.toarray()[1].tolist() == [1, 0, 0]
    assert true_of(table, "k02") == ["a"]


def table_of(path: Path, *rows: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_true_class_says_that_the_noisy_one_is_wrong(dataset: Path, tmp_path: Path) -> None:
    """Whoever says that k01 is no a says nothing against b; of k00, known to be a, it does."""
    first = nlcli.import_verification(
        dataset=dataset, answers=[table_of(tmp_path / "1.csv", ["path", "label"], ["k01", "b"])], output=tmp_path / "1"
    )
    marks = table_of(tmp_path / "2.csv", ["path", "right"], ["k01", "0"])
    second = imported(first, tmp_path / "2", marks)
    assert (true_of(second, "k01"), second.verification.tolist()) == (["b"], [2, 2, 0, 0, 0, 0])
    both = table_of(tmp_path / "3.csv", ["path", "right"], ["k00", "0"])
    with pytest.raises(NlcliError, match="contradicts what is known of 'k00'"):
        imported(dataset, tmp_path / "no", both)
    newest = imported(dataset, tmp_path / "3", both, conflicts="newest")
    assert (true_of(newest, "k00"), newest.absent.toarray()[0].tolist()) == ([], [1, 0, 0])
    assert newest.verification.tolist() == [1, 0, 0, 0, 0, 0]  # which of b and c it is, nobody said


SAID = {  # from old to new, a class, or 0 where the label is wrong and no more is said: the newest, the majority
    "b 0": ("b", "b"),  # the one names what the other leaves open: no contradiction
    "b 0 a": ("a", "b"),  # two of three say that it is no a, and one of them which class it is
    "a b 0": ("b", "b"),  # the newest says that it is no a: b, which was said before, fits
    "a a 0 b": ("b", None),
    "a a a b 0": ("b", "a"),
    "a a 0": ("no a", "a"),
    "b c 0": ("c", "no a"),
    "b b c 0 a": ("a", "b"),
    "0 0 a": ("a", "no a"),
    "b c a": ("a", "no a"),
}


def test_who_says_wrong_and_no_more(tmp_path: Path) -> None:
    """All images are called a."""
    none = [0] * len(SAID)
    dataset = made_dataset(tmp_path / "data", checked_table(none, none, none, [False] * len(SAID)))
    rows = []
    for image, said in enumerate(SAID):
        for hour, word in enumerate(said.split()):
            label, right = ("", "0") if word == "0" else (word, "")
            rows.append([f"k{image:02d}", label, right, f"p{hour}", f"2026-03-01T{hour:02d}:00:00Z"])
    header = ["path", "label", "right", "annotator", "time"]
    told = table_of(tmp_path / "a.csv", header, *rows)
    for number, conflicts in enumerate(("newest", "majority")):
        table = imported(dataset, tmp_path / conflicts, told, conflicts=conflicts)
        wrong = ["no a" if there else None for there in table.absent.toarray()[:, 0].tolist()]
        known = [(true_of(table, key) or [wrong[row]])[0] for row, key in enumerate(table.keys.tolist())]
        assert known == [ends[number] for ends in SAID.values()]
    assert true_of(imported(dataset, tmp_path / "one", table_of(tmp_path / "1.csv", header, *rows[:2])), "k00") == ["b"]
    with pytest.raises(NlcliError, match="contradict each other on 'k01'"):
        imported(dataset, tmp_path / "no", told)


def test_files_of_one_name_in_folders_of_two_people(dataset: Path, tmp_path: Path) -> None:
    """They agree on two of three; of b, b, c and b, c, c four of nine would by chance."""
    ann = table_of(tmp_path / "ann" / "a.csv", ["path", "label"], ["k01", "b"], ["k02", "b"], ["k03", "c"])
    ben = table_of(tmp_path / "ben" / "a.csv", ["path", "label"], ["k01", "b"], ["k02", "c"], ["k03", "c"])
    table = imported(dataset, tmp_path / "made", ann, ben, conflicts="majority")
    assert [true_of(table, f"k0{i}") for i in (1, 2, 3)] == [["b"], [], ["c"]]
    record = json.loads((tmp_path / "made" / "verification.json").read_text())
    assert (record["agreement"]["people"], record["agreement"]["units"]) == (2, 3)
    assert record["agreement"]["raw"] == pytest.approx(2 / 3, abs=1e-6)
    assert record["agreement"]["kappa"] == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9), abs=1e-6)
    files = pq.read_table(tmp_path / "made" / "verification.parquet")["file"].to_pylist()
    assert files == ["ann/a.csv"] * 3 + ["ben/a.csv"] * 3


def test_agreement_with_who_said_that_a_label_is_wrong_and_no_more(dataset: Path, tmp_path: Path) -> None:
    """On k01 both say that it is no a, on k02 ann says that it is one."""
    ann = table_of(tmp_path / "ann.csv", ["path", "label"], ["k01", "b"], ["k02", "a"])
    ben = table_of(tmp_path / "ben.csv", ["path", "right"], ["k01", "0"], ["k02", "0"])
    table = imported(dataset, tmp_path / "made", ann, ben, conflicts="majority")
    assert (true_of(table, "k01"), true_of(table, "k02")) == (["b"], [])
    record = json.loads((tmp_path / "made" / "verification.json").read_text())
    assert (record["agreement"]["units"], record["agreement"]["raw"]) == (2, 0.5)


def test_a_file_that_is_given_twice_does_not_count_twice(dataset: Path, tmp_path: Path) -> None:
    told = table_of(tmp_path / "a.csv", ["path", "label"], ["k01", "b"])
    with pytest.raises(NlcliError, match=r"a\.csv is given twice as --answers"):
        imported(dataset, tmp_path / "made", told, tmp_path / "." / "a.csv")


def test_boxes_that_nobody_tells_of(tmp_path: Path) -> None:
    from worlds.cleaned import tag_dataset, tag_world

    table, truth, _ = tag_world(images=40)
    dataset = tag_dataset(tmp_path / "data", table, truth)
    told = label_studio(tmp_path / "a.json", ("k00030.jpg", [annotation(["tag 1"])]))
    with pytest.raises(NlcliError, match="nothing tells which classes were asked about"):
        imported(dataset, tmp_path / "no", told)
    listed = imported(dataset, tmp_path / "listed", told, scope="listed")
    assert (listed.verification[30], listed.present.toarray()[30].tolist()) == (1, [0, 1, 0, 0, 0])
    assert listed.absent.toarray()[30].sum() == 0
    every = imported(dataset, tmp_path / "all", told, scope="all")
    assert (every.verification[30], every.present.toarray()[30].tolist()) == (2, [0, 1, 0, 0, 0])
