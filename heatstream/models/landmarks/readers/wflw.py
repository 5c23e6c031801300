"""WFLW: ``list_98pt_rect_attr_train.txt`` and ``..._test.txt`` (Wu et al., CVPR 2018)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.parsing import numbered_lines, numbers
from heatstream.skeletons import WFLW_98

__all__ = ["gives_boxes", "read_wflw"]

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
"""Flags of a face in the order of the file; each names a subset of the test."""

COORDINATES = 2 * WFLW_98.num_keypoints
BOX = slice(COORDINATES, COORDINATES + 4)
FLAGS = slice(BOX.stop, BOX.stop + len(ATTRIBUTES))


def read_wflw(annotations: Path, images: Path) -> list[LandmarkAnnotation]:
    """Every face of a list; faces whose flag is set belong to the subset of that name.

    The set's own lists of a subset (``list_98pt_test_blur.txt``) hold neither boxes nor flags: their boxes are those
    around the points.

    Args:
        annotations: a line holds 98 points, the detector's box, six flags and the photo's name.
        images: the folder ``WFLW_images``.

    Raises:
        DatasetError: names the file and the line.
    """
    examples = []
    for where, line in numbered_lines(annotations):
        fields = line.split(maxsplit=FLAGS.stop)
        if len(fields) == COORDINATES + 1:
            points = numbers(fields[:-1], where).reshape(-1, 2)
            box = np.concatenate([points.min(axis=0), points.max(axis=0)])
            examples.append(make_annotation(images / fields[-1], points, box, where=where))
            continue
        if len(fields) != FLAGS.stop + 1:
            raise DatasetError(f"{where}: {len(fields)} fields, expected {FLAGS.stop + 1}: correct the file")
        values = numbers(fields[:-1], where)
        if not np.isin(values[FLAGS], (0, 1)).all():
            raise DatasetError(f"{where}: a flag is neither 0 nor 1: correct the file")
        examples.append(
            make_annotation(
                images / fields[-1],
                values[:COORDINATES].reshape(-1, 2),
                values[BOX],
                where=where,
                subsets=tuple(name for name, flag in zip(ATTRIBUTES, values[FLAGS], strict=True) if flag),
            )
        )
    if not examples:
        raise DatasetError(f"{annotations} lists no face: download it again")
    return examples


def gives_boxes(annotations: Path) -> bool:
    """Whether a list is one with boxes and flags, not one of a subset.

    Raises:
        DatasetError: it cannot be read.
    """
    lines = numbered_lines(annotations)
    return not lines or len(lines[0][1].split(maxsplit=COORDINATES + 1)) > COORDINATES + 1
