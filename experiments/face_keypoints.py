"""How well a pose network places nose, eyes and ears, and how sure it is of them: what face regions are measured by.

On people of a labelled set who were found (OKS of 0.5 or more): the distance of their face keypoints from the labelled
ones, in sides of the face that is fitted to the labels; the mean score of nose and eyes, of faces (all three are
labelled as visible) and of heads from behind (none is labelled, but both shoulders and an ear are); and on how many of
both a face is drawn, for several values of `SURE_SCORE`.

    python experiments/face_keypoints.py swahr-small --data shared/data/coco_people
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import heatstream
from heatstream.models.pose.evaluation import FOUND_OKS, evaluate
from heatstream.results import Poses
from heatstream.runtime.pipelines import face_regions
from heatstream.runtime.pipelines.face_regions import face_keypoints, regions_of_poses
from heatstream.skeletons import COCO_17

VISIBLE = 2
VALUES = (0.0, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
SHOULDERS = [COCO_17.keypoints.index(f"{side}_shoulder") for side in ("left", "right")]


def main() -> None:
    """Measure, and print medians and shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name or file")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.json, val.json and train/, val/")
    parser.add_argument("--part", choices=["train", "val"], default="train")
    parser.add_argument("--limit", type=int, default=0, help="photographs; 0 for all")
    options = parser.parse_args()

    face = face_keypoints(COCO_17)
    apart: list[list[float]] = [[] for _ in face]
    sure: dict[str, list[float]] = {"faces": [], "heads from behind": []}
    drawn: dict[str, list[bool]] = {name: [] for name in sure}
    faces: list[set[int]] = []  # of every photograph: who has one
    face_regions.SURE_SCORE = 0.0
    with heatstream.load(options.model, "cpu", 1, faces="h3r-mobile-68") as pipeline:

        def find(frame: NDArray[np.uint8]) -> Poses:
            result = pipeline(frame)
            assert result.faces is not None
            faces.append(set(result.faces.people.tolist()))
            return result.poses

        folder = options.data / options.part
        labels = folder.with_suffix(".json")
        found = evaluate(find, labels, folder, skeleton=COCO_17.name, limit=options.limit)
    for image, people in zip(found.images, faces, strict=True):
        for truth, oks in zip(image.ground_truth, image.oks, strict=True):
            if oks < FOUND_OKS:
                continue
            seen = truth[:, 2] > 0
            distances = np.linalg.norm(image.poses.keypoints[:, seen] - truth[seen, :2], axis=2).mean(axis=1)
            index = int(distances.argmin())
            score = float(image.poses.keypoint_scores[index, face[:3]].mean())
            behind = not seen[face[:3]].any() and seen[SHOULDERS].all() and seen[face[3:]].any()
            if behind or (truth[face[:3], 2] == VISIBLE).all():
                name = "heads from behind" if behind else "faces"
                sure[name].append(score)
                drawn[name].append(index in people)
            labelled = Poses(truth[None, :, :2], seen[None].astype(np.float32), np.ones(1, np.float32), COCO_17.name)
            regions, _ = regions_of_poses(labelled, face)
            if len(regions):
                gaps = np.linalg.norm(image.poses.keypoints[index, face] - truth[face, :2], axis=1) / regions.sides[0]
                for place, joint in enumerate(face):
                    if seen[joint] and image.poses.keypoint_scores[index, joint] > 0:
                        apart[place].append(float(gaps[place]))
    for joint, values in zip(face, apart, strict=True):
        print(f"{COCO_17.keypoints[joint]}: {np.median(values):.3f} sides in the median of {len(values)}")
    for name, scores in sure.items():
        shares = ", ".join(f"{share:.0%} above {np.quantile(scores, 1 - share):.2f}" for share in (0.1, 0.5, 0.9, 0.95))
        print(f"nose and eyes of {len(scores)} {name}: {shares}")
        some = np.array(scores)[drawn[name]]
        counts = ", ".join(f"{(some >= value).sum()} at {value}" for value in VALUES)
        print(f"  drawn: {counts}")


if __name__ == "__main__":
    main()
