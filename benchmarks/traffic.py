"""The bytes that each kernel must move between the GPU's memory and its multiprocessors, and the times they predict.

Every value counts once, as if caches held what neighbours share; a time predicted from it is a floor, and leaves out
what a launch and a chain of dependent steps cost. ``python -m benchmarks.traffic`` prints the table of
docs/kernels.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.kernels import DecodeSettings, Geometry, decode_poses
from heatstream.kernels.cuda.maps import TILE, DeviceMaps
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.reference.crops import BOX_SCALE
from heatstream.kernels.reference.pack import packed_dtype
from heatstream.kernels.synthetic import make_scene

__all__ = [
    "DecodeWork",
    "chain_bytes",
    "crop_bytes",
    "decode_bytes",
    "letterbox_bytes",
    "map_bytes",
    "predicted_table",
    "work_of",
]

KEY = 8
H3R_WINDOW = 49  # px that a position is taken from


@dataclass(frozen=True)
class DecodeWork:
    """What the kernels found in a batch, on which their work depends.

    Attributes:
        peaks: over all images and joints.
        people: over all images.
        lacked: planes (image, joint) that somebody lacks, which refine sweeps.
        missing: joints that people lack, over all images.
    """

    peaks: int
    people: int
    lacked: int
    missing: int


def work_of(people: NDArray[np.int32], members: NDArray[np.uint8], counts: NDArray[np.int32]) -> DecodeWork:
    """From the buffers of a finished decode, in host memory."""
    lacked = missing = 0
    for count, rows in zip(people, members, strict=True):
        lacks = rows[:count] == 255
        lacked, missing = lacked + int(lacks.any(axis=0).sum()), missing + int(lacks.sum())
    return DecodeWork(int(counts.sum()), int(people.sum()), lacked, missing)


def map_bytes(size: tuple[int, int], *, real: int = 2) -> tuple[int, int]:
    """Bytes of one joint's heatmaps, at 1/4 and at 1/2 which is the working size, and of its tags at 1/4."""
    pixels = size[0] * size[1]
    return real * (pixels + pixels // 4), real * pixels // 4


def decode_bytes(
    images: int,
    joints: int,
    size: tuple[int, int],
    work: DecodeWork,
    *,
    most: int = 30,
    capacity: int = 128,
    real: int = 2,
) -> dict[str, int]:
    """Per kernel, for one run of the network without flip, at 1/2 of the input, T = 1."""
    heatmap, tag = map_bytes(size, real=real)
    planes = images * joints
    tiles = -(-size[0] // TILE) * -(-size[1] // TILE)
    detections = planes * most
    rows = work.people
    return {
        "tile_peaks": planes * (heatmap + tag) + planes * tiles * 4 + work.peaks * KEY,
        "select_peaks": planes * tiles * 4 + work.peaks * (KEY + H3R_WINDOW * 2 * real) + detections * 20 + planes * 4,
        "group": planes * 4 + detections * 8 + rows * (joints * (1 + KEY) + 8),
        "refine": rows * (joints + 4) + work.lacked * (heatmap + tag) + work.missing * KEY,
        "pack": rows * joints * (1 + 12)
        + work.missing * (KEY + H3R_WINDOW * 2 * real)
        + images * packed_dtype(joints, capacity).itemsize,
    }


def letterbox_bytes(frame_size: tuple[int, int], geometry: Geometry, *, real: int = 2) -> int:
    """Bytes of the rows of a BGR frame that the warp looks at, and of the network's input."""
    height, width = geometry.input_size
    inverse = geometry.inverse(geometry.input_size)
    first = np.floor(np.arange(height) * inverse[1, 1] + inverse[1, 2]).astype(int)
    rows = np.unique(np.concatenate([first, first + 1]))
    rows = rows[(rows >= 0) & (rows < frame_size[0])]
    return len(rows) * frame_size[1] * 3 + 3 * height * width * real


def crop_bytes(faces: int, face_side: int, input_side: int, *, real: int = 2) -> int:
    """Bytes of what lies under faces of so many px in a BGR frame, upright and apart, and of the network's input."""
    return round(faces * 3 * ((BOX_SCALE * face_side) ** 2 + real * input_side**2))


def chain_bytes(chain: PoseDecoder, maps: DeviceMaps, work: DecodeWork) -> dict[str, int]:
    """Of a prepared decode."""
    real = 2 if maps.macros["HALF_MAPS"] else 4
    return decode_bytes(
        maps.images,
        maps.num_joints,
        maps.size,
        work,
        most=chain.settings.max_people,
        capacity=chain.capacity,
        real=real,
    )


def predicted_table(bandwidth: float, people: tuple[int, ...] = (0, 5, 30), side: int = 256) -> str:
    """Markdown: bytes and microseconds of one image of 17 joints, float16, at bytes per microsecond."""

    def cell(nbytes: int) -> str:
        return f"{nbytes / 1e3:.0f} kB, {nbytes / bandwidth:.2f} µs"

    columns, groups = [], []
    for count in people:
        scene = make_scene(np.random.default_rng(0), count, size=(side, side), tag_size=1)
        found = decode_poses(scene.heatmaps[None], scene.tags[None], DecodeSettings(refine=False))[0]
        members = np.where(found.keypoint_scores > 0, 0, 255).astype(np.uint8)
        work = work_of(np.array([len(found)]), members[None], np.count_nonzero(members == 0, axis=0)[None])
        columns.append(decode_bytes(1, 17, (side, side), work))
        groups.append(len(found))
    head = " | ".join(f"{count} people ({group} groups)" for count, group in zip(people, groups, strict=True))
    lines = [f"| kernel | {head} |", f"|---|{'---|' * len(people)}"]
    for name in columns[0]:
        lines.append(f"| {name} | {' | '.join(cell(column[name]) for column in columns)} |")
    lines.append(f"| all five | {' | '.join(cell(sum(column.values())) for column in columns)} |")
    for size in ((1080, 1920), (2160, 3840)):
        nbytes = letterbox_bytes(size, Geometry.reference(size, 512))
        lines.append(f"| letterbox, {size[1]}x{size[0]} to 512 px | {' | '.join([cell(nbytes)] * len(people))} |")
    for face in (100, 400):
        lines.append(
            f"| crops, 8 faces of {face} px to 256 px | {' | '.join([cell(crop_bytes(8, face, 256))] * len(people))} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bandwidth", type=float, default=4.8, help="of the GPU's memory in TB/s; an H200's is 4.8")
    print(predicted_table(parser.parse_args().bandwidth * 1e6))


if __name__ == "__main__":
    main()
