"""The landmark pipeline: where points land, upright and turned, which boxes it takes, NaN maps, and the flip test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import EngineError, InputError, ModelFileError
from heatstream.kernels.reference.crops import crop_boxes, crop_rectangles
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline, confidence
from tests.fakes.runtime import POINTS, SPOTS, FakeEngine, FakeLandmarkEngine, spot

SIZE = (120, 160)
PLACE = (70.3, 55.6)
"""Where the spot is, in px that lie at +0.5."""


def frame() -> NDArray[np.uint8]:
    return spot(*SIZE, *PLACE, radius=8)


@pytest.mark.parametrize(
    ("box", "angle"),
    [
        ((40, 30, 99, 89), None),
        ((40, 30, 99, 89), 0.0),
        ((60, 40, 139, 79), None),  # wider than high
        ((60, 40, 139, 79), 0.0),
        ((40, 20, 99, 89), 0.6),
        ((40, 20, 99, 89), -1.2),
        ((40, 20, 99, 89), 3.0),  # upside down
        ((-20, -30, 89, 79), None),  # beyond the frame
        ((-20, -30, 89, 79), 0.4),
    ],
)
def test_a_spot_is_found_where_it_is(box: tuple[float, ...], angle: float | None) -> None:
    pipeline = LandmarkPipeline(FakeLandmarkEngine())
    faces = pipeline(frame(), [box], None if angle is None else [angle])
    # A map pixel is up to 8 px of the frame here, the brightest of them are a plateau, and the official geometry
    # is half an input pixel off.
    np.testing.assert_allclose(faces.landmarks[0], np.tile(PLACE, (68, 1)), atol=3)
    assert faces.scores[0] > 0.9
    assert faces.boxes.tolist() == [list(box)]
    assert faces.angles.tolist() == pytest.approx([angle or 0.0])
    assert faces.people.tolist() == [-1]
    assert faces.skeleton == "300w-68"


def test_a_box_far_larger_than_the_frame_is_looked_at() -> None:
    """MPII has people who fill more than the picture; a crop of the box's own size would not fit into memory."""
    bright = np.full((*SIZE, 3), 255, np.uint8)
    boxes = [(80 - side / 2, 60 - side / 2, 80 + side / 2, 60 + side / 2) for side in (600, 1_000_000)]
    faces = LandmarkPipeline(FakeLandmarkEngine())(bright, boxes)
    # Of the smaller one a map pixel is 600 * 1.25 / 16 px; in the larger one the frame is less than a pixel.
    np.testing.assert_allclose(faces.landmarks[0], np.tile((80, 60), (68, 1)), atol=47)
    assert faces.scores[0] > 0.9 > 0.1 > faces.scores[1]


def test_all_boxes_of_a_frame_are_one_batch_in_their_order() -> None:
    engine = FakeLandmarkEngine()
    picture = np.maximum(spot(*SIZE, 30.5, 40.5, radius=6), spot(*SIZE, 120.5, 80.5, radius=6))
    boxes = np.array([[100, 60, 139, 99], [10, 20, 49, 59], [60, 5, 79, 24]], float)
    faces = LandmarkPipeline(engine)(picture, boxes, np.zeros(3))
    assert engine.batches == [3]
    np.testing.assert_allclose(faces.landmarks[0, 0], (120.5, 80.5), atol=2)
    np.testing.assert_allclose(faces.landmarks[1, 0], (30.5, 40.5), atol=2)
    assert (faces.scores > 0.5).tolist() == [True, True, False], "there is nothing in the third box"


def test_a_network_of_one_image_at_a_time_finds_the_same() -> None:
    engine = FakeLandmarkEngine(replace(POINTS, batch=1))
    boxes = [(40, 30, 99, 89), (60, 40, 139, 79)]
    faces, expected = LandmarkPipeline(engine)(frame(), boxes), LandmarkPipeline(FakeLandmarkEngine())(frame(), boxes)
    assert engine.batches == [1, 1]
    np.testing.assert_array_equal(faces.landmarks, expected.landmarks)


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4))])
@pytest.mark.parametrize("flip", [False, True])
def test_no_boxes_are_no_faces_and_no_run(boxes: Any, flip: bool) -> None:
    engine = FakeLandmarkEngine()
    assert len(LandmarkPipeline(engine, flip=flip)(frame(), boxes)) == 0
    assert len(LandmarkPipeline(engine, flip=flip)(frame(), boxes, [])) == 0
    assert engine.batches == []


def test_upright_boxes_are_cut_as_the_official_code_does() -> None:
    pipeline = LandmarkPipeline(FakeLandmarkEngine())
    boxes = np.array([[41.3, 30.2, 99.9, 87.1]])
    expected = crop_boxes(frame(), crop_rectangles(boxes - 0.5), (64, 64), POINTS.mean, POINTS.std)
    np.testing.assert_array_equal(pipeline.prepare(frame(), boxes).images, expected)


