"""What every pose pipeline is, and what those of all devices share."""

from __future__ import annotations

import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import fields, replace
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from heatstream.errors import InputError, ModelFileError, UnknownNameError
from heatstream.kernels import DecodeSettings, Geometry
from heatstream.model_info import ModelInfo
from heatstream.results import Poses, Result
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.submissions import Mode, Submissions, check_mode

__all__ = [
    "PosePipeline",
    "check_confidence",
    "describe",
    "finished",
    "frame_geometry",
    "least_height",
    "of_one_size",
    "settings_for",
    "surer",
]

Self = TypeVar("Self", bound="PosePipeline")

_making = threading.Lock()  # of submissions


class PosePipeline(ABC):
    """Finds the people in BGR frames of any size, on any device; some find their faces too.

    :func:`heatstream.load` makes one. Close it, or use it in a ``with`` statement. Any number of threads may call it
    and submit frames at the same time; :meth:`close` is for one of them, when the others' calls are done.
    """

    _submissions: Submissions | None = None

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """The network that finds people."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why this engine and device were chosen, human-readable; empty where there was no choice."""

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self.engine.info

    @property
    def face_skeleton(self) -> str | None:
        """Name of the landmark layout of faces; None for a pipeline that finds people alone."""
        return None

    @property
    def parallel_runs(self) -> int:
        """How many calls may overlap, from different threads, and gain by it; 1 if they must not."""
        return self.engine.parallel_runs

    @abstractmethod
    def __call__(self, frame: object) -> Result:
        """Find the people in a frame, and wait for them.

        Args:
            frame: (H, W, 3) uint8, BGR: a NumPy array of any strides, which is only read; on the CPU also what exports
                the same by DLPack, such as a torch tensor. Nothing is converted: the error of anything else names
                what would do it. A pipeline on a GPU also takes frames in its memory without a copy: a CuPy array, a
                torch tensor, a PyCUDA GPUArray, or anything with ``__dlpack__`` or ``__cuda_array_interface__``, rows
                of any stride.

        Returns:
            The people in px of the frame, the surest one first.

        Raises:
            InputError: the frame is empty, is not (H, W, 3) uint8, or lies where this pipeline does not reach.
            EngineError: the device failed, has no memory left, or the pipeline is closed.
        """

    @property
    def largest_batch(self) -> int:
        """How many frames :meth:`batch` takes through the network together; 1 where it takes one after the other."""
        return 1

    def batch(self, frames: Sequence[object]) -> list[Result]:
        """Find the people in several frames, together as far as the network takes batches, and wait for all of them.

        Args:
            frames: any number, each as for a call; their sizes may differ.

        Returns:
            A result per frame, in their order. Of frames that went together each has the times of all, because that
            is how long it took.

        Raises:
            InputError: as of a call, for any of them.
            EngineError: as of a call.
        """
        return [self(frame) for frame in frames]

    def for_throughput(self) -> PosePipeline:
        """The same pipeline for :attr:`parallel_runs` overlapping calls: most frames per second, not least latency.

        It may be this one itself, and is closed with it.
        """
        return self

    def for_stream(self) -> PosePipeline:
        """The same pipeline for the frames of one stream, one after the other and from one thread.

        It is this one itself unless the pipeline remembers something of the frame before.
        """
        return self

    @abstractmethod
    def warm_up(self, height: int, width: int) -> None:
        """Make everything ready for frames of this size in px; without it the first frames may take that time.

        Raises:
            EngineError: the device failed, has no memory left, or an engine could not be built.
        """

    def submit(
        self, frame: object, stamp: float | None = None, *, mode: Mode = "every", budget: float | None = None
    ) -> Future[Result]:
        """Hand a frame over and go on; its result comes as a future, in the order of the frames.

        ::

            future = pipeline.submit(image, stamp, mode="newest")
            future.add_done_callback(show)           # called on the worker's thread
            result = future.result()                 # or wait for it
            result = await asyncio.wrap_future(future)

        Results have no ids: hand them to a :class:`heatstream.Tracker`, ``tracker(result.poses, result.capture_time)``.
        Frames are worked on one after the other, with least latency; for most frames per second there is
        :func:`heatstream.stream`.

        Args:
            frame: as for a call; it must stay as it is until the future is done.
            stamp: when it was taken, in seconds since any beginning, which is the result's ``capture_time``; now, since
                the epoch, when left out.
            mode: ``"every"``: it is worked on whatever comes after it, and while four frames wait the call waits too;
                ``"newest"``: a newer frame takes its place as long as it waits; ``"budget"``: likewise, and it is left
                out if it has waited for longer than the budget. A frame that is left out has a cancelled future.
            budget: seconds, of the mode of that name.

        Returns:
            A future of the result. Errors of a call are raised by its ``result()``.

        Raises:
            InputError: there is no such mode, or mode and budget do not belong together.
            EngineError: the pipeline is closed.
        """
        check_mode(mode, budget)
        with _making:
            if self._submissions is None:
                self._submissions = Submissions()
                weakref.finalize(self, self._submissions.stop)
        return self._submissions.submit(self, frame, time.time() if stamp is None else stamp, mode, budget)

    def close(self) -> None:
        """Wait for the frames that were submitted, give the memory back and close the engine; repeating is harmless."""
        with _making:
            if self._submissions is None:
                self._submissions = Submissions()  # which refuses frames from now on
        self._submissions.close()
        self._close()

    @abstractmethod
    def _close(self) -> None:
        """Give the memory back and close the engine; nothing is under way."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return describe(self.engine)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


def describe(*engines: Engine) -> str:
    """Models, input sizes, library and device, human-readable."""
    models = []
    for info in (engine.info for engine in engines):
        height, width = info.input_size
        size = f"short side {height} px" if info.any_size else f"{height}x{width} px"
        models.append(f"{info.name} ({size})")
    libraries = dict.fromkeys(engine.name for engine in engines)
    return f"{' and '.join(models)} on {' and '.join(libraries)}"


def settings_for(info: ModelInfo, settings: DecodeSettings | Mapping[str, Any] | None) -> DecodeSettings:
    """How to decode a network's maps: as the model file recommends, unless other settings are given.

    Some settings by their names take the place of the model file's; :class:`DecodeSettings` takes that of all.

    Raises:
        ModelFileError: the model file's decode settings cannot be used.
        InputError: the network finds landmarks, or the settings ask for another skeleton than the network's.
    """
    if info.task != "pose":
        raise InputError(
            f"{info.name} finds landmarks in boxes, not people in frames: choose a pose model such as "
            "swahr-tiny, and this one for its faces (faces=, or --faces --face-model)"
        )
    if settings is None or isinstance(settings, Mapping):
        changed = settings or {}
        try:
            settings = DecodeSettings(**info.decode)
        except (TypeError, InputError, UnknownNameError) as error:
            raise ModelFileError(
                f"the model file of {info.name} holds decode settings of another version: {error}"
            ) from None
        if unknown := changed.keys() - {item.name for item in fields(settings)}:
            raise InputError(f"there is no decode setting {', '.join(sorted(unknown))}: see DecodeSettings")
        settings = replace(settings, **changed)
    if settings.skeleton is None:
        settings = replace(settings, skeleton=info.skeleton)
    elif settings.skeleton != info.skeleton:
        raise InputError(f"{info.name} finds {info.skeleton}, the settings ask for {settings.skeleton}")
    return settings


def check_confidence(confidence: float) -> None:
    """Refuse what is no score.

    Raises:
        InputError: it is no number from 0 to 1.
    """
    if not isinstance(confidence, (int, float, np.floating)) or not 0 <= confidence <= 1:
        raise InputError(f"confidence must be from 0 to 1, got {confidence!r}")


def surer(info: ModelInfo, settings: DecodeSettings | Mapping[str, Any] | None, confidence: float) -> DecodeSettings:
    """Those settings, or the model file's, with people left out whose score is under `confidence`, from 0 to 1.

    Raises:
        InputError: the confidence is not from 0 to 1; otherwise as :func:`settings_for`.
        ModelFileError: as :func:`settings_for`.
    """
    check_confidence(confidence)
    return replace(settings_for(info, settings), person_threshold=least_height(info, confidence))


def frame_geometry(
    info: ModelInfo, frame_size: tuple[int, int], *, scale: float = 1.0, smallest_scale: float = 1.0
) -> Geometry:
    """The way of a frame of (height, width) px into a network, as its model file says.

    Raises:
        InputError: the frame is empty.
    """
    if not info.any_size:
        return Geometry.fit(frame_size, info.input_size, convention=info.geometry)
    return Geometry.reference(
        frame_size, info.input_size[0], scale=scale, smallest_scale=smallest_scale, convention=info.geometry
    )


def of_one_size(sizes: Sequence[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Which frames of a batch go through the network together: indices of equal input sizes, so many at once."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    for group in groups.values():
        for first in range(0, len(group), most):
            yield group[first : first + most]


def finished(poses: Poses, info: ModelInfo) -> Poses:
    """The same people, the surest one first, with scores of at most 1 that say how often such a person is right.

    Keypoints' scores are heights of heatmaps, which networks take a little higher. People's are too where nobody has
    measured what they are worth: see `ModelInfo.calibration`.
    """
    ordered = poses[np.argsort(-poses.scores, kind="stable")]
    scores = np.minimum(ordered.scores, 1)
    if info.calibration:
        heights, chances = zip(*info.calibration, strict=True)
        scores = np.interp(scores, heights, chances).astype(np.float32)
    return replace(ordered, keypoint_scores=np.minimum(ordered.keypoint_scores, 1), scores=scores)


def least_height(info: ModelInfo, confidence: float) -> float:
    """The mean height of heatmaps from which people's scores are `confidence` or more; see :func:`finished`."""
    if not info.calibration:
        return float(confidence)
    heights, probabilities = zip(*info.calibration, strict=True)
    return float(np.interp(confidence, probabilities, heights))
