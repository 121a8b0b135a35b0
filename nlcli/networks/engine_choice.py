"""``--engine-cpu auto``: the programs that are installed are timed once on this machine with this network.

What was measured is kept in the user's cache, ``$XDG_CACHE_HOME/nlcli/engines`` or ``~/.cache/nlcli/engines``, a file
for each machine, network, precision, batch and set of versions; without it, it is measured again.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.networks.backbone import Backbone, Output, gpus, resolve_precision
from nlcli.networks.cpu_engines.agreement import made_up_pictures
from nlcli.networks.cpu_engines.catalogue import OTHERS, TENSORFLOW
from nlcli.networks.cpu_engines.contract import CpuEngine
from nlcli.networks.foreign.base import ForeignNetwork
from nlcli.networks.forward import opened
from nlcli.runtime import cpu_count, cpu_flags, versions
from nlcli.stages.config import StageConfig
from nlcli.stages.files import fingerprint_json
from nlcli.stages.records import Record
from nlcli.stages.stage import StageRecord, begun_as

_Config = TypeVar("_Config", bound=StageConfig)

SECONDS = 1.0
"""That each program is timed for; three batches at least."""
MARGIN = 1.03
"""By so much another program must be faster than TensorFlow, or TensorFlow stays."""


class EngineTimes(Record):
    """What was measured once.

    Attributes:
        of: Machine, network, precision, output, batch and versions.
        chosen: The fastest.
        images_per_second: By program.
        left_out: Why, by program.
    """

    made_by: ClassVar[str] = "extract-features --engine-cpu auto"

    of: dict[str, Any]
    chosen: str
    images_per_second: dict[str, float] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)


def with_engine(
    config: _Config,
    kind: str,
    inputs: Mapping[str, StageRecord | Path | str | None],
    open_network: Callable[[], Backbone | ForeignNetwork],
    output: Output = "features",
    format: int = 0,
) -> _Config:
    """``config`` with an engine in the place of ``auto``: that of what its output holds already, else the fastest.

    So a stage goes on with the engine that it began with, and what is finished stays up to date.

    Args:
        config: With ``engine_cpu``, ``precision`` and ``batch_size``.
        kind, inputs, format: As ``open_stage`` has them.
    """
    candidates = [config.model_copy(update={"engine_cpu": name}) for name in (TENSORFLOW, *OTHERS)]
    begun = begun_as(kind, candidates, inputs, format)
    if begun is not None:
        return begun
    settings: Any = config
    name = choose_engine(open_network(), settings.precision, output, settings.batch_size)
    return next(candidate for candidate in candidates if candidate.engine_cpu == name)  # type: ignore[attr-defined]


def choose_engine(network: Backbone | ForeignNetwork, precision: str, output: Output, batch_size: int) -> str:
    """The fastest program for ``network`` on this machine, told in a sentence."""
    if isinstance(network, ForeignNetwork):
        return TENSORFLOW  # its own library runs it
    if gpus():
        say("engine: TensorFlow on the GPU; --engine-cpu means something only without one")
        return TENSORFLOW
    precision = resolve_precision(precision)
    able = [engine for engine in OTHERS.values() if engine.missing is None and precision in engine.precisions]
    if not able:
        say(f"engine: tensorflow; no other that computes in {precision} is installed (pip install 'nlcli[openvino]')")
        return TENSORFLOW
    of = _described(network, precision, output, batch_size, able)
    path = _folder() / f"{fingerprint_json(of).partition(':')[2]}.json"
    times, when = _remembered(path, of), "measured before on this machine"
    if times is None:
        times, when = _measured(network, precision, output, batch_size, able, of), "measured now"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            times.write(path)
        except (NlcliError, OSError):
            pass  # it will be measured again
    for name, reason in times.left_out.items():
        say(f"engine {name} is left out: {reason}")
    say(f"engine: {times.chosen}; {_told(times)}, {when}")
    return times.chosen


def _described(
    network: Backbone, precision: str, output: Output, batch_size: int, able: list[CpuEngine]
) -> dict[str, Any]:
    known = versions()
    return {
        "processor": _processor(),
        "threads": cpu_count(),
        "network": network.fingerprint,
        "size": network.preprocessing.size,
        "precision": precision,
        "output": output,
        "batch_size": batch_size,
        "versions": {"nlcli": known["nlcli"], "tensorflow": known["tensorflow"]}
        | {engine.name: engine.version for engine in able},
    }


def _processor() -> list[str]:
    return [platform.machine(), platform.node(), *sorted(cpu_flags())]


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path(os.path.expanduser("~")) / ".cache") / "nlcli" / "engines"


def _remembered(path: Path, of: dict[str, Any]) -> EngineTimes | None:
    if not path.is_file():
        return None
    try:
        times = EngineTimes.read(path)
    except NlcliError:  # whoever damaged it: it is measured again
        return None
    fits = times.of == of and times.chosen in {TENSORFLOW, *of["versions"]} - {"nlcli"}
    return times if fits else None


def _measured(
    network: Backbone,
    precision: str,
    output: Output,
    batch_size: int,
    able: list[CpuEngine],
    of: dict[str, Any],
) -> EngineTimes:
    plain = network.inference(precision, output)
    contestants: dict[str, Callable[[np.ndarray], Any]] = {TENSORFLOW: lambda images: np.asarray(plain(images))}
    left_out = {}
    for engine in able:
        try:
            contestants[engine.name], _ = opened(engine, network, precision, output)
        except NlcliError as error:
            left_out[engine.name] = str(error)
    speeds = {
        name: batch_size / seconds for name, seconds in _fastest_batches(network, contestants, batch_size).items()
    }
    best = max(speeds, key=lambda name: speeds[name])
    chosen = best if speeds[best] >= MARGIN * speeds[TENSORFLOW] else TENSORFLOW
    return EngineTimes(of=of, chosen=chosen, images_per_second=speeds, left_out=left_out)


def _fastest_batches(
    network: Backbone, contestants: dict[str, Callable[[np.ndarray], Any]], batch_size: int
) -> dict[str, float]:
    """Seconds of the fastest batch of each; they take turns, so that what else the machine does meets all alike."""
    few = made_up_pictures(network.preprocessing.size)
    images = np.ascontiguousarray(few[np.arange(batch_size) % len(few)])
    for compute in contestants.values():
        compute(images)  # compiles for this size
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    while len(taken[TENSORFLOW]) < 3 or sum(taken[TENSORFLOW]) < SECONDS:
        for name, compute in contestants.items():
            started = time.perf_counter()
            compute(images)
            taken[name].append(time.perf_counter() - started)
    return {name: min(seconds) for name, seconds in taken.items()}


def _told(times: EngineTimes) -> str:
    order = sorted(times.images_per_second.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name} {speed:.3g} images/s" for name, speed in order) or "alone"
