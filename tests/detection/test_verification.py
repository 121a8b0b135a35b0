"""What of the verification is known of a noisy label, shown to a detector, and held out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.labels import FULL, NONE, PARTIAL, LabelTable, matrix_from_lists, single_label_table
from nlcli.detection.verification import draw_held_out, read_held_out, verification_labels, visible_classes, withheld
from nlcli.errors import NlcliError
from worlds.stage_builders import small_table


def every_case() -> LabelTable:
    """Noisy class a or none; what a person knows of it, one case an image."""
    cases = [  # noisy, present, absent, verification
        ([0], [0], [], FULL),
        ([0], [1], [], FULL),
        ([0], [0], [], PARTIAL),
        ([0], [], [0], PARTIAL),
        ([0], [1], [], PARTIAL),
        ([0], [], [2], PARTIAL),
        ([0], [], [], NONE),
        ([], [1], [], FULL),
        ([], [], [], NONE),
    ]
    noisy, present, absent, known = zip(*cases, strict=True)
    return replace(
        small_table(),
        task="single-label",
        groups=None,
        keys=np.array([f"k{i}" for i in range(9)], object),
        paths=np.array([f"k{i}" for i in range(9)], object),
        split=np.zeros(9, np.int8),
        noisy=matrix_from_lists(noisy, 3, [[1.0] * len(labels) for labels in noisy]),
        present=matrix_from_lists(present, 3),
        absent=matrix_from_lists(absent, 3),
        verification=np.array(known, np.uint8),
    )


def test_verification_labels_of_every_case() -> None:
    # right, another class, right, absent, another class, nothing said of class a, unverified, no noisy label
    assert verification_labels(every_case()).tolist() == [1, 0, 1, 0, 0, -1, -1, -1, -1]


def test_a_detector_is_shown_no_true_class() -> None:
    table = every_case()
    label = np.array([1, 0, -1, 0, -1, -1, -1, -1, -1], np.int8)
    shown = withheld(table, label)
    np.testing.assert_array_equal(verification_labels(shown), label)
    assert shown.present.toarray()[:, 1:].sum() == 0
    assert shown.absent.toarray()[:, 1:].sum() == 0
    assert shown.verification.tolist() == [1, 1, 0, 1, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(shown.noisy.toarray(), table.noisy.toarray())


def test_fewer_held_out_classes_are_among_more() -> None:
    classes = tuple(f"c{i}" for i in range(20))
    drawn = [set(draw_held_out(classes, n, 3)) for n in range(1, 20)]
    assert [len(names) for names in drawn] == list(range(1, 20))
    assert all(fewer < more for fewer, more in pairwise(drawn))
    assert draw_held_out(classes, 5, 3) != draw_held_out(classes, 5, 4)
    assert set(draw_held_out(classes[::-1], 5, 3)) == drawn[4]
    assert list(draw_held_out(classes[::-1], 5, 3)) == [c for c in classes[::-1] if c in drawn[4]]
    with pytest.raises(NlcliError, match="--hold-out 20: the data set has 20 classes, and one must stay verified"):
        draw_held_out(classes, 20, 0)


def test_held_out_classes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("c2\nc0\n")
    assert read_held_out(file, ("c0", "c1", "c2")) == ("c0", "c2")
    file.write_text("c2\nc_0\n")
    with pytest.raises(NlcliError, match=r"unknown class 'c_0'; did you mean 'c0'\?"):
        read_held_out(file, ("c0", "c1", "c2"))
    file.write_text("c0\nc1\n")
    with pytest.raises(NlcliError, match="names all 2 classes"):
        read_held_out(file, ("c0", "c1"))


def test_true_classes_that_may_be_seen() -> None:
    """Of a wrong label the true class, unless it is withheld; of one that is only known to be wrong, none."""
    keys = [f"k{i}" for i in range(6)]
    noisy, true = np.array([0, 0, 0, 1, 2, 1]), np.array([0, 1, 2, 0, -1, 1])
    table = single_label_table(("a", "b", "c"), keys, keys, Path("/i"), np.zeros(6, np.int8), noisy, true)
    label = verification_labels(table)
    assert label.tolist() == [1, 0, 0, 0, -1, 1]
    nothing = np.zeros(3, bool)
    assert visible_classes(table, label, nothing).tolist() == [0, 1, 2, 0, -1, 1]
    assert visible_classes(table, label, np.array([False, False, True])).tolist() == [0, 1, -1, 0, -1, 1]
    label[[1, 5]] = -1
    assert visible_classes(table, label, nothing).tolist() == [0, -1, 2, 0, -1, -1]
    label = verification_labels(table)
    assert visible_classes(withheld(table, label), label, nothing).tolist() == [0, -1, -1, -1, -1, 1]
