"""Whether an engine does what its model file does: both on the same frames, their maps and what is found in them.

How a network is run and its maps are decoded is handed in: this room knows no runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream.engine_builder.export.drift import measure_drift
from heatstream.engine_builder.export.onnx_session import open_session
from heatstream.errors import InputError
from heatstream.model_info import INPUT_NAME, ModelInfo

__all__ = ["LIMITS", "Sample", "Verification", "compare", "onnx_runner"]

LIMITS: Mapping[str, float] = MappingProxyType({"fp32": 1e-3, "fp16": 2e-2, "int8": 0.2})
"""How far any value of an output may be from the model file's, relative to the output's range, per precision.

For FP16 that is twice what an export may drift from torch: a GPU adds up in another order, and rounds between layers.
In INT8 a value that falls on the other side of a step differs by the whole step in everything behind it.
"""

SAME_PERSON = 0.1
"""A person is the same if its keypoints moved by less than this on average, relative to the diagonal around them."""

Maps = Mapping[str, NDArray[np.float32]]
Run = Callable[[NDArray[np.float32]], Maps]


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame to compare two networks on.

    Attributes:
        images: (1, 3, H, W) float32, as the network is fed.
        decode: finds the people in a network's maps of it: (P, K, 3) float32, x, y in px and the score, 0 where a
            keypoint is missing.
    """

    images: NDArray[np.float32]
    decode: Callable[[Maps], NDArray[np.float32]]


@dataclass(frozen=True)
class Verification:
    """How far an engine is from its model file.

    Attributes:
        frames: how many were compared.
        folder: human-readable name of their folder.
        maps: output -> largest difference, relative to the output's range.
        maps_rms: output -> root of the mean square of it.
        limit: what every one of `maps` has to keep.
        people: found in the model file's maps.
        matched: of them, found in the engine's maps as well.
        added: found only in the engine's maps.
        keypoints_px: of the people matched, how far keypoints moved: median, 95th percentile and largest; None
            where nobody was.
    """

    frames: int
    folder: str
    maps: Mapping[str, float]
    maps_rms: Mapping[str, float]
    limit: float
    people: int
    matched: int
    added: int
    keypoints_px: tuple[float, float, float] | None

    @property
    def passed(self) -> bool:
        """Whether every output keeps the limit."""
        return all(drift <= self.limit for drift in self.maps.values())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verification:
        """From what JSON made of its fields."""
        moved = content["keypoints_px"]
        return cls(**{**content, "keypoints_px": None if moved is None else tuple(moved)})


def compare(reference: Run, candidate: Run, samples: Sequence[Sample], *, folder: str, limit: float) -> Verification:
    """Run two networks on the same frames and compare their maps and the people found in these.

    Args:
        reference: gives what is expected: output -> (1, K, H / stride, W / stride) float32.
        candidate: gives what is to be judged, in the same form.
        samples: the frames.
        folder: that they are of.
        limit: see :data:`LIMITS`.

    Raises:
        InputError: there is no frame.
    """
    if not samples:
        raise InputError(f"{folder} holds no photograph to compare on: give another folder")
    pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}
    moved: list[NDArray[np.float64]] = []
    people = found = 0
    for sample in samples:
        expected, received = reference(sample.images), candidate(sample.images)
        for name, maps in expected.items():
            pairs.setdefault(name, []).append((maps, received[name]))
        before, after = sample.decode(expected), sample.decode(received)
        people, found = people + len(before), found + len(after)
        moved.extend(_movements(before, after))
    drifts = {name: measure_drift(both) for name, both in pairs.items()}
    distances = np.concatenate(moved) if moved else np.empty(0)
    return Verification(
        frames=len(samples),
        folder=folder,
        maps={name: drift.largest for name, drift in drifts.items()},
        maps_rms={name: drift.rms for name, drift in drifts.items()},
        limit=limit,
        people=people,
        matched=len(moved),
        added=found - len(moved),
        keypoints_px=_spread(distances) if distances.size else None,
    )


def onnx_runner(path: Path, info: ModelInfo, threads: int = 0) -> Run:
    """A model file on the CPU, as the reference of its engine.

    Raises:
        ModelFileError: it is missing or damaged.
        EngineError: ONNX Runtime cannot run it.
    """
    session, names = open_session(path, threads), list(info.outputs)
    return lambda images: dict(zip(names, session.run(names, {INPUT_NAME: images}), strict=True))


def _movements(before: NDArray[np.float32], after: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """For every person that is in both, how far its keypoints moved, in px; of those that are in both."""
    if not len(before) or not len(after):
        return []
    both = (before[:, None, :, 2] > 0) & (after[None, :, :, 2] > 0)  # (P, Q, K)
    distances = np.linalg.norm(before[:, None, :, :2].astype(np.float64) - after[None, :, :, :2], axis=-1)
    with np.errstate(invalid="ignore"):
        costs = np.where(both, distances, 0).sum(axis=-1) / both.sum(axis=-1)
    costs = np.where(both.any(axis=-1), costs, np.inf)
    reach = SAME_PERSON * np.array([_diagonal(person) for person in before])[:, None]
    near = costs <= reach
    rows, columns = linear_sum_assignment(np.where(near, costs, reach.max() + 1))
    return [
        distances[row, column][both[row, column]]
        for row, column in zip(rows, columns, strict=True)
        if near[row, column]
    ]


def _diagonal(person: NDArray[np.float32]) -> float:
    """Of the box around a person's keypoints, in px; at least one px."""
    points = person[person[:, 2] > 0, :2]
    return max(float(np.linalg.norm(np.ptp(points, axis=0))), 1.0) if len(points) else 1.0


def _spread(distances: NDArray[np.float64]) -> tuple[float, float, float]:
    median, high, largest = np.percentile(distances, [50, 95, 100])
    return float(median), float(high), float(largest)
