"""Stages as runs of MLflow, each once: a tag holds the fingerprint, and what was cut off is begun anew."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from nlcli.errors import NlcliError, printable, shortened
from nlcli.tracking.told_stage import ToldStage

FINGERPRINT = "nlcli.fingerprint"
_AT_ONCE = 100  # what MLflow takes of settings and tags in one call; of numbers it takes more
_ALLOW_FOLDER = "MLFLOW_ALLOW_FILE_STORE"
_ANSWERS_WITHIN = 10.0  # seconds
_PORTS = {"http": 80, "https": 443}


class MlflowRuns:
    """The runs of one experiment.

    Args:
        at: Folder, or address of a server or a database; None: as MLflow's own variable says, else ``mlruns`` here.

    Raises:
        NlcliError: MLflow is not installed, or does not answer.
    """

    def __init__(self, at: str | None, experiment: str) -> None:
        self._at = at or os.environ.get("MLFLOW_TRACKING_URI") or "mlruns"
        if "://" not in self._at:  # MLflow wants to be told that a folder is meant
            os.environ.setdefault(_ALLOW_FOLDER, "true")
            self._at = str(Path(self._at).absolute())
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise NlcliError(
                "--to mlflow needs the package mlflow; install it with: pip install 'nlcli[mlflow]'"
            ) from error
        _require_server(self._at)
        with self._sentences():
            self._client: Any = MlflowClient(tracking_uri=self._at)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = self._client.create_experiment(experiment) if found is None else found.experiment_id

    @property
    def where(self) -> str:
        """For people."""
        return _without_password(self._at)

    def take(self, stage: ToldStage) -> bool:
        """Log a stage, unless it is there; whether it was logged now."""
        with self._sentences():
            of_stage = f"tags.`{FINGERPRINT}` = '{stage.fingerprint}'"
            for run in self._client.search_runs([self._experiment], filter_string=of_stage):
                if run.info.status == "FINISHED":
                    return False
                self._client.delete_run(run.info.run_id)  # cut off while it was told
            self._log(stage)
        return True

    def _log(self, stage: ToldStage) -> None:
        from mlflow.entities import Metric, Param, RunTag

        tags = {FINGERPRINT: stage.fingerprint, "nlcli.stage": stage.kind}
        run = self._client.create_run(self._experiment, run_name=stage.name, tags=tags).info.run_id
        now = int(1000 * time.time())
        settings = [Param(name, text) for name, text in stage.settings.items()]
        about = [RunTag(f"nlcli {name}", text) for name, text in stage.about.items()]
        numbers = [Metric(name, value, now, 0) for name, value in stage.numbers.items()]
        numbers += [Metric(name, value, now, step) for name, value, step in stage.points()]
        kinds: dict[str, list[Any]] = {"params": settings, "tags": about, "metrics": numbers}
        for kind, items in kinds.items():
            for first in range(0, len(items), _AT_ONCE):
                self._client.log_batch(run, **{kind: items[first : first + _AT_ONCE]})
        self._client.set_terminated(run)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise NlcliError(
                f"MLflow at {self.where} refuses: {shortened(error)}; look at --at and --experiment"
            ) from error


def _require_server(at: str) -> None:
    """See that somebody is there: MLflow itself tries for minutes. What lies behind a proxy is left to it.

    Raises:
        NlcliError: it is no address, or nobody answers.
    """
    scheme = at.partition("://")[0]
    if scheme not in _PORTS:
        return
    try:
        address = urlsplit(at)
        host, port = address.hostname or "", address.port or _PORTS[scheme]
        if not host:
            raise ValueError("it names no host")
        if scheme not in getproxies() or proxy_bypass(host):
            socket.create_connection((host, port), _ANSWERS_WITHIN).close()
    except (OSError, ValueError, OverflowError) as error:  # OverflowError: a port beyond all
        raise NlcliError(
            f"no server of MLflow answers at {_without_password(at)} ({shortened(error)}); start one with 'mlflow "
            "server', or pass another address or a folder as --at"
        ) from error


def _without_password(at: str) -> str:
    """An address without who asks; a folder as it is."""
    scheme, sign, rest = at.partition("://")
    return printable(f"{scheme}://{rest.rpartition('@')[2]}" if sign else at)
