"""What a trained SWAHR network does at the labelled joints: how wide it wants targets, and how high its peaks are.

    python experiments/swahr_maps.py runs/ablation/SAHR-1/last.pt runs/ablation/WAHR-1/last.pt

For every checkpoint and three sizes of people: the median width of the targets that the scale maps ask for, relative
to the drawn ones (h ** (1 + s) is a Gaussian of sigma / sqrt(1 + s)), the median heatmap value at the labelled joints,
and the median of each heatmap's highest value in pictures where no labelled person has that joint.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from heatstream import skeletons
from heatstream.kernels import Geometry, letterbox
from heatstream.models.checkpoint_network import open_network, sized
from heatstream.models.data.root import find_root
from heatstream.models.pose.ground_truth import read_ground_truth

SIZES_PX = (0.0, 64.0, 128.0, np.inf)
"""Bounds of small, middle and large people: the square root of their area, in input px."""


def main() -> None:
    """Print one line per checkpoint and size of people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of training runs")
    parser.add_argument(
        "--data", default="shared/data", help="folder that holds coco_people, here or in a folder above"
    )
    options = parser.parse_args()
    print("| checkpoint | people | joints | width at 1/4 | width at 1/2 | value at joints | highest value elsewhere |")
    print("|---|---|---|---|---|---|---|")
    for checkpoint in options.checkpoints:
        joints, elsewhere = look(checkpoint, find_root(options.data) / "coco_people")
        for low, high in pairwise(SIZES_PX):
            rows = joints[(joints[:, 0] >= low) & (joints[:, 0] < high)]
            widths, value = 1 / np.sqrt(1 + np.median(rows[:, 1:3], axis=0)), np.median(rows[:, 3])
            print(
                f"| {checkpoint.parent.name} | {low:.0f} to {high:.0f} px | {len(rows)} | {widths[0]:.3f} | "
                f"{widths[1]:.3f} | {value:.2f} | {np.median(elsewhere):.2f} |"
            )


@torch.inference_mode()
def look(checkpoint: Path, people: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 4) of each labelled joint: person's size, both scales s, heatmap value; and (M,) of absent joints."""
    network, info = open_network(None, checkpoint)
    info = sized(info, "any:256")
    network.eval()
    ground_truth = read_ground_truth(people / "val.json", skeletons.get(info.skeleton))
    labels: dict[int, list[dict[str, object]]] = {}
    for annotation in ground_truth.content["annotations"]:
        labels.setdefault(annotation["image_id"], []).append(annotation)
    joints, elsewhere = [], []
    for image in track(ground_truth.images, description=checkpoint.parent.name):
        frame = cv2.imread(str(people / "val" / image["file_name"]))
        geometry = Geometry.reference((frame.shape[0], frame.shape[1]), info.input_size[0])
        output = network(torch.from_numpy(letterbox(frame, geometry, info.mean, info.std)), scales=True)
        quarter, half = (maps[0].float().numpy() for maps in output.scales)
        heat = output.heatmaps[1][0].float().numpy()
        shown = np.zeros(len(heat), bool)
        zoom = geometry.forward[0, 0]
        for person in labels.get(image["id"], []):
            points = np.array(person["keypoints"], np.float64).reshape(-1, 3)
            moved = points[:, :2] @ geometry.forward[:, :2].T + geometry.forward[:, 2]
            side = float(np.sqrt(float(str(person["area"]))) * zoom)
            for joint in np.flatnonzero(points[:, 2] > 0):
                shown[joint] = True
                x, y = np.minimum(moved[joint] // 2, (heat.shape[2] - 1, heat.shape[1] - 1)).astype(int)
                joints.append((side, quarter[joint, y // 2, x // 2], half[joint, y, x], heat[joint, y, x]))
        elsewhere += heat[~shown].max(axis=(1, 2)).tolist()
    return np.array(joints), np.array(elsewhere)


if __name__ == "__main__":
    main()
