"""What the page says: the numbers, what is missing, and the rules of a stage."""

from __future__ import annotations

import html
import json
import re
import shutil
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.detection_files import CleanSet
from nlcli.data.label_files import read_dataset, write_dataset
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists
from nlcli.data.tag_detection_files import (
    VERIFIED,
    MeasuredEntries,
    MeasuredShare,
    MeasuredTags,
    TagCalibration,
    TagDetectionRecord,
    TagDetectionWriter,
    TagEntries,
    TagThreshold,
    VerifiedEntries,
    write_verified,
)
from nlcli.errors import NlcliError
from nlcli.reporting.cards import Card, with_pictures
from nlcli.reporting.config import Report
from nlcli.reporting.models import read_tables
from nlcli.reporting.write_page import read_detection, show_page, write_report
from nlcli.stages.lineage import describe_path
from nlcli.stages.stage import open_stage, read_stage
from worlds.made_detections import checked_table, made_dataset, made_detection
from worlds.reported import (
    HOSTILE,
    PLAIN,
    pictures,
    reported_answers,
    reported_dataset,
    reported_detection,
    whole_story,
)
from worlds.stage_builders import MakeConfig

IMAGES = 120


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return whole_story(tmp_path_factory.mktemp("story"), PLAIN)


def text_of(page: Path) -> str:
    """What a reader sees, with single spaces."""
    content = page.read_text(encoding="utf-8")
    content = re.sub(r"<(script|style|title)\b.*?</\1>", " ", content, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())


def attributes_of(content: str) -> set[str]:
    """The names of all attributes of all elements, as a browser reads them."""
    names: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names.update(name for name, _ in attrs)

    Reader().feed(content)
    return names


def made(given: list[Path], output: Path, **options: object) -> Path:
    return write_report(Report(directories=tuple(given), output=output, **options))  # type: ignore[arg-type]


# --- numbers ---------------------------------------------------------------------------------


