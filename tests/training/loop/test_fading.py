"""A rate that decays by epochs of few images is gone before the steps are, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.methods.base.contract import Phase, Schedule
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.fading import fading_note
from nlcli.training.loop.train import train
from worlds.small_training import ArraySource, make, planted


def verified(schedule: Schedule, steps: int = 100_000) -> Phase:
    return Phase("verified", "clean", steps, {"network": schedule})


def test_hu_2018s_decay_by_epochs_of_a_twentieth_of_the_images() -> None:
    """0.9^65 is 0.00106 and 0.9^66 0.00095: 66 stairs of 2 epochs of 3,411 images in batches of 64, 7,036 steps."""
    note = fading_note(verified(Schedule(1e-4, 0.9, 2, "epochs")), 3411 / 64)
    assert note is not None
    assert "after 7,036 of 100,000 steps" in note
    assert "multiplied by 0.9 every 2 epochs, and an epoch is 53 steps here" in note


@pytest.mark.parametrize(
    ("schedule", "steps", "images"),
    [
        (Schedule(1e-4, 0.9, 2, "epochs"), 20_000, 68_213),  # all images, as the paper has it
        (Schedule(1e-4, 0.9, 2, "epochs"), 14_000, 3_411),  # gone after half of the steps only
        (Schedule(1e-4, 0.9, 107, "steps"), 100_000, 3_411),  # in steps somebody has chosen it
        (Schedule(1e-4), 100_000, 3_411),
        (Schedule(1e-4, 1.0, 2, "epochs"), 100_000, 3_411),
    ],
)
def test_other_rates_are_no_surprise(schedule: Schedule, steps: int, images: int) -> None:
    assert fading_note(verified(schedule, steps), images / 64) is None


def test_it_is_said_as_training_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = planted(images=64, num_features=4, classes=3)
    method = make("noisy", data, solver="steps", steps=60, decay=0.5, decay_epochs=1.0, average=0, selection="metric")
    train(method, method.phases(), ArraySource(data), None, Settings(eval_every=100), tmp_path)
    # 0.5^10 is the first below a thousandth: ten epochs of two steps.
    assert "note: the learning rate of phase 'noisy' is below a thousandth" in (said := capsys.readouterr().err)
    assert "after 20 of 60 steps" in said
