"""The averaged weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.models.training.ema import WeightEma  # noqa: E402


def test_it_moves_part_of_the_way_and_copies_counts() -> None:
    network = torch.nn.BatchNorm2d(2)
    average = WeightEma(network)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(8.0)
        network.num_batches_tracked.fill_(5)
    average.follow(network, 0.75)
    assert average.network.weight.tolist() == [1.5, 1.5]
    assert average.network.running_mean.tolist() == [2.0, 2.0]
    assert int(average.network.num_batches_tracked) == 5
    assert not average.network.training
    assert network.weight.tolist() == [3.0, 3.0]


def test_without_decay_it_is_an_exact_copy() -> None:
    network = torch.nn.Conv2d(3, 5, 3)
    average = WeightEma(network)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    average.follow(network, 0.0)
    for mine, theirs in zip(average.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
