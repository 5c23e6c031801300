"""Every kernel compiles to machine code for every GPU we name, as it should; no GPU is needed."""

from __future__ import annotations

import pytest

from benchmarks.kernel_table import CONFIGURATIONS, DOCUMENT, THREADS, Configuration, cubins, kernel_table, with_table
from heatstream.errors import MissingExtraError
from heatstream.kernels.cuda import group as group_gpu
from heatstream.kernels.cuda import landmarks as landmarks_gpu
from heatstream.kernels.cuda import letterbox as letterbox_gpu
from heatstream.kernels.cuda import pack as pack_gpu
from heatstream.kernels.cuda import peaks as peaks_gpu
from heatstream.kernels.cuda import refine as refine_gpu
from heatstream.kernels.cuda.compiler import SOURCES
from heatstream.kernels.cuda.nvrtc import nvrtc
from heatstream.kernels.cuda.occupancy import ARCHITECTURES, kernel_resources, warnings


@pytest.fixture(autouse=True)
def compiler() -> None:
    try:
        nvrtc()
    except MissingExtraError as error:
        pytest.skip(str(error))  # NVRTC's wheels exist for Linux alone; the message names what is missing


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration.name)
def test_kernels_compile_without_warnings_and_spills(configuration: Configuration, architecture: int) -> None:
    for cubin in cubins(configuration, architecture):
        assert cubin.code[:4] == b"\x7fELF"
        assert warnings(cubin) == []
        for kernel in kernel_resources(cubin):
            assert kernel.local_bytes == 0, f"{kernel.name} keeps registers in memory"
            assert kernel.resident_blocks(THREADS[kernel.name]) > 0, f"{kernel.name} does not fit"


def test_no_source_is_left_out() -> None:
    assert {path.stem for path in SOURCES.glob("*.cu")} == set(CONFIGURATIONS[0].macros)


def test_the_table_knows_how_kernels_are_launched() -> None:
    assert THREADS == {
        "letterbox": letterbox_gpu.COLUMNS * letterbox_gpu.ROWS,
        "tile_peaks": peaks_gpu.THREADS,
        "select_peaks": peaks_gpu.THREADS,
        "group": group_gpu.THREADS,
        "refine": refine_gpu.THREADS,
        "pack": pack_gpu.THREADS,
        "crops": letterbox_gpu.COLUMNS * letterbox_gpu.ROWS,
        "decode_landmarks": landmarks_gpu.WARPS * 32,
    }


def test_the_table_in_the_documentation_is_current() -> None:
    """``python -m benchmarks.kernel_table --write`` makes it so."""
    document = DOCUMENT.read_text(encoding="utf-8")
    version = "NVRTC {}.{};".format(*nvrtc().version)
    if version not in document:
        # Another compiler gives out other registers, and no less rightly.
        pytest.skip(f"the table was made by another compiler than {version}")
    assert with_table(document, kernel_table(CONFIGURATIONS[0])) == document
    assert with_table(document, "another") != document
