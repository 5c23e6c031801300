"""What a model file says about itself.

A model file is one ONNX file whose metadata hold a :class:`ModelInfo` as JSON under the key ``heatstream``:
everything that is needed to feed the network and to read its outputs. Its input is called ``images`` and is
(B, 3, H, W) float32, RGB, (x / 255 - mean) / std, whatever precision the network computes in.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

from heatstream import skeletons
from heatstream.errors import InputError, ModelFileError, UnknownNameError
from heatstream.skeleton_tables import skeleton_from_table, skeleton_to_table
from heatstream.version import __version__

__all__ = [
    "CHECKPOINT_SUFFIXES",
    "INPUT_NAME",
    "METADATA_KEY",
    "OUTPUTS",
    "ModelInfo",
    "Port",
    "Precision",
    "Task",
    "sized",
]

Precision = Literal["fp32", "fp16", "int8"]
"""What a network computes in. INT8 is that of its convolutions; what is left out of it, and all else, is FP16."""

Task = Literal["pose", "landmarks"]
"""What a network finds: the people in a frame (SWAHR), or the points of one face or body in a box (H3R)."""

Convention = Literal["official", "exact"]
"""How a frame is warped into a network's input; :mod:`heatstream.kernels.geometry` tells the difference."""

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".safetensors", ".pdparams")
"""Of files of weights alone; every other file is taken for a model file."""

METADATA_KEY = "heatstream"
LAYOUT_KEY = "skeleton_table"
"""In the JSON of a file whose skeleton is none of the known ones: its table, :mod:`heatstream.skeleton_tables`."""

FORMAT = 1
"""Version of the JSON. A file of a newer format is refused; unknown fields of this format are ignored."""

INPUT_NAME = "images"
INPUT_CHANNELS = 3
SIZE_MULTIPLE = 32
"""The networks halve their input five times, so height and width are multiples of this, in pixels."""
FREE_SIZE_MULTIPLE = 64
"""The same for networks of any size: the official geometry rounds the long side up to 64 pixels."""
LONGEST_SHORT_SIDE = 2048
"""In pixels: more than any of the networks gains by, and what still fits into memory."""

OUTPUTS: Mapping[Task, Mapping[str, int]] = MappingProxyType(
    {
        "pose": MappingProxyType({"heatmaps_quarter": 4, "heatmaps_half": 2, "tags": 4}),
        "landmarks": MappingProxyType({"landmarks": 4}),
    }
)
"""Outputs of a network and the input pixels per map pixel; each is (B, K, H / stride, W / stride) float32.

Maps of landmarks are unnormalised scores, only those of the landmark's class.
"""

MOST_PIXELS = 2**22
"""Of an input: 2048x2048. Everything between it and the people is of this order."""

