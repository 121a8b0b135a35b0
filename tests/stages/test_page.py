"""A page that another process makes at the same time, and what a killed one left beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.page import open_page
from worlds.stage_builders import MakeConfig


def make(output: Path, size: int, *, force: bool = False, meanwhile: int | None = None) -> None:
    with open_page("page", MakeConfig(output=output, size=size), {}, force=force) as stage:
        if meanwhile is not None:
            make(output, meanwhile)
        if not stage.up_to_date:
            stage.finish(f"<p>{size}</p>", "", {})


def test_a_page_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    with pytest.raises(NlcliError, match=r"page.html holds a different result \(differs in size 4 -> 3\)"):
        make(page, 3, meanwhile=4)
    assert "<p>4</p>" in page.read_text()
    page.unlink()
    make(page, 3, meanwhile=3)
    assert "<p>3</p>" in page.read_text()
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_page_does_not_take_the_place_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NlcliError, match="pipe is a pipe, a device or a link to nowhere; choose another --output"):
        make(tmp_path / "pipe", 3)
    assert (tmp_path / "pipe").is_fifo()


def test_a_page_is_made_where_no_file_has_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    make(tmp_path / "page.html", 3)
    assert os.listdir(tmp_path) == ["page.html"]


def test_what_a_killed_process_wrote_is_removed_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "[page].html", 3)
    left = ".[page].html.999999999.tmp~"
    alive = f".[page].html.{os.getppid()}.tmp~"
    for name in (left, alive, ".[page].html.\u00b2.tmp~", f".[page].html.{10**30}.tmp~", ".p.html.999999999.tmp~"):
        (tmp_path / name).write_text("half")
    make(tmp_path / "[page].html", 3)
    assert sorted(os.listdir(tmp_path)) == sorted(
        [".[page].html.\u00b2.tmp~", ".p.html.999999999.tmp~", alive, "[page].html"]
    )
