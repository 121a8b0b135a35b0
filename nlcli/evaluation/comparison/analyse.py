"""Stage ``analyse``: where models differ, by category, class frequency and annotation quality; curves; examples.

The analyses of Veit et al. 2017: table 3 (mAP by category), figure 5 (gain over the baseline by class
frequency and annotation quality), figure 6 (precision and recall), figure 7 (top predictions side by
side; also Hu et al. 2018, figure 6, and Hu et al. 2019, figures 3 and 5), and of Hu et al. 2019 figure 4
(validation metrics over training steps). The first evaluation's model is the baseline. Seeds of one
model are taken together; differences are paired by image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.console import print_table, say
from nlcli.data.class_groups import categories, count_annotations
from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.breakdown_files import (
    write_classes,
    write_groups,
    write_learning_bands,
    write_learning_curves,
    write_markdown,
    write_precision_recall,
    write_side_by_side,
)
from nlcli.evaluation.comparison.breakdown_record import AnalysedModel, Analysis
from nlcli.evaluation.comparison.breakdown_tables import analysis_tables
from nlcli.evaluation.comparison.class_cuts import Model, cut_classes, measure_cuts
from nlcli.evaluation.comparison.evaluation_sets import Evaluations, evaluation_records, read_evaluations
from nlcli.evaluation.comparison.learning_curves import SeedCurve, Varying, read_learning_curve
from nlcli.evaluation.comparison.pooled_curves import RECALL, pooled_curves, pooled_precision
from nlcli.evaluation.config import Analyse
from nlcli.evaluation.examples import Example, draw_by_labels, draw_examples
from nlcli.evaluation.score_files import FILE, read_images
from nlcli.evaluation.scored_images import Dense
from nlcli.metrics.arrays import Floats
from nlcli.metrics.formats import percent
from nlcli.stages.files import read_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.stages.stage import Stage

RESULT = "analysis.json"


def analyse(config: Analyse, *, force: bool = False) -> Path:
    """Write the analyses as JSON, CSV, Markdown and plots; their directory.

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
    inputs["dataset"] = dataset
    with open_stage("analysis", config, inputs, seed=config.seed, force=force, format=Analysis.FORMAT) as stage:
        if not stage.up_to_date:
            _analyse(config, dataset, stage)
    return stage.output


def _analyse(config: Analyse, dataset: StageRecord, stage: Stage) -> None:
    together = read_evaluations(config.evaluations, config.bootstrap, config.seed)
    classes, groups = _classes(dataset)
    if classes != together.classes:
        raise NlcliError(f"{dataset.path} has other classes than the evaluations; pass the data set they were made on")
    models = _models(together)
    asked = _example_keys(together, config.examples)
    say(f"counting annotations of {dataset.path}")
    annotations, files, labels = count_annotations(dataset.path, set(asked))
    keys = _keys_by_labels(together, asked, labels, config.examples)
    by_category = categories(groups)

    cuts = cut_classes(together, annotations, by_category, config.groups)
    records, per_class, varies = measure_cuts(cuts, together, models)
    curves = pooled_curves(together, models, by_category)
    learned, missing = _learning_curves(together, models, varies)
    analysis = Analysis(
        version=Analysis.FORMAT,
        split=together.split,
        images=len(together),
        images_left_out=together.left_out,
        resamples=together.resamples,
        seed=together.seed,
        baseline=models[0].label,
        models=tuple(_analysed(model, together) for model in models),
        verified_images=annotations.verified_images,
        category=records.get("category"),
        frequency=records["frequency"],
        quality=records["quality"],
        AP_all=pooled_precision(together, models, by_category),
        without_learning_curve=tuple(missing),
    )
    analysis.write(stage.work / RESULT)
    write_classes(stage.work / "classes.csv", together, models, annotations, groups, cuts, per_class)
    write_groups(stage.work, analysis)
    write_markdown(stage.work / "analysis.md", analysis)
    write_precision_recall(stage.work / "precision_recall.csv", models, curves)
    write_learning_curves(stage.work / "learning_curves.csv", models, learned)
    write_learning_bands(stage.work / "learning_bands.csv", models, learned)
    examples = _examples(together, models, keys, files, labels)
    write_side_by_side(stage.work / "examples.csv", models, examples, together.task == "single-label")
    _draw(analysis, curves, learned, examples, stage.work)
    stage.finish(
        {
            "split": analysis.split,
            "images": analysis.images,
            "models": len(models),
            "baseline": analysis.baseline,
            "categories": len(by_category),
            "groups_by_frequency": len(analysis.frequency.groups),
            "groups_by_quality": len(analysis.quality.groups),
            "examples": len(examples),
        }
    )


