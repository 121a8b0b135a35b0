"""Images that were checked because of a score are counted apart from the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import nlcli
from nlcli.data.known_labels import without_known
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import clean_set_record, single_label_table
from nlcli.data.score_chosen import LOG, chosen_by_score, no_sample, used_clean_set
from nlcli.data.statistics import noise_summary
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.cleaned import detected, planted
from worlds.made_detections import made_dataset

TABLE = single_label_table(
    ("ant", "bee"),
    list("abcdef"),
    [f"{key}.jpg" for key in "abcdef"],
    Path("/images"),
    np.zeros(6, np.int8),
    np.array([0, 1, 0, 1, 0, 1]),
    np.array([0, 0, 1, 1, 0, -1]),  # of f nothing is verified
)
EVERY = np.arange(6)


def write_log(folder: Path, *rows: tuple[str, str | None]) -> None:
    keys, how = zip(*rows, strict=True)
    pq.write_table(pa.table({"key": pa.array(keys), "how": pa.array(how, pa.string())}), folder / LOG)


def test_counts_by_hand(tmp_path: Path) -> None:
    """d was drawn at random and later asked about by its score; of c nothing tells how; z is in no data set; e stands in
    no log."""
    write_log(
        tmp_path, ("a", "errors"), ("b", "random"), ("c", None), ("d", "random"), ("d", "uncertain"), ("z", "errors")
    )
    assert chosen_by_score(tmp_path, TABLE).tolist() == [True, False, False, True, False, False]
    assert used_clean_set(tmp_path, TABLE, EVERY[:3]) == clean_set_record(TABLE, EVERY[:3]) | {"chosen_by_score": 1}
    assert used_clean_set(tmp_path, TABLE, EVERY[1:3]) == clean_set_record(TABLE, EVERY[1:3])
    assert no_sample(tmp_path, TABLE, EVERY) == (
        "2 of the 5 verified images were checked because of their score, and 3 were not: what is measured on all of "
        "them is not what a sample would show"
    )
    assert no_sample(tmp_path, TABLE, EVERY[1:3]) is None


def test_what_is_made_of_a_data_set_tells_it_on(tmp_path: Path) -> None:
    """Of six images three were chosen by score, one of them a copy that deduplicate leaves out; the log stays behind."""
    touched = tmp_path / "images"
    touched.mkdir()
    for number, key in enumerate("abcdef"):
        side = np.random.default_rng(0 if key in "be" else number + 1).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(side).save(touched / f"{key}.png")
    files = [f"{key}.png" for key in "abcdef"]
    split, noisy = np.zeros(6, np.int8), np.array([0, 1, 0, 1, 1, 0])
    table = single_label_table(("ant", "bee"), files, files, touched, split, noisy, noisy)
    dataset = made_dataset(tmp_path / "data", table)
    write_log(dataset, ("a.png", "errors"), ("c.png", "random"), ("d.png", "errors"), ("e.png", "uncertain"))

    def chosen(path: Path) -> list[str]:
        assert not (path / LOG).exists()
        made = read_dataset(path)
        return sorted(made.keys[chosen_by_score(path, made)])

    noisier = nlcli.add_noise(
        dataset=dataset, output=tmp_path / "noisier", kind="symmetric", rate=0.5, splits=("train",)
    )
    assert chosen(noisier) == ["a.png", "d.png", "e.png"]
    unique = nlcli.deduplicate(dataset=noisier, output=tmp_path / "unique")
    assert chosen(unique) == [key for key in ("a.png", "d.png", "e.png") if key in read_dataset(unique).keys]
    assert len(read_dataset(unique)) == 5
    answers = tmp_path / "more.csv"
    answers.write_text("path,label\nf.png,ant\n")
    asked = nlcli.import_verification(dataset=noisier, answers=[answers], output=tmp_path / "asked", conflicts="newest")
    known = read_dataset(asked)
    assert sorted(known.keys[chosen_by_score(asked, known)]) == ["a.png", "d.png", "e.png"]


def test_cleaned_labels_tell_it_on_and_give_it_back(tmp_path: Path) -> None:
    dataset, detection = detected(tmp_path, planted())
    keys = read_dataset(dataset).keys[[3, 40]].tolist()
    write_log(dataset, *((key, "errors") for key in keys))
    cleaned = nlcli.clean_labels(dataset=dataset, source=detection, policy="suggest", output=tmp_path / "cleaned")
    restored = nlcli.restore_labels(dataset=cleaned, output=tmp_path / "restored")
    nobody = np.zeros(600, bool)
    for made in (cleaned, restored):
        table = read_dataset(made)
        chosen = chosen_by_score(made, table)
        assert table.keys[chosen].tolist() == keys
        summary, whole = read_stage(made).summary, noise_summary(without_known(table, nobody))
        rest = noise_summary(without_known(table, chosen))
        assert summary["train_verified"] == whole["train_verified"] == rest["train_verified"] + 1
        for split in ("train", "validation"):  # a checked image of each was chosen by score
            for what in ("right", "checked"):
                name = f"{split}_noisy_{what}"
                assert summary[name] == rest[name] != whole[name]


def test_without_answers_nothing_was_chosen(tmp_path: Path) -> None:
    assert not chosen_by_score(tmp_path, TABLE).any()
    assert no_sample(tmp_path, TABLE, EVERY) is None
    (tmp_path / LOG).write_text("no table")
    with pytest.raises(NlcliError, match=r"cannot read .*verification.parquet: .*; make .* again"):
        chosen_by_score(tmp_path, TABLE)
