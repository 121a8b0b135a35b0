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
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.config import Evaluate
from nlcli.errors import NlcliError
from nlcli.heads import own_backbone
from nlcli.labels import LabelTable, read_dataset
from nlcli.progress import progress, say
from nlcli.runtime import quiet_tensorflow
from nlcli.stage import StageRecord, atomic_path, open_stage, read_json, read_stage, write_json

if TYPE_CHECKING:
    from nlcli.metrics import Curve, RankingMetrics
    from nlcli.scores import Figures, ScoredImages

LEVEL = 0.95  # of every interval
METRICS = "metrics.json"
_ROWS = 2048  # images whose features are scored at a time
_CURVE_POINTS = 200
_EXAMPLE_TOP = 5
_LISTED = 20  # images left out that are named in metrics.json
_TOLD = 5  # ... and on standard error


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
        from nlcli.evaluate_detection import evaluate_detection

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
    own = model.inputs.get("features", {}).get("fingerprint")
    if features is None or features.fingerprint == own:
        return model.input_stage("dataset", "--dataset")
    return features.input_stage("dataset", "--dataset")  # features of another data set bring it along


def _evaluate(
    config: Evaluate, model: StageRecord, features: StageRecord | None, dataset: StageRecord, work: Path
) -> dict[str, Any]:
    from nlcli.bootstrap import interval
    from nlcli.report import evaluation_figures as drawn
    from nlcli.scores import FILE, REPLICATES, write_replicates, write_scores

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
        "name": scorer.name, "backbone": scorer.backbone_name, "dataset": table.info.get("name"),
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
    drawn.per_class_figure(table.classes, found.ranking, ends, work / "per_class.png")
    drawn.curves_figure(table.classes, curves, found.ranking, work / "precision_recall.png")
    examples = _examples(config, table, scored_rows, work / FILE)
    _write_examples(work / "examples.csv", examples)
    if examples:
        drawn.examples_figure(examples, work / "examples.png")
    shown_names = ("name", "split", "images", *(n for v in found.values for n in (v, f"{v}_interval")))
    return {name: metrics[name] for name in shown_names if name in metrics} | {
        "classes_without_positives": metrics["classes_without_positives"]["count"],
        "images_left_out": len(left_out),
    } | {n: metrics[n] for n in ("macro_accuracy", "images_of_unknown_class") if n in metrics}


# --- where scores come from ------------------------------------------------------------------


_Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass
class _Scorer:
    """A model that scores table rows in blocks; rows it cannot score are missing from the blocks.

    Attributes:
        backbone_name: Of the network that gives the features or the scores.
        noise_types: Of a method that models label noise: features (n, D) to p(noise type), (n, 3).
    """

    classes: tuple[str, ...]
    name: str
    source: Path
    backbone_name: str
    score: str = "classifier"
    noise_types: Callable[[np.ndarray], np.ndarray] | None = None
    _order: np.ndarray | None = field(default=None, init=False)

    def blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        """Table rows, their scores ``(n, C)`` in the order of the table's classes, and their features."""
        for part, scores, values in self._blocks(table, rows):
            yield part, scores if self._order is None else scores[:, self._order], values

    def _blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        raise NotImplementedError

    def match(self, table: LabelTable) -> None:
        """Find the table's classes among the model's."""
        if self.classes == table.classes:
            return
        where = {name: i for i, name in enumerate(self.classes)}
        missing = next((name for name in table.classes if name not in where), None)
        if missing is not None or len(where) != len(self.classes):
            raise NlcliError(
                f"{self.source} does not score the classes of the data set (it has no '{missing}'); "
                "give a model trained on this data set's classes"
            )
        self._order = np.array([where[name] for name in table.classes])


