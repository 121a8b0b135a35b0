"""The images of a data set, a block at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.image_list import ImageList
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from worlds.extraction import table_of
from worlds.stage_builders import published


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Ten images in groups of four rows."""
    (tmp_path / "images").mkdir()
    path = tmp_path / "dataset"
    published(table_of(tmp_path / "images", 10), path)
    pq.write_table(pq.read_table(path / "images.parquet"), path / "images.parquet", row_group_size=4)
    return path


@pytest.mark.parametrize(("first", "end"), [(0, 10), (0, 4), (4, 8), (3, 9), (9, 10), (5, 6)])
def test_any_part_of_them(dataset: Path, first: int, end: int) -> None:
    images = ImageList(dataset)
    keys, files = images.names(first, end)
    assert keys == [f"k{i}" for i in range(first, end)]
    assert files == [f"{dataset.parent}/images/{i}.png" for i in range(first, end)]


def test_they_are_those_of_the_table(dataset: Path) -> None:
    images, table = ImageList(dataset), read_dataset(dataset)
    assert len(images) == len(table)
    assert images.fingerprint == table.fingerprint
    assert images.image_root == table.image_root
    assert [len(paths) for paths in images.paths()] == [4, 4, 2]
    assert [path for paths in images.paths() for path in paths] == table.paths.tolist()


def test_empty_cells_are_a_sentence(dataset: Path) -> None:
    table = pq.read_table(dataset / "images.parquet")
    paths = pa.array([*table.column("path").to_pylist()[:9], None], pa.string())
    pq.write_table(table.set_column(1, "path", paths), dataset / "images.parquet", row_group_size=4)
    images = ImageList(dataset)
    assert len(images.names(0, 8)[0]) == 8
    with pytest.raises(NlcliError, match=r"images\.parquet has empty cells; build the data set again"):
        images.names(7, 10)
