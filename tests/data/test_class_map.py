"""Class maps: applying them, and refusing broken ones with the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data.class_map import read_class_map
from nlcli.errors import NlcliError

HEADER = "source_index,source_id,source_name,target_name\n"


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_predictions_become_noisy_labels_by_hand(tmp_path: Path) -> None:
    name = written(tmp_path / "map.csv", HEADER + "5,n5,husky,dog\n2,n2,tabby,cat\n7,n7,beagle,dog\n")
    class_map = read_class_map(name)
    assert class_map.targets == ("dog", "cat")
    indices = np.array([[5, 7, 1], [2, 9, 0], [1, 3, 4], [-1, -1, 7]])
    scores = np.array([[0.2, 0.3, 0.5], [0.9, 0.05, 0.01], [0.5, 0.3, 0.1], [0.0, 0.0, 0.4]], np.float32)
    noisy = class_map.apply(indices, scores, ("cat", "dog"))
    expected = np.array([[0, 0.3], [0.9, 0], [0, 0], [0, 0.4]], np.float32)
    assert noisy.dtype == np.float32
    assert np.array_equal(noisy.toarray(), expected)
    assert noisy.nnz == 3


def test_the_shipped_map_has_the_papers_56_classes() -> None:
    class_map = read_class_map("imagenet-coco56")
    assert len(class_map.targets) == 56
    assert class_map.source_index.max() < 1000
    assert {"bird", "dog", "hair drier"} <= set(class_map.targets)
    assert not {"person", "giraffe", "frisbee", "fork"} & set(class_map.targets)
    assert sum(target == "dog" for target in class_map.target_name) == 118
    assert sum(target == "bird" for target in class_map.target_name) == 59
    class_map.check_source(1000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the first line must be"),
        ("a,b\n1,2\n", "the first line must be"),
        (HEADER, "has no rows"),
        (HEADER + "1,n,x\n", "line 2: 3 cells, expected 4"),
        (HEADER + "1,n,x,dog\n-2,n,y,cat\n", "line 3: source_index '-2' is not a number"),
        (HEADER + "1,n,x,dog\n2,n,y,cat\n1,n,z,cat\n", "line 4: source_index 1 is already mapped in line 2"),
        (HEADER + "1,n,x,\n", "line 2: target_name is empty"),
    ],
)
def test_broken_maps_are_refused_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(NlcliError, match=words):
        read_class_map(written(tmp_path / "map.csv", text))


def test_maps_of_another_classifier_or_data_set_are_refused(tmp_path: Path) -> None:
    class_map = read_class_map(written(tmp_path / "map.csv", HEADER + "12,n,x,zebra\n"))
    with pytest.raises(NlcliError, match=r"source index 12 \('x'\) is beyond the classifier's 10 classes"):
        class_map.check_source(10)
    with pytest.raises(NlcliError, match="unknown category 'zebra'; did you mean 'zebras'"):
        class_map.check_targets(["zebras", "dog"])
    with pytest.raises(NlcliError, match="neither a file nor a shipped map"):
        read_class_map("imagenet")
