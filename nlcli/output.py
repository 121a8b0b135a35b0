"""What goes to standard output for people."""

from __future__ import annotations

import sys
from typing import Any


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print names and values as two aligned columns; nested values are left to ``--json``."""
    flat = {k.replace("_", " "): v for k, v in pairs.items() if not isinstance(v, dict | list)}
    width = max(len(name) for name in flat)
    for name, value in flat.items():
        print(f"{name:<{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def print_markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal, as it is into a pipe or file."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    else:
        print(text)
