"""The reference of commands for the site, made from ``--help``: a page a command, its options in tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.printed import printed

WIDE = 2000  # columns: no line of a help text is broken
NO_CONTENTS = "---\nhide: [toc]\n---\n"  # a page of tables needs the width more than a table of contents


@dataclass
class HelpPanel:
    """A framed list of a help text: its title, and of every row the name (flags), the type, the words."""

    title: str
    rows: list[tuple[str, str, str]]


def command_page(name: str) -> str:
    """A command's help as a page: an example, and its options in tables."""
    lines, panels = read_help(printed(name, "--help", width=WIDE))
    usage = next(line.removeprefix("Usage: ") for line in lines if line.startswith("Usage: "))
    example = next(line.removeprefix("Example: ") for line in lines if line.startswith("Example: "))
    words = [line for line in lines if not line.startswith(("Usage: ", "Example: "))]
    parts = [NO_CONTENTS, f"# nlcli {name}", "", *words, "", "```console", f"$ {wrapped(example)}", "```", ""]
    if not usage.endswith(f"{name} [OPTIONS]"):
        parts += ["```text", usage, "```", ""]
    for panel in panels:
        parts += [f"## {panel.title}", "", "| | type | default | |", "|---|---|---|---|"]
        for flags, type_words, text in panel.rows:
            default, about = split_default(text)
            parts.append(f"| {names(flags)} | {kind(type_words)} | {default} | {cell(about)} |")
        parts.append("")
    return "\n".join(parts)


def commands_page() -> str:
    """The list of commands, as ``nlcli --help`` has it."""
    lines, panels = read_help(printed("--help", width=WIDE))
    parts = [NO_CONTENTS, "# Commands", "", *(line for line in lines if not line.startswith("Usage: ")), ""]
    for panel in panels:
        parts += [f"## {panel.title}", "", "| | |", "|---|---|"]
        for name, _, about in panel.rows:
            parts.append(f"| {names(name) if name.startswith('-') else f'[`{name}`]({name}.md)'} | {cell(about)} |")
        parts.append("")
    parts += ["Exit code 0 is success, 1 a failure told in a sentence, 2 wrong usage, 130 stopped by Ctrl-C.", ""]
    return "\n".join(parts)


def read_help(text: str) -> tuple[list[str], list[HelpPanel]]:
    """The lines above the frames of a help text, and what stands in each frame.

    The text must be wide enough that nothing is broken into lines.
    """
    lines: list[str] = []
    panels: list[HelpPanel] = []
    for line in text.splitlines():
        inside = line.strip("│╭╮╰╯─ ")
        if line.startswith("╭"):
            panels.append(HelpPanel(inside, []))
        elif line.startswith("│") and inside.startswith("[") and panels[-1].rows:
            name, words, about = panels[-1].rows[-1]
            panels[-1].rows[-1] = (name, words, f"{about} {inside}")
        elif line.startswith("│") and inside:
            panels[-1].rows.append(read_row(inside))
        elif inside:
            lines.append(inside)
    return lines, panels


def read_row(text: str) -> tuple[str, str, str]:
    """Name or flags, type, words: ``*  --output  -o  <path>  Directory to write.``"""
    cells = [part for part in re.split(r" {2,}", text.removeprefix("*").strip()) if part]
    flags = [part for part in cells if part.startswith("-")] or cells[:1]
    rest = cells[len(flags) :]
    words = rest.pop(0) if rest and rest[0].startswith("<") else ""
    return ", ".join(flags), words.strip("<>"), " ".join(rest)


def split_default(about: str) -> tuple[str, str]:
    """The words ``[default: 1]`` or ``[required]`` at the end of a help text, for a column of their own."""
    match = re.search(r" \[(?:default: (?P<value>.*?)|required)\]$", about)
    if match is None:
        return "", about
    return "*required*" if match["value"] is None else f"`{match['value']}`", about[: match.start()]


def names(flags: str) -> str:
    """``--output, -o``, each as code."""
    return ", ".join(f"`{flag}`" for flag in flags.split(", "))


def kind(words: str) -> str:
    """A type as people read it: alternatives one by one, a switch without any."""
    if words == "bool":
        return ""
    inner = re.fullmatch(r"list\[(.+)\]", words)
    word = inner[1].lower() if inner else words
    shown = ", ".join(f"`{choice}`" for choice in word.split("|")) if "|" in word else word
    return f"{shown}, several" if inner else shown


def wrapped(command: str) -> str:
    """A command on lines of at most 100 characters."""
    lines = [""]
    for word in command.split():
        if len(lines[-1]) + len(word) > 95:
            lines.append("     ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def cell(text: str) -> str:
    """``text`` in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
