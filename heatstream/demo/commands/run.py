"""``heatstream run``: people in a camera, video, picture, folder or stream."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from heatstream.demo.options import (
    CONFIDENCE,
    FACE_MODEL,
    MODEL,
    TRACKED,
    ConfidenceOption,
    DeviceOption,
    EngineOption,
    FaceModelOption,
    FacesOption,
    ModelOption,
    ShortSideOption,
    ThreadsOption,
)
from heatstream.errors import InputError

if TYPE_CHECKING:
    from heatstream.drawing import Label

__all__ = ["run"]

FOXGLOVE_PORT = 8765
"""Where the Foxglove app looks first."""


def run(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="A camera number (0 is the first), a video, a picture, a folder of pictures, an RTSP or HTTP URL, "
            "screen (screen:2 is the second), or a GStreamer pipeline that ends in appsink; several pictures, or "
            "several of the others, which share the network. '${NAME}' in a URL stands for an environment variable, so "
            "that no list of processes shows a password.",
        ),
    ],
    model: ModelOption = MODEL,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            help="Write the annotated video (.mp4, .avi), the best picture (.jpg, .png), or all "
            "pictures into a folder (a name without an ending).",
        ),
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", help="Write one line of JSON per frame, while it runs; - is stdout.")
    ] = None,
    coco: Annotated[Path | None, typer.Option("--coco", help="Write all people as COCO keypoint results.")] = None,
    window: Annotated[
        bool | None,
        typer.Option("--window/--no-window", help="Show a window; by default where there is a display."),
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Show the window as a mirror; files are written as the source is.")
    ] = False,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="Stop after so many frames.")] = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    faces: FacesOption = False,
    face_model: FaceModelOption = FACE_MODEL,
    short_side: ShortSideOption = None,
    confidence: ConfidenceOption = CONFIDENCE,
    smooth: Annotated[
        bool,
        typer.Option("--smooth", help="Smooth keypoints in the results too: live with a little lag, files with none."),
    ] = False,
    zones: Annotated[
        Path | None,
        typer.Option("--zones", help="A TOML file of zones, lines and postures to watch; see docs/tracking.md."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            "--events", help="With --zones: write the events here, one line of JSON each; to stdout (-) if left out."
        ),
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="With --zones: a folder for videos of the 10 seconds before each event."),
    ] = None,
    mcap: Annotated[
        Path | None, typer.Option("--mcap", help="Record results, events and health for Foxglove and robots' tools.")
    ] = None,
    mcap_frames: Annotated[
        float,
        typer.Option("--mcap-frames", metavar="FPS", min=0, help="Record so many frames per second too, as JPEG."),
    ] = 0.0,
    raw_peaks: Annotated[
        bool,
        typer.Option("--raw-peaks", help="Record what people are made of too, for `heatstream decode`; on the CPU."),
    ] = False,
    web: Annotated[bool, typer.Option("--web", help="Serve a live page for browsers.")] = False,
    web_address: Annotated[
        str, typer.Option("--web-address", metavar="HOST:PORT", help="Where; other machines need --token.")
    ] = "127.0.0.1:8000",
    web_frames: Annotated[
        float,
        typer.Option("--web-frames", metavar="FPS", min=0, help="Pictures per second on the live page; 0 for none."),
    ] = 10.0,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="HEATSTREAM_TOKEN", help="What viewers of the live page must know."),
    ] = None,
    foxglove: Annotated[bool, typer.Option("--foxglove", help="Serve Foxglove's live view on 127.0.0.1:8765.")] = False,
    rerun: Annotated[
        str | None,
        typer.Option(
            "--rerun", metavar="FILE", help="Write a recording for Rerun (.rrd), or rerun+http://... to its viewer."
        ),
    ] = None,
    send: Annotated[
        list[str] | None,
        typer.Option(
            "--send",
            metavar="ADDRESS",
            help="Send results to mqtt://HOST/PREFIX, osc://HOST:PORT or zenoh:KEY; repeat it for several.",
        ),
    ] = None,
    virtual_camera: Annotated[
        bool, typer.Option("--virtual-camera", help="Show the annotated picture to programs that open a camera.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Skeletons only: no pixel of a frame leaves this process.")
    ] = False,
    blur_heads: Annotated[
        bool,
        typer.Option("--blur-heads", help="Blur the heads of all people found before anything is written or sent."),
    ] = False,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0, max=1, help="Draw keypoints of at least this score.")
    ] = 0.2,
    max_people: Annotated[
        int | None, typer.Option("--max-people", min=1, help="Look for so many people; by default the model's, 30.")
    ] = None,
    camera_size: Annotated[
        str | None,
        typer.Option("--camera-size", metavar="WxH", help="Ask the camera for pictures of 1280x720 px."),
    ] = None,
    camera_fps: Annotated[
        float | None, typer.Option("--camera-fps", min=0.1, help="Ask it for so many pictures per second.")
    ] = None,
    camera_format: Annotated[
        str | None,
        typer.Option("--camera-format", metavar="CODE", help="Ask it for a format of the cable, such as MJPG or YUYV."),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            "--labels", help="What is written beside people: some of id, score, joints, such as id,score; or none."
        ),
    ] = "id",
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="TIME", help="Drop what is older, such as 100ms, when its result is there."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a camera or address that is not there yet, instead of ending.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a file or folder anew at its end.")] = False,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play a video as a camera would give it; late frames are dropped.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for further pictures in a folder, until Ctrl-C.")
    ] = False,
    rtsp_transport: Annotated[
        str, typer.Option("--rtsp-transport", help="How RTSP sends: tcp, or udp for servers without it.")
    ] = "tcp",
    rtsp_latency: Annotated[
        str | None,
        typer.Option("--rtsp-latency", metavar="TIME", help="Wait so long for late UDP packets, such as 200ms."),
    ] = None,
    rtsp_buffer: Annotated[
        int | None, typer.Option("--rtsp-buffer", metavar="BYTES", min=1, help="Buffer of UDP packets in the system.")
    ] = None,
    tls_trust: Annotated[
        str | None,
        typer.Option("--tls-trust", metavar="PEM", help="Trust this certificate of a camera; any trusts everybody."),
    ] = None,
    color_people: Annotated[
        bool, typer.Option("--color-people", help="Give each person a colour, instead of left and right.")
    ] = False,
) -> None:
    """Find people in SOURCE, show them, and write them down.

    A table of speed and latency is printed at the end. Ctrl-C, q in the window
    or closing it ends the run, and space pauses it; the results up to there are
    kept. A second Ctrl-C ends it at once: even then videos play.

    Examples:

        heatstream run 0

        heatstream run clip.mp4 --save out.mp4 --jsonl out.jsonl

        heatstream run clip.mp4 --short-side 384 --conf 0.5

        heatstream run 0 --faces

        heatstream run 0 1 rtsp://camera.local/stream --jsonl out.jsonl

        heatstream run clip.mp4 --smooth --zones zones.toml --events events.jsonl

        heatstream run 0 --web --mcap out.mcap --private

        heatstream run photos/ --no-window --coco results.json

        heatstream run clip.mp4 --no-window --jsonl - | jq 'select(.type=="result").people'

        heatstream run 0 --camera-size 1280x720 --camera-fps 60 --camera-format MJPG

        heatstream run 'rtsp://admin:${CAMERA_PASSWORD}@camera.local/stream'

        heatstream run rtsp://camera.local/stream --wait --budget 150ms

        heatstream run clip.mp4 --loop --realtime

        heatstream run rtsp://camera.local/stream --model my-model.onnx

        heatstream run clip.mp4 --device cuda --engine tensorrt
    """
    from heatstream.demo.drawing.overlay import Overlay
    from heatstream.demo.fetching import fetch_before_use
    from heatstream.demo.live_outputs import LiveOutputs
    from heatstream.demo.outputs import model_files
    from heatstream.demo.run_loop import RunOptions, run_job
    from heatstream.demo.terminal.build_progress import BuildView
    from heatstream.demo.terminal.durations import seconds_of
    from heatstream.runtime.load import load
    from heatstream.runtime.sources import CameraSettings, NetworkSettings, open_sources
    from heatstream.runtime.zones import Zones

    if zones is None and (events is not None or clips is not None):
        raise InputError("--events and --clips need to know what to watch: add --zones zones.toml")
    watched = None if zones is None else Zones.read(zones)
    fetch_before_use(model)
    job = RunOptions(
        saves=() if save is None else (save,),
        jsonl=jsonl,
        coco=coco,
        window=window,
        mirror=mirror,
        frames=frames,
        overlay=Overlay(min_score=min_score, colors="person" if color_people else "side", labels=_labels(labels)),
        confidence=confidence,
        smooth=smooth,
        budget=None if budget is None else seconds_of(budget, "--budget"),
        zones=watched,
        events=Path("-") if events is None and zones is not None else events,
        clips=clips,
        virtual_camera=virtual_camera,
        live=LiveOutputs(
            mcap=mcap,
            mcap_fps=mcap_frames,
            peaks=raw_peaks,
            foxglove=FOXGLOVE_PORT if foxglove else None,
            web=web_address if web else None,
            web_fps=web_frames,
            token=token,
            send=tuple(send or ()),
            rerun=rerun,
            privacy="pixels" if private else "heads" if blur_heads else "off",
        ),
        inputs={
            "the model": model_files(model),
            "the model of faces": model_files(face_model) if faces else (),
            "the file of zones": () if zones is None else (zones,),
        },
    )
    camera = CameraSettings(None if camera_size is None else _width_height(camera_size), camera_fps, camera_format)
    network = NetworkSettings(
        transport=rtsp_transport,  # type: ignore[arg-type]  # it is checked there
        latency=None if rtsp_latency is None else seconds_of(rtsp_latency, "--rtsp-latency"),
        buffer=rtsp_buffer,
        trust=tls_trust,
    )
    with BuildView() as view:
        pipeline = load(
            model,
            device,
            threads,
            engine=engine,
            short_side=short_side,
            confidence=min(confidence, TRACKED),
            settings=None if max_people is None else {"max_people": max_people},
            faces=face_model if faces else None,
            peaks=raw_peaks,
            progress=view,
        )
        try:
            opened = open_sources(
                source, camera=camera, network=network, wait=wait, loop=loop, realtime=realtime, watch=watch
            )
            for size in dict.fromkeys(each.size for each in opened if each.size is not None):
                pipeline.warm_up(*size)
        except BaseException:
            pipeline.close()
            raise
    run_job(opened, pipeline, job)


def _labels(text: str) -> tuple[Label, ...]:
    """Of ``id,score``; none of ``none``."""
    from heatstream.drawing import Label

    words = [] if text == "none" else [word.strip() for word in text.split(",")]
    known = get_args(Label)
    for word in words:
        if word not in known:
            raise InputError(f"--labels {text!r} is not understood: give some of {', '.join(known)}, or none")
    return tuple(label for label in known if label in words)


def _width_height(text: str) -> tuple[int, int]:
    """(width, height) in px of ``1280x720``."""
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip(), re.ASCII)
    if match is None:
        raise InputError(f"--camera-size {text!r} is not understood: give WIDTHxHEIGHT, such as 1280x720")
    return int(match[1]), int(match[2])
