"""Recordings decoded again: people made anew of recorded peaks, with other thresholds, without the network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from heatstream.errors import InputError
from heatstream.kernels import DecodeSettings
from heatstream.kernels.reference.peak_list import KEPT_SHARE, decode_peaks
from heatstream.model_info import METADATA_KEY, ModelInfo
from heatstream.results import Peaks, Result, StageTimes
from heatstream.runtime.following import Follower
from heatstream.runtime.pipelines.base import PosePipeline, finished, least_height
from heatstream.runtime.pipelines.faces import FaceCascade
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.recordings import read_recording
from heatstream.runtime.sinks.foxglove import PEAKS_TOPIC

__all__ = ["Redecoded", "decode_recording", "decoding_of"]


@dataclass(frozen=True)
class Redecoded:
    """A recording that is decoded again.

    Attributes:
        header: its header message.
        results: its frames, in order, people made anew. They have neither frames, faces nor events, and the times,
            drops and gaps that were recorded.
    """

    header: dict[str, Any]
    results: Iterator[Result]


def decoding_of(pipeline: PosePipeline, *, confidence: float, smooth: bool) -> dict[str, Any]:
    """How a pipeline decodes, and what the stream does behind it, ready for JSON.

    Raises:
        InputError: the pipeline keeps no peaks.
    """
    poses = pipeline.poses if isinstance(pipeline, FaceCascade) else pipeline
    if not isinstance(poses, CpuPosePipeline) or not poses.peaks:
        raise InputError("this pipeline keeps no peaks: load it with peaks=True")
    model = pipeline.info.to_metadata()[METADATA_KEY]
    return {"settings": asdict(poses.settings), "model": model, "confidence": confidence, "smooth": smooth}


def decode_recording(
    path: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    confidence: float | None = None,
    smooth: bool | None = None,
) -> Redecoded:
    """Decode a recording again; ids and smoothing are made anew too.

    With nothing changed the people are those of the run, but for the joints that `refine` had filled in: it looks at
    whole maps, which are not recorded.

    Args:
        path: a recording of peaks.
        changes: decode settings that differ from the run's, by name.
        confidence: leave out people of a lower score; as in the run when left out.
        smooth: smooth keypoints; as in the run when left out.

    Raises:
        MissingExtraError: the library ``mcap`` is not installed.
        InputError: it is no such recording, or a setting is out of its range or cannot be changed any more.
    """
    messages = read_recording(path)
    header: dict[str, Any] | None = None
    found: dict[str, Any] = {}
    first: tuple[dict[str, Any], Peaks] | None = None
    how: dict[str, Any] = {}
    for message in messages:
        if message.topic == "/heatstream/header":
            header = json.loads(message.data)
        elif message.topic == "/heatstream/results":
            found = json.loads(message.data)
        elif message.topic == PEAKS_TOPIC and header is not None:
            how = json.loads(message.metadata["decode"])
            first = found, Peaks.from_bytes(message.data)
            break
    if header is None or first is None:
        raise InputError(f"{path} holds no peaks: record with --mcap FILE --raw-peaks")
    info = ModelInfo.from_metadata({METADATA_KEY: how["model"]}, path=path)
    recorded = DecodeSettings(**how["settings"])
    settings = _changed(recorded, changes or {})
    if confidence is not None:
        lowest = least_height(info, min(confidence, how["confidence"]))
        settings = replace(settings, person_threshold=min(settings.person_threshold, lowest))
    surest = how["confidence"] if confidence is None else confidence

    def frames() -> Iterator[tuple[dict[str, Any], Peaks]]:
        yield first
        latest: dict[str, Any] = {}
        for message in messages:
            if message.topic == "/heatstream/results":
                latest = json.loads(message.data)
            elif message.topic == PEAKS_TOPIC:
                yield latest, Peaks.from_bytes(message.data)

    def results() -> Iterator[Result]:
        followers: dict[int, Follower] = {}
        live = bool(header["live"])
        for entry, peaks in frames():
            poses = finished(decode_peaks(peaks, settings), info)
            source = entry.get("source") or 0
            if source not in followers:
                followers[source] = Follower(live=live, smooth=how["smooth"] if smooth is None else smooth)
            for result in followers[source].add(_with(entry, poses)):
                yield _surer(result, surest)
        for follower in followers.values():
            for result in follower.finish():
                yield _surer(result, surest)

    return Redecoded({**header, "face_skeleton": None}, results())


def _changed(recorded: DecodeSettings, changes: Mapping[str, Any]) -> DecodeSettings:
    settings = replace(recorded, **changes)
    for name in ("nms_kernel", "adjust", "plateaus", "skeleton"):
        if getattr(settings, name) != getattr(recorded, name):
            raise InputError(f"{name} was at work when the peaks were recorded: it cannot be changed any more")
    lowest = KEPT_SHARE * recorded.detection_threshold
    if settings.detection_threshold < lowest:
        raise InputError(f"peaks are recorded from {lowest:g} on: detection_threshold cannot be lower")
    if settings.max_people > recorded.max_people:
        raise InputError(f"{recorded.max_people} peaks of a joint were recorded: max_people cannot be more")
    return settings


def _with(entry: Mapping[str, Any], poses: Any) -> Result:
    """A recorded result with other people."""
    width, height = entry["frame_size"] or (0, 0)
    stages = dict(entry["timing"])
    capture, latency, per_face = stages.pop("capture"), stages.pop("latency"), stages.pop("per face", None)
    return Result(
        poses,
        StageTimes(stages, latency=latency, capture=capture, per_face=per_face),
        frame=np.broadcast_to(np.uint8(0), (height, width, 3)),
        frame_index=entry["frame_index"],
        capture_time=entry["capture_time"],
        capture_clock=entry["capture_clock"],
        dropped=entry["dropped"],
        picture=entry.get("picture"),
        source=entry.get("source"),
    )


def _surer(result: Result, confidence: float) -> Result:
    return replace(result, poses=result.poses.above(confidence))
