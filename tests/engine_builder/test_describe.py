"""Networks of others: described, run and decoded, or refused with what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx comes with the extra train")

import onnx

import heatstream
from heatstream import skeletons
from heatstream.engine_builder.describe import Foreign, Part, describe_model
from heatstream.engine_builder.trt.cache import build_engine
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import InputError, ModelFileError
from heatstream.skeleton_tables import skeleton_from_table
from tests.fakes.foreign_networks import (
    Graph,
    draw_person,
    write_channels_last,
    write_one_stage,
    write_two_stage,
)

PLAIN: Any = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}
TWO_STAGE = Foreign(
    heatmaps=(Part("stage_0", (17, 34)), Part("stage_1")),
    tags=Part("stage_0", (0, 17)),
    stride=4,
    skeleton="coco-17",
    size=(128, 128),
    **PLAIN,
)
ONE_STAGE = Foreign(
    heatmaps=(Part("heat"),),
    tags=Part("embedding"),
    stride=8,
    skeleton="coco-17",
    bgr=True,
    **PLAIN,
)


def own(count: int) -> str:
    names = [f"p{number}" for number in range(count)]
    return skeletons.register(skeleton_from_table({"name": f"foreign-{count}", "keypoints": names})).name


def found(
    model: Path, size: tuple[int, int], places: list[tuple[int, int]], cell: int, *, colour: int | None = None
) -> Any:
    """The people in a drawn picture, of all colours or of one alone."""
    frame = draw_person(size, places, cell=cell)
    if colour is not None:
        frame = frame * (np.arange(3) == colour).astype(np.uint8)
    with heatstream.load(model, "cpu", 1, settings={"detection_threshold": 0.2}) as pipeline:
        return pipeline(frame).poses


def spread(count: int, columns: int) -> list[tuple[int, int]]:
    """Cells that do not touch each other."""
    return [(1 + 2 * (number % columns), 1 + 2 * (number // columns)) for number in range(count)]


def check(poses: Any, places: list[tuple[int, int]], cell: int) -> None:
    assert len(poses) == 1
    expected = (np.array(places) + 0.5) * cell
    # The middle of the cell, to within the quarter pixel of the decode and the blur of a second resolution.
    assert np.abs(poses.keypoints[0] - expected).max() <= cell / 2


@pytest.mark.parametrize("opset", [11, 17])
def test_two_stages_with_tags_first_in_any_size(tmp_path: Path, opset: int) -> None:
    model = tmp_path / "ours.onnx"
    info, ranges = describe_model(write_two_stage(tmp_path / "theirs.onnx", opset=opset), TWO_STAGE, model)
    assert (info.any_size, info.batch, info.project) == (True, None, True)
    assert dict(info.outputs) == {"heatmaps_quarter": 4, "heatmaps_half": 2, "tags": 4}
    assert ranges["tags"] == (0.0, 0.0)
    places = spread(17, 7)
    check(found(model, (128, 192), places, 8), places, 8)


def test_one_stage_at_an_eighth_blue_first_in_half_precision(tmp_path: Path) -> None:
    model = tmp_path / "ours.onnx"
    info, _ = describe_model(write_one_stage(tmp_path / "theirs.onnx"), ONE_STAGE, model)
    assert (info.input_size, info.any_size, info.project) == ((128, 192), False, False)
    assert dict(info.outputs) == {"heatmaps_quarter": 8, "heatmaps_half": 4, "tags": 8}
    places = spread(17, 6)
    check(found(model, (128, 192), places, 16, colour=2), places, 16)


def test_another_layout_of_nine_keypoints_at_a_half(tmp_path: Path) -> None:
    model = tmp_path / "ours.onnx"
    both = Part("StatefulPartitionedCall:0")
    said = Foreign(heatmaps=(both,), tags=both, stride=2, skeleton=own(9), channels_last=True, **PLAIN)
    info, _ = describe_model(write_channels_last(tmp_path / "theirs.onnx"), said, model)
    assert dict(info.outputs) == {"heatmaps_quarter": 2, "heatmaps_half": 1, "tags": 2}
    places = spread(9, 5)
    check(found(model, (128, 192), places, 8), places, 8)


def test_heatmaps_alone_are_landmarks_in_boxes(tmp_path: Path) -> None:
    model = tmp_path / "ours.onnx"
    said = replace(ONE_STAGE, tags=None)
    info, _ = describe_model(write_one_stage(tmp_path / "theirs.onnx"), said, model)
    assert (info.task, dict(info.outputs)) == ("landmarks", {"landmarks": 8})
    with heatstream.load_landmarks(model, "cpu", 1) as pipeline:
        assert pipeline(np.zeros((128, 192, 3), np.uint8), [(0, 0, 64, 64)]).landmarks.shape == (1, 17, 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"heatmaps": (Part("hm"),)}, r"no output hm: for 128x128 px it gives stage_1 \(1, 17, 64, 64\); stage_0"),
        ({"skeleton": "crowdpose-14"}, r"stage_0\[17:34\] is not the 14 maps of crowdpose-14: .* \(1, 34, 32, 32\)"),
        ({"tags": Part("stage_0")}, "stage_0 is not the 17 maps of coco-17"),
        ({"tags": Part("stage_0", (30, 47))}, r"stage_0\[30:47\] is not the 17 maps"),
        ({"stride": 8}, "a stride of 4 px, 8 was said"),
        ({"heatmaps": (Part("stage_1"),), "stride": 4}, "a stride of 2 px, 4 was said"),
        ({"heatmaps": (Part("stage_1"), Part("stage_1")), "stride": 2}, "the finer of half the stride"),
        ({"channels_last": True}, r"takes \(any, 3, any, any\), expected \(B, H, W, 3\): leave --channels-last out"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "mean must be three numbers"),
    ],
)
def test_a_wrong_guess_is_refused_with_what_was_found(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    theirs = write_two_stage(tmp_path / "theirs.onnx")
    with pytest.raises((ModelFileError, InputError), match=told) as caught:
        describe_model(theirs, replace(TWO_STAGE, **change), tmp_path / "ours.onnx")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.onnx"]


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.onnx"
    with pytest.raises(ModelFileError, match="there is no file"):
        describe_model(path, TWO_STAGE, tmp_path / "ours.onnx")
    path.write_bytes(b"these are no weights")
    with pytest.raises(ModelFileError, match="not an ONNX file"):
        describe_model(path, TWO_STAGE, tmp_path / "ours.onnx")
    graph = Graph()
    graph.add("NonZero", ["data"], "stage_0")
    graph.save(path, ("data", [1, 3, 64, 64]), {"stage_0": 4})
    with pytest.raises(
        ModelFileError, match=r"theirs.onnx holds the operator NonZero.*: export it again, with"
    ) as caught:
        describe_model(path, TWO_STAGE, tmp_path / "ours.onnx")
    assert ".part" not in str(caught.value)
    graph = Graph()
    small = graph.add("AveragePool", ["data"], "small", kernel_shape=[4, 4], strides=[4, 4])
    graph.add("Cast", [small], "stage_0", to=8)  # texts
    graph.save(path, ("data", [1, 3, 64, 64]), {"stage_0": 4})
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = 8
    onnx.save(model, path)
    texts = Foreign((Part("stage_0"),), None, 4, own(3), **PLAIN)
    with pytest.raises(ModelFileError, match="stage_0 is of object, not of numbers"):
        describe_model(path, texts, tmp_path / "ours.onnx")
    with pytest.raises(InputError, match="is the network itself: write the model file elsewhere"):
        describe_model(path, texts, tmp_path / "." / "theirs.onnx")
    with pytest.raises(InputError, match="stride is 2, 4, 8 or 16"):
        describe_model(path, replace(TWO_STAGE, stride=5), tmp_path / "ours.onnx")
    with pytest.raises(InputError, match="names no channels"):
        Part.parse("out[5:5]")
    assert Part.parse("out[17:34]") == Part("out", (17, 34))


@pytest.mark.parametrize("count", [1, 2, 21, 68, 133])
def test_any_number_of_keypoints_becomes_an_engine_and_is_decoded(
    rtx: Toolkit, engines: Path, tmp_path: Path, count: int
) -> None:
    model = tmp_path / "ours.onnx"
    said = replace(
        TWO_STAGE,
        heatmaps=(Part("stage_0", (count, 2 * count)), Part("stage_1")),
        tags=Part("stage_0", (0, count)),
        skeleton=own(count),
    )
    describe_model(write_two_stage(tmp_path / "theirs.onnx", count), said, model)
    record = build_engine(read_model(model), rtx, None, size=(64, 64)).record
    assert record.shapes["heatmaps_half"] == (1, count, 32, 32)
    assert record.model.skeleton == said.skeleton
    if count < 30:  # more levels than grey has
        places = spread(count, 9)
        check(found(model, (128, 192), places, 8), places, 8)
