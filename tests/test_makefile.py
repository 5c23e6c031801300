"""What ``make`` would do on a Jetson, where JetPack's TensorRT and OpenCV are to be seen and kept."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
@pytest.mark.parametrize(("release", "extra"), [("36", "demo,jetson"), ("38", "demo,jetson-cu13"), ("", "demo")])
def test_make_demo_takes_what_jetpack_has(tmp_path: Path, release: str, extra: str) -> None:
    command = ["make", "--dry-run", "demo", f"TEGRA={release}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert f"--editable '.[{extra}]'" in done.stdout
    assert ("--system-site-packages" in done.stdout) is bool(release)
    assert ("'numpy<2'" in done.stdout) is bool(release)
