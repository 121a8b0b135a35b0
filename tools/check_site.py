"""Whether every link of the built site leads somewhere, and nothing is fetched from elsewhere.

``python -m tools.check_site build/site``: exit code 1 and a line for each fault.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class References(HTMLParser):
    """What a page refers to, what it can be referred to by, and what a browser would load for it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(values.get("href", ""))
        if tag in ("script", "img", "iframe", "source", "video") and "src" in values:
            self.loaded.append(values["src"])


def faults(site: Path) -> list[str]:
    """A sentence for every link that leads nowhere and everything that is loaded from another host."""
    pages = {page.resolve(): References(page) for page in sorted(site.rglob("*.html")) if page.name != "404.html"}
    sentences = []
    for page, references in pages.items():
        name = page.relative_to(site.resolve())
        sentences += [f"{name}: loads {one} from elsewhere" for one in references.loaded if urlsplit(one).netloc]
        for link in {*references.links, *references.loaded}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                sentences.append(f"{name}: the link to {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                sentences.append(f"{name}: {link} has no such heading")
    return sentences


if __name__ == "__main__":
    problems = faults(Path(sys.argv[1]))
    print("\n".join(problems) or "every link leads somewhere")
    sys.exit(bool(problems))
