"""Compiling for the emulator: included files and macros, errors, the cache, the portable switch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heatstream.errors import MissingExtraError
from heatstream.kernels.cuda.compiler import compile_cubin
from tests.emulator import build
from tests.emulator.build import BuildError, launch, load

HERE = Path(__file__).parent
SOURCES = sorted((HERE / "kernels").glob("*.cu"))
ADD = 'extern "C" __global__ void add(int *out) { atomicAdd(out, %d); }\n'


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "heatstream" / "emulator"


def test_the_compilers_errors_name_the_line(tmp_path: Path) -> None:
    source = tmp_path / "wrong.cu"
    source.write_text('extern "C" __global__ void kernel(int *out) {\n    __shared__ int x[2];\n    out[0] = y;\n}\n')
    with pytest.raises(BuildError, match=r"wrong\.cu:3:.*y.* was not declared"):
        load(source)


def test_a_file_without_kernels(tmp_path: Path) -> None:
    source = tmp_path / "empty.cu"
    source.write_text("__device__ int twice(int x) { return 2 * x; }\n")
    with pytest.raises(BuildError, match=r"empty\.cu: there is no kernel"):
        load(source)


def test_macros_and_included_files(tmp_path: Path) -> None:
    (tmp_path / "part.cuh").write_text("__device__ T twice(T x) { return x + x; }\n")
    source = tmp_path / "whole.cu"
    source.write_text('#include "part.cuh"\nextern "C" __global__ void kernel(T *out) { out[0] = twice(out[0]); }\n')
    for dtype, name in [(np.float32, "float"), (np.int32, "int")]:
        found = np.array([21], dtype)
        launch(load(source, defines={"T": name})["kernel"], 1, 1, 0, [found])
        assert found[0] == 42
    (tmp_path / "part.cuh").write_text("__device__ T twice(T x) { return 3 * x; }\n")
    found = np.array([21], np.int32)
    launch(load(source, defines={"T": "int"})["kernel"], 1, 1, 0, [found])
    assert found[0] == 63  # compiled anew


def test_libraries_are_kept_and_nothing_else(own_cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "add.cu"
    for step in (1, 2, 1):
        source.write_text(ADD % step)
        out = np.zeros(1, np.int32)
        launch(load(source)["add"], 2, 3, 0, [out])
        assert out[0] == 6 * step
    assert sorted(path.name.partition("-")[0] for path in own_cache.iterdir()) == ["add", "add", "scheduler"]


def test_processes_that_build_the_same_at_the_same_time(own_cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "add.cu"
    source.write_text(ADD % 7)
    program = (
        "import sys; from pathlib import Path; import numpy as np; from tests.emulator.build import launch, load\n"
        "out = np.zeros(1, np.int32); launch(load(Path(sys.argv[1]))['add'], 1, 1, 0, [out]); print(out[0])"
    )
    command = [sys.executable, "-c", program, str(source)]
    processes = [subprocess.Popen(command, cwd=HERE.parent.parent, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == ["7\n"] * 2
    assert len(list(own_cache.iterdir())) == 2


def test_the_portable_switch_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).integers(0, 100, 64, dtype=np.int32)
    found = np.zeros((2, 2, 64), np.int32)
    for row, flags in zip(found, [build.FLAGS, [*build.FLAGS, "-DCUDA_EMULATOR_UCONTEXT"]], strict=True):
        monkeypatch.setattr(build, "FLAGS", flags)
        launch(load(HERE / "kernels" / "warp.cu")["divergent"], 1, 64, 0, [values, row[0]], order=3)
        row[1] = values
        launch(load(HERE / "kernels" / "block.cu")["prefix_int"], 1, 64, 0, [row[1], 64], order=3)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1, 1], values.cumsum())


@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_the_emulators_own_kernels_are_cuda(source: Path) -> None:
    """What these tests run is nothing that only g++ takes. (The warp reductions begin with compute capability 8.0.)"""
    try:
        assert compile_cubin(source, architecture=80).code
    except MissingExtraError as error:
        pytest.skip(str(error))  # NVRTC's wheels exist for Linux alone; the message names what is missing


def test_few_stacks_are_kept(tmp_path: Path) -> None:
    """A process has room for 65,530 mappings, and the tests load hundreds of libraries."""
    source = tmp_path / "meet.cu"
    source.write_text('extern "C" __global__ void meet(int *out) { __syncthreads(); atomicAdd(out, 1); }\n')
    maps, count = Path("/proc/self/maps"), np.zeros(1, np.int32)
    kernel = load(source)["meet"]
    launch(kernel, 1, 32, 0, [count])
    before = len(maps.read_text().splitlines())
    launch(kernel, 1, 1024, 0, [count])
    assert count[0] == 32 + 1024
    assert len(maps.read_text().splitlines()) - before < 200
