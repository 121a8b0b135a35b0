"""Open Images V1's CSV files: confidences, three states, splits, classes and groups."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import BuildOpenImages
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.sources.open_images import build_open_images, choose_clean_part, read_groups
from nlcli.data.sources.open_images_files import compress, hex_keys, parse_ids
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage

HEADER = "ImageID,Source,LabelName,Confidence\n"
LISTING = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,Thumbnail300KURL\n"
T1, T2, T3 = "000060e3121c7305", "00000000000000ff", "fffffffffffffffe"
VALIDATION = [f"{i:016x}" for i in range(0x1000, 0x1008)]
ROOM, HOME, ORGAN, OTHER_ORGAN = "/m/06ht1", "/m/01l0mw", "/m/013y0j", "/m/013y1f"


def write_files(root: Path, newer: bool = False, **changes: str) -> None:
    def listed(subset: str, ids: list[str]) -> str:
        return LISTING + "".join(
            f'{i},{subset},https://x/{i}.jpg,https://x,https://cc,"https://p","A, ""B""","a title,\nin two lines",1,md5==,\n'
            for i in ids
        )

    files = {
        "dict": f'"{ROOM}","room"\n"{HOME}","home"\n"{ORGAN}","organ"\n"{OTHER_ORGAN}","organ"\n"/g/1q5yy2zkf","hairless cat"\n',
        "classes": f"{ROOM}\n{HOME}\n{ORGAN}\n{OTHER_ORGAN}\n",
        "train_images": listed("train", [T1, T2, T3]),
        "validation_images": listed("validation", VALIDATION),
        "train_machine": HEADER + f"{T1},machine,{HOME},0.9\n{T1},machine,{ROOM},0.5\n{T1},machine,{HOME},0.7\n"
        f"{T3},machine,{ORGAN},1.0\n{T2},machine,{OTHER_ORGAN},0.6\n{T3},machine,/m/0zzz,0.8\n{T2},machine,{ROOM},0.0\n",
        "validation_machine": HEADER + "".join(f"{i},machine,{ROOM},0.8\n" for i in VALIDATION),
        "validation_human": HEADER
        + "".join(f"{i},human,{ROOM},{n % 2}.0\n{i},human,{HOME},1.0\n" for n, i in enumerate(VALIDATION)),
    } | changes
    names = {
        "dict": "dict.csv",
        "classes": "classes.txt",
        **{
            f"{s}_images": f"{s}/images.csv" if newer else f"images_2016_08/{s}/images.csv"
            for s in ("train", "validation")
        },
        **{
            f"{s}_machine": f"{s}/annotations-machine.csv" if newer else f"machine_ann_2016_08/{s}/labels.csv"
            for s in ("train", "validation")
        },
        "validation_human": "validation/annotations-human.csv" if newer else "human_ann_2016_08/validation/labels.csv",
    }
    for name, text in files.items():
        if text is not None:
            path = root / names[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def build(tmp_path: Path, name: str = "out", **options: object) -> LabelTable:
    return read_dataset(build_open_images(BuildOpenImages(root=tmp_path / "root", output=tmp_path / name, **options)))


def entries(matrix: object, row: int) -> dict[int, float]:
    part = matrix[[row]].tocoo()  # type: ignore[index]
    return {int(c): round(float(x), 4) for c, x in zip(part.col, part.data, strict=True)}


@pytest.mark.parametrize("newer", [False, True])
def test_labels_by_hand(tmp_path: Path, newer: bool, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path / "root", newer)
    table = build(tmp_path, clean_share=0.5, validation_share=0.25)
    assert table.task == "multi-label"
    assert table.classes == ("room", "home", f"organ ({ORGAN})", f"organ ({OTHER_ORGAN})")
    row = {key: i for i, key in enumerate(table.keys.tolist())}
    assert sorted(row) == sorted([T1, T2, T3, *VALIDATION])
    assert entries(table.noisy, row[T1]) == {0: 0.5, 1: 0.9}  # the higher of two; 0.7 lost
    assert entries(table.noisy, row[T2]) == {3: 0.6}  # a confidence of 0 is no label
    assert entries(table.noisy, row[T3]) == {2: 1.0}  # /m/0zzz is no class
    for n, key in enumerate(VALIDATION):
        assert entries(table.present, row[key]) == ({0: 1, 1: 1} if n % 2 else {1: 1})
        assert entries(table.absent, row[key]) == ({} if n % 2 else {0: 1})
    assert table.verification.tolist() == [0, 0, 0] + [1] * 8
    assert table.paths[row[T1]] == f"train/{T1}.jpg"
    assert table.paths[row[VALIDATION[0]]] == f"validation/{VALIDATION[0]}.jpg"
    assert (table.split[[row[T1], row[T2], row[T3]]] == 0).all()
    assert np.bincount(table.split[table.verification > 0]).tolist() == [3, 1, 4]  # V less a quarter of it; rest
    summary = read_stage(tmp_path / "out").summary
    assert (summary["train_noisy_labels"], summary["left_out_labels"]) == (4 + 3, 1)  # those of T and of V
    said = capsys.readouterr().err
    assert "1 of 31 labels name 1 classes that the class list lacks (/m/0zzz 1x)" in said
    assert "train_images 3 (published: 9,011,219)" in said


def test_labels_in_any_order_give_the_same_table(tmp_path: Path) -> None:
    write_files(tmp_path / "root")
    first = build(tmp_path, "first")
    path = tmp_path / "root/machine_ann_2016_08/train/labels.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    second = build(tmp_path, "second")
    assert (first.noisy != second.noisy).nnz == 0
    assert first.keys.tolist() == second.keys.tolist()


def test_without_images_csv_the_labelled_images_count(tmp_path: Path) -> None:
    write_files(tmp_path / "root")
    (tmp_path / "root/images_2016_08/train/images.csv").unlink()
    assert set(build(tmp_path).keys) == {T1, T2, T3, *VALIDATION}


def test_without_images_csv_images_that_only_people_looked_at_count_too(tmp_path: Path) -> None:
    """As in the release: 83 of the 275 verified images of a sample have no label of the machine."""
    write_files(
        tmp_path / "root", validation_machine=HEADER + "".join(f"{i},machine,{ROOM},0.8\n" for i in VALIDATION[:5])
    )
    (tmp_path / "root/images_2016_08/validation/images.csv").unlink()
    table = build(tmp_path)
    assert set(table.keys) == {T1, T2, T3, *VALIDATION}
    row = table.keys.tolist().index(VALIDATION[6])
    assert entries(table.noisy, row) == {}
    assert entries(table.present, row) == {1: 1}


def test_trainable_classes_where_no_list_is_given(tmp_path: Path) -> None:
    write_files(tmp_path / "root")
    (tmp_path / "root/classes.txt").unlink()
    with pytest.raises(NlcliError, match="no class has 20 training and 50 validation images"):
        build(tmp_path)
    train, held = [f"{i:016x}" for i in range(20)], [f"{i:016x}" for i in range(100, 150)]
    write_files(
        tmp_path / "root",
        classes=None,
        train_images=None,
        validation_images=None,  # type: ignore[arg-type]
        train_machine=HEADER + "".join(f"{i},machine,{c},0.5\n" for i in train for c in (HOME, ROOM)),
        validation_machine=HEADER
        + "".join(f"{i},machine,{c},0.5\n" for i in held for c in (HOME, ROOM)[: 1 + (i != held[0])]),
        validation_human=HEADER + f"{held[0]},human,{ROOM},1.0\n{held[0]},human,{HOME},0.0\n",
    )
    for subset in ("train", "validation"):
        (tmp_path / f"root/images_2016_08/{subset}/images.csv").unlink()
    table = build(tmp_path, "trainable")
    assert table.classes == ("home",)  # room has 49 validation images
    row = table.keys.tolist().index(held[0])
    assert (entries(table.present, row), entries(table.absent, row)) == ({}, {0: 1})


def test_what_people_contradict_is_unverified(tmp_path: Path) -> None:
    i = VALIDATION[0]
    write_files(
        tmp_path / "root",
        validation_human=HEADER
        + f"{i},human,{ROOM},1.0\n{i},human,{ROOM},0.0\n{i},human,{HOME},1.0\n{i},human,{HOME},1.0\n",
    )
    table = build(tmp_path)
    row = table.keys.tolist().index(i)
    assert (entries(table.present, row), entries(table.absent, row)) == ({1: 1}, {})
    assert table.info["contradictions"] == 1


def test_the_clean_quarter_depends_on_the_seed() -> None:
    part = choose_clean_part(167_056, 0.25, 0.1, 0)
    assert np.bincount(part).tolist() == [125_292, 37_588, 4_176]
    assert np.array_equal(choose_clean_part(167_056, 0.25, 0.0, 0) > 0, part > 0)  # the same V without holding out
    assert not np.array_equal(choose_clean_part(167_056, 0.25, 0.1, 1), part)


def test_missing_images(tmp_path: Path) -> None:
    write_files(tmp_path / "root")
    for subset, ids in (("train", [T1, T3]), ("validation", VALIDATION)):
        (tmp_path / "images" / subset).mkdir(parents=True)
        for i in ids:
            (tmp_path / "images" / subset / f"{i}.jpg").touch()
    with pytest.raises(NlcliError, match=rf"1 of 3 listed images are not in .*train \({T2}.jpg\)"):
        build(tmp_path, images=tmp_path / "images")
    table = build(tmp_path, images=tmp_path / "images", allow_missing=0.5)
    assert T2 not in table.keys.tolist()
    assert table.image_path(0).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_machine": HEADER + f"{T1},machine,{HOME},0.9\n{T1[:-1]}G,machine,{HOME},0.9\n"},
            "train/labels.csv, line 3: ImageID '000060e3121c730G' is not 16",
        ),
        (
            {"train_machine": HEADER + f"{T1},machine,{HOME},high\n"},
            "line 2: Confidence 'high' is not a number from 0 to 1",
        ),
        ({"train_machine": HEADER + f"{T1},machine,{HOME},1.5\n"}, "line 2: Confidence '1.5'"),
        ({"train_machine": HEADER + f"{T1},machine,{HOME}\n"}, "line 2: 3 cells, expected 4"),
        ({"train_machine": f"{T1},machine,{HOME},0.9\n"}, "line 1: expected the header ImageID,Source"),
        (
            {"validation_human": HEADER + f"{VALIDATION[0]},human,{HOME},0.5\n"},
            "line 2: Confidence '0.5' is not 0.0 or 1.0",
        ),
        ({"train_images": LISTING + "xyz,train,,,,,,,,,\n"}, r"ImageID 'xyz' is not 16 hexadecimal digits \(line 2\)"),
        ({"train_images": LISTING + f"{T1},train,,,,,,,,,\n" * 2}, f"image {T1} is listed twice"),
        ({"validation_images": LISTING + f"{T1},train,,,,,,,,,\n"}, "listed for train and for validation"),
        ({"train_images": "Image,Subset\nx,y\n"}, "not the expected CSV file"),
        ({"dict": f'"{ROOM}","room"\n"room","/m/1"\n'}, "dict.csv, line 2: expected an id and a name"),
        ({"classes": f"{ROOM}\nroom\n"}, "classes.txt, line 2: 'room' is not a class id"),
        ({"classes": "/m/0zzzz\n"}, "7 of 7 labels of .*labels.csv name .* the class list is for other files"),
    ],
)
def test_malformed_files(tmp_path: Path, change: dict[str, str], message: str) -> None:
    write_files(tmp_path / "root", **change)
    with pytest.raises(NlcliError, match=message):
        build(tmp_path)


