"""One shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data.features.shards import Shard, read_shard_record, write_shard
from nlcli.errors import NlcliError


def test_blocks_are_checked_one_by_one(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(100, 2048)).astype(np.float32)
    path = tmp_path / "s.h5"
    record = write_shard(path, features, [])
    assert record.block_rows == 16
    assert len(record.crc32) == 7
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in row 99
    path.write_bytes(content)
    shard = Shard(path, read_shard_record(path), 2048, np.dtype(np.float32))
    out = np.empty((96, 2048), np.float32)
    shard.read_into(np.arange(96), out)
    np.testing.assert_array_equal(out, features[:96])
    assert not shard.all_checked
    with pytest.raises(NlcliError, match="rows 96 to 99 do not match their checksum"):
        shard.check(np.array([96]))
