"""The layouts: what each must obey, and the published numbers they must equal."""

from __future__ import annotations

import pytest

from heatstream import skeletons
from heatstream.errors import UnknownNameError
from heatstream.skeletons import SKELETONS, Skeleton

ALL = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)

CONTOUR_33 = [(i, 32 - i) for i in range(16)]
BROWS_9 = [*((33 + i, 46 - i) for i in range(5)), *((38 + i, 50 - i) for i in range(4))]

# The left/right tables as the datasets' users publish them, typed here independently of the names.
PUBLISHED_PAIRS = {
    "coco-17": [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)],
    "crowdpose-14": [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)],
    "mpii-16": [(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)],
    "wflw-98": [
        *(*CONTOUR_33, *BROWS_9, (55, 59), (56, 58)),
        *((60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73)),
        *((76, 82), (77, 81), (78, 80), (83, 87), (84, 86)),
        *((88, 92), (89, 91), (93, 95), (96, 97)),
    ],
    "300w-68": [
        *(*((i, 16 - i) for i in range(8)), *((i, 43 - i) for i in range(17, 22)), (31, 35), (32, 34)),
        *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
        *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),
    ],
    "cofw-29": [*((0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23))],
    "aflw-19": [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)],
    "lapa-106": [
        *(*CONTOUR_33, *BROWS_9, *((55 + i, 65 - i) for i in range(5))),
        *((66, 79), (67, 78), (68, 77), (69, 76), (70, 75), (71, 82), (72, 81), (73, 80), (74, 83)),
        *((84, 90), (85, 89), (86, 88), (91, 95), (92, 94)),
        *((96, 100), (97, 99), (101, 103), (104, 105)),
    ],
}


def test_every_layout_is_there_under_its_own_name() -> None:
    assert set(SKELETONS) == set(PUBLISHED_PAIRS)
    assert all(name == skeleton.name for name, skeleton in SKELETONS.items())


@ALL
def test_has_as_many_keypoints_as_its_name_says(skeleton: Skeleton) -> None:
    assert skeleton.num_keypoints == int(skeleton.name.rsplit("-", 1)[1])
    assert len(set(skeleton.keypoints)) == skeleton.num_keypoints


@ALL
def test_flip_pairs_equal_the_published_table(skeleton: Skeleton) -> None:
    published = PUBLISHED_PAIRS[skeleton.name]
    assert len(published) == len(set(published))
    assert sorted(skeleton.flip_pairs) == sorted(published)


@ALL
def test_flipping_twice_changes_nothing(skeleton: Skeleton) -> None:
    indices = skeleton.flip_indices
    assert sorted(indices) == list(range(skeleton.num_keypoints))
    assert [indices[i] for i in indices] == list(range(skeleton.num_keypoints))


@ALL
def test_flipping_swaps_left_and_right_in_the_names_alone(skeleton: Skeleton) -> None:
    swapped = {"left": "right", "right": "left"}
    for position, name in enumerate(skeleton.keypoints):
        side, _, rest = name.partition("_")
        mirrored = f"{swapped[side]}_{rest}" if side in swapped else name
        assert skeleton.keypoints[skeleton.flip_indices[position]] == mirrored


@ALL
def test_limbs_join_two_keypoints_each_once(skeleton: Skeleton) -> None:
    joined = [frozenset(limb) for limb in skeleton.limbs]
    assert all(len(limb) == 2 and max(limb) < skeleton.num_keypoints and min(limb) >= 0 for limb in joined)
    assert len(set(joined)) == len(joined)


@ALL
def test_limbs_are_the_same_in_the_mirror(skeleton: Skeleton) -> None:
    indices = skeleton.flip_indices
    assert {frozenset(limb) for limb in skeleton.limbs} == {
        frozenset(indices[i] for i in limb) for limb in skeleton.limbs
    }


@ALL
def test_grouping_order_is_a_permutation(skeleton: Skeleton) -> None:
    assert sorted(skeleton.grouping_order) == list(range(skeleton.num_keypoints))


@ALL
def test_colors_are_bgr_and_tell_left_from_right(skeleton: Skeleton) -> None:
    assert len(skeleton.colors) == skeleton.num_keypoints
    assert all(len(color) == 3 and all(0 <= value <= 255 for value in color) for color in skeleton.colors)
    assert all(skeleton.colors[a] != skeleton.colors[b] for a, b in skeleton.flip_pairs)


@ALL
def test_sigmas_are_one_per_keypoint_and_alike_on_both_sides(skeleton: Skeleton) -> None:
    if skeleton.name not in ("coco-17", "crowdpose-14"):
        assert skeleton.sigmas is None
        return
    assert skeleton.sigmas is not None
    assert len(skeleton.sigmas) == skeleton.num_keypoints
    assert all(skeleton.sigmas[a] == skeleton.sigmas[b] for a, b in skeleton.flip_pairs)


def test_coco_sigmas_are_those_of_the_evaluation() -> None:
    thousandths = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]
    assert skeletons.COCO_17.sigmas == tuple(value / 1000 for value in thousandths)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("coco-17", [1, 2, 3, 4, 5, 6, 7, 12, 13, 8, 9, 10, 11, 14, 15, 16, 17]),
        ("crowdpose-14", [1, 2, 3, 4, 5, 6, 7, 12, 13, 8, 9, 10, 11, 14]),
    ],
)
def test_grouping_order_is_the_official_parsers(name: str, order: list[int]) -> None:
    assert skeletons.get(name).grouping_order == tuple(number - 1 for number in order)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("coco-18", "did you mean 'coco-17'?"),
        ("COCO-17", "did you mean 'coco-17'?"),
        ("wflw", "did you mean 'wflw-98'?"),
        ("", "the known ones are coco-17, "),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(asked: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match="no skeleton is called") as caught:
        skeletons.get(asked)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
