"""The whole way on a pile with vectors that exist: pipeline, stages, five lines; killed, changed, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.cleaning.label_changes import CHANGES
from nlcli.errors import NlcliError
from nlcli.pile.clean_pile import clean, show_cleaned
from nlcli.pile.config import CleanPile
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


def test_from_a_pile_to_cleaned_labels_and_a_page(
    pile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = clean(config(pile, tmp_path / "mine"))
    facts = {fact["question"]: fact for fact in result["facts"]}
    assert len(facts) == 5
    wrong = facts["How many labels look wrong?"]
    assert 100 < int(wrong["answer"].replace(",", "")) < 220  # 158 are
    assert facts["What does the classifier reach?"]["known"] or "too few" in str(facts)
    assert facts["Where are the cleaned labels?"]["place"] == "cleaned"
    assert facts["What should be checked next?"]["answer"] == "40 images"
    for name in ("all", "dataset", "features", "wrong-labels", "cleaned", "classifier", "tested"):
        assert read_stage(tmp_path / "mine" / name).path.is_dir()
    assert (tmp_path / "mine" / "cleaned" / CHANGES).is_file()
    capsys.readouterr()
    show_cleaned(result)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7  # the five facts, the page, the pipeline
    assert lines[0].startswith("How many labels look wrong?")
    assert lines[-1].endswith(f"nlcli run {tmp_path / 'mine' / 'pipeline.yaml'}")
    json.dumps(result)

    # Again: everything is there.
    assert clean(config(pile, tmp_path / "mine")) == result
    assert "up to date" in capsys.readouterr().err


@pytest.mark.slow
def test_without_checked_images_it_says_what_cannot_be_known(
    pile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = clean(config(pile, tmp_path / "mine", checked=None, method="noisy"))
    assert "no checked images" in capsys.readouterr().err
    facts = {fact["question"]: fact for fact in result["facts"]}
    assert facts["How many labels look wrong?"]["known"]
    assert not facts["How sure is that?"]["known"]
    # No label is changed by what nobody can measure.
    assert read_stage(tmp_path / "mine" / "cleaned").summary["changed"] == 0


def test_mistakes_are_told_before_anything_runs(pile: Path, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="lies in the folder of the pictures"):
        clean(config(pile, pile / "photos" / "mine"))
    with pytest.raises(NlcliError, match="does not exist; give the folder of the pictures"):
        clean(config(pile, tmp_path / "mine", photos=tmp_path / "nowhere"))
    with pytest.raises(NlcliError, match="several labels an image stand in a table"):
        clean(config(pile, tmp_path / "mine", labels=None, task="multi-label"))
    made = clean(config(pile, tmp_path / "mine", plan_only=True))
    assert made["stages"]["wrong-labels"].startswith("detect-noise -> ")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["pipeline.yaml"]
