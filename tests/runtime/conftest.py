"""A GPU for tests that run everywhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gpu import FakeGpu, make_gpu
from tests.kernels.conftest import fake  # noqa: F401 (a fixture)


@pytest.fixture
def gpu(
    fake: tuple[Any, Counter[str]],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> FakeGpu:
    """A GPU with TensorRT and CuPy, all of them fakes."""
    return make_gpu(fake, monkeypatch, tmp_path)
