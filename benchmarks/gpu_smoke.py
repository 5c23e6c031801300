"""The first minute on a GPU: do the default model and the faces run there, and as one graph?

``python -m benchmarks.gpu_smoke --json FILE [--source VIDEO]``. With the torch engine unless another is named, for it
needs no TensorRT. Prints one line of JSON; the exit code is 1 where a frame is no graph on a GPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heatstream
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from heatstream.runtime.sources import open_source

FRAMES = 10
REPEATS = 200


def main() -> None:
    """Look at some frames, and at the time of each stage by the GPU's clock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--source", help="a video; noise without one")
    parser.add_argument("--json", type=Path, required=True)
    wanted = parser.parse_args()
    frames = _frames(wanted.source)
    with heatstream.load("swahr-tiny", wanted.device, engine=wanted.engine) as pipeline:
        pipeline.warm_up(*frames[0].shape[:2])
        people = [len(pipeline(frame).poses) for frame in frames]
        result: dict[str, Any] = {"engine": pipeline.engine.name, "people": people}
        if isinstance(pipeline, GpuPosePipeline):
            result["graph_refusal"] = pipeline.graph_refusal
            times = pipeline.stage_times(frames[0], REPEATS)
            result["stages_us"] = {name: _quantiles(values) for name, values in times.items()}
            medians = {name: values["median"] for name, values in result["stages_us"].items()}
            result["frame_over_engine"] = medians["frame"] / medians["engine"]
    with heatstream.load("swahr-tiny", wanted.device, engine=wanted.engine, faces="h3r-mobile-68") as pipeline:
        result["faces"] = [len(found.faces or ()) for found in map(pipeline, frames)]
    print(json.dumps(result))
    wanted.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(result.get("graph_refusal")))


def _frames(source: str | None) -> list[NDArray[np.uint8]]:
    if source is None:
        return list(np.random.default_rng(0).integers(0, 255, (2, 480, 640, 3), dtype=np.uint8))
    frames = open_source(source)
    try:
        return [frame.image for frame in itertools.islice(frames, FRAMES)]
    finally:
        frames.close()


def _quantiles(seconds: NDArray[np.float64]) -> dict[str, float]:
    low, median, high = np.quantile(seconds * 1e6, [0.1, 0.5, 0.9])
    return {"median": float(median), "p10": float(low), "p90": float(high)}


if __name__ == "__main__":
    main()