@dataclass
class _OnFeatures(_Scorer):
    """Scores computed from stored features by ``apply``: (n, D) float32 to (n, C)."""

    store: Any = None
    apply: Any = None

    def _blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        where = self.store.rows_of(table.keys[rows], strict=False)
        rows, where = rows[where >= 0], where[where >= 0]
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            features = np.asarray(self.store.read(where[part]), np.float32)
            bad = ~np.isfinite(features).all(axis=1)
            if bad.any():
                key = table.keys[rows[part][int(np.argmax(bad))]]
                raise NlcliError(
                    f"the features of image '{key}' in {self.store.path} contain NaN or infinity; extract them again"
                )
            yield rows[part], self.apply(features), features


@dataclass
class _OnImages(_Scorer):
    """Scores straight from the image files: of a backbone's own last layer, or of ``apply`` on its features."""

    backbone: Any = None
    apply: Any = None
    precision: str = "float32"
    batch_size: int = 32
    workers: int = 0

    def _blocks(self, table: LabelTable, rows: np.ndarray) -> Iterator[_Block]:
        from nlcli.images import iterate_images

        infer = self.backbone.inference(self.precision, output="features" if self.apply else "probabilities")
        paths, told = [table.image_path(int(row)) for row in rows], 0
        for batch in iterate_images(paths, self.backbone.preprocessing, self.batch_size, self.workers):
            for position, reason in batch.errors:
                told += 1
                if told <= _TOLD:
                    say(f"left out: {paths[position]}: {reason}")
            if len(batch.rows):
                found = np.asarray(infer(batch.images))
                yield rows[batch.rows], *((self.apply(found), found) if self.apply else (found, None))


def _scorer(
    config: Evaluate, model: StageRecord, features: StageRecord | None, dataset: StageRecord, table: LabelTable
) -> _Scorer:
    quiet_tensorflow()
    store = None
    if features is not None:
        from nlcli.features import FeatureStore

        store = FeatureStore(features.path)
        store.require_images_of(table, dataset.path)
    scorer = _run_scorer(config, model, store) if model.kind == "run" else _backbone_scorer(config, model, store)
    scorer.match(table)
    return scorer


def _run_scorer(config: Evaluate, model: StageRecord, store: Any) -> _Scorer:
    from nlcli.heads import load_head

    head = load_head(model.path)
    if store is not None and store.backbone_fingerprint != head.backbone_fingerprint:
        raise NlcliError(
            f"{store.path} holds features of another backbone than the one {model.path} was trained on; "
            "extract features with that backbone"
        )
    score = config.score or head.score_names[0]
    head.score(np.zeros((1, head.num_features), np.float32), score)  # an unknown score is told at once

    def apply(values: np.ndarray) -> np.ndarray:
        return head.score(values, score)

    noise_types = getattr(head.method, "noise_type_probabilities", None)
    classes, name = head.classes, head.method.name
    if store is not None:
        network = str(store.info["backbone"])
        return _OnFeatures(classes, name, model.path, network, score, noise_types, store=store, apply=apply)
    backbone = head.open_backbone()
    return _OnImages(
        classes, name, model.path, backbone.name, score, noise_types, backbone=backbone, apply=apply,
        precision=config.precision, batch_size=config.batch_size, workers=config.workers,
    )


def _backbone_scorer(config: Evaluate, model: StageRecord, store: Any) -> _Scorer:
    from nlcli.backbones import load_backbone

    if config.score is not None:
        raise NlcliError(f"{model.path} is a backbone and has one score only; leave out --score")
    backbone = load_backbone(model.path)
    if backbone.classes is None:
        raise NlcliError(f"{model.path} has no classes to score; pretrain it on the data set, or train a head")
    if store is None:
        return _OnImages(
            backbone.classes, f"backbone {backbone.name}", model.path, backbone.name, backbone=backbone,
            precision=config.precision, batch_size=config.batch_size, workers=config.workers,
        )
    as_extracted = backbone.with_decode(store.info["preprocessing"]["decode"])
    if store.backbone_fingerprint != as_extracted.fingerprint:
        raise NlcliError(
            f"{store.path} holds features of another backbone than {model.path}; extract features with it, or leave "
            "out --features to read the images"
        )
    last = backbone.last_layer
    assert last is not None

    def apply(values: np.ndarray) -> np.ndarray:
        return probabilities(values @ last.kernel + last.bias, backbone.activation)

    return _OnFeatures(
        backbone.classes, f"backbone {backbone.name}", model.path, backbone.name, store=store, apply=apply
    )


