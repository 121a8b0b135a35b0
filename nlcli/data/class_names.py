"""Class names as people read them: spellings that may be one class, and words that mean there is none.

Nothing is merged silently. What looks like one class to a person and is several to a program is told with the
spellings and their counts, and refused until somebody says which it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nlcli.console import say
from nlcli.data.lists import shown
from nlcli.errors import NlcliError

Spelling = Literal["ask", "keep", "merge"]
"""What to do with spellings that read alike: refuse and say them, take each as a class, or make them one."""

NO_LABEL = frozenset(
    {"nan", "null", "none", "nil", "na", "n/a", "#n/a", "<na>", "-", "--", "?", "unlabeled", "unlabelled"}
)
"""Words, in lower case, that tables hold where there is no label."""
SEPARATORS = "|;"
"""Between the tags of an image in one cell."""
_MOST_TOLD = 3
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")


def as_read(name: str) -> str:
    """What a person reads: ``name`` without case, accents' encodings, invisible characters and kinds of space.

    ``3``, ``3.0`` and ``03`` are one number, and ``T-shirt``, ``t_shirt`` and ``T  shirt`` one name.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    plain = " ".join(re.split(r"[\s_\-]+", plain.casefold())).strip()
    return str(int(plain.partition(".")[0])) if len(plain) < 20 and _INTEGER.fullmatch(plain) else plain


@dataclass(frozen=True)
class Doubts:
    """What is suspicious about a set of class names.

    Attributes:
        alike: Groups of names that read alike, the most frequent of each first.
        missing: Names that usually mean that there is no label.
        several: Names that look like several tags of an image in one cell.
    """

    alike: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...]
    several: tuple[str, ...]


def doubts(counts: Mapping[str, int], separators: str = SEPARATORS) -> Doubts:
    """What is suspicious about the class names ``counts`` (with how many images have each).

    Args:
        separators: Characters that may stand between several tags in one name.
    """
    groups = defaultdict(list)
    for name in counts:
        groups[as_read(name)].append(name)
    alike = tuple(
        tuple(sorted(names, key=lambda name: (-counts[name], name)))
        for _, names in sorted(groups.items())
        if len(names) > 1
    )
    missing = tuple(sorted(name for name in counts if name.strip().casefold() in NO_LABEL))
    return Doubts(alike, missing, _several(counts, separators))


def _several(counts: Mapping[str, int], separators: str) -> tuple[str, ...]:
    """Names made of parts that stand elsewhere, too: alone, or in another such name."""
    joined = {
        name: parts
        for separator in separators
        for name in counts
        if separator in name and len(parts := [part.strip() for part in name.split(separator) if part.strip()]) > 1
    }
    uses: dict[str, int] = defaultdict(int)
    for parts in joined.values():
        for part in set(parts):
            uses[part] += 1
    return tuple(sorted(n for n, parts in joined.items() if any(uses[part] > 1 or part in counts for part in parts)))


def _groups(alike: tuple[tuple[str, ...], ...]) -> str:
    told = "; ".join(f"'{shown(group[0])}' for {', '.join(map(repr, group[1:3]))}" for group in alike[:_MOST_TOLD])
    return told + (" ..." if len(alike) > _MOST_TOLD else "")


def spellings(
    counts: Mapping[str, int], spelling: Spelling, where: str, without: str = "empty these cells"
) -> dict[str, str]:
    """The class of every name in ``counts``; see the module's docstring.

    Args:
        counts: How many images have each name.
        spelling: ``merge`` gives names that read alike the most frequent one's, ``keep`` takes all as they are.
        where: The file or folder, for the sentence.
        without: What to do about names that mean there is no label.

    Raises:
        NlcliError: with ``ask``, for the first kind of doubt, with the names and their counts.
    """
    if spelling != "ask":
        doubt = doubts(counts)
        for name in (*doubt.missing, *doubt.several):
            say(f"note: '{name}' ({counts[name]:,} images) is taken for the name of a class")
        merged = {name: group[0] for group in doubt.alike for name in group} if spelling == "merge" else {}
        if merged:
            say(f"{len(merged):,} class names become {len(doubt.alike):,} ({_groups(doubt.alike)})")
        return {name: merged.get(name, name) for name in counts}
    doubt = doubts(counts)

    def told(names: tuple[str, ...], between: str = ", ") -> str:
        some = between.join(f"'{shown(name)}' ({counts[name]:,} images)" for name in names[:_MOST_TOLD])
        return some + (" ..." if len(names) > _MOST_TOLD else "")

    if doubt.several:
        raise NlcliError(
            f"{where}: {told(doubt.several)} look like several labels of an image in one cell, and here an image has "
            "one: nlcli build-tags reads images with several; pass --class-names keep if these are names of classes"
        )
    if doubt.alike:
        more = len(doubt.alike) - 1
        others = f", and {more:,} more such groups" if more else ""
        raise NlcliError(
            f"{where}: {told(doubt.alike[0], ' and ')} read alike{others}; pass --class-names merge if they are one "
            "class, or --class-names keep if they are several"
        )
    if doubt.missing:
        raise NlcliError(
            f"{where}: {told(doubt.missing)} reads as if there were no label; {without}, or pass "
            "--class-names keep if it is the name of a class"
        )
    return {name: name for name in counts}
