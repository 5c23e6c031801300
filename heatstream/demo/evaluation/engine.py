"""``heatstream build --verify``: an engine on its GPU against its model file on the CPU, on the user's photographs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heatstream.demo.evaluation.photographs import as_fed, spread_photographs
from heatstream.errors import EngineError

if TYPE_CHECKING:
    from heatstream.engine_builder.trt.cache import FoundEngine
    from heatstream.engine_builder.trt.toolkit import Toolkit
    from heatstream.engine_builder.trt.verification import Sample, Verification
    from heatstream.runtime.engines.base import Engine

__all__ = ["FRAMES", "print_verification", "samples_of", "verify_engine"]

FRAMES = 32
"""How many photographs are compared, spread evenly over the folder."""


def verify_engine(model: Path, found: FoundEngine, toolkit: Toolkit, folder: Path, *, force: bool) -> Verification:
    """Compare an engine with its model file, and note the outcome in its sidecar.

    Args:
        model: the model file that it was built from.
        found: the engine.
        toolkit: what runs it.
        folder: of photographs.
        force: keep the engine whatever comes out.

    Raises:
        SourceError: the photographs cannot be read.
        EngineError: the engine does not run here, or drifts further than the limit; then it is deleted.
    """
    from heatstream.engine_builder.trt.plan_file import load_plan, remove_engine, write_record
    from heatstream.engine_builder.trt.verification import LIMITS, compare, onnx_runner
    from heatstream.runtime.engines.tensorrt_engine import TensorRTEngine
    from heatstream.runtime.gpu.device import CudaDevice

    cuda = CudaDevice()
    engine = TensorRTEngine(load_plan(found.path, toolkit, cuda.gpu), toolkit, cuda)
    try:
        outcome = compare(
            onnx_runner(model, engine.info),
            engine.run,
            samples_of(engine, folder, FRAMES),
            folder=folder.resolve().name,
            limit=LIMITS[found.record.spec.precision],
        )
    finally:
        engine.close()
    if not outcome.passed and not force:
        remove_engine(found.path)
        worst = max(outcome.maps, key=lambda name: outcome.maps[name])
        raise EngineError(
            f"the engine {found.path} drifts from {model} by {outcome.maps[worst]:.2g} of the range of {worst} "
            f"where {outcome.limit:g} is allowed, and was deleted: build it with another --precision, or keep it with "
            "--force"
        )
    write_record(found.path, replace(found.record, verification=outcome))
    return outcome


def samples_of(engine: Engine, folder: Path, count: int) -> list[Sample]:
    """Photographs as an engine is fed, and how people are found in its maps; for landmarks each is taken as a whole.

    Args:
        engine: how it is fed matters, it is not run.
        folder: of photographs.
        count: how many of them at most.
    """
    find = _landmark_sample if engine.info.task == "landmarks" else _pose_sample
    return [find(engine, frame) for _, frame in spread_photographs(folder, count)]


def _pose_sample(engine: Engine, frame: NDArray[np.uint8]) -> Sample:
    from heatstream.engine_builder.trt.verification import Sample
    from heatstream.runtime.pipelines.pose import CpuPosePipeline, NetworkOutput

    pipeline = CpuPosePipeline(engine)
    prepared = pipeline.prepare(frame)

    def decode(maps: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        poses = pipeline.decode(NetworkOutput((dict(maps),), prepared.geometries, prepared.size))
        return np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], axis=-1)

    return Sample(prepared.images[0], decode)


def _landmark_sample(engine: Engine, frame: NDArray[np.uint8]) -> Sample:
    from heatstream.engine_builder.trt.verification import Sample
    from heatstream.kernels import decode_landmarks
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

    info = engine.info
    topk = LandmarkPipeline(engine).settings.topk
    (stride,) = info.outputs.values()

    def decode(maps: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        (landmarks,) = maps.values()
        points = decode_landmarks(landmarks, topk, stride)
        return np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)

    return Sample(as_fed(frame, info), decode)


def print_verification(outcome: Verification) -> None:
    """Human-readable."""
    verdict = "verified" if outcome.passed else "beyond the limit, and kept because of --force"
    print(f"  {verdict} on {outcome.frames} photographs of {outcome.folder} against the model file on the CPU")
    for name, drift in outcome.maps.items():
        print(f"    {name}: drifts by at most {drift:.1e} of its range, {outcome.maps_rms[name]:.1e} on average")
    print(f"    people: {outcome.matched} of {outcome.people} found as well, and {outcome.added} more")
    if outcome.keypoints_px is not None:
        median, high, largest = outcome.keypoints_px
        print(f"    keypoints moved by {median:.2g} px (median), {high:.2g} px (95 %), {largest:.2g} px at most")
