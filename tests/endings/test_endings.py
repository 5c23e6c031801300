"""A few of the hundred endings; the module ``endings`` runs them all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx comes with the extra test")
pytest.importorskip("pycocotools", reason="pycocotools comes with the extra train")

from tests.endings.endings import Ingredients, kill_run, leave_stream, signal_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of this kind exist on POSIX systems alone")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ingredients:
    return Ingredients.make(tmp_path_factory.mktemp("ingredients"))


@pytest.mark.parametrize("way", ["never read", "exception", "ctrl-c"])
def test_a_stream_can_be_left_in_any_way(way: str, made: Ingredients) -> None:
    assert leave_stream(way, made.slow, made.clip) == ""


@pytest.mark.parametrize(("twice", "after"), [(False, 4.0), (True, 6.0)])
def test_a_signal_ends_a_slow_run_as_documented(twice: bool, after: float, made: Ingredients, tmp_path: Path) -> None:
    run = {"after": after, "model": made.slow, "clip": made.clip, "folder": tmp_path}
    assert signal_run(signal.SIGINT, twice=twice, **run) == ""


def test_a_killed_run_has_everything_up_to_its_last_second(made: Ingredients, tmp_path: Path) -> None:
    assert kill_run(1.0, made.quick, made.clip, tmp_path) == ""
