"""Stages whose result is one page that carries its own record: a file to send to somebody.

The rules are those of directories (``stage.py``): the same recipe at the same place is up to date, another one is
refused unless ``--force``, what nlcli did not make is never overwritten, and the file is whole or not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.stages.embedded_record import embedded, read_embedded
from nlcli.stages.files import atomic_path, fingerprint_json, remove_left_behind, system_sentences
from nlcli.stages.stage import Making, StageRecord, differences

if TYPE_CHECKING:
    from nlcli.stages.config import StageConfig


class PageStage:
    """A page being made: call ``finish`` with it. With ``up_to_date`` set there is nothing to do."""

    def __init__(self, making: Making) -> None:
        self.making = making
        self.output = making.output
        self.up_to_date = False
        self.finished = False
        self._new = not os.path.lexists(making.output)

    def finish(self, before: str, after: str, summary: Mapping[str, Any]) -> None:
        """Write the page: what stands before its record, and what stands after it.

        How long it took is not told, so that the same page has the same bytes.
        """
        file = self.making.record(fingerprint_json([before, after]), summary)
        try:
            with atomic_path(self.output, new=self._new) as temporary:
                temporary.write_text(before + embedded(file.to_json()) + after, encoding="utf-8")
        except FileExistsError:  # another process made one meanwhile: this one, or it is refused
            if not _is_up_to_date(self.output, self.making.recipe, force=False):
                raise
        self.finished = True


@contextmanager
def open_page(
    kind: str,
    config: StageConfig,
    inputs: Mapping[str, StageRecord | Path | str | None],
    *,
    seed: int | None = None,
    force: bool = False,
    format: int = 0,
) -> Iterator[PageStage]:
    """Make one page; the arguments are those of ``open_stage``.

    Raises:
        NlcliError: the output holds something else, or cannot be written.
    """
    stage = PageStage(Making.of(kind, config, inputs, seed=seed, format=format, page=True))
    output = stage.output
    with system_sentences(output):
        stage.up_to_date = _is_up_to_date(output, stage.making.recipe, force)
        output.parent.mkdir(parents=True, exist_ok=True)
        remove_left_behind(output)
        yield stage
        if not stage.up_to_date and not stage.finished:
            raise RuntimeError(f"stage {kind} ended without finish()")


def _is_up_to_date(output: Path, recipe: dict[str, Any], force: bool) -> bool:
    if output.is_dir():
        raise NlcliError(f"{output} is a folder; choose another --output")
    if os.path.lexists(output) and not output.is_file():
        raise NlcliError(f"{output} is a pipe, a device or a link to nowhere; choose another --output")
    if not os.path.lexists(output) or output.stat().st_size == 0:
        return False
    content = read_embedded(output) if output.is_file() else None
    before = content.get("recipe") if isinstance(content, dict) else None
    if not isinstance(before, dict):
        raise NlcliError(f"{output} exists and was not made by nlcli; choose another --output")
    if before == recipe:
        say(f"{output} is up to date")
        return True
    if not force:
        raise NlcliError(
            f"{output} holds a different result ({differences(before, recipe)}); "
            "pass --force to replace it, or choose another --output"
        )
    return False
