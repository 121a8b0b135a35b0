"""A finished run in memory, so that an estimator can be pickled when the directory that made it is gone."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path, parse_json, system_sentences
from nlcli.stages.publishing import RECORD, claim, empty, is_ours, place_of, publish, work_path
from nlcli.stages.stage import read_stage
from nlcli.training.result import RESULT
from nlcli.training.run_config import CONFIG
from nlcli.training.saved_head import WEIGHTS, load_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlcli.training.saved_head import Head

_FILES = (CONFIG, RESULT, WEIGHTS, "metrics.jsonl", RECORD)


@dataclass(eq=False)
class KeptRun:
    """The files of a run's directory that its head needs, and those that tell how it came about.

    Attributes:
        files: Their content by name.
    """

    files: dict[str, bytes]
    _head: Head | None = field(default=None, repr=False)

    @classmethod
    def of(cls, path: Path) -> KeptRun:
        """The run at ``path``.

        Raises:
            NlcliError: it is no finished run.
        """
        directory = read_stage(path, "run").path
        return cls({name: (directory / name).read_bytes() for name in _FILES if (directory / name).is_file()})

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "_head": None}  # a head holds what TensorFlow compiled

    @property
    def head(self) -> Head:
        """The head, loaded when it is first asked for."""
        if self._head is None:
            with tempfile.TemporaryDirectory(prefix="nlcli-") as folder:
                for name, content in self.files.items():
                    (Path(folder) / name).write_bytes(content)
                self._head = load_head(folder)
        return self._head

    @property
    def fingerprint(self) -> str:
        """Of the run, as ``stage.json`` has it."""
        return str(parse_json(self.files[RECORD], Path(RECORD))["fingerprint"])

    def result(self) -> dict[str, Any]:
        """What ``result.json`` says."""
        told: dict[str, Any] = parse_json(self.files[RESULT], Path(RESULT))
        return told

    def publish(self, path: str | os.PathLike[str], beside: Mapping[str, bytes], *, force: bool) -> Path:
        """Write the run to ``path``, with the files ``beside`` it, whole or not at all.

        Raises:
            NlcliError: something is there, and ``force`` does not say that it may be replaced, or is not ours.
        """
        output = place_of(os.fspath(path))
        if os.path.lexists(output) and not (force and is_ours(output)):
            raise NlcliError(f"{output} exists; choose another place" + ("" if force else ", or pass force=True"))
        with system_sentences(output):
            lock = None
            while lock is None:
                lock = claim(output)
            try:
                work = work_path(output)
                empty(work)
                for name, content in {**beside, **self.files}.items():  # the record last: it says that all is there
                    with atomic_path(work / name) as temporary:
                        temporary.write_bytes(content)
                publish(output)
            finally:
                os.close(lock)
        return output
