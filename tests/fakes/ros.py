"""Stand-ins of ROS 2's messages: the same fields, which the constructors of the real ones take by name."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Time:
    """``builtin_interfaces/Time``."""

    sec: int = 0
    nanosec: int = 0


@dataclass
class Header:
    """``std_msgs/Header``."""

    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass
class Image:
    """``sensor_msgs/Image``."""

    header: Header = field(default_factory=Header)
    height: int = 0
    width: int = 0
    encoding: str = ""
    is_bigendian: int = 0
    step: int = 0
    data: bytes = b""


@dataclass
class NormalizedPointOfInterest2D:
    """``hri_msgs/NormalizedPointOfInterest2D``."""

    x: float = 0.0
    y: float = 0.0
    c: float = 0.0


@dataclass
class NormalizedRegionOfInterest2D:
    """``hri_msgs/NormalizedRegionOfInterest2D``."""

    header: Header = field(default_factory=Header)
    xmin: float = 0.0
    ymin: float = 0.0
    xmax: float = 0.0
    ymax: float = 0.0
    c: float = 0.0


@dataclass
class Skeleton2D:
    """``hri_msgs/Skeleton2D``; its constants say where a point is."""

    NOSE, NECK, RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST, LEFT_SHOULDER = range(6)
    LEFT_ELBOW, LEFT_WRIST, RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE, LEFT_HIP = range(6, 12)
    LEFT_KNEE, LEFT_ANKLE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(12, 18)

    header: Header = field(default_factory=Header)
    skeleton: list[NormalizedPointOfInterest2D] = field(default_factory=list)


@dataclass
class IdsList:
    """``hri_msgs/IdsList``."""

    header: Header = field(default_factory=Header)
    ids: list[str] = field(default_factory=list)


@dataclass
class FacialLandmarks:
    """``hri_msgs/FacialLandmarks``."""

    header: Header = field(default_factory=Header)
    landmarks: list[NormalizedPointOfInterest2D] = field(default_factory=list)
    height: int = 0
    width: int = 0
