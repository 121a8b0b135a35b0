"""WebVision's lists, pseudo-verification and its conditions, and the second test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.annotate import CLASSIFIER, ClassifierRecord
from nlcli.data.config import BuildWebVision
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.sources.webvision import build_webvision, draw_per_class, read_synsets, verified_classes
from nlcli.errors import NlcliError
from nlcli.networks.imagenet import imagenet_classes, imagenet_ids
from nlcli.networks.images import Preprocessing
from nlcli.stages.stage import open_stage, read_stage
from worlds.folders import by_key, touch
from worlds.stage_builders import MakeConfig
from worlds.wordnet import write_nouns

IMAGENET = list(zip(imagenet_ids(), imagenet_classes(), strict=True))
PER_CLASS, USED = 10, (0, 1, 151, 152)


def write_lists(root: Path) -> None:
    (root / "info").mkdir(parents=True)
    (root / "info/synsets.txt").write_text("".join(f"{wnid} {name}, other name\n" for wnid, name in IMAGENET))
    for source in ("google", "flickr"):
        names = [(f"{source}/q{c:04d}/{i} x,.jpg", c) for c in USED for i in range(PER_CLASS // 2)]
        (root / f"info/train_filelist_{source}.txt").write_text("".join(f"{name} {c}\n" for name, c in names))
        touch(root, *(name for name, _ in names))
    (root / "info/val_filelist.txt").write_text("val000001.jpg 151\nval000002.jpg 0\n")
    touch(root / "val_images_256", "val000001.jpg", "val000002.jpg")


def write_predictions(path: Path, right: dict[str, bool], classes: int = 1000, prefix: str = "webvision/") -> Path:
    """Predictions of ``annotate`` whose top 5 hold the class of the folder's number where ``right``."""
    with open_stage("predictions", MakeConfig(output=path, size=len(right)), {}) as stage:
        indices = []
        for key, is_right in right.items():
            c = int(key.split("/")[1][1:])
            indices.append([900, 901, 902, 903, c if is_right else 904, c])
        columns = [
            pa.array([prefix + key for key in right]),
            pa.array(["ok"] * len(right)),
            pa.array([None] * len(right), pa.string()),
            pa.array(indices, pa.list_(pa.int32())),
            pa.array([[0.1] * 6] * len(right), pa.list_(pa.float32())),
        ]
        pq.write_table(
            pa.table(dict(zip(("key", "status", "error", "indices", "scores"), columns, strict=True))),
            stage.work / "part-00000.parquet",
        )
        names = tuple(f"c{i}" for i in range(classes))
        record = ClassifierRecord(name="made up", classes=names, preprocessing=Preprocessing(size=32))
        record.write(stage.work / CLASSIFIER)
        stage.finish({"images": len(right), "classifier": "test"})
    return path


def build(tmp_path: Path, name: str = "out", **options: object) -> LabelTable:
    config = BuildWebVision(root=tmp_path / "webvision", output=tmp_path / name, **options)
    return read_dataset(build_webvision(config))


