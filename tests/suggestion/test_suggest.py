"""The stage that suggests what to check next, from a detection to answers that are built in."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nlcli
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import FULL, NONE, PARTIAL
from nlcli.errors import NlcliError
from nlcli.reporting.next_images import read_queue
from nlcli.suggestion.suggest import show_queues
from worlds.cleaned import detected, planted, tag_dataset, tag_detection, tag_world
from worlds.folders import touch
from worlds.made_detections import checked_table, made_dataset, made_detection

WORLD = planted(images=600, verified=150)
TAGS = tag_world()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return detected(tmp_path_factory.mktemp("labels"), WORLD)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tags")
    dataset = tag_dataset(folder / "dataset", TAGS[0], TAGS[1])
    return dataset, tag_detection(folder / "detection", dataset, TAGS[2])


def rows_of(queue: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(queue / "queue.parquet").to_pylist()
    return rows


def numbers(rows: list[dict[str, object]]) -> list[int]:
    """Keys are k00000.jpg and so on."""
    return [int(str(row["key"])[1:6]) for row in rows]


# --- one label an image ----------------------------------------------------------------------


def test_a_queue_by_hand(tmp_path: Path) -> None:
    table = checked_table([0, 1, 2, 0, 1], [0, 1, 2, 0, 1], [0, 0, 0, 0, 1], [True, False, False, False, False])
    dataset = made_dataset(tmp_path / "data", table)
    detection = made_detection(
        tmp_path / "detection",
        dataset,
        table,
        [0.1, 0.9, 0.2, 0.5, 0.1],
        probability=[0.1, 0.75, 0.25, 0.5, 0.1],
        suggested=[1, 2, -1, 2, 0],
        suggested_probability=[0.9, 0.125, np.nan, 0.5, 0.9],
    )
    queue = nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", random=0)
    rows = rows_of(queue)  # k00 is verified, k04 not in train
    assert [row["key"] for row in rows] == ["k02", "k03", "k01"]
    assert [row["expected_errors"] for row in rows] == [0.75, 0.5, 0.25]
    assert [row["classes"] for row in rows] == ["c", "a|c", "b|c"]
    assert rows[1]["reason"] == "Label 'a' is right with probability 0.50, 'c' is suggested (0.50)."
    assert {(row["how"], row["chance"], row["split"]) for row in rows} == {("errors", None, "train")}
    record = json.loads((queue / "suggestion.json").read_text())
    assert (record["may_be_asked"], record["expected_errors"], record["random_expected_errors"]) == (3, 1.5, 1.5)
    with open(queue / "answers.csv", newline="") as file:
        sheet = list(csv.reader(file))
    assert sheet[0] == ["path", "label", "noisy_label", "suggested"]
    assert sheet[1:] == [["k02", "", "c", ""], ["k03", "", "a", "c"], ["k01", "", "b", "c"]]
    both = nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "v", random=1, splits=["validation"])
    assert [(row["key"], row["how"], row["chance"]) for row in rows_of(both)] == [("k04", "random", 1.0)]


def test_more_wrong_labels_than_at_random_and_none_that_is_checked(made: tuple[Path, Path], tmp_path: Path) -> None:
    queue = nlcli.suggest(dataset=made[0], source=made[1], output=tmp_path / "q", count=100, seed=1)
    rows = rows_of(queue)
    chosen = np.array(numbers(rows))
    assert len(set(chosen.tolist())) == 100
    assert (WORLD.table.verification[chosen] == NONE).all()
    assert (WORLD.table.split[chosen] == 0).all()
    at_random = np.array([row["how"] == "random" for row in rows])
    assert at_random.sum() == 20
    wrong = WORLD.table.noisy.indices != WORLD.true
    may = (WORLD.table.verification == NONE) & (WORLD.table.split == 0)
    assert wrong[chosen[~at_random]].mean() > 2 * wrong[may].mean()
    record = nlcli.read_stage(queue).summary
    assert record["expected_errors"] == pytest.approx(sum(1 - WORLD.own[chosen]), abs=0.01)
    assert record["random_expected_errors"] == pytest.approx(100 * np.mean(1 - WORLD.own[may]), abs=0.01)
    assert record["times_random"] > 2
    assert {row["chance"] for row in rows if row["how"] == "random"} == {20 / may.sum()}
    assert read_queue(queue / "queue.parquet", 5).images == 100
    assert read_queue(queue / "queue.csv", 5).cards == read_queue(queue / "queue.parquet", 5).cards


def test_uncertain_ones_of_all_classes_for_training(made: tuple[Path, Path], tmp_path: Path) -> None:
    queue = nlcli.suggest(dataset=made[0], source=made[1], output=tmp_path / "q", goal="train", count=80)
    rows = rows_of(queue)
    uncertain = np.array(numbers([row for row in rows if row["how"] == "uncertain"]))
    assert len(uncertain) == 40
    may = (WORLD.table.verification == NONE) & (WORLD.table.split == 0)
    doubt = np.abs(WORLD.own - 0.5)
    assert doubt[uncertain].mean() < 0.5 * doubt[may].mean()
    classes = WORLD.table.noisy.indices
    share = np.bincount(classes[may], minlength=4) / may.sum()
    np.testing.assert_allclose(np.bincount(classes[uncertain], minlength=4), 40 * share, atol=3)


def test_made_again_of_the_same_it_is_the_same(made: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (
        nlcli.suggest(dataset=made[0], source=made[1], output=tmp_path / name, count=30, seed=2) for name in "ab"
    )
    for name in ("queue.parquet", "queue.csv", "answers.csv", "suggestion.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_answers_come_back_in(tmp_path: Path) -> None:
    """From folders over a queue that is partly filled in to a data set that knows what was seen."""
    images = [f"{name}/{i:02d}.jpg" for name in ("cat", "dog") for i in range(12)]
    touch(tmp_path / "photos", *images)
    dataset = nlcli.build_folders(
        images=tmp_path / "photos", output=tmp_path / "data", test_share=0, validation_share=0
    )
    table = read_dataset(dataset)
    chance = [0.05 if i == 7 else 0.9 for i in range(24)]
    detection = made_detection(
        tmp_path / "d", dataset, table, chance, probability=chance, suggested=[1] * 12 + [0] * 12,
        suggested_probability=[1 - p for p in chance],
    )  # fmt: skip
    queue = nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", count=6, random=0.5)
    with open(queue / "answers.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert len(rows) == 6
    assert str(table.paths[7]) in {row[0] for row in rows}
    filled = [[row[0], "dog" if row[0] == table.paths[7] else row[0].split("/")[0], *row[2:]] for row in rows[:5]]
    with open(tmp_path / "answers.csv", "w", newline="") as file:
        csv.writer(file).writerows([head, *filled, rows[5]])
    again = nlcli.build_folders(
        images=tmp_path / "photos", output=tmp_path / "again", checked=tmp_path / "answers.csv", test_share=0,
        validation_share=0,
    )  # fmt: skip
    back = read_dataset(again)
    known = {str(back.paths[i]) for i in np.flatnonzero(back.verification == FULL)}
    assert known == {row[0] for row in filled}
    for path, label, *_ in filled:
        row = int(np.flatnonzero(back.paths == path)[0])
        assert back.classes[back.present[[row]].indices[0]] == label


@pytest.mark.parametrize("verified", [150, 40])
def test_what_checking_has_brought(verified: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """150 checked images of train and validation, in quarters of them; of 40 nothing is said. Test takes no part."""
    world = planted(images=600, verified=verified)
    dataset, detection = detected(tmp_path, world)
    features = np.eye(4, dtype=np.float32)[world.true] + np.random.default_rng(0).normal(0, 0.5, (600, 4)).astype("f4")
    np.savez(tmp_path / "vectors.npz", keys=world.table.keys.astype(str), vectors=features)
    kept = nlcli.import_features(dataset=dataset, source=tmp_path / "vectors.npz", output=tmp_path / "features")
    queue = nlcli.suggest(dataset=dataset, source=detection, features=kept, output=tmp_path / "q", count=75)
    record = json.loads((queue / "suggestion.json").read_text())
    show_queues([queue])
    if verified < 60:
        assert record["gain"] is None
        assert any("too few images" in remark for remark in record["remarks"])
        return
    gain = record["gain"]
    assert [point["images"] for point in gain["points"]] == [38, 75, 150]
    assert (gain["metric"], gain["judged"]) == ("top_1", 150)
    assert gain["queue"] == pytest.approx([np.log2(1.5) * value for value in gain["doubling"]])
    assert "the last doubling of checked images brought a linear classifier" in " ".join(
        capsys.readouterr().out.split()
    )


def test_near_duplicates_that_the_data_set_tells_of(tmp_path: Path) -> None:
    table = checked_table([0, 1, 2, 0], [0, 1, 2, 0], [0, 0, 0, 0], [False] * 4)
    dataset = made_dataset(tmp_path / "data", table)
    chance = [0.1, 0.2, 0.3, 0.4]
    detection = made_detection(tmp_path / "d", dataset, table, chance, probability=chance)
    pairs = pa.table({"first": ["k00", "gone"], "second": ["k01", "k02"], "how": ["same", "same"]})
    pq.write_table(pairs, dataset / "pairs.parquet")
    queue = nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", count=2, random=0)
    assert [row["key"] for row in rows_of(queue)] == ["k00", "k02"]
    assert json.loads((queue / "suggestion.json").read_text())["passed_over"] == 1
    (dataset / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(NlcliError, match="run nlcli deduplicate again"):
        nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "r", random=0)


def test_pictures_that_nobody_can_look_at_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path / "photos", "k00", "k02")
    table = checked_table([0, 1, 2], [0, 1, 2], [0, 0, 0], [False] * 3)
    dataset = made_dataset(tmp_path / "data", replace(table, image_root=tmp_path / "photos"))
    chance = [0.1, 0.2, 0.3]
    detection = made_detection(tmp_path / "d", dataset, table, chance, probability=chance)
    nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", random=0)
    told = (
        f"warning: 1 of the 3 pictures to check are gone (the first: 'k01' in {tmp_path / 'photos'}); put them back, or"
    )
    assert told in capsys.readouterr().err


def test_refusals(made: tuple[Path, Path], tmp_path: Path) -> None:
    table = checked_table([0, 1], [0, 1], [0, 0], [False, False])
    dataset = made_dataset(tmp_path / "data", table)
    detection = made_detection(tmp_path / "d", dataset, table, [0.5, 0.5])
    with pytest.raises(NlcliError, match="pass --random 1"):
        nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", random=0.5)
    assert len(rows_of(nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", random=1))) == 2
    # Where no share is asked for, all are drawn at random: nothing tells one from another.
    unasked = rows_of(nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "u"))
    assert [row["how"] for row in unasked] == ["random", "random"]
    with pytest.raises(NlcliError, match="another data set"):
        nlcli.suggest(dataset=dataset, source=made[1], output=tmp_path / "r")
    with pytest.raises(NlcliError, match="no image of test that nobody has checked"):
        nlcli.suggest(dataset=made[0], source=made[1], output=tmp_path / "r", splits=["test"])


# --- several labels an image -----------------------------------------------------------------


def test_tags_that_are_wrong_or_missing(tagged: tuple[Path, Path], tmp_path: Path) -> None:
    table, truth, probability = TAGS
    queue = nlcli.suggest(dataset=tagged[0], source=tagged[1], output=tmp_path / "q", count=50)
    rows = rows_of(queue)
    given = table.noisy.toarray() > 0
    probability = probability.astype(np.float32).astype(np.float64)
    has_row = given | (probability >= 0.05)
    wrong = np.where(has_row, np.where(given, 1 - probability, probability), 0)
    of_image = wrong.sum(1)
    scored = [row for row in rows if row["how"] == "errors"]
    drawn = {number for number, row in zip(numbers(rows), rows, strict=True) if row["how"] == "random"}
    assert len(drawn) == 10
    expected = sorted(set(range(200, 400)) - drawn, key=lambda i: (-of_image[i], i))[:40]
    assert numbers(scored) == expected
    np.testing.assert_allclose([row["expected_errors"] for row in scored], of_image[expected], rtol=1e-6)
    for number, row in zip(numbers(rows), rows, strict=True):
        asked = {int(name.removeprefix("tag ")) for name in str(row["classes"]).split("|")}
        if row["how"] == "random":
            assert asked == set(np.flatnonzero(has_row[number]).tolist())
            assert (row["sampled"], row["sampled_of"]) == ("", 0)
            continue
        doubtful = set(np.flatnonzero(has_row[number] & (wrong[number] >= 0.1)).tolist())
        others = set(np.flatnonzero(given[number]).tolist()) - doubtful
        assert row["sampled_of"] == len(others)
        sampled = asked - doubtful
        assert sampled <= others
        assert len(sampled) == min(1, len(others))  # one given tag that is not in question, drawn from them
        assert sampled == ({int(str(row["sampled"]).removeprefix("tag "))} if others else set())
    assert sum(row["sampled_of"] > 0 for row in scored) > 5
    shown = [read_queue(queue / name, 5) for name in ("queue.parquet", "queue.csv")]  # as the page does
    assert [one.images for one in shown] == [len(rows), len(rows)]
    assert shown[0].cards == shown[1].cards
    assert json.loads((queue / "suggestion.json").read_text())["given"] == given[200:].sum()
    mistakes = (given != truth).sum(1)
    assert mistakes[numbers(scored)].mean() > 1.3 * mistakes[200:].mean()


def test_answers_on_tags_come_back_in(tagged: tuple[Path, Path], tmp_path: Path) -> None:
    """Only what was asked and answered becomes present or absent."""
    table, truth, _ = TAGS
    queue = nlcli.suggest(dataset=tagged[0], source=tagged[1], output=tmp_path / "q", count=20)
    with open(queue / "answers.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["path", "label", "right", "verified"]
    answers = {}
    for row in rows[:-10]:
        answers[row[0], row[1]] = bool(truth[int(row[0][1:6]), int(row[1].removeprefix("tag "))])
        row[2] = str(int(answers[row[0], row[1]]))
    with open(tmp_path / "answers.csv", "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    touch(tmp_path / "photos", *table.paths.tolist())
    with open(tmp_path / "tags.csv", "w", newline="") as file:
        noisy = [
            [path, "|".join(table.classes[c] for c in table.noisy[[i]].indices)] for i, path in enumerate(table.paths)
        ]
        csv.writer(file).writerows([["path", "noisy"], *noisy])
    built = nlcli.build_tags(
        table=tmp_path / "tags.csv", images=tmp_path / "photos", output=tmp_path / "data",
        checked=tmp_path / "answers.csv",
    )  # fmt: skip
    back = read_dataset(built)
    assert set(np.unique(back.verification).tolist()) == {NONE, PARTIAL}
    position, column, present = back.verified_entries(np.arange(len(back)))
    known = {
        (str(back.paths[i]), back.classes[c]): bool(there)
        for i, c, there in zip(position.tolist(), column.tolist(), present.tolist(), strict=True)
    }
    assert known == answers
    with pytest.raises(NlcliError, match="no row says"):
        nlcli.build_tags(
            table=tmp_path / "tags.csv", images=tmp_path / "photos", output=tmp_path / "no",
            checked=queue / "answers.csv",
        )  # fmt: skip
