"""What a training of landmarks sees: its sets, and how far its windows differ from the labelled boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heatstream.errors import DatasetError
from heatstream.models.landmarks.metrics import Norm
from heatstream.models.landmarks.readers.aflw import read_aflw
from heatstream.models.landmarks.readers.coco import read_coco
from heatstream.models.landmarks.readers.cofw import read_cofw
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.landmarks.readers.faces import read_faces
from heatstream.models.landmarks.readers.lapa import read_lapa
from heatstream.models.landmarks.readers.mpii import read_mpii
from heatstream.models.landmarks.readers.w300 import read_300w
from heatstream.models.landmarks.readers.wflw import read_wflw
from heatstream.skeletons import Skeleton

__all__ = [
    "LandmarkAugmentSettings",
    "LandmarkDataSettings",
    "LandmarkSetSettings",
    "LandmarkValidationSettings",
    "read_examples",
]

Format = Literal["faces", "wflw", "300w", "cofw", "aflw", "lapa", "mpii", "coco"]

FOLDERS_OF_LABELS = ("300w", "lapa")
"""Formats whose labels are files beside the photos."""

APART = ("wflw", "aflw", "mpii", "coco")
"""Formats whose photos lie in a folder of their own."""


@dataclass(frozen=True)
class LandmarkSetSettings:
    """One set, in the files of its owners; relative paths hang under `LandmarkDataSettings.root`.

    Attributes:
        format: which reader of :mod:`heatstream.models.landmarks.readers` it takes.
        annotations: the file with the labels; for "300w" and "lapa" the folder that holds them beside the photos.
        images: folder of the photos, for the formats that keep them apart: "wflw", "aflw", "mpii", "coco".
        part: of a file or folder that holds both: "train" or "test", for "300w", "cofw" and "aflw".
        weight: how often each face of this set is seen, relative to those of a set with weight 1.
    """

    format: Format
    annotations: str
    images: str = ""
    part: Literal["train", "test"] = "train"
    weight: float = 1.0


@dataclass(frozen=True)
class LandmarkValidationSettings:
    """What a training is validated on; relative paths hang under `LandmarkDataSettings.root`.

    Attributes:
        format: as of :class:`LandmarkSetSettings`, like the next three.
        annotations: see there.
        images: see there.
        part: see there.
        norm: what errors are divided by.
        limit: use the first so many faces; 0 uses all.
    """

    format: Format
    annotations: str
    images: str = ""
    part: Literal["train", "test"] = "test"
    norm: Norm = "inter-ocular"
    limit: int = 0


@dataclass(frozen=True)
class LandmarkDataSettings:
    """What a training of landmarks sees.

    Attributes:
        sets: what it learns from.
        root: folder of the sets; a relative one is looked for in the current folder and every folder above.
        size: (height, width) of the network's input in px, multiples of 32.
        workers: processes that make samples; 0 makes them in the training process.
        cache_gb: memory for faces cut out of their photos in 1e9 bytes; the rest is read whenever it is shown.
        validation: what it is measured on; None measures nothing.
    """

    sets: tuple[LandmarkSetSettings, ...]
    root: str = "data"
    size: tuple[int, int] = (256, 256)
    workers: int = 2
    cache_gb: float = 4.0
    validation: LandmarkValidationSettings | None = None


@dataclass(frozen=True)
class LandmarkAugmentSettings:
    """How far training windows differ from the windows that are looked at later.

    Attributes:
        rotation: degrees to either side, uniform.
        scale: the window's side over that of :func:`heatstream.kernels.reference.crops.crop_rectangles`, uniform in its
            logarithm between the two.
        translation: to either side, uniform, as a share of the window's sides.
        flip: probability of a left-right flip.
        colour: probability of other light: gamma, contrast, brightness and colour cast.
        grey: probability of a picture without colour.
        blur: probability of a Gaussian blur.
        jpeg: probability of JPEG artefacts.
        cutout: probability of covering one to three rectangles; landmarks beneath stay labelled.
    """

    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.25)
    translation: float = 0.0
    flip: float = 0.5
    colour: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    jpeg: float = 0.0
    cutout: float = 0.0


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
