"""A recipe's set goes to the reader of its format."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers import formats
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.landmarks.readers.formats import read_examples
from heatstream.models.settings import Format, LandmarkSetSettings
from heatstream.skeletons import COFW_29, W300_68, Skeleton

READERS = {
    "faces": (Path("root/labels"), W300_68),
    "wflw": (Path("root/labels"), Path("root/photos")),
    "300w": (Path("root/labels"), "test"),
    "cofw": (Path("root/labels"), "test"),
    "aflw": (Path("root/labels"), Path("root/photos"), "test"),
    "lapa": (Path("root/labels"),),
    "mpii": (Path("root/labels"), Path("root/photos")),
    "coco": (Path("root/labels"), Path("root/photos"), W300_68),
}
"""What each format's reader is called with."""


def example(count: int) -> LandmarkAnnotation:
    return LandmarkAnnotation(
        Path("photo.jpg"), np.zeros((count, 2)), np.full(count, 2, np.int8), np.array([0.0, 0, 9, 9])
    )


def test_every_format_is_here() -> None:
    assert set(get_args(Format)) == set(READERS)


@pytest.mark.parametrize("kind", READERS)
def test_a_format_has_its_reader(kind: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def read(*arguments: object) -> list[LandmarkAnnotation]:
        called.append(arguments)
        return [example(68)]

    for name in READERS:
        other = lambda *_: pytest.fail("another set's reader was called")  # noqa: E731
        monkeypatch.setattr(formats, f"read_{name}", read if name == kind else other)
    found = read_examples(LandmarkSetSettings(kind, "labels", "photos", "test"), Path("root"), W300_68)
    assert len(found) == 1
    assert called == [READERS[kind]]


@pytest.mark.parametrize(
    ("skeleton", "counts", "words"),
    [(COFW_29, [68, 68], "has 68 landmarks per face, cofw-29 29"), (W300_68, [], "has no landmarks per face")],
)
def test_another_number_of_landmarks_is_refused(
    skeleton: Skeleton, counts: list[int], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "read_lapa", lambda _: [example(count) for count in counts])
    with pytest.raises(DatasetError, match=words):
        read_examples(LandmarkSetSettings("lapa", "train"), Path("root"), skeleton)
