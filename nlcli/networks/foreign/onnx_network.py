"""A network in an ONNX file, run by ONNX Runtime.

An ONNX file says nothing of how its images are prepared: a ``preprocessor_config.json`` beside it says it, or options.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nlcli.errors import NlcliError, printable, shortened
from nlcli.networks.foreign.base import ForeignNetwork, ForeignOptions, pooled
from nlcli.networks.foreign.pixel_steps import PixelSteps, steps_of_file, steps_of_options
from nlcli.networks.preparation import StatedPreprocessing
from nlcli.runtime import cpu_count
from nlcli.stages.files import fingerprint_file, fingerprint_json

SIDECAR = "preprocessor_config.json"
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_MOST_BYTES = 2 << 30  # of a protocol buffer
_ELSEWHERE = re.compile(rb"\x0a\x08location\x12")  # an entry of external_data: weights in another file


class OnnxNetwork(ForeignNetwork):
    """One image input and one output with features."""

    def __init__(self, path: Path, options: ForeignOptions) -> None:
        self.name = f"onnx:{path.name}"
        self._session = _session(path)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            told = ", ".join(f"{i.name} {i.shape} {i.type}" for i in inputs)
            raise NlcliError(
                f"{path} takes {printable(told)}; expected one batch of images, float32, float16, float64 or uint8: "
                "export it with such an input"
            )
        self._input = inputs[0]
        images = self._input.shape[0]
        self._images_at_once = images if isinstance(images, int) and images > 0 else None
        channels_first, fixed = _layout(path, self._input.shape)
        steps, stated, told = _stated(path, options, fixed)
        if fixed is not None and steps.size != fixed:
            raise NlcliError(
                f"{path} takes images of {fixed[0]} x {fixed[1]} only, and {steps.size[0]} x {steps.size[1]} is "
                "stated; leave out --image-size, or correct the file"
            )
        dtype = np.dtype(_TYPES[self._input.type])
        self.preparation = _Prepared(steps, channels_first, dtype)
        if dtype == np.uint8 and (set(steps.scale), set(steps.offset)) != ({1.0}, {0.0}):
            raise NlcliError(f"{path} takes whole numbers, 0 to 255, and scales them itself; pass --scaling raw")
        self._output = _output(path, self._session, options.network_output)
        self._pooling, self._channels_first = options.pooling, channels_first
        self.preprocessing = StatedPreprocessing(
            library=told,
            height=steps.size[0],
            width=steps.size[1],
            crop=steps.words,
            interpolation=steps.resample.name.lower(),
            antialias=True,
            scale=steps.scale,
            offset=steps.offset,
            channels="BGR" if steps.reverse else "RGB",
            stated=stated,
        )
        self.num_features = self._features_of_each_alone()
        self.fingerprint = fingerprint_json(
            {
                "weights": fingerprint_file(path),
                "output": self._output,
                "pooling": options.pooling,
                "preprocessing": self.preprocessing.model_dump(mode="json", exclude={"library", "stated"}),
            }
        )

    def compute(self, inputs: np.ndarray) -> np.ndarray:
        """Run the graph up to the output that was chosen, by as many images as it takes where that is fixed."""
        count, step = len(inputs), self._images_at_once or len(inputs)
        parts = [self._run(inputs[first : first + step], step) for first in range(0, count, step)]
        values = np.concatenate(parts)[:count] if len(parts) > 1 else parts[0][:count]
        return pooled(self.name, values.astype(np.float32, copy=False), self._pooling, self._channels_first)

    def _run(self, inputs: np.ndarray, count: int) -> np.ndarray:
        """The output for ``inputs``, black ones behind them until there are ``count``."""
        if len(inputs) < count:
            inputs = np.concatenate([inputs, np.zeros((count - len(inputs), *inputs.shape[1:]), inputs.dtype)])
        try:
            values = self._session.run([self._output], {self._input.name: inputs})[0]
        except Exception as error:  # whatever the runtime raises
            raise NlcliError(
                f"{self.name} cannot be run ({shortened(error)}); check --image-size and the file"
            ) from error
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.shape[:1] != (count,):
            raise NlcliError(
                f"{self.name}: output '{printable(self._output)}' is not a batch of numbers; choose another"
            )
        return values

    def _features_of_each_alone(self) -> int:
        """D, after two made-up images were computed together and alone.

        Raises:
            NlcliError: the features of one depend on the other, or on chance.
        """
        pixels = np.random.default_rng(0).integers(0, 256, (2, *self.preparation.shape))
        two = pixels.astype(self.preparation.dtype)
        if two.dtype != np.uint8:
            two = two / two.dtype.type(255)
        both, alone = self.compute(two), np.concatenate([self.compute(two[:1]), self.compute(two[1:])])
        near = 1e-2 * float(np.abs(both[np.isfinite(both)]).max(initial=0.0))
        if not np.allclose(both, alone, rtol=1e-2, atol=near, equal_nan=True):
            raise NlcliError(
                f"{self.name} gives an image other features beside another image than alone, or other ones each time; "
                "export the network as it is used, not as it is trained"
            )
        return int(both.shape[1])


class _Prepared:
    """``Preparation`` for a layout and a type."""

    def __init__(self, steps: PixelSteps, channels_first: bool, dtype: np.dtype) -> None:
        self._steps, self._channels_first, self.dtype = steps, channels_first, dtype
        height, width = steps.size
        self.shape = (3, height, width) if channels_first else (height, width, 3)
        self.side = max(height, width, steps.resize if isinstance(steps.resize, int) else 0)
        self._scale, self._offset = np.array(steps.scale, np.float32), np.array(steps.offset, np.float32)

    def __call__(self, image: Image.Image) -> np.ndarray:
        values = self._steps.pixels(image)
        if self.dtype != np.uint8:
            values = values.astype(np.float32) * self._scale + self._offset
        return values.transpose(2, 0, 1) if self._channels_first else values


def sidecar_of(path: Path, options: ForeignOptions) -> Path | None:
    """The file that states the preprocessing of the network at ``path``; None where options do."""
    if options.preprocessing is not None:
        return options.preprocessing
    beside = path.with_name(SIDECAR)
    return beside if options.scaling is None and beside.is_file() else None


def _stated(
    path: Path, options: ForeignOptions, fixed: tuple[int, int] | None
) -> tuple[PixelSteps, dict[str, Any], str]:
    import onnxruntime

    library = f"onnxruntime {onnxruntime.__version__}"
    file = sidecar_of(path, options)
    if file is not None:
        if options.scaling is not None or options.resize is not None:
            raise NlcliError(f"{file} states the preprocessing of {path}; leave out --scaling and --resize")
        steps, config = steps_of_file(file, options.image_size)
        return steps, config, library
    if options.scaling is None:
        raise NlcliError(
            f"nothing says how images become the input of {path}: put its {SIDECAR} beside it (or name it by "
            "--preprocessing), or pass --scaling raw, unit, tf, caffe or imagenet"
        )
    if fixed is not None and fixed[0] != fixed[1]:
        raise NlcliError(
            f"{path} takes images of {fixed[0]} x {fixed[1]}, which are not square: put a {SIDECAR} beside it that "
            f'states "size": {{"height": {fixed[0]}, "width": {fixed[1]}}}, and leave out --scaling'
        )
    size = options.image_size or (fixed[0] if fixed is not None else None)
    if size is None:
        raise NlcliError(f"{path} does not fix the side of its square input; pass --image-size")
    resize = options.resize or "stretch"
    return steps_of_options(options.scaling, resize, size), {"scaling": options.scaling, "resize": resize}, library


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NlcliError(
            "networks in ONNX files need the package onnxruntime; install it with: pip install 'nlcli[onnx]'"
        ) from error
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise NlcliError(f"{path} is larger than an ONNX file can be; get it again")
        content = path.read_bytes()
    except OSError as error:
        raise NlcliError(
            f"cannot read {path}: {error.strerror}; pass onnx:FILE with the path of the network"
        ) from error
    if _ELSEWHERE.search(content):
        raise NlcliError(
            f"{path} keeps its weights in another file, which is refused; save it in one piece, by onnx.save_model "
            "with save_as_external_data=False"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpu_count()
    options.log_severity_level = 4
    known = onnxruntime.get_available_providers()
    providers: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"})] if "CUDAExecutionProvider" in known else []
    try:
        return onnxruntime.InferenceSession(content, options, [*providers, "CPUExecutionProvider"])
    except Exception as error:  # whatever the runtime raises
        raise NlcliError(f"{path} is not an ONNX network that can be run ({shortened(error)}); get it again") from error


def _layout(path: Path, shape: list[Any]) -> tuple[bool, tuple[int, int] | None]:
    """Whether channels come first, and (height, width) where they are fixed."""
    if isinstance(shape[1], int) and isinstance(shape[3], int) and 3 not in (shape[1], shape[3]):
        raise NlcliError(
            f"{path} takes inputs of shape {printable(str(shape))}, not images of 3 channels; only networks of RGB "
            "images can be used"
        )
    if (shape[1] == 3) == (shape[3] == 3):
        raise NlcliError(
            f"{path} takes inputs of shape {printable(str(shape))}, which does not tell where the 3 channels are; "
            "export it with the channels fixed"
        )
    sides = shape[2:4] if shape[1] == 3 else shape[1:3]
    known = all(isinstance(side, int) and side > 0 for side in sides)
    return shape[1] == 3, (int(sides[0]), int(sides[1])) if known else None


def _output(path: Path, session: Any, wanted: str | None) -> str:
    names = [str(output.name) for output in session.get_outputs()]
    listed = printable(", ".join(names), 300)
    if wanted is not None:
        if wanted not in names:
            raise NlcliError(f"{path} has no output '{printable(wanted)}'; it has: {listed}")
        return wanted
    if len(names) != 1:
        raise NlcliError(f"{path} has {len(names)} outputs; choose the features by --network-output: {listed}")
    return names[0]
