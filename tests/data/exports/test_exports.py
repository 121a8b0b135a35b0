"""Exports read back: by the libraries they are for, and by the sources as the data set they were made of."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

import nlcli
from nlcli.data.exports import FOLDER, Format, write_exports
from nlcli.data.exports.exported_image import exported_images, folder_names, xml_names
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists, noisy_classes, only_class, single_label_table
from nlcli.errors import NlcliError

HOSTILE = (
    "plain",
    "../../out",
    "a/b",
    "..",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "quo\"te & 'co'",
    "bar|back\\slash",
    "\N{SNOWMAN} ünïcode",
    "CON",
)
FORMATS: tuple[Format, ...] = get_args(Format)


def pictures(root: Path, count: int) -> list[str]:
    """Files of pictures in two folders, some of whose names begin as formulas do."""
    paths = [f"{'one' if i % 2 else '@two'}/{'-' if i % 3 == 0 else ''}{i:03d}.png" for i in range(count)]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (hash(path) % 255, 0, 0)).save(root / path)
    return paths


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    pictures(folder, 40)
    return folder


def single(root: Path, classes: tuple[str, ...] = HOSTILE) -> LabelTable:
    """40 images: every fourth is known, every fifth called right, every seventh wrong."""
    rng = np.random.default_rng(0)
    count, paths = 40, pictures(root, 40)
    noisy = rng.integers(0, len(classes), count)
    noisy[: len(classes)] = np.arange(len(classes))
    at = np.arange(count)
    true = np.where(at % 4 == 0, rng.integers(0, len(classes), count), -1)
    right = np.where(at % 5 == 1, 1, np.where(at % 7 == 2, 0, -1))
    right = np.where(true >= 0, -1, right)
    return single_label_table(classes, paths, paths, root, at % 3, noisy, true, right)


def several(root: Path, classes: tuple[str, ...] = HOSTILE) -> LabelTable:
    """40 images with any number of tags, of all three states of verification."""
    rng = np.random.default_rng(1)
    count, paths = 40, pictures(root, 40)
    states = rng.integers(0, 3, count).astype(np.uint8)
    given = rng.random((count, len(classes))) < 0.3
    there = (rng.random(given.shape) < 0.3) & (states[:, None] > 0)
    away = (rng.random(given.shape) < 0.3) & ~there & (states[:, None] == 1)
    there[(states == 1) & ~there.any(1) & ~away.any(1), 0] = True
    weights = rng.random(given.shape).astype(np.float32).round(3)

    def lists(which: np.ndarray) -> list[list[int]]:
        return [np.flatnonzero(row).tolist() for row in which]

    return LabelTable(
        task="multi-label",
        classes=classes,
        keys=np.array(paths, object),
        paths=np.array(paths, object),
        image_root=root,
        split=(np.arange(count) % 3).astype(np.int8),
        noisy=matrix_from_lists(
            lists(given), len(classes), [weights[i, row].tolist() for i, row in enumerate(lists(given))]
        ),
        present=matrix_from_lists(lists(there), len(classes)),
        absent=matrix_from_lists(lists(away), len(classes)),
        verification=states,
    )


def exported(folder: Path, table: LabelTable, *formats: Format, copy_images: bool = False) -> Path:
    write_exports(folder, table, formats, copy_images=copy_images)
    return folder / FOLDER


def by_path(table: LabelTable) -> dict[str, tuple[object, ...]]:
    """What is said of every image, class names for classes."""

    def names(matrix: object, row: int) -> list[str]:
        part = matrix[[row]]  # type: ignore[index]
        return sorted(table.classes[c] for c in part.indices[part.data > 0])

    return {
        table.paths[row]: (
            int(table.split[row]),
            names(table.noisy, row),
            names(table.present, row),
            names(table.absent, row) if table.verification[row] != FULL else [],
            int(table.verification[row]),
        )
        for row in range(len(table))
    }


# --- the best that is known ------------------------------------------------------------------


def test_a_persons_word_comes_before_noisy_labels(root: Path) -> None:
    table = several(root)
    for image in exported_images(table):
        noisy, present, absent = (
            set(matrix[[image.row]].indices.tolist()) for matrix in (table.noisy, table.present, table.absent)
        )
        if image.verification == "full":
            assert set(image.labels) == present
        else:
            assert set(image.labels) == (noisy | present) - absent


def test_names_of_folders() -> None:
    names = folder_names([*HOSTILE, "A/B", "a%2Fb", ".", "", " x ", "x" * 300, "con", "nul\0"])
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name not in ("", ".", "..")
        assert not set(name) & set('/\\:*?"<>|\0')
        assert name[0] not in ". ~"
        assert name[-1] not in ". "
        assert len(name.encode()) < 200
    assert names[0] == "plain"
    assert names[2] == "a%2Fb"
    assert folder_names(["a%2Fb", "a/b"]) == ["a%252Fb", "a%2Fb"]


def test_names_in_xml() -> None:
    assert xml_names(["a\0b", "a\ufffdb", "c", "C"]) == ["a\ufffdb", "a\ufffdb~2", "c", "C"]


ALIKE = ("Cat", "cat", "Caf\u00e9", "Cafe\u0301", "metadata.jsonl")


@pytest.mark.parametrize("make", [single, several])
@pytest.mark.parametrize("copy_images", [False, True])
def test_no_two_files_have_names_that_a_disk_takes_for_one(make: object, copy_images: bool, tmp_path: Path) -> None:
    """Neither for classes that differ in capitals or composition, nor for pictures of one class that do."""
    root = tmp_path / "pictures"
    root.mkdir()
    table: LabelTable = make(root, ALIKE)  # type: ignore[operator]
    names = [f"{'iI'[row % 2]}mg.{('jpg', 'JPG')[row // 2 % 2]}" for row in range(4)]  # all alike
    paths = np.array([f"{'abcdefghij'[row // 4]}{names[row % 4]}" for row in range(40)], object)
    for row, path in enumerate(paths):
        (root / table.paths[row]).rename(root / path)
        Image.new("L", (1, 1), row).save(root / path, "PNG")
    table = replace(table, paths=paths, keys=paths, split=np.zeros(40, np.int8))
    folder = exported(tmp_path, table, *FORMATS, copy_images=copy_images)
    names = [unicodedata.normalize("NFC", str(path.relative_to(folder)).casefold()) for path in folder.rglob("*")]
    assert sorted(set(names)) == sorted(names)
    lines = [json.loads(line) for line in (folder / "imagefolder/train/metadata.jsonl").read_text().splitlines()]
    expected = {
        image.path: image.row for image in exported_images(table) if image.labels or table.task != "single-label"
    }
    assert len(expected) > 30
    shown = {
        line["path"]: Image.open(folder / "imagefolder/train" / line["file_name"]).getpixel((0, 0)) for line in lines
    }
    assert shown == expected


# --- nothing outside -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [single, several])
def test_nothing_is_written_outside(make: object, root: Path, tmp_path: Path) -> None:
    before = set(root.rglob("*"))
    folder = tmp_path / "inside" / "work"
    folder.mkdir(parents=True)
    exported(folder, make(root), *FORMATS)  # type: ignore[operator]
    everything = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    assert everything == {tmp_path / "inside", folder}
    assert set(folder.iterdir()) == {folder / FOLDER}
    assert {path.name for path in (folder / FOLDER).iterdir()} == set(FORMATS)
    assert set(root.rglob("*")) == before
    for path in folder.rglob("*"):
        assert path.resolve().is_relative_to(tmp_path) or (path.is_symlink() and path.resolve().is_relative_to(root))


def test_a_path_that_leads_out_is_refused(root: Path, tmp_path: Path) -> None:
    table = single(root)
    paths = table.paths.copy()
    paths[3] = "../../etc/passwd"
    for name in FORMATS:
        with pytest.raises(NlcliError, match="is not a path inside the folder of images"):
            write_exports(tmp_path, replace(table, paths=paths), [name])
    assert not list(tmp_path.iterdir())


# --- tables, and our own sources -------------------------------------------------------------


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_single_labels_come_back_through_build_folders(name: Format, root: Path, tmp_path: Path) -> None:
    classes = tuple(c for c in HOSTILE if c not in ("bar|back\\slash", HOSTILE[4]))  # bars are asked about
    table = single(root, classes)
    folder = exported(tmp_path, table, name)
    built = nlcli.build_folders(
        images=root,
        table=folder / name / f"labels.{name}",
        classes=folder / name / "classes.txt",
        output=tmp_path / "built",
        class_names="keep",
    )
    again = read_dataset(built)
    assert again.classes == classes
    assert by_path(again) == by_path(table)


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_tags_come_back_through_build_tags(name: Format, root: Path, tmp_path: Path) -> None:
    table = several(root)
    folder = exported(tmp_path, table, name)
    built = nlcli.build_tags(
        table=folder / name / f"labels.{name}",
        images=root,
        classes=folder / name / "classes.txt",
        output=tmp_path / "built",
        class_names="keep",
    )
    again = read_dataset(built)
    assert again.classes == table.classes
    assert by_path(again) == by_path(table)
    for row in range(len(table)):
        i = int(np.flatnonzero(again.paths == table.paths[row])[0])
        np.testing.assert_allclose(again.noisy[[i]].toarray(), table.noisy[[row]].toarray(), atol=1e-6)


@pytest.mark.parametrize("name", ["coco", "labelstudio", "cvat"])
def test_single_labels_come_back_from_annotation_programs(name: Format, root: Path, tmp_path: Path) -> None:
    table = single(root)
    folder = exported(tmp_path, table, name) / name
    source = folder / "tasks.json" if name == "labelstudio" else folder
    built = nlcli.build_folders(images=root, table=source, output=tmp_path / "built", class_names="keep")
    again = read_dataset(built)
    assert again.task == "single-label"
    assert by_path(again) == by_path(table)
    with pytest.raises(NlcliError, match="says that an image has one label; give it to nlcli build-folders"):
        nlcli.build_tags(table=source, images=root, output=tmp_path / "tags", class_names="keep")


def test_tags_come_back_from_cvat(root: Path, tmp_path: Path) -> None:
    table = several(root)
    folder = exported(tmp_path, table, "cvat") / "cvat"
    again = read_dataset(nlcli.build_tags(table=folder, images=root, output=tmp_path / "built", class_names="keep"))
    assert by_path(again) == by_path(table)
    of = {path: row for row, path in enumerate(again.paths.tolist())}
    column = [again.classes.index(name) for name in table.classes]
    for row in range(len(table)):
        confidence = again.noisy[[of[table.paths[row]]]].toarray()[0, column]
        np.testing.assert_allclose(confidence, table.noisy[[row]].toarray()[0], atol=1e-6)
    with pytest.raises(NlcliError, match="nlcli build-tags reads several labels an image"):
        nlcli.build_folders(images=root, table=folder, output=tmp_path / "one", class_names="keep")


def test_tags_come_back_from_label_studio_and_coco(root: Path, tmp_path: Path) -> None:
    table = several(root)
    folder = exported(tmp_path, table, "labelstudio", "coco")
    expected, read = by_path(table), {}
    for number, source in enumerate([folder / "labelstudio" / "tasks.json", *sorted((folder / "coco").glob("*.json"))]):
        built = nlcli.build_tags(
            table=source,
            images=root,
            output=tmp_path / str(number),
            class_names="keep",
            validation_share=0,
            test_share=0,
        )
        found = by_path(read_dataset(built))
        assert all(found[path] == expected[path] for path in found)
        if not number:
            assert found.keys() == expected.keys()
        else:
            read |= found
    assert read == expected


def test_images_without_a_label_are_listed(root: Path, tmp_path: Path) -> None:
    table = single(root)
    noisy = table.noisy.copy()
    lists = [[] if row in (1, 3) else [int(c)] for row, c in enumerate(only_class(noisy))]
    bare = replace(table, noisy=matrix_from_lists(lists, len(HOSTILE), [[1.0] * len(x) for x in lists]))
    bare = replace(bare, verification=np.where(np.arange(40) < 4, 0, table.verification).astype(np.uint8))
    folder = exported(tmp_path, bare, "csv", "imagefolder")
    with open(folder / "csv" / "left_out.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    lines = [line for path in folder.glob("imagefolder/*/metadata.jsonl") for line in path.read_text().splitlines()]
    assert {json.loads(line)["path"] for line in lines} == {
        image.path for image in exported_images(bare) if image.labels
    }


# --- Hugging Face ----------------------------------------------------------------------------


def test_an_image_folder_as_datasets_reads_it(root: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = single(root)
    folder = exported(tmp_path, table, "imagefolder") / "imagefolder"
    loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    expected = {
        image.path: (image.split, table.classes[image.labels[0]]) for image in exported_images(table) if image.labels
    }
    assert len(expected) == 35  # of five it is only known what they are not
    read = {row["path"]: (split, row["label"]) for split, rows in loaded.items() for row in rows}
    assert read == expected
    some = loaded["train"][0]
    assert some["image"].size == (8, 8)


def test_tags_as_datasets_reads_them(root: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = several(root)
    folder = exported(tmp_path, table, "imagefolder", copy_images=True) / "imagefolder"
    loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    expected = {image.path: sorted(table.classes[c] for c in image.labels) for image in exported_images(table)}
    assert {row["path"]: sorted(row["labels"]) for rows in loaded.values() for row in rows} == expected
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_an_image_folder_through_build_folders(root: Path, tmp_path: Path) -> None:
    """Where a class's name is a folder's, and what is known is what the noisy label says."""
    classes = ("plain", "ünï code", "third")
    table = single(root, classes)
    alike = replace(table, verification=np.zeros(40, np.uint8), present=table.present * 0, absent=table.absent * 0)
    alike.present.eliminate_zeros()
    alike.absent.eliminate_zeros()
    folder = exported(tmp_path, alike, "imagefolder") / "imagefolder"
    built = read_dataset(nlcli.build_folders(images=folder, output=tmp_path / "built", verified=[]))
    read = {
        os.path.realpath(built.image_path(row)): (int(built.split[row]), built.classes[noisy_classes(built)[row]])
        for row in range(len(built))
    }
    expected = {
        os.path.realpath(alike.image_path(row)): (int(alike.split[row]), classes[noisy_classes(alike)[row]])
        for row in range(40)
    }
    assert read == expected


# --- COCO ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [single, several])
def test_coco(make: object, root: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    table: LabelTable = make(root)  # type: ignore[operator]
    folder = exported(tmp_path, table, "coco") / "coco"
    images = list(exported_images(table))
    for split in ("train", "validation", "test"):
        coco = COCO(str(folder / f"{split}.json"))
        names = {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())}
        assert list(names.values()) == list(table.classes)
        read = {}
        for entry in coco.loadImgs(coco.getImgIds()):
            labels = coco.loadAnns(coco.getAnnIds(imgIds=[entry["id"]]))
            read[entry["file_name"]] = {names[label["category_id"]]: label["verified"] for label in labels}
            i = [image.path for image in images].index(entry["file_name"])
            assert [names[c] for c in entry["noisy_category_ids"]] == [table.classes[c] for c in images[i].noisy]
            assert [names[c] for c in entry.get("neg_category_ids", [])] == [table.classes[c] for c in images[i].absent]
        assert read == {
            image.path: {table.classes[c]: c in image.present for c in image.labels}
            for image in images
            if image.split == split
        }


# --- programs to label with ------------------------------------------------------------------


@pytest.mark.parametrize("make", [single, several])
def test_label_studio(make: object, root: Path, tmp_path: Path) -> None:
    table: LabelTable = make(root)  # type: ignore[operator]
    folder = exported(tmp_path, table, "labelstudio") / "labelstudio"
    tasks = json.loads((folder / "tasks.json").read_text())
    config = ElementTree.parse(folder / "labeling_config.xml").getroot()
    assert [choice.get("value") for choice in config.iter("Choice")] == list(table.classes)
    assert config.find("Choices").get("choice") == ("single" if table.task == "single-label" else "multiple")  # type: ignore[union-attr]
    for task, image in zip(tasks, exported_images(table), strict=True):
        predicted = task["predictions"][0]["result"][0]["value"]["choices"] if image.noisy else []
        assert predicted == [table.classes[c] for c in image.noisy]
        assert ("annotations" in task) == (image.verification == "full")
        if image.verification == "full" and image.present:
            (result,) = task["annotations"][0]["result"]
            assert result["value"]["choices"] == [table.classes[c] for c in image.present]


@pytest.mark.parametrize("make", [single, several])
def test_label_studio_by_its_own_library(make: object, root: Path, tmp_path: Path) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    folder = exported(tmp_path, make(root), "labelstudio") / "labelstudio"  # type: ignore[operator]
    interface = interfaces.LabelInterface((folder / "labeling_config.xml").read_text())
    interface.validate()
    for task in json.loads((folder / "tasks.json").read_text()):
        assert interface.validate_task({"data": task["data"]})
        assert all(interface.validate_prediction(one) for one in task.get("predictions", []))
        assert all(interface.validate_annotation(one) for one in task.get("annotations", []))


@pytest.mark.parametrize("make", [single, several])
def test_cvat(make: object, root: Path, tmp_path: Path) -> None:
    table: LabelTable = make(root)  # type: ignore[operator]
    folder = exported(tmp_path, table, "cvat") / "cvat"
    for split in ("train", "validation", "test"):
        tree = ElementTree.parse(folder / f"{split}.xml").getroot()
        assert tree.findtext("version") == "1.1"
        assert [label.findtext("name") for label in tree.iter("label")] == list(table.classes)
        read = {
            image.get("name"): {
                tag.get("label"): tag.get("source")
                for tag in image.iter("tag")
                if not any(one.get("name") == "absent" for one in tag.iter("attribute"))
            }
            for image in tree.iter("image")
        }
        assert [image.get("id") for image in tree.iter("image")] == [str(i) for i in range(len(read))]
        assert read == {
            image.path: {table.classes[c]: "manual" if c in image.present else "auto" for c in image.labels}
            for image in exported_images(table)
            if image.split == split
        }


@pytest.mark.parametrize("make", [single, several])
def test_fiftyone(make: object, root: Path, tmp_path: Path) -> None:
    table: LabelTable = make(root)  # type: ignore[operator]
    folder = exported(tmp_path, table, "fiftyone") / "fiftyone"
    read = {}
    for split in ("train", "validation", "test"):
        labels = json.loads((folder / split / "labels.json").read_text())
        places = json.loads((folder / split / "data.json").read_text())
        assert labels["classes"] == list(table.classes)
        assert labels["labels"].keys() == places.keys()
        for number, target in labels["labels"].items():
            assert "." not in number
            assert Path(places[number]).is_file()
            of = target if isinstance(target, list) else [] if target is None else [target]
            read[places[number]] = (split, [labels["classes"][c] for c in of])
    assert read == {
        str(root / image.path): (image.split, [table.classes[c] for c in image.labels])
        for image in exported_images(table)
    }


# --- as part of a stage ----------------------------------------------------------------------


def test_xml_of_names_that_xml_cannot_hold(root: Path, tmp_path: Path) -> None:
    table = single(root, ("a\0", "b\x1b[31m", "c\ud7ff\n"))
    folder = exported(tmp_path, table, "cvat", "labelstudio")
    tree = ElementTree.parse(folder / "cvat" / "train.xml").getroot()
    names = [label.findtext("name") for label in tree.iter("label")]
    assert names == ["a\ufffd", "b\ufffd[31m", "c\ud7ff\n"]
    config = ElementTree.parse(folder / "labelstudio" / "labeling_config.xml").getroot()
    assert [choice.get("value") for choice in config.iter("Choice")] == names
