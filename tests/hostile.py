"""Files made to harm: model files, pictures, annotations, recipes and films that lie, never end, or are broken.

All seeds are fixed. ``python -m tests.hostile FOLDER`` writes and tries all 347, each in a process of its own with 2 GB
of memory and 10 s of a core, whatever else the machine does; the suite tries some (``tests/test_hostile.py``).
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from tests.fakes.patience import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parent.parent
SECONDS = 10.0  # of a core
BYTES = 2 * 10**9
NUMBERS: tuple[Any, ...] = (0, -1, 1.5, 1e308, 10**9, 10**400, float("nan"), float("inf"), True)
WORDS: tuple[Any, ...] = (None, "", "a" * 100_000, "[/red]", "\ud800", "../../etc/passwd", "\0", [], {}, [[]], "Ж")


@dataclass(frozen=True)
class Case:
    """One attack: what it is called, what writes its files into a folder, and the command that meets them there."""

    name: str
    make: Callable[[Path], None]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    code: int
    error: str
    seconds: float

    @property
    def held(self) -> bool:
        """A result, or one sentence and exit code 2; in time, and no traceback."""
        lines = self.error.strip().splitlines()
        told = self.code == 0 or (self.code == 2 and bool(lines) and lines[-1].startswith(("heatstream:", "╰")))
        return told and "Traceback" not in self.error and self.seconds < SECONDS


def try_case(case: Case, folder: Path, *, forked: bool = False) -> Outcome:
    """Write a case's files into a folder and run its command there.

    Args:
        case: to try.
        folder: is made.
        forked: in a copy of this process, which has imported everything, rather than in a new one.
    """
    folder.mkdir(parents=True)
    case.make(folder)
    arguments = [part.replace("DIR", str(folder)) for part in case.command]
    before = _children_seconds()
    with (folder / "stderr").open("wb") as errors:
        process = _fork(arguments, errors) if forked else _start(arguments, errors)
        deadline = time.monotonic() + HANG_SECONDS
        while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.02)
    error = (folder / "stderr").read_text(errors="replace")
    return Outcome(os.waitstatus_to_exitcode(ended[1]), error, _children_seconds() - before)


def _start(arguments: list[str], errors: IO[bytes]) -> int:
    command = [sys.executable, "-m", "heatstream", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=errors, cwd=REPOSITORY, preexec_fn=_limit_memory
    )
    process.returncode = 0  # it is waited for here
    return process.pid


def _fork(arguments: list[str], errors: IO[bytes]) -> int:
    from heatstream.demo.cli import main as heatstream

    process = os.fork()
    if process:
        return process
    _limit_memory()
    os.dup2(errors.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = 70
    try:
        heatstream(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cases() -> list[Case]:
    """All of them, the same ones every time."""
    return [*_models(), *_pictures(), *_annotations(), *_recipes(), *_films()]


# Model files


def _models() -> Iterator[Case]:
    run = ("run", "DIR/a.png", "--no-window", "--threads", "1", "--model", "DIR/m.onnx")
    fields = ("name", "skeleton", "input_size", "any_size", "batch", "task", "mean", "std", "outputs", "precision")
    fields += ("decode", "project", "geometry", "weights", "drift", "format", "heatstream_version", "quantisation")
    rng = random.Random(1)
    for number in range(60):
        key, value = fields[number % len(fields)], rng.choice(NUMBERS + WORDS)
        yield Case(f"model {number} {key} = {str(value)[:20]!r}", _with_metadata({key: value}), run)
    sizes = ([64, 10**9], [6_400_000, 64], [8192, 8192], [64, 0], [-64, 64], [64], ["64", 64])
    settings = ({"nms_kernel": 9999}, {"max_people": 10**9}, {"adjust": []}, {"detection_threshold": float("nan")})
    settings += ({"tag_threshold": "1"}, {"refine": 3}, {"skeleton": 7}, {"unknown": 1})
    for value in (*({"input_size": size} for size in sizes), *({"decode": setting} for setting in settings)):
        yield Case(f"model {value}", _with_metadata(value), run)
    for name in ("deep", "huge", "none", "list", "cut", "noise", "pointer", "text"):
        yield Case(f"model {name}", _broken_model(name), run)
    for name in ("Loop", "doubling", "Expand", "Tile", "ConstantOfShape", "Range", "Resize", "padding", "transposed"):
        yield Case(f"model {name}", _greedy_model(name), run)
    for location in ("../secret.bin", "/etc/passwd", "missing.bin", "a/../../b", "\0"):
        yield Case(f"model of {location!r}", _external_model(location), run)


def _picture(folder: Path) -> None:
    (folder / "a.png").write_bytes(cv2.imencode(".png", np.full((64, 64, 3), 99, np.uint8))[1].tobytes())


def _changed_model(folder: Path, change: Callable[[Any, dict[str, Any]], str | None]) -> None:
    import onnx

    _picture(folder)
    model = onnx.load(str(REPOSITORY / "tests/runtime/models/spots.onnx"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    content = json.loads(metadata["heatstream"])
    text = change(model, content)
    del model.metadata_props[:]
    text = json.dumps(content) if text is None else text
    model.metadata_props.add(key="heatstream", value=text.encode("utf-8", "replace").decode())
    onnx.save(model, str(folder / "m.onnx"))


def _with_metadata(values: dict[str, Any]) -> Callable[[Path], None]:
    return lambda folder: _changed_model(folder, lambda model, content: content.update(values))


def _broken_model(name: str) -> Callable[[Path], None]:
    texts = {"deep": "[" * 5000, "huge": json.dumps({"name": "a" * 3_000_000}), "none": "null", "list": "[1]"}

    def make(folder: Path) -> None:
        _changed_model(folder, lambda model, content: texts.get(name))
        path = folder / "m.onnx"
        data = path.read_bytes()
        replaced = {
            "cut": data[: len(data) // 2],
            "noise": np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes(),
            "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
            "text": b"hello",
        }
        path.write_bytes(replaced.get(name, data))

    return make


def _greedy_model(name: str) -> Callable[[Path], None]:
    def change(model: Any, content: dict[str, Any]) -> None:
        from onnx import TensorProto, helper, numpy_helper

        graph, node = model.graph, helper.make_node
        shape = numpy_helper.from_array(np.array([1, 3, 100_000, 100_000]), "shape")
        graph.initializer.append(shape)
        if name == "Loop":
            body = helper.make_graph(
                [node("Identity", ["go"], ["on"])],
                "body",
                [
                    helper.make_tensor_value_info("i", TensorProto.INT64, []),
                    helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                ],
                [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
            )
            graph.initializer.append(numpy_helper.from_array(np.array(10**12), "trips"))
            graph.initializer.append(numpy_helper.from_array(np.array(True), "start"))
            graph.node.append(node("Loop", ["trips", "start"], [], body=body))
        elif name == "doubling":
            last = graph.node[0].output[0]
            for number in range(40):
                graph.node.append(node("Concat", [last, last], [f"twice {number}"], axis=1))
                last = f"twice {number}"
            graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
        elif name in ("Expand", "Tile"):
            graph.node.append(node(name, ["images", "shape"], ["large"]))
        elif name == "ConstantOfShape":
            graph.node.append(node(name, ["shape"], ["large"]))
        elif name == "Range":
            for label, value in (("from", 0), ("to", 10**11), ("by", 1)):
                graph.initializer.append(numpy_helper.from_array(np.array(value), label))
            graph.node.append(node(name, ["from", "to", "by"], ["large"]))
        elif name == "Resize":
            graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 5000, 5000], np.float32), "scales"))
            graph.node.append(node(name, ["images", "", "scales"], ["large"]))
        else:
            kernel = numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "kernel")
            graph.initializer.append(kernel)
            kind = "Conv" if name == "padding" else "ConvTranspose"
            options = {"pads": [100_000] * 4} if name == "padding" else {"strides": [10_000, 10_000]}
            graph.node.append(node(kind, ["images", "kernel"], ["large"], **options))
        if any("large" in each.output for each in graph.node):
            graph.output.append(helper.make_tensor_value_info("large", TensorProto.FLOAT, None))

    return lambda folder: _changed_model(folder, change)


def _external_model(location: str) -> Callable[[Path], None]:
    def change(model: Any, content: dict[str, Any]) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        tensor.external_data.add(key="location", value=location)

    return lambda folder: _changed_model(folder, change)


# Pictures


def _pictures() -> Iterator[Case]:
    run = ("run", "DIR", "--no-window", "--threads", "1", "--jsonl", "/dev/null")
    rng = np.random.default_rng(2)
    good = np.random.default_rng(3).integers(0, 256, (70, 97, 3), np.uint8)
    for number, suffix in enumerate([".jpg", ".png", ".webp", ".tif", ".bmp", ".ppm", ".jp2", ".avif"] * 8):
        data = bytearray(cv2.imencode(suffix, good)[1].tobytes())
        for place in rng.integers(0, min(len(data), 200), 6):
            data[place] = rng.integers(0, 256)
        if number % 3 == 0:
            data = data[: rng.integers(1, len(data))]
        yield Case(f"picture {suffix} {number}", _file(f"x{suffix}", bytes(data)), run)
    for width, height in ((30000, 30000), (2**31 - 1, 2**31 - 1), (65535, 65535), (0, 5), (3000, 1), (1, 20000)):
        yield Case(f"png {width}x{height}", _file("x.png", _png(width, height)), run)
        tiff = struct.pack("<2sHIH", b"II", 42, 8, 2)
        tiff += b"".join(struct.pack("<HHII", tag, 4, 1, side) for tag, side in ((256, width), (257, height)))
        yield Case(f"tiff {width}x{height}", _file("x.tif", tiff + bytes(4)), run)


def _file(name: str, data: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _picture(folder)
        (folder / name).write_bytes(data)

    return make


def _png(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min((width + 1) * height, 10**8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# Annotations


def _annotations() -> Iterator[Case]:
    command = ("eval", "swahr-tiny", "--data", "DIR", "--annotations", "DIR/labels.json", "--threads", "1")
    rng = random.Random(4)
    for number in range(64):
        part = rng.choice(("images", "annotations", "categories"))
        key = rng.choice(("id", "image_id", "file_name", "height", "width", "keypoints", "bbox", "area", "iscrowd"))
        value = rng.choice(NUMBERS + WORDS)
        yield Case(f"labels {number} {part}.{key}", _labels(part, key, value), command)
    texts = (
        "[" * 100_000,
        "{}",
        "null",
        '{"images": 1, "annotations": 2}',
        "9" * 10_000,
        "\ufeff{}",
        "",
        '{"images": []',
    )
    for number, text in enumerate(texts):
        yield Case(f"labels text {number} {text[:12]!r}", _label_text(text), command)


def _labels(part: str, key: str, value: Any) -> Callable[[Path], None]:
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 64}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2] * 17, "bbox": [0, 0, 9, 9], "area": 81}
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    content[part][0][key] = value
    return _label_text(json.dumps(content))


def _label_text(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _picture(folder)
        (folder / "labels.json").write_text(text, encoding="utf-8", errors="surrogatepass")

    return make


# Recipes


def _recipes() -> Iterator[Case]:
    command = ("train", "DIR/recipe.toml", "--out", "DIR/run")
    base = (REPOSITORY / "heatstream" / "recipes" / "finetune.toml").read_text()
    rng = random.Random(5)
    values = ("nan", "inf", "-1", "0", "1e400", "9" * 5000, '"x"', "[]", "{}", "[[[]]]", "true", '"\\u0000"', "2.5")
    lines = [number for number, line in enumerate(base.splitlines()) if "=" in line and not line.startswith("#")]
    for number in range(54):
        changed = base.splitlines()
        at = rng.choice(lines)
        changed[at] = f"{changed[at].partition('=')[0]}= {rng.choice(values)}"
        yield Case(f"recipe {number} {changed[at][:30]!r}", _recipe("\n".join(changed)), command)
    for text in ("a = " + "[" * 20_000, "\0", "[" * 100, "", "a = 1\na = 2", "\ufeff", "x" * 10**6, "a.b.c.d.e = {}"):
        yield Case(f"recipe of {len(text)} {text[:12]!r}", _recipe(text), command)


def _recipe(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "recipe.toml").write_text(text)

    return make


# Films


def _films() -> Iterator[Case]:
    run = ("--no-window", "--threads", "1", "--frames", "9", "--model", "swahr-tiny", "--save", "DIR/out.mp4")
    rng = np.random.default_rng(6)
    for number, suffix in enumerate([".mp4", ".mov", ".avi", ".mkv", ".ts"] * 8):
        # A few places of the header, many of everything, or its end.
        places, part = [(5, slice(0, 300)), (60, slice(0, None)), (8, slice(-600, None))][number % 3]
        command = ("run", f"DIR/x{suffix}", *run)
        yield Case(f"film {suffix} {number}", _film(suffix, int(rng.integers(2**31)), places, part), command)


def _film(suffix: str, seed: int, places: int, part: slice) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import av

        rng = np.random.default_rng(seed)
        with av.open(str(folder / f"x{suffix}"), "w") as container:
            video = container.add_stream("mpeg4", rate=25)
            video.height, video.width = 48, 64
            sound = container.add_stream("ac3" if suffix == ".avi" else "aac", rate=44_100, layout="mono")
            for _ in range(8):
                picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, sound.codec_context.frame_size), np.float32), "fltp", "mono"
            )
            silence.sample_rate = 44_100
            for _ in range(8):
                container.mux(sound.encode(silence))
            container.mux([*sound.encode(None), *video.encode(None)])
        data = bytearray((folder / f"x{suffix}").read_bytes())
        for place in rng.choice(range(len(data))[part], places):
            data[place] = rng.integers(0, 256)
        (folder / f"x{suffix}").write_bytes(data[: rng.integers(1, len(data))] if seed % 5 == 0 else data)

    return make


def main(folder: Path, first: int = 0, step: int = 1) -> int:
    """Try all of them, or every ``step``-th, say which did not hold, and how many they were."""
    import onnxruntime  # noqa: F401
    import torch  # noqa: F401

    import heatstream.demo.evaluation.poses
    import heatstream.models.training.trainer
    import heatstream.runtime.load  # noqa: F401

    failed = 0
    every = cases()[first::step]
    for number, case in enumerate(every):
        outcome = try_case(case, folder / str(number), forked=True)
        if not outcome.held:
            failed += 1
            print(
                f"{case.name}: exit {outcome.code}, {outcome.seconds:.1f} s: {outcome.error.strip()[-300:]!r}",
                flush=True,
            )
    print(f"{len(every) - failed} of {len(every)} held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
