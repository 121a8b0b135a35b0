"""Embedded piles of pictures: what somebody has who was given images, bad labels, and little time.

``photos/``
    Pictures in one folder, by number; nothing in a name or in the order tells a label.
``labels.csv``
    The bad labels: ``path,noisy_label`` and the ``group`` of pictures of one handwritten digit (a pile of single
    digits), or ``path,noisy`` with tags parted by ``|`` (a pile of scenes).
``checked.csv``
    What a person said of a few of them: ``path,label``, or ``path,present``.
``network/``
    A small network that learned from other pictures of digits, with classes of its own: it is to these pictures what a
    network trained on ImageNet is to photographs. None of its handwritten digits is in the pile.
``truth.csv``
    What nobody who has such a pile would have: the true labels of all. No stage reads it; it is there to judge by.

In a pile of single digits labels are mistaken as in ``digit_folders``. In a pile of scenes a tag is forgotten the more
readily the smaller its digit is, and some digits are tagged as the one that they look like. Scenes may show the same
handwritten digit, drawn anew; single digits are parted by group, so that none is in two splits.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nlcli.console import progress
from nlcli.data.sources.digit_folders import confusion, draw_digit
from nlcli.data.sources.digit_painting import DIGITS, Placed, glyphs
from nlcli.data.sources.digit_scenes import draw_scene
from nlcli.stages.files import atomic_path, write_csv

LABELS, CHECKED, TRUTH = "labels.csv", "checked.csv", "truth.csv"
PHOTOS = "photos"

_STREAM = 0x70696C65
_MISTAKEN = 0.08
"""Share of the digits of a scene that are tagged as what they look like."""
_FORGOTTEN = (0.05, 0.55)
"""Share of the tags that are forgotten, of the largest and of the smallest digits."""


def write_digit_pile(
    directory: Path, digits: NDArray[np.int64], count: int, size: int, checked: float, seed: int
) -> dict[str, int]:
    """Write a pile of ``count`` pictures of one digit each.

    Args:
        digits: Rows of ``glyphs()`` that are drawn.
        size: Side of a picture in pixels.
        checked: Share that a person looked at.

    Returns:
        How many pictures there are, how many labels are wrong, and how many were checked.
    """
    _, values = glyphs()
    rng = np.random.default_rng([seed, _STREAM, 0])
    rows = np.concatenate([rng.permutation(digits) for _ in range(-(-count // len(digits)))])[:count]
    true = values[rows].astype(np.int64)
    shares = confusion() / 100.0
    noisy = np.array([rng.choice(len(DIGITS), p=shares[c]) for c in true])

    def draw(number: int) -> NDArray[np.uint8]:
        return draw_digit(int(rows[number]), digits, size, np.random.default_rng([seed, _STREAM, 1, number]))

    names = _draw(directory, count, draw)
    looked_at = _looked_at(count, checked, rng)
    of_true, of_noisy = ([DIGITS[c] for c in labels] for labels in (true, noisy))
    groups = [f"digit-{row}" for row in rows]
    write_csv(directory / LABELS, ("path", "noisy_label", "group"), zip(names, of_noisy, groups, strict=True))
    write_csv(directory / CHECKED, ("path", "label"), ((names[i], of_true[i]) for i in looked_at))
    write_csv(directory / TRUTH, ("path", "label"), zip(names, of_true, strict=True))
    return {"photos": count, "wrong_labels": int((true != noisy).sum()), "checked": len(looked_at)}


def write_scene_pile(
    directory: Path, digits: NDArray[np.int64], count: int, size: int, checked: float, seed: int
) -> dict[str, int]:
    """Write a pile of ``count`` scenes with tags; see ``write_digit_pile``.

    Returns:
        How many scenes there are, how many tags are wrong and missing, and how many scenes were checked.
    """
    true: list[list[str]] = [[] for _ in range(count)]
    noisy: list[list[str]] = [[] for _ in range(count)]

    def draw(number: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([seed, _STREAM, 2, number])
        picture, placed = draw_scene(digits, size, rng)
        shown = [item for item in placed if item.category < len(DIGITS)]
        true[number] = sorted({DIGITS[item.category] for item in shown}, key=DIGITS.index)
        noisy[number] = _tagged_in_haste(shown, size, rng)
        return picture

    names = _draw(directory, count, draw)
    looked_at = _looked_at(count, checked, np.random.default_rng([seed, _STREAM, 0]))
    write_csv(directory / LABELS, ("path", "noisy"), zip(names, map("|".join, noisy), strict=True))
    write_csv(directory / CHECKED, ("path", "present"), ((names[i], "|".join(true[i])) for i in looked_at))
    write_csv(directory / TRUTH, ("path", "present"), zip(names, map("|".join, true), strict=True))
    return {
        "photos": count,
        "tags": sum(map(len, noisy)),
        "wrong_tags": sum(len(set(given) - set(there)) for given, there in zip(noisy, true, strict=True)),
        "missing_tags": sum(len(set(there) - set(given)) for given, there in zip(noisy, true, strict=True)),
        "checked": len(looked_at),
    }


def _tagged_in_haste(placed: list[Placed], size: int, rng: np.random.Generator) -> list[str]:
    """The tags that a hasty person gives a scene, in the digits' order."""
    shares = confusion()
    np.fill_diagonal(shares, 0)
    tags = set()
    for item in placed:
        side = max(item.box[2], item.box[3]) / size
        smallness = float(np.clip((0.6 - side) / 0.4, 0, 1))
        if rng.random() < _FORGOTTEN[0] + (_FORGOTTEN[1] - _FORGOTTEN[0]) * smallness:
            continue
        c = item.category
        if rng.random() < _MISTAKEN:
            c = int(rng.choice(len(DIGITS), p=shares[c] / shares[c].sum()))
        tags.add(DIGITS[c])
    return sorted(tags, key=DIGITS.index)


def _looked_at(count: int, share: float, rng: np.random.Generator) -> list[int]:
    return sorted(rng.permutation(count)[: round(share * count)].tolist())


def _draw(directory: Path, count: int, picture: Callable[[int], NDArray[np.uint8]]) -> list[str]:
    """Write the pictures; their names in the folder of photos."""
    folder = directory / PHOTOS
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with progress(count, "drawing a pile of pictures", unit="images") as bar:
        for number in range(count):
            content = io.BytesIO()
            Image.fromarray(picture(number)).save(content, "PNG")
            names.append(f"{number + 1:06d}.png")
            with atomic_path(folder / names[-1]) as temporary:
                temporary.write_bytes(content.getvalue())
            bar.advance()
    return names
