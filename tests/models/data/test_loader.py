"""Batches: the same however many workers and ranks make them, and errors that reach the caller in one line."""

from __future__ import annotations

import os
import signal
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from heatstream.errors import DatasetError
from heatstream.models.data.loader import loader
from heatstream.models.pose.dataset import Sample, TrainingSet
from heatstream.models.settings import AugmentSettings
from heatstream.models.torch_import import torch
from tests.fakes.coco_sets import random_set

AUGMENT = AugmentSettings(zoom_people=0.3, colour=0.5, cutout=0.5, mosaic=0.3)


def _batches(training_set: TrainingSet, **changes: Any) -> list[Any]:
    return list(loader(training_set, **{"batch": 4, "start_step": 0, "steps": 5, "workers": 0, **changes}))


def _same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return random_set(tmp_path_factory.mktemp("set"), augment=AUGMENT, size=32)


def test_a_batch_is_its_samples(training_set: TrainingSet) -> None:
    batches = _batches(training_set)
    assert len(batches) == 5
    assert isinstance(batches[0], Sample)
    for place, field in enumerate(batches[2]):
        expected = np.stack([training_set[number][place] for number in range(8, 12)])
        np.testing.assert_array_equal(field.numpy(), expected)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(training_set: TrainingSet, workers: int) -> None:
    made = _batches(training_set, workers=workers)
    for one, other in zip(made, _batches(training_set), strict=True):
        assert _same(one, other)


def test_two_ranks_share_the_batches_of_one(training_set: TrainingSet) -> None:
    halves = [_batches(training_set, rank=rank, world=2) for rank in (0, 1)]
    for whole, first, second in zip(_batches(training_set), *halves, strict=True):
        joined = [torch.cat(pair) for pair in zip(first, second, strict=True)]
        assert _same(whole, joined)


def test_a_resumed_loader_goes_on_with_the_same_batches(training_set: TrainingSet) -> None:
    resumed = _batches(training_set, start_step=3, workers=1)
    assert len(resumed) == 2
    for one, other in zip(resumed, _batches(training_set)[3:], strict=True):
        assert _same(one, other)


def test_the_global_generator_is_left_alone(training_set: TrainingSet) -> None:
    before = torch.get_rng_state()
    _batches(training_set, workers=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_photo_reaches_the_caller_in_one_line(tmp_path: Path, workers: int) -> None:
    training_set = random_set(tmp_path)
    (tmp_path / "photos" / "4.png").write_text("no picture")
    with pytest.raises(DatasetError, match=r"4\.png is not a picture that OpenCV can read") as error:
        _batches(training_set, workers=workers)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torch may complain while it tidies up
@pytest.mark.parametrize("number", [0, 19])
def test_a_killed_worker_ends_the_training(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    make = TrainingSet.__getitem__

    def die(self: TrainingSet, asked: int) -> Sample:
        return make(self, asked) if asked != number else os._exit(9)

    monkeypatch.setattr(TrainingSet, "__getitem__", die)
    with pytest.raises(DatasetError, match=r"killed.*data\.workers"):
        _batches(training_set, workers=1)


def test_no_worker_outlives_the_loader(training_set: TrainingSet) -> None:
    batches = loader(training_set, batch=2, start_step=0, steps=1000, workers=2)
    next(batches)
    assert len(active_children()) == 2
    os.kill(active_children()[0].pid or 0, signal.SIGSTOP)  # deaf to everything but SIGKILL
    batches.close()
    assert active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [RuntimeError, OSError, EOFError])
def test_a_workers_own_mistake_keeps_its_kind(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch, error: type[Exception], workers: int
) -> None:
    def fail(self: TrainingSet, asked: int) -> Sample:
        raise error("our bug")

    monkeypatch.setattr(TrainingSet, "__getitem__", fail)
    with pytest.raises(error, match="our bug"):
        _batches(training_set, workers=workers)
