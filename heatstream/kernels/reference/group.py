"""Grouping: which detections belong to one person, by their tags (associative embedding, Newell et al. 2017)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream.kernels.reference.peaks import Candidates

__all__ = ["group_by_tag"]

# In the official cost one unit of rounded tag distance outweighs every score.
DISTANCE_WEIGHT = 100.0
# Among assignments of equal official cost the unrounded distance decides, then the indices. The weights are powers
# of two, far below any difference of scores that a half-precision map can hold.
TIE_DISTANCE_WEIGHT = 2.0**-20
TIE_INDEX_WEIGHT = 2.0**-44
FARTHEST = 2.0**20
"""Distances of tags beyond count alike: next to costs of 1e38 the assignment could not tell others apart."""
ONLY = np.zeros(1, np.intp)


def group_by_tag(
    candidates: Candidates,
    tags: NDArray[np.float32],
    order: Sequence[int],
    *,
    max_people: int,
    tag_threshold: float,
    use_detection_score: bool,
) -> NDArray[np.intp]:
    """Assign the detections of all joints to people, joint by joint.

    The first joint with detections starts the people. The detections of every later joint are matched with the
    first ``max_people`` people by an optimal assignment of the cost ``100 * round(distance) - score``, where the
    distance is that between the detection's tag and the mean tag of the person's detections so far. A pair that
    is nearer than the threshold joins; every other detection starts a new person.

    Two points go beyond the official parser, whose result is not determined there. Assignments of equal cost are
    decided by the unrounded distance, then by the order of detections and people; beyond the threshold all
    distances count alike, since such a pair is refused anyway and must not weigh against a pair that joins. And a
    new person whose tag equals that of another is a person of its own; the official parser keys people by the
    tag's value and overwrites. So every detection lands in exactly one person.

    Args:
        candidates: C detections at most per joint.
        tags: (K, C, T) float32, the tags at the detections.
        order: the K joints in the order in which they are matched.
        max_people: how many people take part in the matching.
        tag_threshold: distance below which a detection joins a person.
        use_detection_score: use the cost above; otherwise the plain distance.

    Returns:
        (P, K) indices into the joint's detections, -1 where the person lacks the joint. People are in the order
        in which they were started.
    """
    num_joints, capacity, tag_size = tags.shape
    most = num_joints * capacity
    members = np.full((most, num_joints), -1, np.intp)
    # Means are taken relative to a person's first tag: sums of large ones would lose the difference that decides.
    first_tags = np.zeros((most, tag_size), np.float32)
    offset_sums = np.zeros((most, tag_size), np.float32)
    sizes = np.zeros((most, 1), np.float32)
    people = 0

    for joint in order:
        count = int(candidates.counts[joint])
        if count == 0:
            continue
        joint_tags = tags[joint, :count]
        target = np.full(count, -1, np.intp)
        matchable = min(people, max_people)
        if matchable:
            means = first_tags[:matchable] + offset_sums[:matchable] / sizes[:matchable]
            difference = np.subtract(joint_tags[:, None], means, dtype=np.float64)
            np.multiply(difference, difference, out=difference)
            distance = difference[..., 0]
            for plane in range(1, tag_size):
                distance = distance + difference[..., plane]
            distance = np.sqrt(distance)
            if distance.size == 1:  # one detection and one person: nothing to choose
                rows = columns = ONLY
            else:
                cost = np.minimum(distance, FARTHEST)
                if use_detection_score:
                    cost = _official_cost(cost, candidates.scores[joint, :count], tag_threshold)
                rows, columns = linear_sum_assignment(cost)
            near = distance[rows, columns] < tag_threshold
            target[rows[near]] = columns[near]
        unmatched = (target < 0).nonzero()[0]
        if unmatched.size:
            target[unmatched] = np.arange(people, people + len(unmatched))
            first_tags[people : people + len(unmatched)] = joint_tags[unmatched]
            people += len(unmatched)
        members[target, joint] = np.arange(count)
        offset_sums[target] += joint_tags - first_tags[target]
        sizes[target] += 1
    return members[:people]


def _official_cost(
    distance: NDArray[np.float64], scores: NDArray[np.float32], tag_threshold: float
) -> NDArray[np.float64]:
    """(detections, people) cost; ties by distance, then such that earlier detections get earlier people."""
    cost: NDArray[np.float64] = np.rint(distance)
    cost *= DISTANCE_WEIGHT
    cost -= scores[:, None]
    tie = np.minimum(distance, tag_threshold)
    tie *= TIE_DISTANCE_WEIGHT
    tie += _index_tie(*distance.shape)
    cost += tie
    return cost


@functools.lru_cache(maxsize=1024)
def _index_tie(count: int, people: int) -> NDArray[np.float64]:
    """Grows with both indices, and crossing two pairs costs more than keeping their order; read-only."""
    row, column = np.arange(count)[:, None], np.arange(people)[None]
    tie: NDArray[np.float64] = TIE_INDEX_WEIGHT * (people * row + count * column - row * column)
    tie.flags.writeable = False
    return tie
