"""Every sample of README and of the pages runs: Python as it stands, commands as far as their words go."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from heatstream.demo.cli import app
from tests.fakes.patience import HANG_SECONDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
ENDS = ("|", "&&", "&", ";", ">", ">>")


def check_commands(example: Example) -> None:
    """Every ``heatstream`` command of a shell sample has options that there are, of the right types; none is run."""
    import typer

    group: Any = typer.main.get_command(app)
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        for arguments in commands_of(line):
            try:
                context = group.make_context("heatstream", list(arguments), resilient_parsing=True)
                name, command, rest = group.resolve_command(context, list(arguments))
                if "--help" not in rest:
                    command.make_context(name, rest, parent=context)
            except Exception as error:
                message = getattr(error, "message", error)
                raise AssertionError(f"{example.path}:{example.line}: {line.strip()!r}: {message}") from None


def commands_of(line: str) -> list[list[str]]:
    """The arguments of ``heatstream`` in a line of shell."""
    words = shlex.split(line, comments=True)
    found = []
    for place, word in enumerate(words):
        before = words[place - 1] if place else ";"
        if Path(word).name == "heatstream" and (before in (*ENDS, "-m", "exec") or "=" in before):
            end = next((at for at, later in enumerate(words[place:], place) if later in ENDS), len(words))
            found.append(words[place + 1 : end])
    return [arguments for arguments in found if arguments]


def check_toml(example: Example) -> None:
    tomllib.loads(str(example.parsed))


def check_json(example: Example) -> None:
    for line in str(example.parsed).splitlines() if "}\n{" in str(example.parsed) else [str(example.parsed)]:
        json.loads(line)


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=check_commands),
        CodeBlockParser(language="toml", evaluator=check_toml),
        CodeBlockParser(language="json", evaluator=check_json),
    ]
)


def run_samples(page: Path) -> int:
    """How many samples there are; those of a page share their names, as a reader takes them."""
    samples = list(SYBIL.parse(page).examples())
    for sample in samples:
        sample.evaluate()
    return len(samples)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What samples speak of."""
    tmp_path = tmp_path_factory.mktemp("made")
    skimage = pytest.importorskip(
        "skimage.data", reason="scikit-image, whose photograph it is, comes with the extra test"
    )
    photo = cv2.cvtColor(skimage.astronaut(), cv2.COLOR_RGB2BGR)
    (tmp_path / "photos").mkdir()
    for name in ("street.jpg", "photos/astronaut.jpg"):
        cv2.imwrite(str(tmp_path / name), photo)
    with av.open(str(tmp_path / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 256, 256, "yuv420p"
        for _ in range(3):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.resize(photo, (256, 256)), format="bgr24")))
        clip.mux(stream.encode())
    shutil.copy(tmp_path / "clip.mp4", tmp_path / "door.mp4")
    (tmp_path / "zones.toml").write_text('[[zone]]\nname = "all"\npolygon = [[0, 0], [256, 0], [256, 256]]\n')
    outputs = ["--jsonl", "out.jsonl", *(["--mcap", "out.mcap"] if importlib.util.find_spec("mcap") else [])]
    command = [sys.executable, "-m", "heatstream", "run", "clip.mp4", "--no-window", *outputs]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=HANG_SECONDS)
    return tmp_path


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where samples run."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_the_samples_of_a_page_run(page: Path, folder: Path) -> None:
    run_samples(page)


@pytest.mark.parametrize(
    ("language", "sample"),
    [
        ("python", "import heatstream\n\nheatstream.open('street.jpg')"),
        ("bash", "heatstream run 0 --savee out.mp4"),
        ("bash", "heatstream walk 0"),
        ("bash", "PYTHONPATH=. python -m heatstream run 0 --frames many | jq ."),
        ("toml", "[zone"),
        ("json", '{"type": }'),
    ],
)
def test_a_broken_sample_is_noticed(folder: Path, language: str, sample: str) -> None:
    page = folder / "page.md"
    page.write_text(f"# Page\n\n```{language}\n{sample}\n```\n")
    with pytest.raises(Exception, match=r".+"):
        run_samples(page)


def test_there_are_samples(folder: Path) -> None:
    assert run_samples(REPOSITORY / "README.md") >= 6
