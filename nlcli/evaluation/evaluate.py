"""The eval stage: a run or a backbone scored on a split, with intervals, curves and examples.

``metrics.json`` holds every figure, ``per_class.csv`` those of the classes, ``scores.parquet`` the
scores themselves (see ``nlcli.scores``), ``replicates.npz`` the bootstrap replicates,
``curves.parquet`` the precision-recall curves, ``examples.csv`` the top predictions of a few images;
the figures lie beside them. Single-label data also have ``confusion.csv`` (true class by the class
that scored highest), ``label_confusion.csv`` (by the noisy label, of the same images where they have
one), and ``rank_precision.csv`` of a method that models label noise (see ``nlcli.noise_ranking``).
A detection of label noise is evaluated by ``nlcli.evaluate_detection``.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.examples import _examples, _write_examples, examples_plot
from nlcli.evaluation.models import _Scorer, _scorer, selection, settings_of
from nlcli.evaluation.score_files import METRICS, shown
from nlcli.metrics.bootstrap import LEVEL
from nlcli.stages.files import atomic_path, number, write_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.training.head import own_backbone

if TYPE_CHECKING:
    from nlcli.evaluation.scored_images import Figures, ScoredImages
    from nlcli.metrics.curves import Curve
    from nlcli.metrics.ranking import RankingMetrics
_CURVE_POINTS = 200
_LISTED = 20  # images left out that are named in metrics.json


def evaluate(config: Evaluate, *, force: bool = False) -> Path:
    """Score a run or a backbone on a split, or measure a detection; the evaluation's directory.

    Args:
        config: Without ``output`` the directory is ``MODEL-SPLIT`` beside the model.
        force: Replace a different result at the output.

    Raises:
        NlcliError: features of another backbone or another data set, classes that are not the data
            set's, a split without images or without verified labels, a score that is not a number.
    """
    model = read_stage(config.model, ("run", "backbone", "detection"))
    if model.kind == "detection":
        from nlcli.evaluation.detection_metrics import evaluate_detection

        return evaluate_detection(config, model, force=force)
    config = config.model_copy(update={"split": config.split or "test"})
    if config.output is None:
        where = Path(config.model)
        config = config.model_copy(update={"output": where.with_name(f"{where.resolve().name}-{config.split}")})
    features = _features_of(model, config)
    dataset = _dataset_of(model, features, config)
    inputs: dict[str, StageRecord | Path | str | None] = {"model": model, "features": features, "dataset": dataset}
    with open_stage("evaluation", config, inputs, seed=config.seed, force=force) as stage:
        if not stage.up_to_date:
            summary = _evaluate(config, model, features, dataset, stage.work)
            stage.finish(summary)
    return stage.output


def _features_of(model: StageRecord, config: Evaluate) -> StageRecord | None:
    if config.features is not None:
        return read_stage(config.features, "features")
    if model.kind == "backbone" or own_backbone(model.path) is not None:
        return None
    return model.input_stage("features", "--features")


def _dataset_of(model: StageRecord, features: StageRecord | None, config: Evaluate) -> StageRecord:
    if config.dataset is not None:
        return read_stage(config.dataset, "dataset")
    own = model.input_fingerprint("features")
    if features is None or features.fingerprint == own:
        return model.input_stage("dataset", "--dataset")
    return features.input_stage("dataset", "--dataset")  # features of another data set bring it along


def _evaluate(
    config: Evaluate, model: StageRecord, features: StageRecord | None, dataset: StageRecord, work: Path
) -> dict[str, Any]:
    from nlcli.evaluation import plots
    from nlcli.evaluation.score_files import FILE, REPLICATES, write_replicates, write_scores
    from nlcli.metrics.bootstrap import interval

    table = read_dataset(dataset.path)
    assert config.split is not None
    rows = table.rows(config.split)
    if not len(rows):
        raise NlcliError(f"{dataset.path} has no image in split '{config.split}'; choose another --split")
    if not table.verification[rows].any():
        raise NlcliError(
            f"no image of split '{config.split}' of {dataset.path} has a verified label to score against; "
            "choose another --split"
        )
    scorer = _scorer(config, model, features, dataset, table)
    noise = _NoiseTypes(scorer, table)
    say(f"scoring {len(rows):,} images of split '{config.split}' with {scorer.name}")
    with write_scores(work / FILE, table, rows) as writer:
        with progress(len(rows), "scoring", unit="images") as bar:
            for part, scores, values in scorer.blocks(table, rows):
                writer.add(part, scores)
                noise.add(part, values)
                bar.advance(len(part))
            bar.advance(len(rows) - len(writer.rows()))
        scored_rows = writer.rows()
        if not len(scored_rows):
            raise NlcliError(f"none of the images of split '{config.split}' can be used; see {scorer.source}")
        scored = writer.scored()
    left_out = np.setdiff1d(rows, scored_rows)
    if len(left_out):
        say(f"{len(left_out):,} of {len(rows):,} images cannot be used and are left out")

    found = _figures(config, table, scored)
    if found.replicates:
        write_replicates(work / REPLICATES, found.replicates, found.per_class)
    metrics = _metrics(config, model, table, scored, found) | {
        "name": scorer.name,
        "backbone": scorer.backbone_name,
        "dataset": table.info.get("name"),
        "score": scorer.score,
        "score_chosen": config.score is not None,
        "images_left_out": {"count": len(left_out), "keys": table.keys[left_out[:_LISTED]].tolist()},
    }
    if table.task == "single-label":
        metrics |= _confusions(table, scored, scored_rows, work) | noise.publish(config, work)
    write_json(work / METRICS, metrics)
    ends = interval(found.per_class, LEVEL) if len(found.per_class) else None
    _write_per_class(work / "per_class.csv", table, found.ranking, ends)

    curves = _curves(scored)
    _write_curves(work / "curves.parquet", scored.classes, curves)
    plots.per_class_plot(table.classes, found.ranking, ends, work / "per_class.png")
    plots.curves_plot(table.classes, curves, found.ranking, work / "precision_recall.png")
    examples = _examples(config, table, scored_rows, work / FILE)
    _write_examples(work / "examples.csv", examples)
    if examples:
        examples_plot(examples, work / "examples.png")
    shown_names = ("name", "split", "images", *(n for v in found.values for n in (v, f"{v}_interval")))
    return (
        {name: metrics[name] for name in shown_names if name in metrics}
        | {
            "classes_without_positives": metrics["classes_without_positives"]["count"],
            "images_left_out": len(left_out),
        }
        | {n: metrics[n] for n in ("macro_accuracy", "images_of_unknown_class") if n in metrics}
    )


# --- figures of one evaluation ---------------------------------------------------------------


def _figures(config: Evaluate, table: LabelTable, scored: ScoredImages) -> Figures:
    from nlcli.evaluation.scored_images import figures

    if not config.bootstrap:
        return figures(scored, table.task, 0, config.seed)
    with progress(config.bootstrap, "bootstrap over images", unit="resamples") as bar:
        return figures(scored, table.task, config.bootstrap, config.seed, bar.advance)


def _metrics(
    config: Evaluate, model: StageRecord, table: LabelTable, scored: ScoredImages, found: Figures
) -> dict[str, Any]:
    from nlcli.metrics.bootstrap import interval

    ranking = found.ranking
    without = np.flatnonzero(ranking.positives == 0)
    metrics: dict[str, Any] = {
        "model": {"directory": model.path.resolve().name, "kind": model.kind, "settings": settings_of(model)},
        "split": config.split,
        "task": table.task,
        "images": len(scored),
        "classes": len(table.classes),
        "verified_entries": int(ranking.scored.sum()),
        "positives": int(ranking.positives.sum()),
        "classes_without_positives": {"count": len(without), "names": [table.classes[c] for c in without]},
        "selection": selection(model),
        "bootstrap": {"resamples": config.bootstrap, "seed": config.seed, "level": LEVEL},
    }
    for name, value in found.values.items():
        metrics[name] = number(value)
        if found.replicates:
            metrics[f"{name}_interval"] = [number(end) for end in interval(found.replicates[name], LEVEL)]
    if table.groups is not None and any(table.groups):
        metrics["mAP_by_group"] = _by_group(table, ranking)
    if table.task == "multi-label":
        at = asdict(scored.at_threshold(0.5))
        metrics["at_threshold"] = {name: number(value) for name, value in at.items()}
    else:
        metrics["images_of_unknown_class"] = int((~scored.answers.known).sum())
    return metrics


def _by_group(table: LabelTable, found: RankingMetrics) -> dict[str, Any]:
    from nlcli.metrics.ranking import mean_over_classes

    assert table.groups is not None
    groups = np.array([group or "" for group in table.groups], object)
    return {
        group: number(mean_over_classes(found.per_class[groups == group]))
        for group in dict.fromkeys(groups.tolist())
        if group
    }


def _confusions(table: LabelTable, scored: ScoredImages, rows: np.ndarray, work: Path) -> dict[str, Any]:
    """Confusion matrices of the answers and of the noisy labels, written and drawn; what metrics say of them."""
    from nlcli.data import label_confusion
    from nlcli.data.labels import verified_pairs
    from nlcli.data.plots import confusion_plot
    from nlcli.metrics.confusion import Confusion
    from nlcli.metrics.decisions import confusion_matrix, macro_accuracy

    answers, panels = scored.answers, []
    found: dict[str, Any] = {}
    if answers.known.any():
        known = answers.known
        counts = confusion_matrix(answers.truth[known], answers.first[known], len(table.classes))
        label_confusion.write_confusion(work / "confusion.csv", table.classes, counts)
        panels.append(("classifier", Confusion(table.classes, counts)))
        found["macro_accuracy"] = number(macro_accuracy(counts))
    noisy = Confusion(table.classes, verified_pairs(table, rows))
    if noisy.images:
        label_confusion.write_confusion(work / label_confusion.TABLE, table.classes, noisy.counts)
        panels.insert(0, ("noisy label", noisy))
        found["noisy_labels"] = {"images": noisy.images, "accuracy": noisy.accuracy}
    if panels:
        confusion_plot(panels, work / "confusion.png")
    return found


class _NoiseTypes:
    """Collects p(noise type) of the images whose true and noisy class are known, if the model gives it."""

    def __init__(self, scorer: _Scorer, table: LabelTable) -> None:
        self._compute, self._table = scorer.noise_types, table
        self._rows: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        if self._compute is not None:
            from nlcli.data.labels import noisy_classes, true_classes

            self._true, self._noisy = true_classes(table), noisy_classes(table)

    def add(self, rows: np.ndarray, features: np.ndarray | None) -> None:
        """Look at the images ``rows`` with ``features`` (n, D)."""
        if self._compute is None or features is None:
            return
        pairs = (self._true[rows] >= 0) & (self._noisy[rows] >= 0)
        if pairs.any():
            self._rows.append(rows[pairs])
            self._probabilities.append(np.asarray(self._compute(features[pairs]), np.float32))

    def publish(self, config: Evaluate, work: Path) -> dict[str, Any]:
        """Write and draw the rank-precision curve; what metrics say of it."""
        if self._compute is None:
            return {}
        if not self._rows:
            say(f"split '{config.split}' has no image whose true and noisy class are known: no rank-precision curve")
            return {}
        from nlcli.evaluation import noise_ranking as ranked
        from nlcli.evaluation.noise_ranking import ranking_plot

        rows, probabilities = np.concatenate(self._rows), np.concatenate(self._probabilities)
        if not np.isfinite(probabilities).all():
            key = self._table.keys[rows[int(np.argmin(np.isfinite(probabilities).all(axis=1)))]]
            raise NlcliError(f"the noise types of image '{key}' are not numbers; train the model again")
        ranking = ranked.rank_noise(self._table.keys[rows], self._true[rows], self._noisy[rows], probabilities)
        ranked.write_ranking(work / ranked.TABLE, ranking, self._table.classes)
        ranking_plot(ranking, work / ranked.FIGURE)
        return {"confusing_noise": ranking.figures(config.bootstrap, config.seed, LEVEL)}


def _write_per_class(
    path: Path, table: LabelTable, found: RankingMetrics, ends: tuple[np.ndarray, np.ndarray] | None
) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["class", "group", "verified", "positives", "AP", "low", "high"])
        for c, name in enumerate(table.classes):
            group = (table.groups[c] or "") if table.groups is not None else ""
            low, high = ("", "") if ends is None else (shown(ends[0][c]), shown(ends[1][c]))
            counts = int(found.scored[c]), int(found.positives[c])
            rows.writerow([name, group, *counts, shown(found.per_class[c]), low, high])


def _curves(scored: ScoredImages) -> list[Curve]:
    """The curve of all entries together, then those of the classes."""
    from nlcli.metrics.curves import precision_recall_curve

    rankings = itertools.chain([scored.together()], scored.by_class())
    return [precision_recall_curve(*ranking).thinned(_CURVE_POINTS) for ranking in rankings]


def _write_curves(path: Path, classes: tuple[str, ...], curves: list[Curve]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = np.repeat(np.array(["(all entries)", *classes], object), [len(curve.recall) for curve in curves])
    columns = {
        name: np.concatenate([getattr(curve, name) for curve in curves]).astype(np.float32)
        for name in ("recall", "precision", "threshold")
    }
    with atomic_path(path) as temporary:
        pq.write_table(pa.table({"class": names, **columns}), temporary, compression="zstd")