def train_keys() -> list[str]:
    return [f"{s}/q{c:04d}/{i} x,.jpg" for s in ("google", "flickr") for c in USED for i in range(PER_CLASS // 2)]


def test_splits_by_hand(tmp_path: Path) -> None:
    write_lists(tmp_path / "webvision")
    table = build(tmp_path, validation_share=0.2)
    assert table.num_classes == 1000
    assert table.classes[0] == "tench"
    assert [len(table.rows(name)) for name in ("train", "validation", "test")] == [32, 8, 2]
    assert np.bincount(table.noisy[table.rows("validation")].indices)[list(USED)].tolist() == [2, 2, 2, 2]
    rows = by_key(table)
    assert rows["val_images_256/val000001.jpg"] == ("test", "", IMAGENET[151][1], "", 2)
    assert table.image_path(0).is_file()
    assert (table.verification[table.split != 2] == 0).all()
    google = build(tmp_path, "google", sources=("google",), first_classes=50)
    assert google.num_classes == 50
    assert sorted(key.split("/")[1] for key in google.keys[google.split < 2]) == ["q0000"] * 5 + ["q0001"] * 5
    assert google.keys[google.split == 2].tolist() == ["val_images_256/val000002.jpg"]


def test_pseudo_verification_by_the_top_5(tmp_path: Path) -> None:
    write_lists(tmp_path / "webvision")
    right = {key: i % 3 > 0 for i, key in enumerate(train_keys())}
    predictions = write_predictions(tmp_path / "predictions", right)
    table = build(tmp_path, predictions=predictions, condition="every-image", validation_share=0.2)
    rows = by_key(table)
    for key, is_right in right.items():
        _, noisy, present, absent, verification = rows[key]
        assert (present, absent, verification) == ((noisy, "", 1) if is_right else ("", noisy, 1))
    summary = read_stage(tmp_path / "out").summary
    assert summary["train_verified"] == 32
    wider = build(tmp_path, "wider", predictions=predictions, condition="every-image", top_k=6)
    assert wider.absent.nnz == 0


def test_conditions(tmp_path: Path) -> None:
    write_lists(tmp_path / "webvision")
    predictions = write_predictions(tmp_path / "predictions", dict.fromkeys(train_keys(), True), prefix="")
    few = build(tmp_path, "all", predictions=predictions, condition="all", per_class=3)
    train = few.rows("train")
    known = train[few.verification[train] == 1]
    assert np.bincount(few.noisy[known].indices)[list(USED)].tolist() == [3, 3, 3, 3]
    dogs = build(tmp_path, "dogs", predictions=predictions, condition="dogs-118")
    assert set(dogs.noisy[np.flatnonzero(dogs.verification == 1)].indices) == {151, 152}
    (tmp_path / "semantic.txt").write_text(f"{IMAGENET[1][0]} goldfish\n")
    chosen = build(tmp_path, "file", predictions=predictions, condition=str(tmp_path / "semantic.txt"))
    assert set(chosen.noisy[np.flatnonzero(chosen.verification == 1)].indices) == {1}
    (tmp_path / "semantic.txt").write_text(f"{IMAGENET[0][0]} tench\n")
    with pytest.raises(NlcliError, match="condition"):  # another list is another data set
        build(tmp_path, "file", predictions=predictions, condition=str(tmp_path / "semantic.txt"))
    # Every ImageNet class has one of two hypernyms below the same one, so that all are one group, but class 152.
    above = {"99999990": (), "99999991": (), "99999992": ("99999990",), "99999993": ("99999990",)}
    leaves = {wnid[1:]: (f"9999999{2 + i % 2}",) for i, (wnid, _) in enumerate(IMAGENET)}
    nouns = write_nouns(tmp_path / "data.noun", above | leaves | {IMAGENET[152][0][1:]: ("99999991",)})
    semantic = build(tmp_path, "semantic", predictions=predictions, condition="semantic", wordnet=nouns)
    assert read_stage(tmp_path / "semantic").summary["verified_classes"] == 2
    assert 152 in semantic.noisy[np.flatnonzero(semantic.verification == 1)].indices


def test_classes_of_the_conditions() -> None:
    ids = tuple(wnid for wnid, _ in IMAGENET)
    dogs = verified_classes("dogs-118", ids, 1000, 0)
    assert dogs is not None
    assert len(dogs) == 118
    assert (IMAGENET[dogs[0]][1].lower(), IMAGENET[dogs[-1]][1].lower()) == ("chihuahua", "mexican_hairless")
    first, second = (verified_classes("random-308", ids, 1000, seed) for seed in (0, 1))
    assert first is not None
    assert second is not None
    assert len(np.unique(first)) == 308
    assert not np.array_equal(first, second)
    fewer = verified_classes("random-118", ids, 1000, 0)
    assert fewer is not None
    assert set(fewer) < set(first)
    for condition, message in (("random-1001", "there are 1000 classes"), ("cats", "is none of none, every-image")):
        with pytest.raises(NlcliError, match=message):
            verified_classes(condition, ids, 1000, 0)


def test_250_of_each_class_do_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 900)
    eligible = rng.random(900) < 0.9
    keys = np.array([f"k{i}" for i in rng.permutation(900)], object)
    chosen = draw_per_class(labels, eligible, keys, 250, 7)
    assert (chosen <= eligible).all()
    assert np.bincount(labels[chosen]).tolist() == [min(250, int(n)) for n in np.bincount(labels[eligible])]
    order = rng.permutation(900)
    again = draw_per_class(labels[order], eligible[order], keys[order], 250, 7)
    assert set(keys[chosen]) == set(keys[order][again])


def test_ilsvrc_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    write_lists(tmp_path / "webvision")
    (tmp_path / "ilsvrc.txt").write_text("ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 0\n")
    touch(tmp_path / "ilsvrc", "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG")
    table = build(tmp_path, ilsvrc_images=tmp_path / "ilsvrc", ilsvrc_list=tmp_path / "ilsvrc.txt")
    assert table.classes == build(tmp_path, "main").classes
    assert by_key(table) == {
        "ILSVRC2012_val_00000001.JPEG": ("test", "", IMAGENET[65][1], "", 2),
        "ILSVRC2012_val_00000002.JPEG": ("test", "", "tench", "", 2),
    }
    with pytest.raises(NlcliError, match="needs both"):
        build(tmp_path, "other", ilsvrc_images=tmp_path / "ilsvrc")


def test_mistakes(tmp_path: Path) -> None:
    root = tmp_path / "webvision"
    write_lists(root)
    with pytest.raises(NlcliError, match="--condition all needs --predictions"):
        build(tmp_path, condition="all")
    for options in ({"condition": "semantic"}, {"wordnet": root / "info/synsets.txt"}):
        with pytest.raises(NlcliError, match="--condition semantic and --wordnet go together"):
            build(tmp_path, **options)
    some = write_predictions(tmp_path / "some", dict.fromkeys(train_keys()[1:], True))
    with pytest.raises(NlcliError, match="--predictions are for verification"):
        build(tmp_path, predictions=some)
    with pytest.raises(NlcliError, match=r"no prediction for 1 of 40 training images \(google/q0000/0 x,.jpg\)"):
        build(tmp_path, "a", predictions=some, condition="all")
    small = write_predictions(tmp_path / "small", dict.fromkeys(train_keys(), True), classes=10)
    with pytest.raises(NlcliError, match="the classifier has 10 classes, not ImageNet's 1000"):
        build(tmp_path, "b", predictions=small, condition="all")
    (root / "info/val_filelist.txt").write_text("val000001.jpg 1000\n")
    with pytest.raises(NlcliError, match="val_filelist.txt, line 1: class 1000 is not among 0 to 999"):
        build(tmp_path, "c")
    shuffled = [f"{wnid} {name}\n" for wnid, name in (*IMAGENET[1:], IMAGENET[0])]
    (root / "info/synsets.txt").write_text("".join(shuffled))
    with pytest.raises(
        NlcliError, match=rf"line 1000: {IMAGENET[0][0]} stands behind {IMAGENET[-1][0]}; .* sort the lines"
    ):
        read_synsets(root / "info/synsets.txt")
    (root / "info/synsets.txt").write_text("".join(shuffled[:-2]))
    with pytest.raises(NlcliError, match="998 classes, expected the 1,000 of WebVision 1"):
        read_synsets(root / "info/synsets.txt")
    (root / "info/synsets.txt").write_text("n01440764 tench\nn0144 x\n")
    with pytest.raises(NlcliError, match=r"synsets.txt, line 2: 'n0144 x' is not of the form"):
        read_synsets(root / "info/synsets.txt")
