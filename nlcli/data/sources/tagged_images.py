"""Images with any number of tags each, as a file lists them, and the data set that becomes of them.

Every format is read into one form: images, names of tags, and entries (an image and a name) of three kinds: given
by whatever made the noisy labels, seen by a person, and seen not to be there. What a name that is *not* listed means
on an image that somebody checked is never guessed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nlcli.console import say
from nlcli.data.class_names import Spelling, doubts, names_of_list, spellings
from nlcli.data.labels import FULL, NONE, PARTIAL, LabelTable, strings
from nlcli.data.lists import read_names, shown
from nlcli.data.sources.base import TRAIN, enumerate_some
from nlcli.errors import NlcliError, unknown_name

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nlcli.data.table_columns import Texts

Meaning = Literal["full", "listed"]
"""What is known of a class that is not listed on an image that somebody checked: that it is absent, or nothing."""
UNSAID, UNCHECKED, LISTED, EVERYTHING, CHECKED = -1, 0, 1, 2, 3
"""What a file says of the verification of an image; ``CHECKED`` leaves open what was."""
_CLEAN_PATH = r"^(?:[A-Za-z]:)|^/|/$|//|(?:^|/)\.{1,2}(?:/|$)|[\\\x00-\x1f]|^$"


@dataclass(frozen=True)
class Entries:
    """Tags of images; entry ``i`` of every array is the same one.

    Attributes:
        image: (E,) int64, which image.
        name: (E,) int32, which name.
        confidence: (E,) float32, 1 where none is known.
    """

    image: np.ndarray
    name: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, name: np.ndarray, confidence: np.ndarray | None = None) -> Entries:
        """Entries of arrays of any integer type; without a confidence, it is 1."""
        if confidence is None:
            confidence = np.ones(len(image), np.float32)
        return cls(image.astype(np.int64, copy=False), name.astype(np.int32, copy=False), confidence)

    @classmethod
    def none(cls) -> Entries:
        """No entries."""
        return cls.of(np.zeros(0, np.int64), np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.image)

    def where(self, chosen: np.ndarray) -> Entries:
        """Those that ``chosen`` (E,) bool says."""
        return Entries(self.image[chosen], self.name[chosen], self.confidence[chosen])

    def joined(self, others: Entries) -> Entries:
        """These and the others."""
        return Entries(
            np.concatenate([self.image, others.image]),
            np.concatenate([self.name, others.name]),
            np.concatenate([self.confidence, others.confidence]),
        )


@dataclass(frozen=True)
class TaggedImages:
    """Images as they are listed.

    Attributes:
        paths: N unique paths, as they are written in a data set.
        names: Names of tags, as they are written.
        noisy, present, absent: The entries of each kind; an entry may be there twice.
        split: (N,) int8, index into ``SPLITS``, -1 where none is given.
        verified: (N,) int8, one of the constants above.
        group: (N,) int32, images of one group belong into one split; -1: of none.
        lists_present: Whether the form has a place for what a person saw: without one, the noisy tags of a checked
            image are what was seen.
        class_groups: The group (a high-level category) of names that have one.
        declared: All names in their order, where the form lists them.
        people_alone: The form is one in which people tag, and it holds nothing else: they may be what is to be doubted.
        one_label: The form says that an image has one label.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    noisy: Entries
    present: Entries
    absent: Entries
    split: np.ndarray
    verified: np.ndarray
    group: np.ndarray
    lists_present: bool = True
    class_groups: dict[str, str] = field(default_factory=dict)
    declared: tuple[str, ...] = ()
    people_alone: bool = False
    one_label: bool = False

    def __len__(self) -> int:
        return len(self.paths)


# --- paths -----------------------------------------------------------------------------------


def odd_paths(texts: Texts) -> np.ndarray:
    """Which of the distinct ``texts.values`` are not paths as data sets have them: bool."""
    import pyarrow.compute as pc

    odd: np.ndarray = pc.match_substring_regex(texts.values, _CLEAN_PATH).to_numpy(zero_copy_only=False)
    return odd


# --- names -----------------------------------------------------------------------------------


