"""What is measured of a finder that is wrong by a known distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import DatasetError, InputError
from heatstream.models.landmarks.evaluation import evaluate_bodies, evaluate_landmarks
from heatstream.models.landmarks.readers import LandmarkAnnotation
from heatstream.models.landmarks.readers.example import make_annotation, tight_box
from heatstream.skeletons import COFW_29, MPII_16, W300_68, Skeleton

SIZE = 100
EYES = ("right_eye_outer", "left_eye_outer")


def face(
    number: int, *, skeleton: Skeleton = W300_68, subsets: tuple[str, ...] = (), **more: Any
) -> LandmarkAnnotation:
    """A face in a photo of the grey level `number`, its eyes 50 px apart."""
    points = np.random.default_rng(number).uniform(20, 80, (skeleton.num_keypoints, 2))
    points[[skeleton.keypoints.index(name) for name in EYES]] = (20, 40), (70, 40)
    picture = np.full((SIZE, SIZE, 3), number, np.uint8)
    return make_annotation(picture, points, tight_box(points), where=f"face {number}", subsets=subsets, **more)


def off_by(distances: list[float], examples: list[LandmarkAnnotation]) -> Any:
    """Finds the landmarks of the photo of grey level i, all so many px too far to the right."""

    def find(frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        number = int(frame[0, 0, 0])
        np.testing.assert_array_equal(boxes, examples[number].box[None])
        return examples[number].points[None] + (distances[number], 0)

    return find


@pytest.mark.parametrize("workers", [1, 3])
def test_errors_are_shares_of_the_distance_between_the_eyes(workers: int) -> None:
    examples = [face(0, subsets=("a",)), face(1, subsets=("a", "b")), face(2)]
    calls: list[tuple[int, int]] = []
    result = evaluate_landmarks(
        off_by([1, 2, 6], examples), examples, W300_68, workers=workers, progress=lambda *done: calls.append(done)
    )
    np.testing.assert_allclose(result.errors, [0.02, 0.04, 0.12])
    assert result.scores.nme == pytest.approx(6)
    assert result.scores.failure_rate == pytest.approx({0.08: 100 / 3, 0.1: 100 / 3})
    assert {name: part.nme for name, part in result.scores.subsets.items()} == pytest.approx({"a": 3, "b": 4})
    assert [score.example for score in result.faces] == examples
    np.testing.assert_allclose(result.faces[2].found, examples[2].points + np.array([6, 0]))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_box_takes_the_length_that_the_set_gives() -> None:
    examples = [face(0, length=200.0), face(1)]
    result = evaluate_landmarks(off_by([2, 2], examples), examples, W300_68, norm="box")
    sides = examples[1].box[2:] - examples[1].box[:2]
    np.testing.assert_allclose(result.errors, [0.01, 2 / np.sqrt(sides.prod())])


def test_what_is_hidden_counts_and_what_is_not_labelled_does_not() -> None:
    visibility = np.full(29, 2)
    visibility[3], visibility[4] = 1, 0
    examples = [face(0, skeleton=COFW_29, visibility=visibility)]

    def find(frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        found = examples[0].points[None].copy()
        found[0, 3] += (0, 14)
        found[0, 4] = np.nan
        return found

    assert evaluate_landmarks(find, examples, COFW_29).errors == pytest.approx([14 / 28 / 50])


def test_a_landmark_that_was_not_found_is_a_failure() -> None:
    examples = [face(0)]
    result = evaluate_landmarks(off_by([np.nan], examples), examples, W300_68)
    assert result.scores.nme == np.inf
    assert result.scores.failure_rate == {0.08: 100, 0.1: 100}


@pytest.mark.parametrize(
    ("examples", "options", "error", "message"),
    [
        ([], {}, InputError, "there is no face to measure"),
        ([face(0)], {"skeleton": COFW_29}, InputError, "face 0 has 68 landmarks, cofw-29 29"),
        ([face(0)], {"workers": 0}, InputError, "workers must be at least 1, got 0"),
        ([face(0)], {"skeleton": MPII_16}, InputError, "face 0 has 68 landmarks, mpii-16 16"),
        ([face(0, visibility=np.zeros(68, int))], {}, DatasetError, "face 0 has no labelled landmark"),
        ([face(0, skeleton=COFW_29)], {"norm": "box"}, InputError, r"shape \(1, 3, 2\) were found, \(1, 29, 2\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    examples: list[LandmarkAnnotation], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    skeleton = options.pop("skeleton", COFW_29 if "norm" in options else W300_68)
    with pytest.raises(error, match=message):
        evaluate_landmarks(lambda frame, boxes: np.zeros((1, 3, 2)), examples, skeleton, **options)


def test_a_face_without_a_length_is_named() -> None:
    points = np.random.default_rng(0).uniform(20, 80, (68, 2))
    points[36] = points[45]
    example = make_annotation(np.zeros((9, 9, 3), np.uint8), points, tight_box(points), where="a.pts")
    with pytest.raises(InputError, match=r"a.pts: .*no inter-ocular length"):
        evaluate_landmarks(lambda frame, boxes: points[None], [example], W300_68)


def test_a_damaged_photo_ends_it_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    points = face(0).points
    example = make_annotation(tmp_path / "a.jpg", points, tight_box(points), where="a.json, entry 1")
    with pytest.raises(DatasetError, match=r"a\.jpg is not a picture that OpenCV can read"):
        evaluate_landmarks(lambda frame, boxes: points[None], [example], W300_68)


def body(number: int, **more: Any) -> LandmarkAnnotation:
    points = np.random.default_rng(number).uniform(20, 80, (16, 2))
    picture = np.full((SIZE, SIZE, 3), number, np.uint8)
    return make_annotation(picture, points, tight_box(points), where=f"body {number}", **more)


def test_bodies_are_measured_by_their_heads() -> None:
    examples = [body(0, length=20.0), body(1, length=40.0), body(2, length=100.0)]
    result = evaluate_bodies(off_by([9, 30, 0], examples), examples)
    assert result.pckh[0.5]["mean"] == pytest.approx(200 / 3)
    assert result.pckh[0.1]["mean"] == pytest.approx(100 / 3)
    assert [score.error for score in result.bodies] == pytest.approx([9 / 20, 30 / 40, 0])


def test_bodies_without_heads_are_refused() -> None:
    examples = [body(0)]
    with pytest.raises(DatasetError, match=r"body 0 has no head to measure by: .*gt_valid.mat"):
        evaluate_bodies(off_by([0], examples), examples)
