"""What ``tools/on_gpu.sh`` brought back, as a page: ``python -m benchmarks.gpu_page on_gpu.tar.gz > PAGE.md``."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["gpu_page"]

GOALS = {0: 80, 5: 80, 30: 300}
"""Microseconds that the whole decode may take, by people in view."""

FRAME_OVER_ENGINE = 1.05
"""How much longer a whole frame may take than its network."""

LIBRARIES = ("torch", "cupy", "onnx", "numpy", "opencv", "onnxruntime", "nvidia-cuda-nvrtc")


def gpu_page(archive: Path) -> str:
    """Markdown of everything that the archive holds; what is not there is said to be missing.

    Args:
        archive: ``on_gpu.tar.gz``.
    """
    with tarfile.open(archive) as tar:
        members = (member for member in tar if member.isfile())
        files = {member.name.removeprefix("./"): tar.extractfile(member).read().decode() for member in members}  # type: ignore[union-attr]
    records: dict[str, Any] = {
        name: json.loads(files[f"{name}.json"]) for name in ("smoke", "decode-gpu", "drift") if f"{name}.json" in files
    }
    sections = [
        *_machine(files),
        *_smoke(records.get("smoke")),
        *_decode(records.get("decode-gpu")),
        *_drift(records.get("drift")),
        *_steps(files),
    ]
    return "\n".join(["# On a GPU", "", *sections]).rstrip() + "\n"


def _machine(files: Mapping[str, str]) -> Iterator[str]:
    text = files.get("machine.log", "")
    gpu = re.search(r"^\|\s+\d+\s+(NVIDIA .*?)\s{2,}", text, re.MULTILINE)
    versions = [line for line in text.splitlines() if re.match(rf"({'|'.join(LIBRARIES)})\S* \d", line)]
    yield f"{gpu[1] if gpu else 'No GPU was found'}; {', '.join(sorted(versions)) or 'no versions were told'}."
    yield ""


def _smoke(record: Any) -> Iterator[str]:
    yield from ("## A frame", "")
    if record is None:
        yield from ("The first frames gave no figures.", "")
        return
    refusal = record.get("graph_refusal")
    graph = "was not on a GPU" if refusal is None else f"was no graph ({refusal})" if refusal else "is one graph"
    yield f"swahr-tiny, {record['engine']}: a frame {graph}."
    yield ""
    if "stages_us" in record:
        yield from ("| stage | median, us | 10 to 90 % |", "|---|---|---|")
        for name, times in record["stages_us"].items():
            yield f"| {name} | {times['median']:.1f} | {times['p10']:.1f}-{times['p90']:.1f} |"
        ratio = record["frame_over_engine"]
        word = "reached" if ratio <= FRAME_OVER_ENGINE else "missed"
        yield from ("", f"Frame over engine: {ratio:.3f}; the goal of {FRAME_OVER_ENGINE} is {word}.", "")


def _decode(record: Any) -> Iterator[str]:
    yield from ("## The decode by people in view", "")
    if record is None:
        yield from ("It gave no figures.", "")
        return
    yield from ("| maps | people | median, us | 10 to 90 % | goal |", "|---|---|---|---|---|")
    for case in record["cases"]:
        times, goal = case["decode"], GOALS.get(case["people"], "")
        spread = f"{times['p10']:.1f}-{times['p90']:.1f}"
        yield f"| {case['side']}² | {case['people']} | {times['median']:.1f} | {spread} | {goal} |"
    yield ""


def _drift(record: Any) -> Iterator[str]:
    yield from ("## Against the CPU", "")
    if record is None:
        yield from ("It was not compared.", "")
        return
    counts = record["people_matched"], record["people_cpu"], record["people_gpu"]
    yield "{} of the CPU's {} people were found among {} in {} frames.".format(*counts, record["frames"])
    for name, pixels in record.get("keypoint_distance_px", {}).items():
        yield f"- {name}: keypoints {pixels:.3f} px apart"
    yield ""


def _steps(files: Mapping[str, str]) -> Iterator[str]:
    yield from ("## Steps", "", "```")
    yield from files.get("summary.txt", "no summary").strip().splitlines()
    for name in ("kernels", "runtime", "memcheck", "racecheck"):
        last = files.get(f"{name}.log", "").strip().splitlines()[-1:]
        yield f"{name}: {' '.join(last) or 'no log'}"
    yield "```"


if __name__ == "__main__":
    print(gpu_page(Path(sys.argv[1])), end="")
