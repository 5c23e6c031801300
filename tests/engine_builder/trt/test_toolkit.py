"""Which TensorRT is used, and what is said when it is not there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from heatstream.engine_builder.trt.gpus import PORTABLE, Gpu
from heatstream.engine_builder.trt.toolkit import Backend, Toolkit, choose_toolkit, open_toolkit
from heatstream.errors import BuildError, EngineError, InputError, MissingExtraError
from tests.engine_builder.conftest import ORIN
from tests.fakes.tensorrt import make_tensorrt


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``install(tensorrt=module)``: these are the toolkits there are."""

    def put(**modules: ModuleType) -> None:
        for name in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.delitem(sys.modules, name, raising=False)
            if name in modules:
                monkeypatch.setitem(sys.modules, name, modules[name])
        monkeypatch.setattr(sys, "meta_path", [_Nothing(), *sys.meta_path])

    return put


class _Nothing:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in ("tensorrt", "tensorrt_rtx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _rtx() -> ModuleType:
    module = ModuleType("tensorrt_rtx")
    module.__version__ = "1.7.1"  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("tensorrt", r"pip install 'heatstream\[gpu\]'; on a Jetson: .*python3-libnvinfer.*--backend tensorrt-rtx"),
        ("tensorrt-rtx", r"tensorrt_rtx is needed .* pip install 'heatstream\[rtx\]'"),
    ],
)
def test_a_missing_toolkit_is_said_with_what_to_install(
    install: Callable[..., None], backend: Backend, words: str
) -> None:
    install()
    with pytest.raises(MissingExtraError, match=words) as caught:
        open_toolkit(backend)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["8.6.1", "10.2.0"])
def test_a_tensorrt_that_is_too_old_is_refused(install: Callable[..., None], version: str) -> None:
    install(tensorrt=make_tensorrt(version))
    with pytest.raises(BuildError, match=rf"TensorRT {version} is installed and 10.3 or later is needed: update it"):
        open_toolkit("tensorrt")


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libnvinfer.so.10: cannot open shared object file"),
        ModuleNotFoundError("No module named 'tensorrt_libs'", name="tensorrt_libs"),
        OSError("wrong ELF class"),
    ],
)
def test_a_toolkit_that_does_not_load_is_not_called_missing(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Broken(_Nothing):
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "tensorrt":
                raise error

    install()
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(BuildError, match=rf"installed but does not load \(.*{str(error)[:9]}"):
        open_toolkit("tensorrt")


@pytest.mark.parametrize(
    ("installed", "gpu", "backend", "why"),
    [
        (("tensorrt", "tensorrt_rtx"), ORIN, "tensorrt", r"this machine has a GPU \(Orin\)"),
        (("tensorrt_rtx",), ORIN, "tensorrt-rtx", "TensorRT is not installed"),
        (("tensorrt", "tensorrt_rtx"), None, "tensorrt-rtx", "there is no GPU to build on"),
    ],
)
def test_auto_takes_what_fits_the_machine_and_says_why(
    install: Callable[..., None], installed: tuple[str, ...], gpu: Any, backend: str, why: str
) -> None:
    there = {"tensorrt": make_tensorrt("11.4.1"), "tensorrt_rtx": _rtx()}
    install(**{name: there[name] for name in installed})
    toolkit, reason = choose_toolkit(gpu)
    assert toolkit.backend == backend
    assert re.search(why, reason)


def test_tensorrt_builds_for_the_gpu_it_runs_on(tensorrt: Callable[..., Toolkit]) -> None:
    toolkit = tensorrt()
    assert toolkit.targets((), ORIN) == toolkit.targets(("sm_87",), ORIN) == ("sm_87",)
    with pytest.raises(
        InputError, match=r"for sm_89 on that GPU alone, and this machine has another one \(Orin, sm_87"
    ):
        toolkit.targets(("sm_89",), ORIN)
    with pytest.raises(BuildError, match="this machine has none: build there, or use --backend tensorrt-rtx"):
        toolkit.targets((), None)
    toolkit.check_gpu(ORIN)


def test_rtx_builds_for_the_gpus_it_knows(rtx: Toolkit) -> None:
    assert rtx.targets((), None) == PORTABLE
    assert set(PORTABLE) < set(rtx.known_targets)
    assert rtx.targets(("sm_89", "sm_120"), ORIN) == ("sm_89", "sm_120")
    with pytest.raises(
        InputError, match=r"has no engines for sm_42, but for sm_75, .*: build on the machine with that"
    ):
        rtx.targets(("sm_89", "sm_42"), None)
    with pytest.raises(InputError, match=r"engines for sm_87 \(Jetson Orin\) are built on the Jetson alone"):
        rtx.targets(("sm_87",), None)
    rtx.check_gpu(Gpu("RTX 4070", "sm_89"))
    for gpu in (ORIN, Gpu("H200", "sm_90"), Gpu("B200", "sm_100")):
        with pytest.raises(
            EngineError, match=rf"has no engines for this GPU \({gpu.name}, {gpu.target}\), but for sm_75"
        ):
            rtx.check_gpu(gpu)
