"""Scoring images that belong to no data set, with a trained head behind its backbone.

Images are read, scored and written a batch at a time: a folder may be of any size. One that cannot
be read is a row with the reason. A file appears whole or not at all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Predict
from nlcli.evaluation.image_scorer import ImageScorer, Values, open_scorer
from nlcli.metrics.formats import exact
from nlcli.networks.image_files import find_images
from nlcli.stages.files import atomic_path, write_csv_rows
from nlcli.stages.stage import read_stage

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
    scores: Values | None
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
    scorer = open_scorer(read_stage(config.run, ("run", "backbone")), backbone=config.backbone)
    counts = {"images": 0, "errors": 0}
    # rich's bar takes over sys.stdout while it is drawn: hold on to the real one.
    out = sys.stdout
    with _output(config.output, out) as file:
        write = _WRITERS[config.format](file, images, config.output is not None)
        # A bar among lines on one terminal would be unreadable.
        beside = config.output is not None or not out.isatty()
        with progress(len(images), "predicting", unit="images") if beside else nullcontext() as bar:
            for image in score_images(scorer, images, config):
                counts["errors" if image.error is not None else "images"] += 1
                write(image, [] if image.scores is None else _chosen(image.scores, scorer.classes, config))
                if bar is not None:
                    bar.advance()
    if counts["errors"]:
        say(f"{counts['errors']:,} of {len(images):,} images could not be read; their rows tell why")
    return counts


# --- images in, scores out -------------------------------------------------------------------


def _images(path: Path) -> dict[str, Path]:
    """Where each image lies, by the name it is shown with."""
    if not path.is_dir():
        if not path.exists():
            raise NlcliError(f"{path} does not exist; give an image or a folder of images")
        return {str(path): path}
    images = {name: image.path for name, image in sorted(find_images([path])[path].items())}
    if not images:
        raise NlcliError(f"there is no image in {path} or its subfolders; give a folder of images")
    return images


def score_images(scorer: ImageScorer, images: dict[str, Path], config: Predict) -> Iterator[ScoredImage]:
    """Scores of ``images`` in their order, a batch in memory at a time."""
    names = list(images)
    for batch in scorer.score_files(list(images.values()), config.batch_size, config.workers):
        scored = {position: ScoredImage(names[position], None, reason) for position, reason in batch.errors}
        for position, scores in zip(batch.positions.tolist(), batch.scores, strict=True):
            scored[position] = ScoredImage(names[position], scores)
        for position in sorted(scored):
            yield scored[position]


def _chosen(scores: Values, classes: tuple[str, ...], config: Predict) -> list[tuple[str, float]]:
    """Best first: the ``top`` classes, or all from ``threshold`` on."""
    order = np.argsort(-scores, kind="stable")
    if config.threshold is None:
        order = order[: config.top]
    else:
        order = order[scores[order] >= config.threshold]
    return [(classes[c], float(scores[c])) for c in order]


class _Write(Protocol):
    def __call__(self, image: ScoredImage, chosen: list[tuple[str, float]]) -> None: ...


def _jsonl(file: TextIO, images: dict[str, Path], to_file: bool) -> _Write:
    def write(image: ScoredImage, chosen: list[tuple[str, float]]) -> None:
        row: dict[str, Any] = {"image": image.image}
        if image.error is not None:
            row["error"] = image.error
        else:
            row["predictions"] = [{"class": name, "score": round(score, 6)} for name, score in chosen]
        file.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


def _csv(file: TextIO, images: dict[str, Path], to_file: bool) -> _Write:
    write_csv_rows(file, ["image", "rank", "class", "score", "error"], [])

    def write(image: ScoredImage, chosen: list[tuple[str, float]]) -> None:
        rows: list[tuple[object, ...]] = [
            (image.image, rank, name, exact(score), "") for rank, (name, score) in enumerate(chosen, 1)
        ]
        # Broken, or no class reaches the threshold: no image is without a row.
        write_csv_rows(file, None, rows or [(image.image, "", "", "", image.error or "")])

    return write


def _table(file: TextIO, images: dict[str, Path], to_file: bool) -> _Write:
    width = min(_MOST_WIDE, max(len(name) for name in images))

    def write(image: ScoredImage, chosen: list[tuple[str, float]]) -> None:
        if image.error is not None:
            told = f"error: {image.error}"
        else:
            told = "  ".join(f"{name} {score:.3f}" for name, score in chosen) or "-"
        file.write(f"{_clean(image.image):<{width}}  {told}\n")
        if not to_file:
            file.flush()

    return write


def _clean(name: str) -> str:
    """A file's name without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


_WRITERS = {"table": _table, "csv": _csv, "jsonl": _jsonl}


@contextmanager
def _output(path: Path | None, standard: TextIO) -> Iterator[TextIO]:
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
