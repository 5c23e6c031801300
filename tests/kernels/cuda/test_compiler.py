"""Compiling CUDA sources to cubins, their cache, and what kernels take of a GPU. No GPU is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heatstream.errors import KernelError, MissingExtraError
from heatstream.kernels.cuda import nvrtc as nvrtc_module
from heatstream.kernels.cuda.compiler import compile_cubin
from heatstream.kernels.cuda.nvrtc import Nvrtc, nvrtc
from heatstream.kernels.cuda.occupancy import ARCHITECTURES, KernelResources, kernel_resources, warnings

TOY = """#include <cuda_fp16.h>
#include "part.cuh"
extern "C" __global__ void __launch_bounds__(256) reversed(const __half *__restrict__ in, float *__restrict__ out) {
    __shared__ float tile[256];
    tile[threadIdx.x] = twice(__half2float(in[threadIdx.x]));
    __syncthreads();
    out[threadIdx.x] = tile[255 - threadIdx.x] * FACTOR;
}
extern "C" __global__ void indexed(const float *__restrict__ in, float *__restrict__ out, int n) {
    float local[64];
    for (int i = 0; i < n; ++i) local[(i * 7) % 64] = in[i];
    out[0] = local[n % 64];
}
"""
PART = "__device__ inline float twice(float x) { return x + x; }\n"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source in a folder of its own, with an empty cache."""
    try:
        nvrtc()
    except MissingExtraError as error:
        pytest.skip(str(error))  # NVRTC's wheels exist for Linux alone; the message names what is missing
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "part.cuh").write_text(PART)
    source = tmp_path / "toy.cu"
    source.write_text(TOY)
    return source


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sources that really were compiled."""
    names: list[str] = []
    compile_source = Nvrtc.compile

    def counted(self: Nvrtc, source: str, name: str, options: Any) -> Any:
        names.append(name)
        return compile_source(self, source, name, options)

    monkeypatch.setattr(Nvrtc, "compile", counted)
    return names


def _cache_files(toy: Path) -> list[Path]:
    return sorted((toy.parent / "cache/heatstream/kernels").iterdir())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_source_compiles_for_every_architecture(toy: Path, architecture: int) -> None:
    cubin = compile_cubin(toy, architecture=architecture, defines={"FACTOR": "3.0f"})
    assert warnings(cubin) == []
    assert cubin.code[:4] == b"\x7fELF"
    indexed, reversed_ = kernel_resources(cubin)
    assert (reversed_.name, reversed_.shared_bytes, reversed_.local_bytes) == ("reversed", 1024, 0)
    assert 1 <= reversed_.registers <= 255
    assert (indexed.name, indexed.shared_bytes, indexed.local_bytes) == ("indexed", 0, 256)
    assert reversed_.architecture == architecture


def test_warnings_are_found(toy: Path) -> None:
    toy.write_text('extern "C" __global__ void kernel(int *out) { int unused; out[0] = 1; }\n')
    (line,) = warnings(compile_cubin(toy, architecture=90))
    assert line.startswith("toy.cu(1): warning")


def test_errors_name_the_file_and_the_line(toy: Path) -> None:
    with pytest.raises(
        KernelError, match=r'toy\.cu does not compile for sm_90: toy\.cu\(7\): error: .*"FACTOR"'
    ) as error:
        compile_cubin(toy, architecture=90)
    assert "\n" not in str(error.value)


def test_an_unknown_architecture(toy: Path) -> None:
    with pytest.raises(KernelError, match=r"toy\.cu does not compile for sm_13: nvrtc: error: .*--gpu-architecture"):
        compile_cubin(toy, architecture=13, defines={"FACTOR": 1})


def test_what_was_compiled_is_kept(toy: Path, compilations: list[str]) -> None:
    first, second = (compile_cubin(toy, architecture=90, defines={"FACTOR": 1}) for _ in range(2))
    assert first == second
    assert compilations == ["toy.cu"]
    assert len(_cache_files(toy)) == 1


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        (None, {"architecture": 80}),
        (None, {"defines": {"FACTOR": 2}}),
        (None, {"options": ["--extra-device-vectorization"]}),
        (("toy.cu", TOY + "\n"), {}),
        (("part.cuh", PART + "\n"), {}),
    ],
    ids=["architecture", "defines", "options", "source", "included file"],
)
def test_what_changed_is_compiled_anew(toy: Path, compilations: list[str], change: Any, arguments: Any) -> None:
    common: dict[str, Any] = {"architecture": 90, "defines": {"FACTOR": 1}}
    compile_cubin(toy, **common)
    if change:
        (toy.parent / change[0]).write_text(change[1])
    compile_cubin(toy, **{**common, **arguments})
    assert len(compilations) == len(_cache_files(toy)) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_cache_file_is_compiled_anew(toy: Path, compilations: list[str], damage: str) -> None:
    whole = compile_cubin(toy, architecture=90, defines={"FACTOR": 1})
    (file,) = _cache_files(toy)
    content = file.read_bytes()
    flipped = bytes([*content[:-1], content[-1] ^ 1])
    file.write_bytes({"cut": content[:-9], "empty": b"", "flipped": flipped}[damage])
    assert compile_cubin(toy, architecture=90, defines={"FACTOR": 1}).code == whole.code
    assert len(compilations) == 2
    compile_cubin(toy, architecture=90, defines={"FACTOR": 1})
    assert len(compilations) == 2  # the file is whole again


def test_a_cache_that_cannot_be_written(toy: Path, compilations: list[str]) -> None:
    (toy.parent / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        compile_cubin(toy, architecture=90, defines={"FACTOR": 1})
    assert len(compilations) == 2


def test_without_nvrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc_module, "_candidates", lambda: iter([(Path("/nowhere/libnvrtc.so"), [])]))
    with pytest.raises(MissingExtraError, match=r"NVRTC is needed for compiling CUDA kernels"):
        nvrtc.__wrapped__()


# Worked out by hand from the limits: a warp's registers are rounded up to 256, blocks' shared memory has 1 KiB on top.
@pytest.mark.parametrize(
    ("architecture", "registers", "static", "threads", "dynamic", "blocks", "occupancy"),
    [
        (75, 32, 0, 1024, 0, 1, 1.0),
        (75, 32, 0, 64, 0, 16, 1.0),
        (75, 32, 20 << 10, 128, 0, 3, 12 / 32),
        (80, 64, 0, 256, 0, 4, 0.5),
        (80, 65, 0, 256, 0, 3, 24 / 64),  # 72 registers are given
        (86, 32, 33 << 10, 256, 0, 2, 16 / 48),
        (86, 32, 1 << 10, 256, 32 << 10, 2, 16 / 48),
        (89, 16, 0, 32, 0, 24, 0.5),
        (90, 168, 0, 128, 0, 3, 12 / 64),
        (90, 16, 0, 33, 0, 32, 1.0),  # two warps
        (100, 255, 0, 1024, 0, 0, 0.0),
        (110, 40, 0, 256, 0, 6, 1.0),
        (120, 40, 99 << 10, 256, 0, 1, 8 / 48),
    ],
)
def test_occupancy(
    architecture: int, registers: int, static: int, threads: int, dynamic: int, blocks: int, occupancy: float
) -> None:
    kernel = KernelResources("kernel", registers, static, 0, architecture)
    assert kernel.resident_blocks(threads, dynamic) == blocks
    assert kernel.occupancy(threads, dynamic) == pytest.approx(occupancy)
