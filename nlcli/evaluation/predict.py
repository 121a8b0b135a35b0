"""Scoring images that belong to no data set, with a trained head behind its backbone.

Images are read, scored and written a batch at a time: a folder may be of any size. One that cannot
be read is a row with the reason. A file appears whole or not at all, and is gone on with after a kill.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError, printable
from nlcli.evaluation.config import Predict
from nlcli.evaluation.decision_thresholds import choose_thresholds, scored_validation
from nlcli.evaluation.exported_model import EXPORT, ExportRecord
from nlcli.evaluation.exported_scorer import open_exported_scorer
from nlcli.evaluation.image_scorer import ForwardOptions, ImageNetwork, ImageScorer, open_scorer
from nlcli.evaluation.prediction_parts import Parts, begun_recipe, open_parts
from nlcli.evaluation.prediction_rows import Rows, ScoredImage, Shown
from nlcli.networks.cpu_engines.catalogue import OTHERS, TENSORFLOW
from nlcli.networks.image_files import ImageFile, is_image
from nlcli.networks.image_names import ImageNames, ListedImages
from nlcli.stages.config import field_names
from nlcli.stages.engines.engine import Engine, InThisProcess, engine_of
from nlcli.stages.engines.shard_work import Advance, Shard, Shards, ShardWork
from nlcli.stages.files import fingerprint_json_parts
from nlcli.stages.stage import StageRecord, read_stage
from nlcli.version import full_version

PART = 2048
"""Images in a part, which a killed command does not score again."""


def predict(config: Predict) -> dict[str, int]:
    """Score an image file or every image of a folder and its subfolders; write what was found.

    Returns:
        ``images`` and ``errors``: how many were scored, and how many could not be read.

    Raises:
        NlcliError: no images, a backbone that is not the one the run was trained on, an output that is a picture or
            cannot be written, decisions where validation chooses none; or, when all is written, that none of the images
            could be read.
    """
    if config.decide and config.threshold is not None:
        raise NlcliError("--decide takes thresholds of its own; leave out --threshold, or --decide")
    engine = engine_of(config)
    if config.output is None and not isinstance(engine, InThisProcess):
        raise NlcliError("several workers write a file together; pass --output, or leave out --engine and --devices")
    images = _images(config.images)
    _refuse_a_picture(config)
    model = _model(config)
    if model.kind == "model":
        _refuse_for_exported(config, model)
    elif config.engine_cpu == "auto":
        config = _as_begun(config, model, images)
    scorer = _scorer(config, model)
    if isinstance(scorer.source, ImageNetwork):  # what auto chose
        config = config.model_copy(update={"engine_cpu": scorer.source.engine_cpu})
    shown = _shown(config, model, scorer)
    longest = images.longest_name()
    rows = _rows(config, scorer, shown, longest)
    if config.output is None:
        counts = _print(scorer, images, config, rows)
    else:
        scoring = Scoring(config, shown, longest, scorer)
        counts = _write(scoring, images, rows.header, _recipe(config, model, images, shown), engine)
    if not counts["images"]:
        raise NlcliError(f"none of the {len(images):,} images could be read; their rows tell why")
    if counts["errors"]:
        say(f"{counts['errors']:,} of {len(images):,} images could not be read; their rows tell why")
    if config.output is not None:
        say(f"scores of {counts['images']:,} images: {config.output}")
    return counts


def _shown(config: Predict, model: StageRecord, scorer: ImageScorer) -> Shown:
    if config.threshold is not None:
        return Shown(config.top, np.full(len(scorer.classes), config.threshold))
    if not config.decide:
        return Shown(config.top)
    if model.kind == "model":
        return _decided_by_export(config, model)
    if model.input_path("dataset") is None:
        raise NlcliError(
            f"{model.path} does not tell of its data set, whose validation split would choose thresholds; pass "
            "--threshold, or leave out --decide"
        )
    table, scored = scored_validation(
        model, scorer, classes=scorer.classes, batch_size=config.batch_size, workers=config.workers
    )
    if table.task == "single-label":
        return Shown(1)
    thresholds = choose_thresholds(scored)
    say(f"thresholds: chosen on {thresholds.images:,} verified validation images")
    return Shown(config.top, thresholds.values)


def _model(config: Predict) -> StageRecord:
    return read_stage(config.run, ("run", "backbone", "model"))


def _refuse_for_exported(config: Predict, model: StageRecord) -> None:
    """An exported model has its network in it and says by what it is run."""
    if config.backbone is not None:
        raise NlcliError(f"{model.path} is an exported model and has its network in it; leave out --backbone")
    if config.engine_cpu != TENSORFLOW:
        raise NlcliError(f"{model.path} is an exported model, run by its format's program; leave out --engine-cpu")


def _decided_by_export(config: Predict, model: StageRecord) -> Shown:
    """By the thresholds that validation chose when the model was exported."""
    record = ExportRecord.read(model.path / EXPORT)
    if record.task == "single-label":
        return Shown(1)
    if record.thresholds is None:
        why = f": {record.unchosen}" if record.unchosen else ""
        raise NlcliError(f"{model.path} has no thresholds{why}; pass --threshold, or leave out --decide")
    return Shown(config.top, record.thresholds.values)


# --- images in, scores out -------------------------------------------------------------------


def _images(path: Path) -> ImageNames:
    """The images, whose names are those that they are shown with."""
    if not path.is_dir():
        if not path.exists():
            raise NlcliError(f"{path} does not exist; give an image or a folder of images")
        return ListedImages([ImageFile(str(path), path, -1)])
    images = ImageNames.in_folders([path])
    if not len(images):
        raise NlcliError(f"there is no image in {path} or its subfolders; give a folder of images")
    return images


def _refuse_a_picture(config: Predict) -> None:
    """Refuse to put scores in the place of a picture, of those that are read or another one."""
    output = config.output
    if output is None or not output.is_file():
        return
    if is_image(output.name) or (config.images.is_file() and output.samefile(config.images)):
        raise NlcliError(f"{output} is a picture, and scores would take its place; choose another --output")


def score_images(
    scorer: ImageScorer, names: Sequence[str], files: Sequence[str], config: Predict
) -> Iterator[ScoredImage]:
    """Scores of the images ``files`` in their order, called ``names``, a batch in memory at a time."""
    for batch in scorer.score_files([Path(file) for file in files], config.batch_size, config.workers):
        scored = {position: ScoredImage(names[position], None, reason) for position, reason in batch.errors}
        for position, scores in zip(batch.positions.tolist(), batch.scores, strict=True):
            scored[position] = ScoredImage(names[position], scores)
        for position in sorted(scored):
            yield scored[position]


def _counted(counts: dict[str, int], image: ScoredImage) -> None:
    counts["errors" if image.error is not None else "images"] += 1


def _print(scorer: ImageScorer, images: ImageNames, config: Predict, rows: Rows) -> dict[str, int]:
    """To standard output, as they come."""
    counts = {"images": 0, "errors": 0}
    # rich's bar takes over sys.stdout while it is drawn: hold on to the real one.
    out = sys.stdout
    out.write(rows.header)
    # A bar among lines on one terminal would be unreadable.
    beside = not out.isatty()
    with progress(len(images), "predicting", unit="images") if beside else nullcontext() as bar:
        for image in score_images(scorer, images.names(), images.files(), config):
            _counted(counts, image)
            text = rows.text(image)
            out.write(text if beside else printable(text, None, "\n\t"))  # a terminal obeys what names hold
            if bar is not None:
                bar.advance()
            else:
                out.flush()
    out.flush()
    return counts


@dataclass(frozen=True)
class Scoring(ShardWork):
    """Rows of shards of images, as text.

    Attributes:
        config: Names the model.
        shown: Which classes of an image are shown.
        longest: Characters of the longest name.
        scorer: The model, where it is open already.
        directory: Where the parts are written.
    """

    config: Predict
    shown: Shown
    longest: int
    scorer: ImageScorer | None = None
    directory: Path = Path()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"scorer": None}  # a worker opens its own

    def begin(self) -> Callable[[Shard, Advance], None]:
        scorer = self.scorer or _scorer(self.config)
        rows, parts = _rows(self.config, scorer, self.shown, self.longest), Parts(self.directory)

        def make(shard: Shard, advance: Advance) -> None:
            counts = {"images": 0, "errors": 0}
            with parts.write(shard.number, counts) as file:
                for image in score_images(scorer, shard.names, shard.files, self.config):
                    _counted(counts, image)
                    file.write(rows.text(image))
                    advance(1)

        return make


def _scorer(config: Predict, model: StageRecord | None = None) -> ImageScorer:
    model = model or _model(config)
    if model.kind == "model":
        return open_exported_scorer(model)
    return open_scorer(model, backbone=config.backbone, forward=ForwardOptions(config.engine_cpu, config.batch_size))


def _as_begun(config: Predict, model: StageRecord, images: ImageNames) -> Predict:
    """With the engine that wrote what is finished of the same file, where there is such; else as it is."""
    begun = None if config.output is None else begun_recipe(config.output)
    if begun is None:
        return config
    for name in (TENSORFLOW, *OTHERS):
        candidate = config.model_copy(update={"engine_cpu": name})
        if _recipe(candidate, model, images, Shown(config.top)) | {"thresholds": begun.get("thresholds")} == begun:
            return candidate
    return config


def _rows(config: Predict, scorer: ImageScorer, shown: Shown, longest: int) -> Rows:
    return Rows(config, scorer.classes, shown, config.decide or config.threshold is not None, longest)


def _write(scoring: Scoring, images: ImageNames, header: str, recipe: dict[str, Any], engine: Engine) -> dict[str, int]:
    """To a file, part by part."""
    output = scoring.config.output
    assert output is not None
    with open_parts(output, recipe) as made:
        shards = Shards(
            len(images),
            PART,
            take=lambda first, end: (images.names(first, end), images.files(first, end)),
            whole=lambda number: made.counts(number) is not None,
        )
        engine.finish(replace(scoring, directory=Path(os.path.abspath(made.directory))), shards, "predicting")
        counted = [made.counts(number) or {} for number in range(len(shards))]
        made.join(output, header, len(shards))
    return {name: sum(counts[name] for counts in counted) for name in ("images", "errors")}


def _recipe(config: Predict, model: StageRecord, images: ImageNames, shown: Shown) -> dict[str, Any]:
    """All that decides what is written: what is finished of something else is of no use."""
    left_out = {"images", "run", "backbone", *field_names(Predict, "runtime")}
    thresholds = None if shown.thresholds is None else shown.thresholds.tolist()
    seen = (
        [_seen(name, file) for name, file in zip(images.names(*block), images.files(*block), strict=True)]
        for block in images.blocks()
    )
    return {
        "stage": "predictions",
        "config": config.model_dump(mode="json", exclude=left_out),
        "inputs": {"run": model.fingerprint, "images": fingerprint_json_parts(seen)},
        "thresholds": thresholds,
        "part": PART,
        "nlcli": full_version(),
    }


def _seen(name: str, file: str) -> list[Any]:
    try:
        status = os.stat(file)
    except OSError:  # its row will tell
        return [name]
    return [name, status.st_size, status.st_mtime_ns]
