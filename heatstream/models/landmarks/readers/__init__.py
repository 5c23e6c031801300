"""Faces and bodies in boxes: one reader per dataset, for the files as their owners publish them.

Every reader gives a list of :class:`LandmarkAnnotation`; none opens a photograph. Errors name the file and its line,
row or entry.
"""

from heatstream.models.landmarks.readers.aflw import read_aflw, read_aflw_csv
from heatstream.models.landmarks.readers.coco import PersonBox, read_coco, read_person_boxes
from heatstream.models.landmarks.readers.cofw import read_cofw
from heatstream.models.landmarks.readers.detect import LandmarkDataset, detect_dataset
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.landmarks.readers.faces import read_faces
from heatstream.models.landmarks.readers.lapa import read_lapa
from heatstream.models.landmarks.readers.mpii import read_mpii, read_mpii_heads
from heatstream.models.landmarks.readers.mpii_release import read_mpii_release
from heatstream.models.landmarks.readers.w300 import read_300w
from heatstream.models.landmarks.readers.wflw import read_wflw

__all__ = [
    "LandmarkAnnotation",
    "LandmarkDataset",
    "PersonBox",
    "detect_dataset",
    "read_300w",
    "read_aflw",
    "read_aflw_csv",
    "read_coco",
    "read_cofw",
    "read_faces",
    "read_lapa",
    "read_mpii",
    "read_mpii_heads",
    "read_mpii_release",
    "read_person_boxes",
    "read_wflw",
]
