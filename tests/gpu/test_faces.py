"""Faces on a GPU: what the CPU finds, with the weights that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

from heatstream.engine_builder.trt.gpus import local_gpu
from heatstream.runtime.load import load
from heatstream.runtime.pipelines.faces import FaceCascade
from heatstream.runtime.pipelines.landmarks_gpu import GpuLandmarkPipeline

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(local_gpu() is None, reason="there is no usable NVIDIA GPU"),
]


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt-rtx", "torch"])
def test_faces_are_those_of_the_cpu(engine: str) -> None:
    library = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx", "torch": "torch"}[engine]
    pytest.importorskip(library, reason=f"{engine} is not installed")
    skimage = pytest.importorskip("skimage", reason="scikit-image, with the photograph, comes with the extra demo")
    astronaut = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
    with load("swahr-tiny", "cpu", faces="h3r-mobile-68") as on_cpu:
        expected = on_cpu(astronaut).faces
    with load("swahr-tiny", "cuda", engine=engine, faces="h3r-mobile-68") as on_gpu:
        assert isinstance(on_gpu, FaceCascade)
        assert isinstance(on_gpu.landmarks, GpuLandmarkPipeline)
        for _ in range(3):  # call by call, then by graphs
            faces = on_gpu(astronaut).faces
            assert faces is not None
            assert expected is not None
            assert len(faces) == len(expected) == 1
            apart = np.linalg.norm(faces.landmarks - expected.landmarks, axis=2)
            assert apart.mean() < 0.5  # px of a face of 95 px, in FP16
            np.testing.assert_allclose(faces.scores, expected.scores, atol=0.03)
