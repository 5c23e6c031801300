"""assign.cuh on the emulator against SciPy: the same assignment, whichever of several equally good ones that is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream.kernels.cuda.compiler import SOURCES
from tests.emulator.build import launch, load
from tests.emulator.orders import ORDERS
from tests.kernels.cuda.emulated import Order

pytestmark = pytest.mark.emulator

MOST = 32
Costs = NDArray[np.float64]


def assigned(matrices: list[Costs], folder: Path, order: Order = "forward") -> list[NDArray[np.int32]]:
    """For each matrix the column of every row, -1 where it has none."""
    for source in (*SOURCES.glob("*.cuh"), Path(__file__).parent / "assign_matrices.cu"):
        shutil.copy(source, folder)
    costs = np.zeros((len(matrices), MOST, MOST))
    for target, matrix in zip(costs, matrices, strict=True):
        target[: matrix.shape[0], : matrix.shape[1]] = matrix
    sizes = np.array([matrix.shape for matrix in matrices], np.int32)
    columns = np.zeros((len(matrices), MOST), np.int32)
    kernel = load(folder / "assign_matrices.cu")["assign_matrices"]
    launch(kernel, len(matrices), MOST, 0, [costs, sizes, columns], order=order)
    assert all((row[matrix.shape[0] :] == -1).all() for row, matrix in zip(columns, matrices, strict=True))
    return [row[: matrix.shape[0]] for row, matrix in zip(columns, matrices, strict=True)]


def official_like(rng: np.random.Generator, rows: int, columns: int) -> Costs:
    """As grouping makes them: steps of 100, of a score, and of 2^-20 and 2^-44 below."""
    grain = rng.choice([1e-6, 0.5])
    spread = rng.choice([0.1, 1.0, 5.0, 50.0])
    first, second = (np.round(rng.normal(0, spread, size) / grain) * grain for size in ((rows, 1), (1, columns)))
    distance = np.abs(first - second)
    row, column = np.arange(rows)[:, None], np.arange(columns)
    rank = columns * row + rows * column - row * column
    scores = np.sort(rng.random((rows, 1)), axis=0)[::-1]
    return np.asarray(100 * np.round(distance) - scores + 2.0**-20 * np.minimum(distance, 1) + 2.0**-44 * rank)


KINDS: dict[str, Callable[[np.random.Generator, int, int], Costs]] = {
    "any": lambda rng, rows, columns: rng.normal(size=(rows, columns)),
    "few values": lambda rng, rows, columns: rng.integers(0, 4, (rows, columns)).astype(float),
    "all equal": lambda rng, rows, columns: np.full((rows, columns), rng.normal()),
    "as grouping's": official_like,
    "long paths": lambda rng, rows, columns: np.outer(np.arange(rows) + 1.0, columns - np.arange(columns)),
    "sums but for a hair": lambda rng, rows, columns: (
        rng.normal(size=(rows, 1)) + rng.normal(size=columns) + rng.integers(0, 2, (rows, columns)) * 2.0**-40
    ),
    "last bits": lambda rng, rows, columns: 1 + rng.integers(0, 3, (rows, columns)) * 2.0**-52,
    "many magnitudes": lambda rng, rows, columns: (
        rng.normal(size=(rows, columns)) * 10.0 ** rng.integers(-10, 10, (rows, columns))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_equals_scipy(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    sizes = [(1, 1), (1, 32), (32, 32), (31, 32), (16, 17)]
    sizes += [tuple(sorted(rng.integers(1, 17, 2))) for _ in range(60)]
    matrices = [KINDS[kind](rng, rows, columns) for rows, columns in sizes]
    for matrix, columns in zip(matrices, assigned(matrices, tmp_path), strict=True):
        np.testing.assert_array_equal(columns, linear_sum_assignment(matrix)[1])


def test_the_order_of_threads_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    matrices = [make(rng, 7, 9) for make in KINDS.values()]
    expected = assigned(matrices, tmp_path)
    for order in ORDERS[1:]:
        for columns, other in zip(assigned(matrices, tmp_path, order), expected, strict=True):
            np.testing.assert_array_equal(columns, other)


@pytest.mark.parametrize("nothing", [np.inf, np.nan])
def test_a_row_without_a_column_ends_the_assignment(nothing: float, tmp_path: Path) -> None:
    matrix = np.arange(12.0).reshape(3, 4)
    matrix[1] = nothing
    (columns,) = assigned([matrix], tmp_path)
    assert columns.tolist() == [0, -1, -1]