def test_the_facts_are_those_of_a_count_by_hand(story: list[Path], tmp_path: Path) -> None:
    wrong = [i % 3 == 0 for i in range(IMAGES)]
    called = [wrong[i] != (i % 10 < 2) for i in range(IMAGES)]
    test = range(IMAGES // 2, IMAGES)
    hits = sum(wrong[i] and called[i] for i in test)
    looks_wrong, is_wrong = sum(called[i] for i in test), sum(wrong[i] for i in test)
    assert 0 < hits < looks_wrong < is_wrong + looks_wrong
    text = text_of(made(story, tmp_path / "page.html"))
    assert f"{sum(called)} of {IMAGES} labels look wrong" in text
    assert (
        f"Of {looks_wrong} checked labels that look so, {hits} are: {100 * hits / looks_wrong:.1f}".removesuffix(".0")
        in text
    )
    assert f"Of {is_wrong} that are so, {hits} are found: {100 * hits / is_wrong:.1f}".removesuffix(".0") in text
    assert "Measured on 60 checked images" in text
    changed = sum(called[: IMAGES // 2])
    assert f"{changed} labels were changed, 0 of them by a person's word." in text
    assert "12 images The most useful first" not in text
    assert "12 images What should be checked next?" in text
    assert "the 0th most useful Asked: cat." in text


def test_the_classifier_before_and_after(story: list[Path], tmp_path: Path) -> None:
    """The one of noisy labels comes first wherever it was given; without validation the choice says that it flatters."""
    text = text_of(made(story, tmp_path / "page.html"))
    accuracy = {}
    for path in story:
        if path.name.endswith("-test"):
            metrics = json.loads((path / "metrics.json").read_text())
            accuracy[metrics["name"]] = metrics["metrics"]["top_1"]["value"]
    assert accuracy["noisy"] < accuracy["residual"]
    before, after = (f"{100 * accuracy[name]:.1f} %" for name in ("noisy", "residual"))
    assert f"{before} → {after} What does the classifier reach?" in text
    assert "best of 3 on these very images, which flatters it" in text


@pytest.mark.parametrize(("metric", "best"), [("top_1", "residual"), ("scaled_log_loss", "noisy")])
def test_the_best_on_validation_is_the_highest_metric_or_the_lowest_loss(
    story: list[Path], tmp_path: Path, metric: str, best: str
) -> None:
    folder = tmp_path / "story"
    shutil.copytree(story[0].parent, folder, symlinks=True)
    for path in folder.iterdir():
        if path.name.endswith("-test"):
            metrics = json.loads((path / "metrics.json").read_text())
            value = {"noisy": 0.1, "residual": 0.9}.get(metrics["name"], 0.5)
            metrics["selection"]["selected_by"] = {"split": "validation", "metric": metric, "value": value}
            (path / "metrics.json").write_text(json.dumps(metrics))
    evaluations = [read_stage(path) for path in sorted(folder.iterdir()) if path.name.endswith("-test")]
    (table,) = read_tables(evaluations, [])
    assert table.chosen is not None
    assert table.chosen.after.label == best
    assert table.chosen.why == "best on validation images, and not chosen by these"
    given = sorted(path for path in folder.iterdir() if path.name.endswith("-test"))
    fact = read_stage(made(given, tmp_path / "page.html")).summary["facts"][2]
    told = " ".join(fact["told"])
    assert f"{best} is best on validation images" in told
    assert {"noisy (trained on the labels as they came): ", "residual: "} <= set(
        re.findall(r"noisy [^:]+: |residual: ", told)
    )


def test_probabilities_are_held_against_what_was_so(story: list[Path]) -> None:
    verdicts = read_detection(read_stage(story[1]), 12)
    reliability = verdicts.sorts[0].reliability
    assert reliability is not None
    # Two probabilities: about 0.15 and about 0.85.
    wrong = [i % 3 == 0 for i in range(60, 120)]
    called = [wrong[i - 60] != (i % 10 < 2) for i in range(60, 120)]
    right_of_right = sum(not w for w, c in zip(wrong, called, strict=True) if not c)
    assert [point.observed.whole for point in reliability.bins] == [sum(called), 60 - sum(called)]
    assert reliability.bins[1].observed.part == right_of_right
    assert reliability.count == 60


def test_suspects_are_the_worst_first(story: list[Path]) -> None:
    cards = read_detection(read_stage(story[1]), 12).cards
    probabilities = [change.wrong for card in cards for change in card.changes]
    assert len(cards) == 12
    assert probabilities == sorted(probabilities, reverse=True)  # type: ignore[type-var]
    assert all(
        change.new is not None and round(change.sure or 0, 5) == 0.8 for card in cards for change in card.changes
    )


def tag_detection(root: Path) -> Path:
    """A detection of tags of a data set of four checked images and four others."""
    classes = ("cat", "dog", "fox")
    keys, split = list("abcdefgh"), [0, 2, 2, 2, 2, 0, 0, 0]
    table = LabelTable(
        task="multi-label",
        classes=classes,
        keys=np.array(keys, object),
        paths=np.array([f"{key}.jpg" for key in keys], object),
        image_root=root / "photos",
        split=np.array(split, np.int8),
        noisy=matrix_from_lists(
            [[0], [0], [0], [1], [], [2], [], []], 3, [[1.0], [1.0], [1.0], [1.0], [], [1.0], [], []]
        ),
        present=matrix_from_lists([[], [], [0], [0, 1], [1], [], [], []], 3),
        absent=matrix_from_lists([[]] * 8, 3),
        verification=np.array([0, FULL, FULL, FULL, FULL, 0, 0, 0], np.uint8),
    )
    pictures(root / "photos", table.paths.tolist())
    with open_stage("dataset", MakeConfig(output=root / "data", size=8), {}) as stage:
        write_dataset(stage.work, table, {"name": "tags", "source": "made by a test"})
        stage.finish({"images": 8})
    rows = [  # key, split, class, given, probability, right, verified
        ("a", "train", 0, True, 0.02, False, -1),
        ("a", "train", 1, False, 0.97, False, -1),
        ("b", "test", 0, True, 0.1, False, 0),
        ("c", "test", 0, True, 0.2, False, 1),
        ("d", "test", 1, True, 0.9, True, 1),
        ("d", "test", 0, False, 0.7, False, 1),
        ("e", "test", 1, False, 0.3, True, 1),
        ("f", "train", 2, True, 0.3, False, -1),
    ]
    key, at, of_class, given, probability, right, verified = map(np.array, zip(*rows, strict=True))
    entries = TagEntries(
        keys=key.astype(object),
        splits=at.astype(object),
        classes=of_class,
        given=given,
        score=probability.astype(np.float32),
        probability=probability.astype(np.float32),
        right=right,
        verified=verified.astype(np.int8),
    )
    checked = entries.at(np.flatnonzero(at == "test"))
    share = partial(MeasuredShare, value=0.5, interval=(0.1, 0.9))
    kinds = {"given": 5, "missing": 3}
    threshold = TagThreshold(value=0.5, chosen_on="given")
    curve = TagCalibration(curve="none", entries=0, positives=0)
    of_given = MeasuredTags(
        entries=3, wrong=1, called=2, precision=share(count=1, whole=2), recall=share(count=1, whole=1)
    )
    of_missing = MeasuredTags(
        entries=9, wrong=2, called=1, precision=share(count=1, whole=1), recall=share(count=1, whole=2)
    )
    info = TagDetectionRecord(
        task="multi-label",
        method="margin",
        title="made",
        options={},
        seed=0,
        classes=classes,
        uses_verification=True,
        floor=0.1,
        others=10,
        thresholds=dict.fromkeys(("given", "missing"), threshold),
        calibration=dict.fromkeys(("given", "missing"), curve),
        clean=CleanSet(images=0, keys="", fraction=1.0, seed=0),
        images={"train": 4, "test": 4},
        entries=kinds,
        called={"given": {}, "missing": {}},
        images_without_features=0,
        measured=MeasuredEntries(
            split="test",
            images=4,
            cross_fitted=False,
            given=of_given,
            missing=of_missing,
            error=share(count=2, whole=12),
            naive_error=share(count=3, whole=12),
        ),
        planted=None,
        notes={},
        remarks=("made by <hand>",),
        dataset_fingerprint="",
        backbone_fingerprint="",
    )
    with open_stage("detection", MakeConfig(output=root / "tags"), {"dataset": read_stage(root / "data")}) as stage:
        with TagDetectionWriter(stage.work, classes) as writer:
            writer.write(entries)
        known = VerifiedEntries(
            keys=checked.keys,
            splits=checked.splits,
            classes=checked.classes,
            given=checked.given,
            present=checked.verified == 1,
            score=checked.score,
            probability=checked.probability,
            called_present=checked.right == checked.given,
        )
        write_verified(stage.work / VERIFIED, known, classes)
        info.write(stage.work / "detection.json")
        stage.finish({})
    return root / "tags"


def test_entries_of_several_labels(tmp_path: Path) -> None:
    """A card an image, wrong and missing tags told apart; how sure it is is what the detection measured."""
    detection = tag_detection(tmp_path)
    verdicts = read_detection(read_stage(detection), 12)
    wrong, missing = verdicts.sorts
    assert (wrong.looked_at, wrong.called, wrong.checked) == (5, 4, 3)
    assert (missing.looked_at, missing.called, missing.checked) == (3, 2, 9)
    assert wrong.reliability is not None
    assert [point.observed.part for point in wrong.reliability.bins] == [0, 1, 1]  # of 0.1, 0.2 and 0.9
    assert [card.key for card in verdicts.cards] == ["a", "b", "c", "d", "f"]
    assert [(change.old, change.new) for change in verdicts.cards[0].changes] == [("cat", None), (None, "dog")]
    assert verdicts.cards[2].changes[0].checked == "checked: right"
    assert verdicts.cards[1].changes[0].checked == "checked: wrong"
    assert verdicts.cards[3].changes[0].checked == "checked: it is there"
    page = made([detection], tmp_path / "page.html")
    text = text_of(page)
    assert (
        "4 of 5 tags look wrong (80.0 %). 2 of 3 tags that are not given look as if they were missing (66.7 %)." in text
    )
    assert "Wrong tags: of 2 checked tags that look so, 1 are: 50.0 % [10.0, 90.0]." in text
    assert "Of the checked tags, given or not, 25.0 % [10.0, 90.0] are wrong; believing the detector, 16.7 %" in text
    assert "Made by <hand>." in text
    assert page.read_text(encoding="utf-8").count("<img ") == 5, "paths are looked up in the data set"


def test_answers_are_told_with_what_was_expected(story: list[Path], tmp_path: Path) -> None:
    """By hand from ``ANSWERED``: 16 of 30 labels that looked wrong, 18 of 60 random ones; both rounds in a table."""
    text = text_of(made(story, tmp_path / "page.html"))
    begins, ends = text.index("Answers were taken in 2 times"), text.index("3 images were skipped")
    told = text[begins:ends]
    assert "90 images became known, by 85 classes that are there and 5 that are not, from 2 people." in told
    assert "Wrong labels: 30.0 % [20.0, 50.0] of the 100 images that nobody had checked, by 60 that were drawn" in told
    assert "agree on 92.0 % of 25 answers; Cohen's kappa 0.875; Krippendorff's alpha 0.871." in told
    assert "errors 30 20.0 16 53.3 % [30.0, 90.0]" in told
    assert "random 60 15.0 18 30.0 % [20.0, 50.0]" in told
    assert "1 50 50 30.0 35 40.0 % [20.0, 50.0] of 20" in told
    assert "2 90 90 35.0 34 30.0 % [20.0, 50.0] of 60" in told
    assert "60 answered labels; on average 5.0 % apart." in told  # (40 |2 - 4| / 40 + 20 |16 - 15| / 20) / 60
    assert "bob 20 ann 10" in told
    assert "90 answered, 3 skipped." in told
    assert "30.0 % [20.0, 50.0] of the 100 images that nobody had checked are wrong, by 60 of them" in text[:begins]


def test_answers_without_a_sample_or_a_second_person(tmp_path: Path) -> None:
    """What cannot be told of answers is said to be unknown, on the page and in the first fact."""
    from nlcli.answers.verification_record import VERIFICATION, VerificationRecord

    data = reported_dataset(tmp_path, PLAIN, 24)
    answered = reported_answers(tmp_path, read_dataset(data))
    record = VerificationRecord.read(answered / VERIFICATION)
    nothing = {"rates": (), "agreement": None, "found": (), "by_probability": ()}
    record.model_copy(update=nothing).write(answered / VERIFICATION)
    text = text_of(made([answered], tmp_path / "page.html"))
    assert "No share of wrong labels: no answered image is known to have been drawn at random" in text
    assert "How far people agree is not known: nothing was answered by two." in text
    assert "Expected against found is not known" in text
    assert "2 90 0 – 0 none drawn" in text
    assert "drawn at random and checked" not in text


def test_tags_of_one_kind_alone_are_called_tags(tmp_path: Path) -> None:
    """Nine checked tags of four images: where only missing ones are measured they are no images, nor labels."""
    detection = tag_detection(tmp_path)
    said = TagDetectionRecord.read(detection / "detection.json")
    nothing = MeasuredShare(value=None, interval=None, count=0, whole=0)
    given = said.measured.given.model_copy(update={"called": 0, "precision": nothing})
    measured = said.measured.model_copy(update={"given": given})
    said.model_copy(update={"measured": measured}).write(detection / "detection.json")
    text = text_of(made([detection], tmp_path / "page.html"))
    assert "Missing tags: of 1 checked tags that look so, 1 are:" in text
    assert "Measured on 9 checked tags that had no part in finding them." in text


# --- what is missing is said -----------------------------------------------------------------


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    text = text_of(made([reported_dataset(tmp_path, PLAIN, 24)], tmp_path / "page.html"))
    for sentence in (
        "There is no detection of wrong labels (nlcli detect-noise).",
        "There are no cleaned labels (nlcli clean-labels).",
        "There is no evaluation of a classifier",
        "There is no learning curve",
        "There is no queue of images to check next (nlcli suggest).",
        "There are no answers of people to what suggest asked (nlcli suggest, then nlcli import-verification).",
    ):
        assert sentence in text
    assert "nothing has looked for the others yet." in text


def test_few_checked_images_are_not_to_be_trusted(tmp_path: Path) -> None:
    dataset = reported_dataset(tmp_path, PLAIN, 60)
    detection = reported_detection(tmp_path, read_dataset(dataset))
    text = text_of(made([detection], tmp_path / "page.html"))
    assert "So few (30) are not to be trusted; 50 are the least." in text
    assert "Take this number with care." in text


def test_a_data_set_that_is_gone_is_named(tmp_path: Path) -> None:
    dataset = reported_dataset(tmp_path, PLAIN, 60)
    detection = reported_detection(tmp_path, read_dataset(dataset))
    shutil.rmtree(dataset)
    text = text_of(made([detection], tmp_path / "page.html"))
    assert "Its dataset is no longer there." in text
    assert "There is no data set: labels are not counted, and pictures are not shown." in text


def test_a_folder_of_pictures_that_is_gone_is_said(tmp_path: Path) -> None:
    dataset = reported_dataset(tmp_path, PLAIN, 60)
    detection = reported_detection(tmp_path, read_dataset(dataset))
    shutil.rmtree(tmp_path / "photos")
    page = made([detection], tmp_path / "page.html")
    assert "The folder with the data set's pictures is no longer there" in text_of(page)
    assert read_stage(page).summary["pictures"] == 0


def test_pictures_that_were_replaced_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = reported_dataset(tmp_path, PLAIN, 60)
    detection = reported_detection(tmp_path, read_dataset(dataset))
    (tmp_path / "photos" / "004.jpg").write_bytes(b"another")
    made([detection], tmp_path / "page.html")
    assert (
        f"warning: 1 of 60 pictures were replaced, or copied with new times, since {dataset}" in capsys.readouterr().err
    )


def test_pictures_that_cannot_be_read_are_said_to_be_so(story: list[Path], tmp_path: Path) -> None:
    page = made(story, tmp_path / "page.html")
    summary = read_stage(page).summary
    content = page.read_text(encoding="utf-8")
    assert summary["pictures"] == content.count('src="data:image/jpeg;base64,')
    assert summary["pictures_unreadable"] == content.count(">cannot be read<") >= 1


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "nul\0.jpg", "none.jpg"])
def test_no_picture_from_elsewhere(tmp_path: Path, path: str) -> None:
    pictures(tmp_path, ["secret.jpg"])
    (tmp_path / "photos").mkdir()
    cards = with_pictures([Card(key="k", path=path)], None, tmp_path / "photos")
    assert cards[0].picture is None


def test_labels_that_nobody_has_looked_at_come_first(tmp_path: Path) -> None:
    """Of four labels that look wrong the two worst were checked: they stand behind the others."""
    table = checked_table([0] * 5, [1] * 5, [0] * 5, [True, True, False, False, False])
    dataset = made_dataset(tmp_path / "data", table)
    detection = made_detection(tmp_path / "d", dataset, table, [0.1, 0.2, 0.3, 0.4, 0.9])
    cards = read_detection(read_stage(detection), 3).cards
    assert [card.key for card in cards] == ["k02", "k03", "k00"]


def test_at_most_so_many_pictures(story: list[Path], tmp_path: Path) -> None:
    page = made(story, tmp_path / "page.html", thumbnails=12)
    assert page.read_text(encoding="utf-8").count("<img ") <= 12
    assert read_stage(page).summary["pictures"] + read_stage(page).summary["pictures_unreadable"] == 12


def test_the_facts_are_printed_with_places(
    story: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = made(story, tmp_path / "page.html")
    show_page([page])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("?")[0] for line in lines[:5]] == [
        "How many labels look wrong",
        "How sure is that",
        "What does the classifier reach",
        "Where are the cleaned labels",
        "What should be checked next",
    ]
    assert lines[3].endswith(f"It lies in {story[0].parent / 'cleaned'}.")


# --- hostile input ---------------------------------------------------------------------------


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    page = made(whole_story(tmp_path, HOSTILE), tmp_path / "page.html", title="</title><script>1</script>")
    content = page.read_text(encoding="utf-8")
    assert len(re.findall(r"<script\b", content)) == 2
    assert "onerror='" not in content
    assert "\u202e" not in content
    assert "\x1b" not in content
    assert "{{ 7 * 7 }}" in content, "what looks like a template is text"
    assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", content)
    attributes = attributes_of(content)
    assert {"class", "src", "href", "data-sort"} <= attributes
    assert not {name for name in attributes if name == "style" or name.startswith("on")}
    record = re.search(r'id="nlcli-record">(.*?)</script>', content, re.DOTALL)
    assert record is not None
    assert "<" not in record[1]


def test_the_policy_names_what_is_there(story: list[Path], tmp_path: Path) -> None:
    import base64
    import hashlib

    content = made(story, tmp_path / "page.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', content)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    for element in ("style", "script"):
        inside = re.search(rf"<{element}>(.*?)</{element}>", content, re.DOTALL)
        assert inside is not None
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy[1]
    assert content.index("Content-Security-Policy") < 1024


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    dataset = reported_dataset(tmp_path, PLAIN, 60)
    detection = reported_detection(tmp_path, read_dataset(dataset))
    noise = detection / "noise.parquet"
    whole = noise.read_bytes()
    noise.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NlcliError, match=r"cannot read .*noise\.parquet"):
        made([detection], tmp_path / "page.html")
    noise.write_bytes(whole)
    table = pq.read_table(noise)
    for name, values, words in (("score", ["a"], "numbers"), ("label", [["a"]], "text"), ("key", [b"a"], "text")):
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, pa.array(values * len(table))), noise)
        with pytest.raises(NlcliError, match=rf"column '{name}' does not hold {words}"):
            made([detection], tmp_path / "page.html")
    pq.write_table(pa.table({"key": ["a"]}), noise)
    with pytest.raises(NlcliError, match=r"noise\.parquet has no column 'path'"):
        made([detection], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_cells_that_are_empty(tmp_path: Path) -> None:
    """Whatever is null, or no number, is not told."""
    dataset = reported_dataset(tmp_path, PLAIN, 60)
    detection = reported_detection(tmp_path, read_dataset(dataset))
    table = pq.read_table(detection / "noise.parquet")
    for name in ("key", "path", "split", "label", "verified", "measured", "suggested"):
        kind = pa.array([None] * len(table), pa.string())
        table = table.set_column(table.column_names.index(name), name, kind)
    for name in ("score", "probability", "suggested_probability"):
        kind = pa.array([float("nan")] * len(table), pa.float32())
        table = table.set_column(table.column_names.index(name), name, kind)
    pq.write_table(table, detection / "noise.parquet", row_group_size=7)
    text = text_of(made([detection], tmp_path / "page.html"))
    assert "nan" not in text
    assert "No checked image is left to measure it on: it cannot be known." in text


def test_a_page_is_a_stage_of_a_pipeline(tmp_path: Path) -> None:
    from nlcli.stages.pipeline import read_pipeline

    pipeline = "name: p\nstages:\n- {name: data, run: build-folders, with: {images: photos}}\n"
    pipeline += "- {name: report.html, run: report, with: {directories: ['${*}']}}\n"
    (tmp_path / "p.yaml").write_text(pipeline)
    step = read_pipeline(tmp_path / "p.yaml", tmp_path / "work").steps[-1]
    assert step.output == tmp_path / "work" / "report.html"
    assert step.needs == ("data",)
    (tmp_path / "p.yaml").write_text(pipeline.replace("report.html", "report"))
    assert read_pipeline(tmp_path / "p.yaml", tmp_path / "work").steps[-1].output == step.output


# --- the rules of a stage --------------------------------------------------------------------


def test_the_same_bytes_again(story: list[Path], tmp_path: Path) -> None:
    page = made(story, tmp_path / "page.html")
    before = page.read_bytes()
    page.unlink()
    assert made(story, tmp_path / "page.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_up_to_date_refused_and_replaced(story: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = made(story, tmp_path / "page.html")
    written = page.stat().st_mtime_ns
    assert made(story, tmp_path / "page.html").stat().st_mtime_ns == written
    assert "is up to date" in capsys.readouterr().err
    other = Report(directories=tuple(story), output=page, thumbnails=24)
    with pytest.raises(NlcliError, match=r"differs in thumbnails 60 -> 24.*--force"):
        write_report(other)
    write_report(other, force=True)
    assert read_stage(page, "page").config["thumbnails"] == 24


def test_what_nlcli_did_not_make_stays(story: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    page.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(NlcliError, match="was not made by nlcli"):
        write_report(Report(directories=tuple(story), output=page), force=True)
    assert "mine" in page.read_text()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(NlcliError, match="is a folder"):
        made(story, tmp_path / "folder.html")
    with pytest.raises(NlcliError, match=r"its name ends in \.html"):
        Report.parse({"directories": story, "output": tmp_path / "page"})


def test_its_history_is_told(story: list[Path], tmp_path: Path) -> None:
    page = made(story, tmp_path / "page.html")
    told = describe_path(page)
    assert told["stage"] == "page"
    assert {entry["state"] for entry in told["inputs"].values()} == {"unchanged"}
    text = text_of(page)
    assert "The command that made it is not known here." in text, "the stages of tests have none"
    assert "nlcli detect-noise" in text
    with pytest.raises(NlcliError, match="expected a run directory"):
        read_stage(page, "run")


def test_a_folder_of_stages_is_all_of_them(story: list[Path], tmp_path: Path) -> None:
    page = made([story[0].parent], tmp_path / "page.html")
    assert read_stage(page).summary["models"] == 3
    with pytest.raises(NlcliError, match="no folder in it was"):
        made([tmp_path], tmp_path / "other.html")
    with pytest.raises(NlcliError, match="nothing to report"):
        made([], tmp_path / "other.html")
