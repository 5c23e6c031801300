"""Cases for the whole decode, which the emulator and a GPU run alike: maps, and what the references make of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.kernels import DecodeSettings, aggregate, decode_poses, merge_flipped
from heatstream.kernels.cuda.device import Device
from heatstream.kernels.cuda.maps import DeviceMaps
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.reference.pack import NOT_FINITE, pack_poses
from heatstream.kernels.reference.peaks import find_peaks
from heatstream.kernels.synthetic import make_scene
from heatstream.skeletons import COCO_17

__all__ = [
    "CASES",
    "DEFAULT",
    "TO_SOURCE",
    "Case",
    "assert_same",
    "crowd",
    "expected_people",
    "make_case",
    "network",
    "run",
    "skeletons_of_any_size",
]

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]
Upload = Callable[[NDArray[Any]], Any]
TO_SOURCE = np.array([[1.7, 0.1, -3.3], [-0.2, 2.3, 11.1]])
DEFAULT = DecodeSettings()


@contextmanager
def skeletons_of_any_size() -> Iterator[None]:
    """Layouts of 1 and of 133 keypoints, with an order of grouping that is not that of the maps."""
    added = {}
    for joints in (1, 133):
        order = tuple(np.random.default_rng(joints).permutation(joints).tolist())
        names = tuple(f"point_{joint}" for joint in range(joints))
        colors = ((0, 0, 0),) * joints
        added[f"test-{joints}"] = skeletons.Skeleton(f"test-{joints}", names, (), (), None, order, colors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skeletons, "SKELETONS", {**skeletons.SKELETONS, **added})
        yield


def expected_people(working: Maps, wanted: DecodeSettings, capacity: int) -> NDArray[np.void]:
    """What the references give for maps of the working size, in source px."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        poses = decode_poses(*working, wanted)
    overflow = []
    for image, planes in zip(*working, strict=True):
        peaks = find_peaks(
            image,
            threshold=wanted.detection_threshold,
            nms_kernel=wanted.nms_kernel,
            capacity=wanted.max_people,
            plateaus=wanted.plateaus,
        )
        overflow.append(peaks.overflow if np.isfinite(image).all() and np.isfinite(planes).all() else 0)
    state = [
        0 if np.isfinite(image).all() and np.isfinite(planes).all() else NOT_FINITE
        for image, planes in zip(*working, strict=True)
    ]
    to_source = np.tile(TO_SOURCE, (len(poses), 1, 1))
    return pack_poses(poses, to_source, capacity=capacity, peaks_overflow=overflow, state=state)


def assert_same(found: NDArray[np.void], expected: NDArray[np.void], wanted: DecodeSettings) -> None:
    """The same people in the same places."""
    for name in ("people", "peaks_overflow", "people_overflow", "state"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for name in ("started", "score"):
        np.testing.assert_array_equal(found["records"][name], expected["records"][name], err_msg=name)
    # The mean over a window is summed in another order than the reference's; all else is the same to the last bit.
    atol = 1e-3 if wanted.adjust == "h3r" else 0
    np.testing.assert_allclose(found["records"]["keypoints"], expected["records"]["keypoints"], rtol=0, atol=atol)


def run(
    maps: DeviceMaps, wanted: DecodeSettings, device: Device, *, capacity: int = 64, stream: Any = None
) -> NDArray[np.void]:
    """Decode with the kernels; results are in source px, in host memory."""
    chain = PoseDecoder.prepare(maps, wanted, capacity=capacity, device=device)
    to_source = device.upload(np.tile(TO_SOURCE, (maps.images, 1, 1)))
    packed = device.empty(chain.packed_shape, np.int32)
    chain.launch(maps, to_source, packed, stream=stream)
    on_host: NDArray[np.int32] = packed.get() if hasattr(packed, "get") else packed
    return on_host.view(chain.packed_dtype)[:, 0]


def crowd(seed: int, people: int, *, images: int = 2, joints: int = 17, size: tuple[int, int] = (40, 72)) -> Maps:
    """Images of people close to each other."""
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng, people, joints=joints, size=size, tag_size=1, tag_spacing=0.6) for _ in range(images)]
    return np.stack([scene.heatmaps for scene in scenes]), np.stack([scene.tags for scene in scenes])


