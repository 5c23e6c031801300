"""Grouping: which detections become one person, by their tags."""

from __future__ import annotations

import numpy as np
import pytest

from heatstream.kernels.reference.group import group_by_tag
from heatstream.kernels.reference.peaks import Candidates


def grouped(
    *joints: list[tuple[float, float]], max_people: int = 30, use_detection_score: bool = True
) -> list[list[int]]:
    """Members of every person; each joint is a list of (score, tag), strongest first."""
    capacity = max(map(len, joints))
    scores = np.zeros((len(joints), capacity), np.float32)
    tags = np.zeros((len(joints), capacity, 1), np.float32)
    for joint, detections in enumerate(joints):
        for number, (score, tag) in enumerate(detections):
            scores[joint, number], tags[joint, number] = score, tag
    counts = np.array([len(detections) for detections in joints], np.int32)
    candidates = Candidates(counts, scores, np.zeros((len(joints), capacity, 2), np.int32), 0)
    members = group_by_tag(
        candidates,
        tags,
        range(len(joints)),
        max_people=max_people,
        tag_threshold=1.0,
        use_detection_score=use_detection_score,
    )
    return [list(person) for person in members.tolist()]


def test_near_tags_are_one_person() -> None:
    assert grouped([(0.9, 0.0), (0.8, 5.0)], [(0.9, 5.1), (0.7, 0.1)]) == [[0, 1], [1, 0]]


def test_a_far_tag_starts_a_person() -> None:
    assert grouped([(0.9, 0.0)], [(0.9, 3.0)]) == [[0, -1], [-1, 0]]


def test_the_distance_is_to_the_mean_of_the_person() -> None:
    # 1.2 is 1.2 from the first tag and 0.8 from the mean of the first two.
    assert grouped([(0.9, 0.0)], [(0.9, 0.8)], [(0.9, 1.2)]) == [[0, 0, 0]]


@pytest.mark.parametrize(("by_score", "joined"), [(True, 0), (False, 1)])
def test_scores_decide_between_distances_that_round_alike(by_score: bool, joined: int) -> None:
    people = grouped([(0.9, 0.0)], [(0.9, 0.4), (0.2, 0.1)], use_detection_score=by_score)
    assert people[0] == [0, joined]
    assert len(people) == 2


def test_equal_tags_are_two_people() -> None:
    assert grouped([(0.9, 1.0), (0.8, 1.0)], [(0.9, 1.0), (0.8, 1.0)]) == [[0, 0], [1, 1]]


def test_only_so_many_people_are_matched() -> None:
    people = grouped([(0.9, 0.0), (0.8, 5.0)], [(0.9, 5.0)], max_people=1)
    assert people == [[0, -1], [1, -1], [-1, 0]]
