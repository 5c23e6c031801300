"""Average precision of a model file on a COCO keypoint set, through the pipeline that users run.

``python tools/evaluate.py swahr-mobile --images coco/val2017 --annotations person_keypoints_val2017.json``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.progress import track

import heatstream


def main() -> None:
    """Parse the command line, find people in every image, and print the COCO table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a bundled model's name or a model file")
    parser.add_argument("--images", type=Path, required=True, help="folder of the images")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO keypoint annotations (.json)")
    parser.add_argument("--limit", type=int, help="only the first so many images")
    options = parser.parse_args()

    truth = COCO(options.annotations)
    numbers = sorted(truth.getImgIds())[: options.limit]
    found = []
    with heatstream.load(options.model) as pipeline:
        for number in track(numbers, description="finding people"):
            path = options.images / truth.loadImgs(number)[0]["file_name"]
            frame = cv2.imread(str(path))
            if frame is None:
                raise SystemExit(f"{path} cannot be read as an image")
            found += pipeline(frame).to_coco(image_id=number)
    if not found:
        raise SystemExit("nobody was found in any image, so there is no precision to tell")
    evaluation = COCOeval(truth, truth.loadRes(found), "keypoints")
    evaluation.params.imgIds = numbers
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()


if __name__ == "__main__":
    main()