def settle_names(
    tagged: TaggedImages, spelling: Spelling, classes: Path | None, where: str
) -> tuple[TaggedImages, tuple[str, ...]]:
    """The images with the final names of classes, and the classes in order.

    Args:
        spelling: What to do with names that read alike.
        classes: A list of the classes; None: those that the form lists, or else those that occur, sorted.

    Raises:
        NlcliError: names are doubtful (see ``class_names``), or not in the list.
    """
    parts = (tagged.noisy, tagged.present, tagged.absent)
    numbers = np.maximum.reduce([np.bincount(part.name, minlength=len(tagged.names)) for part in parts])
    counts = dict.fromkeys(tagged.declared, 0)
    counts |= {name: int(n) for name, n in zip(tagged.names, numbers, strict=True) if n}
    if spelling == "ask":
        _refuse_joined(counts, where)
    if classes is None:
        final = spellings(counts, spelling, where, "leave it out of the lists")
        every = final.values() if tagged.declared else sorted(set(final.values()))
        ordered = tuple(dict.fromkeys(every))
    else:
        ordered = read_names(classes)
        final = names_of_list(counts, ordered, spelling, where)
        for name in final.values():
            if name not in set(ordered):
                raise NlcliError(f"{classes}: {unknown_name(name, ordered, 'class')}")
    if len(ordered) < 2:
        some = f"only one class ('{shown(ordered[0])}')" if ordered else "no tag of any image"
        raise NlcliError(f"{where}: {some}; a classifier needs at least two classes")
    position = {name: i for i, name in enumerate(ordered)}
    renamed = np.array([position[final[name]] if name in counts else 0 for name in tagged.names], np.int32)

    def settled(part: Entries) -> Entries:
        return Entries(part.image, renamed[part.name], part.confidence)

    groups = {final.get(name, name): group for name, group in tagged.class_groups.items()}
    return (
        replace(
            tagged,
            names=ordered,
            noisy=settled(tagged.noisy),
            present=settled(tagged.present),
            absent=settled(tagged.absent),
            class_groups=groups,
        ),
        ordered,
    )


def _refuse_joined(counts: dict[str, int], where: str) -> None:
    """Names that look like a list in a form that is not read as one."""
    listed = [name for name in counts if name.startswith("[") and name.endswith("]")]
    joined = listed or doubts(counts, ",;|").several
    if joined:
        some = ", ".join(f"'{shown(name)}' ({counts[name]:,} images)" for name in sorted(joined)[:3])
        raise NlcliError(
            f"{where}: {some} look like several tags in one; write lists with | between the tags (\\| for a bar in a "
            "name), or as real lists in Parquet or JSONL; pass --class-names keep if these are names of classes"
        )


# --- verification ----------------------------------------------------------------------------


