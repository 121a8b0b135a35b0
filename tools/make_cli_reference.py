"""Write docs/cli.md from ``--help``: ``python -m tools.make_cli_reference [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.printed import command_names, printed

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"


def reference() -> str:
    """The whole reference as Markdown, from the help texts at a width of 100 columns."""

    def help_of(*arguments: str) -> str:
        lines = printed(*arguments, "--help", width=100).strip().splitlines()
        return "\n".join(line.rstrip() for line in lines)

    parts = ["# Command line", "", "Made from `--help` by `make docs`; a test checks that it is up to date.", ""]
    parts += ["```text", help_of(), "```", ""]
    for name in command_names():
        parts += [f"## nlcli {name}", "", "```text", help_of(name), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    text = reference()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else f"{TARGET} is out of date; run: make docs")
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET}")
