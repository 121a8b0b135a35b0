"""Texts in pictures: names from outside are drawn as they are, however long, whatever is in them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli import fonts
from nlcli.drawing import cut, new_figure, photograph_grid, save_figure
from worlds.fonts import write_font

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
    assert ticks == [
        HOSTILE[0],
        "tab?here ?[31m?",
        fonts.drawable(HOSTILE[2]),
        "n" * 47 + " ...",
        HOSTILE[4],
        HOSTILE[5],
    ]
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


# --- scripts ---------------------------------------------------------------------------------


@pytest.fixture
def fonts_with_a_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system has one font, in which 漢 is a square of 0.8 of its size, and a file that is none."""
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    path = write_font(tmp_path / "square.ttf", "Square", {"漢": 800})
    fonts.font_of.cache_clear()
    monkeypatch.setattr(fonts, "system_fonts", lambda: (tmp_path / "broken.ttf", path))
    yield
    fonts.font_of.cache_clear()


def test_what_a_font_of_the_system_has_is_drawn_and_other_signs_are_numbers(fonts_with_a_sign: None) -> None:
    assert fonts.drawable("plain é ✓ 漢字 \U0001f9ff\n") == "plain é ✓ 漢\\u5b57 \\U0001f9ff\n"
    assert [part for part, _ in fonts.runs("a漢漢b")] == ["a", "漢漢", "b"]
    assert [font.name for font in fonts.others(["a", "漢", "é漢"])] == ["square.ttf"]


def _dark(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")) < 128


def test_a_sign_of_another_font_is_drawn_in_a_grid(fonts_with_a_sign: None, tmp_path: Path) -> None:
    photograph_grid([(None, [("漢", "0.0")])], tmp_path / "one.png")
    photograph_grid([(None, [("", "0.0")])], tmp_path / "none.png")
    rows, columns = np.nonzero(_dark(tmp_path / "one.png") & ~_dark(tmp_path / "none.png"))
    side = 0.8 * 8.5 / 72 * 120  # inches of the size, times dots
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == pytest.approx((side, side), abs=1.1)
    assert len(rows) > 0.9 * (side - 1) ** 2  # filled, as a box of a sign that is missing is not


@pytest.mark.parametrize("where", ["tick", "title"])
def test_a_sign_of_another_font_is_drawn_in_a_figure(where: str, fonts_with_a_sign: None, tmp_path: Path) -> None:
    for name in ("漢漢", "  "):
        figure = new_figure(3, 2)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.5, 0.2, 0.4, 0.5))
        axes.set_yticks([0.5], [name if where == "tick" else "  "], fontsize=20)
        axes.set_title(name if where == "title" else "  ", fontsize=20)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            save_figure(figure, tmp_path / f"{len(name.strip())}.png")
    side = 0.8 * 20 / 72 * 120
    more = int(_dark(tmp_path / "2.png").sum()) - int(_dark(tmp_path / "0.png").sum())
    assert more == pytest.approx(2 * side * side, rel=0.1)
