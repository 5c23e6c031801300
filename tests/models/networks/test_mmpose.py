"""MMPose's and PaddleDetection's checkpoints, as their classes write them, against what these classes compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream import models  # noqa: E402
from heatstream.errors import CheckpointError  # noqa: E402
from heatstream.models.checkpoint_network import open_network  # noqa: E402
from heatstream.models.paddle_names import official_names  # noqa: E402
from tests.fakes.golden_weights import SWAHR_GAIN, golden_entry  # noqa: E402

GoldenFile = Callable[[str], Any]

TOLERANCE = 1e-3
"""Outputs reach 476; float32 against float64 and against another CPU kernel differs by up to 4.1e-4."""

HIGHER = "mmpose/mmpose_state_keys_higherhrnet_{}_v0.json"
ONE_STAGE = "mmpose/mmpose_state_keys_hrnet_ae_{}_coco_{}.json"


def written(entries: list[list[Any]], path: Path, *, filled: bool = False) -> Path:
    """A checkpoint of these entries, of zeros or filled by the convention, as MMPose's trainer leaves it."""
    state = {}
    for key, shape, dtype in entries:
        state[key] = torch.zeros(shape, dtype=getattr(torch, dtype))
        if filled and state[key].is_floating_point():
            state[key] = torch.as_tensor(golden_entry(key, tuple(shape), gain=SWAHR_GAIN))
    torch.save({"meta": {"epoch": 300, "config": "use_udp=False", "best": np.float64(0.67)}, "state_dict": state}, path)
    return path


def differences(network: Any, reference: Any) -> list[float]:
    """The largest of 1/4 heatmaps, tags and, where there is a second stage, 1/2 heatmaps."""
    with torch.inference_mode():
        out = network.eval()(torch.from_numpy(reference["input"]))
    heatmaps, tags = np.split(reference["stage0"], 2, axis=1)
    pairs = [(out.heatmaps[0], heatmaps), (out.tags, tags)]
    if "stage1" in reference:
        pairs.append((out.heatmaps[1], reference["stage1"]))
    return [float(np.abs(got.numpy() - expected).max()) for got, expected in pairs]


@pytest.mark.parametrize(
    ("name", "keys", "forward"),
    [
        ("higherhrnet-w32", HIGHER.format("w32_coco"), "mmpose/mmpose_forward_w32.npz"),
        ("higherhrnet-w48", HIGHER.format("w48_coco"), "mmpose/mmpose_forward_w48.npz"),
        ("higherhrnet-w32-crowdpose", HIGHER.format("w32_crowdpose"), "mmpose/mmpose_forward_w32_crowdpose.npz"),
        ("hrnet-w32-ae", ONE_STAGE.format("w32", "v0"), "mmpose/mmpose_forward_hrnet_ae_w32.npz"),
    ],
)
def test_mmpose_checkpoints_give_mmposes_maps(
    golden: GoldenFile, tmp_path: Path, name: str, keys: str, forward: str
) -> None:
    path = written(golden(keys), tmp_path / "epoch_300.pth", filled=True)
    network, info = open_network(name, path)
    assert info.weights == "epoch_300.pth"
    assert max(differences(network, golden(forward))) < TOLERANCE


@pytest.mark.parametrize(("width", "version"), [("w32", "v1"), ("w48", "v0"), ("w48", "v1")])
def test_the_names_of_both_versions_fill_the_network(
    golden: GoldenFile, tmp_path: Path, width: str, version: str
) -> None:
    network = models.create(f"hrnet-{width}-ae")
    report = models.load_checkpoint(network, written(golden(ONE_STAGE.format(width, version)), tmp_path / "a.pth"))
    assert (report.coverage, report.missing, report.unexpected) == ("network", (), ())


def test_a_port_to_the_new_names_loads_too(golden: GoldenFile, tmp_path: Path) -> None:
    entries = [
        [key.replace("keypoint_head.", "head."), shape, dtype]
        for key, shape, dtype in golden(HIGHER.format("w32_coco"))
    ]
    report = models.load_checkpoint(models.create("swahr-w32"), written(entries, tmp_path / "a.pth"))
    assert report.coverage == "network without scale heads"
    assert report.unexpected == ()


def test_one_stage_is_a_trunk_for_two_and_says_so(golden: GoldenFile, tmp_path: Path) -> None:
    path = written(golden(ONE_STAGE.format("w32", "v0")), tmp_path / "a.pth")
    report = models.load_checkpoint(models.create("swahr-w32"), path)
    assert report.coverage == "backbone"
    assert "left out: keypoint_head" in str(report)


@pytest.mark.parametrize("told_by", ["name", "configuration"])
def test_udp_is_refused(golden: GoldenFile, tmp_path: Path, told_by: str) -> None:
    path = written(golden(HIGHER.format("w32_coco")), tmp_path / "plain.pth")
    if told_by == "name":
        path = path.rename(tmp_path / "higher_hrnet32_coco_512x512_udp-8cc64794_20210222.pth")
    else:
        content = torch.load(path, weights_only=False)
        torch.save({**content, "meta": {"config": "data_cfg = dict(use_udp = True)"}}, path)
    with pytest.raises(CheckpointError, match="trained with UDP"):
        open_network("swahr-w32", path)


def test_paddles_arrays_give_paddles_maps(golden: GoldenFile, tmp_path: Path) -> None:
    import pickle

    rows = golden("mmpose/paddle_state_keys_higherhrnet_w32_swahr.json")
    assert official_names({paddle: official for paddle, _, _, official in rows}) == {row[3]: row[3] for row in rows}
    filled = {}
    for paddle, shape, _, _ in rows:
        module, _, last = paddle.rpartition(".")
        as_torch = {"_mean": "running_mean", "_variance": "running_var"}.get(last, last)
        filled[paddle] = paddle_entry(paddle, f"{module}.{as_torch}", tuple(shape))
    path = tmp_path / "swahr.pdparams"
    path.write_bytes(pickle.dumps({**filled, "StructuredToParameterName@@": {"a": "b"}}, protocol=2))
    network = models.create("swahr-w32")
    report = models.load_checkpoint(network, path)
    assert report.coverage == "network"
    assert all(key.endswith("num_batches_tracked") for key in report.missing)
    assert max(differences(network, golden("mmpose/paddle_forward_w32_swahr.npz"))) < TOLERANCE


def paddle_entry(name: str, like: str, shape: tuple[int, ...]) -> Any:
    """Seeded by Paddle's name, filled by the rule of torch's."""
    import zlib
    from unittest import mock

    seed = zlib.crc32(name.encode())
    with mock.patch("tests.fakes.golden_weights.zlib.crc32", return_value=seed):
        return golden_entry(like, shape, gain=SWAHR_GAIN)
