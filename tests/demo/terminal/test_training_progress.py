"""The bar of a training, drawn on a terminal of 80 columns that does not exist."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from heatstream.demo.terminal import training_progress
from heatstream.demo.terminal.training_progress import TrainingView

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.models.training.trainer import TrainMetrics  # noqa: E402

TERMS = {"heatmap4": 0.0041234, "heatmap2": 0.0039123, "scale4": 1.2e-5, "push": 0.0021312, "pull": 0.00031}


def view_on(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainingView, io.StringIO]:
    written = io.StringIO()

    def console(**options: object) -> Console:
        return Console(file=written, force_terminal=terminal, width=80, height=24, color_system=None, highlight=False)

    monkeypatch.setattr(training_progress, "Console", console)
    return TrainingView(step=100, steps=400, batch=32), written


def lines_of(view: TrainingView) -> list[str]:
    """What is drawn at this moment."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(view._bar.get_renderable())
    return console.file.getvalue().rstrip("\n").split("\n")  # type: ignore[attr-defined]


def test_the_bar_stays_whole_at_80_columns_after_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    view, _ = view_on(True, monkeypatch)
    with view:
        view.stepped(150)
        (before,) = lines_of(view)
        assert "150/400" in before
        view.measured(TrainMetrics(step=200, terms=TERMS, norm=1.0, rate=0.0015, images_per_second=123.4))
        view.stepped(200)
        bar, numbers = lines_of(view)
        assert "training 200/400" in bar
        assert bar.rstrip().endswith("left  123 images/s")
        assert bar.count("━") + bar.count("╸") + bar.count("╺") > 10
        assert numbers.startswith("loss 0.01049  rate 0.0015  heatmap4 0.00412")
        assert numbers.rstrip().endswith("…")
        assert max(len(line) for line in (bar, numbers)) <= 80
        view.checked(3, 300)
        assert "validating 3/300" in lines_of(view)[0]
        assert len(lines_of(view)) == 2


def test_validations_stay_above_the_bar_and_files_have_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        view, written = view_on(terminal, monkeypatch)
        with view:
            view.measured(TrainMetrics(step=200, terms=TERMS, norm=1.0, rate=0.0015, images_per_second=100))
            view.validated(200, {"AP": 12.3}, best=True)
        text = written.getvalue()
        assert "step 200/400  validation: AP 12.3  (the best so far)" in text
        assert ("loss 0.01049  heatmap4 0.00412  heatmap2 0.00391" in text) is not terminal
        if not terminal:
            assert "0:01:04 left" in text
