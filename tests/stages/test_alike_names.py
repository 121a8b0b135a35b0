"""Names that a file system without capitals, or one that composes letters, takes for one."""

from __future__ import annotations

import pytest

from nlcli.stages.alike_names import NamesApart, folded

COMPOSED, DECOMPOSED = "Caf\u00e9", "Cafe\u0301"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cAT"),
        (COMPOSED, DECOMPOSED),
        (COMPOSED, "CAFE\u0301"),
        ("STRASSE", "stra\u00dfe"),
        ("\u212b", "\u00e5"),
    ],
)
def test_alike(one: str, other: str) -> None:
    assert one != other
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("cat", "cap"), ("cafe", COMPOSED), ("a", "a "), ("a.b", "a_b")])
def test_not_alike(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def test_each_name_given_is_unlike_all_before() -> None:
    apart = NamesApart(taken=["Taken.txt"])
    given = [apart.give(name) for name in ("cat", "Cat", "cat~2", "CAT", COMPOSED, DECOMPOSED, "dog")]
    assert given == ["cat", "Cat~2", "cat~2~2", "CAT~3", COMPOSED, DECOMPOSED + "~2", "dog"]
    assert apart.give("taken", ".TXT") == "taken~2.TXT"


def test_what_is_alike_may_be_what_is_equal() -> None:
    apart = NamesApart(alike=str)
    assert [apart.give(name) for name in ("cat", "Cat", "cat")] == ["cat", "Cat", "cat~2"]
