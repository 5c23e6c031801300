"""What leaves heatstream: messages in JSON, of one versioned format, whatever carries them.

A stream of messages begins with a header, which names the model and its skeletons; a result for every frame follows.
Every other output is made from these: lines of a file, messages of a recording, of a robot, of a page. The classes
below are the format; ``docs/messages.schema.json`` is the same as JSON Schema, printed by
``python -m heatstream.messages``.

The version rises when a field is taken away, or changes what it means. New fields and new types of messages may come
without that: a reader passes over what it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from heatstream import skeletons
from heatstream.model_info import ModelInfo
from heatstream.version import __version__

__all__ = [
    "VERSION",
    "EventMessage",
    "FaceEntry",
    "GapEntry",
    "HeaderMessage",
    "HealthMessage",
    "Message",
    "PersonEntry",
    "ResultMessage",
    "SkeletonEntry",
    "SourceEntry",
    "header_message",
    "json_schema",
]

VERSION: Literal[1] = 1

Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Keypoint = Annotated[list[float], Field(min_length=3, max_length=3)]
Score = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class SkeletonEntry(_Entry):
    """A layout of keypoints."""

    name: str = Field(description="For example coco-17.")
    keypoints: list[str] = Field(description="Names, in the order of the keypoints of every person.")
    limbs: list[Annotated[list[Count], Field(min_length=2, max_length=2)]] = Field(
        description="Pairs of indices into the keypoints between which a line is drawn."
    )


class HeaderMessage(_Entry):
    """The first message: what all that follow are about."""

    type: Literal["header"]
    version: Literal[1] = Field(description="Of this format.")
    heatstream: str = Field(description="Version of the program that wrote it.")
    model: str = Field(description="The network that finds people.")
    source: str = Field(description="The camera, file or stream, passwords left out.")
    sources: list[str] | None = Field(
        description="Of several sources each, in the order of their numbers; null of one."
    )
    live: bool = Field(description="Whether frames come at their own pace, and are lost when nobody takes them.")
    frame_size: Size | None = Field(
        description="[width, height] px as the source announces it; null where they differ."
    )
    fps: float | None = Field(description="Frames per second as the source announces it.")
    clock: Literal["unix", "clip"] = Field(
        description="What capture times count from: 1970-01-01 UTC, or the beginning of the clip."
    )
    skeleton: SkeletonEntry
    face_skeleton: SkeletonEntry | None = Field(description="Of faces; null unless they are looked for.")
    pictures: bool | None = Field(
        default=None, description="Of the live page alone: whether frames come along as JPEG."
    )


class PersonEntry(_Entry):
    """One person, the surest one first."""

    id: Count | None = Field(description="The same in every frame; null without tracking.")
    score: Score
    keypoints: list[Keypoint] = Field(
        description="[x, y, score] each, in px of the frame; the centre of the first pixel is at (0.5, 0.5). "
        "A missing keypoint is [0, 0, 0]."
    )


class FaceEntry(_Entry):
    """One face."""

    person: Count | None = Field(description="Whose: index into people.")
    score: Score
    box: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(description="[x0, y0, x1, y1] px.")
    angle: float = Field(description="Radians by which the box is turned about its middle, from x towards y.")
    landmarks: list[Point] = Field(description="[x, y] px each, as keypoints.")


class EventMessage(_Entry):
    """Something that happened, in a zone, over a line, or of a posture."""

    type: Literal["event"]
    event: Literal["enter", "leave", "dwell", "cross", "posture", "posture_end"]
    name: str = Field(description="Of the zone or line, or the posture.")
    id: Count = Field(description="Whose doing it is.")
    frame_index: Count = Field(description="The frame in which it was noticed.")
    capture_time: float = Field(description="Seconds, on the header's clock.")
    position: Point = Field(description="[x, y] px, where the watched keypoints were.")
    direction: Literal["left", "right"] | None = Field(default=None, description="Of cross: the side that was gone to.")
    seconds: float | None = Field(default=None, description="Of leave, dwell, posture_end: how long it lasted.")
    source: Count | None = Field(default=None, description="Which of several sources it happened in.")


class GapEntry(_Entry):
    """A live source gave no frames for a while."""

    seconds: float = Field(description="For how long.")
    reason: str = Field(description="stalled, ended, garbage or absent.")


class ResultMessage(_Entry):
    """What was found in one frame."""

    type: Literal["result"]
    source: Count | None = Field(
        default=None,
        description="Which of several sources it is of; frames, drops and people's ids are counted in each.",
    )
    picture: str | None = Field(default=None, description="File name, of a picture.")
    frame_index: Count = Field(description="Number of the frame in its source; dropped frames leave gaps.")
    capture_time: float = Field(description="Seconds, on the header's clock.")
    capture_clock: str = Field(
        description="Who said so: driver, sender (a network camera's own clock), stream, arrival, or file."
    )
    frame_size: Size | None = Field(description="[width, height] px; null for a frame in a GPU's memory.")
    dropped: Count = Field(description="Frames dropped so far.")
    gap: GapEntry | None = Field(default=None, description="What kept the source silent before this frame.")
    timing: dict[str, float] = Field(
        description="Seconds that the frame took, by stage; `latency` is all of it, from the frame to its result.",
        json_schema_extra={"required": ["capture", "latency"]},
    )
    skeleton: str = Field(description="Name of the header's.")
    people: list[PersonEntry]
    face_skeleton: str | None = Field(
        default=None, description="Name of the header's; only where faces are looked for."
    )
    faces: list[FaceEntry] | None = Field(default=None, description="Only where faces are looked for.")
    events: list[EventMessage] | None = Field(
        default=None, description="Only where zones, lines or postures are watched."
    )


class StageEntry(_Entry):
    """A stage's time over the latest frames, in seconds."""

    p50: float
    p99: float


