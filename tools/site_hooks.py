"""What MkDocs calls while it builds the site (mkdocs.yml names this file): adds the made pages, turns links.

The work is in ``site_pages.py``; here it is only given to MkDocs.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

from tools import site_pages

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """An entry ``NAME: SECTION/`` of the navigation becomes all pages of the section."""
    config.nav = [_with_pages(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages made from sources join those of docs/."""
    for page in site_pages.made_pages():
        if (old := files.get_file_from_path(page.place)) is not None:
            files.remove(old)
        files.append(File.generated(config, page.place, content=page.text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the pages of docs/, which lead to files of the repository, lead to pages."""
    if page.file.generated_by is not None:
        return markdown
    return site_pages.relinked(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)


def _with_pages(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    (title, value), *_ = entry.items()
    if isinstance(value, list):
        return {title: [_with_pages(inner) for inner in value]}
    if value.endswith("/"):
        pages = site_pages.section_pages(value.removesuffix("/"))
        if value == "interface/":  # these pages are called by their titles, the others by what they describe
            return {title: pages}
        return {title: [pages[0], *({posixpath.basename(page).removesuffix(".md"): page} for page in pages[1:])]}
    return entry