def test_files_that_end_early_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of eight validation images have no human label; of one that is not listed there are two labels."""
    human = "".join(f"{i},human,{ROOM},1.0\n" for i in VALIDATION[:5])
    machine = "".join(f"{i},machine,{ROOM},0.8\n" for i in [*VALIDATION, T1, T1])
    write_files(tmp_path / "root", validation_human=HEADER + human, validation_machine=HEADER + machine)
    table = build(tmp_path)
    said = capsys.readouterr().err
    assert "3 of 8 validation images have no label by a person, so that nothing is verified on them" in said
    assert "2 of 22 labels are of images that images.csv does not list" in said  # 7 + 10 + 5
    assert int((table.verification > 0).sum()) == 5
    write_files(tmp_path / "root", validation_human=HEADER + human.replace("/m/", "\\m\\"))
    with pytest.raises(
        NlcliError, match=r"5 of 5 labels of .*human_ann_2016_08/validation/labels.csv name classes that"
    ):
        build(tmp_path, "again")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    write_files(tmp_path / "root")
    (tmp_path / "root/human_ann_2016_08/validation/labels.csv").unlink()
    with pytest.raises(
        NlcliError, match="has no human_ann_2016_08/validation/labels.csv or validation/annotations-human.csv"
    ):
        build(tmp_path)


def test_groups_from_a_table_and_from_hierarchies(tmp_path: Path) -> None:
    ids, classes = ("/m/1", "/m/2", "/m/3", "/m/4"), ("car", "oyster", "tulip", "cloud")
    names = {
        "/m/1": "car",
        "/m/2": "oyster",
        "/m/3": "tulip",
        "/m/9": "vehicle",
        "/m/8": "animal",
        "/m/7": "shellfish",
        "/m/6": "plant",
        "/m/5": "food",
    }
    (tmp_path / "g.csv").write_text("class,group\n/m/1,vehicles\nTulip,plant\nunknown,art\n")
    assert read_groups(tmp_path / "g.csv", ids, classes, names) == ("vehicles", None, "plant", None)
    (tmp_path / "g.csv").write_text("/m/1,vehicles\ncar,art\n")
    with pytest.raises(NlcliError, match="line 2: class 'car' is in 'vehicles' and 'art'"):
        read_groups(tmp_path / "g.csv", ids, classes, names)
    tree = {
        "LabelName": "/m/0",
        "Subcategory": [
            {"LabelName": "/m/9", "Subcategory": [{"LabelName": "/m/1"}]},
            {"LabelName": "/m/8", "Subcategory": [{"LabelName": "/m/7", "Subcategory": [{"LabelName": "/m/2"}]}]},
            {"LabelName": "/m/5", "Part": [{"LabelName": "/m/2"}]},  # nearer than animal
            {"LabelName": "/m/6", "Subcategory": [{"LabelName": "/m/3"}]},
            {"LabelName": "/m/4"},
        ],
    }
    (tmp_path / "h.json").write_text(json.dumps(tree))
    assert read_groups(tmp_path / "h.json", ids, classes, names) == ("vehicles", "food", "plant", None)
    named = {"name": "Entity", "children": [{"name": "Vehicle", "children": [{"name": "Car", "size": 1}]}]}
    (tmp_path / "h.json").write_text(json.dumps(named))
    assert read_groups(tmp_path / "h.json", ids, classes, names) == ("vehicles", None, None, None)
    (tmp_path / "h.json").write_text('{"name": "Entity", "children": 3}')
    with pytest.raises(NlcliError, match="'children' of 'Entity' is not a list"):
        read_groups(tmp_path / "h.json", ids, classes, names)


def test_ids_are_numbers_and_back() -> None:
    import pyarrow as pa

    ids = np.random.default_rng(0).integers(0, 2**64 - 1, 1000, dtype=np.uint64)
    text = [f"{int(i):016x}" for i in ids]
    assert hex_keys(ids).tolist() == text
    assert hex_keys(ids, "a/", ".jpg").tolist() == [f"a/{t}.jpg" for t in text]
    assert np.array_equal(parse_ids(pa.array(text)), ids)
    assert np.array_equal(parse_ids(pa.array(text).slice(10, 20)), ids[10:30])
    for bad in ("00000000000000G0", "0" * 15, "0" * 17, "000000000000000A", None):
        assert parse_ids(pa.array([text[0], bad])) is None


def test_entries_that_repeat() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 20, 500), rng.integers(0, 7, 500)
    values = rng.random(500).astype(np.float32)
    expected = np.zeros((20, 7), np.float32)
    np.maximum.at(expected, (rows, columns), values)
    assert np.array_equal(compress(rows, columns, values, (20, 7)).toarray(), expected)
    marks = rng.integers(1, 3, 500)
    either = np.zeros((20, 7), int)
    np.bitwise_or.at(either, (rows, columns), marks)
    assert np.array_equal(compress(rows, columns, marks.astype(np.float32), (20, 7), either=True).toarray(), either)


def test_annotations_by_category_and_how_many_are_wrong(tmp_path: Path) -> None:
    """Veit 2017, table 1 and section 4.1. Of eight machine labels "room" people called every second one wrong; "home"
    was said by people alone, and an "organ" stands on training images, on which nobody looked."""
    write_files(tmp_path / "root")
    (tmp_path / "groups.csv").write_text(f"class,group\n{ROOM},products\n{HOME},products\n")
    build(tmp_path, groups=tmp_path / "groups.csv")
    summary = read_stage(tmp_path / "out").summary
    assert (summary["checked_annotations"], summary["checked_wrong"]) == (8, 0.5)
    lines = (tmp_path / "out" / "categories.csv").read_text().splitlines()
    assert lines == [
        "category,classes,annotations,checked,right,wrong_share",
        "products,2,8,8,4,0.5",
        "others,2,0,0,0,",
    ]
    assert (tmp_path / "out" / "class_ranks.png").stat().st_size > 5000
