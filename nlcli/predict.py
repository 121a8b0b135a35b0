"""Scoring images that belong to no data set, with a trained head behind its backbone.

Images are read, scored and written a batch at a time: a folder may be of any size. One that cannot
be read is a row with the reason. A file appears whole or not at all.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from nlcli.annotate import find_images
from nlcli.config import Predict
from nlcli.errors import NlcliError
from nlcli.progress import progress, say
from nlcli.runtime import quiet_tensorflow
from nlcli.stage import StageRecord, atomic_path, read_stage

if TYPE_CHECKING:
    from nlcli.backbones import Backbone

_MOST_WIDE = 60  # characters of an image's name in a table


@dataclass(frozen=True)
class ScoredImage:
    """One image's scores.

    Attributes:
        image: Its path in the folder, or the file as it was given.
        scores: ``(C,)`` float32; None where the image could not be read.
        error: Why not; None where it could.
    """

    image: str
    scores: np.ndarray | None
    error: str | None = None


def predict(config: Predict) -> dict[str, int]:
    """Score an image file or every image of a folder and its subfolders; write what was found.

    Returns:
        ``images`` and ``errors``: how many were scored, and how many could not be read.

    Raises:
        NlcliError: no images, a backbone that is not the one the run was trained on, an output
            that cannot be written.
    """
    images = _images(config.images)
    model = open_model(config)
    counts = {"images": 0, "errors": 0}
    # rich's bar takes over sys.stdout while it is drawn: hold on to the real one.
    out = sys.stdout
    with _output(config.output, out) as file:
        write = _WRITERS[config.format](file, images, config.output is not None)
        # A bar among lines on one terminal would be unreadable.
        beside = config.output is not None or not out.isatty()
        with progress(len(images), "predicting", unit="images") if beside else nullcontext() as bar:
            for found in score_images(model, images, config):
                counts["errors" if found.error is not None else "images"] += 1
                write(found, [] if found.scores is None else _chosen(found.scores, model.classes, config))
                if bar is not None:
                    bar.advance()
    if counts["errors"]:
        say(f"{counts['errors']:,} of {len(images):,} images could not be read; their rows tell why")
    return counts


# --- the model -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """Anything that scores images.

    Attributes:
        backbone: Reads the images; owns their preprocessing.
        infer: uint8 images (b, S, S, 3) to features or probabilities.
        head: Features (b, D) float32 to scores (b, C); None where ``infer`` gives them.
        classes: Names of the scores.
    """

    backbone: Backbone
    infer: Any
    head: Any
    classes: tuple[str, ...]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Scores (b, C) float32 of uint8 images (b, S, S, 3)."""
        found = np.asarray(self.infer(images))
        return found if self.head is None else self.head(found)


def open_model(config: Predict) -> Model:
    """The run with its backbone, or the backbone alone, that ``config`` names."""
    quiet_tensorflow()
    record = read_stage(config.run, ("run", "backbone"))
    return _run(record, config) if record.kind == "run" else _backbone(record, config)


def _backbone(record: StageRecord, config: Predict) -> Model:
    from nlcli.backbones import load_backbone

    if config.backbone is not None:
        raise NlcliError(f"{record.path} is a backbone itself; leave out --backbone, or name a run")
    backbone = load_backbone(record.path)
    if backbone.classes is None:
        raise NlcliError(f"{record.path} has no classes to predict; name a run trained on its features")
    return Model(backbone, backbone.inference("float32", output="probabilities"), None, backbone.classes)


def _run(record: StageRecord, config: Predict) -> Model:
    from nlcli.heads import load_head, own_backbone

    head = load_head(record.path)
    if config.backbone is None and own_backbone(record.path) is not None:
        own = head.open_backbone()
        return Model(own, own.inference("float32", output="features"), head.score, head.classes)
    features = _features(record, config)
    settings = {} if features is None else features.config
    backbone = _matching(_open_backbone(record, features, config), settings.get("decode"), head, record)
    stored = np.dtype(settings.get("dtype", "float32"))

    def score(values: np.ndarray) -> np.ndarray:
        # Rounded as the features that it was trained and evaluated on.
        return head.score(values.astype(stored).astype(np.float32))

    infer = backbone.inference(settings.get("precision", "float32"), output="features")
    return Model(backbone, infer, score, head.classes)


def _features(record: StageRecord, config: Predict) -> StageRecord | None:
    """What the run was trained on; it may be gone where the backbone is given."""
    try:
        return record.input_stage("features", "--backbone")
    except NlcliError:
        if config.backbone is None:
            raise
        return None


