"""From a name or a file to a pipeline that is ready."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from heatstream.errors import InputError
from heatstream.files import expanded

if TYPE_CHECKING:
    from heatstream.engine_builder.trt.compile import Progress
    from heatstream.kernels import DecodeSettings
    from heatstream.runtime.engines.select import OpenedEngine
    from heatstream.runtime.pipelines.faces import FaceCascade, PosePipeline
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

__all__ = ["load", "model_path"]


@overload
def load(
    name_or_file: str | Path,
    device: str = ...,
    threads: int | None = ...,
    *,
    engine: str = ...,
    settings: DecodeSettings | None = ...,
    flip: bool = ...,
    scales: tuple[float, ...] = ...,
    progress: Progress | None = ...,
    faces: str | Path,
) -> FaceCascade: ...


@overload
def load(
    name_or_file: str | Path,
    device: str = ...,
    threads: int | None = ...,
    *,
    engine: str = ...,
    settings: DecodeSettings | None = ...,
    flip: bool = ...,
    scales: tuple[float, ...] = ...,
    progress: Progress | None = ...,
    faces: None = ...,
) -> Any: ...


def load(
    name_or_file: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    engine: str = "auto",
    settings: DecodeSettings | None = None,
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
    faces: str | Path | None = None,
    progress: Progress | None = None,
) -> Any:
    """Make a pipeline ready.

    ::

        heatstream.load("swahr-mobile")(frame)                                 # Poses
        heatstream.load("h3r-mobile-68")(frame, boxes=boxes)                   # Faces in given boxes
        heatstream.load("swahr-mobile", faces="h3r-mobile-68").find(frame)     # both

    Args:
        name_or_file: a name that ``heatstream models`` lists, for example ``"swahr-mobile"``, or the path of a
            model file that heatstream exported.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` for the second GPU, or ``"auto"`` for the best there is; the
            pipeline's ``reason`` says why that was chosen.
        threads: how many CPU threads work on one frame; all usable cores when left out.
        engine: ``"onnx"`` (CPU), ``"tensorrt"`` or ``"tensorrt-rtx"`` (GPU), ``"torch"``, or ``"auto"`` for the best
            that is installed. TensorRT's engines are built when an input size is first asked for, and kept.
        settings: how to decode; what the model file recommends when left out.
        flip: look at the mirrored frame too; see :class:`heatstream.runtime.pipelines.pose.Pipeline`.
        scales: look at the frame in several sizes; see there. The model file must take any size.
        faces: name or file of a model that finds the landmarks of faces in boxes: those of the people's faces are
            found too.
        progress: is told how far the build of an engine is.

    Returns:
        What the model is for: a :class:`heatstream.runtime.pipelines.pose.Pipeline`, or on a GPU a
        :class:`heatstream.runtime.pipelines.pose_gpu.GpuPipeline`, which finds the people in a frame, or a
        :class:`LandmarkPipeline`, which finds landmarks in given boxes (of the arguments
        above, ``settings`` and ``scales`` are not for it). With ``faces`` a
        :class:`heatstream.runtime.pipelines.faces.FaceCascade`.

    Raises:
        UnknownNameError: there is no such model, device or engine.
        ModelFileError: the model file is missing, damaged, not ours, or of another shape.
        EngineError: the network cannot run on this machine or device.
        MissingExtraError: what the device or engine that was asked for needs is not installed.
        InputError: ``threads`` is not positive, or settings, scales, device and engine do not fit each other.
    """
    path = model_path(name_or_file)
    from heatstream.runtime.engines.select import open_engine

    several = "several scales are looked at on the CPU alone" if tuple(scales) != (1.0,) else ""
    opened = open_engine(path, device=device, engine=engine, threads=threads, cpu_only=several, progress=progress)
    try:
        if faces is not None:
            poses = _poses(opened, settings, flip, scales)
            return _cascade(poses, load(faces, device, threads, engine=engine, progress=progress))
        if opened.engine.info.task == "landmarks":
            return _landmarks(opened, settings, flip, scales)
        return _poses(opened, settings, flip, scales)
    except BaseException:
        opened.engine.close()
        raise


def _poses(
    opened: OpenedEngine, settings: DecodeSettings | None, flip: bool, scales: tuple[float, ...]
) -> PosePipeline:
    from heatstream.runtime.pipelines.pose import Pipeline
    from heatstream.runtime.pipelines.pose_gpu import GpuPipeline

    if opened.cuda is not None:
        return GpuPipeline(opened.engine, opened.cuda, settings, flip=flip, reason=opened.reason)
    return Pipeline(opened.engine, settings, flip=flip, scales=scales, reason=opened.reason)


def _landmarks(
    opened: OpenedEngine, settings: DecodeSettings | None, flip: bool, scales: tuple[float, ...]
) -> LandmarkPipeline:
    from heatstream.runtime.engines.select import LANDMARK_BATCH
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
    from heatstream.runtime.pipelines.landmarks_gpu import GpuLandmarkPipeline

    engine = opened.engine
    if settings is not None or tuple(scales) != (1.0,):
        raise InputError(f"{engine.info.name} finds landmarks in boxes: settings and scales are for finding people")
    if opened.cuda is not None and not flip:
        return GpuLandmarkPipeline(engine, opened.cuda, capacity=engine.info.batch or LANDMARK_BATCH)
    return LandmarkPipeline(engine, flip=flip)


def _cascade(poses: PosePipeline, landmarks: LandmarkPipeline) -> FaceCascade:
    from heatstream.runtime.pipelines.faces import FaceCascade

    try:
        return FaceCascade(poses, landmarks)
    except BaseException:
        landmarks.close()
        raise


def model_path(name_or_file: str | Path) -> Path:
    """The model file that is meant: anything that looks like a path is one.

    Raises:
        UnknownNameError: there is no network of that name.
        ModelFileError: no weights come with it.
    """
    text = os.fspath(name_or_file)
    looks_like_path = isinstance(name_or_file, Path) or text.endswith(".onnx") or os.sep in text or "/" in text
    if looks_like_path or Path(text).is_file():
        return expanded(text)
    from heatstream import catalog

    return catalog.bundled_path(text)
