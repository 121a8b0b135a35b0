"""WordNet's file of nouns: hypernyms of hypernyms by hand, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.data.sources.webvision import verified_classes
from nlcli.data.sources.wordnet import read_hypernyms, second_hypernyms
from nlcli.errors import NlcliError
from worlds.wordnet import LICENCE, write_nouns

# entity 1 > animal 10 > dog 20 > terrier 30, spaniel 31; pet 11 > dog 20 as well; cat 21 > tabby 40; machine 12 > car 22
TREE = {
    "00000001": (),
    "00000010": ("00000001",),
    "00000011": ("00000001",),
    "00000012": ("00000001",),
    "00000020": ("00000010", "00000011"),
    "00000021": ("00000011", "00000010"),
    "00000022": ("00000012",),
    "00000030": ("00000020",),
    "00000031": ("00000020",),
    "00000040": ("00000021",),
}


def test_second_hypernyms_by_hand(tmp_path: Path) -> None:
    file = write_nouns(tmp_path / "dict" / "data.noun", TREE)
    ids = ("n00000030", "n00000031", "n00000040", "n00000022", "n00000010", "n00000001")
    # Of several hypernyms the first counts; where the way up ends, its end does.
    expected = ["n00000010", "n00000010", "n00000011", "n00000001", "n00000001", "n00000001"]
    assert second_hypernyms(ids, file) == expected
    assert second_hypernyms(ids, file.parent) == expected


def test_a_line_of_wordnet_itself(tmp_path: Path) -> None:
    """The synset of dogs, shortened, beside stand-ins for the two above it: other pointers than @ lead nowhere."""
    file = write_nouns(tmp_path / "data.noun", {"02083346": (), "01317541": ()})
    with open(file, "a", encoding="ascii") as nouns:
        nouns.write(
            "02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 005 #m 02083863 n 0000 @ 02083346 n 0000 "
            "@ 01317541 n 0000 + 01234567 v 0101 ~ 01322604 n 0000 | a member of the genus Canis | that barks  \n"
        )
    assert read_hypernyms(file)["02084071"] == "02083346"


def test_one_class_of_each_group_is_drawn(tmp_path: Path) -> None:
    file = write_nouns(tmp_path / "data.noun", TREE)
    ids = ("n00000030", "n00000040", "n00000031", "n00000022")
    drawn = [verified_classes("semantic", ids, 4, seed, file) for seed in range(20)]
    for chosen in drawn:
        assert chosen is not None
        assert chosen.tolist() in ([0, 1, 3], [1, 2, 3])
    assert len({tuple(chosen) for chosen in drawn if chosen is not None}) == 2
    fewer = verified_classes("semantic", ids, 1, 0, file)
    assert fewer is not None
    assert fewer.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no synset"),
        (LICENCE, "holds no synset"),
        ("dog n 7 5 @ ~ #m #p %p 7 1 02084071 10114209\n", r"line 1: 'dog n 7 5 .*' is not a synset of nouns"),
        ("00001740 29 v 01 breathe 0 000 01 + 02 00 | draw air\n", "line 1: .* is not a synset of nouns"),
        ("00000001 03 n 01 entity 0 001 @ 00000002 | short\n", "line 1: .* is not a synset of nouns"),
        ("00000001 03 n 01 entity 0 000 more | long\n", "line 1: .* is not a synset of nouns"),
        ("00000001 03 n zz entity 0 000 | words\n", "line 1: .* is not a synset of nouns"),
        (
            "00000001 03 n 01 entity 0 001 @ 00000009 n 0000 | alone\n",
            "line 1: the hypernym 00000009 is not in the file",
        ),
        (2 * "00000001 03 n 01 entity 0 000 | twice\n", "line 2: synset 00000001 stands in it twice"),
        (
            "00000001 03 n 01 entity 0 000 | there\n",
            "1 of 1 classes are not in it, such as n00000030; .* WordNet 3.0's",
        ),
        ("\x1b[2J n\n", r"line 1: '\?\[2J n' is not a synset"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.noun").write_text(text)
    with pytest.raises(NlcliError, match=message):
        second_hypernyms(("n00000030",), tmp_path)


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="data.noun is not in"):
        second_hypernyms(("n00000030",), tmp_path)
