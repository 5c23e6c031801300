"""heatstream's tracker beside ByteTrack and OC-SORT on the same poses: identity switches, IDF1, HOTA, time per frame.

::

    python -m venv /tmp/trackers && /tmp/trackers/bin/pip install trackers trackeval '.'
    /tmp/trackers/bin/python -m benchmarks.trackers [--clip CLIP --labels LABELS.json]

The others are those of the ``trackers`` package at their defaults; they get the box around each person's keypoints, the
time of the frame, and a score of 0.9 for whom our tracker calls sure and 0.3 for whom it calls doubtful, because our
scores are means over joints and lower than those that their thresholds are made for. ``trackeval`` counts. The truth of
every detection is known, so made-up people are compared by who they are and
not by overlap; people of a clip are labelled by boxes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.moving_people import SCENES, Scene, record
from heatstream.results import Poses, Result
from heatstream.runtime.tracking import DOUBTFUL_SCORE, SURE_SCORE, Tracker

__all__ = ["main"]

SEEDS = range(5)
FITS = 0.3  # least intersection over union of a detection and the label that it is taken for

Track = Callable[[Poses, float], NDArray[np.int64]]


@dataclass(frozen=True)
class Sequence:
    """Detections of a stretch, and how much each of them is each of the people who are there.

    Attributes:
        times: of each frame, seconds.
        poses: of each frame.
        present: of each frame, (P,) ids of the people who are there.
        similarity: of each frame, (P, N) 0..1. Detections that are like nobody are not counted.
    """

    times: list[float]
    poses: list[Poses]
    present: list[NDArray[np.int64]]
    similarity: list[NDArray[np.float64]]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video")
    parser.add_argument("--labels", type=Path, help="who is who in it")
    options = parser.parse_args()
    rows = {scene.name: [_made_up(scene, seed) for seed in SEEDS] for scene in SCENES}
    if options.clip:
        rows[options.clip.stem] = [_labelled(options.clip, options.labels)]
    makers: dict[str, Callable[[], Track]] = {
        "heatstream": _ours,
        "ByteTrack": lambda: _other("ByteTrackTracker"),
        "OC-SORT": lambda: _other("OCSORTTracker"),
    }
    print("| scene | " + " | ".join(f"{name}: switches, IDF1, HOTA" for name in makers) + " |")
    print("|---|" + "---|" * len(makers))
    totals = dict.fromkeys(makers, 0)
    for scene, sequences in rows.items():
        cells = []
        for name, make in makers.items():
            switches, idf1, hota = _measure(sequences, make)
            totals[name] += switches
            cells.append(f"{switches}, {idf1:.1f}, {hota:.1f}")
        print(f"| {scene} | " + " | ".join(cells) + " |", flush=True)
    print("| all switches | " + " | ".join(str(totals[name]) for name in makers) + " |")
    print()
    crowd = next(scene for scene in SCENES if len(scene.walkers) == 30)
    for name, seconds in _times(_made_up(crowd, 0), makers).items():
        print(f"{name}: 30 people, {seconds * 1e6:.0f} us per frame (median of frames, best of 10 runs of each)")


def _made_up(scene: Scene, seed: int) -> Sequence:
    frames = record(scene, seed)
    similarity = [(frame.present[:, None] == frame.truth).astype(float) for frame in frames]
    times = [frame.time for frame in frames]
    return Sequence(times, [frame.poses for frame in frames], [frame.present for frame in frames], similarity)


def _labelled(clip: Path, labels: Path) -> Sequence:
    """A clip's people as the bundled network finds them, and how much their boxes and the labelled ones overlap."""
    import heatstream

    results = heatstream.stream(clip, heatstream.load("swahr-tiny", "cpu"))
    return compare_with_labels(results, labels)


def compare_with_labels(results: Iterable[Result], labels: Path) -> Sequence:
    """The frames that are labelled, and how much people's boxes and the labelled ones overlap."""
    marks = {int(frame): boxes for frame, boxes in json.loads(labels.read_text())["keyframes"].items()}
    times, poses, present, similarity = [], [], [], []
    for result in results:
        own = _boxes_at(marks, result.frame_index)
        if own:
            overlap = _overlap(np.array(list(own.values())), _seen_boxes(result.poses))
            times.append(result.capture_time)
            poses.append(result.poses)
            present.append(np.array(list(own), np.int64))
            similarity.append(np.where(overlap >= FITS, overlap, 0))
    return Sequence(times, poses, present, similarity)


