"""Tables of checked labels or tags in the directory of an evaluation: written, and read back as written or refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import damaged_as_sentence, read_own_table

if TYPE_CHECKING:
    import pyarrow as pa


def checked_schema(kinds: Mapping[str, Any], classes: tuple[str, ...]) -> pa.Schema:
    """Columns of these kinds, the names of the classes in the metadata under ``classes``, as JSON."""
    import pyarrow as pa

    return pa.schema(list(kinds.items()), metadata={"classes": json.dumps(classes)})


def write_checked_table(path: Path, columns: list[pa.Array], schema: pa.Schema) -> None:
    """Write the table, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), temporary, compression="zstd")


def read_checked_table(
    path: Path, schema_of: Callable[[tuple[str, ...]], Any], class_column: str, what: str
) -> tuple[pa.Table, tuple[str, ...]]:
    """The table at ``path`` and its classes.

    Args:
        schema_of: The schema of a table with these classes.
        class_column: Its column of class numbers.
        what: It holds, for people.

    Raises:
        NlcliError: missing, damaged, or of another schema.
    """
    remedy = "evaluate the detection again"
    table = read_own_table(path, remedy)
    with damaged_as_sentence(path, remedy):
        classes = tuple(json.loads((table.schema.metadata or {}).get(b"classes", b"null")) or ())
    of_class = table[class_column].to_numpy() if class_column in table.column_names else np.empty(0)
    inside = len(of_class) > 0 and 0 <= of_class.min() <= of_class.max() < len(classes)
    if not table.schema.equals(schema_of(classes)) or not inside or any(column.null_count for column in table.columns):
        raise NlcliError(f"{path} does not hold the {what} of a detection; {remedy}")
    return table, classes
