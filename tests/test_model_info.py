"""The description inside a model file: what it keeps, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from heatstream.errors import InputError, ModelFileError
from heatstream.model_info import METADATA_KEY, ModelInfo

PLAIN = ModelInfo(name="net", skeleton="coco-17", input_size=(128, 192))
FULL = ModelInfo(
    name="net",
    skeleton="crowdpose-14",
    input_size=(512, 640),
    any_size=True,
    batch=None,
    mean=(0.5, 0.4, 0.3),
    std=(0.1, 0.2, 0.3),
    outputs={"heatmaps_half": 2, "tags": 4},
    precision="int8",
    quantisation={"folder": "photos", "images": ["a.jpg", "b.jpg"], "left_out": ["stem"]},
    decode={"detection_threshold": 0.2, "adjust": "h3r"},
    calibration=((0.0, 0.0), (0.2, 0.5), (1.0, 0.9)),
    geometry="exact",
    project=False,
    weights="somebody's",
    licence="MIT",
    drift=1.5e-4,
    heatstream_version="9.8",
)


LANDMARKS = replace(PLAIN, task="landmarks", outputs={"landmarks": 4}, decode={"topk": 9})


@pytest.mark.parametrize("info", [PLAIN, FULL, LANDMARKS])
def test_metadata_read_back_as_they_were_written(info: ModelInfo) -> None:
    metadata = {**info.to_metadata(), "author": "another tool's entry"}
    assert ModelInfo.from_metadata(metadata, path="net.onnx") == info


def test_the_full_case_sets_every_field() -> None:
    same = [item.name for item in fields(ModelInfo) if getattr(PLAIN, item.name) == getattr(FULL, item.name)]
    assert same == ["name", "task"]  # the other task has other outputs


def test_number_of_keypoints_follows_from_the_skeleton() -> None:
    assert (PLAIN.num_keypoints, FULL.num_keypoints) == (17, 14)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ""}, "name must be a text"),
        ({"calibration": ((0.5, 0.2), (0.4, 0.3))}, "calibration must be pairs of score and probability, both rising"),
        ({"calibration": ((0.5, 1.2),)}, "calibration must be pairs"),
        ({"calibration": (0.5, 0.6)}, "calibration must be pairs"),
        ({"skeleton": "octopus-8"}, "skeleton must be one of coco-17"),
        ({"skeleton": 17}, "skeleton must be one of"),
        ({"input_size": (128, 100)}, "multiples of 32"),
        ({"input_size": (96, 128), "any_size": True}, "multiples of 64"),
        ({"input_size": (0, 32)}, "input_size must be"),
        ({"input_size": (128.0, 128)}, "input_size must be"),
        ({"input_size": 128}, "input_size must be"),
        ({"any_size": 1}, "any_size must be true or false"),
        ({"batch": 0}, "batch must be a number of images"),
        ({"batch": True}, "batch must be a number of images"),
        ({"task": "faces"}, "task must be one of pose, landmarks"),
        ({"task": "landmarks"}, "outputs must be a mapping .* {'landmarks': 4}"),
        ({"outputs": {"landmarks": 4}}, "outputs must be a mapping .* 'tags': 4}"),
        ({"mean": (0.5, 0.5)}, "mean must be three numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean must be three numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "std must be three positive numbers"),
        ({"std": "abc"}, "std must be three positive numbers"),
        ({"outputs": {}}, "outputs must be a mapping"),
        ({"outputs": {"tags": 0}}, "outputs must be a mapping"),
        ({"precision": "int4"}, "precision must be one of fp32, fp16, int8"),
        ({"quantisation": ["a.jpg"]}, "quantisation must be what an INT8 network was calibrated on, or null"),
        ({"decode": ["refine"]}, "decode must be a mapping"),
        ({"project": None}, "project must be true or false"),
        ({"weights": None}, "weights must be a text"),
        ({"licence": 3}, "licence must be a text"),
        ({"drift": -1.0}, "drift must be at least 0"),
        ({"drift": float("inf")}, "drift must be at least 0"),
        ({"heatstream_version": 1}, "heatstream_version must be a text"),
    ],
)
def test_what_is_out_of_range_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        replace(PLAIN, **changes)


ANY_SIZE = replace(PLAIN, input_size=(256, 256), any_size=True)


def test_a_network_of_any_size_takes_another_short_side() -> None:
    assert ANY_SIZE.with_short_side(384) == replace(ANY_SIZE, input_size=(384, 384))


@pytest.mark.parametrize(
    ("info", "short_side", "expected"),
    [
        (PLAIN, 384, "leave it out, or export it with `--size any`"),
        (ANY_SIZE, 300, "a multiple of 64 px up to 2048, got 300: try 320"),
        (ANY_SIZE, 0, "got 0: try 64"),
        (ANY_SIZE, 10**6, "got 1000000: try 2048"),
        (ANY_SIZE, "384", "got '384'$"),
    ],
)
def test_a_short_side_that_cannot_be_is_refused(info: ModelInfo, short_side: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        info.with_short_side(short_side)


def _changed(**changes: Any) -> str:
    return json.dumps({**json.loads(PLAIN.to_metadata()[METADATA_KEY]), **changes})


def _lacking(name: str) -> str:
    content = json.loads(PLAIN.to_metadata()[METADATA_KEY])
    del content[name]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "does not describe itself as a heatstream model"),
        ({"author": "somebody"}, "does not describe itself"),
        ({METADATA_KEY: ""}, "damaged"),
        ({METADATA_KEY: "{"}, "damaged"),
        ({METADATA_KEY: "[1, 2]"}, "damaged"),
        ({METADATA_KEY: "3"}, "damaged"),
        ({METADATA_KEY: "{}"}, r"damaged heatstream metadata \('format' is missing\)"),
        ({METADATA_KEY: _changed(format=99)}, "format 99 .* upgrade heatstream"),
        ({METADATA_KEY: _lacking("skeleton")}, "damaged .*skeleton"),
        ({METADATA_KEY: _changed(skeleton="octopus-8")}, "damaged .*skeleton must be one of"),
        ({METADATA_KEY: _changed(input_size="big")}, "damaged .*input_size"),
        ({METADATA_KEY: _changed(mean=[0, "x", 1])}, "damaged .*mean"),
        ({METADATA_KEY: _changed(skeleton=[])}, "damaged .*skeleton"),
        ({METADATA_KEY: _changed(precision={})}, "damaged .*precision"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused_in_one_line(metadata: dict[str, str], words: str) -> None:
    with pytest.raises(ModelFileError, match=words) as caught:
        ModelInfo.from_metadata(metadata, path="some/net.onnx")
    assert str(caught.value).startswith("some/net.onnx ")
    assert "\n" not in str(caught.value)


def test_fields_that_a_later_version_adds_are_ignored() -> None:
    assert ModelInfo.from_metadata({METADATA_KEY: _changed(colour="blue")}, path="x") == PLAIN


@dataclass(frozen=True)
class FakePort:
    name: str
    shape: tuple[int | str | None, ...]
    type: str = "tensor(float)"


IMAGES = FakePort("images", (1, 3, 128, 192))
QUARTER = FakePort("heatmaps_quarter", (1, 17, 32, 48))
HALF = FakePort("heatmaps_half", (1, 17, 64, 96))
TAGS = FakePort("tags", (1, 17, 32, 48))
OUTPUTS = (QUARTER, HALF, TAGS)

FREE = replace(PLAIN, input_size=(128, 192), any_size=True, batch=None)
FREE_IMAGES = FakePort("images", ("batch", 3, "height", None))
FREE_OUTPUTS = tuple(replace(port, shape=("batch", 17, "h", "w")) for port in OUTPUTS)


@pytest.mark.parametrize(
    ("info", "inputs", "outputs"),
    [
        (PLAIN, [IMAGES], OUTPUTS),
        (PLAIN, [IMAGES], OUTPUTS[::-1]),
        (PLAIN, [IMAGES], [QUARTER, HALF, replace(TAGS, shape=(1, 17, None, "w"))]),
        (FREE, [FREE_IMAGES], FREE_OUTPUTS),
    ],
)
def test_ports_that_fit_are_accepted(info: ModelInfo, inputs: list[FakePort], outputs: list[FakePort]) -> None:
    info.check_io(inputs, outputs, path="net.onnx")


@pytest.mark.parametrize(
    ("info", "inputs", "outputs", "words"),
    [
        pytest.param(PLAIN, [], OUTPUTS, "expected the inputs images, got none", id="no input"),
        pytest.param(PLAIN, [replace(IMAGES, name="x")], OUTPUTS, "expected the inputs images, got x", id="name"),
        pytest.param(
            PLAIN, [IMAGES], OUTPUTS[:2], "expected the outputs heatmaps_quarter, heatmaps_half, tags", id="no tags"
        ),
        pytest.param(
            PLAIN,
            [replace(IMAGES, shape=(1, 3, 256, 192))],
            OUTPUTS,
            r"expected the input images as float \(1, 3, 128, 192\), got tensor\(float\) \(1, 3, 256, 192\)",
            id="size",
        ),
        pytest.param(PLAIN, [FREE_IMAGES], OUTPUTS, r"got tensor\(float\) \(any, 3, any, any\)", id="free"),
        pytest.param(PLAIN, [replace(IMAGES, shape=(1, 3, 128))], OUTPUTS, "expected the input", id="three axes"),
        pytest.param(PLAIN, [replace(IMAGES, type="tensor(float16)")], OUTPUTS, r"got tensor\(float16\)", id="type"),
        pytest.param(
            PLAIN, [IMAGES], [QUARTER, HALF, replace(TAGS, shape=(1, 14, 32, 48))], "the output tags", id="joints"
        ),
        pytest.param(FREE, [IMAGES], FREE_OUTPUTS, r"expected .* \(any, 3, any, any\)", id="fixed"),
        pytest.param(FREE, [FREE_IMAGES], OUTPUTS, "the output heatmaps_quarter", id="fixed outputs"),
    ],
)
def test_ports_that_do_not_fit_are_refused_with_both_shapes(
    info: ModelInfo, inputs: list[FakePort], outputs: list[FakePort], words: str
) -> None:
    with pytest.raises(ModelFileError, match=words) as caught:
        info.check_io(inputs, outputs, path="some/net.onnx")
    assert str(caught.value).startswith("some/net.onnx")
