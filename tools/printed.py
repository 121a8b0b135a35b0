"""What a command of nlcli prints, at a given width of the terminal."""

from __future__ import annotations

from functools import cache


@cache
def printed(*arguments: str, width: int) -> str:
    """The output of ``nlcli ARGUMENTS`` on a terminal of ``width`` columns, without colours.

    Raises:
        RuntimeError: The command fails.
    """
    from typer.testing import CliRunner

    from nlcli.cli import app

    # COLUMNS alone: TERMINAL_WIDTH is read once a process, when Typer is imported.
    plain = {"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [*arguments], prog_name="nlcli", terminal_width=width, env=plain)
    if result.exit_code:
        raise RuntimeError(f"nlcli {' '.join(arguments)} failed: {result.output}")
    return result.stdout


def command_names() -> list[str]:
    """Every command, in the order of the help."""
    import typer

    from nlcli.cli import app

    return list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
