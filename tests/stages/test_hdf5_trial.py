"""HDF5 that the library itself does not withstand."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import pytest

from nlcli.errors import NlcliError
from nlcli.stages import hdf5_trial
from worlds.damaged_hdf5 import endless, write_an_attribute, write_texts


@pytest.fixture(autouse=True)
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_trial, "SECONDS", 1)


def test_texts_that_never_end_are_a_sentence(tmp_path: Path) -> None:
    path = write_texts(tmp_path / "v.h5")
    hdf5_trial.require_readable(path)
    with pytest.raises(NlcliError, match=r"v\.h5 is damaged: the HDF5 library would never come to an end over it"):
        hdf5_trial.require_readable(endless(path))


def test_attributes_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(endless(write_an_attribute(tmp_path / "w.h5")), "model.weights.h5")
    with pytest.raises(NlcliError, match="never come to an end"):
        hdf5_trial.require_readable(path, archive=True)


def test_what_the_library_dies_of_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_trial, "trial", lambda path, archive: -11)
    with pytest.raises(NlcliError, match=r"the HDF5 library dies of it \(SIGSEGV\); save it again"):
        hdf5_trial.require_readable(tmp_path / "v.h5")


def test_other_damage_is_the_reader_s_to_tell(tmp_path: Path) -> None:
    (tmp_path / "v.h5").write_bytes(b"no HDF5")
    hdf5_trial.require_readable(tmp_path / "v.h5")
    hdf5_trial.require_readable(tmp_path / "v.h5", archive=True)
    hdf5_trial.require_readable(tmp_path / "none.h5")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["loop/group"] = h5py.SoftLink("/loop")
        file["loop/again"] = file["loop"]
        file.create_dataset("elsewhere", (2,), "f4", external=[("/dev/zero", 0, 8)])
    hdf5_trial.require_readable(tmp_path / "v.h5")


def test_a_file_is_tried_once_until_it_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(hdf5_trial, "trial", lambda path, archive: tried.append(path.name) or 0)
    path = tmp_path / "v.h5"
    path.write_bytes(b"one")
    hdf5_trial.require_readable(path)
    hdf5_trial.require_readable(path)
    assert tried == ["v.h5"]
    moved = path.rename(tmp_path / "w.h5")
    moved.write_bytes(b"two")
    hdf5_trial.require_readable(moved)
    assert tried == ["v.h5", "w.h5"]
    (tmp_path / "own.h5").write_bytes(b"own")
    hdf5_trial.known_readable(tmp_path / "own.h5")
    hdf5_trial.require_readable(tmp_path / "own.h5")
    assert tried == ["v.h5", "w.h5"]
    for _ in range(2):  # what is not there is nothing to remember
        hdf5_trial.require_readable(tmp_path / "none.h5")
    assert tried[2:] == ["none.h5", "none.h5"]


def test_a_process_that_gives_no_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that somebody stopped: no Python starts in a hundredth of a second."""
    monkeypatch.setattr(hdf5_trial, "ANSWER_SECONDS", 0.01)
    with pytest.raises(NlcliError, match="gave no answer.*, and run the same command again"):
        hdf5_trial.require_readable(tmp_path / "any.h5")
