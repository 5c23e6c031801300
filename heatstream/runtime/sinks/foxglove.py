"""Results as Foxglove's channels: our messages in JSON, and an overlay that it draws on the image.

One set of channels feeds a recording (:mod:`heatstream.runtime.sinks.mcap`) and Foxglove's live view alike.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel

from heatstream import skeletons
from heatstream.errors import SinkError, first_line
from heatstream.extras import require
from heatstream.messages import EventMessage, HeaderMessage, HealthMessage, ResultMessage
from heatstream.results import Faces, Poses, Result

__all__ = ["ANNOTATIONS_TOPIC", "IMAGE_TOPIC", "PEAKS_TOPIC", "FoxgloveChannels", "FoxgloveSink", "require_foxglove"]

IMAGE_TOPIC = "/camera/image"
ANNOTATIONS_TOPIC = "/camera/annotations"
"""Of one source; those of several are ``/camera/0/image`` and so on."""
PEAKS_TOPIC = "/heatstream/peaks"
JSON_TOPICS: Mapping[str, type[BaseModel]] = {
    "/heatstream/header": HeaderMessage,
    "/heatstream/results": ResultMessage,
    "/heatstream/events": EventMessage,
    "/heatstream/health": HealthMessage,
}

MIN_SCORE = 0.2
"""Keypoints below this score are usually guesses; the overlay leaves them out, the results hold them."""
JPEG_QUALITY = 80
HEALTH_SECONDS = 1.0
HEADER_SECONDS = 2.0  # live; a file has one
LINE_SHARE = 1 / 300  # of the picture's longer side


def require_foxglove(purpose: str) -> Any:
    """Foxglove's SDK.

    Raises:
        MissingExtraError: it is not installed.
    """
    return require("foxglove", extra="mcap", purpose=purpose)


class FoxgloveChannels:
    """The channels of one stream.

    Args:
        header: of :func:`heatstream.messages.header_message`.
        image_fps: how many frames per second go along as JPEG; none by default.
        health: gives a health message; it is asked once a second.
        peaks: how the results' peaks were decoded; they are recorded with it. None to leave them out.
    """

    def __init__(
        self,
        header: Mapping[str, Any],
        *,
        image_fps: float = 0,
        health: Callable[[], dict[str, Any]] | None = None,
        peaks: Mapping[str, Any] | None = None,
    ) -> None:
        foxglove = require_foxglove("recordings and Foxglove's view")
        self.context: Any = foxglove.Context()
        self._header = json.dumps(header).encode()
        self._image_seconds = 1 / image_fps if image_fps else None
        self._health = health
        self._next_health = time.monotonic()
        self._image_times: dict[int, float] = {}  # of the latest, by source
        self._channels = {
            topic: foxglove.Channel(
                topic,
                message_encoding="json",
                schema=foxglove.Schema(
                    name=f"heatstream.{model.__name__}",
                    encoding="jsonschema",
                    data=json.dumps(model.model_json_schema(mode="serialization")).encode(),
                ),
                context=self.context,
            )
            for topic, model in JSON_TOPICS.items()
        }
        self._peaks = None
        if peaks is not None:
            self._peaks = foxglove.Channel(
                PEAKS_TOPIC,
                message_encoding="heatstream.peaks",
                schema=foxglove.Schema(name="heatstream.Peaks", encoding="", data=b""),
                metadata={"decode": json.dumps(peaks)},
                context=self.context,
            )
        messages = require("foxglove.messages", extra="mcap", purpose="Foxglove's overlay")
        channels = require("foxglove.channels", extra="mcap", purpose="Foxglove's overlay")
        self._messages = messages
        several = header.get("sources") or []
        names = [f"/camera/{number}" for number in range(len(several))] or ["/camera"]
        self._annotations = [
            channels.ImageAnnotationsChannel(f"{name}/annotations", context=self.context) for name in names
        ]
        self._images = [channels.CompressedImageChannel(f"{name}/image", context=self.context) for name in names]

    def log_header(self, capture_time: float) -> None:
        """Say what follows; once per file.

        Args:
            capture_time: of the first result, in seconds.
        """
        self._channels["/heatstream/header"].log(self._header, log_time=_nanoseconds(capture_time))

    def log(self, result: Result) -> None:
        """Hand a result to all that listen; its time is its capture time."""
        at = _nanoseconds(result.capture_time)
        self._channels["/heatstream/results"].log(result.to_json().encode(), log_time=at)
        if self._peaks is not None and result.peaks is not None:
            self._peaks.log(result.peaks.to_bytes(), log_time=at)
        for event in result.events or ():
            self._channels["/heatstream/events"].log(event.to_json().encode(), log_time=at)
        if self._health is not None and time.monotonic() >= self._next_health:
            self._next_health = time.monotonic() + HEALTH_SECONDS
            self._channels["/heatstream/health"].log(json.dumps(self._health()).encode(), log_time=at)
        stamp = self._messages.Timestamp(*divmod(at, 1_000_000_000))
        source = result.source or 0
        if result.frame.size and self._image_is_due(source, result.capture_time):
            done, data = cv2.imencode(".jpg", result.frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if done:
                self._images[source].log(
                    self._messages.CompressedImage(
                        timestamp=stamp, frame_id="camera", data=data.tobytes(), format="jpeg"
                    ),
                    log_time=at,
                )
        self._annotations[source].log(_annotations(self._messages, result, stamp), log_time=at)

    def _image_is_due(self, source: int, capture_time: float) -> bool:
        if self._image_seconds is None:
            return False
        since = capture_time - self._image_times.get(source, -math.inf)
        if 0 <= since < 0.9 * self._image_seconds:  # a tenth of a frame early is in time: clocks of cameras jitter
            return False
        self._image_times[source] = capture_time
        return True


class FoxgloveSink:
    """Foxglove's live view: a WebSocket server that the Foxglove app connects to.

    A viewer that does not keep up loses old messages; it never holds up the others.

    Args:
        channels: what is shown.
        host: address to listen on.
        port: port to listen on; 0 for any free one.

    Raises:
        SinkError: the port cannot be listened on.
    """

    def __init__(self, channels: FoxgloveChannels, *, host: str = "127.0.0.1", port: int = 8765) -> None:
        foxglove = require_foxglove("Foxglove's view")
        self._channels = channels
        self._next_header = time.monotonic()
        try:
            self._server = foxglove.start_server(
                name="heatstream", host=host, port=port, context=channels.context, message_backlog_size=64
            )
        except (OSError, RuntimeError) as error:
            raise SinkError(
                f"Foxglove's view cannot listen on {host}:{port} ({first_line(error)}): end what uses the port"
            ) from None
        self.port: int = self._server.port

    def write(self, result: Result) -> None:
        """Send one result, and now and then the header, for viewers that came late."""
        if time.monotonic() >= self._next_header:
            self._next_header = time.monotonic() + HEADER_SECONDS
            self._channels.log_header(result.capture_time)
        self._channels.log(result)

    def close(self) -> Path | None:
        """Let the viewers go."""
        self._server.stop()
        return None


def _annotations(messages: Any, result: Result, stamp: Any) -> Any:
    """What Foxglove draws: limbs, keypoints and ids. Its pixels are ours: (0, 0) is the first pixel's corner."""
    height, width = result.frame.shape[:2]
    thickness = max(1.0, max(height, width) * LINE_SHARE)
    points, texts = [], []
    for row, pose in enumerate(result.poses):
        whose = {"score": f"{pose.score:.3f}"} if pose.id < 0 else {"id": str(pose.id), "score": f"{pose.score:.3f}"}
        metadata = [messages.KeyValuePair(key=key, value=value) for key, value in whose.items()]
        points += _drawn(messages, result.poses, row, thickness, metadata)
        seen = pose.keypoint_scores >= MIN_SCORE
        if pose.id >= 0 and seen.any():
            x, y = pose.keypoints[seen].min(axis=0)
            texts.append(
                messages.TextAnnotation(
                    position=messages.Point2(x=float(x), y=float(y)),
                    text=str(pose.id),
                    font_size=12.0,
                    text_color=messages.Color(r=1.0, g=1.0, b=1.0, a=1.0),
                    background_color=messages.Color(r=0.0, g=0.0, b=0.0, a=0.6),
                )
            )
    if result.faces is not None:
        points += [_face(messages, result.faces, row, thickness / 2) for row in range(len(result.faces))]
    return messages.ImageAnnotations(timestamp=stamp, points=points, texts=texts)


