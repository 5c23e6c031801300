"""A job: frames in, people out to files and a window, with the numbers shown. ``run`` and ``demo`` are jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from heatstream.demo.live_outputs import LiveOutputs
from heatstream.demo.outputs import check_outputs
from heatstream.demo.terminal.messages import print_gap, print_message
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
    from heatstream.runtime.stream import Stream
    from heatstream.runtime.zones import Zones

__all__ = ["RunOptions", "run_job"]

HEALTH_FRAMES = 300
"""Over so many frames the times are that pages and recordings are told once a second."""

PICTURE_MS = 1000
"""How long each picture of a folder is in view, where somebody only looks."""

Value = TypeVar("Value")


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
        confidence: leave out people of a lower score, after tracking.
        smooth: smooth the keypoints of all results; those in the window are smooth in any case.
        budget: how old a live frame may be when its result is there, in seconds; any age when None.
        zones: what to watch; nothing when None.
        events: JSON Lines file for what happens there.
        clips: folder for videos of the ten seconds before it; none are written when None.
        live: recordings, pages, and what is sent.
        virtual_camera: show the annotated picture to programs that open a camera.
        inputs: what else is read than the source, as of :func:`heatstream.demo.outputs.check_outputs`.
    """

    saves: tuple[Path, ...]
    jsonl: Path | None
    coco: Path | None
    window: bool | None
    mirror: bool
    frames: int | None
    overlay: Overlay
    confidence: float = 0.0
    smooth: bool = False
    budget: float | None = None
    zones: Zones | None = None
    events: Path | None = None
    clips: Path | None = None
    live: LiveOutputs = field(default_factory=LiveOutputs)
    virtual_camera: bool = False
    inputs: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that will be written."""
        plain = (path for path in (self.jsonl, self.coco, self.events) if path is not None)
        return (*self.saves, *plain, *self.live.files)


def run_job(sources: Sequence[Source], pipeline: PosePipeline, job: RunOptions) -> None:
    """Find people in every frame, hand them on, and print the summary.

    Sources and pipeline are closed in the end. Whatever ends the run, results up to there are written.

    Raises:
        HeatstreamError: something failed, before or in the middle of it.
        typer.Exit: a signal ended the run, with the shell's exit code for it.
    """
    from heatstream.results import Gap
    from heatstream.runtime.health import health_message
    from heatstream.runtime.sinks import Recorder, names_folder, writes_to_stdout
    from heatstream.runtime.stream import stream
    from heatstream.runtime.timing import StreamClock

    with ExitStack() as stack:
        stack.callback(pipeline.close)
        for source in sources:
            stack.callback(source.close)
        read = [path for source in sources for path in source.files]
        check_outputs(_files(job, len(sources)), {"the source": read, **job.inputs})
        folders = [path for path in job.saves if names_folder(path)]
        check_outputs(folders, {"the folder of the source": dict.fromkeys(path.parent for path in read)})
        if job.zones is not None:
            job.zones.check(pipeline.info.skeleton)
        status = StatusLine(_expected_frames(sources, job))
        window, no_window = _open_window(job, status, len(sources))
        if window is not None:
            stack.callback(window.close)
        clock = StreamClock(time.perf_counter(), remembered=HEALTH_FRAMES)

        opened: list[Stream] = []

        def health() -> dict[str, Any]:
            warnings = tuple(text for source in sources for text in source.warnings)
            doing = [source for one in opened for source in one.health().sources]
            return health_message(clock.summary(warnings=warnings), doing)

        sinks = _open_sinks(job, sources, pipeline, health)
        if no_window:
            print_message(no_window)
        recorder = stack.enter_context(Recorder(sinks))
        stop = stack.enter_context(StopSignals(recorder.hurry))
        results = stack.enter_context(
            stream(
                sources,
                pipeline,
                frames=job.frames,
                smooth=job.smooth,
                confidence=job.confidence,
                budget=job.budget,
            )
        )
        opened.append(results)
        shown = _shown_smooth(job, len(sources))
        zones = None if job.zones is None else [job.zones.afresh() for _ in sources]
        latest = None
        try:
            with status:
                for item in stop.until_signalled(results.with_gaps()):
                    if isinstance(item, Gap):
                        print_gap(sources[item.source or 0].name, item)
                        if window is not None and not item.over and len(sources) == 1:
                            _look_on(window, stop, results)
                            if window.closed:
                                break
                        continue
                    latest = item
                    status.add(latest)
                    clock.add(latest.timing, time.perf_counter(), dropped=latest.dropped, source=latest.source or 0)
                    latest = job.live.guarded(latest)
                    if zones is not None:
                        latest = replace(latest, events=tuple(zones[latest.source or 0](latest)))
                    recorder.write(latest)
                    if window is not None:
                        window.write(shown(latest))
                        if latest.picture is not None and not job.files:
                            window.look(PICTURE_MS)  # or until a key is pressed
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


def _files(job: RunOptions, sources: int) -> list[Path]:
    """Every file that will be written: of several sources each has a video of its own."""
    from heatstream.runtime.sinks import numbered

    if sources == 1:
        return list(job.files)
    others = [path for path in job.files if path not in job.saves]
    return [numbered(path, number) for path in job.saves for number in range(sources)] + others


def _expected_frames(sources: Sequence[Source], job: RunOptions) -> int | None:
    counts = [source.frame_count for source in sources]
    known = [count for count in counts if count is not None]
    total = sum(known) if len(known) == len(counts) else None
    return min((count for count in (total, job.frames) if count is not None), default=None)


def _open_window(job: RunOptions, status: StatusLine, sources: int) -> tuple[WindowSink | None, str]:
    """The window, or why there is none although one would have been welcome."""
    if job.window is False:
        return None, ""
    from heatstream.demo.drawing.mosaic import Mosaic
    from heatstream.runtime.sinks import KEYS_TEXT, WindowSink

    def text() -> str:
        return f"{status.numbers()}  {KEYS_TEXT}"

    try:
        overlay = replace(job.overlay, text=text, mirror=job.mirror)
        return WindowSink(overlay if sources == 1 else Mosaic(overlay, sources)), ""
    except SinkError as error:
        if job.window:
            raise
        hint = "" if job.files else "; add --save out.mp4 or --jsonl out.jsonl to keep the results"
        return None, f"no window: {str(error).partition(':')[0]}{hint}"


def _open_sinks(
    job: RunOptions, sources: Sequence[Source], pipeline: PosePipeline, health: Callable[[], dict[str, Any]]
) -> list[Sink]:
    from heatstream.messages import header_message
    from heatstream.runtime.redecode import decoding_of
    from heatstream.runtime.sinks import (
        ClipRecorder,
        CocoSink,
        EventsSink,
        JsonLinesSink,
        OfSource,
        numbered,
        save_sink,
    )
    from heatstream.runtime.sinks.virtual_camera import VirtualCameraSink

    if len(sources) > 1 and job.coco is not None:
        raise InputError("COCO results number the pictures of one source: give one, or write --jsonl")
    header = header_message(
        pipeline.info,
        source=", ".join(source.name for source in sources),
        sources=[source.name for source in sources] if len(sources) > 1 else None,
        live=any(source.live for source in sources),
        frame_size=_common(source.size for source in sources),
        fps=_common(source.fps for source in sources),
        face_skeleton=pipeline.face_skeleton,
    )
    sinks: list[Sink] = []
    try:
        for path in job.saves:
            if len(sources) == 1:
                sinks.append(
                    save_sink(path, job.overlay, fps=sources[0].fps, live=sources[0].live, sound=_film(sources[0], job))
                )
                continue
            for number, source in enumerate(sources):
                own = save_sink(
                    numbered(path, number), job.overlay, fps=source.fps, live=source.live, sound=_film(source, job)
                )
                sinks.append(OfSource(own, number))
        if job.jsonl is not None:
            sinks.append(JsonLinesSink(job.jsonl, header))
        if job.coco is not None:
            sinks.append(CocoSink(job.coco))
        if job.events is not None:
            clips = []
            if job.clips is not None:
                folders = [job.clips / str(number) for number in range(len(sources))] if sources[1:] else [job.clips]
                clips = [
                    ClipRecorder(folder, job.overlay, fps=source.fps, live=source.live)
                    for folder, source in zip(folders, sources, strict=True)
                ]
            sinks.append(EventsSink(job.events, clips))
        if job.virtual_camera:
            if len(sources) > 1:
                raise InputError("a virtual camera shows one source: give one")
            sinks.append(VirtualCameraSink(job.overlay, fps=sources[0].fps))
        job.live.open(
            header,
            health,
            sinks,
            decoding=lambda: decoding_of(pipeline, confidence=job.confidence, smooth=job.smooth),
        )
    except HeatstreamError:
        for sink in sinks:
            sink.close()  # without results everything is as it was
        raise
    return sinks


def _common(values: Iterable[Value]) -> Value | None:
    """What all have in common; None where they differ."""
    first, *others = values
    return first if all(value == first for value in others) else None


def _film(source: Source, job: RunOptions) -> Path | None:
    """The one file that a source is, which may have sound; none where nobody is to be recognised, by voice either."""
    silent = source.live or job.live.privacy != "off"
    return source.files[0] if len(source.files) == 1 and not silent else None


def _shown_smooth(job: RunOptions, sources: int) -> Callable[[Result], Result]:
    """What makes of a result the one to show: a smooth one, as far as it is not yet."""
    from heatstream.runtime.smoothing import Smoother

    if job.smooth:
        return lambda result: result
    smoothers = [Smoother() for _ in range(sources)]

    def smooth(result: Result) -> Result:
        return replace(result, poses=smoothers[result.source or 0](result.poses, result.capture_time))

    return smooth


def _look_on(window: WindowSink, stop: StopSignals, results: Stream) -> None:
    """Keep the window alive while the one source is silent."""
    while not window.closed and stop.received is None:
        (source,) = results.health().sources
        if source.state in ("ended", "failed") or source.live is None or source.live.connected:
            return
        window.look()


def _hold(window: WindowSink, stop: StopSignals) -> None:
    """Leave the last picture in view until somebody closes the window."""
    while not window.closed and stop.received is None:
        window.look()
