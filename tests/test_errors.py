"""Sentences: short, on one line, without what a terminal would obey."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from nlcli.errors import NlcliError, first_problem, printable, sentence, shortened, unknown_name


class Model(BaseModel):
    size: int
    names: dict[str, int] = {}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "option 'size' is required"),
        ({"size": "big"}, "(given: 'big')"),
        ({"size": "x" * 70_000}, "..."),
        ({"size": "\x1b[31mred\n"}, "'\\x1b[31mred\\n'"),
        ({"size": 1, "names": {"\x1b[31m" + "y" * 500: "z"}}, "option 'names.?[31myyy"),
    ],
)
def test_a_problem_is_short_and_plain(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        Model(**values)
    told = first_problem(invalid.value)
    assert words in told
    assert told.isprintable()
    assert len(told) < 500


def test_an_unknown_name() -> None:
    assert (
        unknown_name("resnet51", ["resnet50", "vgg"], "network")
        == "unknown network 'resnet51'; did you mean 'resnet50'?"
    )
    assert unknown_name("x\x1b]0;y", ["aa", "bb"], "class") == "unknown class 'x?]0;y'; known: aa, bb"
    assert unknown_name("?", [f"class {i:03d}" for i in range(1000)], "class").endswith("class 039 and 960 more")
    assert len(unknown_name("q" * 10**6, ["aa"], "class")) < 150


def test_printable_and_shortened() -> None:
    assert printable("a\tb\u202ec") == "a?b?c"
    assert printable("a" * 81) == "a" * 80 + "..."
    assert printable("a" * 81, None) == "a" * 81
    assert shortened(ValueError("one\n two\x1b[0m")) == "one two?[0m"
    with pytest.raises(NlcliError, match=r"^cannot read it \(two lines\)$"), sentence("cannot read it"):
        raise ValueError("two\nlines")


def test_a_name_in_other_capitals_is_the_near_one() -> None:
    assert unknown_name("DRESS", ("dress", "hat"), "class") == "unknown class 'DRESS'; did you mean 'dress'?"
