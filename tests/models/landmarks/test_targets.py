"""H3R's encoders: unbiased where plain rounding is not, for NumPy and torch, at any stride, up to the border."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from heatstream.models.landmarks.targets import randomized_rounding, soft_rounding  # noqa: E402

Points = NDArray[np.float64]
Encode = Callable[[Points], NDArray[np.float32]]

SIDE, COORDINATES, DRAWS = 16, 2000, 1600
"""The mean of n draws errs by 0.31 / sqrt(n) px on average: below 0.008 with 1600."""

SIZE = (SIDE, SIDE)


def random_coordinates() -> Points:
    return np.random.default_rng(0).uniform(0, SIDE - 1, (COORDINATES, 2))


def active_cells(maps: NDArray[np.float32]) -> Points:
    """Arg-max decoding: x and y of the highest cell of (..., h, w) maps."""
    flat = maps.reshape(*maps.shape[:-2], -1).argmax(-1)
    return np.stack((flat % maps.shape[-1], flat // maps.shape[-1]), axis=-1).astype(np.float64)


def mean_decode_error(encode: Encode, draws: int) -> float:
    """Mean distance in cells, per axis, between coordinates and the mean of their decoded draws."""
    points = random_coordinates()
    total = np.zeros_like(points)
    for _ in range(draws):
        total += active_cells(encode(points))
    return float(np.abs(total / draws - points).mean())


def plain_rounding(points: Points) -> NDArray[np.float32]:
    maps = np.zeros((len(points), SIDE, SIDE), np.float32)
    columns, rows = np.floor(points + 0.5).astype(int).T
    maps[np.arange(len(points)), rows, columns] = 1
    return maps


def assert_unbiased(encode: Encode, draws: int) -> None:
    """What the paper proves of randomized rounding: the expected decoded coordinate is the true one."""
    assert mean_decode_error(encode, draws) < 1e-2


def test_randomized_rounding_is_unbiased() -> None:
    generator = np.random.default_rng(1)
    assert_unbiased(lambda points: randomized_rounding(points, SIZE, generator), DRAWS)


def test_plain_rounding_is_not() -> None:
    with pytest.raises(AssertionError):
        assert_unbiased(plain_rounding, 1)  # every draw is the same
    assert mean_decode_error(plain_rounding, 1) == pytest.approx(0.25, abs=0.01)


def test_the_mean_of_many_maps_is_the_soft_map() -> None:
    points = np.array([[3.3, 5.9], [0.5, 14.25], [7.0, 7.0]])
    maps = randomized_rounding(np.tile(points, (20_000, 1, 1)), SIZE, np.random.default_rng(2))
    # 20,000 draws: a cell's share has a standard error of at most 0.0036
    np.testing.assert_allclose(maps.mean(axis=0, dtype=np.float64), soft_rounding(points, SIZE), atol=0.018)


def test_soft_maps_lose_nothing() -> None:
    points = random_coordinates()
    maps = soft_rounding(points, SIZE).astype(np.float64)
    cells = np.arange(SIDE)
    decoded = np.stack((maps.sum(axis=1) @ cells, maps.sum(axis=2) @ cells), axis=-1)
    np.testing.assert_allclose(decoded, points, atol=1e-5)  # maps are float32, cells up to 15
    assert (np.count_nonzero(maps, axis=(1, 2)) <= 4).all()


@pytest.mark.parametrize("stride", [1.0, 2.0, 4.0, 2.5])
def test_stride_counts_coordinates_per_cell(stride: float) -> None:
    points = random_coordinates()
    np.testing.assert_allclose(
        soft_rounding(points * stride, SIZE, stride=stride), soft_rounding(points, SIZE), atol=1e-6
    )
    whole = np.floor(points)
    maps = randomized_rounding(whole * stride, SIZE, np.random.default_rng(3), stride=stride)
    np.testing.assert_array_equal(active_cells(maps), whole)


@pytest.mark.parametrize(
    ("point", "cell"),
    [
        ((0.0, 0.0), (0, 0)),
        ((29.0, 9.0), (29, 9)),
        ((29.9, 4.0), (29, 4)),  # past the last cell, still in the map: clamped, neither wrapped nor lost
        ((4.0, 9.9), (4, 9)),
        ((30.0, 4.0), None),
        ((4.0, 10.0), None),
        ((-0.1, 4.0), None),
        ((np.nan, 4.0), None),
        ((4.0, np.inf), None),
    ],
)
def test_borders(point: tuple[float, float], cell: tuple[int, int] | None) -> None:
    expected = np.zeros((1, 10, 30), np.float32)
    if cell:
        expected[0, cell[1], cell[0]] = 1
    for seed in range(20):
        maps = randomized_rounding(np.array([point]), (10, 30), np.random.default_rng(seed))
        np.testing.assert_array_equal(maps, expected)
    np.testing.assert_array_equal(soft_rounding(np.array([point]), (10, 30)), expected)


def test_every_map_inside_holds_one_cell() -> None:
    points = np.random.default_rng(4).uniform(0, SIDE, (50, 21, 2))
    points[:10] = np.floor(points[:10])
    maps = randomized_rounding(points, SIZE, np.random.default_rng(5))
    assert maps.shape == (50, 21, SIDE, SIDE)
    assert maps.dtype == np.float32
    assert set(np.unique(maps)) == {0.0, 1.0}
    assert (maps.sum(axis=(-2, -1)) == 1).all()
    np.testing.assert_allclose(soft_rounding(points, SIZE).sum(axis=(-2, -1)), 1, atol=1e-6)
    assert (np.abs(active_cells(maps) - points) < 1).all()


def test_torch_in_torch_out() -> None:
    points = torch.from_numpy(random_coordinates()).float()
    generator = torch.Generator().manual_seed(0)
    first = randomized_rounding(points, SIZE, generator)
    assert isinstance(first, torch.Tensor)
    assert first.dtype == torch.float32
    again = randomized_rounding(points, SIZE, generator)
    assert (first != again).any()  # every call draws anew
    torch.testing.assert_close(first, randomized_rounding(points, SIZE, generator.manual_seed(0)))
    soft = torch.from_numpy(soft_rounding(points.numpy(), SIZE))
    torch.testing.assert_close(soft_rounding(points, SIZE), soft)


def test_both_generators_serve_both_libraries() -> None:
    points = random_coordinates()
    from_numpy = randomized_rounding(torch.from_numpy(points), SIZE, np.random.default_rng(6))
    np.testing.assert_array_equal(from_numpy.numpy(), randomized_rounding(points, SIZE, np.random.default_rng(6)))
    generator: Any = torch.Generator().manual_seed(1)
    assert isinstance(randomized_rounding(points, SIZE, generator), np.ndarray)


def test_any_arrays_will_do() -> None:
    rows_first = np.random.default_rng(2).uniform(0, SIDE - 1, (5, 2))
    expected = randomized_rounding(rows_first[:, ::-1].copy(), SIZE, np.random.default_rng(3))
    turned = rows_first[:, ::-1]
    turned.flags.writeable = False
    for points in (turned, turned.tolist()):
        maps = randomized_rounding(points, SIZE, np.random.default_rng(3))
        np.testing.assert_array_equal(maps, expected)
