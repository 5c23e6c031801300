"""The command that checks the CUDA decode against reference files: it passes on ours and fails where it must."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.kernels import decode_poses
from tests.emulator import check

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
Arrays = dict[str, NDArray[Any]]


@pytest.mark.slow
def test_the_decode_agrees_on_the_reference_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(GOLDEN.glob("ae_decode_*.npz"))
    assert check.main([str(file) for file in files]) == 0
    printed = capsys.readouterr().out
    assert "everything agrees" in printed
    scenes = sum(len(json.loads(str(np.load(file)["meta"]))) for file in files)
    assert printed.count(" same ") == 2 * scenes  # as float32 and as float16


def scene_of_two() -> Arrays:
    """A file of one scene with two people, whose result is determined."""
    with np.load(GOLDEN / "ae_decode_crowdpose.npz") as file:
        flags = json.loads(str(file["meta"]))["s02"]
        assert not any(flags[name] for name in check.CHANCE_FLAGS)
        return {
            "meta": np.array(json.dumps({"s02": flags})),
            **{name: file[name] for name in file if name.startswith("s02_")},
        }


def without(arrays: Arrays, person: int) -> None:
    for name in [f"s02_{variant}" for variant in (*check.VARIANTS, "scores")]:
        arrays[name] = np.delete(arrays[name], person, axis=0)


def moved(arrays: Arrays, variant: str, pixels: float) -> None:
    person, joint = np.argwhere(arrays[f"s02_{variant}"][..., 2] > 0)[0]
    arrays[f"s02_{variant}"][person, joint, 0] += pixels


@pytest.mark.parametrize(
    ("alter", "mismatches"),
    [
        (lambda arrays: None, 0),
        (lambda arrays: without(arrays, 1), 8),  # every variant of both types
        (lambda arrays: moved(arrays, "adjust", 0.1), 2),
        (lambda arrays: moved(arrays, "adjust", 0.02), 1),  # too much for float32 alone
    ],
    ids=["as it was", "a person taken out", "a keypoint moved far", "a keypoint moved a little"],
)
def test_an_altered_file_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alter: Callable[[Arrays], None], mismatches: int
) -> None:
    arrays = scene_of_two()
    alter(arrays)
    np.savez(tmp_path / "altered.npz", **arrays)
    assert check.main([str(tmp_path / "altered.npz")]) == int(mismatches > 0)
    printed = capsys.readouterr().out
    assert printed.count("the file: ") == mismatches
    assert "the reference: " not in printed.replace("reference: px", "")


def test_another_reference_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the kernels to find other people than the reference, the file alone would not be what says so."""
    np.savez(tmp_path / "scene.npz", **scene_of_two())
    monkeypatch.setattr(check, "decode_poses", lambda *maps: decode_poses(maps[0] * np.float32(0.9), *maps[1:]))
    assert check.main([str(tmp_path / "scene.npz")]) == 1
    printed = capsys.readouterr().out
    assert "s02 float32, raw, the reference: scores differ by up to" in printed
    assert "the file: " not in printed.replace("file: px", "")


def test_the_command_from_another_folder(tmp_path: Path) -> None:
    arrays = scene_of_two()
    without(arrays, 0)
    np.savez(tmp_path / "altered.npz", **arrays)
    (tmp_path / "text.npz").write_text("no arrays")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, check.__file__, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    altered = run("altered.npz")
    assert (altered.returncode, altered.stderr) == (1, "")
    assert "altered.npz s02 float32, raw, the file: 2 people instead of 1" in altered.stdout
    broken, missing, help_text = run("text.npz"), run("nowhere.npz"), run("--help")
    assert (broken.returncode, missing.returncode, help_text.returncode) == (2, 2, 0)
    assert "text.npz is no file of reference scenes" in broken.stderr
    assert "Exit code 0: all agree; 1: a mismatch" in help_text.stdout
