"""The clip that the demo falls back to."""

from __future__ import annotations

import numpy as np

from heatstream.demo.sample_clip import CLIP_FRAMES, CLIP_SIZE, astronaut_clip


def test_it_is_a_moving_picture_that_comes_around() -> None:
    frames = list(astronaut_clip())
    assert len(frames) == CLIP_FRAMES
    for frame in frames:
        assert frame.shape == (*CLIP_SIZE, 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
    steps = [
        float(np.abs(after.astype(int) - before).mean())
        for before, after in zip(frames, [*frames[1:], frames[0]], strict=True)
    ]
    assert min(steps) > 0, "every frame differs from the one before"
    assert steps[-1] < 2 * max(steps[:-1]), "the last leads back to the first without a jump"


def test_it_is_the_same_every_time() -> None:
    for first, second in zip(astronaut_clip(), astronaut_clip(), strict=True):
        assert (first == second).all()


def test_it_is_blue_green_red() -> None:
    # Her suit is orange: at the lower middle of the widest view red is the strongest channel, blue the weakest.
    frame = next(astronaut_clip())
    blue, green, red = frame[350:470, 150:400].reshape(-1, 3).mean(axis=0)
    assert red > green > blue
