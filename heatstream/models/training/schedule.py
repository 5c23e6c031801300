"""What depends only on the step: the learning rate, and how fast the averaged weights follow.

torch's schedulers multiply the last rate, so that a resumed run must save them and rounds otherwise than an unbroken
one; a function of the step has no state and is exact.
"""

from __future__ import annotations

import math

from heatstream.models.settings import TrainSettings

__all__ = ["average_decay", "learning_rate"]

STEP_FACTOR = 0.1
"""What every milestone of the step schedule multiplies the rate by (Cheng et al. 2020, sec. 4.1)."""

FINAL_SHARE = 0.01
"""Share of the rate that the cosine ends at: the last steps still learn."""


def learning_rate(step: int, settings: TrainSettings) -> float:
    """The rate of step 0, 1, 2, ...: a linear warm-up times the schedule, which runs over all steps."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    return settings.rate * warm * _schedule(step, settings)


def average_decay(step: int, limit: float) -> float:
    """The share of the old average that step 0, 1, 2, ... keeps; young averages follow faster.

    A constant decay would carry the random weights of the start along for a multiple of 1 / (1 - limit) steps.
    """
    return min(limit, (1 + step) / (10 + step))


def _schedule(step: int, settings: TrainSettings) -> float:
    done = step / settings.steps
    if settings.schedule == "cosine":
        return max(FINAL_SHARE, 0.5 * (1 + math.cos(math.pi * done)))
    if settings.schedule == "linear":
        warm = settings.warmup_steps / settings.steps
        return 1.0 if done <= warm else (1 - done) / (1 - warm)
    if settings.schedule == "step":
        return STEP_FACTOR ** sum(done >= milestone for milestone in settings.milestones)
    return 1.0
