"""Smoothing: keypoints that keep still when people do, and keep up when they move.

Live, :class:`Smoother` is a One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) of every keypoint of everybody: a
low pass whose cutoff rises with the speed; and the body as a whole is never far behind. Speeds are in body heights per
second, so people near and far are treated alike. For files, :class:`ZeroPhaseSmoother` filters forwards and backwards
and takes the mean: the two lags are opposite and cancel.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heatstream.results import Poses, Result
from heatstream.runtime.body_size import as_complex, body_heights

__all__ = ["Smoother", "ZeroPhaseSmoother"]

# MediaPipe takes 0.05 Hz, 80 and 1 Hz for the landmarks of one clear person. At 80 the noise of a network that sees a
# whole frame, about a hundredth of a body height, passes for movement. Here the speed is that of the whole body, whose
# noise is small, plus that of the joint against it, of which speeds like those of noise count less.
LEAST_CUTOFF = 0.05  # Hz
CUTOFF_PER_SPEED = 12.0  # Hz per body height per second
NOISE_SPEED = 0.45  # body heights per second: from about here on a speed counts whole
# A speed is known only some frames after it began, the more of them the more there are in a second. So the joints
# together may not stay behind by more than this: four times the noise of their mean, and 0.6 of a frame's way at 60
# frames and one body height per second.
MOST_BEHIND = 0.01  # body heights
SPEED_CUTOFF = 1.0  # Hz, of the low pass of the speed

HELD_SCORE = 0.1  # a joint below is held where it was
TRUSTED_SCORE = 0.3  # a joint from here on counts whole; between the two it is blended in
LOST_SECONDS = 0.5  # a joint, or a person, that was away for longer begins anew
LEAST_SECONDS = 1e-3

LOOK_AHEAD_SECONDS = 0.5  # of the backward pass; its beginning is forgotten by then


@dataclass(eq=False)
class _Filter:
    """One person's state: (K,) each, x + iy; NaN where a joint was never seen.

    Attributes:
        points: as smoothed, px.
        measured: as last measured, px.
        velocities: body heights per second.
        height: px.
        time: when the person was seen last, seconds.
        times: when each joint was, seconds.
    """

    points: NDArray[np.complex64]
    measured: NDArray[np.complex64]
    velocities: NDArray[np.complex64]
    height: float
    time: float
    times: NDArray[np.float64]


class Smoother:
    """Takes the jitter out of people's keypoints: ``poses = smoother(poses, capture_time)``, frame by frame in order.

    It needs ids, of a :class:`heatstream.Tracker`: whoever has none is left as they are, and the state of an id ends
    with it. A joint of a low score is held on its body where it was, and not dragged to where it may not be; it keeps
    its score.

    One smoother is for one source, and for one thread at a time.
    """

    def __init__(self) -> None:
        self._filters: dict[int, _Filter] = {}

    def reset(self) -> None:
        """Forget everybody, as for another source."""
        self._filters.clear()

    def __call__(self, poses: Poses, capture_time: float) -> Poses:
        """The same people with smoother keypoints.

        Args:
            poses: the next frame's people, with ids.
            capture_time: when the frame was taken, in seconds.

        Returns:
            A copy with other ``keypoints``. Missing keypoints, those with score 0, stay at (0, 0).
        """
        filters: dict[int, _Filter] = {}
        keypoints = poses.keypoints.copy()
        measured, heights = as_complex(poses.keypoints), body_heights(poses)
        for person in np.flatnonzero(poses.ids >= 0):
            name, scores = int(poses.ids[person]), poses.keypoint_scores[person]
            own = self._filters.get(name)
            if own is None or not 0 <= capture_time - own.time <= LOST_SECONDS:
                own = _begin(measured[person], scores, float(heights[person]), capture_time)
            else:
                _go_on(own, measured[person], scores, float(heights[person]), capture_time)
            filters[name] = own
            shown = (scores > 0) & np.isfinite(own.points)
            keypoints[person][shown] = own.points[shown, None].view(np.float32)
        for name, own in self._filters.items():
            if name not in filters and 0 <= capture_time - own.time <= LOST_SECONDS:
                filters[name] = own
        self._filters = filters
        return replace(poses, keypoints=keypoints)


def _begin(measured: NDArray[np.complex64], scores: NDArray[np.float32], height: float, time: float) -> _Filter:
    points = np.where(scores >= HELD_SCORE, measured, np.complex64(np.nan))
    return _Filter(points, points.copy(), np.zeros(len(points), np.complex64), height, time, np.full(len(points), time))


def _go_on(
    own: _Filter, measured: NDArray[np.complex64], scores: NDArray[np.float32], height: float, time: float
) -> None:
    """Take one more frame in."""
    seconds = max(time - own.time, LEAST_SECONDS)
    own.height += (height - own.height) * float(_share(SPEED_CUTOFF, seconds))
    seen = scores >= HELD_SCORE
    new = seen & (np.isnan(own.points) | (time - own.times > LOST_SECONDS))
    known = seen & ~new
    before = own.points.copy()

    trust = np.clip((scores - HELD_SCORE) / (TRUSTED_SCORE - HELD_SCORE), 0, 1)[known]
    since = np.maximum(time - own.times[known], LEAST_SECONDS)
    # From the measured place to the measured place: from the smoothed one its noise would look like speed.
    moved = (measured[known] - own.measured[known]) / (own.height * since)
    velocities = own.velocities[known] + _share(SPEED_CUTOFF, since) * trust * (moved - own.velocities[known])
    body = np.sum(trust * velocities) / max(float(np.sum(trust)), 1e-6)
    cutoffs = LEAST_CUTOFF + CUTOFF_PER_SPEED * (_counted(np.abs(body)) + _counted(np.abs(velocities - body)))
    own.points[known] += trust * _share(cutoffs, since) * (measured[known] - own.points[known])
    behind = np.sum(trust * (measured[known] - own.points[known])) / max(float(np.sum(trust)), 1e-6)
    own.points[known] += behind * max(0.0, 1 - MOST_BEHIND * own.height / max(float(np.abs(behind)), 1e-6))
    own.velocities[known] = velocities

    own.points[new] = measured[new]
    own.velocities[new] = 0
    held = ~seen & ~np.isnan(own.points)
    if held.any() and known.any():
        own.points[held] += np.mean(own.points[known] - before[known])  # they go with the body
    own.measured[seen] = measured[seen]
    own.times[seen] = time
    own.time = time


def _counted(speeds: NDArray[np.float32]) -> NDArray[np.float32]:
    return speeds * speeds / (speeds + NOISE_SPEED)


def _share(cutoff: NDArray[np.float32] | float, seconds: NDArray[np.float64] | float) -> NDArray[np.float32]:
    """The share of a new value in a low pass of that cutoff in Hz."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff, np.float32) * seconds)), np.float32)


