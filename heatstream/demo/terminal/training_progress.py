"""What the user sees of a training: a bar where stderr is a terminal, plain lines where it is a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from heatstream.models.training.trainer import TrainMetrics

__all__ = ["TrainingView"]


class TrainingView:
    """Shows what an :class:`heatstream.models.training.trainer.Observer` receives; a context manager.

    Args:
        step: steps that are done already.
        steps: of the whole training.
        batch: images per step.
    """

    def __init__(self, *, step: int, steps: int, batch: int) -> None:
        self._steps, self._batch = steps, batch
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[numbers]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=steps, completed=step, numbers="")

    def stepped(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step)

    def measured(self, numbers: TrainMetrics) -> None:
        """Show the loss, its terms and the speed."""
        terms = "  ".join(f"{name} {value:.3g}" for name, value in numbers.terms.items())
        speed = f"{numbers.images_per_second:.0f} images/s"
        self._bar.update(self._task, numbers=f"loss {numbers.loss:.4g}  {speed}  {terms}")
        if self._bar.disable:
            left = timedelta(seconds=round((self._steps - numbers.step) * self._batch / numbers.images_per_second))
            self._say(
                f"step {numbers.step}/{self._steps}  loss {numbers.loss:.4g}  {terms}  rate {numbers.rate:.3g}  "
                f"{speed}  {left} left"
            )

    def validated(self, step: int, scores: Mapping[str, float], *, best: bool) -> None:
        """Say what was measured."""
        text = "  ".join(f"{name} {value:.1f}" for name, value in scores.items())
        self._say(f"step {step}/{self._steps}  validation: {text}{'  (the best so far)' if best else ''}")

    def checked(self, done: int, total: int) -> None:
        """So many images of a validation are done."""
        left = f"validating {done}/{total}" if done < total else "training"
        self._bar.update(self._task, description=left)

    def _say(self, text: str) -> None:
        self._bar.console.print(text, markup=False)

    def __enter__(self) -> TrainingView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