def _draw(
    analysis: Analysis,
    curves: dict[str, list[Floats]],
    learned: Sequence[Sequence[SeedCurve]],
    examples: Sequence[Sequence[Example]],
    work: Path,
) -> None:
    from nlcli.evaluation.comparison import breakdown_plots as plots

    for suffix in ("png", "svg"):
        if analysis.category is not None:
            plots.category_plot(analysis, analysis.category, work / f"categories.{suffix}")
        if len(analysis.models) > 1:
            plots.gain_plot(analysis, work / f"gains.{suffix}")
        where = work / f"precision_recall.{suffix}"
        plots.precision_recall_plot(analysis.labels, RECALL, curves, analysis.AP_all, where)
        if any(learned):
            plots.learning_curve_plot(analysis.labels, learned, work / f"learning_curves.{suffix}")
    if examples:
        plots.side_by_side_plot(analysis.labels, examples, work / "examples.png")


def show_analysis(outputs: Sequence[Path]) -> None:
    """Print the tables of analyses."""
    for output in outputs:
        for title, header, rows, notes in analysis_tables(Analysis.read(output / RESULT)):
            print(f"{title}\n")
            print_table(header, rows, notes)
            print()
        say(f"tables, curves and plots: {output}")


# --- models and their seeds ------------------------------------------------------------------


def _classes(dataset: StageRecord) -> tuple[tuple[str, ...], tuple[str | None, ...] | None]:
    info = read_json(dataset.path / "dataset.json")
    groups = info.get("groups")
    return tuple(info.get("classes", ())), None if groups is None else tuple(groups)


def _models(together: Evaluations) -> list[Model]:
    """Models with their labels; the part of the clean set is told where it differs."""
    rows = together.models()
    firsts = [together.members[members[0]] for _, members in rows]
    fractions = {e.model.clean_fraction for e in firsts if e.metrics.clean_images is not None}
    models = []
    for (label, members), e in zip(rows, firsts, strict=True):
        fraction = e.model.clean_fraction
        apart = len(fractions) > 1 and e.metrics.clean_images is not None and fraction is not None
        models.append(Model(f"{label}, {percent(fraction or 0)} clean" if apart else label, tuple(members)))
    return models


def _analysed(model: Model, together: Evaluations) -> AnalysedModel:
    members = [together.members[i] for i in model.members]
    return AnalysedModel(
        label=model.label,
        seeds=tuple(e.seed for e in members),
        clean_fraction=members[0].model.clean_fraction,
        clean_images=members[0].metrics.clean_images,
    )


def _learning_curves(
    together: Evaluations, models: Sequence[Model], varies: dict[int, dict[str, Varying]]
) -> tuple[list[list[SeedCurve]], list[str]]:
    """For every model the curves of its seeds, and the evaluations without one."""
    learned: list[list[SeedCurve]] = []
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
            own.append((e.seed, replace(curve, varies=varies[i])))
        learned.append(own)
    if missing:
        say(f"{len(missing)} models have no learning curve: they are gone, changed since, or were never validated")
    return learned, missing


# --- examples --------------------------------------------------------------------------------


def _example_keys(together: Evaluations, count: int) -> list[str]:
    """Images drawn at random among those with a verified present class; of single-label data all of known class."""
    scored = together.members[0].scored
    if together.task == "single-label":
        return [str(key) for key in scored.keys[scored.answers.known]] if count else []
    v = scored.verified
    labelled = np.flatnonzero(v.labels.any(axis=1)) if isinstance(v, Dense) else np.unique(v.image[v.label])
    return [str(key) for key in scored.keys[draw_examples(labelled, count, together.seed)]]


def _keys_by_labels(
    together: Evaluations, keys: list[str], labels: dict[str, tuple[int, ...]], count: int
) -> list[str]:
    """Of single-label data at most ``count`` of ``keys``, half of them with a wrong label; else all of them.

    Hu 2019, figure 5, shows what noisy labels add: images that have a noisy label beside the true one. Where none has,
    all are as good.
    """
    if together.task != "single-label" or not keys:
        return keys
    scored = together.members[0].scored
    true = scored.answers.truth[scored.answers.known].astype(np.int64)
    noisy = np.array([(*labels.get(key, ()), -1)[0] for key in keys], np.int64)
    places = np.arange(len(keys))
    drawn = draw_by_labels(places, true, noisy, count, together.seed)
    return [keys[i] for i in (drawn if len(drawn) else draw_examples(places, count, together.seed))]


def _examples(
    together: Evaluations,
    models: Sequence[Model],
    keys: Sequence[str],
    files: dict[str, Path],
    labels: dict[str, tuple[int, ...]],
) -> list[list[Example]]:
    """For every image the top predictions of every model, each by its first seed."""
    scored = [read_images(together.members[model.members[0]].path / FILE, keys) for model in models]
    single = together.task == "single-label"
    return [
        [
            Example.of(
                key,
                files.get(key, Path(key)),
                together.classes,
                own[key],
                labels.get(key, ()) if single else None,
                scored[0][key] if i else None,
            )
            for i, own in enumerate(scored)
        ]
        for key in keys
    ]
