"""How good a run or a backbone is on the verified labels of a split: its scores, metrics, curves and examples.

``metrics.json`` holds every metric (see ``nlcli.evaluation.metrics_file``), ``per_class.csv`` those of the
classes, ``scores.parquet`` all scores (see ``nlcli.evaluation.score_files``), ``replicates.npz`` the bootstrap
replicates, ``curves.parquet`` the precision-recall curves, ``examples.csv`` the top predictions of a few images;
the plots lie beside them. Single-label data also have ``confusion.csv`` (true class by the class that scored
highest), ``label_confusion.csv`` (by the noisy label, of the same images where they have one), and
of a method that models label noise ``rank_precision.csv`` and ``noise_examples.csv`` (see
``nlcli.evaluation.noise_ranking`` and ``noise_examples``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import progress, say
from nlcli.data import label_confusion
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable, noisy_classes, paired_classes, true_classes, verified_pairs
from nlcli.data.pictures import begin_reading
from nlcli.data.plots import confusion_plot
from nlcli.data.score_chosen import no_sample
from nlcli.data.statistics import MOST_DENSE_CLASSES
from nlcli.errors import NlcliError
from nlcli.evaluation import noise_examples, noise_ranking, plots
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.examples import draw_by_labels, examples_of, examples_plot, write_examples
from nlcli.evaluation.image_scorer import ForwardOptions, ImageScorer, ScoredBatch, Values, open_scorer
from nlcli.evaluation.measured import MeasuredRanking
from nlcli.evaluation.metrics_file import (
    METRICS,
    AtThreshold,
    Bootstrap,
    ClassifierMetrics,
    ConfusingNoise,
    Named,
    NoisyLabels,
    estimates,
    flat,
)
from nlcli.evaluation.score_files import FILE, REPLICATES, write_replicates, write_scores
from nlcli.evaluation.scored_images import ScoredImages, measure
from nlcli.evaluation.tested_model import selection, tested_model
from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.confusion import Confusion
from nlcli.metrics.curves import POINTS, Curve, precision_recall_curve
from nlcli.metrics.decisions import confusion_matrix, macro_accuracy, macro_recall
from nlcli.metrics.formats import exact
from nlcli.metrics.ranking import RankingMetrics, mean_over_classes
from nlcli.stages.arrow_arrays import arrow_numbers, arrow_texts
from nlcli.stages.files import atomic_path, number, write_csv
from nlcli.stages.stage import StageRecord
from nlcli.training.remarks import classifier_remarks

_LISTED = 20  # images left out that are named in metrics.json


def measure_classifier(
    config: Evaluate, split: str, model: StageRecord, features: StageRecord | None, dataset: StageRecord, work: Path
) -> dict[str, Any]:
    """Write the evaluation of ``model`` on ``split`` of ``dataset`` into ``work``; what a person wants to know of it.

    Args:
        features: To be scored; None reads the image files.

    Raises:
        NlcliError: see ``nlcli.evaluation.evaluate.evaluate``.
    """
    table = read_dataset(dataset.path)
    rows = _rows_of(table, split, dataset)
    if features is None:
        begin_reading(work, table, dataset.path, rows)
    scorer = _scorer_of(config, model, features, dataset, table)
    noise = _NoiseTypes(scorer, table, rows, config)
    say(f"scoring {len(rows):,} images of split '{split}' with {scorer.name}")
    scored, scored_rows = _score(config, split, scorer, table, rows, noise, work)
    left_out = np.setdiff1d(rows, scored_rows)
    if len(left_out):
        say(f"{len(left_out):,} of {len(rows):,} images cannot be used and are left out")

    measured = _measure(config, table.task, scored)
    if measured.replicates:
        write_replicates(work / REPLICATES, measured.replicates, measured.per_class)
    metrics = _metrics(config, split, model, scorer, table, scored, measured)
    more: dict[str, Any] = {
        "images_left_out": Named(count=len(left_out), names=tuple(table.keys[left_out[:_LISTED]].tolist()))
    }
    apart = no_sample(dataset.path, table, scored_rows)
    remarks = [] if apart is None else [apart]
    if table.task == "single-label":
        more |= _confusions(table, scored, scored_rows, work)
        remarks += classifier_remarks(table, scored_rows, scored.answers.first, split)
        more["confusing_noise"] = noise.publish(config, split, work)
    for remark in remarks:
        say(f"note: {scorer.name}: {remark}")
    metrics = metrics.model_copy(update=more | {"remarks": tuple(remarks)})
    metrics.write(work / METRICS)

    ends = measured.class_ends
    _write_per_class(work / "per_class.csv", table, measured.ranking, ends)
    plots.per_class_plot(table.classes, measured.ranking, ends, work / "per_class.png")
    curves = _curves(scored)
    _write_curves(work / "curves.parquet", scored.classes, curves)
    plots.curves_plot(table.classes, curves, measured.ranking, work / "precision_recall.png")
    examples = examples_of(table, scored_rows, work / FILE, config.examples, config.seed)
    write_examples(work / "examples.csv", examples)
    if examples:
        examples_plot(examples, work / "examples.png")
    return _summary(metrics)


def _summary(metrics: ClassifierMetrics) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": metrics.name,
        "split": metrics.split,
        "images": metrics.images,
        **flat(metrics.metrics),
        "classes_without_positives": metrics.classes_without_positives.count,
        "images_left_out": metrics.images_left_out.count,
    }
    if metrics.macro_accuracy is not None:
        told["macro_accuracy"] = metrics.macro_accuracy
    if metrics.remarks:
        told["remarks"] = list(metrics.remarks)
    if metrics.images_of_unknown_class is not None:
        told["images_of_unknown_class"] = metrics.images_of_unknown_class
    return told


# --- scoring ---------------------------------------------------------------------------------


def _rows_of(table: LabelTable, split: str, dataset: StageRecord) -> Ints:
    rows = table.rows(split)
    if not len(rows):
        raise NlcliError(f"{dataset.path} has no image in split '{split}'; choose another --split")
    if not table.verification[rows].any():
        raise NlcliError(
            f"no image of split '{split}' of {dataset.path} has a verified label to score against; "
            "choose another --split"
        )
    return rows


def _scorer_of(
    config: Evaluate, model: StageRecord, features: StageRecord | None, dataset: StageRecord, table: LabelTable
) -> ImageScorer:
    store = None
    if features is not None:
        from nlcli.data.features.store import FeatureStore

        store = FeatureStore(features.path)
        store.require_images_of(table, dataset.path)
    forward = ForwardOptions(config.engine_cpu, config.batch_size)
    scorer = open_scorer(model, store, score=config.score, precision=config.precision, forward=forward)
    return scorer.for_classes(table.classes)


def _score(
    config: Evaluate,
    split: str,
    scorer: ImageScorer,
    table: LabelTable,
    rows: Ints,
    noise: _NoiseTypes,
    work: Path,
) -> tuple[ScoredImages, Ints]:
    """The images of table rows ``rows`` that can be scored, and their rows."""
    with write_scores(work / FILE, table, rows) as writer:
        with progress(len(rows), "scoring", unit="images") as bar:
            for part, batch in scorer.score_rows(table, rows, config.batch_size, config.workers):
                writer.add(part, batch.scores)
                noise.add(part, batch)
                bar.advance(len(part))
            bar.advance(len(rows) - len(writer.rows()))
        if not len(writer.rows()):
            raise NlcliError(f"none of the images of split '{split}' can be used; see {scorer.path}")
        return writer.scored(), writer.rows()


# --- metrics ---------------------------------------------------------------------------------


def _measure(config: Evaluate, task: str, scored: ScoredImages) -> MeasuredRanking:
    if not config.bootstrap:
        return measure(scored, task, 0, config.seed)
    with progress(config.bootstrap, "bootstrap over images", unit="resamples") as bar:
        return measure(scored, task, config.bootstrap, config.seed, bar.advance)


def _metrics(
    config: Evaluate,
    split: str,
    model: StageRecord,
    scorer: ImageScorer,
    table: LabelTable,
    scored: ScoredImages,
    measured: MeasuredRanking,
) -> ClassifierMetrics:
    ranking = measured.ranking
    without = np.flatnonzero(ranking.positives == 0)
    multi = table.task == "multi-label"
    at_threshold = None
    if multi:
        values = asdict(scored.at_threshold(0.5))
        at_threshold = AtThreshold.model_validate({name: number(value) for name, value in values.items()})
    return ClassifierMetrics(
        version=ClassifierMetrics.FORMAT,
        task=table.task,
        name=scorer.name,
        score=scorer.score,
        score_chosen=config.score is not None,
        split=split,
        images=len(scored),
        classes=len(table.classes),
        dataset=table.info.get("name"),
        backbone=scorer.backbone,
        model=tested_model(model),
        selection=selection(model.path),
        bootstrap=Bootstrap(resamples=config.bootstrap, seed=config.seed),
        metrics=estimates(measured),
        verified_entries=int(ranking.scored.sum()),
        positives=int(ranking.positives.sum()),
        classes_without_positives=Named(count=len(without), names=tuple(table.classes[c] for c in without)),
        mAP_by_group=_by_group(table, ranking),
        at_threshold=at_threshold,
        images_of_unknown_class=None if multi else int((~scored.answers.known).sum()),
    )


def _by_group(table: LabelTable, ranking: RankingMetrics) -> dict[str, float | None]:
    if table.groups is None:
        return {}
    groups = np.array([group or "" for group in table.groups], object)
    return {
        group: number(mean_over_classes(ranking.per_class[groups == group]))
        for group in dict.fromkeys(groups.tolist())
        if group
    }


def _confusions(table: LabelTable, scored: ScoredImages, rows: Ints, work: Path) -> dict[str, Any]:
    """Confusion matrices of the answers and of the noisy labels, written and drawn; what metrics say of them."""
    if len(table.classes) > MOST_DENSE_CLASSES:
        return _confusions_of_many_classes(table, scored, rows, work)
    answers, panels = scored.answers, []
    told: dict[str, Any] = {}
    if answers.known.any():
        known = answers.known
        counts = confusion_matrix(answers.truth[known], answers.first[known], len(table.classes))
        label_confusion.write_confusion(work / "confusion.csv", table.classes, counts)
        panels.append(("classifier", Confusion(table.classes, counts)))
        told["macro_accuracy"] = number(macro_accuracy(counts))
    noisy = Confusion(table.classes, verified_pairs(table, rows))
    if noisy.images:
        label_confusion.write_confusion(work / label_confusion.TABLE, table.classes, noisy.counts)
        panels.insert(0, ("noisy label", noisy))
        told["noisy_labels"] = NoisyLabels(images=noisy.images, accuracy=noisy.accuracy)
    if panels:
        confusion_plot(panels, work / "confusion.png")
    return told


def _confusions_of_many_classes(table: LabelTable, scored: ScoredImages, rows: Ints, work: Path) -> dict[str, Any]:
    """The same where matrices of classes by classes would be too large: the pairs that occur, and no plot of them."""
    answers, known = scored.answers, scored.answers.known
    told: dict[str, Any] = {}
    truth, first = answers.truth[known], answers.first[known]
    if len(truth):
        label_confusion.write_pairs(work / "confusion.csv", table.classes, truth, first, "called")
        told["macro_accuracy"] = number(macro_recall(truth, first))
    true, noisy = paired_classes(table, rows)
    if len(true):
        label_confusion.write_pairs(work / label_confusion.TABLE, table.classes, true, noisy, "noisy")
        told["noisy_labels"] = NoisyLabels(images=len(true), accuracy=float(np.mean(true == noisy)))
    return told


class _NoiseTypes:
    """Collects p(noise type) of the images whose true and noisy class are known, if the model gives it."""

    def __init__(self, scorer: ImageScorer, table: LabelTable, rows: Ints, config: Evaluate) -> None:
        self._compute, self._posterior, self._table = scorer.noise_types, scorer.posterior, table
        self._rows: list[Ints] = []
        self._probabilities: list[Values] = []
        self._examples: list[noise_examples.NoiseExample] = []
        self._drawn: Ints = rows[:0]
        if self._compute is not None:
            self._true, self._noisy = true_classes(table), noisy_classes(table)
            if self._posterior is not None:
                classes = self._true[rows], self._noisy[rows]
                self._drawn = draw_by_labels(rows, *classes, config.examples, config.seed)

    def add(self, rows: Ints, batch: ScoredBatch) -> None:
        """Look at the images ``rows``, which have features (n, D) and scores (n, C)."""
        features = batch.features
        if self._compute is None or features is None:
            return
        pairs = (self._true[rows] >= 0) & (self._noisy[rows] >= 0)
        if pairs.any():
            self._rows.append(rows[pairs])
            types = np.asarray(self._compute(features[pairs]), np.float32)
            self._probabilities.append(types)
            self._add_examples(rows[pairs], features[pairs], batch.scores[pairs], types)

    def _add_examples(self, rows: Ints, features: Values, scores: Values, types: Values) -> None:
        at = np.flatnonzero(np.isin(rows, self._drawn))
        if self._posterior is None or not len(at):
            return
        noisy = np.zeros((len(at), len(self._table.classes)), np.float32)
        noisy[np.arange(len(at)), self._noisy[rows[at]]] = 1
        joint = np.asarray(self._posterior(features[at], noisy), np.float64)
        for i, one in zip(at.tolist(), joint, strict=True):
            row = int(rows[i])
            self._examples.append(
                noise_examples.NoiseExample(
                    key=str(self._table.keys[row]),
                    path=self._table.image_path(row),
                    noisy=int(self._noisy[row]),
                    true=int(self._true[row]),
                    classes=scores[i].astype(np.float64),
                    types=types[i].astype(np.float64),
                    joint=one,
                )
            )

    def publish(self, config: Evaluate, split: str, work: Path) -> ConfusingNoise | None:
        """Write and draw the rank-precision curve and examples; what metrics say of the curve."""
        if self._compute is None:
            return None
        if not self._rows:
            say(f"split '{split}' has no image whose true and noisy class are known: no rank-precision curve")
            return None
        rows, probabilities = np.concatenate(self._rows), np.concatenate(self._probabilities)
        finite = np.isfinite(probabilities).all(axis=1)
        if not finite.all():
            key = self._table.keys[rows[int(np.argmin(finite))]]
            raise NlcliError(f"the noise types of image '{key}' are not numbers; train the model again")
        ranking = noise_ranking.rank_noise(self._table.keys[rows], self._true[rows], self._noisy[rows], probabilities)
        noise_ranking.write_ranking(work / noise_ranking.TABLE, ranking, self._table.classes)
        noise_ranking.ranking_plot(ranking, work / noise_ranking.PLOT)
        if self._examples:
            classes = self._table.classes
            noise_examples.write_noise_examples(work / noise_examples.TABLE, self._examples, classes)
            noise_examples.noise_examples_plot(self._examples, classes, work / noise_examples.PLOT)
        return ranking.measure(config.bootstrap, config.seed)


# --- files -----------------------------------------------------------------------------------


def _write_per_class(
    path: Path, table: LabelTable, ranking: RankingMetrics, ends: tuple[Floats, Floats] | None
) -> None:
    rows = (
        (
            name,
            (table.groups[c] or "") if table.groups is not None else "",
            int(ranking.scored[c]),
            int(ranking.positives[c]),
            exact(ranking.per_class[c]),
            *(("", "") if ends is None else (exact(ends[0][c]), exact(ends[1][c]))),
        )
        for c, name in enumerate(table.classes)
    )
    write_csv(path, ["class", "group", "verified", "positives", "AP", "low", "high"], rows)


def _curves(scored: ScoredImages) -> list[Curve]:
    """The curve of all entries together, then those of the classes."""
    rankings = itertools.chain([scored.together()], scored.by_class())
    return [precision_recall_curve(*ranking).thinned(POINTS) for ranking in rankings]


def _write_curves(path: Path, classes: Sequence[str], curves: Sequence[Curve]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = np.repeat(np.array(["(all entries)", *classes], object), [len(curve.recall) for curve in curves])
    columns = {
        name: np.concatenate([getattr(curve, name) for curve in curves]).astype(np.float32)
        for name in ("recall", "precision", "threshold")
    }
    arrays = {"class": arrow_texts(names.tolist())} | {name: arrow_numbers(part) for name, part in columns.items()}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(arrays), temporary, compression="zstd")
