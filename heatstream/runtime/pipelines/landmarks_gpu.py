"""Landmarks of faces on a GPU: crops cut from the frame that the people were found in, without bringing it anywhere.

::

    regions -> transforms -> crops of the frame -> engine -> landmarks and peaks -> Faces
               |__________ one CUDA graph, from the small copy up to the small copy back _____|
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatstream.errors import EngineError
from heatstream.kernels.cuda.landmark_decoder import LandmarkDecoder
from heatstream.kernels.cuda.letterbox import DESCRIPTOR_BYTES
from heatstream.kernels.cuda.maps import Array
from heatstream.kernels.reference.crops import rotated_transforms
from heatstream.results import Faces
from heatstream.runtime.engines.base import GpuEngine
from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.gpu.graphs import GraphRecorder, preparing
from heatstream.runtime.gpu.pinned_memory import PinnedBuffer
from heatstream.runtime.pipelines.frame_slot import GpuFrame
from heatstream.runtime.pipelines.landmarks import OUTPUT, LandmarkPipeline, confidence, official_boxes

__all__ = ["GpuLandmarkPipeline"]


class GpuLandmarkPipeline(LandmarkPipeline):
    """Finds landmarks in boxes of a frame that a GPU pipeline holds (:meth:`run_on_frame`), or of a NumPy frame.

    The latter is cut on the CPU as :class:`LandmarkPipeline` does it. Any number of
    threads may call it; faces of one frame are looked at at a time.

    Args:
        engine: the network; the pipeline closes it.
        cuda: the GPU that it is on.
        capacity: how many faces go into one run.

    Raises:
        InputError: the network finds people in a frame instead of landmarks in a box.
        ModelFileError: the model file's decode settings cannot be used.
    """

    def __init__(self, engine: GpuEngine, cuda: CudaDevice, *, capacity: int) -> None:
        super().__init__(engine)
        self._gpu_engine = engine
        self._cuda = cuda
        self._capacity = capacity
        self._recorder = GraphRecorder(cuda, engine.name)
        self._lock = threading.Lock()
        self._work: _LandmarkPlan | None = None
        self._closed = False

    def run_on_frame(self, frame: GpuFrame, boxes: ArrayLike, angles: ArrayLike) -> Faces:
        """Find the landmarks in every box of a frame on the device, and wait for them.

        Args:
            frame: of :meth:`heatstream.runtime.pipelines.pose_gpu.GpuPosePipeline.run_on_device`, inside its block.
            boxes: (N, 4), as :class:`heatstream.runtime.pipelines.landmarks.LandmarkPipeline` takes them.
            angles: (N,) radians, as the boxes.

        Returns:
            N faces, as there.

        Raises:
            InputError: a box is empty or not finite, or there is another number of angles.
            EngineError: the device failed, or the pipeline is closed.
        """
        regions, turns = official_boxes(boxes), np.asarray(angles, np.float64)
        transforms = rotated_transforms(regions, turns, self.info.input_size)
        count = self.info.num_keypoints
        landmarks, scores = np.empty((len(transforms), count, 2), np.float32), np.empty(len(transforms), np.float32)
        if len(transforms):
            with self._ready() as work:
                for start in range(0, len(transforms), self._capacity):
                    part = slice(start, start + self._capacity)
                    landmarks[part], peaks = work.run(frame, transforms[part])
                    scores[part] = confidence(peaks)
        return self._faces(landmarks, scores, regions + 0.5, turns)

    def close(self) -> None:
        """Give the memory back and close the engine."""
        with self._lock, preparing, self._cuda.current():
            self._closed = True
            if self._work is not None:
                self._work.close()
            self._work = None
            self.engine.close()

    @contextmanager
    def _ready(self) -> Iterator[_LandmarkPlan]:
        with self._lock, self._cuda.current(), self._cuda.errors(f"finding faces with {self.info.name}"):
            if self._closed:
                raise EngineError(f"the pipeline of {self.info.name} is closed: load the model again")
            if self._work is None:
                stream = self._cuda.stream()
                with preparing, stream:  # what the plan uploads is there before its kernels read it
                    self._work = _LandmarkPlan(
                        self._gpu_engine,
                        self._cuda,
                        self._recorder,
                        stream,
                        capacity=self._capacity,
                        topk=self.settings.topk,
                    )
            yield self._work


class _LandmarkPlan:
    """Stream, memory, kernels and graph of a pipeline; used by one thread at a time, on its device."""

    def __init__(
        self, engine: GpuEngine, cuda: CudaDevice, recorder: GraphRecorder, stream: Any, *, capacity: int, topk: int
    ) -> None:
        info = engine.info
        self._cuda = cuda
        self._recorder = recorder
        self._stream = stream
        self._done = cuda.cupy.cuda.Event(block=True, disable_timing=True)
        self._run = engine.ready(info.input_size, capacity, stream)
        chain = LandmarkDecoder.prepare(
            capacity=capacity,
            num_landmarks=info.num_keypoints,
            input_size=info.input_size,
            mean=info.mean,
            std=info.std,
            topk=topk,
            stride=float(info.outputs[OUTPUT]),
            dtype=self._run.images.dtype,
        )
        self._chain = replace(chain, images=self._run.images)  # straight into the network's own input
        self._descriptor: Array = cuda.cupy.empty((1, DESCRIPTOR_BYTES), np.uint8)
        self._host_request = PinnedBuffer(cuda, chain.requested.nbytes)
        self._host_found = PinnedBuffer(cuda, chain.found.nbytes)
        self._graph: Any | None = None

    def run(self, frame: GpuFrame, transforms: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, L, 2) landmarks in source px, and (n, L) the largest value of each map, of up to `capacity` regions."""
        self._chain.request(transforms, self._host_request.bytes.view(np.float32))
        # The frame itself stays where it is; only where that is comes into the graph's own memory.
        self._descriptor.data.copy_from_device_async(frame.descriptors.data, DESCRIPTOR_BYTES, self._stream)
        if self._graph is not None:
            self._graph.launch(self._stream)
        else:
            self._launch()
            # By a thread that has just launched it: libraries prepare themselves thread by thread.
            self._graph = self._recorder.record(self._launch, self._stream, unable=self._run.refusal())
        self._done.record(self._stream)
        self._done.synchronize()
        return self._chain.result(self._host_found.bytes.view(np.float32).copy(), len(transforms))

    def close(self) -> None:
        """Give the page-locked memory back; CuPy's goes with the last reference."""
        self._graph = None
        self._host_request.close()
        self._host_found.close()

    def _launch(self) -> None:
        chain, cuda, stream = self._chain, self._cuda, self._stream
        cuda.copy_to_device(chain.requested, self._host_request.address, chain.requested.nbytes, stream)
        chain.cut(self._descriptor, stream=stream)
        self._run.enqueue()
        chain.decode(self._run.outputs[OUTPUT], stream=stream)
        cuda.copy_to_host(self._host_found.address, chain.found, stream)
