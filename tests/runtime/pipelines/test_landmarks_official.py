"""The landmark pipeline is the official H3R detector, from the picture and its boxes to landmarks in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heatstream import catalog, skeletons
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.models.networks.registry import create  # noqa: E402
from heatstream.runtime.engines.torch_engine import TorchEngine  # noqa: E402
from tests.fakes.golden_weights import H3R_GAINS, fill_golden_weights  # noqa: E402


@pytest.mark.parametrize(
    ("name", "reference_name"),
    [("h3r-mobile-wflw98", "mobilenetv2_wflw98"), ("h3r-mobile-300w68", "mobilenetv2_300w68")],
)
@pytest.mark.parametrize("flip", [False, True])
def test_it_finds_what_the_official_detector_finds(
    golden: Callable[[str], Any], name: str, reference_name: str, flip: bool
) -> None:
    reference = golden(f"h3r_forward_{reference_name}.npz")
    network = create(name)
    fill_golden_weights(network, gain=H3R_GAINS["mobilenetv2"])
    info = catalog.get(name).info()
    assert info.input_size == tuple(reference["e2e_input_size"].tolist())
    with LandmarkPipeline(TorchEngine(network, info), flip=flip) as pipeline:
        faces = pipeline(np.ascontiguousarray(reference["e2e_image"][..., ::-1]), boxes=reference["e2e_bbox"] + 0.5)
    assert skeletons.get(faces.skeleton) is skeletons.get(info.skeleton)
    expected = reference["e2e_landmarks_flip" if flip else "e2e_landmarks_noflip"]
    # Pixel centres lie at whole numbers there.
    # Where the 9th and 10th pixel of a map are all but equal a landmark may jump; few are.
    close = np.abs(faces.landmarks - 0.5 - expected).max(axis=-1) < 1e-3
    assert close.mean() > 0.99
