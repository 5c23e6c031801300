"""NVRTC of a wheel whose library does not say where its built-ins lie, as that of CUDA 13.0, which PyTorch asks for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heatstream.errors import MissingExtraError
from heatstream.kernels.cuda.nvrtc import nvrtc
from tests.fakes.patience import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[3]

COMPILE_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
from benchmarks.kernel_table import CONFIGURATIONS, cubins
from heatstream.kernels.cuda.nvrtc import nvrtc
assert str(nvrtc().path).startswith(sys.argv[1]), nvrtc().path
assert sum(1 for _ in cubins(CONFIGURATIONS[0], 90)) == 7
assert not {"torch", "cupy"} & set(sys.modules)
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A site-packages folder with NVRTC in it, and nothing in NVRTC that says where its built-ins are."""
    try:
        compiler = nvrtc()
    except MissingExtraError as error:
        pytest.skip(str(error))  # NVRTC's wheels exist for Linux alone; the message names what is missing
    site = tmp_path / "site-packages"
    folder = site / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    for file in compiler.path.resolve().parent.glob("libnvrtc-builtins.so*"):
        shutil.copy(file, folder)
    (folder / compiler.path.resolve().name).write_bytes(compiler.path.read_bytes().replace(b"$ORIGIN", b"/absent"))
    (site / "nvidia" / "cu13" / "include").symlink_to(compiler.include[0])
    return site


def test_a_fresh_process_compiles_every_kernel(wheel: Path, tmp_path: Path) -> None:
    """Nobody else has loaded CUDA's libraries there, as torch and CuPy do."""
    hidden = ("CUDA_PATH", "CUDA_HOME", "LD_LIBRARY_PATH")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE_ALL, str(wheel)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
