"""A GPU for tests that run everywhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gpu import StandinGpu, make_gpu
from tests.kernels.conftest import standin  # noqa: F401 (a fixture)


@pytest.fixture
def gpu(
    standin: tuple[Any, Counter[str]],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> StandinGpu:
    """A GPU with TensorRT and CuPy, all of them stand-ins."""
    return make_gpu(standin, monkeypatch, tmp_path)
