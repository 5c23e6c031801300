"""A model file in ONNX Runtime: opened, or refused in our words."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from heatstream.engine_builder.onnx_file import check_graph
from heatstream.errors import EngineError, ModelFileError, first_line
from heatstream.model_info import METADATA_KEY

__all__ = ["import_onnxruntime", "open_session", "run_options", "session_options"]

SPIN_US = 200
"""How long the threads of one run look for the next operator before they sleep, microseconds. Waking takes as long as a
small operator does: asleep at each of some hundred, two threads are no faster than one."""

SILENT = 4  # ONNX Runtime's severity "fatal": what fails is raised, and told once, by us


def import_onnxruntime() -> Any:
    """The onnxruntime module, told to report nothing to anybody; every import of it goes through here.

    Releases from 1.29 on keep an id of the machine in the user's cache folder and look up a host of its maker's unless
    the variable is set before the import. A value that the user gave it is left alone.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # of an import that was before ours
    return onnxruntime


def open_session(path: Path, threads: int = 1, *, optimised: bool = True) -> Any:
    """The onnxruntime.InferenceSession of a model file, on the CPU.

    Args:
        path: of the file.
        threads: how many threads work on one run.
        optimised: prepare it to run; not needed to read what the file says of itself.

    Raises:
        ModelFileError: the file is missing, empty, a folder, not ONNX, or holds what no network of ours does.
        EngineError: ONNX Runtime cannot run this network.
    """
    _check_file(path)
    check_graph(path)
    try:
        session = _session(path, session_options(optimised=False))
        if not optimised:
            return session
        options = session_options(threads)
        if not _has_halves(session):
            return _session(path, options)
        try:
            with tempfile.TemporaryDirectory(prefix="heatstream-") as folder:
                return _session(_with_casts(path, Path(folder)), options)
        except Exception as error:  # a disk that is full, or a limit on the size of files
            session = _session(path, options)
            warnings.warn(
                f"{path.name} takes a fifth longer, no temporary file could be written to {tempfile.gettempdir()} "
                f"({first_line(error)}): make room there, or set TMPDIR",
                RuntimeWarning,
                stacklevel=2,
            )
            return session
    except Exception as error:  # ONNX Runtime's errors share no base class
        if type(error).__name__ in ("InvalidProtobuf", "NoModel"):
            raise ModelFileError(
                f"{path} is not an ONNX file, or is damaged: export it again with `heatstream export`"
            ) from None
        raise EngineError(f"ONNX Runtime cannot run {path}: {first_line(error)}") from error


def _session(path: Path, options: Any) -> Any:
    onnxruntime = import_onnxruntime()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _has_halves(session: Any) -> bool:
    """Whether the file says that it computes in FP16."""
    return '"precision": "fp16"' in session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "")


def _with_casts(path: Path, folder: Path) -> Path:
    """Write the network with the casts that ONNX Runtime puts around what it cannot compute in FP16.

    Those of constants are folded when that file is opened, not when they are made; and a clip whose bounds are no
    constants is not computed together with the convolution before it, which costs a fifth of the time.
    """
    options = session_options(optimised=False)
    options.optimized_model_filepath = str(folder / path.name)
    # Weights that lie beside the file are copied too: the new one may not refer to what is outside its own folder.
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    _session(path, options)
    return folder / path.name


def session_options(threads: int = 0, *, optimised: bool = True) -> Any:
    """The onnxruntime.SessionOptions of every session of ours: nothing is printed, and threads soon sleep after a run.

    Args:
        threads: how many threads work on one run; 0 for one per core.
        optimised: prepare the network to run; not needed to read what it says of itself.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Before 1.26 they spin for many milliseconds or not at all, and capture, decode and drawing need the same cores.
    bounded = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= (1, 26)
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if bounded else "0")
    if bounded:
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def run_options() -> Any:
    """The onnxruntime.RunOptions of one run; setting its ``terminate`` ends the run with an error."""
    options = import_onnxruntime().RunOptions()
    options.log_severity_level = SILENT
    return options


def _check_file(path: Path) -> None:
    """Name the plain troubles before ONNX Runtime wraps them in its own words."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ModelFileError(f"the name of {path} is not UTF-8, which ONNX Runtime asks for: rename it") from None
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder: give the .onnx file itself")
        with path.open("rb") as file:
            if not file.read(1):
                raise ModelFileError(f"{path} is empty: export the model again")
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}: check the path, or see `heatstream models`") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
