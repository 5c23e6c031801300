"""The node: subscribes to any camera driver's ``sensor_msgs/Image``, keeps the newest picture alone, publishes people.

::

    heatstream-ros2 --ros-args -r image:=/camera/image_raw -p model:=swahr-small -p faces:=true
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import heatstream
from heatstream_ros2.messages import MessageTypes
from heatstream_ros2.publisher import HumansPublisher

ENCODINGS = {
    "bgr8": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
}


def bgr(image: Any) -> NDArray[np.uint8]:
    """The picture of a ``sensor_msgs/Image``, (H, W, 3) uint8 BGR, rows of any step.

    Raises:
        heatstream.HeatstreamError: of an encoding that is not known.
    """
    if image.encoding not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        raise heatstream.HeatstreamError(
            f"pictures in {image.encoding} are not known: let the driver give one of {known}"
        )
    channels, conversion = ENCODINGS[image.encoding]
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    picture = rows[:, : image.width * channels].reshape(image.height, image.width, channels)
    if conversion is None:
        return np.ascontiguousarray(picture)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), conversion), np.uint8)


class Newest:
    """A place for one picture: a newer one takes it, so that people are never those of an old picture."""

    def __init__(self) -> None:
        self._full = threading.Condition()
        self._image: Any = None
        self._closed = False
        self.dropped = 0

    def put(self, image: Any) -> None:
        """Leave a picture."""
        with self._full:
            self.dropped += self._image is not None
            self._image = image
            self._full.notify()

    def take(self) -> Any:
        """Wait for a picture; None when it is closed."""
        with self._full:
            self._full.wait_for(lambda: self._image is not None or self._closed)
            image, self._image = self._image, None
            return image

    def close(self) -> None:
        """Let the one that waits go."""
        with self._full:
            self._closed = True
            self._full.notify_all()


class People:
    """From pictures to topics, on a thread of its own.

    Args:
        pipeline: of :func:`heatstream.load`.
        publisher: takes the results.
        tell: takes what went wrong with a picture.
    """

    def __init__(self, pipeline: heatstream.PosePipeline, publisher: HumansPublisher, tell: Any) -> None:
        self.newest = Newest()
        self._pipeline = pipeline
        self._publisher = publisher
        self._tell = tell
        self._tracker = heatstream.Tracker()
        self._thread = threading.Thread(target=self._run, name="people")
        self._thread.start()

    def close(self) -> None:
        """End after the present picture."""
        self.newest.close()
        self._thread.join()
        self._pipeline.close()

    def _run(self) -> None:
        while (image := self.newest.take()) is not None:
            try:
                result = self._pipeline(bgr(image))
            except heatstream.HeatstreamError as error:
                self._tell(str(error))
                continue
            stamp = image.header.stamp
            time = stamp.sec + stamp.nanosec * 1e-9
            poses = self._tracker(result.poses, time)
            # REP-155: the stamp is that of the picture, not that of the result.
            self._publisher.publish(image.header, replace(result, poses=poses, capture_time=time))


def main() -> None:
    """The entry point of ``heatstream-ros2`` and of ``ros2 run heatstream_ros2 people``."""
    import rclpy
    from hri_msgs.msg import (
        FacialLandmarks,
        IdsList,
        NormalizedPointOfInterest2D,
        NormalizedRegionOfInterest2D,
        Skeleton2D,
    )
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("heatstream")
    model = node.declare_parameter("model", "swahr-small").value
    faces = node.declare_parameter("faces", False).value
    confidence = node.declare_parameter("confidence", 0.3).value
    device = node.declare_parameter("device", "auto").value
    pipeline = heatstream.load(model, device, confidence=confidence, faces="h3r-mobile-68" if faces else None)
    types = MessageTypes(
        skeleton=Skeleton2D,
        point=NormalizedPointOfInterest2D,
        region=NormalizedRegionOfInterest2D,
        ids=IdsList,
        face=FacialLandmarks,
    )
    newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = HumansPublisher(
        types, lambda kind, topic: node.create_publisher(kind, topic, 1), node.destroy_publisher
    )
    people = People(pipeline, publisher, node.get_logger().error)
    node.create_subscription(Image, "image", people.newest.put, newest)
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        people.close()
        node.destroy_node()
        rclpy.try_shutdown()
