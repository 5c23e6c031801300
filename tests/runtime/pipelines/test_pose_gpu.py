"""The whole GPU pipeline on the emulator: it finds what the CPU finds, by graphs, and neither allocates nor spins."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.errors import EngineError, InputError
from heatstream.kernels import DecodeSettings
from heatstream.results import Result
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.engines.onnx_to_torch import torch_module_from_onnx
from heatstream.runtime.engines.per_size import PerSizeEngine
from heatstream.runtime.engines.torch_engine import TorchEngine, TorchRun
from heatstream.runtime.gpu import graphs
from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.pipelines.pose_gpu import FRAMES_IN_FLIGHT, GpuPosePipeline
from heatstream.runtime.stream import stream
from tests.fakes.gpu import SPOTS_MODEL, FakeGpu
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import MODELS, FakeSource, spot

pytestmark = pytest.mark.emulator

ARRAYS = ("keypoints", "keypoint_scores", "scores")


def open_pipeline(gpu: FakeGpu, **options: Any) -> GpuPosePipeline:
    cuda = CudaDevice(0)
    return GpuPosePipeline(gpu.engine(cuda), cuda, **options)


def frame(x: float = 70, size: tuple[int, int] = (90, 150)) -> np.ndarray[Any, Any]:
    return spot(*size, x, 33, radius=8)


def assert_same(found: Result, expected: Result) -> None:
    assert len(found.poses) == len(expected.poses) > 0
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found.poses, name), getattr(expected.poses, name), atol=1e-4, err_msg=name)
    assert found.poses.skeleton == expected.poses.skeleton


# ---- The same people -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_it_finds_what_the_cpu_finds_in_frames_of_all_sizes(gpu: FakeGpu, flip: bool) -> None:
    """Plain launches at first, then graphs; larger frames than before, smaller ones, other ways up, strided ones."""
    pipeline, on_cpu = open_pipeline(gpu, flip=flip), CpuPosePipeline(OnnxEngine(SPOTS_MODEL, 1), flip=flip)
    tall = frame(20, (70, 50))
    frames = [frame(70), frame(40), frame(100), tall, tall, tall, frame(71), frame(60)[:, ::-1], frame(60, (90, 300))]
    for picture in frames:
        assert_same(pipeline(picture), on_cpu(picture))
    assert gpu.graphs["replay"] > 3
    empty = np.zeros((90, 150, 3), np.uint8)
    assert len(pipeline(empty).poses) == len(on_cpu(empty).poses) == 0
    pipeline.close()


def test_frames_of_a_stream_keep_their_order_two_at_a_time(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        assert pipeline.parallel_runs == FRAMES_IN_FLIGHT == 2
        results = list(stream(FakeSource(8), pipeline))
    assert [int(result.frame[0, 0, 0]) for result in results] == list(range(8))
    assert all(result.timing.stages["gpu"] > 0 for result in results)


def test_settings_of_the_caller_are_used(gpu: FakeGpu) -> None:
    with open_pipeline(gpu, settings=DecodeSettings(detection_threshold=2.0)) as pipeline:
        assert len(pipeline(frame()).poses) == 0


def test_broken_maps_give_nobody_and_a_warning(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        pipeline.warm_up(90, 150)
        plan = next(iter(pipeline._free.queue[-1]._plans.values()))
        plan._run.enqueue = lambda: plan._run.outputs["tags"].view(np.ndarray).fill(np.nan)
        plan.forget()
        with pytest.warns(RuntimeWarning, match="NaN or infinite"):
            assert len(pipeline(frame()).poses) == 0


@pytest.mark.parametrize("engine", ["torch", "any size"])
def test_other_engines_find_the_same(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """PyTorch, which here runs on the CPU; and a model of any size, whose input follows the frame."""
    enqueue = TorchRun.enqueue  # done at once by a torch on the CPU
    monkeypatch.setattr(TorchRun, "enqueue", lambda self: self._stream.submit(lambda: enqueue(self)))
    cuda = CudaDevice(0)
    any_size, expected = MODELS / "spots.onnx", OnnxEngine(SPOTS_MODEL, 1)
    opened: Any
    if engine == "torch":
        pytest.importorskip("torch", reason="torch comes with the extra train")
        opened = TorchEngine(torch_module_from_onnx(SPOTS_MODEL.read_bytes(), expected.info), expected.info, cuda=cuda)
    else:
        expected = OnnxEngine(any_size, 1)
        opened = PerSizeEngine(expected.info, "TensorRT", lambda size: gpu.engine(cuda, any_size, size=size))
    pipeline, on_cpu = GpuPosePipeline(opened, cuda), CpuPosePipeline(expected)
    for picture in (frame(70), frame(40), frame(20, (70, 50)), frame(40)):
        assert_same(pipeline(picture), on_cpu(picture))
    assert gpu.graphs == {"capture": 1, "replay": 1}
    pipeline.close()


@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_is_one_graph_and_finds_what_single_frames_give(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, flip: bool
) -> None:
    """Frames of two input sizes, in the host's memory and on the device; three are filled up to four."""
    pytest.importorskip("torch", reason="torch comes with the extra train")
    enqueue = TorchRun.enqueue  # done at once by a torch on the CPU
    monkeypatch.setattr(TorchRun, "enqueue", lambda self: self._stream.submit(lambda: enqueue(self)))
    cuda, on_cpu = CudaDevice(0), OnnxEngine(MODELS / "spots.onnx", 1)
    module = torch_module_from_onnx((MODELS / "spots.onnx").read_bytes(), on_cpu.info)
    single = CpuPosePipeline(on_cpu, flip=flip)
    with GpuPosePipeline(TorchEngine(module, on_cpu.info, cuda=cuda), cuda, flip=flip) as pipeline:
        assert pipeline.largest_batch == (4 if flip else 8)
        frames = [frame(70), frame(20, (70, 50)), frame(40), frame(100)]
        for _ in range(3):  # launched, recorded, replayed
            results = pipeline.batch([*frames[:3], gpu.cupy.asarray(frames[3])])
            for picture, result in zip(frames, results, strict=True):
                assert_same(result, single(picture))
        assert results[0].frame is frames[0]
        assert gpu.graphs == {"capture": 2, "replay": 2}
        with pytest.raises(InputError, match="a frame must be"):
            pipeline.batch([frames[0], "frame"])


