"""A skeleton as a table of plain values: in recipes (TOML), checkpoints and model files (JSON).

::

    [skeleton]
    name = "puppet-5"
    keypoints = ["head", "left_hand", "right_hand", "left_foot", "right_foot"]
    limbs = [["head", "left_hand"], ["head", "right_hand"]]
    # what may be left out:
    flip_pairs = [["left_hand", "right_hand"], ["left_foot", "right_foot"]]  # else by left and right in the names
    sigmas = [0.03, 0.06, 0.06, 0.09, 0.09]                                  # else COCO's, or DEFAULT_SIGMA
    grouping_order = ["head", "left_hand", "right_hand", "left_foot", "right_foot"]  # else as they stand
    colors = [[66, 228, 240], [233, 180, 86], [0, 159, 230], [178, 114, 0], [0, 94, 213]]  # BGR; else by side

Labels in COCO's format hold the same in their category: :func:`skeleton_of_category`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from heatstream.errors import InputError
from heatstream.skeletons import COCO_17, DEFAULT_SIGMA, MOST_KEYPOINTS, SKELETONS, Skeleton, side_colors

__all__ = ["plain_name", "skeleton_from_table", "skeleton_of_category", "skeleton_to_table"]

LONGEST_NAME = 64
KEYS = ("name", "keypoints", "limbs", "flip_pairs", "sigmas", "grouping_order", "colors")
SPELLINGS = {"top_head": "head_top"}
"""Keypoints that CrowdPose's files call differently from :mod:`heatstream.skeletons`."""

PLACEHOLDER = re.compile(r"(?:keypoint|kp|point|joint|landmark|label)?_?\d+")
"""A name that tells nothing."""

WHEEL = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (178, 114, 0), (0, 94, 213), (167, 121, 204))
"""Okabe and Ito's palette, in BGR: the colours of keypoints that have no side."""


def skeleton_from_table(table: Mapping[str, Any]) -> Skeleton:
    """Make a skeleton of its table.

    Args:
        table: as above; keypoints are named, not numbered.

    Raises:
        InputError: a key is unknown or missing, or a value cannot be.
    """
    unknown = sorted(set(map(str, table)) - set(KEYS))
    if unknown:
        raise InputError(f"a skeleton has no {unknown[0]!r}: it has {', '.join(KEYS)}")
    name, keypoints = table.get("name"), table.get("keypoints")
    if not _is_name(name):
        raise InputError(f"a skeleton's name is a text of 1 to {LONGEST_NAME} characters, got {name!r:.80}")
    if not _is_list(keypoints) or not 1 <= len(keypoints) <= MOST_KEYPOINTS or not all(map(_is_name, keypoints)):
        raise InputError(
            f"the keypoints of {name} are 1 to {MOST_KEYPOINTS} names of 1 to {LONGEST_NAME} characters, got "
            f"{keypoints!r:.80}"
        )
    index = {keypoint: number for number, keypoint in enumerate(keypoints)}
    if len(index) < len(keypoints):
        twice = next(keypoint for number, keypoint in enumerate(keypoints) if index[keypoint] != number)
        raise InputError(f"{name} has two keypoints called {twice}: give each a name of its own")
    limbs = _pairs(name, "limbs", table.get("limbs") or (), index)
    pairs = table.get("flip_pairs")
    flip_pairs = _mirrored(keypoints) if pairs is None else _pairs(name, "flip_pairs", pairs, index)
    if len({keypoint for pair in flip_pairs for keypoint in pair}) < 2 * len(flip_pairs):
        raise InputError(f"a keypoint of {name} is in two flip_pairs: each changes places with one other")
    order = table.get("grouping_order")
    if order is not None and (not _is_list(order) or sorted(map(str, order)) != sorted(keypoints)):
        raise InputError(f"the grouping_order of {name} must name every keypoint once")
    return Skeleton(
        name=str(name),
        keypoints=tuple(keypoints),
        limbs=tuple(limbs),
        flip_pairs=tuple(sorted((min(pair), max(pair)) for pair in flip_pairs)),
        sigmas=_sigmas(name, table.get("sigmas"), keypoints),
        grouping_order=tuple(range(len(keypoints)) if order is None else (index[keypoint] for keypoint in order)),
        colors=_colors(name, table.get("colors"), keypoints, flip_pairs),
    )


def skeleton_to_table(skeleton: Skeleton) -> dict[str, Any]:
    """The table of a skeleton, every value written out; :func:`skeleton_from_table` makes the same skeleton of it."""

    def named(pairs: Sequence[tuple[int, int]]) -> list[list[str]]:
        return [[skeleton.keypoints[first], skeleton.keypoints[second]] for first, second in pairs]

    return {
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "limbs": named(skeleton.limbs),
        "flip_pairs": named(skeleton.flip_pairs),
        "sigmas": list(skeleton.sigmas or (DEFAULT_SIGMA,) * skeleton.num_keypoints),
        "grouping_order": [skeleton.keypoints[number] for number in skeleton.grouping_order],
        "colors": [list(color) for color in skeleton.colors],
    }


