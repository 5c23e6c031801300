"""The annotated picture as a camera that other programs open: v4l2loopback on Linux, OBS elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from heatstream.errors import SinkError, first_line
from heatstream.extras import require
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw

__all__ = ["VirtualCameraSink"]

DEFAULT_FPS = 30.0


class VirtualCameraSink:
    """Shows the annotated picture to programs that ask for a camera; it begins with the first result.

    Args:
        draw: gives the picture of a result.
        fps: frames per second of the source; 30 when None.

    Raises:
        MissingExtraError: pyvirtualcam is not installed.
    """

    def __init__(self, draw: Draw, *, fps: float | None) -> None:
        self._library = require("pyvirtualcam", extra="virtual-camera", purpose="a virtual camera")
        self._draw = draw
        self._fps = fps or DEFAULT_FPS
        self._camera: Any = None

    def write(self, result: Result) -> None:
        """Show one result; frames of another size than the first one are brought to its size.

        Raises:
            SinkError: the system has no virtual camera.
        """
        picture = self._draw(result)
        if self._camera is None:
            height, width = picture.shape[:2]
            try:
                self._camera = self._library.Camera(width, height, self._fps, fmt=self._library.PixelFormat.BGR)
            except RuntimeError as error:
                raise SinkError(
                    f"there is no virtual camera ({first_line(error)}): on Linux `modprobe v4l2loopback`, else OBS"
                ) from None
        size = self._camera.width, self._camera.height
        if picture.shape[1::-1] != size:
            picture = np.asarray(cv2.resize(picture, size), np.uint8)
        self._camera.send(picture)

    def close(self) -> Path | None:
        """Take the camera away; harmless when repeated."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
        return None