def _drawn(messages: Any, poses: Poses, row: int, thickness: float, metadata: list[Any]) -> list[Any]:
    """One person: a list of lines, and the keypoints on top."""
    skeleton = skeletons.get(poses.skeleton)
    colors = _colors(messages, poses.skeleton)
    seen = poses.keypoint_scores[row] >= MIN_SCORE
    places = [messages.Point2(x=float(x), y=float(y)) for x, y in poses.keypoints[row]]
    limbs = [(a, b) for a, b in skeleton.limbs if seen[a] and seen[b]]
    joints = np.flatnonzero(seen).tolist()
    kinds = messages.PointsAnnotationType
    return [
        messages.PointsAnnotation(
            type=kinds.LineList,
            points=[places[joint] for limb in limbs for joint in limb],
            outline_colors=[colors[b] for _, b in limbs],
            thickness=thickness,
            metadata=metadata,
        ),
        messages.PointsAnnotation(
            type=kinds.Points,
            points=[places[joint] for joint in joints],
            outline_colors=[colors[joint] for joint in joints],
            thickness=2 * thickness,
            metadata=metadata,
        ),
    ]


def _face(messages: Any, faces: Faces, row: int, thickness: float) -> Any:
    places = [messages.Point2(x=float(x), y=float(y)) for x, y in faces.landmarks[row]]
    return messages.PointsAnnotation(
        type=messages.PointsAnnotationType.LineList,
        points=[places[point] for limb in skeletons.get(faces.skeleton).limbs for point in limb],
        outline_color=messages.Color(r=1.0, g=1.0, b=1.0, a=1.0),
        thickness=thickness,
        metadata=[messages.KeyValuePair(key="score", value=f"{faces.scores[row]:.3f}")],
    )


@lru_cache
def _colors(messages: Any, name: str) -> list[Any]:
    return [
        messages.Color(r=red / 255, g=green / 255, b=blue / 255, a=1.0)
        for blue, green, red in skeletons.get(name).colors
    ]


def _nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))