def _open_backbone(record: StageRecord, features: StageRecord | None, config: Predict) -> Backbone:
    from nlcli.backbones import BACKBONES, open_backbone

    if config.backbone is not None:
        return open_backbone(config.backbone)
    assert features is not None
    named = str(features.config["backbone"])
    if named in BACKBONES:
        weights = features.input_path("weights")
        return open_backbone(named, str(features.config["weights"]) if weights is None else weights)
    where = features.input_path("backbone") or Path(named)
    if not where.exists():
        raise NlcliError(f"the backbone of {record.path} is no longer at {where}; pass --backbone")
    return open_backbone(where)


def _matching(backbone: Backbone, decode: Any, head: Any, record: StageRecord) -> Backbone:
    """The backbone decoding as when the features were made, if it is the one they came from."""
    for way in (decode, None, "exact", "fast"):
        if backbone.with_decode(way).fingerprint == head.backbone_fingerprint:
            return backbone.with_decode(decode or way)
    raise NlcliError(
        f"backbone {backbone.name} is not the one whose features {record.path} was trained on (their fingerprints "
        "differ); pass that one with --backbone"
    )


# --- images in, scores out -------------------------------------------------------------------


def _images(path: Path) -> dict[str, Path]:
    """Where each image lies, by the name it is shown with."""
    if not path.is_dir():
        if not path.exists():
            raise NlcliError(f"{path} does not exist; give an image or a folder of images")
        return {str(path): path}
    found = {name: image.path for name, image in sorted(find_images([path])[path].items())}
    if not found:
        raise NlcliError(f"there is no image in {path} or its subfolders; give a folder of images")
    return found


def score_images(model: Model, images: dict[str, Path], config: Predict) -> Iterator[ScoredImage]:
    """Scores of ``images`` in their order, a batch in memory at a time."""
    from nlcli.images import iterate_images

    names = list(images)
    batches = iterate_images(list(images.values()), model.backbone.preprocessing, config.batch_size, config.workers)
    for batch in batches:
        found = {position: ScoredImage(names[position], None, reason) for position, reason in batch.errors}
        if len(batch.rows):
            for position, scores in zip(batch.rows.tolist(), model(batch.images), strict=True):
                found[position] = ScoredImage(names[position], scores)
        for position in sorted(found):
            yield found[position]


def _chosen(scores: np.ndarray, classes: tuple[str, ...], config: Predict) -> list[tuple[str, float]]:
    """Best first: the ``top`` classes, or all from ``threshold`` on."""
    order = np.argsort(-scores, kind="stable")
    if config.threshold is None:
        order = order[: config.top]
    else:
        order = order[scores[order] >= config.threshold]
    return [(classes[c], float(scores[c])) for c in order]


class _Write(Protocol):
    def __call__(self, found: ScoredImage, chosen: list[tuple[str, float]]) -> None: ...


def _jsonl(file: IO[str], images: dict[str, Path], to_file: bool) -> _Write:
    def write(found: ScoredImage, chosen: list[tuple[str, float]]) -> None:
        row: dict[str, Any] = {"image": found.image}
        if found.error is not None:
            row["error"] = found.error
        else:
            row["predictions"] = [{"class": name, "score": round(score, 6)} for name, score in chosen]
        file.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


def _csv(file: IO[str], images: dict[str, Path], to_file: bool) -> _Write:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["image", "rank", "class", "score", "error"])

    def write(found: ScoredImage, chosen: list[tuple[str, float]]) -> None:
        for rank, (name, score) in enumerate(chosen, 1):
            rows.writerow([found.image, rank, name, f"{score:.6f}", ""])
        if not chosen:  # broken, or no class reaches the threshold: no image is without a row
            rows.writerow([found.image, "", "", "", found.error or ""])

    return write


def _table(file: IO[str], images: dict[str, Path], to_file: bool) -> _Write:
    width = min(_MOST_WIDE, max(len(name) for name in images))

    def write(found: ScoredImage, chosen: list[tuple[str, float]]) -> None:
        if found.error is not None:
            told = f"error: {found.error}"
        else:
            told = "  ".join(f"{name} {score:.3f}" for name, score in chosen) or "-"
        file.write(f"{_clean(found.image):<{width}}  {told}\n")
        if not to_file:
            file.flush()

    return write


def _clean(name: str) -> str:
    """A file's name without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


_WRITERS = {"table": _table, "csv": _csv, "jsonl": _jsonl}


@contextmanager
def _output(path: Path | None, standard: IO[str]) -> Iterator[IO[str]]:
    """The file to write, put in place when everything is in it; or standard output."""
    if path is None:
        yield standard
        standard.flush()
        return
    try:
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise NlcliError(f"cannot write {path}: {error.strerror or error}; choose another --output") from error
