"""``heatstream recover``: what is whole of a recording whose run was killed, as a file that players can seek in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["recover"]


def recover(
    recording: Annotated[Path, typer.Argument(help="A recording of `heatstream run --mcap`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The new file; NAME-recovered.mcap when left out.")
    ] = None,
) -> None:
    """Write what is whole of a recording into a new file, with its index.

    A recording is whole after every half second, but for the index, which is
    written at its end. So this is for runs that were killed, and for disks that
    were damaged. The old file stays as it is.

    Example:

        heatstream recover out.mcap
    """
    from heatstream.runtime.recordings import recover as recover_recording

    target = output or recording.with_name(f"{recording.stem}-recovered.mcap")
    found = recover_recording(recording, target)
    for topic, count in sorted(found.messages.items()):
        print(f"{count:>8}  {topic}")
    print(f"{found.seconds:>8.1f}  seconds, up to where {found.damage or 'it ends: it was whole'}")
    print(f"{'written':>8}  {found.path}")
