"""TensorBoard's view of a training: the terms of the loss, rates, validations, and pictures of what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from heatstream.extras import require
from heatstream.models.training.trainer import TrainMetrics

__all__ = ["TensorBoard"]


class TensorBoard:
    """Writes what an :class:`Observer` receives; a context manager.

    Args:
        folder: for TensorBoard's files.
        step: where the training goes on; what an earlier part of it wrote after that step disappears.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        require("tensorboard", extra="train", purpose="the training's logs")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        self._sheet: NDArray[np.uint8] | None = None

    def show(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Write a picture, (H, W, 3) uint8 BGR."""
        self._writer.add_image(name, np.ascontiguousarray(picture[:, :, ::-1]), step, dataformats="HWC")

    def show_validation(self, sheet: NDArray[np.uint8]) -> None:
        """The picture that the next validation is written with."""
        self._sheet = sheet

    def stepped(self, step: int) -> None:
        """Nothing is written every step."""

    def measured(self, numbers: TrainMetrics) -> None:
        """Write the numbers."""
        for name, value in numbers.terms.items():
            self._writer.add_scalar(f"loss/{name}", value, numbers.step)
        self._writer.add_scalar("loss/sum", numbers.loss, numbers.step)
        self._writer.add_scalar("training/gradient_norm", numbers.norm, numbers.step)
        self._writer.add_scalar("training/rate", numbers.rate, numbers.step)
        self._writer.add_scalar("training/images_per_second", numbers.images_per_second, numbers.step)

    def validated(self, step: int, scores: Mapping[str, float], *, best: bool) -> None:
        """Write the scores."""
        for name, value in scores.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        if self._sheet is not None:
            self.show("validation", self._sheet, step)
            self._sheet = None
        self._writer.flush()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
