"""What is searched: the ranges that a method's options state, as optuna has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from nlcli.errors import NlcliError, unknown_name
from nlcli.methods.base.search_range import Choice, Range, searched

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from nlcli.methods.base.method import Method


def ranges(
    method: type[Method], fixed: Collection[str], wanted: Sequence[str], *, solved: bool, from_layer: bool
) -> dict[str, Range | Choice]:
    """By option what is tried.

    Args:
        fixed: Options that stay as they are.
        wanted: Those that are to be searched; empty: all.
        solved: Whether the classifier is solved: then l2 is chosen by its path, and nothing of steps means anything.
        from_layer: Whether it starts from a trained layer, whose scale of features stands.

    Raises:
        NlcliError: nothing is left, or something else is wanted.
    """
    stated = searched(method.Config)
    if solved:
        kept = method.solved_options - {"weight_decay"}
        stated = {name: values for name, values in stated.items() if name in kept}
    if from_layer:
        stated.pop("feature_scale", None)
    for name in wanted:
        if name in fixed:
            raise NlcliError(f"option '{name}' is given by --set and to be searched; leave out one of the two")
        if name not in stated:
            what = f"option to search of method {method.name}" + (" where it is solved" if solved else "")
            raise NlcliError(unknown_name(name, stated, what))
    found = {name: values for name, values in stated.items() if name not in fixed and (not wanted or name in wanted)}
    if not found:
        raise NlcliError(f"method {method.name} has no option that is left to be searched; leave out some --set")
    return found


def distributions(space: dict[str, Range | Choice]) -> dict[str, BaseDistribution]:
    """The same for optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, BaseDistribution] = {}
    for name, values in space.items():
        if isinstance(values, Choice):
            made[name] = CategoricalDistribution(values.values)
        elif isinstance(values.low, int) and isinstance(values.high, int):
            made[name] = IntDistribution(values.low, values.high, log=not values.even)
        else:
            made[name] = FloatDistribution(values.low, values.high, log=not values.even)
    return made


def combinations(space: dict[str, Range | Choice]) -> int | None:
    """How many there are; None where there is no end of them."""
    count = 1
    for values in space.values():
        if isinstance(values, Range):
            return None
        count *= len(values.values)
    return count


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Values as they are kept: five digits are more than a search can tell apart, and read better."""
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in params.items()}
