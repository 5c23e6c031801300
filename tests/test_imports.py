"""Everything imports, and every help text prints, where no optional library is installed.

A fresh interpreter refuses the optional libraries as if they were missing, so the tests hold wherever they run.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import heatstream
from tests.fakes.labelled_photos import make_set
from tests.fakes.patience import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parent.parent

OPTIONAL = (
    *("torch", "torchvision", "onnx", "onnxscript", "cupy", "cupyx", "tensorrt", "tensorrt_rtx"),
    *("pycuda", "pycocotools", "faster_coco_eval", "skimage", "h5py", "tomli_w", "matplotlib", "ray", "pyarrow"),
    *("mcap", "foxglove", "starlette", "uvicorn", "websockets", "prometheus_client"),
    *("rerun", "zenoh", "paho", "pythonosc", "pyvirtualcam"),
)

COMMANDS = (
    *("run", "decode", "recover", "process", "label", "recipe", "train", "export", "build", "bench", "models"),
    *("doctor", "demo", "eval"),
)

REFUSE = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def python_without_extras(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which no optional library can be imported."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", REFUSE + code],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        check=False,
    )


def every_module() -> list[str]:
    return ["heatstream", *(m.name for m in pkgutil.walk_packages(heatstream.__path__, "heatstream."))]


def test_the_refusal_works() -> None:
    result = python_without_extras("import torch")
    assert result.returncode == 1
    assert "No module named 'torch'" in result.stderr


def test_every_module_imports_and_prints_nothing() -> None:
    modules = [name for name in every_module() if name != "heatstream.__main__"]
    assert len(modules) > 20
    result = python_without_extras(
        f"import importlib, traceback\n"
        f"for name in {modules!r}:\n"
        f"    try:\n"
        f"        importlib.import_module(name)\n"
        f"    except Exception:\n"
        f"        sys.exit(name + ': ' + traceback.format_exc())\n"
    )
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)], ids=["", *COMMANDS])
def test_every_help_prints(arguments: list[str]) -> None:
    result = python_without_extras(f"from heatstream.demo.cli import main\nmain({[*arguments, '--help']!r})\n")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "Usage: heatstream" in result.stdout
    assert all(command in result.stdout for command in (arguments or COMMANDS))


@pytest.mark.parametrize("module", ["heatstream", "heatstream.demo.cli"])
def test_importing_the_face_loads_nothing_heavy(module: str) -> None:
    result = python_without_extras(
        f"import {module}\nprint([name for name in ('cv2', 'onnxruntime', 'scipy', 'torch') if name in sys.modules])\n"
    )
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    ("arguments", "library", "extra"),
    [
        (["export", "swahr-tiny", "-o", "never-written.onnx"], "torch", "train"),
        (["build", "swahr-tiny", "--backend", "tensorrt", "--output", "never-written"], "tensorrt", "gpu"),
        (["build", "swahr-tiny", "--output", "never-written"], "tensorrt_rtx", "rtx"),
    ],
)
def test_a_missing_extra_is_one_sentence_with_the_command(arguments: list[str], library: str, extra: str) -> None:
    result = python_without_extras(f"from heatstream.demo.cli import main\nmain({arguments!r})\n")
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert library in line
    assert f"pip install 'heatstream[{extra}]'" in line
    assert not (REPOSITORY / arguments[-1]).exists()


def test_a_model_file_is_measured_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra eval")
    make_set(tmp_path)
    arguments = ["eval", "swahr-tiny", "--data", str(tmp_path), "--limit", "1"]
    code = "import sys\nfor name in ('torch', 'onnx', 'pycocotools'): sys.modules[name] = None\n"
    code += f"from heatstream.demo.cli import main\nmain({arguments!r})\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "labelled people" in result.stdout
