"""Tables of images with any number of tags: CSV in every dialect, Parquet, JSONL.

Wide, a row an image: ``path`` and, as needed, ``noisy``, ``present``, ``absent`` (lists: real ones, or in text with
``|`` between, ``\\|`` for a bar and ``\\\\`` for a backslash in a name), ``confidence`` (a number for each noisy tag),
``verified``, ``split``, ``group``. Long, a row a tag: ``path``, ``label`` and, as needed, ``source`` (who said so),
``confidence``, and the last three again. Nothing here takes a step of Python for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nlcli.data.labels import SPLITS
from nlcli.data.lists import image_name, plain_path, shown
from nlcli.data.marks import MARKS, NO, NOT_SAID, YES
from nlcli.data.sources.image_table import SPLIT_NAMES
from nlcli.data.sources.tagged_images import (
    CHECKED,
    EVERYTHING,
    LISTED,
    UNCHECKED,
    UNSAID,
    Entries,
    TaggedImages,
    odd_paths,
)
from nlcli.data.table_columns import Columns, TextLists, Texts, read_columns, texts_of
from nlcli.errors import NlcliError

LISTS = ("noisy", "present", "absent", "confidence")
OF_AN_IMAGE = ("verified", "split", "group")
WIDE = ("path", *LISTS, *OF_AN_IMAGE)
LONG = ("path", "label", "source", "confidence", *OF_AN_IMAGE)
_OF_CHECKED = ("path", "key", "present", "absent", "label", "source", "confidence", "right", "verified")
_OF_ONE_LABEL = ("noisy_label", "clean_label", "verification")
_KNOWN = tuple(dict.fromkeys((*WIDE, *LONG, *_OF_CHECKED, *_OF_ONE_LABEL)))
_METADATA_TAGS = ("noisy", "labels", "tags", "label")
VERIFIED = {
    **dict.fromkeys(NOT_SAID, UNSAID),
    **dict.fromkeys((*NO, "none"), UNCHECKED),
    **dict.fromkeys(("partial", "listed"), LISTED),
    **dict.fromkeys(("full", "all"), EVERYTHING),
    **dict.fromkeys(YES, CHECKED),
}
_RIGHT = {word: mark for word, mark in MARKS.items() if word not in NOT_SAID}
PEOPLE = ("human", "person", "verification", "crowdsource-verification")
MACHINES = ("", "machine", "noisy", "classifier")


def read_tag_table(path: Path, *, checked: bool = False) -> TaggedImages:
    """The images of a wide or a long table.

    Args:
        checked: It lists what people saw and nothing else: rows of a long table without a source are theirs.

    Raises:
        NlcliError: with the line (or the row), for whatever does not fit.
    """
    columns = read_columns(path, _KNOWN, () if checked else ("path",), LISTS)
    names = {**columns.texts, **columns.lists}
    single = next((name for name in _OF_ONE_LABEL if name in names), None)
    if single is not None:
        raise NlcliError(
            f"{path}: the column '{single}' is of tables with one label an image, which nlcli build-folders --table "
            "reads; for several, give the columns noisy, present and absent (a row an image), or label (a row a tag)"
        )
    wide = [name for name in LISTS[:3] if name in names]
    if "label" in names and wide:
        raise NlcliError(
            f"{path} has both the column 'label' (a row a tag) and '{wide[0]}' (a row an image); keep one of the two"
        )
    strange = next((name for name in names if name not in _OF_CHECKED), None)
    if checked and strange is not None:
        raise NlcliError(
            f"{path}: a table of checked images says what people saw, in the columns present and absent (a row an "
            f"image) or label and right (a row a tag); leave out '{strange}'"
        )
    foreign = next((name for name in ("right", "key") if name in names), None)
    if not checked and foreign is not None:
        raise NlcliError(f"{path}: the column '{foreign}' is of tables of checked images; give this one as --checked")
    if checked and ("path" in names) == ("key" in names):
        raise NlcliError(f"{path}: expected a column 'path' or 'key' with the checked images, and one of them only")
    if not columns.rows:
        raise NlcliError(f"{path} has no rows")
    if checked and "label" in names and "right" in names:
        columns = _answered(columns)
    given = columns.texts["path" if "path" in names else "key"]
    if "label" in names:
        return _long(columns, given, checked)
    if not wide:
        raise NlcliError(
            f"{path} has none of the columns noisy, present, absent (a row an image) and label (a row a tag); "
            f"expected {', '.join(WIDE)}, or {', '.join(LONG)}"
        )
    if "source" in names:
        raise NlcliError(f"{path}: the column 'source' is of tables with a row a tag; leave it out")
    return _wide(columns, given, checked)


def read_metadata(path: Path) -> TaggedImages:
    """The images of a ``metadata`` file of a Hugging Face image folder, relative to it: a row an image.

    The column ``file_name`` names them; tags are in ``noisy``, or where there is none in ``labels``, ``tags`` or
    ``label``. Columns that mean nothing here are passed over.
    """
    known = ("file_name", *WIDE[1:], *_METADATA_TAGS[1:])
    columns = read_columns(path, known, ("file_name",), (*LISTS, *_METADATA_TAGS), pass_over=True)
    names = {**columns.texts, **columns.lists}
    tags = [name for name in _METADATA_TAGS if name in names]
    if len(tags) > 1 and tags[0] != "noisy":
        raise NlcliError(
            f"{path} has tags in '{tags[0]}' and in '{tags[1]}'; call the column of those to be doubted 'noisy'"
        )
    if not tags and "present" not in names and "absent" not in names:
        raise NlcliError(f"{path} has none of the columns {', '.join(_METADATA_TAGS)} with the tags of the images")
    if not columns.rows:
        raise NlcliError(f"{path} has no rows")
    for part in (columns.texts, columns.lists):
        if tags and tags[0] in part:
            part["noisy"] = part.pop(tags[0])  # type: ignore[assignment]
    return _wide(columns, columns.texts["file_name"], False)


# --- images ----------------------------------------------------------------------------------


def _paths(columns: Columns, given: Texts, *, anywhere: bool) -> Texts:
    """The column of paths in the form that data sets have.

    Args:
        anywhere: Whole paths are matched with those of images later.
    """
    odd = np.flatnonzero(odd_paths(given))
    if not len(odd):
        return given
    names = given.names
    for number in odd.tolist():
        row = int(np.flatnonzero(given.codes == number)[0]) if (given.codes == number).any() else None
        if row is not None and anywhere and names[number]:
            names[number] = plain_path(names[number])
        elif row is not None:
            try:
                names[number] = image_name(names[number], "")
            except NlcliError:
                image_name(names[number], columns.where(row))
                raise
    plain = texts_of(names)
    return Texts(plain.codes[given.codes], plain.values)


def _mapped(columns: Columns, name: str, words: Mapping[str, int], what: str) -> np.ndarray | None:
    """A column of ``words`` as their numbers, int8 (rows,); None where there is none."""
    texts = columns.texts.get(name)
    if texts is None:
        return None
    numbers = np.full(len(texts.values), -128, np.int8)
    for position, word in enumerate(texts.names):
        numbers[position] = words.get(word.lower(), -128)
    mapped: np.ndarray = numbers[texts.codes]
    wrong = np.flatnonzero(mapped == -128)
    if len(wrong):
        row = int(wrong[0])
        told = what.format(shown(texts.names[texts.codes[row]]))
        raise NlcliError(f"{columns.where(row)}: {told}")
    return mapped


def _of_images(columns: Columns, image: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split, verification and group of every image.

    Args:
        image: The image of every row; None: rows are images.
    """
    known = ", ".join(SPLITS)
    split = _mapped(columns, "split", {"": -1, **SPLIT_NAMES}, f"split '{{}}' is none of {known}")
    verified = _mapped(
        columns,
        "verified",
        VERIFIED,
        "verified '{}' is none of full, listed, 1 or yes (checked), 0, no or none, and empty (not said)",
    )
    groups = columns.texts.get("group")
    group = None if groups is None else np.where(groups.empty, -1, groups.codes).astype(np.int32)

    def one_each(name: str, values: np.ndarray | None, dtype: type) -> np.ndarray:
        if values is None:
            return np.full(count, -1, dtype)
        if image is None:
            return values
        of = np.full(count, -1, values.dtype)
        said = values != -1
        of[image[said]] = values[said]
        differing = np.flatnonzero(said & (values != of[image]))
        if len(differing):
            raise NlcliError(
                f"{columns.where(int(differing[0]))}: the image has another {name} in another row; correct one"
            )
        return of

    split = one_each("split", split, np.int8)
    if (split >= 0).any() and (split < 0).any():
        row = int(np.flatnonzero(split < 0)[0] if image is None else np.flatnonzero(split[image] < 0)[0])
        raise NlcliError(
            f"{columns.where(row)}: the image has no split but others have; fill the column, or leave it out"
        )
    return split, one_each("verified", verified, np.int8), one_each("group", group, np.int32)


