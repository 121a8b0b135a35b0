"""Names that a person reads as one class, and what is done about them."""

from __future__ import annotations

import pytest

from nlcli.data.class_names import as_read, doubts, spellings
from nlcli.errors import NlcliError


@pytest.mark.parametrize(
    "names",
    [
        ("Dress", "dress", " dress", "dress ", "DRESS", "dre\u00adss", "d\u200bress"),
        ("T-shirt", "t shirt", "T_shirt", "t\u00a0shirt", "T  shirt"),
        ("Hütchen", "Hu\u0308tchen", "hütchen"),
        ("3", "3.0", "03", "3.", "\uff13"),
        ("ﬁsh", "fish"),
    ],
)
def test_spellings_of_one_class(names: tuple[str, ...]) -> None:
    assert len({as_read(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("3", "3.5"), ("10", "1"), ("cat", "cats"), ("Hut", "Hüt"), ("1e3", "1000"), ("", "0")]
)
def test_different_classes(one: str, other: str) -> None:
    assert as_read(one) != as_read(other)


def test_doubts_by_hand() -> None:
    found_out = doubts({"cat": 5, "Cat": 7, "dog": 3, "nan": 2, "cat|dog": 1, "mango; unripe": 4, "N/A": 1})
    assert found_out.alike == (("Cat", "cat"),)
    assert found_out.missing == ("N/A", "nan")
    assert found_out.several == ("cat|dog",)  # 'mango' and 'unripe' stand nowhere else


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
