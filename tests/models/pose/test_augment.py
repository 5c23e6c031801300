"""Random views: the paper's geometry, people in the middle of things, and mosaics."""

from __future__ import annotations

import numpy as np
import pytest

from heatstream.models.pose.augment import LARGEST_ZOOM, PERSON_SHARE, Tile, draw_similarity, draw_tiles
from heatstream.models.settings import AugmentSettings
from tests.fakes.coco_sets import PLAIN, made_photo, person

WINDOW = Tile(0, 0, 256, 256)
PHOTO = made_photo([person({0: (40, 50, 2), 16: (70, 110, 2)})], size=(120, 200))
DRAWS = 400


def test_without_chance_the_middle_square_fills_the_window() -> None:
    similarity = draw_similarity(PHOTO, WINDOW, PLAIN, np.random.default_rng(0), single_person=False)
    assert similarity.zoom == 256 / 120
    np.testing.assert_allclose(
        similarity.apply(np.array(((40.0, 0.0), (160.0, 120.0)))), ((0, 0), (256, 256)), atol=1e-9
    )


def test_the_papers_ranges_are_filled_and_kept() -> None:
    settings = AugmentSettings()
    angles, scales, shifts, mirrored = [], [], [], 0
    for seed in range(DRAWS):
        view = draw_similarity(PHOTO, WINDOW, settings, np.random.default_rng(seed), single_person=False)
        linear = view.matrix[:, :2] / view.zoom
        np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-12)
        assert np.linalg.det(linear) == pytest.approx(-1 if view.mirrored else 1)
        angles.append(np.degrees(np.arctan2(linear[0, 1], linear[1, 1])))
        scales.append(256 / view.zoom / 120)
        shifts.append(np.linalg.solve(linear, view.apply(np.array((100.0, 60.0))) - 128) / 256 * 200)
        mirrored += view.mirrored
    for values, low, high in ((angles, -30, 30), (scales, 0.75, 1.5), (shifts, -40, 40)):
        margin = 0.05 * (high - low)
        assert low <= np.min(values) < low + margin
        assert high - margin < np.max(values) <= high
    assert 0.4 * DRAWS < mirrored < 0.6 * DRAWS


def test_a_mirrored_view_is_the_mirror_image() -> None:
    settings = AugmentSettings(rotation=0, scale=(1, 1), translation=0, flip=1)
    view = draw_similarity(PHOTO, WINDOW, settings, np.random.default_rng(0), single_person=False)
    assert view.mirrored
    np.testing.assert_allclose(view.apply(np.array((40.0, 30.0))), (256, 64))


@pytest.mark.parametrize(
    ("settings", "single_person"), [(AugmentSettings(zoom_people=1), False), (AugmentSettings(), True)]
)
def test_zooming_shows_a_person(settings: AugmentSettings, single_person: bool) -> None:
    photo = made_photo([person({0: (300, 250, 2), 16: (380, 450, 2)})], size=(600, 900))
    for seed in range(50):
        view = draw_similarity(photo, WINDOW, settings, np.random.default_rng(seed), single_person=single_person)
        share = 200 * view.zoom / 256
        assert PERSON_SHARE[0] <= share <= PERSON_SHARE[1]
        middle = view.apply(np.array((340.0, 350.0)))
        assert ((middle > -64) & (middle < 320)).all()


def test_small_people_are_not_blown_up() -> None:
    photo = made_photo([person({0: (300, 250, 2), 16: (304, 258, 2)})], size=(600, 900))
    view = draw_similarity(photo, WINDOW, AugmentSettings(), np.random.default_rng(0), single_person=True)
    assert view.zoom == LARGEST_ZOOM


def test_a_photo_without_people_is_looked_at_in_its_middle() -> None:
    photo = made_photo(np.zeros((0, 17, 3)), size=(120, 200))
    view = draw_similarity(photo, WINDOW, PLAIN, np.random.default_rng(0), single_person=True)
    np.testing.assert_allclose(view.apply(np.array((100.0, 60.0))), (128, 128))


@pytest.mark.parametrize("seed", range(10))
def test_a_mosaic_covers_the_window_once(seed: int) -> None:
    tiles = draw_tiles(256, AugmentSettings(mosaic=1), np.random.default_rng(seed))
    covered = np.zeros((256, 256), int)
    for tile in tiles:
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
        assert tile.left % 4 == tile.top % 4 == 0
        assert tile.side == max(tile.right - tile.left, tile.bottom - tile.top)
    assert len(tiles) == 4
    assert (covered == 1).all()


def test_mosaics_come_with_their_probability() -> None:
    settings = AugmentSettings(mosaic=0.25)
    count = sum(len(draw_tiles(64, settings, np.random.default_rng(seed))) == 4 for seed in range(DRAWS))
    assert 0.15 * DRAWS < count < 0.35 * DRAWS
    assert draw_tiles(64, PLAIN, np.random.default_rng(0)) == (Tile(0, 0, 64, 64),)


def test_a_tiles_view_lies_in_the_tile() -> None:
    tile = Tile(100, 60, 256, 256)
    view = draw_similarity(PHOTO, tile, PLAIN, np.random.default_rng(0), single_person=False)
    np.testing.assert_allclose(view.apply(np.array((100.0, 60.0))), (178, 158))
    assert view.zoom == 196 / 120