# --- wide ------------------------------------------------------------------------------------


def _wide(columns: Columns, given: Texts, checked: bool) -> TaggedImages:
    paths = _paths(columns, given, anywhere=checked)
    if len(paths.values) < len(paths.codes):
        _, first, count = np.unique(paths.codes, return_index=True, return_counts=True)
        if (count > 1).any():
            number = int(paths.codes[first[count > 1].min()])
            rows = np.flatnonzero(paths.codes == number)
            raise NlcliError(
                f"{columns.where(int(rows[1]))}: '{shown(paths.names[number])}' already stands in "
                f"{columns.where(int(rows[0])).rpartition(', ')[2]}; an image may be listed once"
            )
    split, verified, group = _of_images(columns, None, columns.rows)
    lists = {name: _list_column(columns, name) for name in LISTS}
    names = texts_of([name for part in LISTS[:3] if (found := lists[part]) is not None for name in found.items.names])
    offset, entries = 0, {}
    for part in LISTS[:3]:
        found = lists[part]
        if found is None:
            entries[part] = Entries.none()
            continue
        code = names.codes[offset : offset + len(found.items.values)]
        offset += len(code)
        image = np.repeat(np.arange(columns.rows), np.diff(found.starts))
        entries[part] = Entries.of(image, code[found.items.codes])
    confidence = lists["confidence"]
    if confidence is not None:
        noisy = lists["noisy"]
        if noisy is None:
            raise NlcliError(f"{columns.path}: the column 'confidence' is of noisy tags, and there are none")
        differing = np.flatnonzero(np.diff(noisy.starts) != np.diff(confidence.starts))
        if len(differing):
            row = int(differing[0])
            counts = [int(found.starts[row + 1] - found.starts[row]) for found in (confidence, noisy)]
            raise NlcliError(f"{columns.where(row)}: {counts[0]} confidences of {counts[1]} noisy tags; give one each")
        own = entries["noisy"]
        entries["noisy"] = Entries(own.image, own.name, _confidences(columns, confidence.items, own.image))
    every = paths.names
    return TaggedImages(
        paths=tuple(every[code] for code in paths.codes.tolist()),
        names=tuple(names.names),
        noisy=entries["noisy"],
        present=entries["present"],
        absent=entries["absent"],
        split=split,
        verified=verified,
        group=group,
        lists_present=lists["present"] is not None,
    )