def probabilities(logits: np.ndarray, activation: str) -> np.ndarray:
    """Sigmoid or softmax of ``(n, C)`` logits, float32, without overflow."""
    if activation == "softmax":
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


# --- figures of one evaluation ---------------------------------------------------------------


def _figures(config: Evaluate, table: LabelTable, scored: ScoredImages) -> Figures:
    from nlcli.scores import figures

    if not config.bootstrap:
        return figures(scored, table.task, 0, config.seed)
    with progress(config.bootstrap, "bootstrap over images", unit="resamples") as bar:
        return figures(scored, table.task, config.bootstrap, config.seed, bar.advance)


def _metrics(
    config: Evaluate, model: StageRecord, table: LabelTable, scored: ScoredImages, found: Figures
) -> dict[str, Any]:
    from nlcli.bootstrap import interval

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


def settings_of(model: StageRecord) -> dict[str, Any]:
    """The model's configuration without paths and without what does not change a result."""
    from nlcli.config import DetectNoise, PretrainBackbone, StageConfig, TrainHead

    kinds: dict[str, type[StageConfig]] = {"run": TrainHead, "backbone": PretrainBackbone, "detection": DetectNoise}
    left_out = kinds[model.kind].inputs | kinds[model.kind].runtime
    return {name: value for name, value in model.config.items() if name not in left_out}


def number(value: Any) -> float | None:
    """A JSON number; None for NaN, which JSON does not have."""
    value = float(value)
    return None if math.isnan(value) else value


def _by_group(table: LabelTable, found: RankingMetrics) -> dict[str, Any]:
    from nlcli.metrics import mean_over_classes

    assert table.groups is not None
    groups = np.array([group or "" for group in table.groups], object)
    return {
        group: number(mean_over_classes(found.per_class[groups == group]))
        for group in dict.fromkeys(groups.tolist())
        if group
    }


def _confusions(table: LabelTable, scored: ScoredImages, rows: np.ndarray, work: Path) -> dict[str, Any]:
    """Confusion matrices of the answers and of the noisy labels, written and drawn; what metrics say of them."""
    from nlcli import label_confusion as labels
    from nlcli.labels import verified_pairs
    from nlcli.metrics import confusion_matrix, macro_accuracy
    from nlcli.report.confusion_figure import confusion_figure

    answers, panels = scored.answers, []
    found: dict[str, Any] = {}
    if answers.known.any():
        known = answers.known
        counts = confusion_matrix(answers.truth[known], answers.first[known], len(table.classes))
        labels.write_matrix(work / "confusion.csv", table.classes, counts)
        panels.append(("classifier", labels.Confusion(table.classes, counts)))
        found["macro_accuracy"] = number(macro_accuracy(counts))
    noisy = labels.Confusion(table.classes, verified_pairs(table, rows))
    if noisy.images:
        labels.write_matrix(work / labels.TABLE, table.classes, noisy.counts)
        panels.insert(0, ("noisy label", noisy))
        found["noisy_labels"] = {"images": noisy.images, "accuracy": noisy.accuracy}
    if panels:
        confusion_figure(panels, work / "confusion.png")
    return found