def settle_verification(
    tagged: TaggedImages, meaning: Meaning | None, num_classes: int, where: str
) -> tuple[TaggedImages, np.ndarray]:
    """The images with what a person saw in ``present`` and ``absent`` alone, and (N,) uint8 their verification.

    Args:
        tagged: With the final names.
        meaning: What the user says of classes that are not listed.

    Raises:
        NlcliError: that is not said and matters, or an image that nobody checked has tags that somebody saw.
    """
    state = tagged.verified.copy()
    listed = np.zeros(len(tagged), bool)
    for part in (tagged.present, tagged.absent):
        listed[part.image] = True
    wrong = np.flatnonzero(listed & (state == UNCHECKED))
    if len(wrong):
        raise NlcliError(
            f"{where}: '{shown(tagged.paths[wrong[0]])}' is marked as not verified, and has present or absent tags; "
            "correct one of the two"
        )
    state[listed & (state == UNSAID)] = CHECKED
    if not tagged.lists_present:
        tagged = _confirmed(tagged, (state >= LISTED) & (tagged.verified >= LISTED))
    seen = tagged.present.joined(tagged.absent)
    pairs = np.sort(seen.image * num_classes + seen.name)
    known = np.bincount(pairs[np.flatnonzero(np.diff(pairs, prepend=-1))] // num_classes, minlength=len(tagged))
    state[(state == CHECKED) & (known == num_classes)] = EVERYTHING
    open_ = np.flatnonzero(state == CHECKED)
    if len(open_) and meaning is None:
        raise NlcliError(
            f"{where}: {len(open_):,} images are checked ('{shown(tagged.paths[open_[0]])}'), and nothing says what a "
            "class means that is not listed there; pass --verified-means full if all others were seen to be absent, or "
            "--verified-means listed if nothing is known of them"
        )
    state[open_] = EVERYTHING if meaning == "full" else LISTED
    verification = np.full(len(tagged), NONE, np.uint8)
    verification[(state == LISTED) & (known > 0)] = PARTIAL
    verification[state == EVERYTHING] = FULL
    return tagged, verification


def with_checked(tagged: TaggedImages, checked: TaggedImages, found: np.ndarray) -> TaggedImages:
    """The images with what people saw on those of ``checked``.

    Args:
        checked: What people saw, and nothing else.
        found: (M,) int64, the image of each image of ``checked``, -1 for none.
    """
    if not tagged.lists_present:
        tagged = replace(_confirmed(tagged, tagged.verified >= LISTED), lists_present=True)
    position = {name: i for i, name in enumerate(tagged.names)}
    for name in checked.names:
        position.setdefault(name, len(position))
    number = np.array([position[name] for name in checked.names], np.int32)

    def joined(own: Entries, others: Entries) -> Entries:
        others = others.where(found[others.image] >= 0)
        return own.joined(Entries.of(found[others.image], number[others.name]))

    matched = np.flatnonzero(found >= 0)
    said = np.where(checked.verified[matched] == UNSAID, CHECKED, checked.verified[matched])
    verified = tagged.verified.copy()
    verified[found[matched]] = np.maximum(verified[found[matched]], said)
    return replace(
        tagged,
        names=tuple(position),
        present=joined(tagged.present, checked.present),
        absent=joined(tagged.absent, checked.absent),
        verified=verified,
    )


def _confirmed(tagged: TaggedImages, checked: np.ndarray) -> TaggedImages:
    """With the noisy tags of ``checked`` images as present, but for those that are absent."""
    width = max(1, len(tagged.names))
    noisy = tagged.noisy.where(checked[tagged.noisy.image])
    denied = np.isin(noisy.image * width + noisy.name, tagged.absent.image * width + tagged.absent.name)
    seen = noisy.where(~denied)
    return replace(tagged, present=tagged.present.joined(Entries.of(seen.image, seen.name)))


# --- the table -------------------------------------------------------------------------------


def label_table(
    tagged: TaggedImages, verification: np.ndarray, classes: Sequence[str], kept: np.ndarray, root: Path
) -> LabelTable:
    """The images ``kept`` (N,) bool as a data set's table; without a split they belong to train."""
    rows = np.flatnonzero(kept)
    number = np.full(len(tagged), -1, np.int64)
    number[rows] = np.arange(len(rows))
    paths = strings([tagged.paths[row] for row in rows.tolist()])
    split = tagged.split[rows]
    shape = (len(rows), len(classes))
    full = verification == FULL
    absent = tagged.absent.where(~full[tagged.absent.image])
    contradicting = _both(tagged, full)
    if contradicting is not None:
        raise NlcliError(contradicting)
    return LabelTable(
        task="multi-label",
        classes=tuple(classes),
        keys=paths,
        paths=paths,
        image_root=Path(os.path.abspath(root)),
        split=np.where(split < 0, TRAIN, split).astype(np.int8),
        noisy=_matrix(tagged.noisy, number, shape, np.float32),
        present=_matrix(tagged.present, number, shape, np.uint8),
        absent=_matrix(absent, number, shape, np.uint8),
        verification=verification[rows],
        groups=tuple(tagged.class_groups.get(name) for name in classes) if tagged.class_groups else None,
    )


def _both(tagged: TaggedImages, full: np.ndarray) -> str | None:
    """What to say of an image on which a class is both present and absent, where ``LabelTable`` would not see it."""
    absent = tagged.absent.where(full[tagged.absent.image])
    if not len(absent):
        return None
    width = max(1, len(tagged.names))
    both = np.isin(absent.image * width + absent.name, tagged.present.image * width + tagged.present.name)
    if not both.any():
        return None
    first = int(np.flatnonzero(both)[0])
    return (
        f"image '{shown(tagged.paths[absent.image[first]])}' has class '{shown(tagged.names[absent.name[first]])}' "
        "verified both present and absent; keep one of the two"
    )


def _matrix(entries: Entries, number: np.ndarray, shape: tuple[int, int], dtype: type) -> csr_array:
    """CSR of the entries of images that are kept; of one that is there twice, the higher confidence."""
    from scipy.sparse import csr_array

    row = number[entries.image]
    inside = row >= 0
    if not inside.all():
        entries, row = entries.where(inside), row[inside]
    key = row * shape[1] + entries.name
    value = entries.confidence
    if len(key) and (np.diff(key) <= 0).any():
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        value = np.maximum.reduceat(value, first)
        key = key[first]
    row, column = np.divmod(key, shape[1])
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=shape[0])))).astype(np.int64)
    if dtype is not np.float32:
        value = np.ones(len(key), dtype)
    return csr_array((value.astype(dtype, copy=False), column.astype(np.int32), indptr), shape=shape)


