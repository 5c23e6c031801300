"""From a name or a file to a pipeline that is ready."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatstream.errors import EngineError, InputError, MissingExtraError
from heatstream.files import expanded

if TYPE_CHECKING:
    from heatstream.engine_builder.trt.compile import Progress
    from heatstream.kernels import DecodeSettings
    from heatstream.runtime.engines.select import OpenedEngine
    from heatstream.runtime.pipelines.base import PosePipeline
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

__all__ = ["load", "load_landmarks", "model_path"]


def load(
    model: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    engine: str = "auto",
    short_side: int | None = None,
    settings: DecodeSettings | Mapping[str, Any] | None = None,
    confidence: float | None = None,
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
    faces: str | Path | None = None,
    wait: bool = False,
    peaks: bool = False,
    progress: Progress | None = None,
) -> PosePipeline:
    """Make a pipeline ready that finds people, and their faces if a model for these is given.

    ::

        heatstream.load("swahr-small")(frame).poses
        heatstream.load("swahr-small", faces="h3r-mobile-68")(frame).faces

    Args:
        model: a name that ``heatstream models`` lists, for example ``"swahr-small"``, the path of a model file that
            heatstream exported, or of a checkpoint of a training (``best.pt``), of which a model file is made once and
            kept; that takes some seconds and the extra ``train``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` for the second GPU, or ``"auto"`` for the best there is; the
            pipeline's ``reason`` says why that was chosen.
        threads: how many CPU threads work on one frame; all usable cores when left out.
        engine: ``"onnx"`` (CPU), ``"tensorrt"`` or ``"tensorrt-rtx"`` (GPU), ``"torch"``, or ``"auto"`` for the best
            that is installed. TensorRT's engines are built when an input size is first asked for, and kept. Of an
            engine that is named the build is waited for. With ``"auto"`` frames are looked at by PyTorch or ONNX
            Runtime meanwhile, and by TensorRT from the frame on after which its engine is built and finds the same.
        short_side: to how many px of the network's input the short side of every frame is brought, a multiple of 64;
            more finds smaller people and takes longer. For model files of any size; the file's own when left out.
        settings: how to decode, or some settings by name, such as ``{"max_people": 60}``; what is left out is what the
            model file recommends.
        confidence: leave out people whose score is lower, from 0 to 1; where a model file holds the calibration of its
            scores, 0.5 keeps those who are right more often than not.
        flip: look at the mirrored frame too, which takes twice the time; see
            :class:`heatstream.runtime.pipelines.pose.CpuPosePipeline`.
        scales: look at the frame in several sizes, on the CPU only. The model file must take any size.
        faces: name or file of a model that finds the landmarks of faces in boxes, for example ``"h3r-mobile-68"``.
        wait: wait for a build with ``engine="auto"`` too, as measurements do, and who gives frames that are on the GPU.
        peaks: keep the peaks that people are made of in every result, for recordings; on the CPU only.
        progress: receives the progress of an engine's build.

    Raises:
        UnknownNameError: there is no such model, device or engine.
        ModelFileError: a model file is missing, damaged, not ours, or of another shape.
        EngineError: a network cannot run on this machine or device.
        MissingExtraError: what the device or engine that was asked for needs is not installed.
        InputError: ``threads`` is not from 1 to 256, ``confidence`` is not from 0 to 1, ``short_side`` is not such or
            the model takes images of one size alone, a model is not for this, or settings, scales, device and engine do
            not fit each other.
    """
    from heatstream.runtime.engines.select import open_engine
    from heatstream.runtime.pipelines.base import surer

    path = model_path(model)
    if engine == "auto" and not wait and tuple(scales) == (1.0,) and not peaks:
        handover = _handover(path, device, threads, short_side, settings, confidence, flip, faces, progress)
        if handover is not None:
            return handover
    several = "several scales are looked at only on the CPU" if tuple(scales) != (1.0,) else ""
    on_cpu = several or ("peaks are kept only on the CPU" if peaks else "")
    opened = open_engine(
        path,
        device=device,
        engine=engine,
        threads=threads,
        short_side=short_side,
        cpu_only=on_cpu,
        progress=progress,
    )
    try:
        if confidence is not None:
            settings = surer(opened.engine.info, settings, confidence)
        poses = _poses(opened, settings, flip, scales, peaks)
        if faces is None:
            return poses
        return _cascade(poses, load_landmarks(faces, device, threads, engine=engine, progress=progress))
    except BaseException:
        opened.engine.close()
        raise


def load_landmarks(
    model: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    engine: str = "auto",
    flip: bool = False,
    progress: Progress | None = None,
) -> LandmarkPipeline:
    """Make a pipeline ready that finds the landmarks of faces, or of bodies, in boxes of your own.

    ::

        heatstream.load_landmarks("h3r-mobile-68")(frame, boxes=[(120, 80, 220, 190)])

    Args:
        model: as of :func:`load`, of a network for landmarks.
        device: as of :func:`load`.
        threads: as of :func:`load`.
        engine: as of :func:`load`.
        flip: look at the mirrored boxes too, which takes twice the time.
        progress: as of :func:`load`.

    Raises:
        HeatstreamError: as of :func:`load`.
    """
    from heatstream.runtime.engines.select import LANDMARK_BATCH, open_engine
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
    from heatstream.runtime.pipelines.landmarks_gpu import GpuLandmarkPipeline

    opened = open_engine(model_path(model), device=device, engine=engine, threads=threads, progress=progress)
    try:
        network = opened.engine
        if opened.cuda is not None and not flip:
            return GpuLandmarkPipeline(network, opened.cuda, capacity=network.info.batch or LANDMARK_BATCH)
        return LandmarkPipeline(network, flip=flip)
    except BaseException:
        opened.engine.close()
        raise


def _poses(
    opened: OpenedEngine,
    settings: DecodeSettings | Mapping[str, Any] | None,
    flip: bool,
    scales: tuple[float, ...],
    peaks: bool,
) -> PosePipeline:
    from heatstream.runtime.pipelines.pose import CpuPosePipeline
    from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline

    if opened.cuda is not None:
        return GpuPosePipeline(opened.engine, opened.cuda, settings, flip=flip, reason=opened.reason)
    return CpuPosePipeline(opened.engine, settings, flip=flip, scales=scales, reason=opened.reason, peaks=peaks)


def _handover(
    path: Path,
    device: str,
    threads: int | None,
    short_side: int | None,
    settings: DecodeSettings | Mapping[str, Any] | None,
    confidence: float | None,
    flip: bool,
    faces: str | Path | None,
    progress: Progress | None,
) -> PosePipeline | None:
    """A pipeline that starts on what there is while engines are built; None where none is to be built."""
    from heatstream.engine_builder.trt.build_process import BuildProcess
    from heatstream.engine_builder.trt.model_source import read_model
    from heatstream.runtime.engines.select import buildable, job_of
    from heatstream.runtime.pipelines.base import frame_geometry
    from heatstream.runtime.pipelines.handover import Build, HandoverPipeline

    found = buildable(device)
    if found is None:
        return None
    toolkit, gpu, index = found
    people = read_model(path, short_side=short_side)
    others = [] if faces is None else [read_model(model_path(faces))]
    fixed = [job_of(source, toolkit, gpu, source.info.input_size) for source in others]
    if not people.info.any_size:
        fixed.append(job_of(people, toolkit, gpu, people.info.input_size))
        if all(job.is_built(toolkit, gpu) for job in fixed):
            return None

    def begin(height: int, width: int) -> Build | None:
        jobs = list(fixed)
        if people.info.any_size:
            size = frame_geometry(people.info, (height, width)).input_size
            jobs.append(job_of(people, toolkit, gpu, size))
        missing = [job for job in jobs if not job.is_built(toolkit, gpu)]
        return BuildProcess(missing, toolkit.backend, index) if missing else None

    def open_with(device: str, engine: str) -> PosePipeline:
        return load(
            path,
            device,
            threads,
            engine=engine,
            short_side=short_side,
            settings=settings,
            confidence=confidence,
            flip=flip,
            faces=faces,
            progress=progress,
        )

    on_gpu = f"cuda:{index}"
    try:
        now = open_with(on_gpu, "torch")
    except (EngineError, MissingExtraError):  # no torch, or one without CUDA
        now = open_with("cpu", "onnx")
    return HandoverPipeline(now, begin, lambda: open_with(on_gpu, toolkit.backend))


def _cascade(poses: PosePipeline, landmarks: LandmarkPipeline) -> PosePipeline:
    from heatstream.runtime.pipelines.faces import FaceCascade

    try:
        return FaceCascade(poses, landmarks)
    except BaseException:
        landmarks.close()
        raise


def model_path(name_or_file: str | Path) -> Path:
    """The model file that is meant: anything that looks like a path is one.

    Raises:
        InputError: it is neither a text nor a path.
        UnknownNameError: there is no network of that name.
        ModelFileError: no weights come with it, or it is a checkpoint of which no model file can be made.
        SinkError: the cache of the model files of checkpoints cannot be written.
    """
    if not isinstance(name_or_file, (str, Path)):
        raise InputError(f"a model is named by a text or a path, got {type(name_or_file).__name__}")
    text = os.fspath(name_or_file)
    looks_like_path = isinstance(name_or_file, Path) or text.endswith(".onnx") or os.sep in text or "/" in text
    from heatstream.model_info import CHECKPOINT_SUFFIXES

    if text.lower().endswith(CHECKPOINT_SUFFIXES):
        from heatstream.runtime.checkpoints import model_of_checkpoint

        return model_of_checkpoint(expanded(text))
    if looks_like_path or os.path.isfile(text):
        return expanded(text)
    from heatstream import catalog

    return catalog.bundled_path(text)