class ZeroPhaseSmoother:
    """The smoother for results of a file: no lag, because it also looks ahead, for which it keeps results back.

    One is for one file, and for one thread at a time. It holds up to twice :data:`LOOK_AHEAD_SECONDS` of results.
    """

    def __init__(self) -> None:
        self._forward = Smoother()
        self._waiting: deque[tuple[Result, Poses]] = deque()  # as found, and as smoothed forwards

    def add(self, result: Result) -> list[Result]:
        """Take the next result; gives those that are ready, in order."""
        self._waiting.append((result, self._forward(result.poses, result.capture_time)))
        first, last = self._waiting[0][0].capture_time, result.capture_time
        return self._give(last - LOOK_AHEAD_SECONDS) if last - first >= 2 * LOOK_AHEAD_SECONDS else []

    def finish(self) -> list[Result]:
        """What is left at the end."""
        return self._give(math.inf)

    def _give(self, until: float) -> list[Result]:
        """Smooth backwards all that waits, and give what was taken until then."""
        backward = Smoother()
        smooth = [
            _middle(result, forward, backward(result.poses, -result.capture_time))
            for result, forward in reversed(self._waiting)
        ]
        ready = [result for result in reversed(smooth) if result.capture_time <= until]
        for _ in ready:
            self._waiting.popleft()
        return ready


def _middle(result: Result, first: Poses, second: Poses) -> Result:
    keypoints: NDArray[np.float32] = (first.keypoints + second.keypoints) / np.float32(2)
    return replace(result, poses=replace(result.poses, keypoints=keypoints))