class _NoiseTypes:
    """Collects p(noise type) of the images whose true and noisy class are known, if the model gives it."""

    def __init__(self, scorer: _Scorer, table: LabelTable) -> None:
        self._compute, self._table = scorer.noise_types, table
        self._rows: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        if self._compute is not None:
            from nlcli.datasets.noise import noisy_classes, true_classes

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
        from nlcli import noise_ranking as ranked
        from nlcli.report.ranking_figure import ranking_figure

        rows, probabilities = np.concatenate(self._rows), np.concatenate(self._probabilities)
        if not np.isfinite(probabilities).all():
            key = self._table.keys[rows[int(np.argmin(np.isfinite(probabilities).all(axis=1)))]]
            raise NlcliError(f"the noise types of image '{key}' are not numbers; train the model again")
        ranking = ranked.rank_noise(self._table.keys[rows], self._true[rows], self._noisy[rows], probabilities)
        ranked.write_ranking(work / ranked.TABLE, ranking, self._table.classes)
        ranking_figure(ranking, work / ranked.FIGURE)
        return {"confusing_noise": ranking.figures(config.bootstrap, config.seed, LEVEL)}


def selection(model: StageRecord) -> dict[str, Any]:
    """What chose the checkpoint and which clean labels it used, as the model's own result tells."""
    where = model.path / "result.json"
    result = read_json(where) if where.is_file() else {}
    return {
        name: result[name]
        for name in ("selected_by", "step", "phase", "clean", "training_images", "detection") if name in result
    }


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


def shown(value: float) -> str:
    """A figure for a table; empty where there is none."""
    return "" if math.isnan(value) else f"{value:.6f}"


def _curves(scored: ScoredImages) -> list[Curve]:
    """The curve of all entries together, then those of the classes."""
    from nlcli.metrics import precision_recall_curve

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


# --- examples --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prediction:
    """One of an image's top classes; ``verdict`` is right, wrong or unverified."""

    name: str
    score: float
    verdict: str


@dataclass(frozen=True)
class Example:
    """An image with its top predictions and the verified classes that are not among them."""

    key: str
    path: Path
    top: tuple[Prediction, ...]
    missed: tuple[str, ...]


def _examples(config: Evaluate, table: LabelTable, rows: np.ndarray, scores: Path) -> list[Example]:
    """Images drawn at random among those with a verified present class."""
    import pyarrow.parquet as pq

    labelled = rows[np.diff(table.present.indptr)[rows] > 0]
    count = min(config.examples, len(labelled))
    if not count:
        return []
    drawn = np.random.default_rng([config.seed, 0x6578]).choice(len(labelled), count, replace=False)
    chosen = labelled[np.sort(drawn)]
    position = {int(row): i for i, row in enumerate(rows)}
    wanted = [position[int(row)] for row in chosen]
    values: dict[int, np.ndarray] = {}
    first = 0
    with pq.ParquetFile(scores) as file:  # a block at a time: the scores may be larger than memory
        for batch in file.iter_batches(_ROWS, columns=["scores"]):
            for i in wanted:
                if first <= i < first + len(batch):
                    values[i] = np.array(batch.column(0)[i - first].as_py(), np.float32)
            first += len(batch)
    return [_example(table, int(row), values[i]) for row, i in zip(chosen, wanted, strict=True)]


def _example(table: LabelTable, row: int, scores: np.ndarray) -> Example:
    (present,), (verified,) = table.verified_targets(np.array([row]))
    return example_of(str(table.keys[row]), table.image_path(row), table.classes, scores, present, verified)


def example_of(
    key: str, path: Path, classes: Sequence[str], scores: np.ndarray, present: np.ndarray, verified: np.ndarray
) -> Example:
    """The top predictions of an image, each right, wrong or unverified; the arrays are ``(C,)``."""
    order = np.argsort(-scores, kind="stable")[:_EXAMPLE_TOP]
    top = tuple(
        Prediction(classes[c], float(scores[c]), "right" if present[c] else "wrong" if verified[c] else "unverified")
        for c in order
    )
    missed = tuple(classes[c] for c in np.flatnonzero(present).tolist() if c not in order)
    return Example(key, path, top, missed)


def _write_examples(path: Path, examples: list[Example]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["key", "rank", "class", "score", "verdict"])
        for example in examples:
            for rank, prediction in enumerate(example.top, 1):
                rows.writerow([example.key, rank, prediction.name, f"{prediction.score:.6f}", prediction.verdict])
            for name in example.missed:
                rows.writerow([example.key, "", name, "", "missed"])
