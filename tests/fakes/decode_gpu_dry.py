"""``benchmarks.decode_gpu`` on stand-ins, for the dry run of ``tools/on_gpu.sh``: its figures mean nothing."""

from __future__ import annotations

import sys
from unittest import mock

from benchmarks import decode_gpu
from heatstream.kernels.cuda.device import CupyDevice
from tests.fakes.cupy import make_cupy
from tests.kernels.conftest import emulated_kernels

if __name__ == "__main__":
    cupy, _ = make_cupy()
    small = ["--people", "0", "2", "--sides", "32", "--batches", "1", "--runs", "1", "--seconds", "0"]
    frames = [(30, 40)]
    measure = decode_gpu.measure
    with (
        mock.patch.dict(sys.modules, {"cupy": cupy}),
        mock.patch.object(CupyDevice, "kernels", emulated_kernels),
        mock.patch.object(
            decode_gpu,
            "measure",
            lambda *args, **options: measure(
                *args, **options, copy_bytes=1 << 10, frames=frames, short_side=64, torch_device=None
            ),
        ),
        mock.patch.object(sys, "argv", ["decode_gpu", *small, *sys.argv[1:]]),
    ):
        decode_gpu.main()
