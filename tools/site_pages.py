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

from tools.command_pages import WIDE, cell, command_page, commands_page
from tools.printed import command_names, printed

ROOT = Path(__file__).parents[1]
# Files outside docs/ that are pages, and pages in docs/ that are made anew for the site: where they stand on it.
PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "datasets/index.md",
    "docs/cli.md": "commands/index.md",
}
CARDS = {"methods": "nlcli/methods/cards", "detectors": "nlcli/detection/detectors/cards"}
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
    for section, folder in CARDS.items():
        command = "methods" if section == "methods" else "detectors"
        pages += [card_page(command, file.stem, folder, section) for file in sorted((ROOT / folder).glob("*.md"))]
        pages.append(catalogue_page(command, folder, section))
    pages += [Page(f"commands/{name}.md", command_page(name), "docs/cli.md") for name in command_names()]
    pages.append(Page("commands/index.md", commands_page(), "docs/cli.md"))
    return pages


def place_of(path: str) -> str | None:
    """Where a file of the repository stands on the site; None if it is no page."""
    if path in PLACES:
        return PLACES[path]
    for section, folder in CARDS.items():
        if path.startswith(folder + "/"):
            return f"{section}/{posixpath.basename(path)}"
    return path.removeprefix("docs/") if path.startswith("docs/") and path.endswith(".md") else None


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
        if page is None:
            return match["text"] if match["text"].startswith("`") else f"{match['text']} (`{path}`)"
        return f"[{match['text']}]({posixpath.relpath(page, posixpath.dirname(place) or '.')}{anchor})"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def from_file(origin: str, place: str) -> Page:
    """The file ``origin`` as the page ``place``."""
    return Page(place, relinked((ROOT / origin).read_text(encoding="utf-8"), origin, place), origin)


# --- methods and detectors -------------------------------------------------------------------


def card_page(command: str, name: str, folder: str, section: str) -> Page:
    """A method's or detector's card with its options and its citation."""
    card = json.loads(printed(command, name, "--json", width=WIDE))
    place, origin = f"{section}/{name}.md", f"{folder}/{name}.md"
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


def catalogue_page(command: str, folder: str, section: str) -> Page:
    """The list of methods or detectors, each a link to its card."""
    rows = json.loads(printed(command, "--json", width=WIDE))
    about = {
        "methods": "What `nlcli train-head --method NAME` trains; `nlcli methods NAME` prints the same card. "
        "[How to choose](../choosing.md).",
        "detectors": "What `nlcli detect-noise --method NAME` finds wrong labels by; `nlcli detectors NAME` prints the "
        "same card. [Which one?](../detection.md#what-it-needs)",
    }[section]
    parts = [f"# {section.capitalize()}", "", about, "", "| | what it does | paper |", "|---|---|---|"]
    parts += [f"| [`{row['name']}`]({row['name']}.md) | {cell(row['title'])} | {cell(row['paper'])} |" for row in rows]
    return Page(f"{section}/index.md", "\n".join([*parts, ""]), folder)


# --- what stands where -----------------------------------------------------------------------


def section_pages(section: str) -> list[str]:
    """The places of a section's pages, the list first: ``commands``, ``methods`` or ``detectors``."""
    if section == "commands":
        return [f"{section}/index.md", *(f"{section}/{name}.md" for name in command_names())]
    return [f"{section}/index.md", *(f"{section}/{file.name}" for file in sorted((ROOT / CARDS[section]).glob("*.md")))]


def links(page: Page) -> Iterator[str]:
    """The places to which a page's links lead."""
    for part in FENCE.split(page.text):
        if not part.startswith("```"):
            for match in LINK.finditer(part):
                if match["target"] and not match["target"].startswith(("http://", "https://", "mailto:")):
                    yield posixpath.normpath(posixpath.join(posixpath.dirname(page.place), match["target"]))
