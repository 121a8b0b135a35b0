"""Answers of Label Studio, CVAT and tables become a data set, and what they show is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import nlcli
from nlcli.data.label_files import labels_fingerprint, read_dataset
from nlcli.data.labels import FULL, NONE, PARTIAL
from worlds.annotators import cvat_export, filled_table, label_studio_export
from worlds.cleaned import detected, planted, tag_dataset, tag_detection, tag_world

WORLD = planted(images=600, verified=150)
TAGS = tag_world()


def true_class(key: str) -> list[str]:
    return [WORLD.table.classes[WORLD.true[int(key[1:6])]]]


def true_tags(key: str) -> list[str]:
    return [TAGS[0].classes[c] for c in np.flatnonzero(TAGS[1][int(key[1:6])])]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set and a queue of it."""
    folder = tmp_path_factory.mktemp("single")
    dataset, detection = detected(folder, WORLD)
    queue = nlcli.suggest(
        dataset=dataset, source=detection, output=folder / "queue", count=100, random=0.5,
        export=["labelstudio", "cvat", "csv"],
    )  # fmt: skip
    return dataset, queue


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("several")
    dataset = tag_dataset(folder / "dataset", TAGS[0], TAGS[1])
    detection = tag_detection(folder / "detection", dataset, TAGS[2])
    queue = nlcli.suggest(
        dataset=dataset, source=detection, output=folder / "queue", count=80, random=0.75,
        export=["labelstudio", "cvat", "csv"],
    )  # fmt: skip
    return dataset, queue


def exported(queue: Path, tool: str, output: Path, seen: object) -> Path:
    """The queue, answered in ``tool``."""
    folder = queue / "exports"
    if tool == "labelstudio":
        return label_studio_export(folder / "labelstudio" / "tasks.json", output / "answers.json", seen)  # type: ignore[arg-type]
    if tool == "cvat":
        source = folder / "cvat" / "annotations.xml"
        return cvat_export(source, output / "answers.xml", lambda path: path, seen)  # type: ignore[arg-type]
    source = queue / "answers.csv" if tool == "answers" else folder / "csv" / "to_answer.csv"
    return filled_table(source, output / "answers.csv", seen)  # type: ignore[arg-type]


TOOLS = ("labelstudio", "cvat", "csv", "answers")


