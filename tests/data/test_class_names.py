"""Names that a person reads as one class, and what is done about them."""

from __future__ import annotations

import pytest

from nlcli.data.class_names import Doubts, as_read, doubts, names_of_list, spellings
from nlcli.errors import NlcliError


@pytest.mark.parametrize(
    "names",
    [
        ("Dress", "dress", " dress", "dress ", "DRESS", "dre\u00adss", "d\u200bress"),
        ("T-shirt", "t shirt", "T_shirt", "t\u00a0shirt", "T  shirt"),
        ("Hütchen", "Hu\u0308tchen", "hütchen"),
        ("3", "3.0", "03", "3.", "\uff13", "+3", "3,0", "3.000000e+00", "\u0663"),
        ("1000", "1,000", "1,000.0"),
        ("ﬁsh", "fish", "fish\ufe0f", "fish.", "'fish'", '"fish"', "f\u0456sh"),
        ("men's", "men\u2019s", "men`s"),
        ("t-shirt", "t\u2013shirt", "t\u2011shirt"),
        ("hit", "H\u0130T"),
        ("a & b", "a &amp; b", "a%20&%20b"),
        ("Hütchen", "HÃ¼tchen"),
    ],
)
def test_spellings_of_one_class(names: tuple[str, ...]) -> None:
    assert len({as_read(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3", "3.5"),
        ("10", "1"),
        ("cat", "cats"),
        ("Hut", "Hüt"),
        ("1e3", "1000"),
        ("", "0"),
        ("-1", "1"),
        ("A-", "A"),
        ("x -1", "x 1"),
    ],
)
def test_different_classes(one: str, other: str) -> None:
    assert as_read(one) != as_read(other)


def test_doubts_by_hand() -> None:
    found_out = doubts({"cat": 5, "Cat": 7, "dog": 3, "nan": 2, "cat|dog": 1, "mango; unripe": 4, "N/A": 1})
    assert found_out.alike == (("Cat", "cat"),)
    assert found_out.missing == ("N/A", "nan")
    assert found_out.several == ("cat|dog",)  # 'mango' and 'unripe' stand nowhere else


@pytest.mark.parametrize(
    "word",
    [
        "N.A.",
        "n.a.",
        "(none)",
        "None.",
        "NULL\u200b",
        "\uff2e\uff21",
        "\\N",
        "NaT",
        "[]",
        "{}",
        "''",
        "??",
        "\u2014",
        "...",
        "#REF!",
        *("unknown", "Unknown", "no label", "not labeled", "UNDEFINED", "missing", "(blank)", "TBD", "unsure"),
    ],
)
def test_words_that_mean_no_label(word: str) -> None:
    assert doubts({word: 1, "cat": 1, "dog": 2}).missing == (word,)


@pytest.mark.parametrize("word", ["other", "background", "0", "false", "blank", "empty", "nancy", "+", "nil nisi"])
def test_words_that_are_classes(word: str) -> None:
    assert doubts({word: 1, "cat": 1, "dog": 2}) == Doubts((), (), ())


@pytest.mark.parametrize(
    ("names", "several"),
    [
        (("cat", "dog", "cat/dog", "cat+dog", "cat, dog"), ("cat+dog", "cat, dog", "cat/dog")),
        (("maillot", "maillot, tank suit", "coat/jacket", "coat"), ()),  # names of ImageNet: a part stands nowhere else
        (("cat", "dog", "cat dog", "dog car", "car"), ("cat dog", "dog car")),
        (("red", "wine", "red wine", "white wine bottle", "big bird"), ()),  # most names with spaces are names
        (("0", "1", "0,0", "1,0", "1,000"), ()),  # numbers
        (("['cat', 'dog']", "{cat,dog}", '["cat"]'), ('["cat"]', "['cat', 'dog']", "{cat,dog}")),
    ],
)
def test_several_tags_in_one_name(names: tuple[str, ...], several: tuple[str, ...]) -> None:
    assert doubts(dict.fromkeys(names, 3)).several == several


def test_whole_numbers_with_a_fraction_are_whole_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert spellings({"0.0": 3, "1.0": 2, "x": 1}, "ask", "t.csv") == {"0.0": "0", "1.0": "1", "x": "x"}
    assert "whole numbers, written as '0.0'; they are called '0' here" in capsys.readouterr().err
    assert spellings({"0.5": 3, "1.0": 2}, "ask", "") == {"0.5": "0.5", "1.0": "1"}
    assert spellings({"0.0": 3, "1.0": 2}, "keep", "") == {"0.0": "0.0", "1.0": "1.0"}
    with pytest.raises(NlcliError, match="read alike"):
        spellings({"0.0": 3, "0": 2}, "ask", "")
    assert names_of_list({"0.0": 3, "1.0": 2}, ("0", "1"), "ask", "t.csv") == {"0.0": "0", "1.0": "1"}
    assert names_of_list({"0.0": 3, "1.0": 2}, ("0.0", "1.0"), "ask", "t.csv") == {"0.0": "0.0", "1.0": "1.0"}


def test_values_of_programs_are_asked_about() -> None:
    with pytest.raises(NlcliError, match=r"'b'cat'' \(2 images\) reads as a value of a program"):
        spellings({"b'cat'": 2, "dog": 1}, "ask", "t.csv")


def test_nearly_alike_is_said_and_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"tshirt": 2, "T-shirt": 7, "Hutchen": 1, "Hütchen": 3, "1-2": 1, "12": 1}
    assert spellings(names, "ask", "") == {name: name for name in names}
    told = " ".join(capsys.readouterr().err.split())
    assert "'Hütchen' (3 images) and 'Hutchen' (1 images) may be one class, and 1 more such groups" in told
    assert spellings({"H\ufffdtchen": 1, "hat": 1}, "ask", "")["H\ufffdtchen"] == "H\ufffdtchen"
    assert "hold characters that were lost" in capsys.readouterr().err


