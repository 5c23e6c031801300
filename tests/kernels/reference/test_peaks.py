"""Peaks: which pixels are detections, in which order, and how many are kept."""

from __future__ import annotations

import numpy as np
import pytest

from heatstream.kernels.reference.peaks import Candidates, find_peaks


def found(heatmap: np.ndarray, **options: float) -> Candidates:
    settings = {"threshold": 0.1, "nms_kernel": 5, "capacity": 4, **options}
    return find_peaks(heatmap.astype(np.float32)[None], **settings)  # type: ignore[arg-type]


def with_peaks(*peaks: tuple[int, int, float]) -> np.ndarray:
    heatmap = np.zeros((12, 20))
    for x, y, value in peaks:
        heatmap[y, x] = value
    return heatmap


def test_the_strongest_comes_first_and_the_rest_is_empty() -> None:
    candidates = found(with_peaks((3, 2, 0.4), (15, 9, 0.9)))
    assert candidates.counts.tolist() == [2]
    assert candidates.pixels[0].tolist() == [[15, 9], [3, 2], [0, 0], [0, 0]]
    assert candidates.scores[0].tolist() == pytest.approx([0.9, 0.4, 0, 0])
    assert candidates.overflow == 0


def test_a_larger_neighbour_within_the_square_wins() -> None:
    heatmap = with_peaks((5, 5, 0.5), (7, 7, 0.6), (8, 5, 0.4))
    assert found(heatmap).pixels[0, :1].tolist() == [[7, 7]]
    assert found(heatmap).counts.tolist() == [1]
    assert found(heatmap, nms_kernel=3).counts.tolist() == [3]


def test_the_threshold_is_exceeded_not_reached() -> None:
    assert found(with_peaks((5, 5, 0.5)), threshold=0.5).counts.tolist() == [0]


def test_equal_scores_are_in_reading_order() -> None:
    candidates = found(with_peaks((15, 2, 0.5), (2, 9, 0.5), (2, 2, 0.5)))
    assert candidates.pixels[0, :3].tolist() == [[2, 2], [15, 2], [2, 9]]


def test_what_is_beyond_the_capacity_is_counted() -> None:
    candidates = found(with_peaks((2, 2, 0.3), (8, 2, 0.5), (14, 2, 0.4)), capacity=2)
    assert candidates.pixels[0].tolist() == [[8, 2], [14, 2]]
    assert candidates.overflow == 1


def test_corners_are_seen() -> None:
    assert found(with_peaks((0, 0, 0.5), (19, 11, 0.4))).pixels[0, :2].tolist() == [[0, 0], [19, 11]]