def test_an_engine_built_for_batches_takes_them_and_another_one_by_one(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        assert pipeline.largest_batch == 1
        for result in pipeline.batch([frame(70), frame(40)]):
            assert len(result.poses) == 1


# ---- Graphs, memory, waiting ---------------------------------------------------------------------------------------


def test_after_warm_up_a_frame_is_one_replay_and_one_wait_and_allocates_nothing(gpu: FakeGpu) -> None:
    pipeline = open_pipeline(gpu)
    pipeline.warm_up(90, 150)
    assert gpu.graphs == {"capture": FRAMES_IN_FLIGHT, "replay": FRAMES_IN_FLIGHT}  # no replay uploads a graph
    assert gpu.calls["pin"] > 0
    assert gpu.calls["allocate"] > 0
    gpu.calls.clear()
    for x in (40, 50, 60):
        pipeline(frame(x))
    assert dict(gpu.calls) == {"wait": 3}  # asleep: a wait that spins would be counted beside it
    assert gpu.graphs == {"capture": FRAMES_IN_FLIGHT, "replay": FRAMES_IN_FLIGHT + 3}
    pipeline.close()


def test_a_size_seen_once_is_not_worth_a_graph(gpu: FakeGpu) -> None:
    """A folder of photographs, each of its own size."""
    with open_pipeline(gpu) as pipeline:
        for width in range(150, 140, -1):
            pipeline(frame(70, (90, width)))
        assert gpu.graphs["capture"] == 0
        assert (
            gpu.calls["pin"] == FRAMES_IN_FLIGHT + 3
        )  # a byte of each slot; the largest frame, arguments and result of one
        for _ in range(3):
            pipeline(frame(70, (90, 140)))
        assert gpu.graphs == {"capture": 1, "replay": 1}
        plan = next(iter(pipeline._free.queue[-1]._plans.values()))
        assert len(plan._graphs) == 8


@pytest.mark.parametrize("when", ["beforehand", "while recording", "by the driver"])
def test_a_capture_that_is_refused_is_said_once_and_frames_are_launched(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    module = gpu.toolkit.module
    monkeypatch.setattr(graphs, "PAUSE", 0)
    with open_pipeline(gpu) as pipeline:
        expected = pipeline(frame(50))
        if when == "beforehand":
            monkeypatch.setattr(type(gpu.toolkit), "capture_refusal", lambda *_: "this engine allocates")
        elif when == "while recording":
            submit = module.submit

            def refuse(stream: int, work: Any) -> None:
                if module.capturing(stream):
                    raise EngineError("this engine allocates")
                submit(stream, work)

            module.submit = refuse
        else:
            submit = module.submit

            def allocate(stream: int, work: Any) -> None:
                if module.capturing(stream):
                    gpu.cupy.empty(1)
                submit(stream, work)

            module.submit = allocate
        tries = 1 if when == "beforehand" else graphs.ATTEMPTS
        for _ in range(tries - 1):
            assert_same(pipeline(frame(50)), expected)
        with pytest.warns(RuntimeWarning, match=r"no CUDA graph of TensorRT 10.3.0.* step by step") as caught:
            found = pipeline(frame(50))
        assert gpu.graphs["capture"] == (0 if when == "beforehand" else graphs.ATTEMPTS)
        assert pipeline.graph_refusal in str(caught[0].message)
        for _ in range(2):  # nothing is said any more
            assert_same(found, expected)
            found = pipeline(frame(50))
        assert gpu.graphs["replay"] == 0


def test_a_capture_that_another_thread_voids_is_tried_again_some_frames_later(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the whole device voids it, as a training beside the pipeline may do at any time."""
    monkeypatch.setattr(graphs, "PAUSE", 2)
    module, waits = gpu.toolkit.module, []
    submit = module.submit

    def disturb(stream: int, work: Any) -> None:
        if module.capturing(stream) and not waits:
            waits.append(gpu.cupy)
            thread = threading.Thread(target=wait)
            thread.start()
            thread.join()
        submit(stream, work)

    def wait() -> None:
        with contextlib.suppress(RuntimeError):
            gpu.cupy.cuda.Device(0).synchronize()

    module.submit = disturb
    with open_pipeline(gpu) as pipeline:
        expected = pipeline(frame(50))
        for _ in range(5):  # voided, two frames of patience, recorded, replayed
            assert_same(pipeline(frame(50)), expected)
        assert pipeline.graph_refusal == ""
        assert gpu.graphs == {"capture": 2, "replay": 1}


def test_nothing_is_recorded_while_somebody_prepares(gpu: FakeGpu) -> None:
    """An engine that is loaded or built waits for the whole device; frames go on meanwhile."""
    with open_pipeline(gpu) as pipeline:
        expected = pipeline(frame(50))
        with ThreadPoolExecutor(1) as other:
            other.submit(graphs.preparing.acquire).result()
            assert_same(pipeline(frame(50)), expected)
            assert gpu.graphs["capture"] == 0
            other.submit(graphs.preparing.release).result()
        assert_same(pipeline(frame(50)), expected)
        assert gpu.graphs["capture"] == 1


def test_nothing_is_collected_while_a_graph_is_recorded(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a collection finalises may free device memory, or wait."""
    module, states = gpu.toolkit.module, []
    submit = module.submit

    def look(stream: int, work: Any) -> None:
        states.append((module.capturing(stream), gc.isenabled()))
        submit(stream, work)

    module.submit = look
    with open_pipeline(gpu) as pipeline:
        pipeline.warm_up(90, 150)
    assert set(states) == {(False, True), (True, False)}


def test_uploads_are_there_before_kernels_read_them(gpu: FakeGpu) -> None:
    """However busy the default stream is: nobody waits for it here."""
    with open_pipeline(gpu) as pipeline:
        assert len(pipeline(frame(50)).poses) == 1
    assert not gpu.cupy.streams[0].pending


def test_stage_times_are_those_of_every_stage_and_of_the_frame(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        times = pipeline.stage_times(frame(), 3)
    assert list(times) == ["upload", "preprocess", "engine", "decode", "download", "frame"]
    assert all(values.shape == (3,) and (values > 0).all() for values in times.values())
    assert gpu.graphs["capture"] == 6


# ---- Frames on the device ------------------------------------------------------------------------------------------


class Foreign:
    """A frame in another library's device memory, by one of the two protocols."""

    def __init__(self, array: np.ndarray[Any, Any], protocol: str, device: int = 2) -> None:
        self.array = array
        if protocol == "dlpack":
            self.__dlpack_device__ = lambda: (device, 0)
            self.__dlpack__ = lambda **options: array.__dlpack__(**options)
        else:
            self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3, "stream": None}


class Guarded:
    """What a library does not hand out, as torch does not with tensors in training."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("tensors that require gradient are not exported")


def test_frames_on_the_device_are_taken_without_a_copy_by_one_graph(gpu: FakeGpu) -> None:
    cupy = gpu.cupy
    with open_pipeline(gpu) as pipeline:
        expected = pipeline(frame())
        wide = cupy.asarray(np.concatenate([frame(), frame()], axis=1))
        on_device = [
            cupy.asarray(frame()),
            wide[:, :150],  # rows further apart
            Foreign(frame(), "dlpack"),
            Foreign(frame(), "cuda_array_interface"),
            Foreign(frame(30, (70, 50)), "dlpack"),
        ]
        for _ in range(2):
            pipeline(on_device[0])
        gpu.calls.clear()
        for picture in on_device[:4]:
            assert_same(pipeline(picture), expected)
        pipeline(on_device[4])
        assert gpu.graphs == {"capture": 1, "replay": 5}
        assert gpu.calls["allocate"] == gpu.calls["pin"] == gpu.calls["copy"] == 0
        assert [key for plan in pipeline._free.queue[-1]._plans.values() for key in plan._graphs] == [40500, 0]


def test_a_frame_that_is_still_being_written_is_waited_for(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        picture, writer = gpu.cupy.asarray(np.zeros_like(frame())), gpu.cupy.cuda.Stream(non_blocking=True)
        with writer:
            gpu.cupy.copyto(picture, gpu.cupy.asarray(frame()))
            assert len(pipeline(picture).poses) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: np.zeros((4, 4), np.uint8), r"must be \(H, W, 3\) uint8 BGR"),
        (lambda: np.zeros((0, 4, 3), np.uint8), "must hold pixels"),
        (lambda: [[1, 2], [3, 4]], r"a NumPy array or lie on cuda:0 \(Orin\) \(list has neither"),
        (lambda: Foreign(frame(), "dlpack", device=1), "in the host's memory must be handed over as a NumPy array"),
        (lambda: Foreign(frame()[:, ::2], "cuda_array_interface"), "pixels must follow each other"),
        (lambda: Foreign(frame()[..., 0], "cuda_array_interface"), r"must be \(H, W, 3\) uint8 BGR"),
        (lambda: Foreign(frame().astype(np.int16), "cuda_array_interface"), "uint8 BGR"),
        (lambda: Guarded(), "memory of a frame of type Guarded cannot be taken: tensors that require gradient"),
    ],
)
def test_what_is_no_frame_is_refused(gpu: FakeGpu, make: Any, message: str) -> None:
    with open_pipeline(gpu) as pipeline:
        with pytest.raises(InputError, match=message):
            pipeline(make())
        assert pipeline._free.qsize() == FRAMES_IN_FLIGHT


def test_a_further_stage_runs_on_the_frame_that_is_on_the_device(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        copy = gpu.cupy.empty((90, 150, 3), np.uint8)
        with pipeline.run_on_device(frame()) as looked:
            assert pipeline._free.qsize() == FRAMES_IN_FLIGHT - 1
            with looked.stream:
                gpu.cupy.copyto(copy, looked.pixels)
            looked.stream.synchronize()
        np.testing.assert_array_equal(np.asarray(copy), frame())
        assert_same(looked.result, pipeline(frame()))
        assert pipeline._free.qsize() == FRAMES_IN_FLIGHT


# ---- What goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda cuda: cuda.runtime.CUDARuntimeError(2), "has no memory left: end other programs"),
        (lambda cuda: cuda.memory.OutOfMemoryError(), "has no memory left: end other programs"),
        (
            lambda cuda: cuda.runtime.CUDARuntimeError(700, "cudaErrorIllegalAddress"),
            "was lost.*cudaErrorIllegalAddress",
        ),
        (lambda cuda: cuda.driver.CUDADriverError(999), "was lost, or a kernel failed on it"),
        (lambda cuda: cuda.runtime.CUDARuntimeError(803), "driver is too old"),
        (lambda cuda: cuda.runtime.CUDARuntimeError(1), "error 1; `heatstream doctor` tells"),
    ],
)
def test_a_device_that_fails_is_one_line(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, error: Any, message: str
) -> None:
    with open_pipeline(gpu) as pipeline:
        pipeline(frame())

        def fail(self: Any) -> None:
            raise error(gpu.cupy.cuda)

        with monkeypatch.context() as broken:
            broken.setattr(gpu.cupy.cuda.Event, "synchronize", fail)
            with pytest.raises(
                EngineError, match=rf"finding people with spots failed on cuda:0 \(Orin\): .*{message}"
            ) as raised:
                pipeline(frame())
        assert "\n" not in str(raised.value)
        assert pipeline._free.qsize() == FRAMES_IN_FLIGHT


def test_an_engine_that_fails_says_what_its_library_says(gpu: FakeGpu) -> None:
    with open_pipeline(gpu) as pipeline:
        gpu.toolkit.module.refuse = "the tactic is gone"
        with pytest.raises(EngineError, match=r"TensorRT 10.3.0.* failed on .*spots.*\.engine: .*the tactic is gone"):
            pipeline(frame())


def test_a_closed_pipeline_says_so_to_whoever_waits(gpu: FakeGpu) -> None:
    pipeline = open_pipeline(gpu)
    pipeline.close()
    pipeline.close()
    failures: Counter[str] = Counter()

    def ask() -> None:
        try:
            pipeline(frame())
        except EngineError as error:
            failures[str(error)] += 1

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert failures == {"the pipeline of spots is closed: load the model again": 3}


def test_landmark_networks_find_no_people(gpu: FakeGpu, tmp_path: Path) -> None:
    class Marks:
        class info:  # noqa: N801
            name, task = "marks", "landmarks"

    with pytest.raises(InputError, match="marks finds landmarks in boxes"):
        GpuPosePipeline(Marks(), CudaDevice(0))  # type: ignore[arg-type]


def test_few_input_sizes_are_kept_ready(gpu: FakeGpu) -> None:
    """A model of any size that meets frames of many aspects: the oldest makes room, and comes back when needed."""
    cuda, model = CudaDevice(0), MODELS / "spots.onnx"
    on_cpu = CpuPosePipeline(OnnxEngine(model, 1))
    engine = PerSizeEngine(on_cpu.info, "TensorRT", lambda size: gpu.engine(cuda, model, size=size))
    with GpuPosePipeline(engine, cuda) as pipeline:
        for width in (64, 128, 192, 256, 320, 64):
            picture = frame(30, (64, width))
            assert_same(pipeline(picture), on_cpu(picture))
        (used,) = [slot for slot in pipeline._free.queue if slot._plans]
        assert [size for size, _ in used._plans] == [(64, 192), (64, 256), (64, 320), (64, 64)]
