"""Where models differ: by category, class frequency and annotation quality; curves; examples.

The analyses of Veit et al. 2017: table 3 (mAP by category), figure 5 (gain over the baseline by class
frequency and annotation quality), figure 6 (precision and recall), figure 7 (top predictions side by
side), and of Hu et al. 2019 figure 4 (validation figures over training steps). The first evaluation's
model is the baseline. Seeds of one model are taken together; differences are paired by image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.data.class_groups import ClassAnnotations, categories, count_annotations, equal_groups, mean_in_groups
from nlcli.data.labels import SPLITS
from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.breakdown import (
    ALL,
    RECALL,
    Cut,
    Model,
    _write_classes,
    _write_examples,
    _write_groups,
    _write_learning_curves,
    _write_markdown,
    _write_precision_recall,
)
from nlcli.evaluation.comparison.compare import figure_over_seeds
from nlcli.evaluation.comparison.evaluation_sets import Evaluations, evaluation_records, read_evaluations
from nlcli.evaluation.comparison.learning_curves import LearningCurve, read_learning_curve
from nlcli.evaluation.config import Analyse
from nlcli.evaluation.examples import Example, example_of
from nlcli.evaluation.score_files import FILE, read_images
from nlcli.evaluation.scored_images import Dense
from nlcli.metrics.bootstrap import LEVEL
from nlcli.metrics.curves import precision_recall_curve
from nlcli.metrics.ranking import average_precision
from nlcli.stages.files import number, read_json, write_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.stages.stage import Stage

RESULT = "analysis.json"


def analyse(config: Analyse, *, force: bool = False) -> Path:
    """Write the analyses as JSON, CSV, Markdown and figures; their directory.

    Memory is proportional to the verified entries, and to resamples times classes for one model.

    Raises:
        NlcliError: evaluations that cannot be compared, a data set that is gone or has other classes.
    """
    records = evaluation_records(config.evaluations)
    if config.dataset is not None:
        dataset = read_stage(config.dataset, "dataset")
    else:
        dataset = records[0].input_stage("dataset", "--dataset")
    inputs: dict[str, StageRecord | Path | str | None] = {f"evaluation {i}": r for i, r in enumerate(records)}
    with open_stage("analysis", config, inputs | {"dataset": dataset}, seed=config.seed, force=force) as stage:
        if not stage.up_to_date:
            _analyse(config, dataset, stage)
    return stage.output


def _analyse(config: Analyse, dataset: StageRecord, stage: Stage) -> None:
    from nlcli.evaluation.comparison import breakdown_plots as plots

    together = read_evaluations(config.evaluations, config.bootstrap, config.seed)
    classes, groups = _classes(dataset)
    if classes != together.classes:
        raise NlcliError(f"{dataset.path} has other classes than the evaluations; pass the data set they were made on")
    models = _models(together)
    keys = _example_keys(together, config.examples)
    say(f"counting annotations of {dataset.path}")
    annotations, files = count_annotations(dataset.path, set(keys))
    by_category = categories(groups)

    cuts = _cuts(config, together, annotations, by_category)
    with progress(len(together.members), "analysing", unit="evaluations") as bar:
        per_class = _fill(cuts, together, models, bar)
    found: dict[str, Any] = {
        "split": together.split,
        "images": len(together),
        "images_left_out": together.left_out,
        "resamples": together.resamples,
        "level": LEVEL,
        "seed": together.seed,
        "baseline": models[0].label,
        "models": [
            {
                "label": model.label,
                "seeds": [together.members[i].settings.get("seed", 0) for i in model.members],
                "clean_fraction": together.members[model.members[0]].settings.get("clean_fraction"),
                "clean_images": together.members[model.members[0]].clean_images,
            }
            for model in models
        ],
        "verified_images": annotations.verified_images,
        **{cut.name: cut.as_json() for cut in cuts},
    }
    curves = _precision_recall(together, models, by_category)
    found["AP_all"] = {
        name: [number(value) for value in values] for name, values in _pooled(together, models, by_category).items()
    }
    learned, missing = _learning_curves(together, models)
    found["without_learning_curve"] = missing
    write_json(stage.work / RESULT, found)

    _write_classes(stage.work / "classes.csv", together, models, annotations, groups, cuts, per_class)
    _write_groups(stage.work, found)
    _write_markdown(stage.work / "analysis.md", found)
    _write_precision_recall(stage.work / "precision_recall.csv", models, curves)
    labels = [model.label for model in models]
    for suffix in ("png", "svg"):
        if "category" in found:
            plots.category_plot(found, stage.work / f"categories.{suffix}")
        if len(models) > 1 and ("frequency" in found or "quality" in found):
            plots.gain_plot(found, stage.work / f"gains.{suffix}")
        where = stage.work / f"precision_recall.{suffix}"
        plots.precision_recall_plot(labels, RECALL, curves, found["AP_all"], where)
        if any(learned):
            plots.learning_curve_plot(labels, learned, stage.work / f"learning_curves.{suffix}")
    _write_learning_curves(stage.work / "learning_curves.csv", together, models, learned)
    examples = _examples(together, models, keys, files)
    _write_examples(stage.work / "examples.csv", models, examples)
    if examples:
        plots.side_by_side_plot(labels, examples, stage.work / "examples.png")
    stage.finish(
        {
            "split": together.split,
            "images": len(together),
            "models": len(models),
            "baseline": models[0].label,
            "categories": len(by_category),
            "groups_by_frequency": len(found["frequency"]["groups"]),
            "groups_by_quality": len(found["quality"]["groups"]),
            "examples": len(examples),
        }
    )


def _classes(dataset: StageRecord) -> tuple[tuple[str, ...], tuple[str | None, ...] | None]:
    info = read_json(dataset.path / "dataset.json")
    groups = info.get("groups")
    return tuple(info.get("classes", ())), None if groups is None else tuple(groups)


def _models(together: Evaluations) -> list[Model]:
    """Models with their labels; the part of the clean set is told where it differs."""
    rows = together.models()
    firsts = [together.members[members[0]] for _, members in rows]
    fractions = {e.settings.get("clean_fraction") for e in firsts if e.clean_images is not None}
    labels = [
        f"{label}, {100 * e.settings['clean_fraction']:g} % clean"
        if len(fractions) > 1 and e.clean_images is not None and e.settings.get("clean_fraction") is not None
        else label
        for (label, _), e in zip(rows, firsts, strict=True)
    ]
    return [Model(label, tuple(members)) for label, (_, members) in zip(labels, rows, strict=True)]


def _cuts(
    config: Analyse, together: Evaluations, annotations: ClassAnnotations, by_category: dict[str, np.ndarray]
) -> list[Cut]:
    positives = np.zeros(len(together.classes), np.int64)
    for c, (labels, _) in enumerate(together.members[0].scored.by_class()):
        positives[c] = np.count_nonzero(labels)
    with_positives = positives > 0
    none = int((~with_positives).sum())
    told = _some(none, f"without positives in split '{together.split}'")
    cuts = []
    if by_category:
        inside = sum(map(len, by_category.values()))
        rest = len(together.classes) - inside
        without = _some(rest, "of no category")
        cuts.append(
            Cut(
                "category",
                "high-level categories of the data set",
                list(by_category),
                list(by_category.values()),
                without,
                None,
                with_positives,
                [],
            )
        )
    quality = annotations.quality
    unchecked = int((with_positives & np.isnan(quality)).sum())
    never = _some(unchecked, "without a checked noisy annotation")
    for name, about, values, usable, without in (
        ("frequency", "noisy annotations in train", annotations.in_train.astype(np.float64), with_positives, told),
        (
            "quality",
            _about_quality(annotations),
            quality,
            with_positives & ~np.isnan(quality),
            "; ".join(text for text in (told, never) if text),
        ),
    ):
        groups = equal_groups(values, usable, config.groups)
        numbers = [str(i + 1) for i in range(len(groups))]
        cuts.append(Cut(name, about, numbers, groups, without, values, with_positives, []))
    return cuts


def _some(classes: int, which: str) -> str:
    return f"{classes:,} {'class' if classes == 1 else 'classes'} {which}" if classes else ""


def _about_quality(annotations: ClassAnnotations) -> str:
    where = ", ".join(f"{split} {annotations.verified_images[split]:,}" for split in SPLITS)
    return (
        f"share of noisy annotations that are right, of {int(annotations.checked.sum()):,} on verified images ({where})"
    )


_Means = tuple[np.ndarray, np.ndarray | None]
"""Of every seed and group ``(S, G)``, and of every resample and group ``(B, G)``, mean over seeds."""


def _of_group(means: _Means, g: int) -> _Means:
    return means[0][:, g], None if means[1] is None else means[1][:, g]


def _fill(cuts: list[Cut], together: Evaluations, models: list[Model], bar: Any) -> list[np.ndarray]:
    """Figures of every cut, one evaluation in memory at a time; AP of each model's classes ``(C,)``."""
    groups = [group for cut in cuts for group in cut.groups]
    reference: _Means | None = None
    per_class = []
    for model in models:
        values, replicates, single = [], [], []
        for i in model.members:
            made = together.members[i].figures(together.resamples, together.seed)
            single.append(made.of_classes)
            values.append(mean_in_groups(made.of_classes, groups))
            if len(made.per_class):
                replicates.append(mean_in_groups(made.per_class, groups))
            bar.advance()
        own = np.stack(values), np.mean(replicates, axis=0) if replicates else None
        per_class.append(np.mean(single, axis=0))
        figures = [
            figure_over_seeds(*_of_group(own, g), None if reference is None else _of_group(reference, g))
            for g in range(len(groups))
        ]
        reference = reference or own
        for cut in cuts:
            cut.figures.append(figures[: len(cut.groups)])
            figures = figures[len(cut.groups) :]
    return per_class


