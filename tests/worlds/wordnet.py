"""Made-up nouns in WordNet's own format (wndb(5WN))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

LICENCE = "  1 This software and database is made up, and so are its words.  \n"


def write_nouns(path: Path, hypernyms: Mapping[str, Sequence[str]]) -> Path:
    """``data.noun`` with a synset for every offset of ``hypernyms``, its hypernyms in this order and what leads down."""
    below: dict[str, list[str]] = {offset: [] for offset in hypernyms}
    for offset, above in hypernyms.items():
        for each in above:
            below[each].append(offset)
    lines = [LICENCE]
    for offset, above in hypernyms.items():
        pointers = [f"@ {each} n 0000" for each in above] + [f"~ {each} n 0000" for each in below[offset]]
        words = f"word_{int(offset)} 0 other_{int(offset)} 1"  # two of them
        counted = " ".join([f"{len(pointers):03d}", *pointers])
        lines.append(f'{offset} 05 n 02 {words} {counted} | what | is meant; "an example"  \n')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path
