"""The contracts between rooms in ``pyproject.toml``: that they hold, and that they notice what they forbid."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_arrows_hold() -> None:
    result = lint_imports(REPOSITORY)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("runtime/stream.py", "heatstream.models", "Arrows between rooms run one way"),
        ("models/checkpoints.py", "heatstream.runtime.load", "models neither builds engines nor runs them"),
        ("kernels/reference/peaks.py", "heatstream.kernels.cuda.peaks", "The reference knows nothing of CUDA"),
        ("kernels/geometry.py", "heatstream.kernels.dispatch", "No circles"),
    ],
)
def test_a_forbidden_import_is_found(importer: str, imported: str, contract: str, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    shutil.copytree(
        REPOSITORY / "heatstream", tmp_path / "heatstream", ignore=shutil.ignore_patterns("weights", "*.cu*")
    )
    module = tmp_path / "heatstream" / importer
    module.write_text(f"{module.read_text()}\nimport {imported}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout
