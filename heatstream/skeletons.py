"""Keypoint layouts: names, limbs, left/right pairs, OKS sigmas, colours.

A layout is data. :data:`SKELETONS` are those of the public data sets; others come from a recipe, from the labels it
names, from a checkpoint or from a model file (:mod:`heatstream.skeleton_tables` reads and writes them), which
:func:`register` them. From then on :func:`get` finds them by name as it finds the others.

Left and right are the person's own: the right side of a face is at the left of an unmirrored picture. Flip
pairs follow from the names: ``left_x`` and ``right_x`` change places. Below, the bodies come first, then the
faces, then :data:`SKELETONS`, :func:`get` and :func:`register`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from heatstream.errors import InputError, UnknownNameError

__all__ = [
    "AFLW_19",
    "COCO_17",
    "COFW_29",
    "CROWDPOSE_14",
    "DEFAULT_SIGMA",
    "LAPA_106",
    "MOST_KEYPOINTS",
    "MPII_16",
    "SKELETONS",
    "W300_68",
    "WFLW_98",
    "OfSkeleton",
    "Skeleton",
    "get",
    "known",
    "register",
    "side_colors",
]

MOST_KEYPOINTS = 255
"""Of one layout: the kernels keep the number of a keypoint in a byte."""

DEFAULT_SIGMA = 0.079
"""OKS sigma of a keypoint that nobody measured: that of COCO's shoulders, between its eyes (0.025) and hips (0.107)."""


@dataclass(frozen=True)
class Skeleton:
    """One layout of K keypoints.

    Attributes:
        name: how users and model files call it, for example ``"coco-17"``.
        keypoints: K unique names, in the order of the channels of a network.
        limbs: index pairs to draw a line between; for faces the contours.
        flip_pairs: index pairs that change places in a mirrored image; the others stay.
        sigmas: K standard deviations of the annotators, relative to the person's size, for the object
            keypoint similarity (OKS); None where the dataset does not define one.
        grouping_order: the order in which bottom-up grouping takes the keypoints, a permutation of 0..K-1.
        colors: K BGR colours, 0..255, from a palette that colour-blind people can tell apart.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...] | None
    grouping_order: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...]

    @property
    def num_keypoints(self) -> int:
        """K."""
        return len(self.keypoints)

    @property
    def flip_indices(self) -> tuple[int, ...]:
        """For each channel the channel it becomes in a mirrored image: ``maps[:, list(flip_indices)]``."""
        indices = list(range(self.num_keypoints))
        for first, second in self.flip_pairs:
            indices[first], indices[second] = second, first
        return tuple(indices)


# Okabe and Ito's palette, in BGR: warm on the person's right, cool on the left, yellow in the middle.
_RIGHT_UPPER = (0, 159, 230)
_RIGHT_LOWER = (0, 94, 213)
_LEFT_UPPER = (233, 180, 86)
_LEFT_LOWER = (178, 114, 0)
_MIDDLE = (66, 228, 240)
_LOWER_PARTS = ("hip", "knee", "ankle", "contour", "lip", "mouth")


def _color(keypoint: str) -> tuple[int, int, int]:
    lower = any(part in keypoint for part in _LOWER_PARTS)
    if keypoint.startswith("right_"):
        return _RIGHT_LOWER if lower else _RIGHT_UPPER
    if keypoint.startswith("left_"):
        return _LEFT_LOWER if lower else _LEFT_UPPER
    return _MIDDLE


def side_colors(keypoints: Iterable[str]) -> tuple[tuple[int, int, int], ...]:
    """BGR colours of keypoints by their side, ``left_`` and ``right_``, and by upper and lower part."""
    return tuple(_color(keypoint) for keypoint in keypoints)


def _skeleton(
    name: str,
    keypoints: Iterable[str],
    limbs: Iterable[tuple[str, str]],
    *,
    sigmas: tuple[float, ...] | None = None,
    grouping_order: tuple[int, ...] | None = None,
) -> Skeleton:
    """Turn names into indices and derive pairs and colours from them."""
    names = tuple(keypoints)
    index = {keypoint: position for position, keypoint in enumerate(names)}
    mirrored = [(n, f"right_{n.removeprefix('left_')}") for n in names if n.startswith("left_")]
    pairs = sorted((min(index[a], index[b]), max(index[a], index[b])) for a, b in mirrored)
    return Skeleton(
        name=name,
        keypoints=names,
        limbs=tuple((index[a], index[b]) for a, b in limbs),
        flip_pairs=tuple(pairs),
        sigmas=sigmas,
        grouping_order=grouping_order or tuple(range(len(names))),
        colors=side_colors(names),
    )


def _chain(*keypoints: str) -> list[tuple[str, str]]:
    return list(pairwise(keypoints))


def _both(*chains: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The limbs of the left side, and the same on the right."""
    left = [limb for chain in chains for limb in chain]
    return left + [(a.replace("left_", "right_"), b.replace("left_", "right_")) for a, b in left]


