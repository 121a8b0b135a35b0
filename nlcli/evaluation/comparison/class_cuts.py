"""The classes cut into groups, and every model's mAP in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.console import progress
from nlcli.data.class_groups import ClassAnnotations, equal_groups, mean_in_groups
from nlcli.data.labels import SPLITS
from nlcli.evaluation.comparison.breakdown_record import By, ClassGroup, CutRecord
from nlcli.evaluation.comparison.evaluation_sets import Evaluations
from nlcli.evaluation.comparison.learning_curves import Varying
from nlcli.evaluation.comparison.model_rows import OverSeeds, Seeds
from nlcli.evaluation.measured import Measured
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.intervals import classes_support, widest
from nlcli.metrics.names import LEARNING


@dataclass(frozen=True)
class Model:
    """One model, all its seeds: members of the evaluations."""

    label: str
    members: tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """The classes in groups.

    Attributes:
        by: What the groups go by.
        about: The same for people.
        names: Of the groups.
        groups: Class indices of each.
        left_out: Classes in no group, and why.
        values: ``(C,)``, what the classes were sorted by; None for categories.
        with_positives: ``(C,)`` bool, classes that have an AP.
    """

    by: By
    about: str
    names: list[str]
    groups: list[Ints]
    left_out: str
    values: Floats | None
    with_positives: Bools

    def record(self, models: Sequence[Sequence[OverSeeds]]) -> CutRecord:
        """With the mAP of every model (outer) in every group (inner)."""
        groups = [
            ClassGroup(
                name=name,
                classes=len(group),
                with_positives=int(self.with_positives[group].sum()),
                low=None if self.values is None else float(self.values[group].min()),
                high=None if self.values is None else float(self.values[group].max()),
                models=tuple(own[i] for own in models),
            )
            for i, (name, group) in enumerate(zip(self.names, self.groups, strict=True))
        ]
        return CutRecord(about=self.about, left_out=self.left_out, groups=tuple(groups))


def cut_classes(
    together: Evaluations, annotations: ClassAnnotations, by_category: dict[str, Ints], groups: int
) -> list[Cut]:
    """By category where there are some, then by frequency and by quality into ``groups`` groups at most."""
    with_positives = np.array([bool(np.any(labels)) for labels, _ in together.members[0].scored.by_class()])
    told = _some(int((~with_positives).sum()), f"without positives in split '{together.split}'")
    cuts = []
    if by_category:
        rest = len(together.classes) - sum(map(len, by_category.values()))
        about, without = "high-level categories of the data set", _some(rest, "of no category")
        names, members = list(by_category), list(by_category.values())
        cuts.append(Cut("category", about, names, members, without, None, with_positives))

    def sorted_cut(by: By, about: str, values: Floats, usable: Bools, without: str) -> Cut:
        members = equal_groups(values, usable, groups)
        names = [str(i + 1) for i in range(len(members))]
        return Cut(by, about, names, members, without, values, with_positives)

    frequency, quality = annotations.in_train.astype(np.float64), annotations.quality
    checked = with_positives & ~np.isnan(quality)
    never = _some(int((with_positives & np.isnan(quality)).sum()), "without a checked noisy annotation")
    both = "; ".join(text for text in (told, never) if text)
    cuts.append(sorted_cut("frequency", "noisy annotations in train", frequency, with_positives, told))
    cuts.append(sorted_cut("quality", _about_quality(annotations), quality, checked, both))
    return cuts


def _some(classes: int, which: str) -> str:
    return f"{classes:,} {'class' if classes == 1 else 'classes'} {which}" if classes else ""


def _about_quality(annotations: ClassAnnotations) -> str:
    where = ", ".join(f"{split} {annotations.verified_images[split]:,}" for split in SPLITS)
    return (
        f"share of noisy annotations that are right, of {int(annotations.checked.sum()):,} on verified images ({where})"
    )


# --- metrics ---------------------------------------------------------------------------------


def measure_cuts(
    cuts: Sequence[Cut], together: Evaluations, models: Sequence[Model]
) -> tuple[dict[By, CutRecord], list[Floats], dict[int, dict[str, Varying]]]:
    """Every cut with the mAP of every model; AP of each model's classes ``(C,)``, mean over its seeds; and of every
    member how its metrics vary over images, none without a bootstrap.

    One evaluation is in memory at a time.
    """
    groups = [group for cut in cuts for group in cut.groups]
    reference: list[Seeds] | None = None
    in_groups: list[list[OverSeeds]] = []
    per_class = []
    varies: dict[int, dict[str, Varying]] = {}
    with progress(len(together.members), "analysing", unit="evaluations") as bar:
        for model in models:
            values, replicates, single, supports = [], [], [], []
            for i in model.members:
                measured = together.members[i].measure(together.resamples, together.seed)
                single.append(measured.of_classes)
                varies[i] = _varying(measured, len(together))
                values.append(mean_in_groups(measured.of_classes, groups))
                if len(measured.per_class):
                    replicates.append(mean_in_groups(measured.per_class, groups))
                supports.append(
                    [classes_support(measured.counts[group], measured.per_class[:, group]) for group in groups]
                )
                bar.advance()
            own = [
                Seeds(
                    np.array([value[g] for value in values]),
                    np.stack([drawn[:, g] for drawn in replicates]) if replicates else None,
                    widest(support[g] for support in supports),
                )
                for g in range(len(groups))
            ]
            per_class.append(np.mean(single, axis=0))
            in_groups.append(
                [OverSeeds.of(own[g], None if reference is None else reference[g]) for g in range(len(groups))]
            )
            reference = reference or own
    records: dict[By, CutRecord] = {}
    first = 0
    for cut in cuts:
        records[cut.by] = cut.record([own[first : first + len(cut.groups)] for own in in_groups])
        first += len(cut.groups)
    return records, per_class, varies


def _varying(measured: Measured, images: int) -> dict[str, Varying]:
    supports = measured.supports
    return {
        name: Varying(
            measured.values[name],
            supports[name].count if supports[name].share else images,
            measured.replicates[name],
            supports[name],
        )
        for name in LEARNING
        if name in measured.replicates and not np.isnan(measured.values[name])
    }
