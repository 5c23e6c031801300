"""Which reader a recipe's set goes to."""

from __future__ import annotations

from pathlib import Path

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.aflw import read_aflw
from heatstream.models.landmarks.readers.coco import read_coco
from heatstream.models.landmarks.readers.cofw import read_cofw
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.landmarks.readers.faces import read_faces
from heatstream.models.landmarks.readers.lapa import read_lapa
from heatstream.models.landmarks.readers.mpii import read_mpii
from heatstream.models.landmarks.readers.w300 import read_300w
from heatstream.models.landmarks.readers.wflw import read_wflw
from heatstream.models.settings import LandmarkSetSettings, LandmarkValidationSettings
from heatstream.skeletons import Skeleton

__all__ = ["APART", "FOLDERS_OF_LABELS", "read_examples"]

FOLDERS_OF_LABELS = ("300w", "lapa")
"""Formats whose labels are files beside the photos."""

APART = ("wflw", "aflw", "mpii", "coco")
"""Formats whose photos lie in a folder of their own."""


def read_examples(
    settings: LandmarkSetSettings | LandmarkValidationSettings, root: Path, skeleton: Skeleton
) -> list[LandmarkAnnotation]:
    """The faces or bodies of a set.

    Raises:
        DatasetError: of the set's reader, or the set has another number of landmarks than the skeleton, or none.
    """
    labels, images = root / settings.annotations, root / settings.images
    readers = {
        "faces": lambda: read_faces(labels, skeleton),
        "wflw": lambda: read_wflw(labels, images),
        "300w": lambda: read_300w(labels, settings.part),
        "cofw": lambda: read_cofw(labels, settings.part),
        "aflw": lambda: read_aflw(labels, images, settings.part),
        "lapa": lambda: read_lapa(labels),
        "mpii": lambda: read_mpii(labels, images),
        "coco": lambda: read_coco(labels, images, skeleton),
    }
    examples = readers[settings.format]()
    counts = {len(example.points) for example in examples}
    if counts != {skeleton.num_keypoints}:
        found = " or ".join(map(str, sorted(counts))) or "no"
        raise DatasetError(
            f"{labels} has {found} landmarks per face, {skeleton.name} {skeleton.num_keypoints}: "
            "correct the set's format or model.skeleton"
        )
    return examples
