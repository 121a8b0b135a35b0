"""The version tells two commits apart."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nlcli import __version__
from nlcli.runtime import versions
from nlcli.version import commit_of, full_version

ROOT = Path(__file__).parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    try:
        git(tmp_path, "init", "-q", "repository")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    git(tmp_path / "repository", "commit", "-q", "--allow-empty", "-m", "one")
    return tmp_path / "repository"


def test_the_commit_is_what_git_says(repository: Path) -> None:
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-q", "../other", "-b", "feature/x")
    git(repository.parent / "other", "commit", "-q", "--allow-empty", "-m", "two")
    assert commit_of(repository.parent / "other") == git(repository.parent / "other", "rev-parse", "HEAD")
    assert commit_of(repository.parent / "other") != commit_of(repository)
    git(repository, "pack-refs", "--all")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")
    assert commit_of(repository.parent / "other") == git(repository.parent / "other", "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "--detach")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize("head", ["", "ref: refs/heads/none", "ref: ../../x", "\0", "12345"])
def test_no_commit_is_no_failure(tmp_path: Path, head: str) -> None:
    assert commit_of(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert commit_of(tmp_path) is None
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert commit_of(tmp_path) is None
    (tmp_path / ".git" / "HEAD").write_text(COMMIT)
    assert commit_of(tmp_path) == COMMIT


def test_the_command_line_and_the_records_tell_the_full_version() -> None:
    command = [sys.executable, "-m", "nlcli", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    assert printed == f"nlcli {full_version()}"
    assert versions()["nlcli"] == full_version()
    commit = commit_of(ROOT)
    assert full_version() == (__version__ if commit is None else f"{__version__}+g{commit[:10]}")
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", __version__)


def test_a_log_that_is_asked_for_does_not_change_the_backend(tmp_path: Path) -> None:
    """Where keras.json says jax, Keras runs on TensorFlow all the same."""
    program = (
        "import os; from nlcli.runtime import quiet_tensorflow; quiet_tensorflow(); print(os.environ['KERAS_BACKEND'])"
    )
    environment = {"TF_CPP_MIN_LOG_LEVEL": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert ended.stdout.strip() == "tensorflow"


def test_whoever_asks_for_no_log_gets_none_and_no_environment_is_printed(tmp_path: Path) -> None:
    """Level 3 is silence; a compiled function that comes to the import again warned with all of the environment."""
    program = tmp_path / "compiled.py"
    program.write_text(
        "from nlcli.runtime import quiet_tensorflow\n"
        "quiet_tensorflow()\n"
        "import tensorflow\n"
        "tensorflow.get_logger().setLevel('WARNING')\n"
        "def compiled():\n"
        "    quiet_tensorflow()\n"
        "    return tensorflow.constant(7)\n"
        "print(int(tensorflow.function(compiled)()))\n"
    )
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert (ended.stdout, ended.stderr) == ("7\n", "")