class SourceEntry(_Entry):
    """How one of the sources is doing."""

    name: str = Field(description="Passwords left out.")
    state: Literal["awake", "asleep", "ended", "failed"] = Field(
        description="asleep has sent no frame for two seconds, ended has no more, failed has ended with an error."
    )
    frames: Count = Field(description="Read so far.")
    fps: float = Field(description="Frames read per second, over the last five seconds.")
    dropped: Count = Field(description="Frames dropped so far.")
    age: float | None = Field(description="Seconds since its latest frame came; null before the first.")
    gaps: Count = Field(description="How often its frames stopped coming.")
    error: str = Field(description="What it ended with; empty unless it failed.")


class HealthMessage(_Entry):
    """How the run is doing, once a second where something carries it."""

    type: Literal["health"]
    frames: Count = Field(description="Results so far.")
    dropped: Count = Field(description="Frames dropped so far.")
    fps: float = Field(description="Results per second since the start.")
    stages: dict[str, StageEntry]
    sources: list[SourceEntry] = Field(description="In their order.")
    warnings: list[str] = Field(description="What went wrong without ending the run.")


Message = Annotated[HeaderMessage | ResultMessage | EventMessage | HealthMessage, Field(discriminator="type")]
"""Any message, told apart by its ``type``."""


def header_message(
    model: ModelInfo,
    *,
    source: str,
    live: bool,
    sources: Sequence[str] | None = None,
    frame_size: tuple[int, int] | None = None,
    fps: float | None = None,
    face_skeleton: str | None = None,
) -> dict[str, Any]:
    """The header of a stream, ready for JSON.

    Args:
        model: of the network that finds people.
        source: the source's name, passwords left out.
        live: whether it is live, which also says what its capture times count from.
        sources: the names of several.
        frame_size: (height, width) px, as :attr:`heatstream.Source.size`.
        fps: frames per second as announced.
        face_skeleton: name of the landmark layout where faces are looked for.
    """
    return HeaderMessage(
        type="header",
        version=VERSION,
        heatstream=__version__,
        model=model.name,
        source=source,
        sources=None if sources is None else list(sources),
        live=live,
        frame_size=None if frame_size is None else [frame_size[1], frame_size[0]],
        fps=fps,
        clock="unix" if live else "clip",
        skeleton=_skeleton(model.skeleton),
        face_skeleton=None if face_skeleton is None else _skeleton(face_skeleton),
    ).model_dump(mode="json", exclude_unset=True)


def json_schema() -> dict[str, Any]:
    """The format as JSON Schema (draft 2020-12)."""
    schema = TypeAdapter[Any](Message).json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Messages of heatstream, version {VERSION}",
        **schema,
    }


def _skeleton(name: str) -> SkeletonEntry:
    layout = skeletons.get(name)
    return SkeletonEntry(
        name=layout.name, keypoints=list(layout.keypoints), limbs=[list(limb) for limb in layout.limbs]
    )


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
