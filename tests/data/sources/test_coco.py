"""build-coco: labels, splits, what is left out, and every kind of input that is not as it should be."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.class_map import read_class_map
from nlcli.data.config import BuildCoco
from nlcli.data.label_files import read_dataset
from nlcli.data.sources.coco import build_coco, halve
from nlcli.data.sources.coco_annotations import read_instances
from nlcli.data.statistics_tables import show_dataset
from nlcli.errors import NlcliError
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage
from worlds.coco import WrittenClassifier, ranked, write_images, write_world

annotating = importlib.import_module("nlcli.data.annotate")  # ``nlcli.annotate`` is the stage's function


def change(config: BuildCoco, **values: Any) -> BuildCoco:
    return BuildCoco(**(config.model_dump() | values))


def edit(path: Path, how: Any) -> None:
    content = json.loads(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def rows_of(table: Any) -> dict[str, tuple[list[str], list[str]]]:
    """Key -> names of its noisy and its verified classes."""

    def names(matrix: Any, row: int) -> list[str]:
        return [table.classes[c] for c in np.flatnonzero(matrix[[row]].toarray()[0])]

    return {key: (names(table.noisy, row), names(table.present, row)) for row, key in enumerate(table.keys)}


def test_labels_are_those_worked_out_by_hand(tmp_path: Path, classifier: WrittenClassifier, capsys) -> None:
    output = build_coco(write_world(tmp_path))
    assert capsys.readouterr().out == ""  # pycocotools prints to standard output
    table = read_dataset(output)
    # Category order, not that of the class map; person is no target of it.
    assert table.classes == ("cat", "dog", "cup")
    assert table.groups == ("animal", "animal", "kitchen")
    rows = rows_of(table)
    train = {key: rows[key] for key in table.keys[table.rows("train")]}
    assert train == {
        "train2014/train00.png": (["cat"], ["cat"]),  # ladle is unmapped; two cats are one label
        "train2014/train01.png": (["dog"], ["dog"]),  # a crowd shows the class; beagle and spaniel are both dogs
        "train2014/train02.png": (["cup"], []),
        "train2014/train03.png": (["cat", "cup"], ["dog", "cup"]),
    }
    assert all(rows[f"val2014/val{n:02d}.png"][0] == ["cat", "dog"] for n in range(4, 10))
    assert rows["val2014/val06.png"][1] == []
    # probabilities of logits 6, 5, 4, 3, 2, 1: the better of beagle and spaniel counts
    powers = np.exp(np.arange(6, 0, -1.0))
    row = table.keys.tolist().index("train2014/train01.png")
    assert table.noisy[[row]].toarray()[0] == pytest.approx([0, powers[0] / powers.sum(), 0], abs=1e-6)
    assert (table.verification == 2).all()
    assert table.absent.nnz == 0
    assert all(table.image_path(row).is_file() for row in range(len(table)))


def test_statistics_of_the_small_world(tmp_path: Path, classifier: WrittenClassifier, capsys) -> None:
    output = build_coco(write_world(tmp_path))
    statistics = read_json(output / "statistics.json")
    train = statistics["splits"]["train"]
    assert train["images"] == 4
    assert train["clean"] == {"annotations": 4, "labels_per_image": 1.0, "images_per_label": pytest.approx(4 / 3)}
    assert train["noisy"]["annotations"] == 5
    assert (train["precision"], train["recall"]) == (3 / 5, 3 / 4)
    assert train["macro_precision"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert train["macro_recall"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert statistics["annotations"]["train"] == {"objects": 6, "crowds": 1, "images": 4}
    assert statistics["dropped"]["train"] == {
        "listed": 4,
        "kept": 4,
        "missing": 0,
        "unreadable": 0,
        "no noisy label": 0,
    }
    assert "published" not in statistics
    assert (output / "class_statistics.png").read_bytes()[:4] == b"\x89PNG"
    show_dataset([output])
    assert "60.0 %" in capsys.readouterr().out


@pytest.mark.parametrize(("editions", "told"), [(("2014", "2014"), False), (("2014", "2017"), True)])
def test_the_edition_is_recorded_and_another_than_that_of_the_papers_is_told(
    tmp_path: Path, classifier: WrittenClassifier, capsys, editions: tuple[str, str], told: bool
) -> None:
    config = write_world(tmp_path)
    for part, edition in zip(("train", "val"), editions, strict=True):
        for path in (tmp_path / f"{part}2014").iterdir():
            path.rename(path.with_name(f"COCO_{part}{edition}_{int(path.stem[-2:]):012d}.jpg"))

        def rename(content: Any, part: str = part, edition: str = edition) -> None:
            for image in content["images"]:
                image["file_name"] = f"COCO_{part}{edition}_{image['id'] - 100:012d}.jpg"

        edit(tmp_path / f"instances_{part}.json", rename)
    output = build_coco(config)
    assert read_json(output / "dataset.json")["editions"] == sorted(set(editions))
    assert ("the pictures are of MS-COCO 2014 and 2017, which splits them otherwise" in capsys.readouterr().err) is told


def test_images_without_a_noisy_label_are_dropped_after_the_halving(
    tmp_path: Path, classifier: WrittenClassifier
) -> None:
    config = write_world(tmp_path)
    whole = read_dataset(build_coco(config))
    classifier.logits[5] = ranked(4)  # ladle, which means nothing, as the best one of train02 does
    fewer = build_coco(change(config, output=tmp_path / "fewer", top_k=1))
    table = read_dataset(fewer)
    split = dict(zip(whole.keys, whole.split, strict=True))
    dropped = {"train2014/train02.png", "val2014/val05.png"}
    assert set(whole.keys) - set(table.keys) == dropped
    assert all(split[key] == code for key, code in zip(table.keys, table.split, strict=True))
    with open(fewer / "dropped.csv", newline="") as file:
        listed = {row["key"]: (row["split"], row["reason"]) for row in csv.DictReader(file)}
    names = ("train", "validation", "test")
    assert listed == {key: (names[split[key]], "no noisy label") for key in dropped}


def test_halves_are_halves_by_seed_and_not_by_the_order_in_the_file(
    tmp_path: Path, classifier: WrittenClassifier
) -> None:
    assert halve(40_504, 0).sum() == 20_252
    assert halve(5, 3).sum() == 2
    assert not np.array_equal(halve(100, 0), halve(100, 1))
    config = write_world(tmp_path)
    before = read_dataset(build_coco(config))
    edit(config.val_annotations, lambda content: content["images"].reverse())
    edit(config.val_annotations, lambda content: content["annotations"].reverse())
    after = read_dataset(build_coco(change(config, output=tmp_path / "reversed")))
    assert rows_of(before) == rows_of(after)
    assert before.split.tolist() == after.split.tolist()
    assert [len(before.rows(name)) for name in ("train", "validation", "test")] == [4, 3, 3]


def test_another_k_or_class_map_needs_no_second_pass(tmp_path: Path, classifier: WrittenClassifier) -> None:
    config = write_world(tmp_path)
    build_coco(config)
    assert classifier.seen == 10
    with pytest.raises(NlcliError, match="top_k 2 -> 3"):
        build_coco(change(config, top_k=3))
    wider = read_dataset(build_coco(change(config, top_k=3), force=True))
    assert rows_of(wider)["train2014/train00.png"][0] == ["cat", "dog"]
    (tmp_path / "other.csv").write_text(
        "source_index,source_id,source_name,target_name\n4,,ladle,cup\n0,,tabby,cat\n1,,beagle,dog\n"
    )
    other = build_coco(change(config, class_map=str(tmp_path / "other.csv")), force=True)
    assert rows_of(read_dataset(other))["train2014/train00.png"][0] == ["cat", "cup"]
    assert classifier.seen == 10
    assert read_stage(other).config["predictions"] is None  # the default place


def test_up_to_date_without_reading_the_annotations(tmp_path: Path, classifier, monkeypatch) -> None:
    config = write_world(tmp_path)
    build_coco(config)
    monkeypatch.setattr("nlcli.data.sources.coco.read_instances", lambda path: pytest.fail("read again"))
    build_coco(config)


def test_a_killed_annotation_goes_on_where_it_was(tmp_path: Path, classifier, monkeypatch) -> None:
    monkeypatch.setattr(annotating, "PART_IMAGES", 4)
    config = write_world(tmp_path)
    classifier.fail_after = 6
    with pytest.raises(KeyboardInterrupt):
        build_coco(config)
    classifier.fail_after, classifier.seen = None, 0
    resumed = build_coco(config)
    assert classifier.seen == 6  # the first part of four was kept
    whole = build_coco(change(config, output=tmp_path / "whole"))
    assert read_stage(resumed).fingerprint == read_stage(whole).fingerprint


def test_missing_images_are_refused_or_left_out_loudly(tmp_path: Path, classifier, capsys) -> None:
    config = write_world(tmp_path)
    (config.val_images / "val05.png").unlink()
    with pytest.raises(NlcliError, match=r"1 of 6 images listed in .* \(val05.png\); .*--allow-missing 0.17"):
        build_coco(config)
    assert classifier.seen == 0
    table = read_dataset(build_coco(change(config, allow_missing=0.17)))
    assert "val2014/val05.png" not in table.keys
    assert "1 of 6 images" in capsys.readouterr().err
    dropped = read_json(tmp_path / "out" / "statistics.json")["dropped"]
    assert [dropped[name]["missing"] for name in ("train", "validation", "test")] in ([0, 1, 0], [0, 0, 1])
    assert "val2014/val05.png" in (tmp_path / "out" / "dropped.csv").read_text()


def test_unlisted_and_broken_images(tmp_path: Path, classifier, capsys) -> None:
    config = write_world(tmp_path)
    write_images(config.train_images, "extra", [7])
    (config.train_images / "train01.png").write_bytes(b"")
    table = read_dataset(build_coco(config))
    assert classifier.seen == 9  # neither the unlisted nor the empty one
    err = capsys.readouterr().err
    assert "1 images in" in err
    assert "extra07.png" in err
    assert "1 of 10 images could not be read (train2014/train01.png: the file is empty)" in err
    assert len(table) == 9
    statistics = read_json(tmp_path / "out" / "statistics.json")
    assert statistics["dropped"]["train"]["unreadable"] == 1
    assert statistics["unlisted_images"] == {str(config.train_images): 1, str(config.val_images): 0}


def test_both_splits_may_share_a_folder(tmp_path: Path, classifier) -> None:
    config = write_world(tmp_path)
    for path in config.val_images.iterdir():
        path.rename(config.train_images / path.name)
    table = read_dataset(build_coco(change(config, val_images=config.train_images)))
    assert set(table.keys) == {f"train2014/train{n:02d}.png" for n in range(4)} | {
        f"train2014/val{n:02d}.png" for n in range(4, 10)
    }
    content = json.loads(config.val_annotations.read_text())
    content["images"][0]["file_name"] = "train00.png"
    config.val_annotations.write_text(json.dumps(content))
    with pytest.raises(NlcliError, match=r"listed both in .*train2014/train00.png"):
        build_coco(change(config, val_images=config.train_images, output=tmp_path / "twice"))


def test_two_editions_are_refused_before_the_classifier_looks(tmp_path: Path, classifier: WrittenClassifier) -> None:
    config = write_world(tmp_path)
    old, new = "COCO_train2014_000000000100.jpg", "000000000100.jpg"
    shutil.copy(tmp_path / "train2014/train00.png", tmp_path / "train2014" / old)
    shutil.copy(tmp_path / "train2014/train00.png", tmp_path / "val2014" / new)
    edit(config.train_annotations, _set("images", "file_name", old))
    edit(config.val_annotations, _set("images", "file_name", new))
    with pytest.raises(NlcliError, match=f"{old}' .*train.* and .*{new}' .* are one picture in two editions of COCO"):
        build_coco(config)
    assert classifier.seen == 0


def _set(part: str, field: str, value: Any, index: int = 0) -> Any:
    return lambda content: content[part][index].__setitem__(field, value)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda c: c.pop("annotations"), "there is no list 'annotations'"),
        (lambda c: c.__setitem__("images", {}), "there is no list 'images'"),
        (lambda c: c["annotations"][1].pop("category_id"), r"annotations\[1\] has no 'category_id'"),
        (lambda c: c["images"].__setitem__(2, "x.jpg"), r"images\[2\] is not an object"),
        (_set("images", "file_name", 7), r"images\[0\]: 'file_name' is '7', expected a text"),
        (_set("annotations", "image_id", "101"), r"annotations\[0\]: 'image_id' is '101', expected a whole number"),
        (_set("annotations", "image_id", True), "expected a whole number"),
        (_set("annotations", "image_id", 10**30), "too large"),
        (_set("annotations", "image_id", 5), r"annotation 1 names image_id 5, but no such image is listed;"),
        (_set("annotations", "category_id", 91), "annotation 1 names category_id 91, but no such category"),
        (_set("images", "id", 101), "image id 101 is listed twice"),
        (_set("images", "file_name", "train01.png"), "image file name 'train01.png' is listed twice"),
        (_set("categories", "name", "cat"), "category name 'cat' is listed twice"),
        (_set("categories", "id", 17), "category id 17 is listed twice"),
        (_set("images", "file_name", "../secret.png"), "leads out of the image folder"),
        (_set("images", "file_name", "a/../../b.png"), "leads out of the image folder"),
        (_set("images", "file_name", "/etc/passwd"), "leads out of the image folder"),
        (_set("images", "file_name", "..\\b.png"), "leads out of the image folder"),
        (_set("images", "file_name", "C:b.png"), "leads out of the image folder"),
        (_set("images", "file_name", "a\x00.png"), "leads out of the image folder"),
        (_set("images", "file_name", ""), "leads out of the image folder"),
    ],
)
def test_annotations_that_are_not_as_they_should_be(tmp_path: Path, damage: Any, sentence: str) -> None:
    config = write_world(tmp_path)
    edit(config.train_annotations, damage)
    with pytest.raises(NlcliError, match=sentence) as caught:
        read_instances(config.train_annotations)
    assert str(config.train_annotations) in str(caught.value)


def test_names_with_dots_and_subfolders_stay_inside(tmp_path: Path) -> None:
    config = write_world(tmp_path)
    edit(config.train_annotations, _set("images", "file_name", "sub/a..b.png"))
    assert "sub/a..b.png" in read_instances(config.train_annotations).names


def test_malformed_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text('{"images": [],\n "annotations": [}\n')
    with pytest.raises(NlcliError, match="line 2, column 18"):
        read_instances(path)
    path.write_text("[1, 2]")
    with pytest.raises(NlcliError, match="expected COCO's object"):
        read_instances(path)


def test_instances_agree_with_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    config = write_world(tmp_path)
    instances = read_instances(config.val_annotations)
    coco = COCO(str(config.val_annotations))
    for category, rows in instances.shown.items():
        expected = {coco.loadImgs([i])[0]["file_name"] for i in coco.getImgIds(catIds=[category])}
        assert {instances.names[row] for row in rows} == expected
    assert instances.objects == len(coco.getAnnIds())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0,,tabby,cats", r"unknown category 'cats'; did you mean 'cat'\?"),
        ("7,,lynx,cat", "source index 7 .* is beyond the classifier's 6 classes"),
        ("4,,spatula,cup", "source index 4 is 'spatula', but the classifier calls that class 'ladle'"),
        ("0,,Tabby!,cat\n0,,tabby,dog", "source_index 0 is already mapped in line 2"),
    ],
)
def test_class_maps_that_do_not_fit(tmp_path: Path, classifier, line: str, sentence: str) -> None:
    config = write_world(tmp_path)
    (tmp_path / "map.csv").write_text(f"source_index,source_id,source_name,target_name\n{line}\n")
    with pytest.raises(NlcliError, match=sentence):
        build_coco(config)
    assert classifier.seen == 0


def test_too_few_predictions_or_labels(tmp_path: Path, classifier) -> None:
    config = write_world(tmp_path)
    with pytest.raises(NlcliError, match="--top-k 5 needs as many predictions, but --keep is 4"):
        build_coco(change(config, top_k=5))
    classifier.logits[4:] = np.array([-9, -9, -9, -9, 9, -9], np.float32)
    with pytest.raises(NlcliError, match="no image of the validation split has a noisy label"):
        build_coco(change(config, top_k=1))


def test_a_missing_folder_is_named(tmp_path: Path, classifier) -> None:
    config = write_world(tmp_path)
    with pytest.raises(NlcliError, match="image folder .*nowhere does not exist"):
        build_coco(change(config, val_images=tmp_path / "nowhere"))


def test_published_counts_stand_beside_full_coco(tmp_path: Path, classifier, monkeypatch, capsys) -> None:
    from nlcli.data.statistics import published_coco

    small = published_coco() | {"listed_images": {"train": 4, "val": 6}, "classes": 3}
    monkeypatch.setattr("nlcli.data.sources.coco.published_coco", lambda: small)
    output = build_coco(write_world(tmp_path))
    show_dataset([output])
    shown = capsys.readouterr().out
    assert "150,854" in shown
    # Section 4.1: 101,690 images, 170,476 noisy labels; of the clean ones the paper states no sum.
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    (place,) = (i for i, row in enumerate(rows) if row[:2] == ["published", "101,690"])
    assert rows[place][2:] == ["clean", "-", "-", "-"]
    assert rows[place + 2][2:] == ["noisy", "170,476", "-", "-"]


def test_shipped_map_has_the_56_classes() -> None:
    class_map = read_class_map("imagenet-coco56")
    assert len(class_map.targets) == 56
    assert len(class_map.source_index) == 306
    names = dict(zip(class_map.source_name, class_map.target_name, strict=True))
    assert (names["tabby"], names["golden_retriever"], names["soup_bowl"]) == ("cat", "dog", "bowl")


def test_shipped_map_is_for_the_imagenet_classifiers() -> None:
    from nlcli.data.sources.coco import check_class_map
    from nlcli.networks.imagenet import imagenet_classes

    check_class_map(read_class_map("imagenet-coco56"), imagenet_classes())


@pytest.mark.slow
def test_real_photographs(tmp_path: Path, shared_data: Path) -> None:
    """MobileNetV2 on 483 COCO photographs, 56 classes, top 8: see the counts in the data's description."""
    sample = shared_data / "coco_sample"
    output = build_coco(
        BuildCoco(
            train_images=sample / "images" / "train",
            val_images=sample / "images" / "val",
            train_annotations=sample / "annotations" / "instances_train.json",
            val_annotations=sample / "annotations" / "instances_val.json",
            output=tmp_path / "coco",
            classifier="mobilenet_v2",
            weights=str(shared_data / "weights" / "mobilenetv2_imagenet1k.weights.h5"),
        )
    )
    statistics = read_json(output / "statistics.json")
    everything = statistics["splits"]["all"]
    assert sum(split["listed"] for split in statistics["dropped"].values()) == 483
    assert everything["images"] > 400
    assert 0.43 < everything["precision"] < 0.50
    assert everything["noisy"]["annotations"] / 483 == pytest.approx(1.8, abs=0.1)
    # Both of images that are dropped and of those that are not: 2.23 verified labels an image, 63 % missed.
    table = read_dataset(output)
    verified = 0
    for split in ("train", "val"):
        instances = read_instances(sample / "annotations" / f"instances_{split}.json")
        verified += sum(len(instances.shown[instances.categories[name][0]]) for name in table.classes)
    right = sum(entry["noisy_right"] for entry in statistics["classes"])
    assert verified / 483 == pytest.approx(2.23, abs=0.05)
    assert 1 - right / verified == pytest.approx(0.63, abs=0.02)
    assert (tmp_path / "coco-predictions" / "part-00000.parquet").is_file()


def test_a_limit_takes_the_same_images_with_the_same_labels(tmp_path: Path, classifier, capsys) -> None:
    config = write_world(tmp_path)
    whole = rows_of(read_dataset(build_coco(config)))
    capsys.readouterr()
    keys = []
    for limit in (2, 3):
        limited = read_dataset(build_coco(change(config, limit=limit, output=tmp_path / f"limit-{limit}")))
        labels = rows_of(limited)
        assert all(labels[key] == whole[key] for key in labels)
        assert np.sum(limited.split == 0) <= limit
        keys.append(set(labels))
    assert keys[0] < keys[1] < set(whole)
    assert "not listed" not in capsys.readouterr().err
