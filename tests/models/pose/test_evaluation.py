"""Scoring: what perfect, shifted, missing and surplus people are worth, and sets that are not as they should be."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.errors import DatasetError, InputError
from heatstream.models.pose.evaluation import check_labels, evaluate
from tests.fakes.labelled_photos import LabelledSet, make_set

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra train")

Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def labelled(tmp_path: Path) -> LabelledSet:
    return make_set(tmp_path)


def score(labelled: LabelledSet, change: Change = lambda people: people, **options: Any) -> Any:
    options.setdefault("skeleton", "coco-17")
    return evaluate(labelled.find(change), labelled.annotations, labelled.images, **options)


def jittered(pixels: float) -> Change:
    """Everyone where they are, but for as many pixels of noise."""

    def change(people: np.ndarray) -> np.ndarray:
        return people + pixels * np.random.default_rng(len(people)).standard_normal(people.shape)

    return change


def test_the_labels_themselves_are_perfect(labelled: LabelledSet, capfd: pytest.CaptureFixture[str]) -> None:
    result = score(labelled)
    assert list(result.metrics) == ["AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)"]
    assert all(value == pytest.approx(100) for value in result.metrics.values())
    assert [image.image_id for image in result.images] == [95, 96, 97, 98, 99, 100]
    for image, people in zip(result.images, labelled.people[::-1], strict=True):
        assert image.score == pytest.approx(1, abs=1e-4)
        assert (image.missed, image.false) == (0, 0)
        np.testing.assert_allclose(image.ground_truth[..., :2], people)
    assert capfd.readouterr() == ("", "")


def test_the_further_off_the_worse(labelled: LabelledSet) -> None:
    results = [score(labelled, jittered(pixels)) for pixels in (0.0, 3.0, 6.0, 60.0)]
    for name in ("AP", "AP75", "AR"):
        values = [result.metrics[name] for result in results]
        assert values == sorted(values, reverse=True)
        assert 0 < values[2] < values[1] < 100
    assert results[-1].metrics["AP"] < 1
    means = [np.mean([image.score for image in result.images]) for result in results]
    assert means == sorted(means, reverse=True)


def test_it_gives_what_pycocotools_gives(labelled: LabelledSet) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools comes with the extra train")
    from pycocotools.cocoeval import COCOeval

    result = score(labelled, jittered(4.0))
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = coco.COCO(str(labelled.annotations))
        found = [person for image in result.images for person in image.poses.to_coco(image_id=image.image_id)]
        other = COCOeval(ground_truth, ground_truth.loadRes(found), "keypoints")
        other.evaluate()
        other.accumulate()
        other.summarize()
    np.testing.assert_allclose(list(result.metrics.values()), 100 * other.stats, atol=1e-9)
    assert 10 < result.metrics["AP"] < 90


def test_nobody_found_anywhere_is_zero(labelled: LabelledSet) -> None:
    result = score(labelled, lambda people: people[:0])
    assert result.metrics["AP"] == result.metrics["AR"] == 0
    assert [image.score for image in result.images] == [0] * 6
    assert sum(image.missed for image in result.images) == sum(map(len, labelled.people))


def test_people_who_are_not_there_are_false(labelled: LabelledSet) -> None:
    def ghosts(people: np.ndarray) -> np.ndarray:
        return np.concatenate([people, people[:1] + 500])

    result = score(labelled, ghosts)
    assert [image.false for image in result.images] == [1] * 6
    assert [image.missed for image in result.images] == [0] * 6
    assert result.images[-1].score == pytest.approx(1 / 2, abs=1e-3)  # one person, one ghost


def test_whoever_is_in_a_crowd_is_neither_right_nor_wrong(labelled: LabelledSet) -> None:
    perfect = score(labelled)

    def turn_into_crowd(content: dict[str, Any]) -> None:
        for annotation in content["annotations"]:
            if annotation["id"] % 10 == 1:
                zeros = [0] * len(annotation["keypoints"])
                annotation.update(iscrowd=1, num_keypoints=0, keypoints=zeros, bbox=[0, 0, 160, 120])

    labelled.rewrite(turn_into_crowd)
    result = score(labelled)
    assert result.metrics["AP"] == perfect.metrics["AP"]
    assert [image.false for image in result.images] == [0] * 6
    assert sum(len(image.ground_truth) for image in result.images) == sum(map(len, labelled.people)) - 6
    assert sum(math.isnan(image.score) for image in result.images) == 2


def test_what_annotation_tools_leave_out_is_filled_in(labelled: LabelledSet) -> None:
    def strip(content: dict[str, Any]) -> None:
        del content["categories"]
        for annotation in content["annotations"]:
            for key in ("id", "num_keypoints", "iscrowd", "area", "bbox", "category_id"):
                del annotation[key]

    labelled.rewrite(strip)
    assert score(labelled).metrics["AP"] == pytest.approx(100)


@pytest.mark.parametrize("workers", [1, 3])
def test_images_stream_in_order_and_up_to_the_limit(labelled: LabelledSet, workers: int) -> None:
    seen: list[tuple[int, int]] = []
    result = score(labelled, limit=4, workers=workers, progress=lambda done, total: seen.append((done, total)))
    assert [image.path.name for image in result.images] == ["005.png", "004.png", "003.png", "002.png"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert result.metrics["AP"] == pytest.approx(100)


@pytest.mark.parametrize("limit", [0, 9])
def test_crowds_are_scored_as_crowdpose_does(tmp_path: Path, limit: int) -> None:
    """The library's own CrowdPose summary, which takes whole files alone, gives the same."""
    labelled = make_set(tmp_path, images=12, skeleton="crowdpose-14", crowd=True)
    labelled.rewrite(lambda content: content["categories"][0]["keypoints"].__setitem__(12, "top_head"))
    result = score(labelled, jittered(4.0), skeleton="crowdpose-14", limit=limit)
    assert list(result.metrics) == ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP(E)", "AP(M)", "AP(H)"]
    if limit:
        assert math.isnan(result.metrics["AP(E)"])  # the lowest ids are the most crowded
        return
    from faster_coco_eval import COCO, COCOeval_faster

    from heatstream.skeletons import CROWDPOSE_14

    ground_truth = COCO(str(labelled.annotations))
    found = [person for image in result.images for person in image.poses.to_coco(image_id=image.image_id)]
    other = COCOeval_faster(
        ground_truth,
        ground_truth.loadRes(found),
        "keypoints_crowd",
        kpt_oks_sigmas=list(CROWDPOSE_14.sigmas or ()),
        use_area=False,
        print_function=lambda *_: None,
    )
    other.evaluate()
    other.accumulate()
    other.summarize()
    np.testing.assert_allclose(list(result.metrics.values()), 100 * other.all_stats, atol=0.01)  # it rounds E, M, H
    assert len(set(result.metrics.values())) > 5


