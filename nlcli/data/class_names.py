"""Class names as people read them: spellings that may be one class, and words that mean there is none.

Nothing is merged silently. What looks like one class to a person and is several to a program is told with the
spellings and their counts, and refused until somebody says which it is.
"""

from __future__ import annotations

import contextlib
import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from nlcli.console import say
from nlcli.data.lists import shown
from nlcli.errors import NlcliError

Spelling = Literal["ask", "keep", "merge"]
"""What to do with spellings that read alike: refuse and say them, take each as a class, or make them one."""

NO_LABEL = frozenset(
    {
        *("nan", "nat", "null", "none", "nonetype", "nil", "na", "n/a", "n.a", "#n/a", "#n/a n/a", "pd.na", "\\n"),
        *("#ref!", "#value!", "#name?", "#null!", "#num!", "#div/0!"),  # of spreadsheets
        *("unlabeled", "unlabelled", "not labeled", "not labelled", "no label", "nolabel", "without label", "no class"),
        *("unannotated", "not annotated", "unclassified", "uncategorized", "uncategorised", "unassigned", "untagged"),
        *("unknown", "unk", "undefined", "unspecified", "unidentified", "missing", "not available", "not applicable"),
        *("unsure", "uncertain", "unclear", "don't know", "dont know", "idk", "skip", "skipped", "ignore", "ignored"),
        *("tbd", "todo", "to do", "to be determined", "(blank)"),
    }
)
"""Words, as they are read, that tables hold where there is no label."""
SEPARATORS = "|;"
"""Between the tags of an image in one cell."""
_WEAK_SEPARATORS = ",/+&"
"""Between tags, too, but also in names: nothing is made of them unless all parts stand elsewhere."""
_MOST_TOLD = 3
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")
_WRITTEN_OUT = re.compile(r"[+-]?\d\.\d+e[+-]\d{2,3}")  # as NumPy writes numbers into text
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.0*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,0+")
_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d+,\d+|[+-]?\d{1,3}(,\d{3})+")
_FRACTION = re.compile(r"[+-]?\d+\.0+")
_LITERAL = re.compile(r"""b?(['"]).+\1""")
_LIST = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)
_NOTHING_TO_READ = frozenset("-_.?/ '\"()[]{}<>")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4`\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        # Cyrillic and Greek letters that look like Latin ones, in lower case
        **dict(zip("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501", "aeopcyxijsd", strict=True)),
        **dict(zip("\u03bf\u03bd\u03b9", "ovi", strict=True)),
    }
)


def as_read(name: str) -> str:
    """What a person reads: ``name`` without case, accents' encodings, invisible characters and kinds of space.

    ``3``, ``3.0`` and ``03`` are one number, ``T-shirt``, ``t_shirt`` and ``T  shirt`` one name, and so is what a
    conversion made of one: ``a &amp; b``, ``a%20b``, or UTF-8 that was read as Latin-1.
    """
    plain = name if name.isascii() else _of_any_script(name)
    if "&" in plain and ";" in plain:
        plain = html.unescape(plain)
    if "%" in plain:
        plain = unquote(plain)
    plain = re.sub(r"[\s_]+", " ", plain.casefold().translate(_ALIKE).replace("i\u0307", "i")).strip()
    if len(plain) > 2 and plain[0] == plain[-1] and plain[0] in "'\"":
        plain = plain[1:-1].strip()
    plain = re.sub(r"(?<=\w)(?:-+| -+ )(?=\w)", " ", plain)
    if len(plain) < 40 and (plain[-1:].isdigit() or plain.endswith(".")):
        number = _whole_number(plain)
        if number is not None:
            return number
    return plain.rstrip(".,;:") or plain


def _of_any_script(name: str) -> str:
    with contextlib.suppress(UnicodeError):  # no text of a person is UTF-8 again when it is written in Windows' Latin
        name = name.encode("cp1252").decode()
    composed = unicodedata.normalize("NFKC", name)
    return "".join(c for c in composed if unicodedata.category(c) != "Cf" and not "\ufe00" <= c <= "\ufe0f")


def _whole_number(plain: str) -> str | None:
    """``plain`` as a whole number, None where it is none."""
    if _INTEGER.fullmatch(plain):
        return str(int(plain.partition(".")[0]))
    if _THOUSANDS.fullmatch(plain):
        return str(int(plain.partition(".")[0].replace(",", "")))
    if _DECIMAL_COMMA.fullmatch(plain):
        return str(int(plain.partition(",")[0]))
    if _WRITTEN_OUT.fullmatch(plain):
        value = float(plain)
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else None
    return None


def means_no_label(name: str) -> bool:
    """Whether ``name`` is a word, or a sign, that tables hold where there is no label."""
    if all(c in _NOTHING_TO_READ for c in unicodedata.normalize("NFKC", name).translate(_ALIKE)):
        return True
    read = as_read(name)
    return read in NO_LABEL or read.strip("()[]{}<>'\"").strip() in NO_LABEL - {"(blank)"}


def _loosely(name: str) -> str:
    """``name`` as it is read, without spaces and the accents of Latin letters."""
    read = as_read(name)
    if not read.isascii():
        parts = unicodedata.normalize("NFD", read)
        read = "".join(c for i, c in enumerate(parts) if not (unicodedata.combining(c) and parts[i - 1 : i].isascii()))
    return re.sub(r"(?<!\d)[\s'-]+|[\s'-]+(?!\d)", "", read)


def whole_numbers(counts: Mapping[str, int], where: str) -> dict[str, str]:
    """Other names for classes of ``counts`` that are whole numbers, all written with a fraction: ``3`` for ``3.0``.

    Programs write a column of numbers with gaps so; Parquet's reader takes them for whole numbers, too.
    """
    numbers = [name for name in counts if _INTEGER.fullmatch(name)]
    if not numbers or not all(_FRACTION.fullmatch(name) for name in numbers):
        return {}
    names = {name: str(int(name.partition(".")[0])) for name in numbers}
    if len(set(names.values())) < len(names):  # 3.0 and 3.00: one of the doubts
        return {}
    first = numbers[0]
    say(f"note: the classes of {where} are whole numbers, written as '{first}'; they are called '{names[first]}' here")
    return names


@dataclass(frozen=True)
class Doubts:
    """What is suspicious about a set of class names.

    Attributes:
        alike: Groups of names that read alike, the most frequent of each first.
        missing: Names that usually mean that there is no label.
        several: Names that look like several tags of an image in one cell.
        quoted: Names that are written as values of a program, such as ``b'cat'``.
        nearly: Groups of names that differ in spaces and accents alone, the most frequent of each first.
    """

    alike: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...]
    several: tuple[str, ...]
    quoted: tuple[str, ...] = ()
    nearly: tuple[tuple[str, ...], ...] = ()


def doubts(counts: Mapping[str, int], separators: str = SEPARATORS) -> Doubts:
    """What is suspicious about the class names ``counts`` (with how many images have each).

    Args:
        separators: Characters that may stand between several tags in one name.
    """
    alike = _grouped(counts, {name: as_read(name) for name in counts})
    first = {as_read(name): name for name in counts} | {as_read(group[0]): group[0] for group in alike}
    nearly = _grouped(counts, {name: _loosely(name) for name in first.values()})
    missing = tuple(sorted(name for name in counts if means_no_label(name)))
    quoted = tuple(sorted(name for name in counts if _LITERAL.fullmatch(name)))
    return Doubts(alike, missing, _several(counts, separators), quoted, nearly)


def _grouped(counts: Mapping[str, int], key_of: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Names with the same key, where there are several; the most frequent of each first."""
    groups = defaultdict(list)
    for name, key in key_of.items():
        groups[key].append(name)
    return tuple(
        tuple(sorted(names, key=lambda name: (-counts[name], name)))
        for _, names in sorted(groups.items())
        if len(names) > 1
    )


def _several(counts: Mapping[str, int], separators: str) -> tuple[str, ...]:
    """Names made of parts that stand elsewhere, too (alone, or in another such name), and lists of a program."""
    found = {name for name in counts if _LIST.fullmatch(name) and len(name) > 2 and _many(name)}
    for separator in dict.fromkeys(separators + _WEAK_SEPARATORS):
        joined = _joined(counts, separator)
        uses = Counter(part for parts in joined.values() for part in set(parts))
        enough = any if separator in separators else all
        found |= {n for n, parts in joined.items() if enough(uses[part] > 1 or part in counts for part in parts)}
    joined = _joined(counts, " ")  # names have spaces, too: only where those made of other tags are the rule
    uses = Counter(part for parts in joined.values() for part in set(parts))
    made = {name for name, parts in joined.items() if all(uses[part] > 1 or part in counts for part in parts)}
    return tuple(sorted(found | (made if len(made) > 1 and 2 * len(made) > len(joined) else set())))


def _many(name: str) -> bool:
    """Whether what stands in brackets is a list: quoted, or with commas."""
    return any(sign in name for sign in "'\",")


def _joined(counts: Mapping[str, int], separator: str) -> dict[str, list[str]]:
    """The parts of names that have several."""
    return {
        name: parts
        for name in counts
        if separator in name
        and not _NUMBER_WITH_COMMA.fullmatch(name)
        and len(parts := [part.strip() for part in name.split(separator) if part.strip()]) > 1
    }


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
    if spelling == "keep":
        doubt = doubts(counts)
        for name in (*doubt.missing, *doubt.several):
            say(f"note: '{name}' ({counts[name]:,} images) is taken for the name of a class")
        return {name: name for name in counts}
    numbers = whole_numbers(counts, where)
    final = _settled({numbers.get(name, name): n for name, n in counts.items()}, spelling, where, without)
    return {name: final[numbers.get(name, name)] for name in counts}


def names_of_list(counts: Mapping[str, int], listed: Sequence[str], spelling: Spelling, where: str) -> dict[str, str]:
    """The class of every name in ``counts`` where a list says how classes are spelled.

    Args:
        listed: The classes.
        spelling: With ``merge``, names that read like a listed one are it; else whole numbers with a fraction alone.
        where: The file or folder, for the sentence.
    """
    if spelling == "merge":
        spelled = {as_read(name): name for name in listed}
        return {name: spelled.get(as_read(name), name) for name in counts}
    known = frozenset(listed)
    numbers = whole_numbers(counts, where) if spelling == "ask" and not known & set(counts) else {}
    return {name: numbers[name] if numbers.get(name) in known else name for name in counts}


def _settled(counts: Mapping[str, int], spelling: Spelling, where: str, without: str) -> dict[str, str]:
    doubt = doubts(counts)
    if spelling == "merge":
        for name in (*doubt.missing, *doubt.several):
            say(f"note: '{name}' ({counts[name]:,} images) is taken for the name of a class")
        merged = {name: group[0] for group in doubt.alike for name in group}
        if merged:
            say(f"{len(merged):,} class names become {len(doubt.alike):,} ({_groups(doubt.alike)})")
        _tell_nearly(doubt, counts)
        return {name: merged.get(name, name) for name in counts}

    def told(names: tuple[str, ...], between: str = ", ") -> str:
        some = between.join(_with_count(name, counts) for name in names[:_MOST_TOLD])
        return some + (" ..." if len(names) > _MOST_TOLD else "")

    if doubt.several:
        raise NlcliError(
            f"{where}: {told(doubt.several)} look like several labels of an image in one cell, and here an image has "
            "one: nlcli build-tags reads images with several; pass --class-names keep if these are names of classes"
        )
    if doubt.quoted:
        raise NlcliError(
            f"{where}: {told(doubt.quoted)} reads as a value of a program with its quotes; write the text alone, or "
            "pass --class-names keep if it is the name of a class"
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
    _tell_nearly(doubt, counts)
    return {name: name for name in counts}


def _tell_nearly(doubt: Doubts, counts: Mapping[str, int]) -> None:
    if doubt.nearly:
        more = len(doubt.nearly) - 1
        others = f", and {more:,} more such groups" if more else ""
        some = " and ".join(_with_count(name, counts) for name in doubt.nearly[0][:_MOST_TOLD])
        say(
            f"note: {some} may be one class{others}; they stay apart: write them alike where they stand if they are one"
        )
    broken = [name for name in counts if "\ufffd" in name]
    if broken:
        say(
            f"note: {len(broken):,} class names ({_with_count(broken[0], counts)}) hold characters that were lost when "
            "something converted the text; take it from before that"
        )


def _with_count(name: str, counts: Mapping[str, int]) -> str:
    """``'name' (3 images)``, and how it is written where that cannot be seen."""
    bare = re.sub(r"(?<! ) (?=[^ ])", "", name)  # single spaces are seen
    seen = bare.isprintable() and unicodedata.is_normalized("NFC", bare) and " " not in bare
    letters = all(c.isascii() or (c.isalpha() and c.casefold().translate(_ALIKE) == c.casefold()) for c in bare)
    if not (seen and letters):
        written = name.encode("unicode_escape").decode().replace("  ", " \\x20")
        return f"'{shown(name)}' ({counts[name]:,} images, written '{shown(written)}')"
    return f"'{shown(name)}' ({counts[name]:,} images)"
