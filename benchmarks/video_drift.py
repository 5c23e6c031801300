"""How far the GPU's people are from the CPU's over a whole video: python -m benchmarks.video_drift VIDEO [--engine E]

People are matched one to one by their keypoints' distances. Both sides read the same model file; the CPU computes it as
it is, a GPU engine in FP16.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

import heatstream
from heatstream.results import Poses
from heatstream.runtime.sources import open_source

MATCHED = 0.1
"""People are the same whose keypoints lie closer together than this, on average, relative to the height of one."""


def main() -> None:
    """Measure, print one line of JSON, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--model", default="swahr-tiny")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    with (
        heatstream.load(wanted.model, wanted.device, engine=wanted.engine, wait=True) as on_gpu,
        heatstream.load(wanted.model, "cpu") as on_cpu,
    ):
        distances: list[NDArray[np.float32]] = []
        counts = np.zeros(3, int)  # on the CPU, on the GPU, matched
        frames = 0
        for frame in open_source(wanted.video):
            expected, found = on_cpu(frame.image).poses, on_gpu(frame.image).poses
            pairs = matched(expected, found)
            counts += len(expected), len(found), len(pairs)
            distances += pairs
            frames += 1
            if frames == wanted.frames:
                break
        result = {
            "model": wanted.model,
            "engine": on_gpu.engine.name,
            "frames": frames,
            "graphs": getattr(on_gpu, "graph_refusal", None) == "",
        }
    everything = np.concatenate([*distances, np.empty(0, np.float32)])
    result |= dict(zip(("people_cpu", "people_gpu", "people_matched"), counts.tolist(), strict=True))
    if len(everything):
        quantiles = {f"p{share}": float(np.percentile(everything, share)) for share in (50, 95, 99, 100)}
        result["keypoint_distance_px"] = quantiles
    print(json.dumps(result))
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def matched(expected: Poses, found: Poses) -> list[NDArray[np.float32]]:
    """Distances in px between keypoints that both have, of every pair of people that are the same."""
    if not len(expected) or not len(found):
        return []
    both = (expected.keypoint_scores > 0)[:, None] & (found.keypoint_scores > 0)[None]
    apart = np.linalg.norm(expected.keypoints[:, None] - found.keypoints[None], axis=3)
    mean = np.where(both, apart, 0).sum(axis=2) / np.maximum(both.sum(axis=2), 1)
    mean[~both.any(axis=2)] = np.inf
    heights = np.maximum(np.ptp(expected.keypoints[:, :, 1], axis=1), 1)
    cost = np.minimum(mean / heights[:, None], 1e3)
    rows, columns = linear_sum_assignment(cost)
    return [apart[r, c][both[r, c]] for r, c in zip(rows, columns, strict=True) if cost[r, c] < MATCHED]


if __name__ == "__main__":
    main()
