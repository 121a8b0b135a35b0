"""The whole way on a pile with vectors that exist: pipeline, stages, five lines; killed, changed, refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.cleaning.cleaning_record import CLEANING, CleaningRecord
from nlcli.cleaning.label_changes import CHANGES
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from nlcli.pile.clean_pile import clean, show_cleaned
from nlcli.pile.config import CleanPile
from nlcli.reporting.facts import UNBACKED
from nlcli.stages.stage import read_stage

NAMES = ("ant", "bee", "cat", "dog")
IMAGES, CHECKED = 480, 120


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 pictures of four classes, a third of the labels wrong, a quarter checked, vectors that tell the classes."""
    where = tmp_path_factory.mktemp("pile")
    rng = np.random.default_rng(0)
    true = np.arange(IMAGES) % len(NAMES)
    noisy = np.where(rng.random(IMAGES) < 0.33, (true + 1) % len(NAMES), true)
    centres = 2.2 * rng.standard_normal((len(NAMES), 12))
    vectors = (centres[true] + rng.standard_normal((IMAGES, 12))).astype(np.float32)
    (where / "photos").mkdir()
    paths = [f"{i:03d}.png" for i in range(IMAGES)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(where / "photos" / path)
    np.save(where / "vectors.npy", vectors)
    (where / "keys.txt").write_text("".join(f"{path}\n" for path in paths))
    rows = [f"{path},{NAMES[label]}\n" for path, label in zip(paths, noisy, strict=True)]
    (where / "labels.csv").write_text("path,label\n" + "".join(rows))
    seen = sorted(rng.permutation(IMAGES)[:CHECKED].tolist())
    (where / "checked.csv").write_text("path,label\n" + "".join(f"{paths[i]},{NAMES[true[i]]}\n" for i in seen))
    np.save(where / "true.npy", true)
    return where


def config(pile: Path, output: Path, **options: Any) -> CleanPile:
    given: dict[str, Any] = {
        "photos": pile / "photos",
        "labels": pile / "labels.csv",
        "checked": pile / "checked.csv",
        "features": pile / "vectors.npy",
        "keys": pile / "keys.txt",
        "output": output,
        "detector": "margin",
        "method": "clean-and-noisy",
        "check_next": 40,
        "jobs": 1,
    }
    return CleanPile(**given | options)


@pytest.fixture(scope="module")
def cleaned(pile: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The pile, cleaned in a directory ``mine``, and what that tells."""
    mine = tmp_path_factory.mktemp("cleaned") / "mine"
    return mine, clean(config(pile, mine))


def test_from_a_pile_to_cleaned_labels_and_a_page(
    pile: Path, cleaned: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    mine, result = cleaned
    facts = {fact["question"]: fact for fact in result["facts"]}
    assert len(facts) == 5
    wrong = facts["How many labels look wrong?"]
    assert 100 < int(wrong["answer"].replace(",", "")) < 220  # 158 are
    assert facts["What does the classifier reach?"]["known"] or "too few" in str(facts)
    assert facts["Where are the cleaned labels?"]["place"] == "cleaned"
    assert facts["What should be checked next?"]["answer"] == "40 images"
    for name in ("all", "dataset", "features", "wrong-labels", "cleaned", "classifier", "tested"):
        assert read_stage(mine / name).path.is_dir()
    assert (mine / "cleaned" / CHANGES).is_file()
    capsys.readouterr()
    show_cleaned(result)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8  # the five facts, the page, what comes next, the pipeline
    assert lines[0].startswith(f"How many labels look wrong? {wrong['answer']} of 480 labels look wrong")
    assert lines[4].endswith(f"'label' of answers.csv beside it. It lies in {mine / 'to-check' / 'queue.csv'}.")
    answers = mine / "to-check" / "answers.csv"
    assert lines[-2].endswith(f"nlcli clean {mine} --answers {answers} --output {mine}-2")
    assert lines[-1].endswith(f"nlcli run {mine / 'pipeline.yaml'}")
    json.dumps(result)

    # Again: everything is there.
    assert clean(config(pile, mine)) == result
    assert "up to date" in capsys.readouterr().err


def test_it_is_cleaned_again_with_what_was_answered(
    pile: Path, cleaned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """No picture is read again, and images that were chosen because they looked wrong measure no change."""
    mine, _ = cleaned
    with open(mine / "to-check" / "answers.csv", encoding="utf-8") as lines:
        sheet = list(csv.DictReader(lines))
    queue = {
        row["path"]: row["how"] for row in csv.DictReader((mine / "to-check" / "queue.csv").open(encoding="utf-8"))
    }
    true = np.load(pile / "true.npy")
    for row in sheet[:30]:
        row["label"] = NAMES[true[int(row["path"][:3])]]
    filled = tmp_path / "filled.csv"
    with filled.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, sheet[0])
        writer.writeheader()
        writer.writerows(sheet)
    assert list(sheet[0]) == ["path", "label", "noisy_label", "suggested"]
    assert all(row["noisy_label"] in NAMES and row["suggested"] in NAMES for row in sheet)

    again = CleanPile(
        photos=mine, answers=(filled,), output=tmp_path / "mine-2", detector="margin", method="noisy", jobs=1
    )
    result = clean(again)
    assert result["next"]["answered"].endswith(f"--output {tmp_path / 'mine-3'}")
    stages = {path.name for path in (tmp_path / "mine-2").iterdir()}
    assert not stages & {"all", "features"}
    assert {"dataset", "wrong-labels", "cleaned", "tested"} <= stages
    before, after = (read_stage(path / "dataset") for path in (mine, tmp_path / "mine-2"))
    assert read_stage(tmp_path / "mine-2" / "dataset").input_fingerprint("dataset") == before.fingerprint
    by_score = [row["path"] for row in sheet[:30] if queue[row["path"]] != "random"]
    assert len(by_score) > 15
    table = read_dataset(after.path)
    known = {table.keys[row] for row in np.flatnonzero(np.diff(table.present.indptr))}
    assert set(by_score) <= known
    assert len(known) == CHECKED + 30
    claims = CleaningRecord.read(tmp_path / "mine-2" / "cleaned" / CLEANING).claims
    assert 0 < sum(claim.verified for claim in claims) <= CHECKED + 30 - len(by_score)


@pytest.mark.slow
def test_without_checked_images_it_says_what_cannot_be_known(
    pile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = clean(config(pile, tmp_path / "mine", checked=None, method="noisy"))
    assert "no checked images" in capsys.readouterr().err
    facts = {fact["question"]: fact for fact in result["facts"]}
    assert facts["How many labels look wrong?"]["known"]
    assert not facts["How sure is that?"]["known"]
    assert UNBACKED in facts["How many labels look wrong?"]["told"]
    page = (tmp_path / "mine" / "report.html").read_text(encoding="utf-8")
    assert "No checked image backs these verdicts." in page
    assert "Take this number with care." in page
    show_cleaned(result)
    assert UNBACKED in capsys.readouterr().out.splitlines()[0]
    # No label is changed by what nobody can measure.
    assert read_stage(tmp_path / "mine" / "cleaned").summary["changed"] == 0
    # What is asked is a sample, with which the pictures are cleaned anew.
    queue = facts["What should be checked next?"]
    assert queue["told"][0] == "Drawn at random, so that they measure how many labels are wrong."
    answers = tmp_path / "mine" / "to-check" / "answers.csv"
    assert f"nlcli clean {pile / 'photos'} --labels {pile / 'labels.csv'}" in result["next"]["answered"]
    assert f"--checked {answers}" in result["next"]["answered"]
    with pytest.raises(NlcliError, match="none is left to choose and to measure by"):
        clean(CleanPile(photos=tmp_path / "mine", answers=(answers,), output=tmp_path / "mine-2"))


def test_mistakes_are_told_before_anything_runs(pile: Path, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="lies in the folder of the pictures"):
        clean(config(pile, pile / "photos" / "mine"))
    with pytest.raises(NlcliError, match="is a file; give the folder of the pictures, and tables as --labels"):
        clean(config(pile, tmp_path / "mine", photos=pile / "labels.csv"))
    with pytest.raises(NlcliError, match="--checked: .*nobody.csv does not exist"):
        clean(config(pile, tmp_path / "mine", checked=pile / "nobody.csv"))
    with pytest.raises(NlcliError, match="--weights: there is no file weights.h5; pass 'imagenet', 'none'"):
        clean(config(pile, tmp_path / "mine", features=None, keys=None, weights="weights.h5"))
    with pytest.raises(NlcliError, match="does not exist; give the folder of the pictures"):
        clean(config(pile, tmp_path / "mine", photos=tmp_path / "nowhere"))
    with pytest.raises(NlcliError, match="several labels an image stand in a table"):
        clean(config(pile, tmp_path / "mine", labels=None, task="multi-label"))
    with pytest.raises(NlcliError, match="was not made by nlcli clean"):
        clean(config(pile, tmp_path / "mine", answers=(pile / "checked.csv",)))
    made = clean(config(pile, tmp_path / "mine", plan_only=True))
    assert made["stages"]["wrong-labels"].startswith("detect-noise -> ")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["pipeline.yaml"]


def test_what_nlcli_made_is_no_folder_of_pictures(pile: Path, tmp_path: Path) -> None:
    """Plots of a data set were taken for pictures of somebody."""
    (tmp_path / "made" / "dataset").mkdir(parents=True)
    for path in ("pipeline.yaml", "dataset/stage.json"):
        (tmp_path / "made" / path).write_text("{}")
    for photos in (tmp_path / "made", tmp_path / "made" / "dataset"):
        with pytest.raises(NlcliError, match="was made by nlcli and is no folder of pictures"):
            clean(config(pile, tmp_path / "mine", photos=photos))
    answers = {"answers": (pile / "checked.csv",), "photos": tmp_path / "made", "features": None, "keys": None}
    with pytest.raises(NlcliError, match="--labels was decided when"):
        clean(config(pile, tmp_path / "mine", **answers))