MOST_BATCH = 1024
LONGEST_NAME = 100
LONGEST_TEXT = 4000
LONGEST_METADATA = 2**20
LONGEST_SHOWN = 80

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Port(Protocol):
    """An input or output of a loaded network, as ONNX Runtime describes it."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> Sequence[int | str | None]:
        """An int where the dimension is fixed, anything else where it is free."""

    @property
    def type(self) -> str:
        """For example ``"tensor(float)"``."""


@dataclass(frozen=True)
class ModelInfo(skeletons.OfSkeleton):
    """How to feed a network and how to read it.

    Attributes:
        name: of the network, for example ``"swahr-w32"``.
        skeleton: name of its keypoint layout; the number of keypoints K follows from it. The file holds the whole
            layout where it is none of :data:`heatstream.skeletons.SKELETONS`.
        input_size: (height, width) in px, multiples of 32. With `any_size` the base size: the short side is as
            long as its first entry.
        any_size: height and width are free (multiples of 64).
        batch: images per run; None for any number.
        task: ``"pose"`` or ``"landmarks"``.
        mean: of x / 255, per channel, RGB.
        std: of R, G, B, in the same unit.
        outputs: names and strides of the outputs, in their order in the file; of those that :data:`OUTPUTS`
            has for the task.
        precision: what the network computes in; inputs and outputs are float32 either way.
        quantisation: of an INT8 network: ``folder`` and ``images``, the name of the folder and of the photographs it
            was calibrated on, and ``left_out``, the names of the convolutions that stayed in FP16. None for others.
        decode: decode settings that differ from the defaults, by name; for landmarks ``topk``, see
            :func:`heatstream.kernels.decode_landmarks`.
        calibration: how often a person of a score is right, as (score, probability) pairs, both rising, between which
            it is interpolated; people's scores are these probabilities then. Empty where nobody measured it: scores
            are the mean height of a person's heatmaps.
        geometry: how frames are warped: ``"official"`` as the reference programs do it, which networks trained with
            their code expect and which files that do not say it have, or ``"exact"``; see
            :mod:`heatstream.kernels.geometry`.
        project: resample the maps to the input's size before they are decoded, as the official evaluation does.
        weights: where the weights came from, human-readable.
        licence: under which the weights may be used.
        drift: largest difference from the torch network, relative to the range of the output; None if never
            measured.
        heatstream_version: that wrote the file.

    Raises:
        InputError: a value has the wrong type or is out of its range.
    """

    name: str
    skeleton: str
    input_size: tuple[int, int]
    any_size: bool = False
    batch: int | None = 1
    task: Task = "pose"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    outputs: Mapping[str, int] = field(default_factory=lambda: dict(OUTPUTS["pose"]))
    precision: Precision = "fp32"
    quantisation: Mapping[str, Any] | None = None
    decode: Mapping[str, Any] = field(default_factory=dict)
    calibration: tuple[tuple[float, float], ...] = ()
    geometry: Convention = "official"
    project: bool = True
    weights: str = "random"
    licence: str = "unknown"
    drift: float | None = None
    heatstream_version: str = __version__

    def __post_init__(self) -> None:
        for name in ("input_size", "mean", "std"):  # JSON gives lists
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        calibration: object = self.calibration
        if isinstance(calibration, list):
            pairs = tuple(tuple(pair) if isinstance(pair, list) else pair for pair in calibration)
            object.__setattr__(self, "calibration", pairs)
        multiple = FREE_SIZE_MULTIPLE if self.any_size is True else SIZE_MULTIPLE
        checks: dict[str, tuple[bool, str]] = {
            "name": (_is_text(self.name, LONGEST_NAME), f"a text of up to {LONGEST_NAME} printable characters"),
            "skeleton": (_is_skeleton(self.skeleton), f"one of {', '.join(skeletons.known())}"),
            "input_size": (
                _is_size(self.input_size, multiple),
                f"(height, width), multiples of {multiple}, up to {MOST_PIXELS:,} px",
            ),
            "any_size": (isinstance(self.any_size, bool), "true or false"),
            "batch": (
                self.batch is None or (_is_count(self.batch) and self.batch <= MOST_BATCH),
                f"a number of images up to {MOST_BATCH}, or null for any",
            ),
            "task": (self.task in get_args(Task), f"one of {', '.join(get_args(Task))}"),
            "mean": (_is_colour(self.mean), "three numbers"),
            "std": (_is_colour(self.std) and min(self.std) > 0, "three positive numbers"),
            "outputs": (
                _is_outputs(self.outputs, self.task),
                f"a mapping of the outputs' names to their strides, as of {dict(OUTPUTS.get(self.task, {}))}",
            ),
            "precision": (self.precision in get_args(Precision), f"one of {', '.join(get_args(Precision))}"),
            "quantisation": (
                self.quantisation is None or _is_settings(self.quantisation),
                "what an INT8 network was calibrated on, or null",
            ),
            "decode": (_is_settings(self.decode), "a mapping of decode settings"),
            "calibration": (
                _is_calibration(self.calibration),
                "pairs of score and probability, both rising from 0 to 1",
            ),
            "geometry": (self.geometry in get_args(Convention), f"one of {', '.join(get_args(Convention))}"),
            "project": (isinstance(self.project, bool), "true or false"),
            "weights": (self.weights == "" or _is_text(self.weights), "a text"),
            "licence": (self.licence == "" or _is_text(self.licence), "a text"),
            "drift": (self.drift is None or (_is_number(self.drift) and self.drift >= 0), "at least 0, or null"),
            "heatstream_version": (_is_text(self.heatstream_version, LONGEST_NAME), "a text"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"ModelInfo.{name} must be {expected}, got {_short(getattr(self, name))}")

    @property
    def num_keypoints(self) -> int:
        """K, the number of maps in every output."""
        return skeletons.get(self.skeleton).num_keypoints

    def with_short_side(self, short_side: int) -> ModelInfo:
        """The description with another base size, for frames whose short side is to become that long.

        Args:
            short_side: px, a multiple of 64 up to 2048.

        Raises:
            InputError: the network takes images of one size alone, or the number is not such.
        """
        if not self.any_size:
            height, width = self.input_size
            remedy = "leave it out" if self.task == "landmarks" else "leave it out, or export it with `--size any`"
            raise InputError(
                f"a short side is chosen for models of any size, and {self.name} takes images of {height}x{width} px "
                f"alone: {remedy}"
            )
        if not _is_count(short_side) or short_side % FREE_SIZE_MULTIPLE or short_side > LONGEST_SHORT_SIDE:
            raise InputError(
                f"a short side is a multiple of {FREE_SIZE_MULTIPLE} px up to {LONGEST_SHORT_SIDE}, got "
                f"{short_side!r}{_nearest_short_side(short_side)}"
            )
        return replace(self, input_size=(short_side, short_side))

    def to_metadata(self) -> dict[str, str]:
        """The metadata entries of an ONNX file."""
        content = {"format": FORMAT} | {item.name: getattr(self, item.name) for item in fields(self)}
        content |= {"outputs": dict(self.outputs), "decode": dict(self.decode)}
        if self.skeleton not in skeletons.SKELETONS:
            content[LAYOUT_KEY] = skeleton_to_table(skeletons.get(self.skeleton))
        return {METADATA_KEY: json.dumps(content)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, path: str | Path) -> ModelInfo:
        """Read what :meth:`to_metadata` wrote; a skeleton of its own is known to this process from then on.

        Args:
            metadata: the metadata of an ONNX file; entries of others are ignored.
            path: of the file, for the message.

        Raises:
            ModelFileError: there is no entry of ours, it is damaged or of a newer format, or its skeleton has the name
                of another one.
        """
        if METADATA_KEY not in metadata:
            raise ModelFileError(
                f"{path} does not describe itself as a heatstream model: make one with 'heatstream export'"
            )
        try:
            if len(metadata[METADATA_KEY]) > LONGEST_METADATA:
                raise ValueError(f"they are longer than {LONGEST_METADATA:,} characters")
            content = json.loads(metadata[METADATA_KEY])
            number = content.pop("format")
            if _is_count(number) and number > FORMAT:
                raise ModelFileError(
                    f"{path} is a model file of format {number} and this heatstream ({__version__}) reads up to "
                    f"{FORMAT}: upgrade heatstream, or export the model again"
                )
            if LAYOUT_KEY in content:
                _register(skeleton_from_table(content[LAYOUT_KEY]), path)
            known = {item.name for item in fields(cls)}
            return cls(**{name: value for name, value in content.items() if name in known})
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:  # InputError is a ValueError
            raise ModelFileError(
                f"{path} holds damaged heatstream metadata ({_one_line(error)}): export the model again"
            ) from error

    def check_io(self, inputs: Iterable[Port], outputs: Iterable[Port], *, path: str | Path) -> None:
        """Check that a loaded network has the inputs and outputs that it was said to have.

        Args:
            inputs: of the network, for example ``session.get_inputs()`` of ONNX Runtime.
            outputs: as `inputs`.
            path: of the file, for the message.

        Raises:
            ModelFileError: a name, type or shape differs; the message gives the expected and the received.
        """
        height, width = (None, None) if self.any_size else self.input_size
        images = {INPUT_NAME: (self.batch, INPUT_CHANNELS, height, width)}
        maps = {
            name: (
                self.batch,
                self.num_keypoints,
                height and height // stride,
                width and width // stride,
            )
            for name, stride in self.outputs.items()
        }
        for kind, ports, expected in (("input", inputs, images), ("output", outputs, maps)):
            received = {port.name: port for port in ports}
            if received.keys() != expected.keys():
                raise ModelFileError(
                    f"{path}: expected the {kind}s {', '.join(expected)}, got {', '.join(received) or 'none'}: "
                    "export the model again"
                )
            for name, shape in expected.items():
                _check_port(kind, received[name], shape, path)


def _register(skeleton: skeletons.Skeleton, path: str | Path) -> None:
    try:
        skeletons.register(skeleton)
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from None


def _check_port(kind: str, port: Port, expected: tuple[int | None, ...], path: str | Path) -> None:
    """A dimension that is expected to be free must be free, a fixed one must have the value.

    An output's may be unknown to the runtime that loaded the file, and shows when it runs.
    """
    received = tuple(size if isinstance(size, int) else None for size in port.shape)
    matches = len(received) == len(expected) and all(
        got == want or (got is None and kind == "output") for got, want in zip(received, expected, strict=True)
    )
    if not matches or port.type != "tensor(float)":
        raise ModelFileError(
            f"{path}: expected the {kind} {port.name} as float {_shown(expected)}, "
            f"got {port.type} {_shown(received)}: export the model again"
        )


def _shown(shape: Iterable[int | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _nearest_short_side(value: object) -> str:
    """A better one, as the end of a message."""
    if not isinstance(value, int | float) or not _is_number(value):
        return ""
    steps = round(value / FREE_SIZE_MULTIPLE)
    return f": try {min(max(1, steps) * FREE_SIZE_MULTIPLE, LONGEST_SHORT_SIDE)}"


def _one_line(error: Exception) -> str:
    text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    text = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    return text if len(text) <= 4 * LONGEST_SHOWN else f"{text[: 4 * LONGEST_SHOWN]}..."


def _is_text(value: object, longest: int = LONGEST_TEXT) -> bool:
    """Something to print: no control characters, nor halves of characters."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.replace("\n", " ").isprintable()


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists without end
        return type(value).__name__
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_skeleton(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(skeletons.get(value))
    except UnknownNameError:
        return False


def _is_size(value: object, multiple: int) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(_is_count(side) and side % multiple == 0 for side in value)
        and value[0] * value[1] <= MOST_PIXELS
    )


