"""``heatstream demo``: what a newcomer sees first, on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heatstream.demo.options import CONFIDENCE, MODEL, TRACKED
from heatstream.demo.terminal.messages import print_message
from heatstream.files import make_folder

if TYPE_CHECKING:
    from heatstream.runtime.sources import Frame, Source

__all__ = ["demo"]


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results, made if it is not there.")
    ] = Path("demo-output"),
    camera: Annotated[
        bool, typer.Option("--camera/--no-camera", help="Use a camera and a window where there are both.")
    ] = True,
) -> None:
    """Show what heatstream does: live, or on a clip of its own.

    Live where there is a camera and a display. Otherwise on a clip that is a
    photograph of an astronaut, panned and zoomed: it leaves astronaut.mp4,
    astronaut.png and results.jsonl in the output folder. Either way it prints
    how long each stage took. It needs no internet.
    """
    from heatstream.demo.drawing.overlay import Overlay
    from heatstream.demo.run_loop import RunOptions, run_job
    from heatstream.runtime.load import load

    live = _camera() if camera else None
    if live is not None:
        print_message("this is the camera; q in the window, closing it or Ctrl-C ends, space pauses")
        job = RunOptions(
            saves=(),
            jsonl=None,
            coco=None,
            window=True,
            mirror=True,
            frames=None,
            overlay=Overlay(),
            confidence=CONFIDENCE,
        )
        run_job([live], load(MODEL, confidence=TRACKED), job)
        return
    clip = AstronautClip()
    make_folder(output)
    job = RunOptions(
        saves=(output / "astronaut.mp4", output / "astronaut.png"),
        jsonl=output / "results.jsonl",
        coco=None,
        window=False,
        mirror=False,
        frames=None,
        overlay=Overlay(),
        confidence=CONFIDENCE,
    )
    run_job([clip], load(MODEL, confidence=TRACKED), job)


class AstronautClip:
    """The clip of :mod:`heatstream.demo.sample_clip` as a source."""

    name = "astronaut"
    live = False
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def __init__(self) -> None:
        from heatstream.demo.sample_clip import CLIP_FPS, CLIP_FRAMES, CLIP_SIZE, astronaut_clip

        self.fps: float | None = CLIP_FPS
        self.frame_count: int | None = CLIP_FRAMES
        self.size: tuple[int, int] | None = CLIP_SIZE
        self._images = astronaut_clip()

    def __iter__(self) -> Iterator[Frame]:
        from heatstream.demo.sample_clip import CLIP_FPS
        from heatstream.runtime.sources import Frame

        for index, image in enumerate(self._images):
            yield Frame(image, index, index / CLIP_FPS)

    def close(self) -> None:
        """Nothing is held open."""


def _camera() -> Source | None:
    """The first camera, if there is also a display to show it on."""
    from heatstream.errors import SourceError
    from heatstream.runtime.sinks import display_trouble
    from heatstream.runtime.sources import open_source

    if display_trouble() is not None:
        print_message("there is no display, so the demo uses its own clip and writes files")
        return None
    try:
        return open_source(0)
    except SourceError as error:
        print_message(f"{str(error).partition(':')[0]}, so the demo uses its own clip and writes files")
        return None
