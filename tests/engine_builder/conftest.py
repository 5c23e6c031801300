"""Toolkits and a small model for the tests of the engine builder; nothing of them writes into the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.toolkit import Toolkit
from tests.demo.conftest import write_model
from tests.fakes.tensorrt import make_tensorrt

ORIN = Gpu("Orin", "sm_87")


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where engines are kept in this test, by this process and those it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/heatstream/engines"


@pytest.fixture
def tensorrt() -> Callable[..., Toolkit]:
    """``tensorrt("10.3.0")``: the fake of that version."""
    return lambda version="10.3.0", gpu="Orin": Toolkit("tensorrt", make_tensorrt(version, gpu))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A model file of any size, in FP32."""
    return write_model(tmp_path / "tiny.onnx")
