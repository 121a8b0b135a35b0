"""The forward pass of a network, by the program that is asked for: the one place where stages get it.

On a CPU nlcli's own networks are also run by OpenVINO or ONNX Runtime. What these compute is held against TensorFlow in
float32 before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.errors import NlcliError, shortened
from nlcli.networks.cpu_engines.agreement import TOLERANCE, largest_difference, made_up_pictures
from nlcli.networks.cpu_engines.catalogue import OTHERS, TENSORFLOW
from nlcli.networks.cpu_engines.contract import Compute, CpuEngine, EngineRecord
from nlcli.networks.foreign.base import ForeignNetwork
from nlcli.runtime import chatter_held_back

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone, Output


@dataclass(frozen=True)
class Forward:
    """A network ready to compute.

    Attributes:
        compute: Batches as its preparation makes them to what was asked for.
        engine: The program, where it is not TensorFlow or the network's own library.
    """

    compute: Callable[[np.ndarray], Any]
    engine: EngineRecord | None = None


def open_forward(
    network: Backbone | ForeignNetwork,
    precision: str = "float32",
    output: Output = "features",
    engine: str = TENSORFLOW,
) -> Forward:
    """Make ``network`` ready.

    Raises:
        NlcliError: ``engine`` is not installed, cannot run the network, or computes something else.
    """
    if isinstance(network, ForeignNetwork):
        if engine != TENSORFLOW:
            raise NlcliError(f"{network.name} is run by its own library; leave out --engine-cpu")
        return Forward(network.inference(precision, output))
    if engine == TENSORFLOW:
        return Forward(network.inference(precision, output))
    from nlcli.networks.backbone import gpus, resolve_precision

    if gpus():
        raise NlcliError(
            f"--engine-cpu {engine} means something only without a GPU, and TensorFlow has one; leave it out, or hide "
            "the GPU: CUDA_VISIBLE_DEVICES=-1"
        )
    precision = resolve_precision(precision)
    OTHERS[engine].require(precision)
    try:
        compute, difference = opened(OTHERS[engine], network, precision, output)
    except NlcliError as error:
        raise NlcliError(f"--engine-cpu {engine} cannot run {network.name}: {error}; leave it out") from error
    version = OTHERS[engine].version
    return Forward(
        compute, EngineRecord(name=engine, version=version, difference=difference, tolerance=TOLERANCE[precision])
    )


def opened(engine: CpuEngine, network: Backbone, precision: str, output: Output) -> tuple[Compute, float]:
    """``network`` run by ``engine``, and how much it differs from TensorFlow in float32.

    Raises:
        NlcliError: it cannot be, or differs too much; the reason alone.
    """
    reference = network.inference("float32", output)
    pictures = made_up_pictures(network.preprocessing.size)
    try:
        with chatter_held_back():
            compute = engine.open(reference.function, precision)
            computed = compute(pictures)
    except NlcliError:
        raise
    except Exception as error:  # converters and runtimes raise nearly anything
        raise NlcliError(shortened(error)) from error
    difference = largest_difference(computed, np.asarray(reference(pictures)))
    if not difference <= TOLERANCE[precision]:
        raise NlcliError(
            f"its results differ from TensorFlow's in float32 by {difference:.2g} of their length, and in {precision} "
            f"{TOLERANCE[precision]:g} is the most"
        )
    return compute, difference
