"""What `heatstream eval` leaves: a table, a JSON file, a curve and a contact sheet."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatstream.demo.outputs import check_outputs
from heatstream.demo.terminal.tables import console_for
from heatstream.errors import SinkError
from heatstream.extras import require
from heatstream.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heatstream.runtime.engines.base import Engine

__all__ = ["EvaluationReport", "Measured", "progress_bar", "rounded"]

PICTURES = (".jpg", ".jpeg", ".png")
LIBRARIES = ("numpy", "opencv-python", "opencv-python-headless", "onnxruntime", "torch", "faster-coco-eval")


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on stderr, where that is a terminal; gives what takes (done, in all)."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@dataclass(frozen=True, eq=False)
class Measured:
    """What an evaluation came to, ready to be shown.

    Attributes:
        columns: titles of the table; the first of them is that of the rows' names, empty where a row needs none.
        rows: name and values of every row.
        facts: further lines to print, by name.
        content: what goes into the JSON file, as JSON takes it.
        labels: the file or folder of the labels.
        images: the folder of the photos.
        pictures: the photos themselves, which nothing may be written over.
        curves: errors by name for the CED curve; none is drawn when empty.
        sheet: draws the contact sheet, (H, W, 3) uint8 BGR.
    """

    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]
    facts: Mapping[str, str]
    content: Mapping[str, Any]
    labels: Path
    images: Path
    pictures: Sequence[Path]
    sheet: Callable[[], NDArray[np.uint8]]
    curves: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)


class EvaluationReport:
    """Shows and writes what an evaluation came to.

    Args:
        output: JSON file to write; none when None.
        sheet: contact sheet to write, ``.jpg`` or ``.png``; none when None.
        ced: picture of the curve to write; not written when left out.
        inputs: what is read, as of :func:`heatstream.demo.outputs.check_outputs`.

    Raises:
        SinkError: a file cannot be written; known before the work.
        InputError: a file is one that is read, or named twice.
        MissingExtraError: a curve is asked for, and matplotlib is not installed.
    """

    def __init__(
        self,
        output: Path | None,
        sheet: Path | None,
        ced: Path | None = None,
        *,
        inputs: Mapping[str, Iterable[Path]],
    ) -> None:
        from heatstream.runtime.sinks.base import check_writable

        for picture in (sheet, ced):
            if picture is not None and picture.suffix.lower() not in PICTURES:
                raise SinkError(f"{picture} is not a picture's name: end it in one of {', '.join(PICTURES)}")
        if ced is not None:
            require("matplotlib", extra="plot", purpose="drawing the error curve")
        outputs = [path for path in (output, sheet, ced) if path is not None]
        check_outputs(outputs, inputs)
        for path in outputs:
            check_writable(path)
        self._output = output
        self._sheet = sheet
        self._ced = ced

    def show(self, measured: Measured, engine: Engine) -> None:
        """Print the table and the facts to stdout."""
        from rich.table import Table
        from rich.text import Text

        title = Text(f"{engine.info.name} ({engine.info.weights}) on {engine.name}")
        table = Table(title=title, title_justify="left", min_width=46)
        for number, name in enumerate(measured.columns):
            if number or name:
                table.add_column(name, justify="right" if number else "left")
        for name, values in measured.rows.items():
            table.add_row(*([name] if measured.columns[0] else []), *values)
        console = console_for(table)
        console.print(table)
        for name, text in measured.facts.items():
            console.print(f"{name:>15}  {text}", markup=False, highlight=False, soft_wrap=True)

    def write(self, measured: Measured, engine: Engine, *, model: Path) -> None:
        """Write the files, and print their names.

        Args:
            measured: what to write.
            engine: the network; it may be closed.
            model: the file of the weights.

        Raises:
            SinkError: a file cannot be written.
            InputError: a picture would be written over a photo that was measured; the figures are written.
            DatasetError: an image that the contact sheet shows is gone.
        """
        from heatstream.files import write_whole

        if self._output is not None:
            info, labels = engine.info, measured.labels
            content = {
                **measured.content,
                "model": info.name,
                "weights": info.weights,
                "skeleton": info.skeleton,
                "precision": info.precision,
                "engine": engine.name,
                "versions": {"heatstream": __version__, "python": platform.python_version()} | _versions(),
                "model_file": str(model),
                "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
                "annotations": str(labels),
                "annotations_sha256": hashlib.sha256(labels.read_bytes()).hexdigest() if labels.is_file() else None,
                "data": str(measured.images),
            }
            write_whole(self._output, (json.dumps(content, indent=1) + "\n").encode())
        pictures = [path for path in (self._ced, self._sheet) if path is not None]
        check_outputs(pictures, {"a photo of the set": measured.pictures})
        if self._ced is not None:
            from heatstream.demo.drawing.ced_curve import draw_ced

            write_whole(self._ced, _encoded(draw_ced(measured.curves), self._ced))
        if self._sheet is not None:
            write_whole(self._sheet, _encoded(measured.sheet(), self._sheet))
        for path, name in ((self._output, "written"), (self._ced, "CED curve"), (self._sheet, "written")):
            if path is not None:
                print(f"{name:>15}  {path}")


def rounded(value: float, digits: int = 4) -> float | None:
    """As JSON takes it: what is not finite is null."""
    return round(value, digits) if math.isfinite(value) else None


def _encoded(picture: NDArray[np.uint8], path: Path) -> bytes:
    import cv2

    return cv2.imencode(path.suffix, picture)[1].tobytes()


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
