"""The pages of the documentation site that are made from sources: README, cards, ``--help``, the Python interface.

Every page has an *origin*, the file of the repository it is made of, and a *place* on the site. Links are written for
who reads the repository, and are turned into links between pages here. Needs no MkDocs; ``site_hooks.py`` does.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.command_pages import Command, cell, command_lines, every_command, list_lines
from tools.interface_pages import interface_pages
from tools.make_cli_reference import ABOUT

if TYPE_CHECKING:
    from nlcli.registry import Catalogue

ROOT = Path(__file__).parents[1]
# Files outside docs/ that are pages, and pages in docs/ that are made anew for the site: where they stand on it.
PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "datasets/index.md",
    "docs/cli.md": "commands/index.md",
}
CARDS = {
    "methods": "nlcli/methods/cards",
    "detectors": "nlcli/detection/detectors/cards",
    "tag-detectors": "nlcli/detection/tags/detectors/cards",
}
NO_CONTENTS = "---\nhide: [toc]\n---\n"  # a page of tables needs the width more than a table of contents
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")


@dataclass(frozen=True)
class Page:
    """One page of the site.

    Attributes:
        place: Where it stands on the site, such as ``methods/residual.md``.
        text: Markdown; links lead to pages.
        origin: The file or folder of the repository that it is made of.
    """

    place: str
    text: str
    origin: str


def made_pages() -> list[Page]:
    """All pages that do not stand in docs/ as they are."""
    pages = [from_file(origin, place) for origin, place in PLACES.items() if origin != "docs/cli.md"]
    for section in CARDS:
        pages += [card_page(section, file.stem) for file in card_files(section)]
        pages.append(catalogue_page(section))
    pages += [command_page(command) for command in every_command().values()]
    pages.append(commands_page())
    pages += [Page(f"interface/{name}", text, "nlcli/__init__.pyi") for name, text in interface_pages().items()]
    return pages


def place_of(path: str) -> str | None:
    """Where a file of the repository stands on the site; None if it is no page."""
    if path in PLACES:
        return PLACES[path]
    for section, folder in CARDS.items():
        if path.startswith(folder + "/"):
            return f"{section}/{posixpath.basename(path)}"
    return path.removeprefix("docs/") if path.startswith("docs/") and path.endswith((".md", ".png")) else None


COMMAND = "#nlcli-"
"""How the anchor of a command begins in docs/cli.md."""


def relinked(text: str, origin: str, place: str) -> str:
    """``text`` of the file ``origin`` with its links leading to pages, seen from the page ``place``.

    A link to a file of the repository that is no page becomes the file's name: the site must not depend on where the
    repository is kept.

    Raises:
        ValueError: A link leads nowhere.
    """

    def link(match: re.Match[str]) -> str:
        target, anchor = match["target"], match["anchor"] or ""
        if not target or target.startswith(("http://", "https://", "mailto:")):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if not (ROOT / path).exists():
            raise ValueError(f"{origin}: the link to {target} leads nowhere")
        page = place_of(path)
        if path == "docs/cli.md" and anchor.startswith(COMMAND):  # one page here, a page for each command there
            page, anchor = f"commands/{anchor.removeprefix(COMMAND)}.md", ""
        if page is None:
            return match["text"] if match["text"].startswith("`") else f"{match['text']} (`{path}`)"
        return f"[{match['text']}]({posixpath.relpath(page, posixpath.dirname(place) or '.')}{anchor})"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def from_file(origin: str, place: str) -> Page:
    """The file ``origin`` as the page ``place``."""
    return Page(place, relinked((ROOT / origin).read_text(encoding="utf-8"), origin, place), origin)


# --- methods and detectors -------------------------------------------------------------------


def card_files(section: str) -> list[Path]:
    """The cards of a section."""
    return sorted((ROOT / CARDS[section]).glob("*.md"))


def catalogue(section: str) -> Catalogue[Any, Any]:
    """Our methods, our detectors, or those of tags."""
    from nlcli.detection import DETECTORS
    from nlcli.detection.tags import TAG_DETECTORS
    from nlcli.methods import METHODS

    catalogues: dict[str, Catalogue[Any, Any]] = {
        "methods": METHODS,
        "detectors": DETECTORS,
        "tag-detectors": TAG_DETECTORS,
    }
    return catalogues[section]


def card_page(section: str, name: str) -> Page:
    """A method's or detector's card with its options and its citation."""
    card = catalogue(section).describe(name)
    place, origin = f"{section}/{name}.md", f"{CARDS[section]}/{name}.md"
    parts = [relinked(card["card"].rstrip(), origin, place), "", "## All options", ""]
    if card["options"]:
        parts += ["Given as `--set NAME=VALUE`.", "", "| option | default | |", "|---|---|---|"]
        parts += [
            f"| `{option}` | `{json.dumps(field['default'])}` | {cell(field['description'] or '')} |"
            for option, field in card["options"].items()
        ]
    else:
        parts.append("None.")
    parts += ["", "## Citation", "", "```bibtex", card["citation"].strip(), "```", ""]
    return Page(place, "\n".join(parts), origin)


def catalogue_page(section: str) -> Page:
    """The list of methods or detectors, each a link to its card."""
    ours = [file.stem for file in card_files(section)]
    rows = sorted((row for row in catalogue(section).listing() if row["name"] in ours), key=lambda row: row["name"])
    about = {
        "methods": "What `nlcli train-head --method NAME` trains; `nlcli methods NAME` prints the same card. "
        "[How to choose](../choosing.md).",
        "detectors": "What `nlcli detect-noise --method NAME` finds wrong labels by; `nlcli detectors NAME` prints the "
        "same card. [Which one?](../detection.md#what-each-needs)",
        "tag-detectors": "What `nlcli detect-noise --method NAME` finds wrong and missing tags by, with several labels "
        "an image; `nlcli detectors NAME --tags` prints the same card. [How](../detection-tags.md#detectors)",
    }[section]
    title = section.replace("tag-detectors", "detectors of tags").capitalize()
    parts = [f"# {title}", "", about, "", "| name | what it does | paper |", "|---|---|---|"]
    parts += [f"| [`{row['name']}`]({row['name']}.md) | {cell(row['title'])} | {cell(row['paper'])} |" for row in rows]
    return Page(f"{section}/index.md", "\n".join([*parts, ""]), CARDS[section])


# --- commands --------------------------------------------------------------------------------


def command_page(command: Command) -> Page:
    """One command: an example, and its options in tables."""
    lines = [NO_CONTENTS, f"# nlcli {command.name}", "", *command_lines(command, "##")]
    return Page(f"commands/{command.name}.md", "\n".join(lines), "docs/cli.md")


def commands_page() -> Page:
    """The list of commands."""
    lines = [NO_CONTENTS, "# Commands", "", ABOUT, *list_lines("##", "{}.md")]
    return Page("commands/index.md", "\n".join(lines), "docs/cli.md")


# --- what stands where -----------------------------------------------------------------------


def section_pages(section: str) -> list[str]:
    """The places of a section's pages, the list first: ``commands``, ``interface``, ``methods`` or ``detectors``."""
    if section == "interface":
        return [f"{section}/{name}" for name in interface_pages()]
    if section == "commands":
        return [f"{section}/index.md", *(f"{section}/{name}.md" for name in every_command())]
    return [f"{section}/index.md", *(f"{section}/{file.name}" for file in card_files(section))]


def links(page: Page) -> Iterator[str]:
    """The places to which a page's links lead."""
    for part in FENCE.split(page.text):
        if not part.startswith("```"):
            for match in LINK.finditer(part):
                if match["target"] and not match["target"].startswith(("http://", "https://", "mailto:")):
                    yield posixpath.normpath(posixpath.join(posixpath.dirname(page.place), match["target"]))
