"""TensorRT 10.3 to 11 and TensorRT-RTX: one interface, and here the few places where they differ.

==================== ============================ ======================= ==================================
what                 TensorRT 10.3 to 10.x        TensorRT 11             TensorRT-RTX
==================== ============================ ======================= ==================================
strong typing        asked for when a network is  always; the flag is     always; the flag is there and does
                     created                      there and does nothing  nothing
``BuilderFlag.FP16`` there; must not be set       gone                    gone
GPU that it is for   the one it is built on       the one it is built on  those that its module lists, by compute
                                                                          capability; no GPU is needed to build
timing cache         kept between builds          kept between builds     does nothing, and is deprecated
inspector            tells the fused layers       tells the fused layers  not asked: kernels are chosen when
                                                                          the engine is loaded
scratch memory       ours, where asked for        ours, where asked for   ours, if the build was told so too
kernels              in the plan                  in the plan             compiled when an engine is made ready;
                                                                          kept between starts
CUDA graphs          tried                        tried                   asked for beforehand; its own switched
                                                                          off, for we record whole frames
==================== ============================ ======================= ==================================

Precision lives in the graph, so no flag for it is ever set; only TF32, which all of them have, is cleared: float32
means float32.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from heatstream.engine_builder.trt.gpus import JETSONS, PORTABLE, Gpu
from heatstream.errors import BuildError, EngineError, InputError, MissingExtraError

__all__ = ["BACKENDS", "Backend", "Toolkit", "check_targets", "choose_toolkit", "open_toolkit"]

Backend = Literal["tensorrt", "tensorrt-rtx"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

OLDEST = (10, 3)
"""The oldest TensorRT: that of JetPack 6.1, and one whose strong typing covers our operators."""


@dataclass(frozen=True)
class Toolkit:
    """A TensorRT that is installed.

    Attributes:
        backend: which of the two.
        module: its Python module.
    """

    backend: Backend
    module: Any

    @property
    def version(self) -> str:
        """Of the library, for example ``"10.3.0"``."""
        return str(self.module.__version__)

    @property
    def title(self) -> str:
        """Human-readable, such as ``"TensorRT-RTX 1.7.1"``."""
        return f"{'TensorRT-RTX' if self.backend == 'tensorrt-rtx' else 'TensorRT'} {self.version}"

    @property
    def creation_flags(self) -> int:
        """Flags of ``create_network``: strongly typed, wherever that can be said."""
        return int(1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))

    @property
    def keeps_timings(self) -> bool:
        """Whether the times that a build measures make the next one quicker."""
        return self.backend == "tensorrt"

    @property
    def inspects_engines(self) -> bool:
        """Whether a finished engine tells its layers: TensorRT-RTX chooses kernels when the engine is loaded."""
        return self.backend == "tensorrt"

    def targets(self, wanted: Sequence[str], gpu: Gpu | None) -> tuple[str, ...]:
        """The compute capabilities that an engine will be for.

        Args:
            wanted: what was asked for; the toolkit's own choice when empty.
            gpu: of this machine.

        Raises:
            InputError: this toolkit cannot build for one of them.
            BuildError: this toolkit builds for the GPU of this machine, which has none.
        """
        check_targets(self.backend, wanted, gpu)
        if self.backend == "tensorrt-rtx":
            for target in wanted:
                if target not in self.known_targets:
                    raise InputError(
                        f"{self.title} has no engines for {target}, but for {', '.join(self.known_targets)}: build on "
                        "the machine with that GPU, with TensorRT (--backend tensorrt)"
                    )
            return tuple(wanted) or PORTABLE
        if gpu is None:
            raise BuildError(
                f"{self.title} builds on the GPU that the engine is for, and this machine has none: build there, or "
                "use --backend tensorrt-rtx"
            )
        return (gpu.target,)

    @property
    def known_targets(self) -> tuple[str, ...]:
        """The compute capabilities that TensorRT-RTX has engines for."""
        members = self.module.ComputeCapability.__members__
        return tuple(f"sm_{name[2:]}" for name in members if name[:2] == "SM")

    def check_gpu(self, gpu: Gpu) -> None:
        """Refuse a GPU that no engine of this toolkit runs on, before one is built.

        Raises:
            EngineError: there is none.
        """
        if self.backend == "tensorrt-rtx" and gpu.target not in self.known_targets:
            raise EngineError(
                f"{self.title} has no engines for this GPU ({gpu.name}, {gpu.target}), but for "
                f"{', '.join(self.known_targets)}: use the engine tensorrt or torch"
            )

    def aim(self, config: Any, targets: Sequence[str]) -> None:
        """Tell a builder config what it builds for, where that can be told.

        Raises:
            BuildError: the toolkit does not take these together.
        """
        if self.backend == "tensorrt-rtx":  # or its engines allocate when they run, and cannot be captured
            config.set_flag(self.module.BuilderFlag.REQUIRE_USER_ALLOCATION)
        if self.backend == "tensorrt-rtx" and tuple(targets) != PORTABLE:
            config.num_compute_capabilities = len(targets)
            for index, target in enumerate(targets):
                capability = getattr(self.module.ComputeCapability, f"SM{target.removeprefix('sm_')}")
                if not config.set_compute_capability(capability, index):
                    raise BuildError(f"{self.title} does not take {target} together with {', '.join(targets)}")

    @property
    def compiles_late(self) -> bool:
        """Whether kernels are compiled when an engine is made ready, and are worth keeping."""
        return self.backend == "tensorrt-rtx"

    def create_context(self, engine: Any, kernels: bytes | None) -> tuple[Any, Any]:
        """An execution context whose scratch memory is the caller's.

        Args:
            engine: deserialised.
            kernels: what an earlier kernel cache gave when it was serialised; None if there is none. What does not fit
                is ignored by the toolkit.

        Returns:
            The context, None if it could not be made, and its kernel cache, None where :attr:`compiles_late` is false.
        """
        strategy = self.module.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self.compiles_late:
            return engine.create_execution_context(strategy), None
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.cuda_graph_strategy = self.module.CudaGraphStrategy.DISABLED
        # A kernel that is replaced in the background would stay in a captured graph.
        config.dynamic_shapes_kernel_specialization_strategy = (
            self.module.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        cache = config.create_runtime_cache()
        if kernels is not None:
            cache.deserialize(kernels)
        config.set_runtime_cache(cache)
        return engine.create_execution_context(config), cache

    def capture_refusal(self, context: Any, stream: int) -> str:
        """Why a context's runs cannot be captured into a graph; empty where nothing is known against it.

        Args:
            context: whose shapes and memory are set.
            stream: address of the CUDA stream.
        """
        if self.backend == "tensorrt-rtx" and not context.is_stream_capturable(stream):
            return f"{self.title} cannot be captured with this engine"
        return ""


def check_targets(backend: Backend, wanted: Sequence[str], gpu: Gpu | None) -> None:
    """Refuse what no toolkit could build here, whether or not one is installed.

    Args:
        backend: what would build.
        wanted: compute capabilities that were asked for.
        gpu: of this machine.

    Raises:
        InputError: an engine for one of them is built on another machine.
    """
    others = [target for target in wanted if gpu is None or target != gpu.target]
    for target in others:
        if target in JETSONS:
            raise InputError(
                f"engines for {target} ({JETSONS[target]}) are built on the Jetson alone: run heatstream build there, "
                "without --gpu, with JetPack's TensorRT"
            )
    if backend == "tensorrt" and others:
        here = "has none" if gpu is None else f"has another one ({gpu.name}, {gpu.target})"
        raise InputError(
            f"TensorRT builds engines for {', '.join(others)} on that GPU alone, and this machine {here}: run "
            "heatstream build where it is"
        )


def choose_toolkit(gpu: Gpu | None) -> tuple[Toolkit, str]:
    """The toolkit for this machine, and why: TensorRT where it and a GPU are, TensorRT-RTX otherwise.

    Raises:
        MissingExtraError: neither is installed.
        BuildError: what is installed does not load, or is too old.
    """
    reason = "there is no GPU to build on" if gpu is None else "TensorRT is not installed"
    if gpu is not None:
        try:
            return open_toolkit("tensorrt"), f"it is installed, and this machine has a GPU ({gpu.name})"
        except MissingExtraError:
            pass
    return open_toolkit("tensorrt-rtx"), reason


def open_toolkit(backend: Backend) -> Toolkit:
    """Load a toolkit.

    Raises:
        MissingExtraError: it is not installed; the message says what to install.
        BuildError: it is installed and does not load, or is too old.
    """
    name = backend.replace("-", "_")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise BuildError(f"{name} is installed but does not load ({error}): install it again") from error
        raise _missing(backend) from None
    except (ImportError, OSError, RuntimeError) as error:  # a library of it is missing or does not fit the driver
        raise BuildError(f"{name} is installed but does not load ({_one_line(error)}): install it again") from error
    toolkit = Toolkit(backend, module)
    numbers = tuple(int(number) for number in re.findall(r"\d+", toolkit.version)[:2])
    if backend == "tensorrt" and numbers < OLDEST:
        raise BuildError(f"{toolkit.title} is installed and {'.'.join(map(str, OLDEST))} or later is needed: update it")
    return toolkit


def _missing(backend: Backend) -> MissingExtraError:
    if backend == "tensorrt":
        return MissingExtraError(
            "tensorrt",
            "gpu",
            "building engines with TensorRT",
            otherwise="on a Jetson: sudo apt install python3-libnvinfer; without either: --backend tensorrt-rtx",
        )
    return MissingExtraError("tensorrt_rtx", "rtx", "building engines with TensorRT-RTX")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