def _boxes_at(marks: dict[int, dict[str, list[float]]], frame: int) -> dict[int, NDArray[Any]]:
    """The labelled boxes of a frame, by id."""
    before = max((key for key in marks if key <= frame), default=None)
    after = min((key for key in marks if key >= frame), default=None)
    if before is None or after is None:
        return {}
    share = 0.0 if before == after else (frame - before) / (after - before)
    return {
        int(name): (1 - share) * np.array(box) + share * np.array(marks[after][name])
        for name, box in marks[before].items()
        if name in marks[after]
    }


def _overlap(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union of boxes (N, 4) and (M, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inner = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return inner / (areas[0][:, None] + areas[1] - inner)


def _ours() -> Track:
    tracker = Tracker()
    return lambda poses, time: tracker(poses, time).ids


def _other(name: str) -> Track:
    import supervision
    import trackers

    tracker = getattr(trackers, name)()

    def track(poses: Poses, time: float) -> NDArray[np.int64]:
        usable = np.flatnonzero(poses.scores >= DOUBTFUL_SCORE)
        boxes = _seen_boxes(poses)[usable]
        detections = supervision.Detections(
            xyxy=boxes,
            confidence=np.where(poses.scores[usable] >= SURE_SCORE, 0.9, 0.3).astype(np.float32),
            class_id=np.zeros(len(usable), int),
            data={"row": usable},
        )
        found = tracker.update(detections, timestamp=time)
        ids = np.full(len(poses), -1, np.int64)
        if len(found):
            ids[np.asarray(found.data["row"], int)] = found.tracker_id
        return ids

    return track


def _seen_boxes(poses: Poses) -> NDArray[Any]:
    seen = (poses.keypoint_scores >= 0.1)[:, :, None]
    low = np.where(seen, poses.keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, poses.keypoints, -np.inf).max(axis=1, initial=-np.inf)
    return np.nan_to_num(np.concatenate([low, high], axis=1), posinf=0, neginf=0)


def _measure(sequences: Iterable[Sequence], make: Callable[[], Track]) -> tuple[int, float, float]:
    """Switches in all sequences, and the mean IDF1 and HOTA, in percent."""
    switches, idf1, hota = 0, [], []
    for sequence in sequences:
        track = make()
        result = _count(sequence, list(map(track, sequence.poses, sequence.times)))
        switches += result[0]
        idf1.append(result[1])
        hota.append(result[2])
    return switches, float(np.mean(idf1)) * 100, float(np.mean(hota)) * 100


def _count(sequence: Sequence, ids: list[NDArray[np.int64]]) -> tuple[int, float, float]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    names = np.unique(np.concatenate(sequence.present))
    counted = [(own >= 0) & (like > 0).any(axis=0) for own, like in zip(ids, sequence.similarity, strict=True)]
    reported = [own[chosen] for own, chosen in zip(ids, counted, strict=True)]
    known = np.unique(np.concatenate(reported))
    data = {
        "num_timesteps": len(ids),
        "num_gt_ids": len(names),
        "num_tracker_ids": len(known),
        "num_gt_dets": sum(map(len, sequence.present)),
        "num_tracker_dets": sum(map(len, reported)),
        "gt_ids": [np.searchsorted(names, present) for present in sequence.present],
        "tracker_ids": [np.searchsorted(known, own) for own in reported],
        "similarity_scores": [like[:, chosen] for like, chosen in zip(sequence.similarity, counted, strict=True)],
    }
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": FITS}
    return (
        int(CLEAR(quiet).eval_sequence(data)["IDSW"]),
        float(Identity(quiet).eval_sequence(data)["IDF1"]),
        float(np.mean(HOTA().eval_sequence(data)["HOTA"])),
    )


def _times(sequence: Sequence, makers: dict[str, Callable[[], Track]]) -> dict[str, float]:
    """Seconds per frame of each, taking turns."""
    best: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(10):
        for name, make in makers.items():
            track, seconds = make(), []
            for poses, stamp in zip(sequence.poses, sequence.times, strict=True):
                start = time.perf_counter()
                track(poses, stamp)
                seconds.append(time.perf_counter() - start)
            best[name].append(float(np.median(seconds)))
    return {name: min(values) for name, values in best.items()}


if __name__ == "__main__":
    main()
