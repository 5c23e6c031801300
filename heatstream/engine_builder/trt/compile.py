"""From an ONNX graph to a plan: the one path through TensorRT and TensorRT-RTX, always strongly typed.

The shape is fixed, which is fastest, or free only in the number of images. What the toolkit says on the way reaches
a person as a :class:`Progress`, and its errors as ours, with the node of the graph that they are about.
"""

from __future__ import annotations

import functools
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from heatstream.engine_builder.trt.layers import Layer, inspected_layers, read_layers
from heatstream.engine_builder.trt.timing_cache import load_timings, save_timings
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import BuildError
from heatstream.model_info import INPUT_CHANNELS, INPUT_NAME, ModelInfo

__all__ = ["CompiledEngine", "Progress", "compile_engine", "toolkit_logger"]


class Progress(Protocol):
    """Follows a build. Phases nest; the toolkit may call from any thread."""

    def started(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, inside another one unless `parent` is None."""

    def stepped(self, phase: str, step: int) -> None:
        """A step of a phase is done; the first one is 0."""

    def finished(self, phase: str) -> None:
        """A phase is over, whether or not all of its steps were told."""


@dataclass(frozen=True)
class CompiledEngine:
    """What a build gives.

    Attributes:
        plan: the serialised engine.
        shapes: name of every input and output -> its shape, -1 where the number of images is free.
        layers: of the network, with the precision that each computes in.
        fused: of the engine, as its inspector tells them; none where the toolkit does not inspect engines.
    """

    plan: bytes
    shapes: Mapping[str, tuple[int, ...]]
    layers: Sequence[Layer]
    fused: Sequence[Layer]


def compile_engine(
    toolkit: Toolkit,
    graph: bytes,
    info: ModelInfo,
    *,
    batch: int,
    targets: Sequence[str],
    timings: Path | None = None,
    progress: Progress | None = None,
) -> CompiledEngine:
    """Build a plan.

    Args:
        toolkit: what to build with.
        graph: an ONNX file, in the precision that the engine is to compute in.
        info: how the engine will be fed: its size, outputs and precision.
        batch: 1 for exactly one image per run; N for any number from 1 to N, tuned for N.
        targets: compute capabilities, as :meth:`Toolkit.targets` gives them.
        timings: file that keeps measured times between builds, where the toolkit can use them.
        progress: called with how far the build is.

    Raises:
        BuildError: the toolkit refuses the graph, or fails; the message names the node where one is known.
        KeyboardInterrupt: Ctrl-C ended the build.
    """
    trt = toolkit.module
    said = toolkit_logger(trt)
    said.errors.clear()
    builder = trt.Builder(said)
    network = builder.create_network(toolkit.creation_flags)
    parser = trt.OnnxParser(network, said)
    if not parser.parse(graph):
        raise BuildError(_parser_error(toolkit, parser, info))

    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    toolkit.aim(config, targets)
    if toolkit.inspects_engines:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _fix_shape(builder, network, config, info, batch)
    shapes = _check_shapes(toolkit, network, info, batch)
    layers = read_layers(network)
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    if toolkit.keeps_timings and timings is not None:
        load_timings(config, timings)
    with _ctrl_c_ends(monitor):
        plan = builder.build_serialized_network(network, config)
    if monitor.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        reason = said.errors[0] if said.errors else "it gives no reason"
        raise BuildError(f"{toolkit.title} could not build {info.name} ({reason}): try another size or precision")
    if toolkit.keeps_timings and timings is not None:
        save_timings(config, timings)
    return CompiledEngine(bytes(plan), shapes, layers, _inspect(toolkit, plan) if toolkit.inspects_engines else [])


def _inspect(toolkit: Toolkit, plan: Any) -> list[Layer]:
    """What a builder made of the layers; nothing if the engine does not load; running it gives the reason."""
    trt = toolkit.module
    engine = trt.Runtime(toolkit_logger(trt)).deserialize_cuda_engine(plan)
    if engine is None:
        return []
    return inspected_layers(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def _fix_shape(builder: Any, network: Any, config: Any, info: ModelInfo, batch: int) -> None:
    """Give the input its size, and a free number of images if there may be several."""
    image = (INPUT_CHANNELS, *info.input_size)
    network.get_input(0).shape = (1 if batch == 1 else -1, *image)
    if batch > 1:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT_NAME, (1, *image), (batch, *image), (batch, *image))
        config.add_optimization_profile(profile)


def _check_shapes(toolkit: Toolkit, network: Any, info: ModelInfo, batch: int) -> dict[str, tuple[int, ...]]:
    """A graph may have its number of images written into it, where no shape of the input can change it."""
    count = 1 if batch == 1 else -1
    height, width = info.input_size
    expected: dict[str, tuple[int, ...]] = {INPUT_NAME: (count, INPUT_CHANNELS, height, width)}
    for name, stride in info.outputs.items():
        expected[name] = (count, info.num_keypoints, height // stride, width // stride)
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    received = {tensor.name: tuple(tensor.shape) for tensor in tensors}
    if received != expected:
        name = next(name for name in {**expected, **received} if expected.get(name) != received.get(name))
        raise BuildError(
            f"{toolkit.title} sees {name} of {info.name} as {received.get(name)} where {expected.get(name)} is needed: "
            "export the model with --size any and --dynamic-batch"
        )
    wrong = [tensor.name for tensor in tensors if tensor.dtype != toolkit.module.DataType.FLOAT]
    if wrong:
        raise BuildError(
            f"{toolkit.title} sees {wrong[0]} of {info.name} in another type than float32: export it again"
        )
    return expected


def _parser_error(toolkit: Toolkit, parser: Any, info: ModelInfo) -> str:
    """The first error of the parser, in one line, with the node of the graph."""
    if not parser.num_errors:
        return f"{toolkit.title} cannot read {info.name} and gives no reason: export the model again"
    error = parser.get_error(0)
    node = f"at node {error.node_name() or error.node()} ({error.node_operator()})" if error.node() >= 0 else ""
    reason = _reason(error.desc().removeprefix(f"Invalid Node - {error.node_name()}"))
    return f"{toolkit.title} cannot read {info.name} {node}: {reason}; export the model again".replace(" :", ":")


def _reason(text: str) -> str:
    """What a toolkit says, without where in its own sources it says it."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "it gives no reason")
    line = re.sub(r"^I\w+::\w+: Error Code \d+: ", "", line)
    return re.sub(r"\s*In \w+ at /\S+:\d+", "", line)[:300].rstrip(" .;")


@functools.cache
def toolkit_logger(trt: Any) -> Any:
    """A logger that keeps the errors and prints nothing. A toolkit knows one per process: the first it was given."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(_reason(msg))

    return Logger()


def _monitor(trt: Any, progress: Progress | None) -> Any:
    """A progress monitor; its base class is there only once the toolkit is loaded."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if progress is not None:
                progress.started(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if progress is not None:
                progress.stepped(phase_name, step)
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            if progress is not None:
                progress.finished(phase_name)

    return Monitor()


@contextmanager
def _ctrl_c_ends(monitor: Any) -> Iterator[None]:
    """Ctrl-C ends the build at its next step: nothing may be raised into the toolkit, which calls us from C++."""

    def interrupt(*_: object) -> None:
        monitor.interrupted = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
