"""The cascade: whose faces are found, when it looks twice, how it follows, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import EngineError, InputError
from heatstream.results import Faces, Poses
from heatstream.runtime.pipelines.faces import FaceCascade
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.stream import stream
from tests.fakes.face_scenes import COLORED, ColorEngine, FakePoses, Head, picture_of, poses_of
from tests.fakes.runtime import POINTS, FakeEngine, FakeLandmarkEngine, FakeSource

HERE = Head(100, 90, 60, 0.2)
THERE = Head(240, 120, 40, -0.3)
AWAY = Head(200, 60, 50, away=True)


def cascade_of(*poses: Poses, follow: bool = False) -> tuple[FaceCascade, ColorEngine]:
    engine = ColorEngine()
    return FaceCascade(FakePoses(*poses), LandmarkPipeline(engine), follow=follow), engine


def faces_of(cascade: FaceCascade, frame: NDArray[np.uint8]) -> Faces:
    faces = cascade(frame).faces
    assert faces is not None
    assert faces.scores.tolist() == sorted(faces.scores, reverse=True)
    return faces[np.argsort(faces.people)]


def assert_on(faces: Faces, heads: list[Head]) -> None:
    """A map pixel is 0.04 of a face's side."""
    assert len(faces) == len(heads)
    for landmarks, head in zip(faces.landmarks, heads, strict=True):
        assert np.abs(landmarks - head.landmarks()).mean() < 0.03 * head.side


def test_every_person_gets_their_own_face_and_backs_of_heads_none() -> None:
    heads = [AWAY, HERE, THERE]
    cascade, engine = cascade_of(poses_of(heads))
    faces = faces_of(cascade, picture_of(heads))
    assert_on(faces, [HERE, THERE])
    assert faces.people.tolist() == [1, 2]
    np.testing.assert_allclose(faces.angles, (0.2, -0.3), atol=0.1)
    assert (faces.scores > 0.9).all()
    assert engine.batches == [2], "both faces in one batch, and the keypoints were right"
    found = cascade(picture_of(heads))
    assert found.timing.stages["faces"] == 2 * (found.timing.per_face or 0) > 0


def test_a_back_with_sure_keypoints_is_looked_at_once_and_left_out() -> None:
    cascade, engine = cascade_of(poses_of([replace(AWAY, away=False), HERE]))
    faces = faces_of(cascade, picture_of([AWAY, HERE]))
    assert faces.people.tolist() == [1]
    assert engine.batches == [2]


@pytest.mark.parametrize(("off", "scale"), [((0.25, 0.1), 1.0), ((0.0, 0.0), 1.6), ((-0.1, 0.1), 0.75)])
def test_poor_keypoints_are_made_good_by_a_second_look(off: tuple[float, float], scale: float) -> None:
    cascade, engine = cascade_of(poses_of([HERE, THERE], off=off, scale=scale))
    frame = picture_of([HERE, THERE])
    assert_on(faces_of(cascade, frame), [HERE, THERE])
    assert len(engine.batches) == 2


def test_nobody_needs_no_look() -> None:
    cascade, engine = cascade_of(poses_of([]))
    found = cascade(picture_of([]))
    assert (found.faces is not None, len(found.faces or ()), found.timing.per_face, engine.batches) == (
        True,
        0,
        None,
        [],
    )


def test_a_person_found_twice_has_one_face() -> None:
    cascade, _ = cascade_of(poses_of([HERE, HERE, THERE]))
    assert faces_of(cascade, picture_of([HERE, THERE])).people.tolist() in ([0, 2], [1, 2])


def test_a_face_much_smaller_than_the_keypoints_say_is_not_theirs() -> None:
    cascade, engine = cascade_of(poses_of([THERE], scale=3.0))
    assert len(faces_of(cascade, picture_of([THERE]))) == 0
    assert engine.batches


def test_a_face_whose_eyes_are_elsewhere_is_not_theirs() -> None:
    turned = replace(HERE, angle=HERE.angle + 1.6)
    cascade, _ = cascade_of(poses_of([turned, THERE]))
    assert faces_of(cascade, picture_of([HERE, THERE])).people.tolist() == [1]


def moved(head: Head, sides: float) -> Head:
    return replace(head, x=head.x + sides * head.side)


def test_following_begins_with_the_face_of_the_frame_before() -> None:
    poses = poses_of([HERE, THERE], off=(0.25, 0.1))
    cascade, engine = cascade_of(poses, follow=True)
    frame = picture_of([HERE, THERE])
    for _ in range(3):
        assert_on(faces_of(cascade, frame), [HERE, THERE])
    assert engine.batches == [2, 2, 2, 2], "twice at first, once after that"


def test_following_goes_on_where_keypoints_become_unsure() -> None:
    sure, unsure = poses_of([HERE]), poses_of([HERE], score=0.15)
    assert len(faces_of(cascade_of(unsure)[0], picture_of([HERE]))) == 0
    cascade, _ = cascade_of(sure, unsure, follow=True)
    for _ in range(3):
        assert_on(faces_of(cascade, picture_of([HERE])), [HERE])


