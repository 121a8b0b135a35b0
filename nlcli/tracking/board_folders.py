"""Stages as folders that TensorBoard shows, each once and whole: named after the stage and its fingerprint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nlcli.errors import NlcliError
from nlcli.stages.files import remove_left_behind, system_sentences, temporary_path
from nlcli.tracking.told_stage import ToldStage, plain_name


class BoardFolders:
    """The folders below one.

    Args:
        at: It; None: ``tensorboard`` here.
    """

    def __init__(self, at: str | None) -> None:
        self._at = Path(at or "tensorboard").absolute()
        if self._at.exists() and not self._at.is_dir():
            raise NlcliError(f"{self._at} is a file; pass a folder as --at")

    @property
    def where(self) -> str:
        """For people."""
        return str(self._at)

    def take(self, stage: ToldStage) -> bool:
        """Write the log of a stage, unless it is there; whether it was written now."""
        name = f"{plain_name(stage.name).replace('/', '_')}-{stage.fingerprint.removeprefix('sha256:')[:12]}"
        place = self._at / name
        begun = temporary_path(place)
        if place.is_dir():
            return False
        from nlcli.training.tensorboard import write_log, write_solved

        with system_sentences(self._at):
            remove_left_behind(place)
            begun.mkdir(parents=True)
            if stage.solved:
                write_solved(begun / "candidates", stage.history)
            numbers = {f"{stage.kind}/{name}": value for name, value in stage.numbers.items()}
            write_log(begun, () if stage.solved else stage.history, numbers)
            try:
                os.replace(begun, place)
            except OSError:
                shutil.rmtree(begun, ignore_errors=True)
                if not place.is_dir():
                    raise
                return False  # another process told of it meanwhile
        return True
