"""What the user sees of a training: a bar where stderr is a terminal, plain lines where it is a file.

::

    training 1200/20000 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 2:04:10 left  84 images/s
    loss 0.0123  rate 0.001  heatmap4 0.00412  heatmap2 0.00391  push 0.00213  pull…
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from heatstream.models.training.trainer import TrainMetrics

__all__ = ["TrainingView"]

SPEED_SECONDS = 300.0
"""Over which the steps are counted for the time that is left; a validation is in it."""


class _TwoLines(Progress):
    """The bar, and below it the newest numbers, cut off where the terminal ends."""

    numbers = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is drawn."""
        yield self.make_tasks_table(self.tasks)
        if self.numbers:
            yield Text(self.numbers, no_wrap=True, overflow="ellipsis")


class TrainingView:
    """Shows what an :class:`heatstream.models.training.trainer.Observer` receives; a context manager.

    Args:
        step: steps that are done already.
        steps: of the whole training.
        batch: images per step.
    """

    def __init__(self, *, step: int, steps: int, batch: int) -> None:
        self._steps, self._batch = steps, batch
        console = Console(stderr=True, highlight=False)
        self._bar = _TwoLines(
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TimeRemainingColumn(compact=True),
            TextColumn("left  {task.fields[speed]}"),
            console=console,
            disable=not console.is_terminal,
            expand=True,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task = self._bar.add_task("training", total=steps, completed=step, speed="")

    def stepped(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step)

    def measured(self, numbers: TrainMetrics) -> None:
        """Show the loss, its terms and the speed."""
        terms = "  ".join(f"{name} {value:.3g}" for name, value in numbers.terms.items())
        speed = f"{numbers.images_per_second:.0f} images/s"
        self._bar.numbers = f"loss {numbers.loss:.4g}  rate {numbers.rate:.3g}  {terms}"
        self._bar.update(self._task, speed=speed)
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
        self._bar.console.print(text, markup=False, soft_wrap=True)

    def __enter__(self) -> TrainingView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