def skeleton_of_category(category: Mapping[str, Any], count: int) -> Skeleton:
    """The skeleton that a category of COCO's format describes: a known one, or one of its own.

    A known one is meant where the names are its names, and where the category names nothing and one of COCO's or
    CrowdPose's has as many. Another is called after its category, its number of keypoints and its content, such as
    ``"dog-9-1f3a9c"``; a table in the recipe gives it any other name.

    Args:
        category: with COCO's ``name``, ``keypoints`` and ``skeleton`` (limbs, numbered from 1); ``sigmas`` and
            ``keypoint_colors`` (``"#rrggbb"``) are read where tools write them. Names may be missing.
        count: how many keypoints its people have.

    Raises:
        InputError: what it says cannot be a skeleton.
    """
    names = category.get("keypoints") or [f"keypoint_{number}" for number in range(count)]
    plain = [plain_name(name) for name in names]
    telling = not all(PLACEHOLDER.fullmatch(name) for name in plain)
    for skeleton in SKELETONS.values():
        if plain == list(skeleton.keypoints) or (not telling and skeleton.num_keypoints == count):
            return skeleton
    limbs = category.get("skeleton") or ()
    if not _is_list(limbs) or not all(_is_limb(limb, len(names)) for limb in limbs):
        raise InputError(f"its skeleton is not pairs of numbers from 1 to {len(names)}")
    table: dict[str, Any] = {
        "keypoints": [str(name) for name in names],
        "limbs": [[str(names[first - 1]), str(names[second - 1])] for first, second in limbs],
    }
    if _is_list(category.get("sigmas")) and len(category["sigmas"]) == len(names):
        table["sigmas"] = category["sigmas"]
    colors = category.get("keypoint_colors")
    if _is_list(colors) and len(colors) == len(names) and all(_is_hex(color) for color in colors):
        table["colors"] = [list(bytes.fromhex(color[1:]))[::-1] for color in colors]
    digest = hashlib.sha256(json.dumps(table).encode()).hexdigest()[:6]
    kind = re.sub(r"[^a-z0-9]+", "-", str(category.get("name", "person")).lower()).strip("-")[:24] or "person"
    return skeleton_from_table({"name": f"{kind}-{len(names)}-{digest}", **table})


def plain_name(name: object) -> str:
    """A keypoint's name as it is compared: lower case, words joined by underscores, sides written out."""
    text = re.sub(r"[\s-]+", "_", str(name).strip().lower())
    text = re.sub(r"^([lr])_", lambda side: {"l": "left_", "r": "right_"}[side[1]], text)
    return SPELLINGS.get(text, text)


def _mirrored(keypoints: Sequence[str]) -> list[tuple[int, int]]:
    """The keypoints whose names differ by left and right alone, or by L and R as a word."""
    index = {keypoint.lower(): number for number, keypoint in enumerate(keypoints)}
    pairs = []
    for keypoint, number in index.items():
        for left, right in ((r"left", "right"), (r"(?<![a-z])l(?![a-z])", "r")):
            other = index.get(re.sub(left, right, keypoint))
            if other is not None and other != number:
                pairs.append((number, other))
                break
    return pairs


def _pairs(name: object, key: str, pairs: object, index: Mapping[str, int]) -> list[tuple[int, int]]:
    if not _is_list(pairs):
        raise InputError(f"the {key} of {name} are pairs of keypoints, got {pairs!r:.80}")
    found = []
    for pair in pairs:
        if not _is_list(pair) or len(pair) != 2 or not all(isinstance(each, str) and each in index for each in pair):
            raise InputError(f"the {key} of {name} are pairs of its keypoints, and {pair!r:.80} is none")
        if pair[0] == pair[1]:
            raise InputError(f"the {key} of {name} join {pair[0]} with itself: name two keypoints")
        found.append((index[pair[0]], index[pair[1]]))
    return found


def _sigmas(name: object, sigmas: object, keypoints: Sequence[str]) -> tuple[float, ...]:
    if sigmas is None:
        measured = dict(zip(COCO_17.keypoints, COCO_17.sigmas or (), strict=True))
        return tuple(measured.get(plain_name(keypoint), DEFAULT_SIGMA) for keypoint in keypoints)
    if not _is_list(sigmas) or len(sigmas) != len(keypoints) or not all(map(_is_sigma, sigmas)):
        raise InputError(f"the sigmas of {name} are {len(keypoints)} numbers above 0 and up to 1, got {sigmas!r:.80}")
    return tuple(float(sigma) for sigma in sigmas)


def _colors(
    name: object, colors: object, keypoints: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int, int], ...]:
    if colors is None:
        if pairs:
            return side_colors([plain_name(keypoint) for keypoint in keypoints])
        return tuple(WHEEL[number % len(WHEEL)] for number in range(len(keypoints)))
    if not _is_list(colors) or len(colors) != len(keypoints) or not all(map(_is_color, colors)):
        raise InputError(
            f"the colors of {name} are {len(keypoints)} times blue, green, red from 0 to 255, got {colors!r:.80}"
        )
    return tuple((int(color[0]), int(color[1]), int(color[2])) for color in colors)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip()


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_limb(value: Any, count: int) -> bool:
    return _is_list(value) and len(value) == 2 and all(_is_whole(number, 1, count) for number in value)


def _is_sigma(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _is_color(value: Any) -> bool:
    return _is_list(value) and len(value) == 3 and all(_is_whole(channel, 0, 255) for channel in value)


def _is_hex(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value) is not None
