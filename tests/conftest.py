"""Fixtures of the whole suite: where reference numbers and photographs are found, and what was not.

The suite carries a small subset of the reference numbers (``tests/golden``). Where the full files lie in
``shared/golden`` in a folder above the repository they are used instead, and photographs and clips likewise from
``shared/data``. Whatever a test asked for and did not get is named at the end of the run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.engine_builder.trt.toolkit import Toolkit, open_toolkit

REPOSITORY = Path(__file__).resolve().parent.parent
EMULATOR = Path(__file__).resolve().parent / "emulator"
OWN_GOLDEN = Path(__file__).resolve().parent / "golden"

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import onnxruntime themselves

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as `&` in a script has it, and then in all that is started
    signal.signal(signal.SIGINT, signal.default_int_handler)

_not_found: dict[str, str] = {}


def _shared(*parts: str) -> Path | None:
    for folder in REPOSITORY.parents:
        path = folder.joinpath("shared", *parts)
        if path.exists():
            return path
    return None


@pytest.fixture(scope="session")
def golden_path() -> Callable[[str], Path]:
    """``golden_path(name)``: where a reference file is; the full one or the suite's own subset."""

    def find(name: str) -> Path:
        path = _shared("golden", name)
        if path is None:
            path = OWN_GOLDEN / name
            if not path.exists():
                _not_found[f"golden/{name}"] = "no file and no subset of it in tests/golden"
                # It is too large for the repository; the end of the run names it.
                pytest.skip(f"reference file {name} was not found")
            _not_found.setdefault(f"golden/{name}", "the subset in tests/golden was used")
        return path

    return find


@pytest.fixture(scope="session")
def golden(golden_path: Callable[[str], Path]) -> Callable[[str], Any]:
    """``golden(name)``: a reference file, ``.npz`` as a mapping of arrays, ``.json`` parsed; full or own subset."""

    def find(name: str) -> Any:
        path = golden_path(name)
        return json.loads(path.read_text()) if path.suffix == ".json" else np.load(path)

    return find


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """``shared_data("video/x.avi")``: the path of a photograph, clip or annotation file beside the repository."""

    def find(name: str) -> Path:
        path = _shared("data", *name.split("/"))
        if path is None:
            _not_found[f"data/{name}"] = "the tests that need it were skipped"
            # Photographs are not ours to give on; the end of the run names it.
            pytest.skip(f"{name} was not found beside the repository")
        return path

    return find


@pytest.fixture
def no_process_is_left() -> Iterator[None]:
    """A test that fails takes along the commands it has started, which might keep the machine busy for ever."""
    import psutil

    yield
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "heatstream" in process.cmdline():  # as in `python -m heatstream`
                for each in (*process.children(recursive=True), process):
                    each.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a C++ compiler the CUDA sources cannot be run on the CPU; those tests are skipped, and say so."""
    if shutil.which(os.environ.get("CXX", "g++")) is not None:
        return
    skip = pytest.mark.skip(reason="there is no g++, which runs the CUDA sources on the CPU")
    for item in items:
        if item.get_closest_marker("emulator") or EMULATOR in item.path.parents:
            item.add_marker(skip)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist, tell the process that prints the report what this one did not find."""
    report = getattr(session.config, "workeroutput", None)
    if report is not None:
        report["not_found"] = _not_found


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a process of pytest-xdist did not find."""
    _not_found.update(getattr(node, "workeroutput", {}).get("not_found", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _not_found:
        terminalreporter.section("not found beside the repository")
        for name, consequence in sorted(_not_found.items()):
            terminalreporter.write_line(f"shared/{name}: {consequence}")


@pytest.fixture(scope="session")
def rtx() -> Toolkit:
    """The real TensorRT-RTX."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 has wheels for Linux on x86-64 and for Windows only")
    return open_toolkit("tensorrt-rtx")
