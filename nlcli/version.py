"""Which version this is: the number, and the commit where nlcli runs from a git checkout."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__version__ = "0.2.0.dev0"

_CHECKOUT = Path(__file__).resolve().parents[1]
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@cache
def full_version() -> str:
    """``0.2.0.dev0+g0123456789``, or the plain number where there is no commit to tell (an installed package)."""
    commit = commit_of(_CHECKOUT)
    return __version__ if commit is None else f"{__version__}+g{commit[:10]}"


def commit_of(checkout: Path) -> str | None:
    """The commit that is checked out in the folder ``checkout``, read from git's files; None where it has none."""
    try:
        git = checkout / ".git"
        if git.is_file():  # a worktree or a submodule: the folder is elsewhere
            git = checkout / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        shared = git / "commondir"
        root = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref:"):
            head = _resolved(head.removeprefix("ref:").strip(), git, root)
    except (OSError, UnicodeDecodeError, ValueError):  # ValueError: a path with a NUL in it
        return None
    return head if _COMMIT.fullmatch(head) else None


def _resolved(name: str, git: Path, root: Path) -> str:
    for folder in (git, root):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").strip()
    for line in (root / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    return ""
