"""H3R against the official code's state dicts, outputs and decoded coordinates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream import catalog, models, skeletons  # noqa: E402
from heatstream.errors import CheckpointError  # noqa: E402
from heatstream.models.networks.h3r import H3R  # noqa: E402
from tests.models.networks.check_h3r import check_file  # noqa: E402

OFFICIAL = {"h3r-w18-wflw98", "h3r-w18-300w68", "h3r-mobile-wflw98", "h3r-mobile-300w68"}
OTHERS = sorted(name for name, entry in catalog.CATALOG.items() if entry.task == "landmarks" and name not in OFFICIAL)

NETWORKS_CHECKED = ("mobilenetv2_wflw98", "mobilenetv2_300w68", "hrnet18_wflw98", "hrnet18_300w68")
REFERENCES = (
    "h3r_decode.npz",
    "h3r_geometry.npz",
    *(f"h3r_state_keys_{name}.json" for name in NETWORKS_CHECKED),
    *(f"h3r_weights_probe_{name}.json" for name in NETWORKS_CHECKED),
    *(f"h3r_forward_{name}.npz" for name in NETWORKS_CHECKED),
)


@pytest.mark.parametrize("name", REFERENCES)
def test_everything_is_as_in_the_reference_files(golden_path: Callable[[str], Path], name: str) -> None:
    checks = list(check_file(golden_path(name)))
    assert checks
    assert [check for check in checks if not check.agrees] == []
    assert all(check.compared > check.passed_over for check in checks)


def test_a_difference_is_a_mismatch(golden_path: Callable[[str], Path], tmp_path: Path) -> None:
    file = dict(np.load(golden_path("h3r_geometry.npz")))
    file["rect"] = file["rect"] + 1e-3
    np.savez(tmp_path / "h3r_geometry.npz", **file)
    assert [check.what for check in check_file(tmp_path / "h3r_geometry.npz") if not check.agrees] == ["rectangles"]


@pytest.mark.parametrize("name", OTHERS)
def test_further_heads_have_their_skeletons_maps(name: str) -> None:
    size = (64, 96)
    with torch.inference_mode():
        logits = models.create(name).eval()(torch.zeros(1, 3, *size))
    assert logits.shape == (1, 2, skeletons.get(catalog.get(name).skeleton).num_keypoints, 16, 24)


@pytest.mark.parametrize("width", [8, None])
def test_the_landmarks_class_alone_is_the_same(width: int | None) -> None:
    torch.manual_seed(0)
    network = H3R(5, width=width).eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.landmarks(images), network(images)[:, 1])


@pytest.mark.parametrize("width", [8, None])
def test_every_parameter_is_trained(width: int | None) -> None:
    network = H3R(3, width=width)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def saved(folder: Path, state: dict[str, Any]) -> Path:
    path = folder / "weights.pth"
    torch.save(state, path)
    return path


def filled(num_landmarks: int, width: int | None) -> dict[str, Any]:
    """A state dict with values that no fresh network has."""
    return {key: torch.full_like(value, 7) for key, value in H3R(num_landmarks, width=width).state_dict().items()}


@pytest.mark.parametrize("width", [8, None])
def test_a_checkpoint_fills_the_whole_network(tmp_path: Path, width: int | None) -> None:
    path = saved(tmp_path, {"state_dict": {f"module.{key}": value for key, value in filled(5, width).items()}})
    network = H3R(5, width=width)
    assert models.load_checkpoint(network, path).coverage == "network"
    assert all((value == 7).all() for value in network.state_dict().values())


@pytest.mark.parametrize(("width", "extra"), [(8, "incre_modules.0.0.conv1.weight"), (None, "features.18.0.weight")])
def test_a_bare_backbone_leaves_the_head_as_it_was(tmp_path: Path, width: int | None, extra: str) -> None:
    state = filled(5, width)
    bare = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    network = H3R(5, width=width)
    report = models.load_checkpoint(network, saved(tmp_path, {**bare, extra: torch.ones(2)}))
    assert (report.coverage, report.unexpected) == ("backbone", (extra,))
    for key, value in network.state_dict().items():
        assert key.startswith("heatmap_head.") or (value == 7).all(), key


def test_the_head_of_another_skeleton_is_refused_or_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, filled(6, 8))
    network = H3R(5, width=8)
    with pytest.raises(CheckpointError, match="predicts 6 landmarks, expected 5: choose the network for its skeleton"):
        models.load_checkpoint(network, path)
    assert models.load_checkpoint(network, path, heads=False).coverage == "backbone"


@pytest.mark.parametrize("width", [18, None])
def test_a_fresh_network_takes_almost_every_location_for_background(width: int | None) -> None:
    """And as much for either class, so that the landmarks' own stays half of the log odds."""
    torch.manual_seed(0)
    network = H3R(8, width=width).train()
    with torch.no_grad():
        background, landmarks = network(torch.randn(4, 3, 64, 64)).unbind(dim=1)
    assert -10 < float((landmarks - background).mean()) < -6
    assert float(landmarks.mean()) == pytest.approx(-float(background.mean()), abs=0.5)
