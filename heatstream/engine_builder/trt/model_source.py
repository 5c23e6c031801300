"""A model file as the engine builder takes it: its bytes, what they say of themselves, and the shape to build."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from heatstream.engine_builder.export.fp16 import cast_to_half, peak_values
from heatstream.engine_builder.export.onnx_session import open_session
from heatstream.engine_builder.export.probe_images import natural_images
from heatstream.engine_builder.onnx_file import external_files
from heatstream.errors import InputError, ModelFileError
from heatstream.extras import require
from heatstream.model_info import ModelInfo, Precision

__all__ = ["ModelSource", "read_model"]


_TO_INT8 = (
    "and INT8 is calibrated on photographs when a model is exported: `heatstream export NAME --precision int8 "
    "--calibrate FOLDER`"
)
_FROM_INT8 = "and an engine could not be better than that: build it with precision int8, or export it in {}"

_CANNOT = {
    ("fp16", "fp32"): "and an FP32 engine could not be better than that: build it with precision fp16, or export it "
    "in fp32",
    ("fp32", "int8"): _TO_INT8,
    ("fp16", "int8"): _TO_INT8,
    ("int8", "fp16"): _FROM_INT8.format("fp16"),
    ("int8", "fp32"): _FROM_INT8.format("fp32"),
}
"""(precision of a file, that of the engine) -> why it cannot be, and what to do."""


@dataclass(frozen=True)
class ModelSource:
    """One model file.

    Attributes:
        path: of the file.
        info: what it says of itself.
        sha256: of the file and of those beside it that hold its weights, hexadecimal.
    """

    path: Path
    info: ModelInfo
    sha256: str

    def shaped(self, *, size: tuple[int, int] | None, batch: int, precision: Precision | None) -> ModelInfo:
        """How an engine of it is fed.

        Args:
            size: (height, width) in px; the file's own when left out.
            batch: how many images per run at most.
            precision: what the engine computes in; when left out INT8 for a file in INT8, FP16 for all others.

        Raises:
            InputError: the file has another fixed size, the batch is not positive, or the file does not hold what
                the precision needs.
        """
        size = self.info.input_size if size is None else size
        if batch < 1:
            raise InputError(f"an engine takes at least 1 image per run, got batch {batch}")
        if not self.info.any_size and size != self.info.input_size:
            height, width = self.info.input_size
            raise InputError(
                f"{self.path} takes images of {height}x{width} alone, not {size[0]}x{size[1]}: export it with that "
                "size, or with --size any"
            )
        if precision is None:
            precision = "int8" if self.info.precision == "int8" else "fp16"
        if precision != self.info.precision and (problem := _CANNOT.get((self.info.precision, precision))):
            raise InputError(f"{self.path} is in {self.info.precision.upper()}, {problem}")
        return replace(
            self.info,
            any_size=False,
            input_size=size,
            batch=1 if batch == 1 else None,
            precision=precision,
            drift=self.info.drift if precision == self.info.precision else None,
        )

    def graph(self, info: ModelInfo) -> bytes:
        """The ONNX graph in the engine's precision.

        Args:
            info: as :meth:`shaped` gives it. An FP32 file that is to be an FP16 engine is cast as an export casts it;
                what could overflow stays in float32.

        Raises:
            ModelFileError: the file is not what it was when it was read first.
            MissingExtraError: the graph has to be cast, and onnx is not installed.
        """
        if _digest(self.path) != self.sha256:
            raise ModelFileError(f"{self.path} has just changed: try again when nobody writes to it")
        beside = external_files(self.path)
        if info.precision == self.info.precision and not beside:
            return self.path.read_bytes()
        purpose = f"casting {self.path} to FP16" if not beside else f"reading the weights beside {self.path}"
        onnx = require("onnx", extra="train", purpose=purpose)
        model = onnx.load(self.path)  # with the weights beside it, wherever we work
        if info.precision == self.info.precision:
            return bytes(model.SerializeToString())
        cast_to_half(model, peak_values(model, natural_images(1, info.input_size, info)))
        return bytes(model.SerializeToString())


def read_model(path: Path, *, short_side: int | None = None) -> ModelSource:
    """Read a model file and check that it is what it says.

    Args:
        path: of the file.
        short_side: of the frames it is fed, px; for files of any size. The file's own when left out.

    Raises:
        ModelFileError: it is missing, damaged, not ours, or contradicts itself.
        InputError: it takes images of one size only, or the short side is not such.
    """
    session = open_session(path, optimised=False)
    info = ModelInfo.from_metadata(session.get_modelmeta().custom_metadata_map, path=path)
    info.check_io(session.get_inputs(), session.get_outputs(), path=path)
    if short_side is not None:
        info = info.with_short_side(short_side)
    return ModelSource(path, info, _digest(path))


def _digest(path: Path) -> str:
    """The SHA-256 of a model file, and of its weights where these lie in files beside it."""
    whole = hashlib.sha256()
    for part in (path, *external_files(path)):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()
