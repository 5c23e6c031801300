"""What the kernels take of every GPU, compiled here and now: ``python -m benchmarks.kernel_table``.

Registers per thread and theoretical occupancy per architecture, and shared memory, as the compiler reports them. No GPU
is needed. ``--write`` puts the table into docs/kernels.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from heatstream.kernels.cuda.compiler import Cubin, compile_cubin
from heatstream.kernels.cuda.nvrtc import nvrtc
from heatstream.kernels.cuda.occupancy import ARCHITECTURES, kernel_resources

__all__ = ["CONFIGURATIONS", "DOCUMENT", "Configuration", "cubins", "kernel_table", "with_table"]

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "kernels.md"

THREADS = {
    "letterbox": 256,
    "tile_peaks": 256,
    "select_peaks": 256,
    "group": 32,
    "refine": 256,
    "pack": 128,
    "crops": 256,
    "decode_landmarks": 128,
}


@dataclass(frozen=True)
class Configuration:
    """What the product compiles its kernels for.

    Attributes:
        name: in a few words.
        macros: per source.
    """

    name: str
    macros: Mapping[str, Mapping[str, int]]


def _decode(**macros: int) -> dict[str, dict[str, int]]:
    common = {"NUM_JOINTS": 17, "CAPACITY": 30, "NMS_RADIUS": 2, "FIRST_OF_EQUALS": 1, "ADJUST": 2}
    common |= {"HALF_MAPS": 1, "TAG_PLANES": 1, "PLAIN": 0, "PROJECT": 0, "FLIP": 0} | macros
    return dict.fromkeys(("peaks", "group", "refine", "pack"), common)


CONFIGURATIONS = (
    Configuration(
        "the default",
        MappingProxyType(
            {
                "letterbox": {"HALF_OUTPUT": 1},
                **_decode(),
                "crops": {"HALF_OUTPUT": 1},
                "landmarks": {"HALF_MAPS": 1},
            }
        ),
    ),
    Configuration(
        "flip test, projected, h3r",
        MappingProxyType(_decode(TAG_PLANES=2, PROJECT=1, FLIP=1)),
    ),
    Configuration(
        "float32, decode_poses, CrowdPose",
        MappingProxyType(
            {
                "letterbox": {"HALF_OUTPUT": 0},
                **_decode(NUM_JOINTS=14, HALF_MAPS=0, TAG_PLANES=2, PLAIN=1, ADJUST=1),
                "crops": {"HALF_OUTPUT": 0},
                "landmarks": {"HALF_MAPS": 0},
            }
        ),
    ),
)


def cubins(configuration: Configuration, architecture: int) -> Iterator[Cubin]:
    """Every source, compiled.

    Raises:
        MissingExtraError: there is no NVRTC.
    """
    for source, macros in configuration.macros.items():
        yield compile_cubin(source, architecture=architecture, defines=macros)


def kernel_table(configuration: Configuration) -> str:
    """A Markdown table: a row per kernel; per architecture registers and occupancy."""
    columns = [f"sm_{architecture}" for architecture in ARCHITECTURES]
    cells: dict[str, list[str]] = {name: [] for name in THREADS}
    shared: dict[str, int] = {}
    for architecture in ARCHITECTURES:
        for cubin in cubins(configuration, architecture):
            for kernel in kernel_resources(cubin):
                occupancy = kernel.occupancy(THREADS[kernel.name])
                cells[kernel.name].append(f"{kernel.registers}, {occupancy:.0%}")
                shared[kernel.name] = max(shared.get(kernel.name, 0), kernel.shared_bytes)
    lines = [
        "NVRTC {}.{}; registers per thread, theoretical occupancy.".format(*nvrtc().version),
        "",
        f"| kernel | threads | shared bytes | {' | '.join(columns)} |",
        f"|---|---|---|{'---|' * len(columns)}",
    ]
    for name, row in cells.items():
        if row:
            lines.append(f"| {name} | {THREADS[name]} | {shared[name]} | {' | '.join(row)} |")
    return "\n".join(lines)


def with_table(document: str, table: str) -> str:
    """The document with this table in its place."""
    marked = r"(<!-- kernel table -->\n).*(\n<!-- end of kernel table -->)"
    return re.sub(marked, lambda match: match[1] + table + match[2], document, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{DOCUMENT.name}")
    options = parser.parse_args()
    table = kernel_table(CONFIGURATIONS[0])
    print(table)
    if options.write:
        DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
