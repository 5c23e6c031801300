"""H3R's criterion: what targets are drawn, from which chance, and what the loss asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.kernels import decode_landmarks  # noqa: E402
from heatstream.models.landmarks.criterion import LandmarkCriterion  # noqa: E402
from heatstream.models.landmarks.dataset import LandmarkSample  # noqa: E402
from heatstream.models.settings import LandmarkLossSettings  # noqa: E402

SIDE, CELLS = 64, 16


def batch(points: Any) -> LandmarkSample:
    places = torch.tensor(points, dtype=torch.float32)[None]
    return LandmarkSample(torch.zeros((1, SIDE, SIDE, 3)), places, torch.tensor([0]))  # type: ignore[arg-type]


def learnt(rounding: Any, points: Any, *, batches: int) -> Any:
    """The (1, 2, L, h, w) logits that minimise the criterion over many batches of the same sample."""
    criterion = LandmarkCriterion(LandmarkLossSettings(rounding=rounding), seed=3)
    logits = torch.zeros((1, 2, len(points), CELLS, CELLS), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for number in range(batches):
        optimiser.zero_grad()
        criterion(logits, batch(points), first=number)["location"].backward()
        optimiser.step()
    return logits.detach()


@pytest.mark.parametrize("rounding", ["random", "soft"])
def test_fractions_of_a_cell_are_learnt(rounding: str) -> None:
    points = [[21.0, 34.0], [10.0, 50.5]]
    margin = learnt(rounding, points, batches=600).diff(dim=1)[:, 0]
    found = decode_landmarks(margin.numpy(), topk=9, stride=4.0)[0]
    # A cell has 4 px. Exact probabilities would come out 0.25 px off: the decoder weighs by odds, which grow faster.
    assert np.abs(found - points).max() < 0.6


def test_plain_rounding_learns_whole_cells() -> None:
    margin = learnt("nearest", [[21.0, 34.0], [10.1, 50.5]], batches=300).diff(dim=1)[:, 0]
    found = decode_landmarks(margin.numpy(), topk=1, stride=4.0)[0]
    np.testing.assert_allclose(found, [[20, 32], [12, 52]])


@pytest.mark.parametrize("rounding", ["random", "nearest", "soft"])
@pytest.mark.parametrize("nowhere", [[float("nan"), 5.0], [-1.0, 5.0], [5.0, 64.5]])
def test_landmarks_without_a_place_weigh_nothing(rounding: Any, nowhere: list[float]) -> None:
    criterion = LandmarkCriterion(LandmarkLossSettings(rounding=rounding), seed=0)
    logits = torch.randn((1, 2, 2, CELLS, CELLS), requires_grad=True)
    criterion(logits, batch([[20.0, 20.0], nowhere]), first=0)["location"].backward()
    assert logits.grad is not None
    assert (logits.grad[:, :, 1] == 0).all()
    assert (logits.grad[:, :, 0] != 0).any()


@pytest.mark.parametrize("rounding", ["random", "nearest", "soft"])
def test_a_landmark_on_the_last_half_cell_belongs_to_the_last_cell(rounding: Any) -> None:
    criterion = LandmarkCriterion(LandmarkLossSettings(rounding=rounding), seed=0)
    target = criterion._target(torch.tensor([[[63.0, 0.0]]]), (CELLS, CELLS), 4.0, 0)
    assert target.sum() == pytest.approx(1)
    assert target[0, 0, 0, CELLS - 1] == 1


def test_chance_follows_the_number_and_the_seed() -> None:
    points = batch(np.random.default_rng(0).uniform(8, 56, (50, 2)))
    logits = torch.randn((1, 2, 50, CELLS, CELLS))

    def value(seed: int, first: int) -> float:
        return float(LandmarkCriterion(LandmarkLossSettings(), seed=seed)(logits, points, first=first)["location"])

    assert value(1, 64) == value(1, 64)
    assert len({value(1, 64), value(1, 96), value(2, 64)}) == 3


def test_low_precision_maps_are_compared_in_float32() -> None:
    logits, points = torch.randn((1, 2, 3, CELLS, CELLS)), batch([[5.0, 9.0], [30.0, 31.0], [50.0, 60.0]])
    criterion = LandmarkCriterion(LandmarkLossSettings(), seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        low = criterion(logits.bfloat16(), points, first=0)["location"]
    assert low.dtype == torch.float32
    assert float(low) == pytest.approx(float(criterion(logits.bfloat16().float(), points, first=0)["location"]))