@pytest.mark.parametrize("tool", TOOLS)
def test_true_classes_come_back(tool: str, single: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, queue = single
    answers = exported(queue, tool, tmp_path, true_class)
    made = nlcli.import_verification(dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / "checked")
    before, after = read_dataset(dataset), read_dataset(made)
    assert labels_fingerprint(before) == labels_fingerprint(after)
    asked = {int(key[1:6]) for key in pq.read_table(queue / "queue.parquet")["key"].to_pylist()}
    for row in range(len(after)):
        same = after.verification[row] == before.verification[row]
        if row in asked and tool == "cvat" and WORLD.true[row] not in (WORLD.suggested[row], before.noisy.indices[row]):
            # Neither of the two classes that were asked about: the noisy label is wrong, the true class is not known.
            assert after.verification[row] == PARTIAL
            assert after.absent[[row]].indices.tolist() == [before.noisy.indices[row]]
        elif row in asked:
            assert after.verification[row] == FULL
            assert after.present[[row]].indices.tolist() == [WORLD.true[row]]
        else:
            assert same
    record = json.loads((made / "verification.json").read_text())
    assert record["images"] == 100
    wrong = WORLD.table.noisy.indices != WORLD.true
    found = {one["how"]: one for one in record["found"]}
    rows = pq.read_table(queue / "queue.parquet").to_pylist()
    for how in ("random", "errors"):
        mine = [int(row["key"][1:6]) for row in rows if row["how"] == how]
        assert found[how]["labels"] == 50
        assert found[how]["wrong"] == wrong[mine].sum()
        assert found[how]["expected"] == pytest.approx(sum(1 - WORLD.own[mine]), abs=0.01)
    (rate,) = record["rates"]
    drawn = [int(row["key"][1:6]) for row in rows if row["how"] == "random"]
    assert rate["value"] == pytest.approx(wrong[drawn].mean(), abs=1e-6)
    assert rate["drawn"] == 50
    # By what was drawn at random alone, the truth is inside; all that was checked would say much more.
    may = (WORLD.table.verification == NONE) & (WORLD.table.split == 0)
    assert rate["interval"][0] < wrong[may].mean() < rate["interval"][1]
    assert wrong[sorted(asked)].mean() > rate["interval"][1]


@pytest.mark.parametrize("tool", TOOLS)
def test_only_what_was_asked_becomes_known(tool: str, several: tuple[Path, Path], tmp_path: Path) -> None:
    """A box that was asked about and is not ticked: not there. One that was not asked about: not known."""
    dataset, queue = several
    answers = exported(queue, tool, tmp_path, true_tags)
    made = nlcli.import_verification(dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / "checked")
    before, after = read_dataset(dataset), read_dataset(made)
    rows = pq.read_table(queue / "queue.parquet").to_pylist()
    asked = {int(row["key"][1:6]): [int(name[4:]) for name in row["classes"].split("|")] for row in rows}
    for row in range(len(after)):
        if row not in asked:
            assert after.verification[row] == before.verification[row]
            continue
        there = set(after.present[[row]].indices.tolist())
        assert there == {c for c in asked[row] if TAGS[1][row, c]}
        if len(asked[row]) < 5:
            assert after.verification[row] == PARTIAL
            assert set(after.absent[[row]].indices.tolist()) == set(asked[row]) - there
        else:
            assert after.verification[row] == FULL
    record = json.loads((made / "verification.json").read_text())
    assert record["present"] + record["absent"] == sum(map(len, asked.values()))
    given = TAGS[0].noisy.toarray() > 0
    drawn = [int(row["key"][1:6]) for row in rows if row["how"] == "random"]
    (rate,) = record["rates"]
    assert rate["value"] == pytest.approx((given & ~TAGS[1])[drawn].sum() / given[drawn].sum(), abs=1e-6)


def test_it_is_up_to_date_and_the_same_again(single: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, queue = single
    answers = exported(queue, "csv", tmp_path, true_class)
    first, second = (
        nlcli.import_verification(dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / name)
        for name in "ab"
    )
    for name in ("images.parquet", "verification.parquet", "verification.json", "dataset.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    before = (first / "stage.json").stat().st_mtime_ns
    nlcli.import_verification(dataset=dataset, suggestion=queue, answers=[answers], output=first)
    assert (first / "stage.json").stat().st_mtime_ns == before


def test_who_said_what_and_when_is_kept(several: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, queue = several
    answers = exported(queue, "labelstudio", tmp_path, true_tags)
    made = nlcli.import_verification(dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / "one")
    log = pq.read_table(made / "verification.parquet").to_pylist()
    rows = {row["key"]: row for row in pq.read_table(queue / "queue.parquet").to_pylist()}
    assert len(log) == sum(len(row["classes"].split("|")) for row in rows.values())
    for word in log:
        asked = rows[word["key"]]
        number = asked["classes"].split("|").index(word["class"])
        assert (word["annotator"], word["time"]) == ("1", "2026-03-01T10:00:00.000000Z")
        assert (word["file"], word["state"], word["round"]) == ("answers.json", "used", 1)
        assert (word["how"], word["chance"]) == (asked["how"], asked["chance"])
        assert word["probability"] == float(asked["probabilities"].split("|")[number])
        assert (word["said"] == "present") == (word["class"] in true_tags(word["key"]))


def test_rounds_follow_each_other(tmp_path: Path) -> None:
    """Three rounds: what was found is known, what is drawn anew is a sample of the rest."""
    world = planted(images=900, verified=60, seed=3)
    dataset, detection = detected(tmp_path, world)
    wrong = world.table.noisy.indices != world.true
    may = np.flatnonzero((world.table.verification == NONE) & (world.table.split == 0))
    found = 0
    for number in range(3):
        queue = nlcli.suggest(
            dataset=dataset, source=detection, output=tmp_path / f"queue {number}", count=60, random=1 / 3, seed=number
        )
        rows = pq.read_table(queue / "queue.parquet").to_pylist()
        answers = filled_table(
            queue / "answers.csv",
            tmp_path / f"{number}.csv",
            lambda key: [world.table.classes[world.true[int(key[1:6])]]],
        )
        dataset = nlcli.import_verification(
            dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / f"checked {number}"
        )
        record = json.loads((dataset / "verification.json").read_text())
        told = record["rounds"][number]
        asked = np.array([int(row["key"][1:6]) for row in rows])
        drawn = np.array([row["how"] == "random" for row in rows])
        assert (told["unchecked"], told["known_wrong"]) == (len(may) - 60 * number, found)
        assert (told["drawn"], told["wrong"]) == (20, wrong[asked[drawn]].sum())
        found += int(wrong[asked].sum())
        assert told["found"] == wrong[asked].sum()
        assert record["round"] == number + 1
        if number:
            assert record["rates"][-1]["drawn"] == 20 * (number + 1)
            assert record["rates"][-1]["interval"][0] < wrong[may].mean() < record["rates"][-1]["interval"][1]
        table = read_dataset(dataset)
        again = planted(images=900, verified=60, seed=3)
        detection = redetected(tmp_path / f"detection {number}", dataset, table, again)
        # Statistics leave out what was chosen by score: it would say that far more labels are wrong.
        summary = nlcli.read_stage(dataset).summary
        scored = np.zeros(len(table), bool)
        for word in pq.read_table(dataset / "verification.parquet").to_pylist():
            scored[int(word["key"][1:6])] |= word["how"] != "random"
        checked = (table.verification > 0) & (table.split == 0) & ~scored
        assert summary["train_noisy_right"] == pytest.approx(1 - wrong[checked].mean(), abs=1e-4)
        assert summary["train_verified"] == ((table.verification > 0) & (table.split == 0)).sum()
    assert len(pq.read_table(dataset / "verification.parquet")) == 180


def test_rounds_of_tags_follow_each_other(tmp_path: Path) -> None:
    """Three rounds: what was found is known, the drawn tags of scored images stand for those that were not asked about."""
    table, truth, probability = tag_world(images=900)
    dataset = tag_dataset(tmp_path / "dataset", table, truth)
    given = table.noisy.toarray() > 0
    wrong, may = given & ~truth, (np.arange(900) >= 450) & (given | (probability >= 0.05)).any(axis=1)
    unchecked = may.copy()
    for number in range(3):
        detection = tag_detection(tmp_path / f"detection {number}", dataset, probability)
        queue = nlcli.suggest(
            dataset=dataset, source=detection, output=tmp_path / f"queue {number}", count=60, random=1 / 3, seed=number
        )
        rows = {int(row["key"][1:6]): row for row in pq.read_table(queue / "queue.parquet").to_pylist()}
        answers = filled_table(
            queue / "answers.csv",
            tmp_path / f"{number}.csv",
            lambda key: [table.classes[c] for c in np.flatnonzero(truth[int(key[1:6])])],
        )
        dataset = nlcli.import_verification(
            dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / f"checked {number}"
        )
        record = json.loads((dataset / "verification.json").read_text())
        told = record["tag_rounds"][number]
        assert (told["images"], told["tags"]) == (unchecked.sum(), given[unchecked].sum())
        drawn = [i for i, row in rows.items() if row["how"] == "random"]
        own, of = wrong[drawn].sum(axis=1), given[drawn].sum(axis=1)
        assert (told["drawn"], told["wrong"], told["given"]) == (20, own.sum(), of.sum())
        assert (told["products"], told["wrong_squares"], told["given_squares"]) == (own @ of, own @ own, of @ of)
        found = others = squares = stands = 0
        for i, row in rows.items():
            if row["how"] == "random":
                continue
            asked = [int(name[4:]) for name in row["classes"].split("|")]
            sampled = asked.pop() if row["sampled"] else None
            found += wrong[i, asked].sum()
            others += row["sampled_of"]
            squares += row["sampled_of"] ** 2
            stands += 0 if sampled is None else row["sampled_of"] * wrong[i, sampled]
            assert row["sampled_of"] == given[i].sum() - given[i, asked].sum()
        assert (told["found"], told["others"], told["told"]) == (found, others, others)
        assert (told["told_wrong"], told["told_squares"]) == (stands, squares)
        unchecked[list(rows)] = False
        rate = record["rates"][-1]
        assert rate["rounds"] == number + 1
        if number:
            assert rate["drawn"] == 20 * (number + 1)
        assert rate["interval"][0] < wrong[may].sum() / given[may].sum() < rate["interval"][1]


def redetected(output: Path, dataset: Path, table: object, world: object) -> Path:
    from worlds.made_detections import made_detection

    return made_detection(
        output, dataset, table, world.own.tolist(), method="knn", probability=world.own.tolist(),  # type: ignore[attr-defined, arg-type]
        suggested=world.suggested.tolist(), suggested_probability=world.probability.tolist(),  # type: ignore[attr-defined]
    )  # fmt: skip


def test_images_of_test_that_were_chosen_by_score_are_not_measured_on(tmp_path: Path) -> None:
    world = planted(images=300, verified=60)
    table = world.table
    table.split[60:160] = 2
    dataset, detection = detected(tmp_path, world, truth=False)
    queue = nlcli.suggest(
        dataset=dataset, source=detection, output=tmp_path / "queue", count=40, random=0.5, splits=["test"]
    )
    rows = pq.read_table(queue / "queue.parquet").to_pylist()
    answers = filled_table(
        queue / "answers.csv", tmp_path / "a.csv", lambda key: [table.classes[world.true[int(key[1:6])]]]
    )
    for splits, known in (("random", {row["key"] for row in rows if row["how"] == "random"}),
                          ("all", {row["key"] for row in rows})):  # fmt: skip
        made = nlcli.import_verification(
            dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / splits, measured_splits=splits
        )
        after = read_dataset(made)
        new = (after.verification > 0) & (read_dataset(dataset).verification == 0)
        assert set(after.keys[new].tolist()) == known
    states = pq.read_table(tmp_path / "random" / "verification.parquet")["state"].to_pylist()
    assert sorted(set(states)) == ["chosen by score", "used"]
