"""The order of photos: every one in turn, sets by weight, and a pure function of the number."""

from __future__ import annotations

from collections import Counter

import pytest

from heatstream.errors import DatasetError
from heatstream.models.data.mixture import Mixture


@pytest.mark.parametrize(
    ("lengths", "weights", "shares"),
    [
        ((7,), (1.0,), (7,)),
        ((7,), (3.0,), (21,)),
        ((10, 4), (1.0, 1.0), (10, 4)),
        ((10, 4), (0.5, 2.5), (5, 10)),
        ((100, 3, 8), (1.0, 0.0, 0.01), (100, 0, 1)),  # a set of weight 0 is left out, any other never quite
    ],
)
def test_an_epoch_holds_each_set_by_its_weight(
    lengths: tuple[int, ...], weights: tuple[float, ...], shares: tuple[int, ...]
) -> None:
    mixture = Mixture(lengths, weights, 0)
    assert mixture.epoch == sum(shares)
    for epoch in range(3):
        numbers = range(epoch * mixture.epoch, (epoch + 1) * mixture.epoch)
        seen = Counter(mixture.place(number)[0] for number in numbers)
        assert tuple(seen[chosen] for chosen in range(len(lengths))) == shares


def test_no_photo_comes_again_before_all_others_of_its_set() -> None:
    mixture = Mixture((10, 4), (0.5, 2.5), 3)
    seen: Counter[tuple[int, int]] = Counter(mixture.place(number) for number in range(4 * mixture.epoch))
    assert all(seen[0, photo] == 2 for photo in range(10))
    assert all(seen[1, photo] == 10 for photo in range(4))


def test_the_order_is_random_and_known_by_the_seed() -> None:
    orders = [[Mixture((50,), (1.0,), seed).place(n) for n in range(100)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:50] != orders[0][50:]
    assert orders[0][:50] != sorted(orders[0][:50])


def test_a_number_means_the_same_in_any_order_of_asking() -> None:
    numbers = [93, 0, 5, 1_000_000, 5, 17]
    mixture = Mixture((10, 4), (1.0, 2.0), 3)
    forward = {number: Mixture((10, 4), (1.0, 2.0), 3).place(number) for number in sorted(numbers)}
    assert [mixture.place(number) for number in numbers] == [forward[number] for number in numbers]


@pytest.mark.parametrize("weights", [(), (0.0, 0.0), (1.0, -1.0)])
def test_impossible_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(DatasetError, match=r"data\.sets"):
        Mixture([5] * len(weights), weights, 0)
