"""Which images lie in folders, be they hundreds of millions: their names as Arrow holds text, in one order.

A Python object for each image takes some 700 bytes; here an image takes the bytes of its key, four of its place in
them, eight of its size, and one that says in which folder it is. What is asked for is made into Python's strings, some
images at a time.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.networks.image_files import ImageFile, folder_labels, walk_images

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 16


class ImageNames:
    """Images ordered by their keys; a key is a folder's label and the path in that folder.

    Args:
        folders: For each folder its label with the slash behind it, and its path with that behind it.
        found: (folder's number, path in it, bytes or -1) of every image.
    """

    def __init__(self, folders: Sequence[tuple[str, str]], found: Iterable[tuple[int, str, int]]) -> None:
        import pyarrow as pa

        self._folders = list(folders)
        self._keys: list[pa.Array] = []
        kind = np.min_scalar_type(len(folders))
        sizes, places, in_order, last = [], [], True, ""
        found = iter(found)
        while block := list(islice(found, _BLOCK)):
            keys = [self._folders[place][0] + name for place, name, _ in block]
            in_order = in_order and last <= keys[0] and all(map(str.__le__, keys, keys[1:]))
            last = keys[-1]
            self._keys.append(_compact(pa.array(keys, pa.string())))
            places.append(np.fromiter((place for place, _, _ in block), kind, len(block)))
            sizes.append(np.fromiter((size for _, _, size in block), np.int64, len(block)))
        self._places = np.concatenate([np.empty(0, kind), *places])
        self._sizes = np.concatenate([np.empty(0, np.int64), *sizes])
        del places, sizes
        if not in_order:
            self._sort()
        self._ends = np.cumsum([len(part) for part in self._keys]).tolist()

    def _sort(self) -> None:
        """By key; equal ones stay in their order. Text in UTF-8 is ordered as Python orders it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        whole = pa.chunked_array(self._keys).cast(pa.large_string()).combine_chunks()
        self._keys.clear()
        order = pc.sort_indices(whole)  # stable
        for first in range(0, len(order), _BLOCK):
            self._keys.append(_compact(whole.take(order.slice(first, _BLOCK)).cast(pa.string())))
        rows = order.to_numpy()
        self._places, self._sizes = self._places[rows], self._sizes[rows]

    @classmethod
    def in_folders(cls, folders: Sequence[Path]) -> ImageNames:
        """Those that lie in ``folders`` and their subfolders.

        Raises:
            NlcliError: as ``find_images``.
        """
        labels = folder_labels(folders)
        seen = dict.fromkeys(folders)  # one that is given twice is looked at once
        first = {folder: folders.index(folder) for folder in seen}
        named = [(f"{label}/", str(folder / "x")[:-1]) for folder, label in zip(folders, labels, strict=True)]

        def found() -> Iterator[tuple[int, str, int]]:
            for folder in seen:
                for name, size in walk_images(folder):
                    yield first[folder], name, size

        return cls(named, found())

    def __len__(self) -> int:
        return len(self._sizes)

    def keys(self, first: int = 0, end: int | None = None) -> list[str]:
        """Keys of the images from ``first`` to ``end``."""
        texts: list[str] = []
        for part in self._parts(first, len(self) if end is None else end):
            texts += part.to_pylist()
        return texts

    def names(self, first: int = 0, end: int | None = None) -> list[str]:
        """Their paths in the folders."""
        labels = [len(label) for label, _ in self._folders]
        return [key[labels[place] :] for key, place in self._with_places(first, end)]

    def files(self, first: int = 0, end: int | None = None) -> list[str]:
        """Where they lie."""
        of = [(len(label), folder) for label, folder in self._folders]
        return [of[place][1] + key[of[place][0] :] for key, place in self._with_places(first, end)]

    def sizes(self, first: int = 0, end: int | None = None) -> list[int]:
        """Their bytes; -1 of what cannot be looked at."""
        sizes: list[int] = self._sizes[first:end].tolist()
        return sizes

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Where some tens of thousands of images begin and end, one after another."""
        for first in range(0, len(self), _BLOCK):
            yield first, min(first + _BLOCK, len(self))

    def longest_name(self) -> int:
        """Characters of the longest path in a folder."""
        return max(max(map(len, self.names(*block))) for block in self.blocks())

    def _with_places(self, first: int, end: int | None) -> Iterator[tuple[str, int]]:
        return zip(self.keys(first, end), self._places[first:end].tolist(), strict=True)

    def _parts(self, first: int, end: int) -> Iterator[Any]:
        while first < end:
            number = bisect.bisect_right(self._ends, first)
            part = self._keys[number]
            begin = first - (self._ends[number] - len(part))
            yield (taken := part.slice(begin, end - first))
            first += len(taken)


class ListedImages(ImageNames):
    """Images that somebody names one by one, wherever they lie."""

    def __init__(self, images: Sequence[ImageFile]) -> None:
        ordered = sorted(images, key=lambda image: image.key)
        super().__init__([("", "")], ((0, image.key, image.size) for image in ordered))
        self._files = [str(image.path) for image in ordered]

    def files(self, first: int = 0, end: int | None = None) -> list[str]:
        return self._files[first:end]


def _compact(texts: pa.Array) -> pa.Array:
    """The same in memory of its own size: what grew while it was built keeps up to twice of it."""
    import pyarrow as pa

    _, offsets, letters = texts.buffers()
    own = [pa.py_buffer(memoryview(offsets)[: 4 * (len(texts) + 1)].tobytes()), pa.py_buffer(bytes(letters or b""))]
    return pa.Array.from_buffers(pa.string(), len(texts), [None, *own])
