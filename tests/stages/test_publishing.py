"""How a directory comes to its place: what any moment leaves behind, and what is not ours."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.lineage import describe_path
from nlcli.stages.publishing import RECIPE, RECORD, is_ours, old_path, place_of, publish, tidy, work_path
from nlcli.stages.stage import open_stage, read_stage
from worlds.stage_builders import MakeConfig


def make(output: Path, seed: int = 0, *, force: bool = False) -> bool:
    """Whether there was something to do."""
    with open_stage("made", MakeConfig(output=output, seed=seed), {}, force=force) as stage:
        if stage.up_to_date:
            return False
        (stage.work / "part").write_text(f"{seed}")
        stage.finish({})
    return True


def folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).write_text("mine")
    return path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


class Killed(BaseException):
    """Stands for a SIGKILL between two operations."""


@pytest.mark.parametrize("deadly", range(1, 6))
def test_killed_between_any_two_steps_of_replacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadly: int
) -> None:
    """The renames and removals of publishing over another result, cut at each; the same command ends as if none was."""
    make(tmp_path / "out", seed=1)
    calls = []

    def counted(real):  # type: ignore[no-untyped-def]
        def call(*arguments, **options):  # type: ignore[no-untyped-def]
            if any(str(a).startswith(str(tmp_path)) and ".tmp~" not in str(a) for a in arguments):
                calls.append(real.__name__)
                if len(calls) == deadly:
                    raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        with pytest.raises(Killed):
            make(tmp_path / "out", seed=2, force=True)
    assert len(calls) == deadly
    make(tmp_path / "out", seed=2, force=True)
    assert (tmp_path / "out" / "part").read_text() == "2"
    assert read_stage(tmp_path / "out").kind == "made"
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["part", RECORD]
    assert not make(tmp_path / "out", seed=2)


@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_ours_stays(tmp_path: Path, force: bool) -> None:
    make(tmp_path / "out", seed=1)
    mine = folder(old_path(tmp_path / "out"), "mine.txt")
    with pytest.raises(
        NlcliError, match=r"out\.replaced was not made by nlcli" if force else "holds a different result"
    ):
        make(tmp_path / "out", seed=2, force=force)
    assert names(mine) == ["mine.txt"]
    assert (tmp_path / "out" / "part").read_text() == "1"

    other = folder(work_path(tmp_path / "other"), "mine.txt")
    with pytest.raises(NlcliError, match=r"other\.partial holds files that nlcli did not make"):
        make(tmp_path / "other", force=force)
    assert names(other) == ["mine.txt"]

    work_path(tmp_path / "linked").symlink_to(other)
    with pytest.raises(NlcliError, match=r"linked\.partial is a link"):
        make(tmp_path / "linked", force=force)
    assert names(other) == ["mine.txt"]

    work_path(tmp_path / "file").write_text("mine")
    with pytest.raises(NlcliError, match=r"file\.partial is a file"):
        make(tmp_path / "file", force=force)
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(NlcliError, match="plain is a file"):
        make(tmp_path / "plain", force=force)
    assert (tmp_path / "plain").read_text() == "mine"


def test_killed_while_the_mark_is_written_or_behind_it(tmp_path: Path) -> None:
    """A recipe half-written, and a replaced directory that lost its mark but not itself."""
    work = folder(work_path(tmp_path / "out"))
    (work / f".{RECIPE}.4711.tmp~").write_text("{")
    folder(old_path(tmp_path / "out"))
    assert make(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["part", RECORD]
    folder(old_path(tmp_path / "out"))
    assert not make(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_links_inside_unfinished_work_are_not_followed(tmp_path: Path) -> None:
    mine = folder(tmp_path / "mine", "mine.txt")
    work = folder(work_path(tmp_path / "out"))
    (work / RECIPE).write_text('{"stage": "made"}')
    (work / "link").symlink_to(mine)
    make(tmp_path / "out", force=True)
    assert names(mine) == ["mine.txt"]
    assert names(tmp_path / "out") == ["part", RECORD]


def test_a_linked_output_is_made_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for name in ("there", "nowhere"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    (tmp_path / "disk" / "there").mkdir()
    for name in ("there", "nowhere"):
        assert place_of(tmp_path / name) == tmp_path / "disk" / name
        make(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert names(tmp_path / "disk" / name) == ["part", RECORD]
        assert not make(tmp_path / name)
    assert names(tmp_path) == ["disk", "nowhere", "there"]


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert make(tmp_path / "out")
    assert "has no locks; do not run two commands with this --output at a time" in capsys.readouterr().err


def test_work_that_was_finished_before_a_kill_is_published(tmp_path: Path) -> None:
    """As 0.1.0 left it: without the recipe, which it removed before the rename."""
    make(tmp_path / "out")
    os.rename(tmp_path / "out", work_path(tmp_path / "out"))
    assert not make(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_marks(tmp_path: Path) -> None:
    assert not is_ours(tmp_path / "nothing")
    assert not is_ours(folder(tmp_path / "mine", "mine.txt"))
    assert is_ours(folder(tmp_path / "ours", RECORD))
    assert is_ours(folder(tmp_path / "begun", RECIPE))
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    assert not is_ours(tmp_path / "link")
    (folder(tmp_path / "odd") / RECORD).symlink_to(tmp_path / "ours" / RECORD)
    assert not is_ours(tmp_path / "odd")
    tidy(tmp_path / "mine")
    assert names(tmp_path / "mine") == ["mine.txt"]
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "nothing")


def test_the_root_of_the_disk_is_no_place_for_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (Path("/"), Path(os.sep) / ".."):
        with pytest.raises(NlcliError, match="is the root of the disk"):
            make(path)
    monkeypatch.chdir(folder(tmp_path / "here"))
    assert work_path(Path()) == tmp_path / "here.partial"


def test_a_finished_directory_is_told_of_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    assert describe_path(Path())["complete"] is True
    with pytest.raises(NlcliError, match="the root of the disk"):
        describe_path(Path("/"))