def concatenated(parts: Sequence[tuple[str, int, TaggedImages]]) -> TaggedImages:
    """Several lists as one: for each the folder that its paths are in (or none), and the split of its images, or -1.

    Groups of different lists are different ones.

    Raises:
        NlcliError: an image is in two of them.
    """
    names: dict[str, int] = {}
    paths: list[str] = []
    kinds: dict[str, Entries] = dict.fromkeys(("noisy", "present", "absent"), Entries.none())
    split, verified, group = [], [], []
    groups = 0
    for folder, number, part in parts:
        code = np.array([names.setdefault(name, len(names)) for name in part.names], np.int32)
        for kind, before in kinds.items():
            own: Entries = getattr(part, kind)
            kinds[kind] = before.joined(Entries(own.image + len(paths), code[own.name], own.confidence))
        paths += [f"{folder}/{path}" if folder else path for path in part.paths]
        split.append(np.where(part.split < 0, np.int8(number), part.split))
        verified.append(part.verified)
        group.append(np.where(part.group < 0, np.int32(-1), part.group + np.int32(groups)))
        groups += int(part.group.max(initial=-1)) + 1
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise NlcliError(f"'{shown(twice)}' is in two of the files; an image may be in one of them only")
    declared = dict.fromkeys(name for _, _, part in parts for name in part.declared)
    return TaggedImages(
        paths=tuple(paths),
        names=tuple(names),
        noisy=kinds["noisy"],
        present=kinds["present"],
        absent=kinds["absent"],
        split=np.concatenate(split),
        verified=np.concatenate(verified),
        group=np.concatenate(group),
        lists_present=all(part.lists_present for _, _, part in parts),
        class_groups={name: group for _, _, part in parts for name, group in part.class_groups.items()},
        declared=tuple(declared),
        people_alone=all(part.people_alone for _, _, part in parts),
        one_label=all(part.one_label for _, _, part in parts),
    )


def people_are_noisy(tagged: TaggedImages) -> TaggedImages:
    """The images with what people gave as noisy tags, and nothing verified."""
    return replace(
        tagged,
        noisy=tagged.noisy.joined(tagged.present),
        present=Entries.none(),
        absent=Entries.none(),
        verified=np.full(len(tagged), UNCHECKED, np.int8),
    )


def tell_what_was_read(tagged: TaggedImages) -> None:
    """Say what may not be meant: images without any tag, and tags in no image's noisy list."""
    some = np.zeros(len(tagged), bool)
    some[tagged.noisy.image] = True
    bare = [tagged.paths[row] for row in np.flatnonzero(~some)[:4].tolist()]
    count = len(some) - int(np.count_nonzero(some))
    if count:
        say(f"note: {count:,} of {len(tagged):,} images have no noisy tag ({enumerate_some(bare, count)})")
