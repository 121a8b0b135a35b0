"""Text lists, one entry a line, checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from nlcli.console import say
from nlcli.errors import NlcliError, printable
from nlcli.networks.image_files import near_folder
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of, foreign_kind
from nlcli.stages.text_lines import bounded_lines

_LONGEST_LINE = 1 << 16
_MOST_FOLDERS = 100


# --- lists -----------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line of a UTF-8 file, without spaces at its end; empty ones are skipped.

    Raises:
        NlcliError: the file cannot be read, or a line is not text or longer than 64 KiB.
    """
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(bounded_lines(file, path, _LONGEST_LINE), start=1):
                if number == 1:
                    _require_plain_text(path, raw)
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise NlcliError(f"{path}, line {number}: byte {error.start} is not UTF-8 text") from error
                line = line.rstrip("\r\n ")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error


def _require_plain_text(path: Path, start: bytes) -> None:
    kind = foreign_kind(start[:FIRST_BYTES])
    if kind is not None:
        raise NlcliError(f"{path} {kind}")
    encoding = encoding_of(start[:FIRST_BYTES])
    if not encoding.startswith("utf-8"):
        raise NlcliError(f"{path} is text in {encoding.upper()}; save it as UTF-8")


def read_keys(path: Path) -> list[str]:
    """A list of relative file paths, one a line; a path that is listed twice is refused."""
    line_of: dict[str, int] = {}
    for number, given in read_lines(path):
        line = plain_path(given)
        check_inside(line, path, number)
        if line in line_of:
            raise NlcliError(
                f"{path}, line {number}: '{line}' already stands in line {line_of[line]}; remove one of the two"
            )
        line_of[line] = number
    if not line_of:
        raise NlcliError(f"{path} is empty")
    return list(line_of)


def read_labelled(path: Path, num_classes: int, form: str = "PATH CLASS") -> dict[str, int]:
    """Lines ``PATH INT``, one space between: path -> class, in file order.

    The number is what stands behind the last space, so paths may hold commas and spaces.

    Raises:
        NlcliError: with the line, for one of another form, a class beyond ``num_classes``, a path
            that leads out of the folder, or a path that is listed with two classes.
    """
    label_of: dict[str, int] = {}
    again = 0
    for number, line in read_lines(path):
        key, space, label = line.rpartition(" ")
        if not space or not label.isascii() or not label.isdigit() or len(label) > 9:
            raise NlcliError(f"{path}, line {number}: '{shown(line)}' is not of the form '{form}'; correct the line")
        if int(label) >= num_classes:
            raise NlcliError(
                f"{path}, line {number}: class {label} is not among 0 to {num_classes - 1}; correct the line"
            )
        key = plain_path(key)
        check_inside(key, path, number)
        again += key in label_of
        if label_of.setdefault(key, int(label)) != int(label):
            raise NlcliError(
                f"{path}, line {number}: '{key}' has class {label} here and {label_of[key]} before; keep one of the two"
            )
    if not label_of:
        raise NlcliError(f"{path} is empty")
    if again:
        say(f"note: {again:,} lines of {path} list an image again, with the same class; each image counts once")
    return label_of


def read_names(path: Path, count: int | None = None, skip: int = 0) -> tuple[str, ...]:
    """Class names, one a line, ``skip`` lines of header left out; each must be unique."""
    line_of: dict[str, int] = {}
    for position, (number, line) in enumerate(read_lines(path)):
        if position < skip:
            continue
        name = line.strip()
        if name in line_of:
            raise NlcliError(f"{path}, line {number}: class '{name}' already stands in line {line_of[name]}")
        line_of[name] = number
    if not line_of or (count is not None and len(line_of) != count):
        raise NlcliError(f"{path}: {len(line_of)} classes, expected {count or 'at least one'}")
    return tuple(line_of)


_UNPLAIN = re.compile(r"^\./|//|/\./|/$|/\.$|^\.$")
_INSIDE = re.compile(r"[^/\\\x00-\x1f]+(?:/[^/\\\x00-\x1f]+)*")


def is_inside(name: str) -> bool:
    """Whether a file name stays in its folder: relative, without ``..``, backslash or control characters."""
    if not _INSIDE.fullmatch(name) or re.match(r"[A-Za-z]:", name):
        return False
    return ".." not in name or not {".."} & set(name.split("/"))


def check_inside(name: str, path: Path, line: int) -> None:
    """Refuse a file name that leads out of the image folder or is none at all."""
    if not is_inside(name):
        raise NlcliError(
            f"{path}, line {line}: '{shown(name)}' is not a path inside the image folder; correct the line"
        )


def plain_path(given: str) -> str:
    """``./a//b.jpg`` as every stage writes it, ``a/b.jpg``; a path from the root stays."""
    if given.startswith("/") or not _UNPLAIN.search(given):
        return given
    return "/".join(part for part in given.split("/") if part not in ("", "."))


def image_name(given: str, where: str) -> str:
    """A path of a table in the form that data sets have.

    Raises:
        NlcliError: it leads out of the folder of images; ``where`` names the line.
    """
    name = plain_path(given)
    if is_inside(name):
        return name
    do = "give paths relative to it"
    if is_inside(given.replace("\\", "/")):
        do = "write / between folders"
    raise NlcliError(f"{where}: '{shown(given)}' is not a path inside the image folder; {do}")


def shown(text: str) -> str:
    """At most 80 characters of ``text``, safe to print."""
    return printable(text)


def find_file(folders: Sequence[Path], name: str, what: str) -> Path:
    """The first of ``folders`` that holds ``name``.

    Raises:
        NlcliError: none of them does; ``what`` names the data set.
    """
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    places = " or ".join(str(folder) for folder in folders)
    near = next((place for place in _near(folders) if (place / name).is_file()), None)
    there = "" if near is None else f" (it is in {near})"
    if near is None:
        seen = [near_folder(folder / name if folder.is_dir() else folder) for folder in folders]
        there = next((f" ({told})" for told in seen if told is not None), "")
    raise NlcliError(f"{name} is not in {places}; give the folder where {what} was unpacked{there}")


def _near(folders: Sequence[Path]) -> Iterator[Path]:
    """Folders above, and below by one or two."""
    for folder in folders:
        yield folder.parent
        for pattern in ("*", "*/*"):
            yield from islice((path for path in folder.glob(pattern) if path.is_dir()), _MOST_FOLDERS)
