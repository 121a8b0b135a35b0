"""Class labels as people have them (texts, numbers, booleans), their places, and what of them was checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcli.errors import NlcliError, printable


class WrongArray(NlcliError, ValueError):
    """An array that cannot be taken; as scikit-learn expects it, a ``ValueError``, too."""


def plain_labels(y: np.ndarray) -> np.ndarray:
    """Labels that came as objects as an array of texts or of numbers.

    Raises:
        WrongArray: texts and numbers are mixed.
    """
    if y.dtype != object:
        return y
    if len({isinstance(label, str) for label in y}) > 1:
        raise WrongArray("y holds texts and other labels; write all of them in one way")
    return np.asarray(y.tolist())


def class_names(classes: np.ndarray) -> tuple[str, ...]:
    """Classes as texts, which is what a data set has."""
    return tuple(str(c) for c in classes.tolist())


def known_labels(values: Any, images: int, classes: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels of those images that have one: their positions, and the labels in the type of ``classes``.

    Args:
        values: (images,) labels; None, NaN, an empty text and -1 say that there is none, the last two as long as they
            are no class.
        name: Of the argument, for sentences.

    Raises:
        WrongArray: another length or type, or -1 where that is a class.
    """
    import pandas as pd

    given = np.asarray(values, object) if not hasattr(values, "to_numpy") else values.to_numpy(dtype=object)
    if given.shape != (images,):
        raise WrongArray(f"{name} has shape {given.shape}, and there are {images:,} labels; give one for each")
    texts = classes.dtype.kind == "U"
    sign: Any = "" if texts else -1
    signs = np.fromiter((_is(value, sign) for value in given), bool, images)
    if signs.any() and sign in classes.tolist():
        raise WrongArray(f"{sign!r} is a class, so in {name} it cannot say that nobody looked; write None there")
    none = np.asarray(pd.isna(given), bool) | signs
    positions = np.flatnonzero(~none)
    labels = np.asarray(given[positions].tolist()) if len(positions) else classes[:0]
    if len(positions) and (labels.ndim != 1 or (labels.dtype.kind == "U") != texts or labels.dtype.kind == "O"):
        shown = printable(repr(given[positions[0]]))
        raise WrongArray(f"{name} holds {shown}, and the labels are of another type; write both in one way")
    if classes.dtype.kind in "iu" and labels.dtype.kind == "f":  # whole numbers beside NaN
        whole = labels == np.round(labels)
        if not whole.all():
            raise WrongArray(f"{name} holds {labels[~whole][0]:g}, and the labels are whole numbers")
        labels = labels.astype(classes.dtype)
    return positions, labels


def _is(value: Any, sign: str | int) -> bool:
    """Whether ``value`` is the text, or the number, ``sign``."""
    return isinstance(value, str) == isinstance(sign, str) and not isinstance(value, bool) and bool(value == sign)


def places(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """int64 place of each label in ``classes``, which are sorted and hold it."""
    return np.searchsorted(classes, labels).astype(np.int64)


def all_classes(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Sorted classes of both.

    Raises:
        WrongArray: fewer than two.
    """
    classes = np.unique(np.concatenate([labels, known])) if len(known) else np.unique(labels)
    if len(classes) < 2:
        raise WrongArray(f"y has {len(classes)} class; there is something to learn from two classes on")
    return classes
