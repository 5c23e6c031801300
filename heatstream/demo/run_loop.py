"""A job: frames in, people out to files and a window, with the numbers shown. ``run`` and ``demo`` are jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from heatstream.demo.outputs import Outputs
from heatstream.demo.terminal.messages import print_message
from heatstream.demo.terminal.run_summary import print_report
from heatstream.demo.terminal.signals import SIGNAL_EXIT, StopSignals
from heatstream.demo.terminal.status_line import StatusLine
from heatstream.errors import HeatstreamError, InputError, SinkError

if TYPE_CHECKING:
    from heatstream.demo.drawing.overlay import Overlay
    from heatstream.results import Result
    from heatstream.runtime.pipelines.base import PosePipeline
    from heatstream.runtime.sinks import Sink, WindowSink
    from heatstream.runtime.sources import Source
    from heatstream.runtime.zones import Zones

__all__ = ["RunOptions", "run_job"]

HEALTH_FRAMES = 300
"""Over so many frames the times are that pages and recordings are told once a second."""


@dataclass(frozen=True)
class RunOptions:
    """What to do with the people.

    Attributes:
        saves: annotated videos and pictures to write, told apart by their suffix.
        jsonl: JSON Lines file to write.
        coco: COCO results file to write.
        window: show a window; None for a window where there is a display.
        mirror: show the window as a mirror; files are written as the source is.
        frames: how many frames to take at most; all when None.
        overlay: how people are drawn.
        smooth: smooth the keypoints of all results; those in the window are smooth in any case.
        zones: what to watch; nothing when None.
        events: JSON Lines file for what happens there.
        clips: folder for videos of the ten seconds before it; none are written when None.
        outputs: recordings, pages and what else there is.
    """

    saves: tuple[Path, ...]
    jsonl: Path | None
    coco: Path | None
    window: bool | None
    mirror: bool
    frames: int | None
    overlay: Overlay
    smooth: bool = False
    zones: Zones | None = None
    events: Path | None = None
    clips: Path | None = None
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that will be written."""
        plain = (path for path in (self.jsonl, self.coco, self.events) if path is not None)
        return (*self.saves, *plain, *self.outputs.files)


def run_job(source: Source, pipeline: PosePipeline, job: RunOptions) -> None:
    """Find people in every frame, hand them on, and print the summary.

    Both the source and the pipeline are closed in the end. Whatever ends the run, results up to there are written.

    Raises:
        HeatstreamError: something failed, before or in the middle of it.
        typer.Exit: a signal ended the run, with the shell's exit code for it.
    """
    from heatstream.runtime.sinks import Recorder, writes_to_stdout
    from heatstream.runtime.stream import stream
    from heatstream.runtime.timing import StreamClock

    with ExitStack() as stack:
        stack.callback(pipeline.close)
        stack.callback(source.close)
        _check_files(job.files, source)
        status = StatusLine(_expected_frames(source, job))
        window, no_window = _open_window(job, status)
        if window is not None:
            stack.callback(window.close)
        clock = StreamClock(time.perf_counter(), remembered=HEALTH_FRAMES)
        sinks = _open_sinks(job, source, pipeline, health=lambda: clock.summary(warnings=source.warnings).to_dict())
        if no_window:
            print_message(no_window)
        recorder = stack.enter_context(Recorder(sinks))
        stop = stack.enter_context(StopSignals(recorder.hurry))
        results = stack.enter_context(stream(source, pipeline, frames=job.frames, smooth=job.smooth))
        shown = _shown_smooth(job)
        latest = None
        try:
            with status:
                for latest in stop.until_signalled(results):
                    status.add(latest)
                    clock.add(latest.timing, time.perf_counter(), dropped=latest.dropped)
                    latest = job.outputs.guarded(latest)
                    if job.zones is not None:
                        latest = replace(latest, events=tuple(job.zones(latest)))
                    recorder.write(latest)
                    if window is not None:
                        window.write(shown(latest))
                        while window.paused and not window.closed and stop.received is None:
                            window.look()
                        if window.closed:
                            break
            if window is not None and latest is not None and latest.picture is not None:
                _hold(window, stop)
            recorder.close()
        finally:
            results.close()
            summary = results.summary()
            for warning in summary.warnings:
                print_message(f"warning: {warning}")
            if summary.frames:
                recorder.close()
                print_report(
                    summary,
                    title=str(pipeline),
                    reason=pipeline.reason,
                    written=recorder.written,
                    stderr=any(writes_to_stdout(path) for path in job.files),
                )
    if stop.received is not None:
        raise typer.Exit(SIGNAL_EXIT + stop.received)


def _check_files(files: Sequence[Path], source: Source) -> None:
    """Refuse to write two results into one file, or over the source, under whatever name."""
    from heatstream.runtime.sinks import same_place

    for number, path in enumerate(files):
        if any(same_place(path, other) for other in files[:number]):
            raise InputError(f"{path} is named for two kinds of results: give each a file of its own")
        for read in source.files:
            if same_place(path, read):
                raise InputError(f"{path} is the source itself, {read}: write the results to another file")


def _expected_frames(source: Source, job: RunOptions) -> int | None:
    known = [count for count in (source.frame_count, job.frames) if count is not None]
    return min(known, default=None)


def _open_window(job: RunOptions, status: StatusLine) -> tuple[WindowSink | None, str]:
    """The window, or why there is none although one would have been welcome."""
    if job.window is False:
        return None, ""
    from heatstream.runtime.sinks import KEYS_TEXT, WindowSink

    def text() -> str:
        return f"{status.numbers()}  {KEYS_TEXT}"

    try:
        return WindowSink(replace(job.overlay, text=text, mirror=job.mirror)), ""
    except SinkError as error:
        if job.window:
            raise
        hint = "" if job.files else "; add --save out.mp4 or --jsonl out.jsonl to keep the results"
        return None, f"no window: {str(error).partition(':')[0]}{hint}"


def _open_sinks(
    job: RunOptions, source: Source, pipeline: PosePipeline, health: Callable[[], dict[str, Any]]
) -> list[Sink]:
    from heatstream.messages import header_message
    from heatstream.runtime.sinks import ClipRecorder, CocoSink, EventsSink, JsonLinesSink, save_sink

    header = header_message(
        pipeline.info,
        source=source.name,
        live=source.live,
        frame_size=source.size,
        fps=source.fps,
        face_skeleton=pipeline.face_skeleton,
    )
    sinks: list[Sink] = []
    try:
        for path in job.saves:
            sinks.append(save_sink(path, job.overlay, fps=source.fps, live=source.live))
        if job.jsonl is not None:
            sinks.append(JsonLinesSink(job.jsonl, header))
        if job.coco is not None:
            sinks.append(CocoSink(job.coco))
        if job.events is not None:
            clips = None
            if job.clips is not None:
                clips = ClipRecorder(job.clips, job.overlay, fps=source.fps, live=source.live)
            sinks.append(EventsSink(job.events, clips))
        job.outputs.open(header, health, sinks)
    except HeatstreamError:
        for sink in sinks:
            sink.close()  # without results everything is as it was
        raise
    return sinks


def _shown_smooth(job: RunOptions) -> Callable[[Result], Result]:
    """What makes of a result the one to show: a smooth one, as far as it is not yet."""
    from heatstream.runtime.smoothing import Smoother

    if job.smooth:
        return lambda result: result
    smoother = Smoother()
    return lambda result: replace(result, poses=smoother(result.poses, result.capture_time))


def _hold(window: WindowSink, stop: StopSignals) -> None:
    """Leave the last picture in view until somebody closes the window."""
    while not window.closed and stop.received is None:
        window.look()