def test_bodies_are_cut_in_the_aspect_of_the_network() -> None:
    info = replace(POINTS, skeleton="coco-17", input_size=(64, 32))
    crops = LandmarkPipeline(FakeLandmarkEngine(info)).prepare(frame(), [(60, 30, 79, 89)])
    assert crops.images.shape == (1, 3, 64, 32)
    np.testing.assert_allclose(np.abs(crops.transforms[0, :, :2]), np.eye(2) * 60 * 1.25 / 64)


def test_the_flip_test_is_the_mean_of_both_and_knows_the_pairs() -> None:
    class Sided(FakeLandmarkEngine):
        """The first landmark, the right end of the jaw, is 8 px further to the left than the spot in any crop."""

        def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
            maps = super().run(images)["landmarks"]
            maps[:, 0] = np.roll(maps[:, 0], -2, axis=2)
            return {"landmarks": maps}

    box = [(40, 25, 99, 84)]
    plain = LandmarkPipeline(Sided())(frame(), box).landmarks[0]
    flipped = LandmarkPipeline(Sided(), flip=True)(frame(), box).landmarks[0]
    unsided = LandmarkPipeline(FakeLandmarkEngine(), flip=True)(frame(), box).landmarks[0]
    shift = 8 * 60 * 1.25 / 64
    np.testing.assert_allclose(plain[0] - plain[1], (-shift, 0), atol=0.01)
    # In the mirrored crop the network's right end is the left one, and left is right.
    np.testing.assert_allclose(flipped[0] - unsided[0], (-shift / 2, 0), atol=0.01)
    np.testing.assert_allclose(flipped[16] - unsided[16], (shift / 2, 0), atol=0.01)
    np.testing.assert_array_equal(flipped[30], unsided[30])


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("flip", [False, True])
def test_a_broken_map_empties_its_face_alone_with_one_warning(poison: float, flip: bool) -> None:
    pipeline = LandmarkPipeline(FakeLandmarkEngine(poison=poison), flip=flip)
    with pytest.warns(RuntimeWarning, match="1 of 2 faces") as caught:
        faces = pipeline(frame(), [(40, 30, 99, 89), (45, 30, 99, 89)])
    assert len(caught) == 1
    assert faces.scores[0] == 0
    assert not faces.landmarks[0].any()
    assert faces.scores[1] > 0.9


@pytest.mark.parametrize(
    ("boxes", "angles", "named"),
    [
        ([(1, 2, 3)], None, "(N, 4)"),
        ([1, 2, 3, 4], None, "(N, 4)"),
        ([(50, 50, 10, 60)], None, "box 0 is empty"),
        ([(1, 1, 9, 9), (0, 0, np.nan, 5)], None, "box 1"),
        ([(0, 0, np.inf, 5)], [0.0], "box 0"),
        ([("a", 0, 1, 1)], None, "numbers"),
        (None, None, "(N, 4)"),
        ([(1, 1, 9, 9)], [0.0, 1.0], "angles"),
        ([(1, 1, 9, 9)], [np.nan], "angles"),
    ],
)
def test_bad_boxes_are_refused_in_one_line(boxes: Any, angles: Any, named: str) -> None:
    with pytest.raises(InputError) as caught:
        LandmarkPipeline(FakeLandmarkEngine())(frame(), boxes, angles)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("picture", [None, np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_other_things_than_frames_are_refused(picture: Any) -> None:
    with pytest.raises(InputError, match="a frame must"):
        LandmarkPipeline(FakeLandmarkEngine())(picture, [(1, 1, 9, 9)])


def test_a_closed_pipeline_says_so() -> None:
    with LandmarkPipeline(FakeLandmarkEngine()) as pipeline:
        assert pipeline.info is POINTS
    with pytest.raises(EngineError, match="closed"):
        pipeline(frame(), [(40, 30, 99, 89)])


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: FakeEngine(SPOTS), InputError, "choose a model such as h3r-mobile-68"),
        (lambda: FakeLandmarkEngine(replace(POINTS, any_size=True)), InputError, "--size"),
        (lambda: FakeLandmarkEngine(replace(POINTS, decode={"colour": 1})), ModelFileError, "another version"),
        (lambda: FakeLandmarkEngine(replace(POINTS, decode={"topk": 0})), ModelFileError, "topk"),
        (lambda: FakeLandmarkEngine(replace(POINTS, decode={"face_threshold": 7})), ModelFileError, "0..1"),
    ],
)
def test_models_that_do_not_fit_are_refused(make: Callable[[], Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        LandmarkPipeline(make())


def test_confidence_is_the_mean_probability_of_the_peaks() -> None:
    peaks = np.array([[0.0, 30.0], [-30.0, -30.0], [0.5 * np.log(0.2 / 0.8)] * 2, [1e30, 1e30]])
    np.testing.assert_allclose(confidence(peaks), (0.75, 0.0, 0.2, 1.0), atol=1e-6)
    assert np.isnan(confidence(np.array([[0.0, np.nan]])))