def test_following_keeps_up_with_a_face_that_moves() -> None:
    steps = [moved(HERE, 0.2 * number) for number in range(6)]
    cascade, _ = cascade_of(*(poses_of([head]) for head in steps), follow=True)
    for head in steps:
        assert_on(faces_of(cascade, picture_of([head])), [head])


def test_a_jump_begins_anew_from_the_keypoints() -> None:
    there = replace(HERE, x=240)
    cascade, _ = cascade_of(poses_of([HERE]), poses_of([there]), follow=True)
    assert_on(faces_of(cascade, picture_of([HERE])), [HERE])
    assert_on(faces_of(cascade, picture_of([there])), [there])


class Blinking(ColorEngine):
    """Sees nothing in some runs, numbered from 0."""

    def __init__(self, *blind: int) -> None:
        super().__init__()
        self._blind = blind

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        maps = super().run(images)
        if len(self.batches) - 1 in self._blind:
            maps["landmarks"][:] = -6
        return maps


@pytest.mark.parametrize(("score", "found"), [(0.9, 1), (0.15, 0)])
def test_a_followed_face_that_is_lost_is_looked_for_at_once_where_sure_keypoints_say(score: float, found: int) -> None:
    engine = Blinking(1)
    poses = FakePoses(poses_of([HERE]), poses_of([HERE], score=score))
    cascade = FaceCascade(poses, LandmarkPipeline(engine), follow=True)
    frame = picture_of([HERE])
    assert_on(faces_of(cascade, frame), [HERE])
    assert_on(faces_of(cascade, frame), [HERE] * found)
    assert len(engine.batches) == 2 + found


def test_a_second_look_that_sees_less_is_forgotten() -> None:
    engine = Blinking(1)
    cascade = FaceCascade(FakePoses(poses_of([HERE], scale=1.6)), LandmarkPipeline(engine))
    assert_on(faces_of(cascade, picture_of([HERE])), [HERE])
    assert engine.batches == [1, 1]


def test_a_face_that_turns_away_is_gone() -> None:
    cascade, _ = cascade_of(poses_of([HERE]), poses_of([replace(HERE, away=True)]), follow=True)
    assert len(faces_of(cascade, picture_of([HERE]))) == 1
    for _ in range(2):
        assert len(faces_of(cascade, picture_of([]))) == 0


def test_people_who_change_places_in_the_list_keep_their_faces() -> None:
    cascade, _ = cascade_of(poses_of([HERE, THERE]), poses_of([THERE, HERE]), follow=True)
    frame = picture_of([HERE, THERE])
    faces_of(cascade, frame)
    assert_on(faces_of(cascade, frame), [THERE, HERE])


def test_frames_in_any_order_stand_for_themselves() -> None:
    unsure = poses_of([HERE], score=0.15)
    cascade, _ = cascade_of(poses_of([HERE]), unsure, follow=True)
    faces_of(cascade, picture_of([HERE]))
    assert len(faces_of(cascade.for_throughput(), picture_of([HERE]))) == 0
    assert len(faces_of(cascade.for_stream(), picture_of([HERE]))) == 0, "a stream of its own has no past"


@pytest.mark.parametrize("live", [False, True])
def test_a_stream_gives_faces_and_their_cost(live: bool) -> None:
    heads = [Head(32, 24, 28)]

    class Scene(FakeSource):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for frame in super().__iter__():
                yield replace(frame, image=picture_of(heads, size=(48, 64)))

    cascade, _ = cascade_of(poses_of(heads))
    with stream(Scene(4, live=live, pace=0.05 if live else 0.0), cascade) as results:
        given = list(results)
        summary = results.summary()
    assert [len(result.faces or ()) for result in given] == [1] * len(given)
    for result in given:
        assert result.timing.per_face == result.timing.stages["faces"]
    stages = [name for name in summary.stages if name != "age"]  # which live frames have
    assert stages[-3:] == ["faces", "per face", "latency"]


def test_a_stream_of_people_alone_has_no_faces() -> None:
    (result,) = stream(FakeSource(1), CpuPosePipeline(FakeEngine()))
    assert (result.faces, result.timing.per_face, "faces" in result.timing.stages) == (None, None, False)


def test_networks_that_do_not_fit_are_refused() -> None:
    bodies = LandmarkPipeline(FakeLandmarkEngine(replace(POINTS, skeleton="coco-17")))
    with pytest.raises(InputError, match="no layout of faces"):
        FaceCascade(FakePoses(poses_of([])), bodies)
    crowd = FakePoses(poses_of([]))
    crowd.engine.info = replace(crowd.info, skeleton="crowdpose-14")
    with pytest.raises(InputError, match="no nose, eyes and ears"):
        FaceCascade(crowd, LandmarkPipeline(FakeLandmarkEngine(COLORED)))


def test_leaving_the_cascade_closes_both_engines() -> None:
    cascade, engine = cascade_of(poses_of([HERE]))
    with cascade:
        assert str(cascade) == "spots (short side 64 px) and points (128x128 px) on fake"
        assert cascade.engine.name == "fake"
    assert engine.closed
    assert isinstance(cascade.engine, FakeEngine)
    assert cascade.engine.closed
    with pytest.raises(EngineError, match="closed"):
        cascade(picture_of([HERE]))
