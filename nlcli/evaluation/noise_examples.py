"""What a model of label noise makes of single images: Xiao et al. 2015, figure 7.

For an image with a noisy label the class that the classifier sees, ``p(y | x)``, the noise type that the other
net expects, ``p(z | x)``, and both once the label is known, ``p(y, z | n, x)``, which is what noisy labels are
learnt by. The images are drawn among those whose true and noisy class are known, half of them with a wrong label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.drawing import BLUE, ORANGE, SIGNS, cut, key_end, photograph_grid
from nlcli.methods.base.transition import NOISE_TYPES
from nlcli.metrics.arrays import Floats
from nlcli.metrics.formats import exact
from nlcli.networks.photographs import read_photograph
from nlcli.stages.files import write_csv

TABLE, PLOT = "noise_examples.csv", "noise_examples.png"
_LISTED = 5  # classes that come first by either probability, in the table
_SHOWN = 3  # in the plot


@dataclass(frozen=True)
class NoiseExample:
    """An image, its labels, and what the model says of them.

    Attributes:
        path: Image file.
        noisy, true: Classes.
        classes: (C,) ``p(y | x)``.
        types: (3,) ``p(z | x)``, of ``NOISE_TYPES``.
        joint: (C, 3) ``p(y, z | n, x)``.
    """

    key: str
    path: Path
    noisy: int
    true: int
    classes: Floats
    types: Floats
    joint: Floats

    @property
    def cleaned(self) -> Floats:
        """(C,) ``p(y | n, x)``."""
        summed: Floats = self.joint.sum(axis=1)
        return summed


def write_noise_examples(path: Path, examples: Sequence[NoiseExample], names: Sequence[str]) -> None:
    """Write ``noise_examples.csv``: of every image the classes that come first, and those of its labels."""
    header = ["key", "noisy", "true", "class", "p(y|x)", "p(y|n,x)"]
    joint = [f"p(y,{name}|n,x)" for name in NOISE_TYPES]
    rows = (row for example in examples for row in _rows(example, names))
    write_csv(path, [*header, *joint, *(f"p({name}|x)" for name in NOISE_TYPES)], rows)


def _rows(example: NoiseExample, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    cleaned = example.cleaned
    listed = {*_first(cleaned, _LISTED), *_first(example.classes, _LISTED), example.noisy, example.true}
    for c in sorted(listed, key=lambda c: (-cleaned[c], -example.classes[c], c)):
        numbers = (example.classes[c], cleaned[c], *example.joint[c], *example.types)
        yield (
            example.key,
            names[example.noisy],
            names[example.true],
            names[c],
            *(exact(float(number)) for number in numbers),
        )


def _first(values: Floats, count: int) -> list[int]:
    order: list[int] = np.argsort(-values, kind="stable")[:count].tolist()
    return order


_MEANING = """label: blue where it is the true class, orange where it is wrong   ✓ the true class   ✗ another class
p(y|x): the class, as the picture alone tells it   p(z|x): how its label is likely to come about
p(y,z|n,x): both together, when the label is seen as well   (images drawn at random, half of them with a wrong label)"""


def noise_examples_plot(examples: Sequence[NoiseExample], names: Sequence[str], path: Path) -> None:
    """Photographs with ``p(y | x)``, ``p(z | x)`` and ``p(y, z | n, x)``, classes marked right or wrong."""
    cells = [(read_photograph(example.path), _lines(example, names)) for example in examples]
    photograph_grid(cells, path, columns=3, meaning=_MEANING)


def _lines(example: NoiseExample, names: Sequence[str]) -> list[tuple[str, str]]:
    def told(c: int, value: float, more: str = "") -> tuple[str, str]:
        sign, color = SIGNS["right" if c == example.true else "wrong"]
        return f"   {sign} {value:.2f}  {_short(names[c])}{more}", color

    lines = [(key_end(example.key), "0.5")]
    lines += [(f"label: {_short(names[example.noisy])}", BLUE if example.noisy == example.true else ORANGE)]
    lines += [("p(y|x)", "0.25"), *(told(c, example.classes[c]) for c in _first(example.classes, _SHOWN))]
    types = [f"{name} {share:.2f}" for name, share in zip(NOISE_TYPES, example.types, strict=True)]
    lines += [("p(z|x)", "0.25"), (", ".join(types), "0.25"), ("p(y,z|n,x), the label known", "0.25")]
    for place in _first(example.joint.ravel(), _SHOWN):
        c, z = divmod(place, len(NOISE_TYPES))
        lines.append(told(c, example.joint[c, z], f", {NOISE_TYPES[z]}"))
    return lines


def _short(name: str) -> str:
    return cut(name, 18)
