"""Write docs/cli.md from ``--help``: ``python -m tools.make_cli_reference [--check]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"


def reference() -> str:
    """The whole reference as Markdown, from the help texts at a width of 100 columns."""
    os.environ |= {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    from typer.testing import CliRunner

    from nlcli.cli import app

    runner = CliRunner()

    def help_of(*arguments: str) -> str:
        result = runner.invoke(app, [*arguments, "--help"], prog_name="nlcli", terminal_width=100)
        if result.exit_code:
            raise RuntimeError(f"nlcli {' '.join(arguments)} --help failed: {result.output}")
        return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())

    parts = ["# Command line", "", "Made from `--help` by `make docs`; a test checks that it is up to date.", ""]
    parts += ["```text", help_of(), "```", ""]
    for name in command_names():
        parts += [f"## nlcli {name}", "", "```text", help_of(name), "```", ""]
    return "\n".join(parts)


def command_names() -> list[str]:
    """Every command, in the order of the help."""
    import typer

    from nlcli.cli import app

    return list(typer.main.get_command(app).commands)


if __name__ == "__main__":
    text = reference()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else f"{TARGET} is out of date; run: make docs")
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET}")
