"""Compares H3R as it is here with reference files: state dicts, outputs, decoded coordinates, geometry, whole chain.

``python tests/models/networks/check_h3r.py FILE...``
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

if __name__ == "__main__":  # run as a file: the repository is what its modules are imported from
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from heatstream import models, skeletons
from heatstream.kernels import decode_landmarks
from heatstream.kernels.reference.crops import crop_boxes, crop_rectangles, crop_transforms, merge_flipped_landmarks
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD, OUTPUTS, ModelInfo
from heatstream.models.networks.h3r import H3R
from heatstream.runtime.engines.torch_engine import TorchEngine
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.skeletons import Skeleton
from tests.fakes.golden_weights import H3R_GAINS, fill_golden_weights, golden_entry

HELP = """\
Compares with files of the format of the golden data (its README says how they were made and how weights are filled):

  h3r_forward_*.npz          outputs of both classes and of the backbone to 1e-3, coordinates to 1e-3 px, and the chain
                             from picture and boxes to landmarks, crops included, to 1e-3 px, with the flip test and
                             without; a landmark is compared where the last pixel that is read leads the next by 1e-4
  h3r_decode.npz             any map_NAME with any coord_NAME_topkK, to 1e-3 px
  h3r_geometry.npz           rectangles, whole pixels, landmarks back and flipped, of any boxes and sizes, to 1e-4 px
  h3r_state_keys_*.json      names, shapes, types and order
  h3r_weights_probe_*.json   the filling of weights

