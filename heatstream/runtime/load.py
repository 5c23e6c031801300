"""From a name or a file to a pipeline that is ready."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from heatstream.errors import EngineError, InputError, UnknownNameError

if TYPE_CHECKING:
    from heatstream.kernels import DecodeSettings
    from heatstream.runtime.engine import Engine
    from heatstream.runtime.faces import FaceCascade
    from heatstream.runtime.landmarks import LandmarkPipeline
    from heatstream.runtime.pipeline import Pipeline

__all__ = ["DEVICES", "load", "model_path"]

DEVICES = ("auto", "cpu")
GPU_DEVICES = ("cuda", "gpu", "tensorrt", "trt", "rtx")


@overload
def load(
    name_or_file: str | Path,
    device: str = ...,
    threads: int | None = ...,
    *,
    settings: DecodeSettings | None = ...,
    flip: bool = ...,
    scales: tuple[float, ...] = ...,
    faces: str | Path,
) -> FaceCascade: ...


@overload
def load(
    name_or_file: str | Path,
    device: str = ...,
    threads: int | None = ...,
    *,
    settings: DecodeSettings | None = ...,
    flip: bool = ...,
    scales: tuple[float, ...] = ...,
    faces: None = ...,
) -> Any: ...


def load(
    name_or_file: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    settings: DecodeSettings | None = None,
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
    faces: str | Path | None = None,
) -> Any:
    """Make a pipeline ready.

    ::

        heatstream.load("swahr-mobile")(frame)                                 # Poses
        heatstream.load("h3r-mobile-68")(frame, boxes=boxes)                   # Faces in given boxes
        heatstream.load("swahr-mobile", faces="h3r-mobile-68").find(frame)     # both

    Args:
        name_or_file: a name that ``heatstream models`` lists, for example ``"swahr-mobile"``, or the path of a
            model file that heatstream exported.
        device: ``"cpu"``, or ``"auto"`` for the best there is, which in this version is the CPU.
        threads: how many CPU threads work on one frame; all usable cores when left out.
        settings: how to decode; what the model file recommends when left out.
        flip: look at the mirrored frame too; see :class:`heatstream.runtime.pipeline.Pipeline`.
        scales: look at the frame in several sizes; see there. The model file must take any size.
        faces: name or file of a model that finds the landmarks of faces in boxes: those of the people's faces are
            found too.

    Returns:
        What the model is for: a :class:`heatstream.runtime.pipeline.Pipeline`, which finds the people in a frame, or
        a :class:`heatstream.runtime.landmarks.LandmarkPipeline`, which finds landmarks in given boxes (of the
        arguments above, ``settings`` and ``scales`` are not for it). With ``faces`` a
        :class:`heatstream.runtime.faces.FaceCascade`.

    Raises:
        UnknownNameError: there is no such model or device.
        ModelFileError: the model file is missing, damaged, not ours, or of another shape.
        EngineError: the network cannot run on this machine or device.
        InputError: ``threads`` is not positive, or the settings or scales do not fit the network.
    """
    _check_device(device)
    path = model_path(name_or_file)
    from heatstream.runtime.onnx_engine import OnnxEngine
    from heatstream.runtime.pipeline import Pipeline

    engine = OnnxEngine(path, threads)
    try:
        if faces is not None:
            return _cascade(Pipeline(engine, settings, flip=flip, scales=scales), faces, device, threads)
        if engine.info.task == "landmarks":
            return _landmarks(engine, settings, flip, scales)
        return Pipeline(engine, settings, flip=flip, scales=scales)
    except BaseException:
        engine.close()
        raise


def _landmarks(
    engine: Engine, settings: DecodeSettings | None, flip: bool, scales: tuple[float, ...]
) -> LandmarkPipeline:
    from heatstream.runtime.landmarks import LandmarkPipeline

    if settings is not None or tuple(scales) != (1.0,):
        raise InputError(f"{engine.info.name} finds landmarks in boxes: settings and scales are for finding people")
    return LandmarkPipeline(engine, flip=flip)


def _cascade(poses: Pipeline, faces: str | Path, device: str, threads: int | None) -> FaceCascade:
    from heatstream.runtime.faces import FaceCascade

    landmarks = load(faces, device, threads)
    try:
        return FaceCascade(poses, landmarks)
    except BaseException:
        landmarks.close()
        raise


def _check_device(device: str) -> None:
    if device in DEVICES:
        return
    if device.partition(":")[0].lower() in GPU_DEVICES:
        raise EngineError(f"GPU engines are not part of this version yet: use device 'cpu' instead of '{device}'")
    raise UnknownNameError(f"there is no device '{device}': use {' or '.join(DEVICES)}")


def model_path(name_or_file: str | Path) -> Path:
    """The model file that is meant: anything that looks like a path is one.

    Raises:
        UnknownNameError: there is no network of that name.
        ModelFileError: no weights come with it.
    """
    text = os.fspath(name_or_file)
    looks_like_path = isinstance(name_or_file, Path) or text.endswith(".onnx") or os.sep in text or "/" in text
    if looks_like_path or Path(text).is_file():
        return Path(text).expanduser()
    from heatstream.engine_builder import catalog

    return catalog.bundled_path(text)
