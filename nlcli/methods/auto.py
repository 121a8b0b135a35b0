"""Solved linear classifiers compared by cross-fitting, and the mean of those that verified images do not tell apart."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field

from nlcli.console import say, say_table
from nlcli.errors import NlcliError
from nlcli.estimation.candidates import NOISY, PRUNED
from nlcli.estimation.contest import Contest, contest
from nlcli.estimation.linear_search import Point
from nlcli.estimation.scale import ScaleKind
from nlcli.estimation.selection import Selection
from nlcli.methods.base.contract import Batch, MethodConfig, Phase, SolvableConfig, Tensor
from nlcli.methods.base.linear import SolvedLinearMethod
from nlcli.methods.base.solution import Labelled, Solved, images_and_judges
from nlcli.methods.citations import PATRINI_2017

TOLD = 100
"""Classes up to which T is told."""


class AutoConfig(SolvableConfig):
    """Settings of the choice; there is nothing to set but the scale of features."""

    solver: Literal["solved"] = Field("solved", description="Its candidates are always solved to convergence.")


class Auto(SolvedLinearMethod):
    """One linear layer on features: the mean of those candidates which verified images do not tell from the best.

    Candidates: the noisy labels as they are; with verified ones in their place, which count 1, 5 or 20 times as much;
    of one label an image also corrected by a matrix of how labels go wrong, fitted to posteriors of true classes, and
    without the labels that look wrong.
    """

    name = "auto"
    Config = AutoConfig
    citation = PATRINI_2017
    solvable = True
    stepped = False
    verification_is_optional = True
    solved_options = frozenset({"solver", "feature_scale"})
    config: AutoConfig

    @classmethod
    def decided(
        cls, config: Any, given: Collection[str], *, stepped: bool, scale: ScaleKind | None = None
    ) -> MethodConfig:
        others = sorted(set(given) - cls.solved_options)
        if others:
            raise NlcliError(
                f"method auto solves what it compares and has no use for '{others[0]}'; leave it out, or name a method "
                "that takes steps, such as residual"
            )
        return super().decided(config, given, stepped=stepped, scale=scale)

    def phases(self) -> tuple[Phase, ...]:
        return (self.make_phase("noisy", "noisy", 1, {}), self.make_phase("clean", "clean", 1, {}))

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError("it is solved")

    def solve(self, labelled: Labelled) -> Solved:
        images, judges = images_and_judges(labelled)
        result = contest(images, judges)
        self.take(result.model)
        remarks = _remarks(result)
        if result.selection is not None:
            _say_candidates(result.selection, result.judged)
        points = [Point(name, l2, 0, cost, {}) for name, costs in result.costs.items() for l2, cost in costs.items()]
        if result.winner not in result.costs:  # nothing was compared, or all candidates together were kept
            points.append(Point(result.winner, result.l2, result.iterations, result.cost, {}))
        chosen = next(i for i, p in enumerate(points) if (p.candidate, p.l2) == (result.winner, result.l2))
        return Solved(
            points=points,
            chosen=chosen,
            l2=result.l2,
            iterations=result.iterations,
            converged=result.converged,
            crossed=judges is None,
            remarks=remarks,
            details=_details(result),
        )


def _remarks(result: Contest) -> list[str]:
    """What should be known of the choice."""
    selection = result.selection
    if selection is None and result.winner == NOISY:
        return ["nothing is verified, so nothing could be compared: this is the classifier of the noisy labels"]
    if selection is None and result.winner == PRUNED:
        return [
            "nothing is verified; labels go wrong by class, so much that a classifier corrected for it loses a class: "
            "this is the classifier of the labels that are left once those that look wrong are dropped"
        ]
    if selection is None:
        return [
            "nothing is verified; this is the classifier that takes labels to go wrong by class, because it foretells "
            "noisy labels that it has not seen better than the one of the labels as they are"
        ]
    if len(selection.standings) == 1:
        return [
            "no training image is verified, so that the noisy labels are all there is to fit to; verify some of train, "
            "or let some of the verified images belong to it"
        ]
    if selection.better:
        return []
    told = f"of {result.judged:,} verified images none tells that anything is better than the noisy labels as they are"
    needed = selection.images_to_tell
    if needed is None:
        return [told]
    if needed <= result.judged:
        return [f"{told}, though '{selection.best}' looks so"]
    return [f"{told}; if '{selection.best}' is as much better as it looks, about {_rounded(needed):,} would tell"]


def _rounded(count: int) -> int:
    """Two digits of it, rounded up."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit


def _say_candidates(selection: Selection, judged: int) -> None:
    header = ["candidate", "score", "less than the best", "more than noisy (95 %)", ""]
    rows = []
    for standing in selection.standings:
        low, high = standing.gain.interval()
        rows.append(
            [
                standing.name,
                f"{standing.mean:.4f}",
                f"{standing.behind.mean:.4f} ± {standing.behind.error:.4f}",
                "" if standing.name == selection.baseline else f"{standing.gain.mean:+.4f} [{low:+.4f}, {high:+.4f}]",
                "kept" if standing.name == selection.chosen else "best" if standing.name == selection.best else "",
            ]
        )
    say(f"compared on {judged:,} verified images, each by classifiers that had not seen it:")
    say_table(header, rows)


def _foretold_details(result: Contest) -> dict[str, Any]:
    """How much better labels that go wrong by class foretell noisy ones, in log-likelihood a label."""
    asked = result.foretold
    if asked is None:
        return {}
    points = [
        {
            "l2": point.l2,
            "ahead": point.ahead.mean,
            "standard_error": point.ahead.error,
            "lost_classes": list(point.lost),
        }
        for point in asked.points
    ]
    told: dict[str, Any] = {"foretelling": points}
    return told | ({"transition": asked.transition.round(4).tolist()} if len(asked.transition) <= TOLD else {})


def _details(result: Contest) -> dict[str, Any]:
    """For ``result.json``."""
    selection = result.selection
    if selection is None:
        return {"winner": result.winner, "judged": 0} | _foretold_details(result)
    return {
        "winner": result.winner,
        "judged": result.judged,
        "better_than_noisy": selection.better,
        "images_to_tell": selection.images_to_tell,
        "weights": {name: round(weight, 4) for name, weight in result.weights.items()},
        "candidates": [
            {
                "name": standing.name,
                "score": standing.mean,
                "behind_best": standing.behind.mean,
                "standard_error": standing.behind.error,
                "gain": standing.gain.mean,
                "gain_interval": list(standing.gain.interval()),
            }
            for standing in selection.standings
        ],
    }