def network(
    seed: int,
    dtype: type,
    *,
    flip: bool,
    project: bool,
    people: int = 6,
    half_size: tuple[int, int] = (40, 72),
    upload: Upload = np.asarray,
) -> tuple[DeviceMaps, Maps]:
    """Crowds as a network would give them, at 1/4 and 1/2, and the same averaged by the references."""
    half, tags = crowd(seed, people, images=4 if flip else 2, size=half_size)
    half = half.astype(dtype)
    quarter, tags = (np.ascontiguousarray(maps[:, :, ::2, ::2]) for maps in (half, tags[..., 0].astype(dtype)))
    size = (2 * half_size[0], 2 * half_size[1]) if project else None
    maps = DeviceMaps.network(
        (upload(quarter), upload(half)),
        upload(tags),
        size=size,
        flip_indices=COCO_17.flip_indices if flip else None,
    )
    averaged, planes = aggregate(
        (quarter.astype(np.float32), half.astype(np.float32)), tags.astype(np.float32), size=size
    )
    if not flip:
        return maps, (averaged, planes)
    plain, mirrored = (averaged[::2], planes[::2]), (averaged[1::2], planes[1::2])
    return maps, merge_flipped(plain, mirrored, COCO_17.flip_indices)


# ---- Maps of all kinds ----


def heatmaps_of(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(B, K, H, W) maps of one of the kinds that :data:`KINDS` names."""
    maps = np.zeros(shape)
    if kind == "constant":
        maps[...] = rng.choice([0.05, 0.5, 1.0])
    elif kind == "one pixel":
        maps[rng.integers(shape[0]), rng.integers(shape[1]), rng.integers(shape[2]), rng.integers(shape[3])] = 0.7
    elif kind == "borders":
        maps[..., [0, -1], :] = rng.random((*shape[:2], 2, shape[3]))
        maps[..., :, [0, -1]] = rng.random((*shape[:3], 2))
    elif kind == "ties":
        maps = rng.integers(-1, 4, shape) / 4
    elif kind == "saturated":
        maps = np.minimum(rng.random(shape) * 1.5, 1.0)
    elif kind == "noise":  # with more than 32 candidates as soon as the maps are large enough
        maps = rng.normal(0.3, 0.3, shape)
    elif kind == "large":
        maps = rng.normal(0, 1000, shape)
    elif kind == "blobs":
        scene = make_scene(rng, 5, joints=shape[1], size=shape[2:], tag_size=1)
        maps[...] = scene.heatmaps
    return maps


KINDS = ("empty", "constant", "one pixel", "borders", "ties", "saturated", "noise", "large", "blobs")
# Few, since each is compiled: joints, tag planes, type, settings.
CONFIGURATIONS = (
    (1, 1, np.float32, DecodeSettings(max_people=32, nms_kernel=1, adjust="none")),
    (17, 2, np.float16, DEFAULT),
    (17, 1, np.float32, DecodeSettings(adjust="h3r", refine=False, person_threshold=0.04)),
    (133, 2, np.float32, DecodeSettings(max_people=5, nms_kernel=9)),
)


CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "kind": st.sampled_from(KINDS),
    "configuration": st.sampled_from(range(len(CONFIGURATIONS))),
    "images": st.integers(1, 4),
    "size": st.tuples(st.integers(1, 45), st.integers(1, 45)),
    "tag_levels": st.sampled_from([0, 1, 3]),
    "threshold": st.sampled_from([0.1, 0.0, 0.6]),
    "detection_decides": st.booleans(),
    "broken": st.sampled_from([None, None, None, np.nan, np.inf, -np.inf]),
}


@dataclass(frozen=True)
class Case:
    """Maps as a network's type holds them, and how to decode them."""

    heatmaps: NDArray[Any]
    tags: NDArray[Any]
    wanted: DecodeSettings

    def on(self, upload: Upload) -> DeviceMaps:
        return DeviceMaps.plain(upload(self.heatmaps), upload(self.tags))

    @property
    def working(self) -> Maps:
        return self.heatmaps.astype(np.float32), self.tags.astype(np.float32)


def make_case(
    seed: int,
    kind: str,
    configuration: int,
    images: int,
    size: tuple[int, int],
    tag_levels: int,
    threshold: float,
    detection_decides: bool,
    broken: float | None,
) -> Case:
    """Maps of one of :data:`KINDS`; with few tag levels distances tie, and `broken` stands in one place."""
    rng = np.random.default_rng(seed)
    joints, tag_size, dtype, wanted = CONFIGURATIONS[configuration]
    if kind == "blobs":
        size = (max(size[0], 12), max(size[1], 12))  # make_scene needs some room
    heatmaps = heatmaps_of(kind, rng, (images, joints, *size)).astype(dtype)
    shape = (images, joints, *size, tag_size)
    tags = (rng.integers(0, tag_levels, shape) if tag_levels else rng.normal(0, 2, shape)).astype(dtype)
    if broken is not None:
        target: NDArray[Any] = heatmaps if rng.random() < 0.5 else tags
        target.reshape(-1)[rng.integers(target.size)] = broken
    wanted = replace(wanted, detection_threshold=threshold, use_detection_score=detection_decides)
    return Case(heatmaps, tags, wanted)