def _reverse(content: dict[str, Any]) -> None:
    content["categories"][0]["keypoints"].reverse()


def _clear(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        annotation["num_keypoints"] = 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda s: s.annotations.unlink(), "val.json cannot be read .no such file"),
        (lambda s: s.annotations.write_text("{"), "val.json is not JSON"),
        (lambda s: s.annotations.write_text("[]"), "not COCO keypoint JSON"),
        (lambda s: s.rewrite(lambda c: c.pop("annotations")), "no list 'annotations'"),
        (lambda s: s.rewrite(lambda c: c["images"][0].pop("file_name")), "'file_name' is missing"),
        (lambda s: s.rewrite(lambda c: c["annotations"][3].update(keypoints=[1, 2, 2])), "3 keypoint values"),
        (lambda s: s.rewrite(lambda c: c["categories"][0]["keypoints"].pop()), "16 keypoints, coco-17 has 17"),
        (lambda s: s.rewrite(_reverse), "another skeleton than coco-17: its keypoints are right_ankle"),
        (lambda s: s.rewrite(_clear), "no keypoint of anybody"),
        (lambda s: s.rewrite(lambda c: c["images"].clear()), "in 0 images"),
        (lambda s: (s.images / "003.png").unlink(), "003.png is missing"),
        (lambda s: (s.images / "003.png").write_bytes(b"no picture"), "003.png is not a picture"),
        (lambda s: s.rewrite(lambda c: c["images"][3].update(width=99)), "003.png is 160x120 px .* at 99x120"),
        (lambda s: s.images.rename(s.images.with_name("moved")), "val is not a folder"),
    ],
)
def test_a_damaged_set_is_named(labelled: LabelledSet, damage: Callable[[LabelledSet], Any], words: str) -> None:
    damage(labelled)
    with pytest.raises(DatasetError, match=words) as caught:
        score(labelled, workers=2)
    assert "\n" not in str(caught.value)


def test_an_error_of_the_network_ends_it(labelled: LabelledSet) -> None:
    def fail(frame: np.ndarray) -> Any:
        raise RuntimeError("the device fell off")

    with pytest.raises(RuntimeError, match="fell off"):
        evaluate(fail, labelled.annotations, labelled.images, skeleton="coco-17", workers=2)


def test_what_cannot_be_scored_is_refused(labelled: LabelledSet) -> None:
    with pytest.raises(InputError, match="wflw-98 has no object keypoint similarity"):
        score(labelled, skeleton="wflw-98")
    with pytest.raises(InputError, match="workers"):
        score(labelled, workers=0)


def test_a_keypoint_that_is_no_number_is_refused(labelled: LabelledSet) -> None:
    labelled.rewrite(lambda content: content["annotations"][0]["keypoints"].__setitem__(0, float("nan")))
    with pytest.raises(DatasetError, match=r"val\.json: a keypoint .* of image 100 is not a finite"):
        score(labelled)


def test_a_missing_photo_is_told_before_anything_is_looked_at(labelled: LabelledSet) -> None:
    check_labels(labelled.annotations, labelled.images, skeleton="coco-17")
    (labelled.images / "003.png").unlink()
    with pytest.raises(DatasetError, match=r"003.png is missing"):
        check_labels(labelled.annotations, labelled.images, skeleton="coco-17")
    check_labels(labelled.annotations, labelled.images, skeleton="coco-17", limit=2)  # of the lowest ids, 005 and 004
