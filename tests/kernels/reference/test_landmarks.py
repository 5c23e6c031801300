"""The landmark decoder: the reference against the reference, the kernel on the CPU against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels.cuda.landmarks import decode_landmarks as launch_landmarks
from heatstream.kernels.cuda.landmarks import landmark_macros
from heatstream.kernels.reference.landmarks import decode_landmarks
from tests.kernels.cuda.emulated import UNWRITTEN, Order, kernels

FORWARDS = ["hrnet18_wflw98", "hrnet18_300w68", "mobilenetv2_wflw98", "mobilenetv2_300w68"]


def emulate(maps: NDArray[Any], *, order: Order = "forward", **options: Any) -> NDArray[np.float32]:
    positions = np.full((*maps.shape[:2], 2), UNWRITTEN, np.float32)
    launch_landmarks(kernels("landmarks", landmark_macros(maps), order), maps, positions, **options, stream=None)
    return positions


both = pytest.mark.parametrize("decode", [decode_landmarks, pytest.param(emulate, marks=pytest.mark.emulator)])


@both
@pytest.mark.parametrize("topk", [1, 2, 5, 9, 16, 25])
@pytest.mark.parametrize("name", ["square", "tall", "peaks"])
def test_random_maps_equal_the_reference(golden: Callable[[str], Any], decode: Any, name: str, topk: int) -> None:
    file = golden("h3r_decode.npz")
    found = decode(file[f"map_{name}"], topk=topk, stride=float(file["stride"]))
    np.testing.assert_allclose(found, file[f"coord_{name}_topk{topk}"], rtol=0, atol=1e-4)


@both
@pytest.mark.parametrize("name", FORWARDS)
def test_the_reference_networks_landmarks(golden: Callable[[str], Any], decode: Any, name: str) -> None:
    file = golden(f"h3r_forward_{name}.npz")
    found = decode(file["raw_class1"], topk=int(file["topk"]), stride=float(file["stride"]))
    np.testing.assert_allclose(found, file["coords"], rtol=0, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 20), st.integers(1, 40)),
    topk=st.integers(1, 32),
    levels=st.sampled_from([1, 3, 40, 1000]),
    spread=st.sampled_from([0.5, 10, 5000]),
    dtype=st.sampled_from([np.float16, np.float32]),
)
@pytest.mark.emulator
def test_kernel_equals_reference(
    seed: int, shape: tuple[int, ...], topk: int, levels: int, spread: float, dtype: type
) -> None:
    """With few levels ties are everywhere; with a large spread one activation decides."""
    rng = np.random.default_rng(seed)
    maps = ((rng.integers(0, levels, shape) / levels - 0.5) * spread).astype(dtype)
    topk = min(topk, shape[2] * shape[3])
    transforms = rng.normal(size=(shape[0], 2, 3)).astype(np.float32)
    for to_source in (None, transforms):
        expected = decode_landmarks(maps, topk, to_source=to_source)
        np.testing.assert_allclose(emulate(maps, topk=topk, to_source=to_source), expected, rtol=1e-5, atol=1e-3)


@both
def test_equal_activations_are_taken_in_row_major_order(decode: Any) -> None:
    maps = np.full((1, 1, 4, 5), 0.25, np.float32)
    np.testing.assert_allclose(decode(maps, topk=6, stride=1.0), [[[(0 + 1 + 2 + 3 + 4 + 0) / 6, 1 / 6]]], atol=1e-6)


@both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_gives_nan_and_changes_no_other(decode: Any, value: float) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 5, 9, 11)).astype(np.float32)
    expected = decode(maps)
    maps[1, 3, 8, 10] = value
    expected[1, 3] = np.nan
    np.testing.assert_array_equal(decode(maps), expected)


@both
def test_class_1_of_two_is_read_in_place(decode: Any) -> None:
    classes = np.random.default_rng(0).normal(size=(3, 2, 5, 9, 11)).astype(np.float32)
    np.testing.assert_array_equal(decode(classes[:, 1]), decode(np.ascontiguousarray(classes[:, 1])))


@both
def test_landmarks_of_crops_in_source_pixels(decode: Any) -> None:
    maps = np.zeros((2, 1, 8, 8), np.float32)
    maps[:, 0, 5, 3] = 1
    transforms = np.array([[[2, 0, 10], [0, 3, 20]], [[0, -1, 100], [1, 0, 0]]], np.float32)
    found = decode(maps, topk=1, stride=4.0, to_source=transforms)
    np.testing.assert_array_equal(found, [[[2 * 12 + 10, 3 * 20 + 20]], [[100 - 20, 12]]])


@pytest.mark.emulator
@pytest.mark.parametrize("order", ["backward", 1])
def test_the_order_of_threads_does_not_matter(order: Order) -> None:
    maps = np.random.default_rng(0).integers(0, 9, (2, 7, 12, 13)).astype(np.float16)
    np.testing.assert_array_equal(emulate(maps, order=order), emulate(maps))


@both
@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.zeros((5, 8, 8), np.float32), {}, r"\(N, L, H, W\) float16 or float32, got \(5, 8, 8\)"),
        (np.zeros((1, 5, 8, 8)), {}, "got .* float64"),
        (np.zeros((1, 5, 8, 8), np.float32), {"topk": 0}, "topk must be 1 to 32"),
        (np.zeros((1, 5, 8, 8), np.float32), {"topk": 33}, "topk must be 1 to 32"),
        (np.zeros((1, 5, 2, 2), np.float32), {"topk": 5}, "at most the map's 4 px"),
        (np.zeros((1, 5, 8, 8), np.float32), {"to_source": np.zeros((2, 2, 3), np.float32)}, r"must be \(1, 2, 3\)"),
    ],
)
def test_refuses_other_arrays(decode: Any, maps: NDArray[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode(maps, **options)


@pytest.mark.emulator
def test_the_launcher_refuses_other_layouts() -> None:
    maps = np.zeros((1, 5, 8, 8), np.float32)
    with pytest.raises(InputError, match="must be contiguous"):
        emulate(maps[..., ::2])
    with pytest.raises(InputError, match=r"positions must be a contiguous \(1, 5, 2\) float32"):
        launch_landmarks({}, maps, np.zeros((1, 5, 3), np.float32), stream=None)
    with pytest.raises(InputError, match=r"to_source must be a contiguous \(1, 2, 3\) float32"):
        emulate(maps, to_source=np.zeros((1, 2, 3)))
