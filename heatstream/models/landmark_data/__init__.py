"""Faces and bodies in boxes: one reader per dataset, for the files as their owners publish them.

Every reader gives a list of :class:`Example`; none opens a photograph. Errors name the file and its line, row or
entry.
"""

from heatstream.models.landmark_data.aflw import read_aflw, read_aflw_csv
from heatstream.models.landmark_data.coco import PersonBox, read_coco, read_person_boxes
from heatstream.models.landmark_data.cofw import read_cofw
from heatstream.models.landmark_data.example import Example
from heatstream.models.landmark_data.faces import read_faces
from heatstream.models.landmark_data.lapa import read_lapa
from heatstream.models.landmark_data.mpii import read_mpii, read_mpii_heads
from heatstream.models.landmark_data.mpii_release import read_mpii_release
from heatstream.models.landmark_data.open_set import LandmarkSet, open_set
from heatstream.models.landmark_data.w300 import read_300w
from heatstream.models.landmark_data.wflw import read_wflw

__all__ = [
    "Example",
    "LandmarkSet",
    "PersonBox",
    "open_set",
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
