"""Learning rates and averages by step."""

from __future__ import annotations

import pytest

from heatstream.models.settings import TrainSettings
from heatstream.models.training.schedule import average_decay, learning_rate


def settings(schedule: str, *, warmup: int = 0, milestones: tuple[float, ...] = ()) -> TrainSettings:
    return TrainSettings(
        steps=100,
        batch=1,
        rate=2.0,
        schedule=schedule,  # type: ignore[arg-type]
        warmup_steps=warmup,
        milestones=milestones,
    )


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        (settings("constant"), 99, 2.0),
        (settings("constant", warmup=10), 0, 0.2),
        (settings("constant", warmup=10), 4, 1.0),
        (settings("constant", warmup=10), 9, 2.0),
        (settings("constant", warmup=10), 50, 2.0),
        (settings("cosine"), 0, 2.0),
        (settings("cosine"), 50, 1.0),
        (settings("cosine"), 100, 0.02),  # a hundredth, not nothing
        (settings("linear"), 0, 2.0),
        (settings("linear"), 75, 0.5),
        (settings("linear", warmup=20), 19, 2.0),
        (settings("linear", warmup=20), 60, 1.0),  # halfway between the warm-up's end and zero
        (settings("linear", warmup=20), 100, 0.0),
        (settings("step", milestones=(0.6, 0.8)), 59, 2.0),
        (settings("step", milestones=(0.6, 0.8)), 60, 0.2),
        (settings("step", milestones=(0.6, 0.8)), 80, 0.02),
    ],
)
def test_the_rate_of_a_step(schedule: TrainSettings, step: int, rate: float) -> None:
    assert learning_rate(step, schedule) == pytest.approx(rate)


def test_a_warm_up_longer_than_the_training_is_no_error() -> None:
    rates = [learning_rate(step, settings("linear", warmup=200)) for step in range(100)]
    assert rates == sorted(rates)
    assert all(0 < rate <= 2 for rate in rates)


@pytest.mark.parametrize(("step", "limit", "decay"), [(0, 0.998, 0.1), (90, 0.998, 0.91), (10**6, 0.998, 0.998)])
def test_young_averages_follow_faster(step: int, limit: float, decay: float) -> None:
    assert average_decay(step, limit) == pytest.approx(decay)


def test_no_average_keeps_nothing() -> None:
    assert average_decay(1000, 0.0) == 0
