"""``heatstream run`` on a GPU, which is a fake: the people are the CPU's, and the table says what ran and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.runtime.engines import select as open_engine
from tests.demo.helpers import Command, read_results
from tests.fakes.gpu import ORIN, make_gpu
from tests.kernels.conftest import fake  # noqa: F401 (a fixture)

pytestmark = pytest.mark.emulator


def test_a_clip_is_looked_at_on_the_gpu(
    heatstream: Command,
    clip: Path,
    tiny_model: Path,
    tmp_path: Path,
    fake: tuple[Any, Counter[str]],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = make_gpu(fake, monkeypatch, tmp_path / "engines")
    monkeypatch.setattr(open_engine, "local_gpu", lambda index=0: ORIN)
    keypoints = {}
    for engine in ("tensorrt", "onnx"):
        lines = tmp_path / f"{engine}.jsonl"
        ended = heatstream(
            *("run", clip, "-m", tiny_model, "--no-window", "--frames", "3", "--short-side", "64"),
            *("--jsonl", lines, "--engine", engine),
        )
        assert (ended.code, ended.err) == (0, "")
        keypoints[engine] = [result["people"][0]["keypoints"] for result in read_results(lines)]
        told = " ".join(ended.out.split())
        assert "tiny (short side 64 px) on " in told
        if engine == "tensorrt":
            assert "on TensorRT 10.3.0, cuda:0 (Orin)" in told
            assert "engine because the engine tensorrt was asked for" in told
    np.testing.assert_allclose(keypoints["tensorrt"], keypoints["onnx"], atol=0.5)
    assert gpu.graphs["replay"] >= 3  # the frames, and those that warm it up
    assert len(list((tmp_path / "engines").glob("tiny-64x128-fp16-tensorrt-*.engine"))) == 1


def test_a_gpu_that_is_not_there_is_one_line(
    heatstream: Command, clip: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heatstream.runtime.gpu.device.local_gpu", lambda index=0: None)
    ended = heatstream("run", clip, "-m", tiny_model, "--no-window", "--device", "cuda")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "cuda:0 was asked for, and there is no NVIDIA GPU here, or no driver for it" in ended.err
