"""What is called a regression, and what is not compared at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heatstream.demo.benchmark.compare import FLOOR, compare, judge
from heatstream.errors import InputError
from tests.fakes.benchmark_records import MACHINE, STEADY, a_record, a_run, turns

NOISY = (0.8, 0.9, 1.0, 1.1, 1.2)


@pytest.mark.parametrize(
    ("old", "new", "old_spread", "new_spread", "higher_is_better", "verdict"),
    [
        (100, 100, STEADY, STEADY, True, "same"),
        (100, 100 * (1 - FLOOR + 0.001), STEADY, STEADY, True, "same"),  # a steady figure, yet below the floor
        (100, 90, STEADY, STEADY, True, "worse"),
        (100, 110, STEADY, STEADY, True, "better"),
        (10, 11, STEADY, STEADY, False, "worse"),  # of times, more is worse
        (10, 9, STEADY, STEADY, False, "better"),
        (100, 90, NOISY, STEADY, True, "same"),  # within the old record's spread
        (100, 90, STEADY, NOISY, True, "same"),  # within the new one's
        (100, 80, NOISY, STEADY, True, "worse"),  # beyond one of them ...
        (100, 80, NOISY, NOISY, True, "same"),  # ... and within both together
        (100, 70, NOISY, NOISY, True, "worse"),
    ],
)
def test_a_change_counts_beyond_both_spreads(
    old: float,
    new: float,
    old_spread: tuple[float, ...],
    new_spread: tuple[float, ...],
    higher_is_better: bool,
    verdict: str,
) -> None:
    change, noise, found = judge(turns(old, old_spread), turns(new, new_spread), higher_is_better=higher_is_better)
    assert found == verdict
    assert change == pytest.approx(new / old - 1)
    assert noise >= FLOOR


def test_the_noise_is_the_root_of_the_sum_of_squares_of_half_spreads() -> None:
    _, noise, _ = judge(turns(1, NOISY), turns(1, NOISY), higher_is_better=True)
    assert noise == pytest.approx(2**0.5 * 0.16)  # the 10th and 90th percentiles of NOISY are 0.84 and 1.16


def test_a_slower_stream_is_a_regression_and_is_named() -> None:
    comparison = compare(a_record(a_run(stream_fps=60)), a_record(a_run(stream_fps=50)))
    assert comparison.regressed
    worse = {change.figure for change in comparison.changes if change.verdict == "worse"}
    assert worse == {
        "pipeline, as a stream, per second",
        "CPU ms per frame of the stream",
        "stream / engine, one at a time",
    }


def test_the_same_again_is_none() -> None:
    comparison = compare(a_record(), a_record())
    assert not comparison.regressed
    assert {change.verdict for change in comparison.changes} == {"same"}
    assert (comparison.left_out, comparison.notes) == ((), ())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cpu": "Abacus 3"}, "the CPU was Abacus 2, here it is Abacus 3"),
        ({"cores": 4}, "the number of cores was 2, here it is 4"),
        ({"board": "Jetson"}, "the board was None, here it is Jetson"),
        ({"gpus": [{"name": "H200"}]}, "the GPUs were none, here they are H200"),
    ],
)
def test_other_machines_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        compare(a_record(), a_record(machine={**MACHINE, **changed}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sha256": "1" * 64}, "tiny, 256x256 is another model file now"),
        ({"input_size": (512, 512)}, "tiny, 512x512 is not in the old record"),
        ({"crowd": 5}, "tiny, 256x256, 5 made-up people is not in the old record"),
        ({"engine": "fake, 4 threads"}, "had engine 'fake, 2 threads', now 'fake, 4 threads'"),
        ({"frames": "clip.mp4"}, "had frames 'a photograph', now 'clip.mp4'"),
        ({"frame_size": (720, 1280)}, "had frame size"),
    ],
)
def test_other_models_and_conditions_are_left_out(changed: dict[str, Any], words: str) -> None:
    other = a_run(**changed)
    with pytest.raises(InputError, match=words):
        compare(a_record(), a_record(other))
    both = compare(a_record(a_run(), a_run(model="second")), a_record(replace(other), a_run(model="second")))
    (reason,) = both.left_out
    assert words in reason
    assert not both.regressed


def test_what_else_differs_is_noted() -> None:
    busy = a_record(machine={**MACHINE, "load": 3.0, "governor": "powersave"}, software={"heatstream": "0.2.0"})
    notes = compare(a_record(), busy).notes
    assert notes == (
        "heatstream was 0.1.0, now 0.2.0",
        "onnxruntime was 1.31.1, now absent",
        "governor was performance, now powersave",
        "the machine was busy with other work: 0.1 processes per core then, 3.0 now",
    )


def test_a_camera_of_another_rate_is_no_comparison_of_latency() -> None:
    camera = a_run().camera
    assert camera is not None
    changes = compare(a_record(), a_record(a_run(camera=replace(camera, fps=60.0)))).changes
    assert not any("camera" in change.figure for change in changes)
