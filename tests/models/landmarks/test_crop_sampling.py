"""Training windows: the geometry of an evaluation, turned, scaled, shifted and mirrored."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heatstream.kernels.reference.crops import crop_rectangles, crop_transforms
from heatstream.models.landmarks.crop_sampling import Window, draw_window
from heatstream.models.settings import LandmarkAugmentSettings

STILL = LandmarkAugmentSettings(rotation=0, scale=(1, 1), translation=0, flip=0)
BOX = np.array([[13.0, 20.5, 76.0, 70.25]])
POINTS = np.array([[13.0, 20.5], [40.25, 33.0], [76.0, 70.0]])


def window(size: tuple[int, int] = (64, 64), seed: int = 0, **changes: object) -> Window:
    rectangle = crop_rectangles(BOX, aspect=size[1] / size[0])[0]
    settings = LandmarkAugmentSettings(**{**vars(STILL), **changes})  # type: ignore[arg-type]
    return draw_window(rectangle, size, settings, np.random.default_rng(seed))


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (64, 32), (256, 192)])
def test_an_untouched_window_is_the_crop_of_an_evaluation(size: tuple[int, int]) -> None:
    """Landmarks by their numbers, as crop_transforms maps them; pixels by their middles, as a picture is resized."""
    rectangle = crop_rectangles(BOX, aspect=size[1] / size[0])
    to_source = crop_transforms(rectangle, size)[0]
    still = window(size)
    back = still.points(POINTS) @ to_source[:, :2].T + to_source[:, 2]
    np.testing.assert_allclose(back, POINTS, atol=1e-9)
    corners = rectangle[0].reshape(2, 2)
    np.testing.assert_allclose(
        corners @ still.matrix[:, :2].T + still.matrix[:, 2], [[0, 0], [size[1], size[0]]], atol=1e-9
    )


def test_a_mirrored_window_is_the_window_of_the_mirrored_photo() -> None:
    width = 90
    mirrored_box = BOX.copy()
    mirrored_box[:, [0, 2]] = width - 1 - BOX[:, [2, 0]]
    mirrored_points = POINTS * (-1, 1) + (width - 1, 0)
    to_source = crop_transforms(crop_rectangles(mirrored_box), (64, 64))[0]
    expected = (mirrored_points - to_source[:, 2]) / np.diag(to_source[:, :2])
    found = window(flip=1.0)
    assert found.mirrored
    np.testing.assert_allclose(found.points(POINTS), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_rotation_scale_and_shift_stay_within_their_settings(seed: int) -> None:
    still, moved = window(), window(seed=seed, rotation=40.0, scale=(0.8, 1.25), translation=0.1)
    angle = math.degrees(math.atan2(moved.matrix[1, 0], moved.matrix[0, 0]))
    assert 0 < abs(angle) <= 40
    assert 0.8 <= moved.factor / still.factor <= 1.25
    assert moved.matrix[:, :2] @ moved.matrix[:, :2].T == pytest.approx(np.eye(2) / moved.factor**2)
    middle = (crop_rectangles(BOX)[0, :2] + crop_rectangles(BOX)[0, 2:]) / 2
    shift = (moved.matrix[:, :2] @ middle + moved.matrix[:, 2]) / 64 - 0.5
    assert 0 < np.linalg.norm(shift) <= 0.1 * math.sqrt(2)


def test_every_seed_draws_another_window_and_draws_it_again() -> None:
    changes = {"rotation": 30.0, "scale": (0.8, 1.25), "translation": 0.1, "flip": 0.5}
    matrices = [window(seed=seed, **changes).matrix for seed in (1, 1, 2)]
    np.testing.assert_array_equal(matrices[0], matrices[1])
    assert not np.allclose(matrices[0], matrices[2])
