"""Runs the whole CUDA decode on the CPU, on the scenes of reference files, and compares the people it finds.

``python tests/emulator/check.py FILE.npz...``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

if __name__ == "__main__":  # run as a file: the repository is what its modules are imported from
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from heatstream.kernels import DecodeSettings, decode_poses
from heatstream.kernels.cuda.maps import DeviceMaps
from heatstream.kernels.reference.pack import unpack_poses
from heatstream.results import Poses
from tests.emulator.device import decode

HELP = """\
Runs the kernels of heatstream/kernels, the very same .cu files, from maps to packed people on the CPU emulator, on
every scene of the given files, and compares the people with two others:

  decode_poses (the CPU reference), same maps:    the people must be the same, keypoints to 1e-3 px where the maps are
                                                 float32 and to 0.05 px where they are float16, scores to 1e-5
  the arrays in the file, made by the official   to the same tolerances, where they are determined: not where the file
  parser:                                        says topk_tie, assignment_ambiguous or key_collisions; where it says
                                                 refine_round_sensitive, that many refined keypoints may differ

A file is an .npz as tests/golden/ae_decode_*.npz: per scene NAME_det (K, H, W) and NAME_tag (K, H, W, T), per variant
NAME_raw, NAME_adjust, NAME_refine, NAME_adjust_refine (P, K, 3 or more) and NAME_scores (P,), and `meta`, a JSON string
of the scenes' flags. Every scene is decoded as float32 and as float16, in every variant. There is one line per scene
and type, of the variants' largest differences; a dash stands where nothing was to be compared.

Needs g++. Exit code 0: all agree; 1: a mismatch, named below the table; 2: a file cannot be read."""

VARIANTS = {
    "raw": DecodeSettings(adjust="none", refine=False),
    "adjust": DecodeSettings(adjust="quarter", refine=False),
    "refine": DecodeSettings(adjust="none", refine=True),
    "adjust_refine": DecodeSettings(adjust="quarter", refine=True),
}
# Where one of these is set, chance inside the official parser decides its result.
CHANCE_FLAGS = ("topk_tie", "assignment_ambiguous", "key_collisions")
TOLERANCE_PX = {"float32": 1e-3, "float16": 0.05}
SCORE_TOLERANCE = 1e-5


@dataclass
class Comparison:
    """Largest differences between the kernels' people and others, and what exceeds the tolerance."""

    compared: bool = False
    pixels: float = 0.0
    scores: float = 0.0
    mismatches: list[str] = field(default_factory=list)

    def add(self, found: Poses, expected: Poses, tolerance_px: float, what: str, *, may_differ: int = 0) -> None:
        """Compare two results; `may_differ` keypoints may be anywhere."""
        self.compared = True
        if len(found) != len(expected):
            self.mismatches.append(f"{what}: {len(found)} people instead of {len(expected)}")
            return
        away = np.abs(found.keypoints - expected.keypoints).max(axis=2)
        off = np.abs(found.keypoint_scores - expected.keypoint_scores)
        wrong = (away > tolerance_px) | (off > SCORE_TOLERANCE)
        if wrong.sum() <= may_differ:
            away, off = away[~wrong], off[~wrong]
        people = np.abs(found.scores - expected.scores)
        pixels = float(away.max(initial=0))
        scores = float(max(off.max(initial=0), people.max(initial=0)))
        if pixels > tolerance_px:
            self.mismatches.append(f"{what}: keypoints are up to {pixels:.3g} px away")
        if scores > SCORE_TOLERANCE:
            self.mismatches.append(f"{what}: scores differ by up to {scores:.3g}")
        self.pixels, self.scores = max(self.pixels, pixels), max(self.scores, scores)

    def cells(self) -> tuple[str, str]:
        return (f"{self.pixels:.2g}", f"{self.scores:.2g}") if self.compared else ("-", "-")


@dataclass(frozen=True)
class SceneResult:
    """One scene in one type: how many people the kernels found, and how these compare."""

    people: int
    reference: Comparison
    stored: Comparison


def check_scene(file: Any, scene: str, flags: dict[str, Any], dtype: str) -> SceneResult:
    """Decode one scene in every variant and compare."""
    heatmaps, tags = (np.ascontiguousarray(file[f"{scene}_{part}"], dtype)[None] for part in ("det", "tag"))
    exact = all(np.array_equal(maps[0], file[f"{scene}_{part}"]) for maps, part in ((heatmaps, "det"), (tags, "tag")))
    # Rounded to float16 the maps may hold other people than the file's.
    determined = exact and not any(flags.get(flag) for flag in CHANCE_FLAGS)
    reference, stored = Comparison(), Comparison()
    people = 0
    for variant, settings in VARIANTS.items():
        packed = decode(DeviceMaps.plain(heatmaps, tags), settings)
        skeleton = settings.skeleton_of(heatmaps.shape[1]).name
        found = unpack_poses(packed, skeleton, as_started=True)[0]
        people = len(found)
        expected = decode_poses(heatmaps, tags, settings)[0]
        reference.add(found, expected, TOLERANCE_PX[dtype], f"{variant}, the reference")
        if determined:
            official = file[f"{scene}_{variant}"]
            official = official if official.ndim == 3 else np.zeros((0, heatmaps.shape[1], 3), np.float32)
            recorded = Poses(official[..., :2], official[..., 2], file[f"{scene}_scores"], skeleton)
            sensitive = int(flags.get("refine_round_sensitive", 0)) if settings.refine else 0
            stored.add(found, recorded, TOLERANCE_PX[dtype], f"{variant}, the file", may_differ=sensitive)
    return SceneResult(people, reference, stored)


def check_file(path: Path) -> Iterator[tuple[str, str, dict[str, Any], SceneResult]]:
    """Every scene of a file in every type: its name, the type, its flags, the result."""
    with np.load(path) as file:
        arrays: dict[str, NDArray[Any]] = dict(file)
    for scene, flags in json.loads(str(arrays["meta"])).items():
        for dtype in TOLERANCE_PX:
            yield scene, dtype, flags, check_scene(arrays, scene, flags, dtype)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.npz", help="reference files of decoded scenes")
    options = parser.parse_args(arguments)

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    mismatches = []
    for path in options.files:
        table = Table(title=path.name)
        for heading in ("scene", "kind", "maps", "people", "reference: px", "score", "file: px", "score", ""):
            table.add_column(heading, justify="left" if heading in ("scene", "kind", "maps") else "right")
        try:
            for scene, dtype, flags, result in check_file(path):
                found = result.reference.mismatches + result.stored.mismatches
                mismatches += [f"{path.name} {scene} {dtype}, {text}" for text in found]
                cells = (*result.reference.cells(), *result.stored.cells(), "MISMATCH" if found else "same")
                table.add_row(scene, str(flags.get("kind", "")), dtype, str(result.people), *cells)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            parser.error(f"{path} is no file of reference scenes: {error}")
        console.print(table)
    for text in mismatches:
        console.print(text)
    console.print(f"{len(mismatches)} mismatches" if mismatches else "everything agrees")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
