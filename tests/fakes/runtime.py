"""A source, an engine and pictures made by hand, behind the runtime's own interfaces."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import EngineError
from heatstream.model_info import ModelInfo
from heatstream.results import Poses, Result, StageTimes
from heatstream.runtime.sources import Frame
from tests.fakes.patience import HANG_SECONDS

MODELS = Path(__file__).resolve().parent.parent / "runtime" / "models"

SPOTS = ModelInfo(
    name="spots",
    skeleton="coco-17",
    input_size=(64, 64),
    any_size=True,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    project=False,
)


class FakeEngine:
    """Every heatmap is the frame's brightness and every tag 0, so a bright spot is a person.

    Args:
        info: what it says of itself.
        fail_on: number of the run, from 0, that raises.
        gate: runs wait until it is set.
        poison: a value written into the maps of every run.
    """

    name = "fake"

    def __init__(
        self,
        info: ModelInfo = SPOTS,
        *,
        fail_on: int | None = None,
        gate: threading.Event | None = None,
        poison: float | None = None,
        parallel_runs: int = 2,
    ) -> None:
        self.info = info
        self.parallel_runs = parallel_runs
        self.runs = 0
        self.closed = False
        self._fail_on = fail_on
        self._gate = gate
        self._poison = poison
        self._lock = threading.Lock()

    def for_throughput(self) -> FakeEngine:
        return self

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            number = self.runs
            self.runs += 1
        if self._gate is not None:
            self._gate.wait(HANG_SECONDS)
        if number == self._fail_on:
            raise RuntimeError("the device fell off")
        brightness = images.mean(axis=1, keepdims=True)
        batch, _, height, width = brightness.shape
        maps: dict[str, NDArray[np.float32]] = {}
        for name, stride in self.info.outputs.items():
            blocks = brightness.reshape(batch, 1, height // stride, stride, width // stride, stride)
            maps[name] = np.repeat(blocks.mean(axis=(3, 5)), 17, axis=1).astype(np.float32)
        maps["tags"][:] = 0
        if self._poison is not None:
            maps["heatmaps_half"][0, 3, 1, 1] = self._poison
        return maps

    def close(self) -> None:
        self.closed = True


class NobodyThere(FakeEngine):
    """An engine that takes no time and finds nobody."""

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return super().run(images * 0)


POINTS = ModelInfo(
    name="points",
    skeleton="300w-68",
    input_size=(64, 64),
    batch=None,
    task="landmarks",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    outputs={"landmarks": 4},
    project=False,
    decode={"topk": 4},
)


class FakeLandmarkEngine(FakeEngine):
    """Every landmark is where the crop is brightest, and the surer the brighter that is.

    Args:
        info: what it says of itself.
        poison: a value written into a map of the first crop of every run.
    """

    def __init__(self, info: ModelInfo = POINTS, *, poison: float | None = None) -> None:
        super().__init__(info)
        self.batches: list[int] = []
        self._poison = poison

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self.closed:
            raise EngineError("the engine of points is closed: load the model again")
        self.batches.append(len(images))
        brightness = images.mean(axis=1, keepdims=True)
        maps = 12 * np.repeat(brightness[:, :, ::4, ::4], self.info.num_keypoints, axis=1) - 6
        if self._poison is not None:
            maps[0, 3, 1, 1] = self._poison
        return {"landmarks": maps.astype(np.float32)}


class FakeSource:
    """Frames whose top-left pixel counts them.

    Args:
        count: how many frames there are; live ones keep coming when None.
        live: whether frames are lost when nobody takes them.
        fail_after: raise after so many frames.
        gate: reading waits until it is set.
        pace: seconds between frames.
    """

    name = "fake"
    fps: float | None = 25.0
    size: tuple[int, int] | None = (48, 64)
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        count: int | None = 10,
        *,
        live: bool = False,
        fail_after: int | None = None,
        error: BaseException | None = None,
        gate: threading.Event | None = None,
        pace: float = 0.0,
    ) -> None:
        self.frame_count = count
        self.live = live
        self.given = 0
        self.closed = threading.Event()
        self._fail_after = fail_after
        self._error = error
        self._gate = gate
        self._pace = pace

    def __iter__(self) -> Iterator[Frame]:
        while self.frame_count is None or self.given < self.frame_count:
            if self._gate is not None and self.given > 0:
                self._gate.wait(HANG_SECONDS)
            if self.given == self._fail_after and self._error is not None:
                raise self._error
            if self._pace:
                threading.Event().wait(self._pace)
            image = np.zeros((48, 64, 3), np.uint8)
            image[0, 0] = self.given % 256
            self.given += 1
            yield Frame(image, self.given - 1, (self.given - 1) / 25)

    def close(self) -> None:
        self.closed.set()


def spot(height: int, width: int, x: float, y: float, *, radius: int = 6) -> NDArray[np.uint8]:
    """A black frame with a soft bright spot around (x, y) px."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    distance = ((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2)
    return np.repeat((255 * np.exp(-distance))[:, :, None], 3, axis=2).astype(np.uint8)


def result(
    index: int = 0,
    *,
    size: tuple[int, int] = (48, 64),
    score: float = 0.5,
    picture: str | None = None,
    time: float = 0.0,
) -> Result:
    """A result with one person whose score is given, on a grey frame."""
    poses = Poses(
        keypoints=np.full((1, 17, 2), 10, np.float32),
        keypoint_scores=np.full((1, 17), score, np.float32),
        scores=np.array([score], np.float32),
        skeleton="coco-17",
    )
    frame = np.full((*size, 3), 128, np.uint8)
    return Result(
        poses, StageTimes({}, latency=0.0), frame=frame, frame_index=index, capture_time=time, picture=picture
    )


def write_video(path: Path, *, frames: int = 30, codec: str = "MJPG", size: tuple[int, int] = (48, 64)) -> Path:
    """A small video of noise that moves, so that its frames take room; frame 0 is as good as any."""
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, size[::-1])
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.roll(noise, number, axis=1))
    writer.release()
    return path


def whiten(result: Result) -> NDArray[np.uint8]:
    """An overlay: a bright picture."""
    return np.full_like(result.frame, 250)


def read_video(path: Path) -> list[NDArray[np.uint8]]:
    """The frames of a video, BGR, up to where it ends or breaks; OpenCV before 4.13 ends too early at fragments."""
    import av

    frames: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                frames.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
    except av.FFmpegError:
        pass
    return frames
