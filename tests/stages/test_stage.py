"""Stage directories: publishing, resuming, skipping, refusing; killed at any moment."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.stages import publishing
from nlcli.stages import stage as stages
from nlcli.stages.files import atomic_path, fingerprint_json, read_json, write_json
from nlcli.stages.stage import open_stage, read_stage
from worlds.stage_builders import MakeConfig


def make(output: Path, *, force: bool = False, text: str = "content", source: Path | None = None, **options) -> bool:
    """Run a stage that writes one file; whether it did anything."""
    config = MakeConfig(output=output, **options)
    with open_stage("made", config, {"source": source}, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return False
        with atomic_path(stage.work / "result.txt") as path:
            path.write_text(text)
        stage.finish({"letters": len(text)})
    return True


def test_a_finished_stage_records_everything_and_is_skipped(tmp_path: Path) -> None:
    assert make(tmp_path / "a" / "out") is True
    record = read_stage(tmp_path / "a" / "out", "made")
    assert record.summary == {"letters": 7}
    assert record.seed == 0
    assert record.config["size"] == 3
    assert "python" in record.versions
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["out"]
    assert sorted(p.name for p in (tmp_path / "a" / "out").iterdir()) == ["result.txt", "stage.json"]
    assert make(tmp_path / "a" / "out") is False
    assert make(tmp_path / "a" / "out", workers=7) is False  # does not change the result


def test_a_different_result_is_not_overwritten_without_force(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(NlcliError, match=r"differs in seed 0 -> 1, size 3 -> 4.*--force"):
        make(tmp_path / "out", size=4, seed=1)
    assert (tmp_path / "out" / "result.txt").read_text() == "content"
    assert make(tmp_path / "out", size=4, seed=1, text="new", force=True) is True
    assert (tmp_path / "out" / "result.txt").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_changed_inputs_make_a_stage_out_of_date(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("one")
    make(tmp_path / "out", source=source)
    moved = tmp_path / "moved.txt"
    moved.write_text("one")
    assert make(tmp_path / "out", source=moved) is False  # the content counts, not the place
    source.write_text("two")
    with pytest.raises(NlcliError, match="differs in content of source"):
        make(tmp_path / "out", source=source)


def test_a_folder_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(NlcliError, match="was not made by nlcli"):
            make(tmp_path / "out", force=force)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert make(tmp_path / "empty") is True


def test_unfinished_work_is_resumed_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        pass

    def begin(size: int, force: bool = False):
        return open_stage("made", MakeConfig(output=tmp_path / "out", size=size), {}, force=force)

    with pytest.raises(StoppedError), begin(3) as stage:
        (stage.work / "part-0").write_text("done")
        (stage.work / ".part-1.77.tmp~").write_text("half")
        raise StoppedError
    with pytest.raises(NlcliError, match="is unfinished; run the command"):
        read_stage(tmp_path / "out")
    with pytest.raises(NlcliError, match="unfinished work of another configuration.*size 3 -> 4"), begin(4):
        pass
    with monkeypatch.context() as later:
        later.setattr(stages, "versions", lambda: {"nlcli": "99"})
        with (
            pytest.raises(NlcliError, match=r"another configuration \(differs in version of nlcli .* -> 99\)"),
            begin(3),
        ):
            pass
    with begin(3) as stage:
        assert stage.resumed
        assert (stage.work / "part-0").read_text() == "done"
        assert not (stage.work / ".part-1.77.tmp~").exists()
        raised = pytest.raises(NlcliError, match="being written by another process")
        with raised, begin(3):
            pass
        stage.finish({})
    with begin(4, force=True) as stage:
        assert not stage.resumed
        assert not (stage.work / "part-0").exists()
        stage.finish({})


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("before", [False, True])
def test_what_another_process_made_meanwhile_stays(
    size: int, before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the look at the output, where there was nothing, or something else, and the claim."""
    here = tmp_path / "out"
    if before:
        make(here, size=9)
    claim, others = stages.claim, []

    def late(output: Path) -> int | None:
        if not others:
            others.append(size)
            make(here, size=size, text="the other's", force=True)
        return claim(output)

    monkeypatch.setattr(stages, "claim", late)
    if size == 3:
        assert make(here, size=3, force=before) is False
    elif before:  # asked to replace whatever is there
        assert make(here, size=3, force=True, text="ours") is True
    else:
        with pytest.raises(NlcliError, match=r"holds a different result \(differs in size 4 -> 3\)"):
            make(here, size=3)
    assert others == [size]
    assert (here / "result.txt").read_text() == ("ours" if (size, before) == (4, True) else "the other's")
    assert os.listdir(tmp_path) == ["out"]


