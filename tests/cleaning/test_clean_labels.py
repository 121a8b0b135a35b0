"""Cleaned labels from end to end: what changes, what does not, what is refused, and the way back."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nlcli
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import SPLITS, noisy_classes, true_classes
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.cleaned import Planted, detected, planted


@pytest.fixture(scope="module")
def world() -> Planted:
    return planted(images=900, verified=300, seed=3)


@pytest.fixture(scope="module")
def made(world: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return detected(tmp_path_factory.mktemp("made"), world)


@pytest.fixture(scope="module")
def cleaned(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("cleaned") / "clean"
    return nlcli.clean_labels(dataset=made[0], source=made[1], output=output, precision=0.8, max_changes=0.6)


def rows_of(directory: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(directory / "changes.parquet").to_pylist()
    return rows


def test_labels_are_as_the_changes_say(world: Planted, made: tuple[Path, Path], cleaned: Path) -> None:
    before, after = read_dataset(made[0]), read_dataset(cleaned)
    now, was = noisy_classes(after), noisy_classes(before)
    rows = rows_of(cleaned)
    made_rows = [row for row in rows if row["rule"] != "kept"]
    changed = {str(before.keys[i]) for i in np.flatnonzero(now != was)}
    assert changed == {row["key"] for row in made_rows}
    assert len(changed) > 50
    for row in made_rows:
        i = int(str(row["key"])[1:6])
        assert (before.classes[was[i]], before.classes[now[i]]) == (row["old"], row["new"])
        assert SPLITS[before.split[i]] == row["split"] == "train"
        if row["rule"] == "verified":
            assert i < 300
            assert now[i] == world.true[i]
        else:
            assert row["new"] == before.classes[world.suggested[i]]
            assert float(str(row["probability"])) >= float(str(row["threshold"]))
            assert after.noisy[i].data[0] == pytest.approx(world.probability[i], abs=1e-6)
    for row in rows:
        if row["rule"] == "kept":
            assert row["old"] == row["new"] != row["proposed"]
            assert row["reason"] in ("split", "threshold")


def test_a_machines_correction_never_becomes_verified(made: tuple[Path, Path], cleaned: Path) -> None:
    before, after = read_dataset(made[0]), read_dataset(cleaned)
    for name in ("verification", "split", "keys", "paths"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert (before.present != after.present).nnz == 0
    assert (before.absent != after.absent).nnz == 0
    outside = before.split != 0
    assert (before.noisy[outside] != after.noisy[outside]).nnz == 0


def test_every_told_image_of_train_has_its_true_class(world: Planted, cleaned: Path) -> None:
    after = read_dataset(cleaned)
    told = (np.arange(900) < 300) & (after.split == 0)
    np.testing.assert_array_equal(noisy_classes(after)[told], world.true[told])


def test_what_is_recorded(made: tuple[Path, Path], cleaned: Path, world: Planted) -> None:
    record = json.loads((cleaned / "cleaning.json").read_text())
    assert record["dataset_fingerprint"] == read_stage(made[0]).fingerprint
    assert record["source_fingerprint"] == read_stage(made[1]).fingerprint
    rows = rows_of(cleaned)
    assert {row["source"] for row in rows} == {record["source_fingerprint"]}
    assert {row["dataset"] for row in rows} == {record["dataset_fingerprint"]}
    assert {row["method"] for row in rows} == {"knn"}
    assert {row["version"] for row in rows} == {nlcli.__version__}
    (claim,) = record["claims"]
    ours = [row for row in rows if row["rule"] == "detector"]
    assert claim["changed"] == len(ours)
    right = sum(str(row["new"]) == f"class {world.true[int(str(row['key'])[1:6])]}" for row in ours)
    assert record["planted"]["right"] == right
    low, high = claim["interval"]
    assert low <= right / len(ours) <= high
    assert claim["right"] / claim["verified"] >= 0.8
    true, now = world.true, noisy_classes(read_dataset(cleaned))
    train = read_dataset(cleaned).split == 0
    assert record["planted"]["after"] == pytest.approx(np.mean(true[train] != now[train]), abs=1e-6)
    assert record["planted"]["after"] < record["planted"]["before"] - 0.1


def test_csv_says_the_same(cleaned: Path) -> None:
    with open(cleaned / "changes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    others = rows_of(cleaned)
    assert [row["key"] for row in rows] == [row["key"] for row in others]
    for row, other in zip(rows, others, strict=True):
        assert row["new"] == (other["new"] or "")
        assert row["threshold"] == "" or float(row["threshold"]) == pytest.approx(float(str(other["threshold"])))


def test_restored_bit_for_bit(made: tuple[Path, Path], cleaned: Path, tmp_path: Path) -> None:
    again = nlcli.restore_labels(dataset=cleaned, output=tmp_path / "again")
    for name in ("images.parquet", "dataset.json", "truth.parquet"):
        assert (again / name).read_bytes() == (made[0] / name).read_bytes()
    assert read_stage(again).summary["same_bytes"] is True


def test_changed_changes_are_not_restored(cleaned: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(cleaned, copy)
    rows = pq.read_table(copy / "changes.parquet")
    pq.write_table(rows.slice(1), copy / "changes.parquet")
    with pytest.raises(NlcliError, match="do not give the labels back"):
        nlcli.restore_labels(dataset=copy, output=tmp_path / "again")


def test_nothing_to_restore(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="was not made by nlcli clean-labels"):
        nlcli.restore_labels(dataset=made[0], output=tmp_path / "again")


def test_suggest_changes_nothing(made: tuple[Path, Path], tmp_path: Path) -> None:
    output = nlcli.clean_labels(dataset=made[0], source=made[1], output=tmp_path / "s", policy="suggest", precision=0.8)
    assert (output / "images.parquet").read_bytes() == (made[0] / "images.parquet").read_bytes()
    rows = rows_of(output)
    assert {row["rule"] for row in rows} == {"kept"}
    assert {row["reason"] for row in rows} == {"policy", "split", "threshold", "verified"}
    assert nlcli.restore_labels(dataset=output, output=tmp_path / "again").is_dir()


def test_drop_takes_wrong_labels_away(made: tuple[Path, Path], tmp_path: Path, world: Planted) -> None:
    output = nlcli.clean_labels(
        dataset=made[0], source=made[1], output=tmp_path / "d", policy="drop", precision=0.8, max_changes=0.6
    )
    now = noisy_classes(read_dataset(output))
    gone = np.flatnonzero(now < 0)
    assert len(gone) > 20
    assert np.mean(noisy_classes(world.table)[gone] != world.true[gone]) > 0.7
    assert (gone >= 300).all()
    assert (nlcli.restore_labels(dataset=output, output=tmp_path / "again") / "images.parquet").read_bytes() == (
        made[0] / "images.parquet"
    ).read_bytes()


def test_splits_that_are_asked_for(made: tuple[Path, Path], tmp_path: Path) -> None:
    output = nlcli.clean_labels(
        dataset=made[0],
        source=made[1],
        output=tmp_path / "v",
        splits=["train", "validation"],
        precision=0.8,
        max_changes=0.6,
    )
    changed = {row["split"] for row in rows_of(output) if row["rule"] != "kept"}
    assert changed == {"train", "validation"}


def test_a_class_that_is_kept(made: tuple[Path, Path], tmp_path: Path) -> None:
    output = nlcli.clean_labels(
        dataset=made[0], source=made[1], output=tmp_path / "k", precision=0.8, max_changes=0.6, keep=["class 1"]
    )
    rows = [row for row in rows_of(output) if row["rule"] != "kept"]
    assert rows
    assert not any("class 1" in (row["old"], row["new"]) for row in rows)


# --- refusals --------------------------------------------------------------------------------


def test_instead_of_stopping_what_persons_said_is_made_and_the_rest_is_listed(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = {"dataset": made[0], "source": made[1], "max_changes": 0.01}
    with pytest.raises(NlcliError) as refused:
        nlcli.clean_labels(output=tmp_path / "no", **asked)
    listed = nlcli.clean_labels(output=tmp_path / "listed", when_refused="suggest", **asked)
    table = read_dataset(made[0])
    was, known = noisy_classes(table), true_classes(table)
    checked = (table.split == SPLITS.index("train")) & (known >= 0)
    summary = read_stage(listed).summary
    assert (summary["policy"], summary["changed"]) == ("suggest", 0)
    assert summary["changed_by_checking"] == (was != known)[checked].sum() > 10
    assert summary["only_proposed"] > 50
    record = json.loads((listed / "cleaning.json").read_text())
    assert record["remarks"][0] == f"only what persons said is changed: {refused.value}"
    np.testing.assert_array_equal(noisy_classes(read_dataset(listed)), np.where(checked, known, was))
    # Where nothing is refused, nothing is otherwise.
    easy = {"dataset": made[0], "source": made[1], "precision": 0.8, "max_changes": 0.6}
    fixed = nlcli.clean_labels(output=tmp_path / "fixed", when_refused="suggest", **easy)
    assert read_stage(fixed).summary["changed"] >= 40


def test_more_changes_than_allowed(made: tuple[Path, Path], tmp_path: Path) -> None:
    asked = {"dataset": made[0], "source": made[1], "precision": 0.8, "max_changes": 0.02}
    with pytest.raises(NlcliError, match=r"of class 'class \d' .*% of its .* labels would change") as refused:
        nlcli.clean_labels(output=tmp_path / "m", **asked)
    assert not (tmp_path / "m.partial").exists()
    raised = float(str(refused.value).partition("pass --max-changes ")[2].partition(",")[0])
    first = str(refused.value).partition("'")[2].partition("'")[0]
    with pytest.raises(NlcliError) as second:  # what it says works for that class
        nlcli.clean_labels(output=tmp_path / "m", **(asked | {"keep": [first]}))
    assert f"of class '{first}'" not in str(second.value)
    assert 0.02 < raised <= 1


def test_a_precision_that_verified_images_do_not_show(tmp_path: Path) -> None:
    world = planted(images=600, verified=200, seed=5)
    wrong = Planted(world.table, world.true, 1 - world.probability, (world.true + 1) % 4, np.full(600, 0.97))
    dataset, detection = detected(tmp_path, wrong)
    with pytest.raises(NlcliError, match=r"it is right on 0\.00 \[0\.00, 0\.0\d\] of them, and no threshold"):
        nlcli.clean_labels(dataset=dataset, source=detection, output=tmp_path / "c", max_changes=1)
    with pytest.raises(NlcliError, match="--policy suggest"):
        nlcli.clean_labels(dataset=dataset, source=detection, output=tmp_path / "c", max_changes=1)


def test_nobody_can_tell_the_precision(tmp_path: Path) -> None:
    dataset, detection = detected(tmp_path, planted(images=300, verified=0))
    asked = {"dataset": dataset, "source": detection, "max_changes": 1}
    with pytest.raises(NlcliError, match="no verified image can tell"):
        nlcli.clean_labels(output=tmp_path / "c", **asked)
    for more in ({"policy": "suggest"}, {"precision": 0}):
        output = nlcli.clean_labels(
            output=tmp_path / str(len(more["policy"]) if "policy" in more else 0), **asked, **more
        )
        assert rows_of(output)


def test_verification_of_test_is_never_used(tmp_path: Path) -> None:
    world = planted(images=300, verified=0)  # the last fiftieth is test, and verified
    dataset, detection = detected(tmp_path, world)
    with pytest.raises(NlcliError, match="no verified image can tell"):
        nlcli.clean_labels(dataset=dataset, source=detection, output=tmp_path / "c")


def test_held_out_verification_is_not_used(world: Planted, tmp_path: Path) -> None:
    dataset, detection = detected(tmp_path, world, held_out=world.table.classes)
    with pytest.raises(NlcliError, match="no verified image can tell"):
        nlcli.clean_labels(dataset=dataset, source=detection, output=tmp_path / "c")


def test_a_class_that_would_be_emptied(tmp_path: Path) -> None:
    world = planted(images=600, verified=200, seed=1)
    noisy = noisy_classes(world.table)
    away = noisy == 3
    probability = np.where(away, 0.99, 0.0)
    suggested = np.where(away, world.true, noisy)
    suggested = np.where(away & (suggested == 3), 0, suggested)
    true = np.where(world.true == 3, 0, world.true)
    table = world.table
    known = np.where(np.asarray(table.verification) > 0, true, -1)
    from nlcli.data.labels import single_label_table

    table = single_label_table(
        table.classes, table.keys.tolist(), table.paths.tolist(), table.image_root, table.split, noisy, known
    )
    dataset, detection = detected(tmp_path, Planted(table, true, np.where(away, 0.01, 1.0), suggested, probability))
    with pytest.raises(NlcliError, match=r"class 'class 3' would lose all of its .* labels; .*--keep-class 'class 3'"):
        nlcli.clean_labels(dataset=dataset, source=detection, output=tmp_path / "c", max_changes=1)
    # Persons alone would not empty it: what they said is made.
    listed = nlcli.clean_labels(
        dataset=dataset, source=detection, output=tmp_path / "l", max_changes=1, when_refused="suggest"
    )
    checked = (table.split == SPLITS.index("train")) & (known >= 0)
    np.testing.assert_array_equal(noisy_classes(read_dataset(listed)), np.where(checked, true, noisy))


def test_of_another_data_set(made: tuple[Path, Path], tmp_path: Path) -> None:
    other, _ = detected(tmp_path, planted(images=300, seed=9))
    with pytest.raises(NlcliError, match="was made of another data set"):
        nlcli.clean_labels(dataset=other, source=made[1], output=tmp_path / "c")


def test_a_detection_without_a_verified_label_has_no_probabilities(tmp_path: Path) -> None:
    world = planted(images=300, verified=0)
    nothing = np.full(300, np.nan)
    unsure = Planted(world.table, world.true, nothing, world.suggested, nothing)
    dataset, detection = detected(tmp_path, unsure, score=np.where(np.arange(300) < 40, 0.1, 0.9).tolist())
    asked = {"dataset": dataset, "source": detection}
    with pytest.raises(
        NlcliError, match="has no probabilities, because too few noisy labels were verified.*--policy suggest"
    ):
        nlcli.clean_labels(output=tmp_path / "c", **asked)
    listed = nlcli.clean_labels(output=tmp_path / "listed", when_refused="suggest", **asked)
    assert "only proposals are listed" in json.loads((listed / "cleaning.json").read_text())["remarks"][0]
    rows = rows_of(nlcli.clean_labels(output=tmp_path / "c", policy="suggest", **asked))
    assert rows_of(listed) == rows
    assert sorted(row["key"] for row in rows) == [f"k{i:05d}.jpg" for i in range(40)]
    assert {(row["rule"], row["probability"]) for row in rows} == {("kept", None)}
    assert [row["proposed"] for row in rows] == [f"class {world.suggested[int(str(row['key'])[1:6])]}" for row in rows]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("suggested", "no such class", "column 'suggested' has a value that it cannot have"),
        ("key", "stranger", "names an image that the data set does not have"),
        ("suggested_probability", 1.5, "probability outside of 0 to 1"),
        ("key", "k00007.jpg", "names an image twice"),
    ],
)
def test_a_detection_that_was_changed(
    made: tuple[Path, Path], tmp_path: Path, column: str, value: object, message: str
) -> None:
    copy = tmp_path / "changed"
    shutil.copytree(made[1], copy)
    table = pq.read_table(copy / "noise.parquet")
    rows = table.to_pydict()
    rows[column][5] = value
    if column == "key":
        rows[column][6] = value
    pq.write_table(pa.table(rows, schema=table.schema), copy / "noise.parquet")
    with pytest.raises(NlcliError, match=message):
        nlcli.clean_labels(dataset=made[0], source=copy, output=tmp_path / "c")


def test_unknown_class_to_keep(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="--keep-class: unknown class 'clas 1'; did you mean 'class 1'"):
        nlcli.clean_labels(dataset=made[0], source=made[1], output=tmp_path / "c", keep=["clas 1"])


# --- on the command line ---------------------------------------------------------------------


def test_dry_run(made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "dry"
    asked = {
        "dataset": made[0],
        "source": made[1],
        "output": output,
        "precision": 0.8,
        "dry_run": True,
        "max_changes": 0.05,
    }
    nlcli.clean_labels(**asked)
    told = capsys.readouterr().out
    assert "class 0" in told
    assert "nothing was written" in told
    assert "it would be refused: of class" in told
    assert " to 0." in told  # intervals of classes
    assert not output.exists()
    assert not (tmp_path / "dry.partial").exists()


def test_dry_run_as_json(made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from nlcli.cli import app

    arguments = ["clean-labels", "--dataset", str(made[0]), "--from", str(made[1]), "-o", str(tmp_path / "c")]
    result = CliRunner().invoke(app, [*arguments, "--precision", "0.8", "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    planned = json.loads(result.stdout)
    assert planned["dry_run"] is True
    assert planned["changed"] == planned["cleaning"]["claims"][0]["changed"] > 20
    assert not (tmp_path / "c").exists()
    done = CliRunner().invoke(app, [*arguments, "--precision", "0.8", "--max-changes", "0.6", "--json"])
    assert json.loads(done.stdout)["changed"] == planned["changed"]
    shown = CliRunner().invoke(app, [*arguments, "--precision", "0.8", "--max-changes", "0.6"])
    assert "labels replaced (probability from" in shown.stdout


def test_up_to_date_and_other_settings(made: tuple[Path, Path], cleaned: Path) -> None:
    before = read_stage(cleaned).fingerprint
    asked = {"dataset": made[0], "source": made[1], "output": cleaned, "max_changes": 0.6}
    nlcli.clean_labels(**asked, precision=0.8)
    assert read_stage(cleaned).fingerprint == before
    with pytest.raises(NlcliError, match="holds a different result"):
        nlcli.clean_labels(**asked, precision=0.7)


def test_exports_are_part_of_the_stage_and_pictures_are_not(tmp_path: Path) -> None:
    from PIL import Image

    world = planted(images=60, verified=20, root=str(tmp_path / "photos"))
    (tmp_path / "photos").mkdir()
    for path in world.table.paths:
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / path, format="JPEG")
    dataset, detection = detected(tmp_path, world)
    asked = {"dataset": dataset, "source": detection, "precision": 0, "max_changes": 1}
    output = nlcli.clean_labels(output=tmp_path / "clean", export=["imagefolder", "csv"], **asked)
    after = read_dataset(output)
    pictures = sorted(output.glob("exports/imagefolder/*/*/*.jpg"))
    assert len(pictures) == 60
    assert all(path.is_symlink() and path.resolve().is_file() for path in pictures)
    with open(output / "exports/csv/labels.csv", newline="") as file:
        told = {row["path"]: row["noisy_label"] for row in csv.DictReader(file)}
    now = noisy_classes(after)
    assert told == {after.paths[i]: after.classes[now[i]] for i in range(60)}
    files = read_stage(output).files
    assert "exports/csv/labels.csv" in files
    assert not any(name.endswith(".jpg") for name in files)
    plain = nlcli.clean_labels(output=tmp_path / "plain", **asked)
    assert (plain / "images.parquet").read_bytes() == (output / "images.parquet").read_bytes()


def test_a_stopped_stage_goes_on(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlcli.cleaning import clean_labels as stage

    asked = {"dataset": made[0], "source": made[1], "precision": 0.8, "max_changes": 0.6, "export": ["csv", "coco"]}
    whole = nlcli.clean_labels(output=tmp_path / "whole", **asked)
    written = stage.write_exports

    def stopped(directory: Path, table: object, formats: object, **options: object) -> None:
        written(directory, table, ["coco"])  # type: ignore[arg-type]
        (directory / "exports" / "coco" / "half.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "write_exports", stopped)
    with pytest.raises(KeyboardInterrupt):
        nlcli.clean_labels(output=tmp_path / "again", **asked)
    monkeypatch.undo()
    again = nlcli.clean_labels(output=tmp_path / "again", **asked)
    assert read_stage(again).fingerprint == read_stage(whole).fingerprint