# --- curves ----------------------------------------------------------------------------------


def _entries(
    together: Evaluations, i: int, by_category: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Labels and scores of evaluation ``i``: all entries, then those of each category."""
    scored = together.members[i].scored
    yield ALL, *scored.together()
    for name, columns in by_category.items():
        yield name, *scored.of_classes(columns)


def _precision_recall(
    together: Evaluations, models: list[Model], by_category: dict[str, np.ndarray]
) -> dict[str, list[np.ndarray]]:
    """By category the precision of every model at ``RECALL``, mean over its seeds; empty without positives."""
    found: dict[str, list[np.ndarray]] = {}
    for model in models:
        own: dict[str, list[np.ndarray]] = {}
        for i in model.members:
            for name, labels, scores in _entries(together, i, by_category):
                curve = precision_recall_curve(labels, scores)
                if len(curve.recall):
                    own.setdefault(name, []).append(curve.precision_at(RECALL))
        for name, precisions in own.items():
            found.setdefault(name, []).append(np.mean(precisions, axis=0))
    return found


def _pooled(together: Evaluations, models: list[Model], by_category: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """By category the AP over its entries together, of every model, mean over its seeds."""
    found: dict[str, list[float]] = {}
    for model in models:
        own: dict[str, list[float]] = {}
        for i in model.members:
            for name, labels, scores in _entries(together, i, by_category):
                own.setdefault(name, []).append(average_precision(labels, scores))
        for name, values in own.items():
            found.setdefault(name, []).append(float(np.mean(values)))
    return found


def _learning_curves(
    together: Evaluations, models: list[Model]
) -> tuple[list[list[tuple[int, LearningCurve]]], list[str]]:
    """For every model the curves of its seeds (evaluation and curve), and the evaluations without one."""
    found: list[list[tuple[int, LearningCurve]]] = []
    missing = []
    seen: set[str | None] = set()
    for model in models:
        own = []
        for i in model.members:
            e = together.members[i]
            made = e.record.input_fingerprint("model")
            if made in seen:  # one run, evaluated by several of its scores
                continue
            run = None
            with suppress(NlcliError):  # gone, or changed since
                run = e.record.input_stage("model").path
            curve = None if run is None else read_learning_curve(run)
            if curve is None:
                missing.append(str(e.path))
                continue
            seen.add(made)
            own.append((i, curve))
        found.append(own)
    if missing:
        say(f"{len(missing)} models have no learning curve: they are gone, changed since, or were never validated")
    return found, missing


# --- examples --------------------------------------------------------------------------------


def _example_keys(together: Evaluations, count: int) -> list[str]:
    """Images drawn at random among those with a verified present class."""
    scored = together.members[0].scored
    v = scored.verified
    labelled = np.flatnonzero(v.labels.any(axis=1)) if isinstance(v, Dense) else np.unique(v.image[v.label])
    count = min(count, len(labelled))
    drawn = np.random.default_rng([together.seed, 0x6578]).choice(len(labelled), count, replace=False)
    return [str(key) for key in scored.keys[labelled[np.sort(drawn)]]]


def _examples(
    together: Evaluations, models: list[Model], keys: list[str], files: dict[str, Path]
) -> list[list[Example]]:
    """For every image the top predictions of every model, each by its first seed."""
    scored = [read_images(together.members[model.members[0]].path / FILE, keys) for model in models]
    return [
        [
            example_of(
                key, files.get(key, Path(key)), together.classes, own[key].scores, own[key].present, own[key].verified
            )
            for own in scored
        ]
        for key in keys
    ]


def show_analysis(outputs: Sequence[Path]) -> None:
    """Print the tables of analyses."""
    from nlcli.console import print_table
    from nlcli.evaluation.comparison.breakdown import analysis_tables

    for output in outputs:
        for title, header, rows, notes in analysis_tables(read_json(output / RESULT)):
            print(f"{title}\n")
            print_table(header, rows, notes)
            print()
        say(f"tables, curves and figures: {output}")
