"""Configuration of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import field_validator

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option


class Report(StageConfig):
    """Put what stages made onto one page."""

    directories: Annotated[
        tuple[Path, ...],
        Option(
            "Directories made by nlcli, or folders of them; what they were made from is looked up.",
            panel="Data",
            role="input",
            place="argument",
        ),
    ]
    output: Annotated[Path, Option("Page to write (.html).", panel="Output", role="runtime", short="-o")]
    title: Annotated[str | None, Option("Title of the page (default: the data set's name).", panel="Output")] = None
    thumbnails: Annotated[
        int, Option("Most pictures on the page, those that matter most first.", panel="Output", ge=12, le=300)
    ] = 60

    @field_validator("output")
    @classmethod
    def _a_page_is_named_so(cls, output: Path) -> Path:
        if output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"'{output}' is no page; its name ends in .html, such as '{output}.html'")
        return output
