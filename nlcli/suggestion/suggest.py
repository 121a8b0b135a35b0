"""The suggest stage: a queue of images that a person should check next.

By ``--goal clean`` those with most wrong labels to be expected; by ``--goal train`` uncertain ones of all classes. A
share is drawn at random, and is marked so: only these images are a sample, from which error rates may be estimated.
``queue_files.py`` tells what is written; its ``answers.csv``, filled in, is what import-verification takes.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import print_table, say, tell
from nlcli.data.detection_files import Detection, read_detection
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.tag_detection_files import TagDetection, detects_tags, read_tag_detection
from nlcli.errors import NlcliError
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.suggestion.candidates import Candidates, Keys, near_duplicates, of_labels, of_tags
from nlcli.suggestion.choice import SHARES, Choice, choose
from nlcli.suggestion.config import Suggest
from nlcli.suggestion.for_tools import write_for_tools
from nlcli.suggestion.questions import questions
from nlcli.suggestion.queue_files import (
    ANSWERS,
    QUEUE_CSV,
    SUGGESTION,
    GainPoint,
    GainRecord,
    SuggestionRecord,
    write_queue,
)


def suggest(config: Suggest, *, force: bool = False) -> Path:
    """Choose the images to check next; see the module's docstring.

    Returns:
        The directory of the queue.

    Raises:
        NlcliError: the detection does not fit the data set, or no image may be asked about.
    """
    source = read_stage(config.source, "detection")
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "source": source,
        "features": None if config.features is None else read_stage(config.features, "features"),
    }
    with open_stage("suggestion", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        table = read_dataset(config.dataset)
        detection = _detection(source, table)
        keys = Keys(source, table, config.splits)
        if isinstance(detection, TagDetection):
            candidates = of_tags(detection, table, keys)
        else:
            candidates = of_labels(detection, table, keys)
        share = _share(config, candidates)
        near = near_duplicates(config.dataset, table)
        choice = choose(candidates, config.goal, config.count, share, config.seed, near)
        record = _record(config, table, detection, candidates, choice, _gain(config, table, len(choice.chosen)))
        for remark in record.remarks:
            say(f"note: {remark}")
        _tell_gone(table, candidates.row[choice.chosen])
        queue = questions(detection, table, keys, candidates, choice, config.goal, config.seed)
        write_queue(stage.work, queue, table.task)
        write_for_tools(stage.work, queue, table, config.export)
        record.write(stage.work / SUGGESTION)
        stage.finish(_summary(record))
    return stage.output


def _tell_gone(table: LabelTable, rows: np.ndarray) -> None:
    """Say which pictures nobody can look at, because they are no longer there."""
    paths = table.paths[rows].tolist()
    gone = [path for path in paths if not (table.image_root / path).is_file()]
    if gone:
        say(
            f"warning: {len(gone):,} of the {len(paths):,} pictures to check are gone (the first: '{gone[0]}' in "
            f"{table.image_root}); put them back, or leave their answers empty"
        )


def _detection(source: StageRecord, table: LabelTable) -> Detection | TagDetection:
    if source.input_fingerprint("dataset") != table.fingerprint:
        raise NlcliError(
            f"{source.path} was made of another data set, or of this one before it changed; run nlcli detect-noise on "
            "it again"
        )
    tags = detects_tags(source.path)
    detection = read_tag_detection(source.path) if tags else read_detection(source.path)
    if detection.info.classes != table.classes or tags != (table.task == "multi-label"):
        raise NlcliError(f"{source.path} has other classes than the data set; run nlcli detect-noise again")
    return detection


def _share(config: Suggest, candidates: Candidates) -> float:
    """The share that is drawn at random: all of it where nothing tells one image from another, unless less is asked."""
    if not len(candidates):
        raise NlcliError(
            f"{config.source} has no image of {' and '.join(config.splits)} that nobody has checked; name other "
            "--splits"
        )
    told = not np.isnan(candidates.expected).all()
    if config.random is not None:
        if config.random < 1 and not told:
            raise NlcliError(
                f"{config.source} has no probabilities, because too few noisy labels were verified to make them by; "
                "pass --random 1, check what that draws, build the data set with it and detect again"
            )
        return config.random
    if not told:
        say(
            f"note: {config.source} has no probabilities, because too few noisy labels were verified to make them by: "
            "all images are drawn at random"
        )
    return SHARES[config.goal] if told else 1.0


def _record(
    config: Suggest,
    table: LabelTable,
    detection: Detection | TagDetection,
    candidates: Candidates,
    choice: Choice,
    gain: GainRecord | None,
) -> SuggestionRecord:
    expected = candidates.expected[choice.chosen]
    known = ~np.isnan(candidates.expected)
    images, at_random = len(choice.chosen), int(choice.at_random.sum())
    remarks = []
    if images < config.count:
        remarks.append(f"only {images:,} of the {config.count:,} images that were asked for can be asked about")
    if not known.all():
        count = int(np.count_nonzero(~known))
        remarks.append(f"{count:,} images have no probability; they can only be drawn at random")
    if 0 < at_random < 50:
        remarks.append(f"only {at_random:,} images were drawn at random; error rates want 50 at least")
    if config.goal == "train":
        remarks.append(
            "random images taught a classifier as well as these, within chance, on two of three data sets that were "
            "measured; --random 1 draws all at random"
        )
    if config.features is not None and gain is None:
        remarks.append("too few images of train and validation are checked to measure what checking brings")
    mean = float(candidates.expected[known].mean()) if known.any() else None
    has_all = mean is not None and not np.isnan(expected).all()
    return SuggestionRecord(
        task=table.task,
        goal=config.goal,
        splits=config.splits,
        seed=config.seed,
        method=detection.info.method,
        may_be_asked=len(candidates),
        given=int(candidates.given.sum()),
        images=images,
        at_random=at_random,
        passed_over=choice.passed_over,
        expected_errors=round(float(np.nansum(expected)), 6) if has_all else None,
        random_expected_errors=None
        if mean is None or not has_all
        else round(mean * int((~np.isnan(expected)).sum()), 6),
        gain=gain,
        remarks=tuple(remarks),
        dataset_fingerprint=table.fingerprint,
        source_fingerprint=detection.record.fingerprint,
    )


def _gain(config: Suggest, table: LabelTable, images: int) -> GainRecord | None:
    """What checking has brought so far, and what ``images`` more may bring."""
    if config.features is None:
        return None
    from nlcli.suggestion.gain import gain_of_checking

    curve = gain_of_checking(config.features, config.dataset, table, config.seed)
    if curve is None:
        return None
    return GainRecord(
        metric="top_1" if table.task == "single-label" else "mean of AP_all and mAP",
        judged=curve.judged,
        points=tuple(GainPoint(images=p.images, value=p.value, low=p.low, high=p.high) for p in curve.points),
        doubling=curve.gain,
        queue=curve.of_more(images),
    )


# --- what is said ----------------------------------------------------------------------------


def _summary(record: SuggestionRecord) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    return {
        "goal": record.goal,
        "images": record.images,
        "at_random": record.at_random,
        "may_be_asked": record.may_be_asked,
        "expected_errors": rounded(record.expected_errors),
        "random_expected_errors": rounded(record.random_expected_errors),
        "times_random": rounded(record.ratio),
    }


def show_queues(outputs: Sequence[Path]) -> None:
    """Print what queues hold."""
    for output in outputs:
        record = SuggestionRecord.read(output / SUGGESTION)
        header = ["goal", "images", "at random", "of", "expected errors", "as many random ones", "times"]
        cells = [record.expected_errors, record.random_expected_errors, record.ratio]
        numbers = ["-" if cell is None else f"{cell:,.1f}" for cell in cells]
        counts = [f"{count:,}" for count in (record.images, record.at_random, record.may_be_asked)]
        print_table(header, [[record.goal, *counts, *numbers]])
        if record.gain is not None:
            _show_gain(record.gain, record.images)
        tell(f"what to check, and why: {output / QUEUE_CSV}")
        column = "label, the true class" if record.task == "single-label" else "right, 1 or 0"
        dataset = read_stage(output).config["dataset"]
        words = ["nlcli", "import-verification", "--dataset", dataset, "--suggestion", output]
        command = shlex.join(map(str, [*words, "--answers", output / ANSWERS, "--output", f"{dataset}-checked"]))
        tell(f"fill in {output / ANSWERS} (column {column}), then: {command}")


def _show_gain(gain: GainRecord, images: int) -> None:
    metric = "top-1" if gain.metric == "top_1" else gain.metric
    rows = [[f"{p.images:,}", f"{p.value:.3f}", f"[{p.low:.3f}, {p.high:.3f}]"] for p in gain.points]
    print_table(["checked", metric, "95 %"], rows)
    doubling, queue = (f"{g:+.3f} [{low:+.3f}, {high:+.3f}]" for g, low, high in (gain.doubling, gain.queue))
    told = "more than chance" if gain.doubling[1] > 0 else "no more than chance"
    tell(
        f"the last doubling of checked images brought a linear classifier {doubling} in {metric}, {told}, measured on "
        f"{gain.judged:,} checked images; {images:,} more would bring {queue} if doublings went on to bring as much, "
        "which they seldom do"
    )
