"""Texts in pictures: names from outside are drawn as they are, however long, whatever is in them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from PIL import Image

from nlcli.drawing import cut, new_figure, photograph_grid, save_figure

HOSTILE = (
    "$\\frac$ and $x_",
    "tab\there \x1b[31m\u202e",
    "漢字 \U0001f600",
    "n" * 400,
    "\\mathdefault{$",
    "two\nlines",
)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_any_name_can_be_drawn_without_a_warning(tmp_path: Path, suffix: str) -> None:
    figure = new_figure(7.2, 4)
    axes = figure.subplots()
    for name in HOSTILE:
        axes.plot([0, 1], label=name)
    axes.set_xscale("log")
    axes.set_yticks(range(len(HOSTILE)), HOSTILE, fontsize=8)
    axes.set_title(HOSTILE[0])
    figure.legend(loc="outside lower center", fontsize=8)
    figure.supxlabel(HOSTILE[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / f"x.{suffix}")
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert ticks == [HOSTILE[0], "tab?here ?[31m?", HOSTILE[2], "n" * 47 + " ...", HOSTILE[4], HOSTILE[5]]
    assert any(
        "mathdefault" in label.get_text() for label in axes.get_xticklabels()
    )  # powers of ten are formulas still
    assert figure.legends[0].get_texts()[1].get_text() == "tab?here ?[31m?"
    assert axes.get_position().width > 0.3  # there is room for what is drawn


def test_photographs_with_any_line_and_a_foot(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for meaning in ("", "one\ntwo"):
            photograph_grid(
                [(None, [(name, "0.1") for name in HOSTILE])], tmp_path / f"x{meaning[:1]}.png", meaning=meaning
            )
    bare, told = (Image.open(tmp_path / name).size for name in ("x.png", "xo.png"))
    assert told[0] == bare[0]
    assert told[1] - bare[1] == pytest.approx(2 * 23)  # two lines of 0.19 inches at 120 dots


def test_a_long_word_keeps_its_beginning() -> None:
    assert cut("n02084071_domestic_dog", 12) == "n0208407 ..."
    assert cut("twelve signs", 12) == "twelve signs"
    assert len(cut("a name of words", 12)) <= 12