def _confidences(columns: Columns, texts: Texts, row: np.ndarray) -> np.ndarray:
    """Confidences of noisy tags, float32, above 0 and up to 1."""
    numbers = np.array([_number(text) for text in texts.names], np.float32)
    wrong = np.flatnonzero(~((numbers > 0) & (numbers <= 1))[texts.codes])
    if len(wrong):
        text = texts.names[texts.codes[wrong[0]]]
        raise NlcliError(
            f"{columns.where(int(row[wrong[0]]))}: confidence '{shown(text)}' of a noisy tag is not above 0 and at "
            "most 1; correct it, or leave out the tag"
        )
    values: np.ndarray = numbers[texts.codes]
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _list_column(columns: Columns, name: str) -> TextLists | None:
    if name in columns.lists:
        lists = columns.lists[name]
    elif name in columns.texts:
        lists = _split_cells(columns.texts[name])
    else:
        return None
    empty = np.flatnonzero(lists.items.empty)
    if len(empty):
        row = int(np.searchsorted(lists.starts, empty[0], "right")) - 1
        do = "is there a bar too many? (\\| is a bar in a name)" if name in columns.texts else "take it out of the list"
        raise NlcliError(f"{columns.where(row)}: there is an empty entry in '{name}'; {do}")
    return lists


def split_tags(cell: str) -> list[str]:
    """The tags of a cell: ``a|b\\|c`` is ``a`` and ``b|c``."""
    tags, tag, characters = [], "", iter(cell)
    for character in characters:
        if character == "|":
            tags.append(tag.strip())
            tag = ""
        elif character == "\\":
            following = next(characters, "\\")
            tag += following if following in "|\\" else character + following
        else:
            tag += character
    return [*tags, tag.strip()] if cell else []


