"""Processes that look at segments: how many there are."""

from __future__ import annotations

from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest

from heatstream.runtime.archive import FinderSettings, local
from heatstream.runtime.archive.plan import Video


def test_no_more_processes_are_started_than_there_is_work_for(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs: list[Connection] = []

    def start(settings: FinderSettings, frames: int) -> local._Worker:
        ours, its = Pipe()
        its.send([])  # it is ready, and has nothing to warn of
        theirs.append(its)
        return local._Worker(SimpleNamespace(kill=bool, join=bool), ours)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "_start", start)
    tasks = [Video(Path(name), name) for name in ("1.mp4", "2.mp4")]
    outcomes = local.look_on_cores(tasks, FinderSettings(Path("model.onnx")), workers=8, frames=20)
    assert next(outcomes) is None  # both are at work now
    assert len(theirs) == len(tasks)
    assert [its.recv() for its in theirs] == tasks
    outcomes.close()  # type: ignore[attr-defined]
