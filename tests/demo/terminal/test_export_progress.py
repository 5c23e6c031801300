"""An export says what it does, on a terminal alone."""

from __future__ import annotations

import pytest

from heatstream.demo.terminal.export_progress import ExportView


@pytest.mark.parametrize("terminal", [True, False])
def test_every_step_is_named_where_somebody_looks(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with ExportView() as view:
        view.started("tracing the network")
        view._bar.refresh()
        view.started("trying layers in INT8")
        view.tried(3, 40)
        view._bar.refresh()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("tracing the network" in shown.err and "trying layers in INT8" in shown.err) == terminal
    assert bool(shown.err) == terminal