def _split_cells(texts: Texts) -> TextLists:
    """The lists in cells, each distinct cell split once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(texts.values, "\\")).as_py():
        parts = [split_tags(cell) for cell in texts.names]
        items = texts_of([tag for tags in parts for tag in tags])
        counts = np.array([len(tags) for tags in parts], np.int64)
    else:
        some = texts.values.filter(pc.not_equal(texts.values, ""))
        split = pc.split_pattern(some, "|")
        encoded = split.flatten().dictionary_encode()
        stripped = pa.array([tag.strip() for tag in encoded.dictionary.to_pylist()], pa.string()).dictionary_encode()
        items = Texts(stripped.indices.to_numpy().astype(np.int32)[encoded.indices.to_numpy()], stripped.dictionary)
        counts = np.zeros(len(texts.values), np.int64)
        counts[pc.not_equal(texts.values, "").to_numpy(zero_copy_only=False)] = pc.list_value_length(split).to_numpy()
    if len(texts.codes) == len(texts.values) and (texts.codes == np.arange(len(texts.codes))).all():
        return TextLists(np.concatenate(([0], np.cumsum(counts))), items)
    begin = np.concatenate(([0], np.cumsum(counts)))[:-1]
    of_row = counts[texts.codes]
    starts = np.concatenate(([0], np.cumsum(of_row)))
    where = np.repeat(begin[texts.codes] - starts[:-1], of_row) + np.arange(starts[-1])
    return TextLists(starts, Texts(items.codes[where], items.values))


# --- long ------------------------------------------------------------------------------------


def _answered(columns: Columns) -> Columns:
    """Without the rows of which nobody has said whether the class is there, as in a list that is half filled in."""
    answered = ~columns.texts["right"].empty
    if not answered.any():
        raise NlcliError(
            f"{columns.path}: no row says whether its class is in the image; write 1 (it is) or 0 (it is not) into the "
            "column 'right'"
        )
    return columns if answered.all() else columns.at(np.flatnonzero(answered))


def _long(columns: Columns, given: Texts, checked: bool) -> TaggedImages:
    given = _paths(columns, given, anywhere=checked)
    first = np.full(len(given.values), -1, np.int64)
    first[given.codes[::-1]] = np.arange(columns.rows)[::-1]
    used = np.flatnonzero(first >= 0)
    used = used[np.argsort(first[used], kind="stable")]  # in the order of the file
    number = np.zeros(len(given.values), np.int64)
    number[used] = np.arange(len(used))
    image = number[given.codes]
    split, verified, group = _of_images(columns, image, len(used))
    label = columns.texts["label"]
    tagged = ~label.empty
    by_people = _by_people(columns, checked)
    value = _said(columns, tagged, by_people)

    def part(chosen: np.ndarray, own: bool = False) -> Entries:
        return Entries.of(image[chosen], label.codes[chosen], value[chosen] if own else None)

    every = given.names
    return TaggedImages(
        paths=tuple(every[code] for code in used.tolist()),
        names=tuple(label.names),
        noisy=part(tagged & ~by_people, own=True),
        present=part(tagged & by_people & (value == 1)),
        absent=part(tagged & by_people & (value == 0)),
        split=split,
        verified=verified,
        group=group,
        lists_present=checked or "source" in columns.texts,
    )


def _by_people(columns: Columns, checked: bool) -> np.ndarray:
    """bool (rows,), which rows say what a person saw."""
    if "source" not in columns.texts:
        return np.full(columns.rows, checked)
    words = dict.fromkeys(MACHINES, 0) | dict.fromkeys(PEOPLE, 1)
    if checked:
        words[""] = 1
    known = f"{', '.join(PEOPLE)} (what people saw), {', '.join(filter(None, MACHINES))} or empty (noisy)"
    mapped = _mapped(columns, "source", words, f"source '{{}}' is none of {known}")
    assert mapped is not None
    by_people: np.ndarray = mapped == 1
    if checked and not by_people.all():
        row = int(np.flatnonzero(~by_people)[0])
        raise NlcliError(f"{columns.where(row)}: a table of checked images says what people saw; leave the row out")
    return by_people


def _said(columns: Columns, tagged: np.ndarray, by_people: np.ndarray) -> np.ndarray:
    """float32 (rows,): the confidence of a noisy tag; of what a person saw, 1 there and 0 not there."""
    texts, right = columns.texts.get("confidence"), columns.texts.get("right")
    if right is not None:
        if texts is not None:
            raise NlcliError(f"{columns.path} has both the columns 'confidence' and 'right'; keep one of the two")
        said = _mapped(columns, "right", _RIGHT, "'{}' is none of right, 1, true or yes, and wrong, 0, false or no")
        assert said is not None
        return said.astype(np.float32)
    if texts is None:
        return np.ones(columns.rows, np.float32)
    numbers = np.array([1.0 if not text else _number(text) for text in texts.names], np.float32)
    value: np.ndarray = numbers[texts.codes]

    def refuse(wrong: np.ndarray, told: str) -> None:
        rows = np.flatnonzero(tagged & wrong)
        if len(rows):
            text = shown(texts.names[texts.codes[rows[0]]])
            raise NlcliError(f"{columns.where(int(rows[0]))}: confidence '{text}' of {told}")

    refuse(by_people & (value != 0) & (value != 1), "what a person saw is neither 1 (there) nor 0 (not there)")
    refuse(
        ~by_people & ~((value > 0) & (value <= 1)),
        "a noisy tag is not above 0 and at most 1; correct it, or leave out the row",
    )
    return value