def _is_colour(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == INPUT_CHANNELS and all(map(_is_number, value))


def _is_calibration(value: object) -> bool:
    if value == ():
        return True
    if not isinstance(value, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return False
    if not all(_is_number(number) for pair in value for number in pair):
        return False
    steps = zip(((0.0, 0.0), *value), (*value, (1.0, 1.0)), strict=True)
    return all(low[0] <= high[0] and low[1] <= high[1] for low, high in steps)


def _is_outputs(value: object, task: Task) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(name in OUTPUTS.get(task, {}) and _is_count(stride) and stride <= 64 for name, stride in value.items())
    )


def _is_settings(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def sized(info: ModelInfo, text: str | None, short_side: int | None = None) -> ModelInfo:
    """The description with the input size that a user asked for.

    Args:
        info: of a network of any size.
        text: ``"256x448"`` or ``"256"`` for one size; ``"any"`` or ``"any:384"`` for the official geometry, in which
            the short side is as long as the network's own size, or 384, and the long side follows; None for the
            network's own size.
        short_side: 384 is short for ``"any:384"``.

    Raises:
        InputError: the text is not understood, the size is not a multiple of 32 px (64 for any), both are given, or a
            short side for a network that looks into boxes.
    """
    if short_side is not None:
        if text is not None:
            raise InputError(f"--short-side {short_side} is --size any:{short_side}: leave one of them out")
        if info.task == "pose":  # boxes are brought to one size, which is refused below
            info = replace(info, any_size=True, input_size=(FREE_SIZE_MULTIPLE, FREE_SIZE_MULTIPLE))
        return info.with_short_side(short_side)
    if text is None:
        return info
    match = re.fullmatch(r"(any)(?::(\d{1,5}))?|(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip().lower())
    if match is None:
        raise InputError(f"--size {text!r} is not understood: give HEIGHTxWIDTH such as 256x448, or any")
    free = match[1] is not None
    height = int(match[2] or info.input_size[0]) if free else int(match[3])
    width = height if free else int(match[4] or height)
    multiple = FREE_SIZE_MULTIPLE if free else SIZE_MULTIPLE
    nearest = [max(1, round(side / multiple)) * multiple for side in (height, width)]
    if nearest != [height, width]:
        suggestion = f"any:{nearest[0]}" if free else f"{nearest[0]}x{nearest[1]}"
        raise InputError(f"--size {text!r} is not made of multiples of {multiple}: try {suggestion}")
    return replace(info, any_size=free, input_size=(height, width))
