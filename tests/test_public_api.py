"""The package's face: its names, that they are all a user must name, and that users' programs are typed."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import heatstream

PACKAGE = Path(heatstream.__file__).parent
REPOSITORY = PACKAGE.parent

UNNAMED = {"Progress"}
"""A protocol that any object of the user's meets; nobody has to name it."""


def _imported_for_types() -> dict[str, str]:
    """Names and modules of the imports that only type checkers see."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_checkers_and_programs_see_the_same_names() -> None:
    assert _imported_for_types() == heatstream._HOMES
    assert heatstream.__all__ == sorted([*heatstream._HOMES, "HeatstreamError", "__version__"])
    assert dir(heatstream) == heatstream.__all__
    for name, module in heatstream._HOMES.items():
        assert getattr(heatstream, name) is getattr(importlib.import_module(module), name)
        assert name in importlib.import_module(module).__all__


def test_every_public_class_says_which_threads_may_use_it() -> None:
    """Frozen dataclasses never change: any thread. Every other class says it in its docstring."""
    for name in heatstream.__all__:
        exported = getattr(heatstream, name)
        if not inspect.isclass(exported) or issubclass(exported, Exception):
            continue
        frozen = dataclasses.is_dataclass(exported) and exported.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert frozen or "thread" in (exported.__doc__ or ""), name


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'torch'"):
        _ = heatstream.torch


def _annotations(exported: object) -> Iterator[str]:
    """What an exported function takes and returns; what a class holds, gives, and does when it is called."""
    if inspect.isfunction(exported):
        yield from map(str, exported.__annotations__.values())
    elif inspect.isclass(exported):
        if dataclasses.is_dataclass(exported):
            yield from (str(field.type) for field in dataclasses.fields(exported))
        for name, member in vars(exported).items():
            function = member.fget if isinstance(member, property) else member
            if inspect.isfunction(function) and (isinstance(member, property) or name in ("__call__", "__next__")):
                yield from map(str, function.__annotations__.values())


def test_every_class_that_a_user_must_name_is_exported() -> None:
    trees = (ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py"))
    ours = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    spoken = {
        word
        for name in heatstream._HOMES
        for annotation in _annotations(getattr(heatstream, name))
        for word in re.findall(r"\b[A-Z]\w+", annotation)
    }
    assert {"Poses", "StageTimes", "Engine"} < spoken & ours, "the annotations are read"
    assert (spoken & ours) - set(heatstream.__all__) == UNNAMED


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with our libraries and heatstream, as `pip install --editable` leaves it."""
    pytest.importorskip("setuptools", reason="setuptools, which builds the package, is not installed")
    folder = tmp_path_factory.mktemp("installed")
    build = f"from setuptools import build_meta; print(build_meta.build_editable({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=REPOSITORY, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (packages,) = (folder / "venv").rglob("site-packages")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return next(path for path in (folder / "venv").rglob("python*") if os.access(path, os.X_OK) and path.is_file())


def test_a_users_program_passes_a_strict_type_check(installed: Path, tmp_path: Path) -> None:
    samples = re.findall(r"^```python\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert samples
    for number, sample in enumerate(samples):
        (tmp_path / f"sample_{number}.py").write_text(sample)
    (tmp_path / "revealed.py").write_text(
        "import heatstream\n"
        'reveal_type(heatstream.load("swahr-tiny"))\n'
        'reveal_type(heatstream.load("swahr-tiny", faces="h3r-mobile-68"))\n'
        'reveal_type(heatstream.load_landmarks("h3r-mobile-68"))\n'
        'for item in heatstream.stream("clip.mp4", "swahr-tiny"):\n'
        "    reveal_type(item)\n"
        "    reveal_type(item.poses[0])\n"
        "    reveal_type(item.poses[:2])\n"
        "    reveal_type(item.poses[item.poses.scores > 0.5])\n"
        "    print(heatstream.draw(item.frame, item).shape)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", f"--python-executable={installed}"),
            f"--cache-dir={REPOSITORY / '.mypy_cache' / 'users'}",
            *sorted(path.name for path in tmp_path.iterdir()),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    revealed = re.findall(r'Revealed type is "heatstream\.[\w.]*\.(\w+)"', checked.stdout)
    assert revealed == [*["PosePipeline"] * 2, "LandmarkPipeline", "Result", "Pose", "Poses", "Poses"]
