"""What a compiled kernel takes of a GPU: registers, shared memory, spills, and how full a multiprocessor can be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heatstream.kernels.cuda.compiler import Cubin

__all__ = ["ARCHITECTURES", "KernelResources", "Limits", "kernel_resources", "warnings"]


@dataclass(frozen=True)
class Limits:
    """What one multiprocessor has.

    Attributes:
        warps: resident warps.
        blocks: resident blocks.
        shared_bytes: shared memory of all resident blocks.
        reserved_bytes: shared memory that the system takes of every block.
        shared_step: shared memory is given to a block in multiples of this many bytes.
    """

    warps: int
    blocks: int
    shared_bytes: int
    reserved_bytes: int = 1024
    shared_step: int = 128


# By compute capability times ten. CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; blocks
# and steps also in CUDA's cuda_occupancy.h.
ARCHITECTURES = {
    75: Limits(warps=32, blocks=16, shared_bytes=64 << 10, reserved_bytes=0, shared_step=256),
    80: Limits(warps=64, blocks=32, shared_bytes=164 << 10),
    86: Limits(warps=48, blocks=16, shared_bytes=100 << 10),
    87: Limits(warps=48, blocks=16, shared_bytes=164 << 10),
    89: Limits(warps=48, blocks=24, shared_bytes=100 << 10),
    90: Limits(warps=64, blocks=32, shared_bytes=228 << 10),
    100: Limits(warps=64, blocks=32, shared_bytes=228 << 10),
    110: Limits(warps=48, blocks=24, shared_bytes=228 << 10),
    120: Limits(warps=48, blocks=24, shared_bytes=100 << 10),
}
# The same for all of them.
REGISTERS = 65536  # of a multiprocessor
REGISTER_STEP = 256  # a warp gets registers in multiples of this
PARTITIONS = 4  # of a multiprocessor; each has a quarter of the registers for its own warps
WARP = 32  # threads


@dataclass(frozen=True)
class KernelResources:
    """One kernel on one architecture.

    Attributes:
        name: as in the source.
        registers: of each thread.
        shared_bytes: static shared memory of a block.
        local_bytes: of each thread: the larger of its stack frame and what is spilled from registers. 0 is as it should
            be.
        architecture: compute capability times ten.
    """

    name: str
    registers: int
    shared_bytes: int
    local_bytes: int
    architecture: int

    def resident_blocks(self, threads: int, dynamic_shared_bytes: int = 0) -> int:
        """How many blocks of this size run on one multiprocessor at a time; 0 if not even one fits."""
        limits = ARCHITECTURES[self.architecture]
        warps = _up(threads, WARP) // WARP
        shared = _up(self.shared_bytes + dynamic_shared_bytes + limits.reserved_bytes, limits.shared_step)
        registers_of_warp = _up(self.registers * WARP, REGISTER_STEP)
        most_warps = REGISTERS // PARTITIONS // registers_of_warp * PARTITIONS
        by_shared = limits.shared_bytes // shared if shared else limits.blocks
        return min(limits.blocks, limits.warps // warps, most_warps // warps, by_shared)

    def occupancy(self, threads: int, dynamic_shared_bytes: int = 0) -> float:
        """Resident warps over those that a multiprocessor could hold, 0 to 1."""
        warps = _up(threads, WARP) // WARP
        return self.resident_blocks(threads, dynamic_shared_bytes) * warps / ARCHITECTURES[self.architecture].warps


def kernel_resources(cubin: Cubin) -> tuple[KernelResources, ...]:
    """What each kernel of a cubin takes, by name, from the assembler's words in the compiler's log."""
    kernels = []
    parts = re.split(r"Compiling entry function '(\w+)'", cubin.log)
    for name, words in zip(parts[1::2], parts[2::2], strict=True):
        spilled = max(_number(r"(\d+) bytes spill stores", words), _number(r"(\d+) bytes spill loads", words))
        kernels.append(
            KernelResources(
                name=name,
                registers=_number(r"Used (\d+) registers", words),
                shared_bytes=_number(r"(\d+) bytes smem", words),
                local_bytes=max(spilled, _number(r"(\d+) bytes stack frame", words)),
                architecture=cubin.architecture,
            )
        )
    return tuple(sorted(kernels, key=lambda kernel: kernel.name))


def warnings(cubin: Cubin) -> list[str]:
    """The lines of the compiler's log that begin a warning, of the compiler or of the assembler."""
    return [line for line in cubin.log.splitlines() if re.search(r"\bwarning( #|\s*:)", line)]


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