COCO_17 = _skeleton(
    "coco-17",
    [
        "nose",
        *("left_eye", "right_eye", "left_ear", "right_ear"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    ],
    [
        *_both(
            _chain("nose", "left_eye", "left_ear", "left_shoulder", "left_elbow", "left_wrist"),
            _chain("left_shoulder", "left_hip", "left_knee", "left_ankle"),
        ),
        ("left_eye", "right_eye"),
        ("left_shoulder", "right_shoulder"),
        ("left_hip", "right_hip"),
    ],
    # COCO's keypoint evaluation; the constants it calls k are twice these.
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
    # Associative embedding, head and torso before the limbs.
    grouping_order=(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16),
)

CROWDPOSE_14 = _skeleton(
    "crowdpose-14",
    [
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
        *("head_top", "neck"),
    ],
    [
        ("head_top", "neck"),
        *_both(
            _chain("neck", "left_shoulder", "left_elbow", "left_wrist"),
            _chain("left_shoulder", "left_hip", "left_knee", "left_ankle"),
        ),
        ("left_hip", "right_hip"),
    ],
    sigmas=(
        *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
        *(0.079, 0.079),
    ),
    # The official parser takes the first 14 of COCO's order whatever these joints mean. People come out in
    # the order in which their first joint was seen, so results follow it.
    grouping_order=(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13),
)

MPII_16 = _skeleton(
    "mpii-16",
    [
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ],
    [
        *_chain("head_top", "upper_neck", "thorax", "pelvis"),
        *_both(
            _chain("thorax", "left_shoulder", "left_elbow", "left_wrist"),
            _chain("pelvis", "left_hip", "left_knee", "left_ankle"),
        ),
    ],
)


def _run(stem: str, count: int, *, backwards: bool = False) -> list[str]:
    numbers = range(count)
    return [f"{stem}_{number}" for number in (reversed(numbers) if backwards else numbers)]


def _across(stem: str, count: int, *middle: str) -> list[str]:
    """A run from the right side of the face over the middle to the left side."""
    return [*_run(f"right_{stem}", count), *middle, *_run(f"left_{stem}", count, backwards=True)]


def _loop(keypoints: list[str]) -> list[tuple[str, str]]:
    return _chain(*keypoints, keypoints[0])


# The contours from which the dense face layouts are made, named by what they outline. Runs of the right
# side start at the outside of the face, those of the left side end there.

_CONTOUR_33 = _across("contour", 16, "chin")
_BRIDGE_4 = _run("nose_bridge", 4)
_RIGHT_BROW_9 = [*_run("right_brow_upper", 5), *_run("right_brow_lower", 4, backwards=True)]
_LEFT_BROW_9 = [*_run("left_brow_upper", 5, backwards=True), *_run("left_brow_lower", 4)]
_RIGHT_EYE_8 = [
    *("right_eye_outer", *_run("right_eye_upper", 3)),
    *("right_eye_inner", *_run("right_eye_lower", 3, backwards=True)),
]
_LEFT_EYE_8 = [
    *("left_eye_inner", *_run("left_eye_upper", 3, backwards=True)),
    *("left_eye_outer", *_run("left_eye_lower", 3)),
]
_OUTER_LIPS_12 = [
    *("right_mouth_corner", *_across("lip_top", 2, "lip_top"), "left_mouth_corner"),
    *("left_lip_bottom_0", "left_lip_bottom_1", "lip_bottom", "right_lip_bottom_1", "right_lip_bottom_0"),
]
_INNER_LIPS_8 = [
    *("right_inner_mouth_corner", "right_inner_lip_top", "inner_lip_top", "left_inner_lip_top"),
    *("left_inner_mouth_corner", "left_inner_lip_bottom", "inner_lip_bottom", "right_inner_lip_bottom"),
]

_NOSE_BASE_5 = _across("nostril", 2, "nose_base")
WFLW_98 = _skeleton(
    "wflw-98",
    [
        *(*_CONTOUR_33, *_RIGHT_BROW_9, *_LEFT_BROW_9, *_BRIDGE_4, *_NOSE_BASE_5),
        *(*_RIGHT_EYE_8, *_LEFT_EYE_8, *_OUTER_LIPS_12, *_INNER_LIPS_8, "right_pupil", "left_pupil"),
    ],
    [
        *(*_chain(*_CONTOUR_33), *_loop(_RIGHT_BROW_9), *_loop(_LEFT_BROW_9)),
        *(*_chain(*_BRIDGE_4), *_chain(*_NOSE_BASE_5)),
        *(*_loop(_RIGHT_EYE_8), *_loop(_LEFT_EYE_8), *_loop(_OUTER_LIPS_12), *_loop(_INNER_LIPS_8)),
    ],
)

_CONTOUR_17 = _across("contour", 8, "chin")
_RIGHT_BROW_5 = _run("right_brow", 5)
_LEFT_BROW_5 = _run("left_brow", 5, backwards=True)
_RIGHT_EYE_6 = [
    *("right_eye_outer", "right_eye_upper_0", "right_eye_upper_1"),
    *("right_eye_inner", "right_eye_lower_1", "right_eye_lower_0"),
]
_LEFT_EYE_6 = [
    *("left_eye_inner", "left_eye_upper_1", "left_eye_upper_0"),
    *("left_eye_outer", "left_eye_lower_0", "left_eye_lower_1"),
]
W300_68 = _skeleton(
    "300w-68",
    [
        *(*_CONTOUR_17, *_RIGHT_BROW_5, *_LEFT_BROW_5, *_BRIDGE_4, *_NOSE_BASE_5),
        *(*_RIGHT_EYE_6, *_LEFT_EYE_6, *_OUTER_LIPS_12, *_INNER_LIPS_8),
    ],
    [
        *(*_chain(*_CONTOUR_17), *_chain(*_RIGHT_BROW_5), *_chain(*_LEFT_BROW_5)),
        *(*_chain(*_BRIDGE_4), *_chain(*_NOSE_BASE_5)),
        *(*_loop(_RIGHT_EYE_6), *_loop(_LEFT_EYE_6), *_loop(_OUTER_LIPS_12), *_loop(_INNER_LIPS_8)),
    ],
)

# Burgos-Artizzu et al. 2013: most parts alternate right and left instead of running along a contour.
COFW_29 = _skeleton(
    "cofw-29",
    [
        *("right_brow_outer", "left_brow_outer", "right_brow_inner", "left_brow_inner"),
        *("right_brow_upper", "right_brow_lower", "left_brow_upper", "left_brow_lower"),
        *("right_eye_outer", "left_eye_outer", "right_eye_inner", "left_eye_inner"),
        *("right_eye_upper", "right_eye_lower", "left_eye_upper", "left_eye_lower"),
        *("right_pupil", "left_pupil", "right_nostril", "left_nostril", "nose_tip", "nose_base"),
        *("right_mouth_corner", "left_mouth_corner", "lip_top", "inner_lip_top"),
        *("inner_lip_bottom", "lip_bottom", "chin"),
    ],
    [
        *_both(
            _loop(["left_brow_outer", "left_brow_upper", "left_brow_inner", "left_brow_lower"]),
            _loop(["left_eye_outer", "left_eye_upper", "left_eye_inner", "left_eye_lower"]),
            [("left_nostril", "nose_tip"), ("left_nostril", "nose_base")],
            [("left_mouth_corner", "lip_top"), ("left_mouth_corner", "inner_lip_top")],
            [("left_mouth_corner", "inner_lip_bottom"), ("left_mouth_corner", "lip_bottom")],
        )
    ],
)

# AFLW without the two ear points, as the published 19-point evaluations use it.
AFLW_19 = _skeleton(
    "aflw-19",
    [
        *("right_brow_outer", "right_brow_middle", "right_brow_inner"),
        *("left_brow_inner", "left_brow_middle", "left_brow_outer"),
        *("right_eye_outer", "right_eye_center", "right_eye_inner"),
        *("left_eye_inner", "left_eye_center", "left_eye_outer"),
        *("right_nostril", "nose_tip", "left_nostril"),
        *("right_mouth_corner", "mouth_center", "left_mouth_corner", "chin"),
    ],
    [
        *_both(
            _chain("left_brow_outer", "left_brow_middle", "left_brow_inner"),
            _chain("left_eye_outer", "left_eye_center", "left_eye_inner"),
            [("left_nostril", "nose_tip"), ("left_mouth_corner", "mouth_center")],
        )
    ],
)

# Liu et al. 2020. Unlike WFLW the sides of the nose are outlined, and each eye has a centre beside its pupil.
_NOSE_11 = _across("nose_side", 5, "nose_base")
LAPA_106 = _skeleton(
    "lapa-106",
    [
        *(*_CONTOUR_33, *_RIGHT_BROW_9, *_LEFT_BROW_9, *_BRIDGE_4, *_NOSE_11),
        *(*_RIGHT_EYE_8, "right_eye_center", *_LEFT_EYE_8, "left_eye_center"),
        *(*_OUTER_LIPS_12, *_INNER_LIPS_8, "right_pupil", "left_pupil"),
    ],
    [
        *(*_chain(*_CONTOUR_33), *_loop(_RIGHT_BROW_9), *_loop(_LEFT_BROW_9)),
        *(*_chain(*_BRIDGE_4), *_chain(*_NOSE_11)),
        *(*_loop(_RIGHT_EYE_8), *_loop(_LEFT_EYE_8), *_loop(_OUTER_LIPS_12), *_loop(_INNER_LIPS_8)),
    ],
)

SKELETONS: Mapping[str, Skeleton] = MappingProxyType(
    {
        skeleton.name: skeleton
        for skeleton in (COCO_17, CROWDPOSE_14, MPII_16, WFLW_98, W300_68, COFW_29, AFLW_19, LAPA_106)
    }
)
"""The layouts of the public data sets, by name."""

_registered: dict[str, Skeleton] = {}
"""Further ones that this process has met, by name."""


def known() -> Mapping[str, Skeleton]:
    """Every layout that :func:`get` finds, by name."""
    return {**SKELETONS, **_registered}


def get(name: str) -> Skeleton:
    """The layout of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    found = SKELETONS.get(name) or _registered.get(name)
    if found is None:
        raise UnknownNameError.among(known(), kind="skeleton", name=name)
    return found


def register(skeleton: Skeleton) -> Skeleton:
    """Make a layout known to this process, so that :func:`get` finds it; the same one may come many times.

    Raises:
        InputError: another layout has this name.
    """
    other = known().get(skeleton.name)
    if other is None:
        _registered[skeleton.name] = skeleton
    elif other != skeleton:
        raise InputError(
            f"there are two different skeletons called {skeleton.name}, one of {other.num_keypoints} keypoints from "
            f"{other.keypoints[0]} on and one of {skeleton.num_keypoints} from {skeleton.keypoints[0]} on: give one of "
            "them another name"
        )
    return skeleton


class OfSkeleton:
    """A dataclass that names its layout in ``skeleton``: pickled for another process, it takes the layout along."""

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        return {**state, "_layout": _registered.get(state["skeleton"])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        layout = state.pop("_layout")
        if layout is not None:
            register(layout)
        self.__dict__.update(state)
