"""Whether a learning rate is gone long before the steps are: decay by epochs of few images, such as a clean set."""

from __future__ import annotations

import math

from nlcli.methods.base.contract import Phase

GONE = 1e-3
"""Of the first rate: what is left moves nothing any more."""


def fading_note(phase: Phase, epoch_steps: float) -> str | None:
    """A sentence where a rate falls below a thousandth of its start within the first half of ``phase``.

    Hu 2018's decay of 0.9 every 2 epochs is one by epochs of 68,213 images. By those of 5 % of them the rate is gone
    after 7,036 of 100,000 steps.

    Args:
        epoch_steps: Steps in an epoch.
    """
    for schedule in phase.rates.values():
        if schedule.unit != "epochs" or not schedule.every or schedule.factor >= 1:
            continue
        stairs = math.floor(math.log(GONE) / math.log(schedule.factor)) + 1
        gone = math.ceil(stairs * schedule.every * epoch_steps)
        if gone < phase.steps / 2:
            return (
                f"the learning rate of phase '{phase.name}' is below a thousandth of its start after {gone:,} of "
                f"{phase.steps:,} steps: it is multiplied by {schedule.factor:g} every {schedule.every:g} epochs, "
                f"and an epoch is {epoch_steps:,.0f} steps here; for few images choose a decay of 1 (none), or "
                "fewer steps"
            )
    return None
