"""The same people as tasks for Label Studio, with predictions to correct, and the labelling interface they fit.

A person is a rectangle, its keypoints belong to it (``parentID``); places are in per cent of the picture. That is Label
Studio's documented "basic JSON format" of pre-annotated tasks. Its COCO export gives back rectangles with keypoints.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from heatstream.skeletons import Skeleton

__all__ = ["label_studio_interface", "label_studio_tasks"]

POINT_PER_CENT = 0.5
"""Size of a keypoint on the screen, of the picture's width."""

PREFIX = "/data/local-files/?d="
"""How Label Studio calls files below the folder that its local storage serves."""


def label_studio_tasks(labels: dict[str, Any], folder: str, version: str) -> list[dict[str, Any]]:
    """Tasks with one prediction each.

    Args:
        labels: of :func:`heatstream.demo.labelling.coco.coco_labels`.
        folder: of the pictures, as it is called below the folder of Label Studio's local storage.
        version: what the prediction is called.
    """
    names = labels["categories"][0]["keypoints"]
    people: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in labels["images"]}
    for annotation in labels["annotations"]:
        people[annotation["image_id"]].append(annotation)
    tasks = []
    for image in labels["images"]:
        found = people[image["id"]]
        result = [entry for person in found for entry in _entries(person, image, names)]
        score = min((person["score"] for person in found), default=0.0)  # the most doubtful picture comes first
        place = quote(f"{folder}/{image['file_name']}" if folder else image["file_name"])
        tasks.append(
            {
                "data": {"image": PREFIX + place},
                "predictions": [{"model_version": version, "score": score, "result": result}],
            }
        )
    return tasks


def label_studio_interface(skeleton: Skeleton) -> str:
    """The labelling configuration of a project, XML."""
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in skeleton.keypoints)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        '  <RectangleLabels name="people" toName="image">\n    <Label value="person"/>\n  </RectangleLabels>\n'
        f'  <KeyPointLabels name="keypoints" toName="image">\n{labels}\n  </KeyPointLabels>\n</View>\n'
    )


def _entries(person: dict[str, Any], image: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """A person's rectangle, then the keypoints."""
    width, height = image["width"], image["height"]
    common = {"to_name": "image", "original_width": width, "original_height": height, "image_rotation": 0}
    name = f"person-{person['id']}"
    x, y, box_width, box_height = person["bbox"]
    entries: list[dict[str, Any]] = [
        {
            **common,
            "id": name,
            "from_name": "people",
            "type": "rectanglelabels",
            "score": person["score"],
            "value": {
                "x": 100 * x / width,
                "y": 100 * y / height,
                "width": 100 * box_width / width,
                "height": 100 * box_height / height,
                "rotation": 0,
                "rectanglelabels": ["person"],
            },
        }
    ]
    for joint, (joint_name, score) in enumerate(zip(names, person["keypoint_scores"], strict=True)):
        x, y, visibility = person["keypoints"][3 * joint : 3 * joint + 3]
        if visibility:
            entries.append(
                {
                    **common,
                    "id": f"{name}-{joint_name}",
                    "parentID": name,
                    "from_name": "keypoints",
                    "type": "keypointlabels",
                    "score": score,
                    "value": {
                        "x": 100 * x / width,
                        "y": 100 * y / height,
                        "width": POINT_PER_CENT,
                        "keypointlabels": [joint_name],
                    },
                }
            )
    return entries