def test_what_cannot_be_seen_is_written_out() -> None:
    with pytest.raises(NlcliError, match=r"'hat' \(2 images\) and 'hat\?' \(1 images, written 'hat\\u200b'\)"):
        spellings({"hat": 2, "hat\u200b": 1}, "ask", "")
    with pytest.raises(NlcliError, match=r"written 'Hu\\u0308t'"):
        spellings({"Hüt": 2, "Hu\u0308t": 1}, "ask", "")
    with pytest.raises(NlcliError, match=r"written 'red \\x20hat'"):
        spellings({"red hat": 2, "red  hat": 1}, "ask", "")


def test_asked_with_spellings_and_counts() -> None:
    with pytest.raises(NlcliError, match=r"t\.csv: 'dress' \(1,200 images\) and 'Dress' \(3 images\) read alike"):
        spellings({"dress": 1200, "Dress": 3, "hat": 5}, "ask", "t.csv")
    with pytest.raises(NlcliError, match=r"and 1 more such groups; pass --class-names merge"):
        spellings({"dress": 2, "Dress": 3, "hat": 5, "HAT": 5}, "ask", "t.csv")
    with pytest.raises(NlcliError, match=r"'nan' \(2 images\) reads as if there were no label"):
        spellings({"nan": 2, "hat": 5}, "ask", "t.csv")
    with pytest.raises(NlcliError, match=r"'cat\|dog' \(2 images\), 'dog\|car' \(1 images\) look like several labels"):
        spellings({"cat|dog": 2, "cat": 5, "dog|car": 1}, "ask", "t.csv")


def test_kept_and_merged() -> None:
    counts = {"dress": 2, "Dress": 3, "nan": 5}
    assert spellings(counts, "keep", "") == {"dress": "dress", "Dress": "Dress", "nan": "nan"}
    assert spellings(counts, "merge", "") == {"dress": "Dress", "Dress": "Dress", "nan": "nan"}
    assert spellings({"dress": 2, "hat": 3}, "ask", "") == {"dress": "dress", "hat": "hat"}


def test_escape_sequences_are_not_printed() -> None:
    with pytest.raises(NlcliError) as told:
        spellings({"a\x1b[31m": 1, "A\x1b[31m": 1}, "ask", "t.csv")
    assert "\x1b" not in str(told.value)


def test_many_classes_are_quick() -> None:
    counts = {f"class {i}": 1 for i in range(50_000)}
    assert spellings(counts, "ask", "t.csv") == {name: name for name in counts}
