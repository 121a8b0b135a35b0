"""The folder of a cluster goes with its command."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from nlcli.stages.engines.passing_folder import passing_folder


def test_what_killed_commands_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, foreign, pointed = tmp_path / "nlcli-ray-left", tmp_path / "other", tmp_path / "pointed"
    for folder in (left, foreign, pointed):
        folder.mkdir()
        (folder / "log").touch()
    (tmp_path / "nlcli-ray-link").symlink_to(pointed)
    with passing_folder() as held:
        assert not left.exists()
        assert held.parent == tmp_path
        with passing_folder() as second:
            assert held.is_dir()  # its command runs
            assert second != held
        assert not second.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nlcli-ray-link", "other", "pointed"]
    assert (pointed / "log").exists()
