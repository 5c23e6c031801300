"""One photo in one tile: labels lie on what they label, and regions on what is ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from heatstream.models.pose.augment import Similarity, Tile, draw_similarity
from heatstream.models.pose.crop_window import draw_view, view_people
from heatstream.models.settings import AugmentSettings
from heatstream.skeletons import COCO_17
from tests.fakes.coco_sets import PLAIN, made_photo, person

SIZE = 128
WINDOW = Tile(0, 0, SIZE, SIZE)
FLIP = np.array(COCO_17.flip_indices)


def _draw(photo: Any, frame: Any, view: Similarity, tile: Tile = WINDOW) -> tuple[Any, Any]:
    image, region = np.full((SIZE, SIZE, 3), 7, np.uint8), np.full((SIZE // 2, SIZE // 2), 7, np.uint8)
    draw_view(frame, photo, view, tile, image=image, region=region)
    return image, region


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tile", [WINDOW, Tile(40, 24, 128, 128)], ids=["window", "tile"])
def test_labels_move_with_the_pixels(seed: int, tile: Tile) -> None:
    """A disc's centre of light lies where its label went, to a fraction of a pixel."""
    frame = np.zeros((300, 260, 3), np.uint8)
    cv2.circle(frame, (130, 150), 12, (255, 255, 255), cv2.FILLED)
    photo = made_photo([person({9: (130.5, 150.5, 2)})], size=(300, 260))
    view = draw_similarity(photo, tile, AugmentSettings(), np.random.default_rng(seed), single_person=False)
    image, _ = _draw(photo, frame, view, tile)
    found = view_people(photo, view, tile, FLIP, partial_labels=False)
    light = image[:, :, 0] * (image[:, :, 0] != 7).astype(float)
    rows, columns = np.indices(light.shape) + 0.5
    centre = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
    assert len(found.people) == 1
    np.testing.assert_allclose(found.people[0, 10 if view.mirrored else 9, :2], centre, atol=0.15)
    outside = np.ones((SIZE, SIZE), bool)
    outside[tile.top : tile.bottom, tile.left : tile.right] = False
    assert (image[outside] == 7).all()  # the other tiles are not touched


def test_joints_and_people_outside_are_gone() -> None:
    people = [
        person({0: (64, 64, 2), 5: (-0.1, 5, 2), 6: (0, 0, 1), 7: (127.9, 3, 2), 8: (128, 3, 2)}),
        person({0: (64, 140, 2), 1: (64, -3, 2)}),
    ]
    photo = made_photo(people, size=(SIZE, SIZE))
    view = Similarity(np.eye(2, 3), 1.0, False)
    found = view_people(photo, view, WINDOW, FLIP, partial_labels=False)
    assert len(found.people) == len(found.extents) == 1
    assert np.flatnonzero(found.people[0, :, 2]).tolist() == [0, 6, 7]
    assert not found.people[0, [5, 8]].any()
    assert found.extents[0] == pytest.approx(128.1)


@pytest.mark.parametrize(
    ("partial_labels", "mirrored", "unknown"),
    [
        (False, False, [3]),
        (False, True, [4]),
        (True, False, [2, 3, *range(7, 17)]),
        (True, True, [1, 4, *range(7, 17)]),
    ],
)
def test_joints_without_labels_are_known(partial_labels: bool, mirrored: bool, unknown: list[int]) -> None:
    """Joint 3 is labelled nowhere in the set; 5 lies outside, which is knowledge too."""
    labelled = {0: (64, 64, 2), 1: (60, 60, 1), 4: (60, 70, 2), 5: (60, 400, 2), 6: (64, 80, 2)}
    photo = made_photo([person(labelled)], size=(SIZE, SIZE), known_joints=np.arange(17) != 3)
    view = Similarity(np.eye(2, 3), 1.0, mirrored)
    found = view_people(photo, view, WINDOW, FLIP, partial_labels=partial_labels)
    assert np.flatnonzero(~found.known_joints).tolist() == unknown


def _mask() -> Any:
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((SIZE, SIZE), np.uint8, order="F")
    mask[40:80, 20:60] = 1
    return coco.encode(mask)


BOX = np.array([[20.0, 40.0, 40.0, 40.0]])


@pytest.mark.parametrize(
    ("changes", "inside", "outside"),
    [
        (dict, 1, 1),
        (lambda: {"ignored_boxes": BOX}, 0, 1),
        (lambda: {"ignored_mask": _mask()}, 0, 1),
        (lambda: {"boxes_only": True, "boxes": BOX}, 1, 0),
        (lambda: {"boxes_only": True, "boxes": BOX, "ignored_boxes": BOX}, 0, 0),
    ],
    ids=["all", "ignored box", "ignored mask", "boxes only", "boxes only, ignored"],
)
def test_the_region_is_where_labels_say_what_is_there(
    changes: Callable[[], dict[str, Any]], inside: int, outside: int
) -> None:
    photo = made_photo([person({0: (10, 10, 2)})], size=(SIZE, SIZE), **changes())
    view = draw_similarity(photo, WINDOW, PLAIN, np.random.default_rng(0), single_person=False)
    _, region = _draw(photo, np.zeros((SIZE, SIZE, 3), np.uint8), view)
    expected = np.full((SIZE // 2, SIZE // 2), outside, np.uint8)
    expected[20:40, 10:30] = inside
    differs = np.argwhere(region != expected)
    # A box is rounded to whole map pixels, so its outermost row and column may count to either side.
    assert all(min(abs(y - 20), abs(y - 40), abs(x - 10), abs(x - 30)) <= 1 for y, x in differs)
    assert region[30, 20] == inside
    assert region[50, 50] == outside


def test_box_and_mask_of_the_same_square_turn_alike() -> None:
    settings = AugmentSettings(rotation=30, flip=0.5)
    for seed in range(6):
        regions = []
        for changes in ({"ignored_boxes": BOX}, {"ignored_mask": _mask()}):
            photo = made_photo([person({0: (10, 10, 2)})], size=(SIZE, SIZE), **changes)
            view = draw_similarity(photo, WINDOW, settings, np.random.default_rng(seed), single_person=False)
            regions.append(_draw(photo, np.zeros((SIZE, SIZE, 3), np.uint8), view)[1])
        union = int(((regions[0] == 0) | (regions[1] == 0)).sum())
        both = int(((regions[0] == 0) & (regions[1] == 0)).sum())
        assert both > 0.85 * union > 0
