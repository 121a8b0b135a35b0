"""Write docs/cli.md from the command line itself: ``python -m tools.make_cli_reference [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.command_pages import command_lines, every_command, list_lines

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
ABOUT = """Every command and every option, as `nlcli --help` and `nlcli COMMAND --help` tell them. Made by
`make docs`; a test checks that it is up to date.

`nlcli --quiet` (`-q`) in front of a command prints no progress and no messages; `nlcli --version` prints the version.
The exit code is 0 for success, 1 for a failure told in a sentence, 2 for wrong usage, 130 for stopped by Ctrl-C.
"""


def reference() -> str:
    """The whole reference as Markdown."""
    lines = ["# Command line", "", ABOUT, *list_lines("##", "#nlcli-{}")]
    for command in every_command().values():
        lines += [f"## nlcli {command.name}", "", *command_lines(command, "###")]
    return "\n".join(lines)


if __name__ == "__main__":
    text = reference()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else f"{TARGET} is out of date; run: make docs")
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET}")
