"""``cleaned_examples.csv`` and ``.png``: images with their labels before and after, as the papers show cleaned labels.

Half of them, where there are as many, are validation images that a person checked: the run or detection was not
fitted on them, so they show where cleaning is right and where it is wrong. They keep their labels unless validation is
cleaned, too. The others are images whose labels were changed, or with ``--policy suggest`` would be. All are drawn at
random.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.cleaning.plan import KEPT, REASONS, RULES, VERIFIED, Plan
from nlcli.cleaning.proposals import KINDS, NONE, Proposals
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.drawing import BLUE, GREY, SIGNS, cut, key_end, photograph_grid
from nlcli.metrics.arrays import Ints
from nlcli.metrics.formats import exact
from nlcli.networks.photographs import read_photograph
from nlcli.seeds import stream
from nlcli.stages.files import write_csv

TABLE, PLOT = "cleaned_examples.csv", "cleaned_examples.png"
_CHANGES = 5  # of an image, the likeliest
_VERDICTS = (
    "✓ right   ✗ wrong, by what a person saw, which was not learned from   ? not checked   (images drawn at random)"
)


@dataclass(frozen=True)
class Change:
    """A change of one label.

    Attributes:
        old, new: Names of the classes; empty for none.
        verdict: ``right``, ``wrong`` or ``unverified``.
        made: Whether it is made, or would be were its split cleaned; a proposal that is not sure enough is not.
    """

    old: str
    new: str
    probability: float
    verdict: str
    made: bool

    @property
    def told(self) -> str:
        """For people, with the probability."""
        arrow = f"{cut(self.old, 15)} → {cut(self.new, 15)}" if self.old and self.new else ""
        words = arrow or (f"− {cut(self.old, 26)}" if self.old else f"+ {cut(self.new, 26)}")
        return f"{words}  {self.probability:.2f}"


@dataclass(frozen=True)
class CleanedExample:
    """An image, its noisy labels, and what becomes of them.

    Attributes:
        present: The classes that a person saw; None of an image that is not checked.
        changes: The likeliest first.
    """

    key: str
    path: Path
    split: str
    before: tuple[str, ...]
    present: tuple[str, ...] | None
    changes: tuple[Change, ...]

    @property
    def after(self) -> tuple[str, ...]:
        """The labels with the changes that are made."""
        made = [change for change in self.changes if change.made]
        gone, come = {change.old for change in made}, [change.new for change in made if change.new]
        return tuple(dict.fromkeys([name for name in self.before if name not in gone] + come))


def cleaned_examples(
    table: LabelTable, proposals: Proposals, plan: Plan, lowest: Mapping[str, float | None], count: int
) -> list[CleanedExample]:
    """At most ``count`` images of ``table``, in its order.

    Args:
        proposals: All, those of checked validation images among them.
        plan: What is done.
        lowest: From which probability on changes are made, by kind; None, or none, where they are not.
    """
    judged = proposals.where((proposals.right >= 0) & np.isin(table.split[proposals.row], SPLITS.index("validation")))
    by_policy = (plan.rule == RULES.index(KEPT)) & (plan.reason == REASONS.index("policy"))
    of_machine = plan.changes.right < 0  # a person's word is right, and no example
    ours = plan.changes.where(((plan.made & (plan.rule != RULES.index(VERIFIED))) | by_policy) & of_machine)
    ours = ours.where(~np.isin(ours.row, judged.row))
    thresholds = [lowest.get(kind) for kind in KINDS]
    least = np.array([np.inf if threshold is None else threshold for threshold in thresholds])
    reaches = judged.probability >= least[judged.kind]
    rows = _draw(np.unique(judged.row), np.unique(ours.row), count)
    examples = []
    for row in rows.tolist():
        own, made = (judged, reaches) if row in judged.row else (ours, np.ones(len(ours), bool))
        examples.append(_example(table, row, own.where(own.row == row), made[own.row == row]))
    return examples


def _draw(judged: Ints, others: Ints, count: int) -> Ints:
    """Half of either, where there are as many."""
    of_judged = min(len(judged), max((count + 1) // 2, count - len(others)))
    rng = stream(0, "cleaned examples")
    drawn = [rng.permutation(judged)[:of_judged], rng.permutation(others)[: count - of_judged]]
    rows: Ints = np.sort(np.concatenate(drawn))
    return rows


def _example(table: LabelTable, row: int, own: Proposals, made: np.ndarray) -> CleanedExample:
    def names(classes: np.ndarray) -> tuple[str, ...]:
        return tuple(table.classes[c] for c in classes.tolist())

    order = np.argsort(-own.probability, kind="stable")
    changes = tuple(
        Change(
            "" if own.old[i] == NONE else table.classes[own.old[i]],
            "" if own.new[i] == NONE else table.classes[own.new[i]],
            float(own.probability[i]),
            ("wrong", "right", "unverified")[own.right[i]],
            bool(made[i]),
        )
        for i in order.tolist()
    )
    return CleanedExample(
        str(table.keys[row]),
        table.image_path(row),
        SPLITS[table.split[row]],
        names(table.noisy[[row]].indices),
        names(table.present[[row]].indices) if changes[0].verdict != "unverified" else None,
        changes,
    )


def write_cleaned_examples(work: Path, examples: Sequence[CleanedExample]) -> None:
    """Both files; no picture where none of the images can be read."""
    rows = (
        (e.key, e.split, change.old, change.new, exact(change.probability), change.verdict, int(change.made))
        for e in examples
        for change in e.changes
    )
    write_csv(work / TABLE, ["key", "split", "old", "new", "probability", "verdict", "made"], rows)
    photographs = [read_photograph(example.path) for example in examples]
    if any(photograph is not None for photograph in photographs):
        cells = [(photograph, _lines(e)) for photograph, e in zip(photographs, examples, strict=True)]
        photograph_grid(cells, work / PLOT, meaning=meaning(examples))


def meaning(examples: Sequence[CleanedExample]) -> str:
    """What signs and colours below the examples say: of those signs that there are."""
    changes = [change for example in examples for change in example.changes]
    kinds = (
        ("a → b becomes another", any(change.old and change.new for change in changes)),
        ("− goes", any(not change.new for change in changes)),
        ("+ comes", any(not change.old for change in changes)),
    )
    told = ", ".join(kind for kind, there in kinds if there)
    return f"{told}, with how likely that is right; where that is too little, the label stays\n{_VERDICTS}"


def _lines(example: CleanedExample) -> list[tuple[str, str]]:
    lines = [(key_end(example.key), "0.5"), *_listed("before", example.before)]
    for change in example.changes[:_CHANGES]:
        sign, color = SIGNS[change.verdict]
        lines.append((f"{sign} {change.told}{'' if change.made else ', stays'}", color if change.made else GREY))
    if len(example.changes) > _CHANGES:
        lines.append((f"and {len(example.changes) - _CHANGES} more", "0.5"))
    lines += _listed("after", example.after)
    if example.present is not None:
        lines += [(line, BLUE) for line, _ in _listed("a person saw", example.present)]
    return lines


def _listed(what: str, names: Sequence[str]) -> list[tuple[str, str]]:
    told = f"{what}: {', '.join(names) or 'nothing'}"
    return [(line, "0.25") for line in textwrap.wrap(told, 38, max_lines=3, placeholder=" ...")]
