"""The fake has the interface of the real thing: TensorRT-RTX shares it, and can be asked anywhere."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum
from typing import Any

import pytest

from heatstream.engine_builder.trt.toolkit import Toolkit, open_toolkit
from tests.fakes.tensorrt import make_tensorrt

GONE = {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", "EXPLICIT_BATCH"}
"""What TensorRT 10 has and neither TensorRT 11 nor TensorRT-RTX: heatstream must not need it."""


@pytest.fixture(scope="module")
def rtx() -> Toolkit:
    """The real TensorRT-RTX."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 has wheels for Linux on x86-64 and for Windows alone")
    return open_toolkit("tensorrt-rtx")


def _overloads(function: Any) -> list[list[tuple[str, bool]]]:
    """The arguments of every way in which it may be called; pybind11 has them in the docstring."""
    lines = function.__doc__.strip().splitlines()
    if "Overloaded function." in lines:
        return [_arguments(line) for line in lines if re.match(r"\d+\. ", line)]
    return [_arguments(lines[0])]


def _arguments(line: str) -> list[tuple[str, bool]]:
    """Names of the arguments after self, and whether they may be left out."""
    text, depth, parts = line[line.index("(") + 1 : line.rindex(") ->")], 0, [""]
    for letter in text:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [(part.strip().partition(":")[0], "=" in part) for part in parts[1:]]


def _fake_arguments(function: Any) -> list[tuple[str, bool]]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [(item.name, item.default is not item.empty) for item in parameters]


@pytest.mark.parametrize("fake", [make_tensorrt("10.3.0"), make_tensorrt("11.4.1"), make_tensorrt("1.7", rtx=True)])
def test_every_name_and_argument_is_that_of_the_real_one(rtx: Toolkit, fake: Any) -> None:
    compared = 0
    for name, kind in vars(fake).items():
        if not inspect.isclass(kind):
            continue
        real = getattr(rtx.module, name)
        if issubclass(kind, IntEnum):
            assert set(kind.__members__) - GONE <= set(real.__members__), name
            continue
        for member in [*(key for key in vars(kind) if not key.startswith("_")), *getattr(kind, "__slots__", ())]:
            if member.startswith("_"):
                continue
            own, theirs = inspect.getattr_static(kind, member), inspect.getattr_static(real, member)
            if inspect.isfunction(own):
                assert _fake_arguments(own) in _overloads(getattr(real, member)), f"{name}.{member}"
                compared += 1
            elif not inspect.isclass(own):
                assert isinstance(theirs, property), f"{name}.{member}"
    assert compared > 35


def test_the_gpus_that_it_has_engines_for_are_those_of_the_real_one(rtx: Toolkit) -> None:
    members = make_tensorrt("1.7", rtx=True).ComputeCapability.__members__  # type: ignore[attr-defined]
    assert set(members) == set(rtx.module.ComputeCapability.__members__)


@pytest.mark.parametrize("version", ["10.3.0", "11.4.1"])
def test_what_it_does_not_know_is_an_error(version: str) -> None:
    module = make_tensorrt(version)
    config = module.Builder(module.ILogger()).create_builder_config()
    with pytest.raises(AttributeError):
        config.num_compute_capabilities = 1
    assert hasattr(module.BuilderFlag, "FP16") is version.startswith("10")
    assert re.match(r"DataType\.HALF", str(module.DataType.HALF))
