"""The tracker: who of this frame is who of the frames before, by keypoints and capture times.

Every person that is followed has a pose, a height, and a Kalman filter of the body's movement. A detection is compared
with the predicted pose in two parts, because they go wrong for different reasons:

* *where*: the mean displacement of the joints against the filter's own uncertainty, which grows with the seconds that
  a person is out of sight: that is the gate;
* *what posture*: the object keypoint similarity (OKS) of what is left after that displacement. Left and right may have
  changed places, which networks do for a frame or two; the person is still the same.

Both are likelihoods, so a person out of sight for a second, who could be anywhere, does not win over one who was there
a frame ago. Detections are assigned in two passes: the sure ones to everybody, then the doubtful ones to those who were
in view just now; doubtful ones never begin a track and never bring back somebody lost.

Two passes by score are ByteTrack's (Zhang et al., ECCV 2022). The velocity is an Ornstein-Uhlenbeck process, Singer's
model of a target that turns (IEEE TAES 1970) applied to velocity: it forgets within a second, in seconds and not in
frames, so dropped frames change nothing. Distances are in body heights, speeds in body heights per second. Points are
complex numbers, x + iy, so that one operation moves both.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.results import Poses
from heatstream.runtime.body_size import SEEN_SCORE, as_complex, body_heights

__all__ = ["Tracker"]

Floats = NDArray[np.float32]
Points = NDArray[np.complex64]
Indices = NDArray[np.intp]

# Scores of people: the mean over all joints, where missing ones count as 0.
SURE_SCORE = 0.2
DOUBTFUL_SCORE = 0.08

# Movement, in body heights and seconds. People walk at 0.8 body heights per second.
SPEED = 0.8  # standard deviation of a velocity that nothing is known about
STILL = 0.3  # how much the velocity of somebody who stands may change; who moves may change theirs by as much more
FORGET_SECONDS = 0.6  # after which a velocity says little
MEASURED = 0.03  # standard deviation of the mean displacement of a well seen body
SCATTER = 0.25  # of the joints' scatter that counts as variance of their mean displacement

# Posture, in body heights.
OKS_SIZE = 0.45  # square root of COCO's area of a standing person, in body heights
POSTURE = 0.03  # what a joint is off beyond the annotators' spread
POSTURE_PER_SECOND = 0.4  # how fast limbs move against the body
POSTURE_MOST = 0.15

GATE = 3.5**2  # squared standard deviations of the displacement
SIMILAR = 0.1  # least OKS
FEW = 0.5  # joints' weight that is added to the seen ones': likeness by very few joints counts less
USUAL_SIGMA = 0.079  # for a skeleton without sigmas, that of COCO's shoulders
SAME_REACH = 0.4  # body heights between the middles of two detections of one person, at most
SAME = 0.7  # OKS from which two detections of one frame are one person
FLIP_COST = 1.0  # a flip is taken for the rarer thing: 1 in log likelihood
FLIP_LOOK = 0.6  # OKS below which a flip is looked for
REACH = 0.6  # body heights between the middles of poses, beyond the gate, that are compared at all

STEADY_SECONDS = 0.5  # over which sizes are averaged and the joints' weights fade
RECENT_SECONDS = 0.5  # who was seen so lately counts as in view
UNCONFIRMED_SECONDS = 0.3  # how long somebody seen once is waited for
LEAST_SECONDS = 1e-3  # between two frames
BACKWARDS_SECONDS = 2.0  # clocks are set; a larger step back is another clip

IMPOSSIBLE = 1e6


class Tracker:
    """Gives people ids that stay: ``poses = tracker(poses, capture_time)``, frame by frame in order.

    An id, from 1, belongs to one person for good: it is never given to two people of a frame, and never again after its
    person was forgotten. Somebody seen for the first time has id -1, and an id from the second sight on, so a
    false detection of one frame gets none; in the first frame everybody sure has one at once. Dropped frames and
    changing rates are no trouble, as all that is reckoned with are times.

    :func:`heatstream.stream` has a tracker of its own. One tracker is for one source, and for one thread at a time.

    Args:
        memory: seconds after which somebody out of sight is forgotten; who comes back sooner, near where they
            would be, has the same id.

    Raises:
        InputError: ``memory`` is not a positive number.
    """

    def __init__(self, *, memory: float = 3.0) -> None:
        if not 0 < memory < math.inf:
            raise InputError(f"memory must be a positive number of seconds, got {memory}")
        self.memory = memory
        self._next_id = 1
        self._skeleton = ""
        self.reset()

    def reset(self) -> None:
        """Forget everybody, as for another source; ids go on and are not given again."""
        self._time: float | None = None
        self._seconds = LEAST_SECONDS  # between the last two frames

    def __call__(self, poses: Poses, capture_time: float) -> Poses:
        """The same people with their ids filled in.

        Args:
            poses: the next frame's people.
            capture_time: when the frame was taken, in seconds since any beginning.

        Returns:
            A copy with other ``ids``, which shares the other arrays.
        """
        seconds = self._step(poses, capture_time)
        people = _Detections(poses)
        if seconds is None:
            self._begin(poses)
            self._add(people, np.flatnonzero(people.sure), confirmed=True)
            ids = np.full(len(poses), -1, np.int64)
            ids[people.sure] = self._ids
            return replace(poses, ids=ids)
        self._predict(seconds)
        rows, tracks, shifts, measured = self._match(people)
        self._update(people, rows, tracks, shifts, measured, seconds)
        ids = np.full(len(poses), -1, np.int64)
        ids[rows] = self._ids[tracks]
        free = people.sure.copy()
        free[rows] = False
        if free.any():
            self._add(people, np.flatnonzero(free), confirmed=False)
        self._forget()
        return replace(poses, ids=ids)

    def _step(self, poses: Poses, capture_time: float) -> float | None:
        """Seconds since the last frame; None where everything begins anew."""
        last, self._time = self._time, capture_time
        if last is None or poses.skeleton != self._skeleton:
            return None
        seconds = capture_time - last
        if not -BACKWARDS_SECONDS < seconds < self.memory:
            return None
        if seconds < 0:
            seconds = self._seconds
        self._seconds = max(seconds, LEAST_SECONDS)
        return self._seconds

    def _begin(self, poses: Poses) -> None:
        self._skeleton = poses.skeleton
        joints = poses.keypoints.shape[1]
        self._ids: NDArray[np.int64] = np.empty(0, np.int64)  # -1 until confirmed
        self._points: Points = np.empty((0, joints), np.complex64)  # px, x + iy
        self._weights: Floats = np.empty((0, joints), np.float32)  # of the joints, 0 where never seen
        self._sizes: Floats = np.empty(0, np.float32)  # px
        self._velocities: Points = np.empty(0, np.complex64)  # px/s
        # Variances in body heights: position, position with velocity, velocity; the same along x and y.
        self._variances: Floats = np.empty((3, 0), np.float32)
        self._unseen: Floats = np.empty(0, np.float32)  # seconds

    def _predict(self, seconds: float) -> None:
        """Move everybody on by so many seconds."""
        kept = math.exp(-seconds / FORGET_SECONDS)
        way = FORGET_SECONDS * (1 - kept)
        self._points += np.float32(way) * self._velocities[:, None]
        self._velocities *= np.float32(kept)
        step = np.array([[1, 2 * way, way * way], [0, kept, kept * way], [0, 0, kept * kept]], np.float32)
        growth = np.array(
            [
                FORGET_SECONDS**2 * (2 * seconds / FORGET_SECONDS - 3 + 4 * kept - kept * kept),
                FORGET_SECONDS * (1 - kept) ** 2,
                1 - kept * kept,
            ],
            np.float32,
        )
        spread = np.square(STILL + np.abs(self._velocities) / self._sizes)
        self._variances = step @ self._variances + growth[:, None] * spread
        self._unseen += np.float32(seconds)

    def _match(self, people: _Detections) -> tuple[Indices, Indices, Points, Floats]:
        """Which detections are which tracks: rows, tracks, the displacement of each in px, and its variance."""
        if not people.usable.any() or not len(self._ids):
            return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.complex64), np.empty(0, np.float32)
        rows, tracks = self._near(people)
        scales = self._tolerance(people)
        likeness, shifts, scatter = self._compare(people.points, people.weights, rows, tracks, scales)
        area = np.square(self._sizes)
        good = likeness > FLIP_LOOK
        lonely = people.usable.copy()
        lonely[rows[good]] = False
        if lonely.any() and people.flips is not None:
            # Flips are rare: only people and tracks are looked at again who found nobody.
            found = np.zeros(len(self._ids), bool)
            found[tracks[good]] = True
            odd = np.flatnonzero(lonely[rows] & ~found[tracks])
            if len(odd):
                points, weights = people.points[:, people.flips], people.weights[:, people.flips]
                flipped, *others = self._compare(points, weights, rows[odd], tracks[odd], scales)
                flipped *= math.exp(-FLIP_COST)
                better = flipped > likeness[odd]
                odd = odd[better]
                likeness[odd], shifts[odd], scatter[odd] = flipped[better], others[0][better], others[1][better]
        # The mean of joints that disagree is worth less.
        areas = area.take(tracks)
        measured = np.float32(MEASURED**2) + np.float32(SCATTER) * (scatter / areas)
        variance = self._variances[0].take(tracks) + measured
        distance = _squared(shifts) / (areas * variance)
        possible = np.flatnonzero((distance < GATE) & (likeness > SIMILAR))
        rows, tracks = rows.take(possible), tracks.take(possible)
        pairs = np.full(people.usable.shape + self._ids.shape, -1, np.intp)
        pairs[rows, tracks] = possible
        costs = np.full(pairs.shape, IMPOSSIBLE, np.float32)
        odds = variance.take(possible) / (np.float32(MEASURED**2) * likeness.take(possible))
        costs[rows, tracks] = 0.5 * distance.take(possible) + np.log(odds)
        rows, tracks = _assign(costs, np.flatnonzero(people.sure), np.arange(len(self._ids)))
        doubtful = np.flatnonzero(people.usable & ~people.sure)
        if len(doubtful):
            left = self._unseen < RECENT_SECONDS
            left[tracks] = False
            more_rows, more_tracks = _assign(costs, doubtful, np.flatnonzero(left))
            rows, tracks = np.concatenate([rows, more_rows]), np.concatenate([tracks, more_tracks])
        chosen = pairs[rows, tracks]
        return rows, tracks, shifts[chosen], measured[chosen]

    def _near(self, people: _Detections) -> tuple[Indices, Indices]:
        """Pairs of detections and tracks that are worth a closer look, because their middles are near."""
        offsets = people.middles[:, None] - _middles(self._points, self._weights)
        reach = self._sizes * (REACH + np.sqrt(GATE * self._variances[0]))
        near = (_squared(offsets) < np.square(reach)) & people.usable[:, None]
        rows, tracks = np.nonzero(near)
        return rows, tracks

    def _tolerance(self, people: _Detections) -> Floats:
        """(M, K) what squared offsets in px are multiplied with: -1 / (2 variance)."""
        off = np.minimum(POSTURE + POSTURE_PER_SECOND * self._unseen, POSTURE_MOST)
        tolerance: Floats = -0.5 / (np.square(self._sizes)[:, None] * (people.spread + np.square(off)[:, None]))
        return tolerance

    def _compare(
        self, points: Points, weights: Floats, rows: Indices, tracks: Indices, scales: Floats
    ) -> tuple[Floats, Points, Floats]:
        """What :func:`_similarity` says of pairs."""
        return _similarity(
            points.take(rows, 0),
            weights.take(rows, 0),
            self._points.take(tracks, 0),
            self._weights.take(tracks, 0),
            scales.take(tracks, 0),
        )

    def _update(
        self,
        people: _Detections,
        rows: Indices,
        tracks: Indices,
        shifts: Points,
        measured: Floats,
        seconds: float,
    ) -> None:
        """Correct the tracks by what was seen of them, and give ids to those seen for the second time."""
        position, mixed, velocity = self._variances.take(tracks, 1)
        trust = 1 / (position + measured)
        self._velocities[tracks] += mixed * trust * shifts
        left = measured * trust
        self._variances[:, tracks] = (position * left, mixed * left, velocity - mixed * mixed * trust)
        weights, seen = people.weights.take(rows, 0), people.points.take(rows, 0)
        self._points[tracks] = np.where(weights > 0, seen, self._points.take(tracks, 0) + shifts[:, None])
        steady = np.float32(math.exp(-seconds / STEADY_SECONDS))
        self._weights[tracks] = np.maximum(weights, self._weights.take(tracks, 0) * steady)
        sizes = self._sizes.take(tracks)
        self._sizes[tracks] = sizes + (1 - steady) * (people.sizes.take(rows) - sizes)
        self._unseen[tracks] = 0
        new = tracks[self._ids.take(tracks) < 0]
        if len(new):
            self._ids[new] = self._next_id + np.arange(len(new))
            self._next_id += len(new)

    def _add(self, people: _Detections, rows: Indices, *, confirmed: bool) -> None:
        """Begin tracks."""
        count = len(rows)
        if not count:
            return
        ids = np.full(count, -1, np.int64)
        if confirmed:
            ids = self._next_id + np.arange(count)
            self._next_id += count
        self._ids = np.concatenate([self._ids, ids])
        self._points = np.concatenate([self._points, people.points[rows]])
        self._weights = np.concatenate([self._weights, people.weights[rows]])
        self._sizes = np.concatenate([self._sizes, people.sizes[rows]])
        self._velocities = np.concatenate([self._velocities, np.zeros(count, np.complex64)])
        begun = np.array([MEASURED**2, 0, SPEED**2], np.float32)
        self._variances = np.concatenate([self._variances, np.tile(begun[:, None], count)], axis=1)
        self._unseen = np.concatenate([self._unseen, np.zeros(count, np.float32)])

    def _forget(self) -> None:
        """End the tracks of those who were not seen for too long."""
        kept = self._unseen < np.where(self._ids < 0, UNCONFIRMED_SECONDS, self.memory)
        if kept.all():
            return
        self._ids = self._ids[kept]
        self._points = self._points[kept]
        self._weights = self._weights[kept]
        self._sizes = self._sizes[kept]
        self._velocities = self._velocities[kept]
        self._variances = self._variances[:, kept]
        self._unseen = self._unseen[kept]


class _Detections:
    """A frame's people as the tracker looks at them.

    Attributes:
        points: (N, K) px, x + iy.
        weights: (N, K) 0..1, 0 where a joint is not looked at.
        sizes: (N,) px, body heights.
        middles: (N,) px.
        sure: (N,) bool, whether the score is high.
        usable: (N,) bool, whether it is high enough to be looked at.
        spread: (K,) what annotators differ by, in body heights, squared.
        flips: (K,) for each joint the one it is in a mirrored body; None where the layout has no sides.
    """

    def __init__(self, poses: Poses) -> None:
        rigidity, self.spread, self.flips = _layout(poses.skeleton)
        self.points = as_complex(poses.keypoints)
        scores = poses.keypoint_scores
        self.weights = np.minimum(2 * scores, 1) * rigidity * (scores >= SEEN_SCORE)
        self.sizes = body_heights(poses)
        self.middles = _middles(self.points, self.weights)
        self.usable = poses.scores >= DOUBTFUL_SCORE
        if len(self.points) > 1:
            self.usable[self._repeats(poses.scores)] = False
        self.sure = self.usable & (poses.scores >= SURE_SCORE)

    def _repeats(self, scores: Floats) -> Indices:
        """Who is somebody of a higher score found a second time: networks break one body in two now and then."""
        reach = SAME_REACH * self.sizes
        near = _squared(self.middles[:, None] - self.middles) < np.square(reach)
        first, second = np.nonzero(near & (scores[:, None] < scores))
        if not len(first):
            return first
        weights = self.weights.take(first, 0) * self.weights.take(second, 0)
        scales = -0.5 / (np.square(self.sizes)[:, None] * (self.spread + POSTURE**2))
        offsets = self.points.take(first, 0) - self.points.take(second, 0)
        alike = np.exp(_squared(offsets) * scales.take(second, 0))
        repeats: Indices = first[_rows(weights * alike) > SAME * (_rows(weights) + FEW)]
        return repeats


def _similarity(
    points: Points, weights: Floats, predicted: Points, predicted_weights: Floats, scales: Floats
) -> tuple[Floats, Points, Floats]:
    """Of P pairs the OKS after moving one pose onto the other, that displacement in px, and the scatter about it.

    Returns:
        (P,) each; the last one is the mean of the joints' squared distances, px squared.
    """
    weights = weights * predicted_weights
    total = _rows(weights)
    offsets = points - predicted
    share = 1 / np.maximum(total, 1e-6)
    shifts = _rows(weights * offsets) * share
    offsets -= shifts[:, None]
    squared = _squared(offsets)
    likeness: Floats = _rows(weights * np.exp(squared * scales)) / (total + FEW)
    return likeness, shifts, _rows(weights * squared) * share


def _squared(values: Points) -> Floats:
    squares: Floats = (values * values.conj()).real  # half the time of adding the squares of its parts
    return squares


def _rows(values: NDArray[Any]) -> Any:
    """Sums of rows; much faster than ``sum`` for short ones."""
    return values @ _ones(values.shape[1], values.dtype)


@lru_cache
def _ones(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ones(count, dtype)


def _middles(points: Points, weights: Floats) -> Points:
    """(N,) weighted means of the joints, px."""
    middles: Points = _rows(weights * points) / np.maximum(_rows(weights), 1e-6)
    return middles


def _assign(costs: Floats, rows: Indices, columns: Indices) -> tuple[Indices, Indices]:
    """The cheapest assignment of some rows to some columns, without pairs that are impossible."""
    if not len(rows) or not len(columns):
        return rows[:0], columns[:0]
    chosen = costs.take(rows, 0).take(columns, 1)
    row, column = linear_sum_assignment(chosen)
    possible = chosen[row, column] < IMPOSSIBLE
    return rows[row[possible]], columns[column[possible]]


@lru_cache
def _layout(name: str) -> tuple[Floats, Floats, Indices | None]:
    """Of a skeleton's joints how rigidly they move with the body, 0..1, their spread, and the mirrored order."""
    skeleton = skeletons.get(name)
    rigidity = np.ones(skeleton.num_keypoints, np.float32)
    for joint, keypoint in enumerate(skeleton.keypoints):
        if keypoint.endswith(("elbow", "knee")):
            rigidity[joint] = 0.5
        if keypoint.endswith(("wrist", "ankle")):
            rigidity[joint] = 0.25
    sigmas = np.asarray(skeleton.sigmas or (USUAL_SIGMA,) * skeleton.num_keypoints, np.float32)
    flips = np.asarray(skeleton.flip_indices) if skeleton.flip_pairs else None
    return rigidity, np.square(2 * OKS_SIZE * sigmas), flips