The kind of a file and the network are told from its content. Exit code 0: all agree; 1: a mismatch; 2: a file cannot be
read."""

FORWARD_TOLERANCE = 1e-3
COORDINATE_TOLERANCE_PX = 1e-3
GEOMETRY_TOLERANCE_PX = 1e-4
SAFE_MARGIN = 1e-4
"""A gap between the last pixel that is read and the next that rounding of float32 does not close."""

CROP_TOLERANCE = 1e-6

MOBILE_CHANNELS = 152
"""Of the joined features of MobileNetV2; HRNet-W18's are 270."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        what: was compared.
        compared: how many values, or points.
        passed_over: how many points may jump, and were not.
        difference: the largest.
        tolerance: of it.
    """

    what: str
    compared: int
    difference: float
    tolerance: float
    passed_over: int = 0

    @property
    def agrees(self) -> bool:
        return self.compared > 0 and self.difference <= self.tolerance


def check_file(path: Path) -> Iterator[Check]:
    """Every comparison that a file allows.

    Raises:
        ValueError: it is of no known kind.
    """
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        yield from [_state_keys(content)] if isinstance(content, list) else [_weights_probe(content)]
        return
    with np.load(path) as file:
        arrays = dict(file)
    if "raw_class1" in arrays:
        yield from _forward(arrays)
    elif "bbox" in arrays:
        yield from _geometry(arrays)
    elif any(key.startswith("map_") for key in arrays):
        yield from _decode(arrays)
    else:
        raise ValueError(f"it holds {', '.join(arrays)}")


def _difference(what: str, found: Any, expected: Any, tolerance: float) -> Check:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return Check(f"{what}: {found.shape} instead of {expected.shape}", 1, np.inf, tolerance)
    return Check(what, found.size, float(np.abs(found - expected).max(initial=0)), tolerance)


def _safe_difference(what: str, found: Any, expected: Any, safe: Any, tolerance: float) -> Check:
    """Of the points (N, L, 2) that are `safe` (N, L)."""
    if found.shape != expected.shape:
        return Check(f"{what}: {found.shape} instead of {expected.shape}", 1, np.inf, tolerance)
    away = np.abs(found - expected).max(axis=2)
    return Check(what, int(safe.sum()), float(away[safe].max(initial=0)), tolerance, int((~safe).sum()))


def _skeleton(landmarks: int) -> Skeleton:
    return {98: skeletons.WFLW_98, 68: skeletons.W300_68}[landmarks]


def _create(landmarks: int, *, mobile: bool) -> H3R:
    subject = {98: "wflw98", 68: "300w68"}[landmarks]
    network = models.create(f"h3r-{'mobile' if mobile else 'w18'}-{subject}")
    assert isinstance(network, H3R)
    return network


def _network(landmarks: int, *, mobile: bool) -> H3R:
    network = _create(landmarks, mobile=mobile).eval()
    fill_golden_weights(network, gain=H3R_GAINS["mobilenetv2" if mobile else "hrnet18"])
    return network


def _state_keys(expected: list[Any]) -> Check:
    mobile = any(name.startswith("backbone.features") for name, _, _ in expected)
    state = _create(expected[-1][1][0] // 2, mobile=mobile).state_dict()
    found = [[key, list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in state.items()]
    wrong = sum(ours != theirs for ours, theirs in zip(found, expected, strict=False)) + abs(len(found) - len(expected))
    return Check("names, shapes, types and order", len(expected), wrong, 0)


def _weights_probe(expected: dict[str, Any]) -> Check:
    mobile = any(name.startswith("backbone.features") for name in expected)
    wrong = min(_wrongly_filled(expected, landmarks, mobile=mobile) for landmarks in (98, 68))
    return Check("filled weights", len(expected), wrong, 0)


def _wrongly_filled(expected: dict[str, Any], landmarks: int, *, mobile: bool) -> int:
    """How many entries differ: in the checksum of their name, in their sum or in their first values."""
    state = _create(landmarks, mobile=mobile).state_dict()
    gain = H3R_GAINS["mobilenetv2" if mobile else "hrnet18"]
    wrong = len(expected.keys() ^ state.keys())
    for key in expected.keys() & state.keys():
        probe, shape = expected[key], tuple(state[key].shape)
        entry = golden_entry(key, shape, gain=gain) if state[key].is_floating_point() else np.zeros(shape)
        same = np.isclose(entry.astype(np.float64).sum(), probe["sum"], rtol=1e-9, atol=1e-6)
        first = np.array_equal(entry.ravel()[: len(probe["first"])], probe["first"])
        wrong += not (same and first and zlib.crc32(key.encode()) == probe["crc32"])
    return wrong


def _decode(file: Arrays) -> Iterator[Check]:
    for key, expected in file.items():
        if match := re.fullmatch(r"coord_(\w+)_topk(\d+)", key):
            found = decode_landmarks(file[f"map_{match[1]}"], topk=int(match[2]), stride=float(file["stride"]))
            yield _difference(f"{match[1]}, top {match[2]}", found, expected, COORDINATE_TOLERANCE_PX)


def _geometry(file: Arrays) -> Iterator[Check]:
    rectangles = crop_rectangles(file["bbox"], float(file["box_scale"]))
    yield _difference("rectangles", rectangles, file["rect"], GEOMETRY_TOLERANCE_PX)
    pixels = np.rint(rectangles)
    yield _difference("whole pixels", pixels, file["crop_int_box"], 0)
    yield _difference("sizes of crops", pixels[:, 2:] - pixels[:, :2], file["crop_size_wh"], 0)
    order = _skeleton(len(file["flip_order"])).flip_indices
    yield _difference("flip order", order, file["flip_order"], 0)
    for key in file:
        if match := re.fullmatch(r"landmark_(\d+)", key):
            size = int(match[1])
            back = _moved(file[key], crop_transforms(rectangles, (size, size)))
            yield _difference(f"landmarks back, {size} px", back, file[f"inverse_{size}"], GEOMETRY_TOLERANCE_PX)
            flipped = file[f"flipped_{size}"]
            both = merge_flipped_landmarks(flipped, file[f"flip_in_{size}"], order, size)
            yield _difference(f"landmarks flipped, {size} px", both, flipped, GEOMETRY_TOLERANCE_PX)


def _forward(file: Arrays) -> Iterator[Check]:
    landmarks, topk, stride = file["raw_class1"].shape[1], int(file["topk"]), float(file["stride"])
    network = _network(landmarks, mobile=file["backbone_sub8"].shape[1] == MOBILE_CHANNELS)
    skeleton = _skeleton(landmarks)
    with torch.inference_mode():
        images = torch.from_numpy(file["input"])
        logits, features = network(images).numpy(), network._features(images).numpy()
    yield _difference("backbone", features[..., ::8, ::8], file["backbone_sub8"], FORWARD_TOLERANCE)
    yield _difference("background class", logits[:, 0, :, ::2, ::2], file["raw_class0_sub2"], FORWARD_TOLERANCE)
    yield _difference("landmark class", logits[:, 1], file["raw_class1"], FORWARD_TOLERANCE)
    safe = np.broadcast_to(file["topk_margin"] > SAFE_MARGIN, (len(logits), landmarks))
    found = decode_landmarks(file["raw_class1"], topk=topk, stride=stride)
    yield _difference("coordinates of its maps", found, file["coords"], COORDINATE_TOLERANCE_PX)
    found = decode_landmarks(logits[:, 1], topk=topk, stride=stride)
    yield _safe_difference("coordinates of ours", found, file["coords"], safe, COORDINATE_TOLERANCE_PX)
    yield _difference("flip order", skeleton.flip_indices, file["flip_order"], 0)
    yield from _whole_chain(file, network, skeleton, topk)


def _whole_chain(file: Arrays, network: H3R, skeleton: Skeleton, topk: int) -> Iterator[Check]:
    """From a picture and boxes to landmarks in the picture, through the pipeline."""
    size = tuple(file["e2e_input_size"].tolist())
    info = ModelInfo(
        name="reference",
        skeleton=skeleton.name,
        input_size=size,
        task="landmarks",
        outputs=dict(OUTPUTS["landmarks"]),
        decode={"topk": topk},
        project=False,
    )
    frame, boxes = np.ascontiguousarray(file["e2e_image"][..., ::-1]), file["e2e_bbox"].astype(np.float64)
    rectangles = crop_rectangles(boxes)
    yield _difference("e2e rectangles", rectangles, file["e2e_rect"], GEOMETRY_TOLERANCE_PX)
    engine = TorchEngine(network, info)
    plain, mirrored = LandmarkPipeline(engine), LandmarkPipeline(engine, flip=True)
    # The official code has pixel centres at whole numbers, the pipeline at +0.5.
    once, twice = plain.prepare(frame, boxes + 0.5), mirrored.prepare(frame, boxes + 0.5)
    if len(file["e2e_data_sub2"]):
        yield _difference("e2e crops", once.images[..., ::2, ::2], file["e2e_data_sub2"], CROP_TOLERANCE)
    maps = mirrored.infer(twice)
    safe = _safe(maps, topk).reshape(2, len(boxes), -1)
    for name, found, where in (
        ("noflip", plain.decode(once, maps[: len(boxes)]), safe[0]),
        ("flip", mirrored.decode(twice, maps), _both(safe, skeleton)),
    ):
        expected = file[f"e2e_landmarks_{name}"]
        landmarks = found.landmarks - 0.5
        yield _safe_difference(f"e2e landmarks, {name}", landmarks, expected, where, COORDINATE_TOLERANCE_PX)

    # Without a box the whole picture is looked at, whatever its aspect; no pipeline does that.
    whole = np.array([[0, 0, frame.shape[1], frame.shape[0]]])
    image = crop_boxes(frame, whole, size, IMAGENET_MEAN, IMAGENET_STD)
    maps = engine.run(np.concatenate([image, image[..., ::-1]]))["landmarks"]
    points = merge_flipped_landmarks(*np.split(decode_landmarks(maps, topk), 2), skeleton.flip_indices, size[1])
    found, where = _moved(points, crop_transforms(whole, size)), _both(_safe(maps, topk)[:, None], skeleton)
    yield _safe_difference(
        "e2e landmarks, no box", found, file["e2e_landmarks_flip_nobox"], where, COORDINATE_TOLERANCE_PX
    )


def _moved(points: NDArray[Any], transforms: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]
    return moved


def _safe(maps: NDArray[np.float32], topk: int) -> NDArray[np.bool_]:
    """(N, L) whether the last pixel that is read leads the next."""
    ordered = np.sort(maps.reshape(*maps.shape[:2], -1), axis=2)
    safe: NDArray[np.bool_] = ordered[..., -topk] - ordered[..., -topk - 1] > SAFE_MARGIN
    return safe


def _both(safe: NDArray[np.bool_], skeleton: Skeleton) -> NDArray[np.bool_]:
    """(N, L) of (2, N, L): in the plain crop and, by its mirrored landmark, in the mirrored one."""
    return safe[0] & safe[1][:, list(skeleton.flip_indices)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="reference files, .npz and .json")
    options = parser.parse_args(arguments)

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    mismatches = 0
    for path in options.files:
        table = Table(title=path.name, title_justify="left")
        for heading in ("what", "compared", "passed over", "largest difference", "tolerance", ""):
            table.add_column(heading, justify="left" if heading == "what" else "right")
        try:
            for check in check_file(path):
                mismatches += not check.agrees
                numbers = f"{check.compared}", f"{check.passed_over}", f"{check.difference:.2g}", f"{check.tolerance:g}"
                table.add_row(check.what, *numbers, "agrees" if check.agrees else "MISMATCH")
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            parser.error(f"{path} is no reference file of H3R: {error}")
        console.print(table)
    console.print(f"{mismatches} mismatches" if mismatches else "everything agrees")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