def test_work_that_another_process_just_published_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``OUT.partial`` is seen, and has become ``OUT`` when it is opened."""
    here = tmp_path / "out"
    seen, opened = publishing.is_ours, []

    def late(directory: Path) -> bool:
        if directory.name == "out.partial" and not opened:
            opened.append(directory)
            shutil.rmtree(directory)
        return seen(directory)

    monkeypatch.setattr(publishing, "is_ours", late)
    assert make(here) is True
    assert opened == [tmp_path / "out.partial"]
    assert os.listdir(tmp_path) == ["out"]


def test_the_fingerprint_tells_contents_apart_but_not_logs(tmp_path: Path) -> None:
    prints = []
    for name, text, log in (("a", "x", "1 s"), ("b", "x", "2 s"), ("c", "y", "1 s")):
        with open_stage("made", MakeConfig(output=tmp_path / name), {}) as stage:
            (stage.work / "result").write_text(text)
            (stage.work / "run.log").write_text(log)
            stage.finish({}, volatile=("*.log",))
        prints.append(read_stage(tmp_path / name).fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")],
)
def test_an_output_that_cannot_be_written_is_a_sentence(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(NlcliError, match=words), open_stage("made", MakeConfig(output=tmp_path / "out"), {}):
        raise OSError(code, os.strerror(code), "shard")
    with pytest.raises(NlcliError, match="disk is full"), open_stage("made", MakeConfig(output=tmp_path / "h5"), {}):
        raise OSError("Can't write data (file write failed: No space left on device)")


def test_a_really_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(NlcliError, match="disk is full"),
        open_stage("made", MakeConfig(output=tmp_path / "out"), {}) as stage,
    ):
        (stage.work / "link").symlink_to(full)
        with open(stage.work / "link", "wb", buffering=0) as file:
            file.write(b"x")


def test_an_output_below_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NlcliError, match=r"cannot write|exists and was not made"):
        make(tmp_path / "file" / "out")
    with pytest.raises(NlcliError, match="was not made by nlcli"):
        make(tmp_path / "file")


def test_read_stage_refuses_what_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="does not exist; expected a run directory"):
        read_stage(tmp_path / "nothing", "run")
    with pytest.raises(NlcliError, match=r"has no stage\.json"):
        read_stage(tmp_path)
    (tmp_path / "model.keras").touch()
    with pytest.raises(NlcliError, match=r"model\.keras is a file; expected a run or backbone directory"):
        read_stage(tmp_path / "model.keras", ("run", "backbone"))
    make(tmp_path / "out")
    with pytest.raises(NlcliError, match="is a made directory; expected a run or backbone directory"):
        read_stage(tmp_path / "out", ("run", "backbone"))
    record = json.loads((tmp_path / "out" / "stage.json").read_text())
    write_json(tmp_path / "out" / "stage.json", record | {"schema": 99})
    with pytest.raises(NlcliError, match="newer nlcli"):
        read_stage(tmp_path / "out")
    write_json(tmp_path / "out" / "stage.json", {"schema": 1})
    with pytest.raises(NlcliError, match="not a stage record"):
        read_stage(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1,\n  b}', "line 2, column 3"),
        (b"", "is empty; download or write the file again"),
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_malformed_json_is_a_sentence_with_its_place(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(NlcliError, match=words):
        read_json(tmp_path / "x.json")


def test_a_moved_work_directory_still_finds_its_inputs(tmp_path: Path) -> None:
    make(tmp_path / "work" / "first")
    with open_stage(
        "second", MakeConfig(output=tmp_path / "work" / "second"), {"first": read_stage(tmp_path / "work" / "first")}
    ) as stage:
        stage.finish({})
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    record = read_stage(tmp_path / "elsewhere" / "second")
    assert record.input_path("first") == (tmp_path / "elsewhere" / "first").resolve()


def test_an_input_that_is_gone_or_changed_is_told_with_what_to_pass_instead(tmp_path: Path) -> None:
    first = tmp_path / "first"
    make(first)
    with open_stage(
        "second", MakeConfig(output=tmp_path / "second"), {"dataset": read_stage(first), "hash": "sha256:x"}
    ) as stage:
        stage.finish({})
    record = read_stage(tmp_path / "second")
    assert record.input_stage("dataset", "--dataset").fingerprint == read_stage(first).fingerprint
    with pytest.raises(NlcliError, match=r"second does not tell of its hash; pass --other"):
        record.input_stage("hash", "--other")
    with pytest.raises(NlcliError, match=r"does not tell of its features directory$"):
        record.input_stage("features")
    make(tmp_path / "first", size=4, force=True)
    with pytest.raises(NlcliError, match=r"first changed since .*second was made from it; pass --dataset, or make"):
        record.input_stage("dataset", "--dataset")
    shutil.rmtree(tmp_path / "first")
    with pytest.raises(NlcliError, match=r"the data set of .*second is no longer at .*first; pass --dataset, or"):
        record.input_stage("dataset", "--dataset")
    with pytest.raises(NlcliError, match=r"first; make it again"):
        record.input_stage("dataset")


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint_json({"a": 1, "b": [1.5, None]}) == fingerprint_json({"b": [1.5, None], "a": 1})
    assert fingerprint_json({"a": 1}) != fingerprint_json({"a": 2})


def test_killed_at_random_moments_the_same_command_finishes_with_the_same_result(tmp_path: Path) -> None:
    """SIGKILL a stage of twenty parts again and again; what is published in the end is whole and equal."""
    program = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from pathlib import Path
        from worlds.stage_builders import MakeConfig
        from nlcli.stages.files import atomic_path
        from nlcli.stages.stage import open_stage
        with open_stage("made", MakeConfig(output=Path(sys.argv[1])), {{}}) as stage:
            if not stage.up_to_date:
                for part in range(20):
                    target = stage.work / f"part-{{part:02d}}"
                    if not target.exists():
                        with atomic_path(target) as path:
                            path.write_bytes(bytes([part]) * 200_000)
                        time.sleep(0.01)
                stage.finish({{}})
        print("finished")
        """
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "whole")], check=True, capture_output=True)
    expected = read_stage(tmp_path / "whole").fingerprint
    for attempt in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        time.sleep(0.25 + 0.02 * attempt)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        if b"finished" in output:
            break
        assert not (tmp_path / "out").exists() or read_stage(tmp_path / "out").fingerprint == expected
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], check=True, capture_output=True)
    assert read_stage(tmp_path / "out").fingerprint == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_a_stage_refused_before_its_first_file_leaves_nothing(tmp_path: Path) -> None:
    """The corrected command must not need --force because of the mistaken one."""
    with pytest.raises(NlcliError, match="wrong"):
        with open_stage("dataset", MakeConfig(output=tmp_path / "out", size=1), {}):
            raise NlcliError("something is wrong")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NlcliError, match="wrong"):
        with open_stage("dataset", MakeConfig(output=tmp_path / "out", size=1), {}) as stage:
            (stage.work / "done.txt").write_text("finished work")
            raise NlcliError("something is wrong")
    assert (tmp_path / "out.partial" / "done.txt").exists()


def test_a_file_of_a_directory_is_not_the_directory(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with open_stage("made", MakeConfig(output=output), {}) as stage:
        (stage.work / "part.txt").write_text("x")
        stage.finish({})
    with pytest.raises(
        NlcliError, match=r"part\.txt is a file of a directory made by nlcli; give the directory, .*out$"
    ):
        read_stage(output / "part.txt")


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    """Also with ``--force``, and where the input lies in the output or is reached by a link."""
    source = tmp_path / "source"
    with open_stage("made", MakeConfig(output=source), {}) as stage:
        (stage.work / "part").write_text("x")
        stage.finish({})
    (tmp_path / "link").symlink_to(source)
    for output, given in ((source, source), (source, tmp_path / "link"), (tmp_path, source), (source, source / "part")):
        refused = pytest.raises(NlcliError, match="source(/part)? is read to make .*, which would take its place")
        with refused, open_stage("other", MakeConfig(output=output), {"source": given}, force=True):
            raise AssertionError("it began")
    assert read_stage(source).kind == "made"
