"""The front door: which set lies in a folder, and how it is measured.

A set is known by the names that its owners gave their files, and JSON by what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.aflw import read_aflw, read_aflw_csv
from heatstream.models.landmarks.readers.coco import read_coco
from heatstream.models.landmarks.readers.cofw import read_cofw
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.landmarks.readers.faces import read_faces
from heatstream.models.landmarks.readers.lapa import read_lapa
from heatstream.models.landmarks.readers.mpii import read_mpii
from heatstream.models.landmarks.readers.mpii_release import read_mpii_release
from heatstream.models.landmarks.readers.parsing import mat_names, read_json
from heatstream.models.landmarks.readers.w300 import has_usual_test, read_300w
from heatstream.models.landmarks.readers.wflw import gives_boxes, read_wflw
from heatstream.models.settings import Norm
from heatstream.skeletons import (
    AFLW_19,
    COCO_17,
    COFW_29,
    CROWDPOSE_14,
    LAPA_106,
    MPII_16,
    SKELETONS,
    W300_68,
    WFLW_98,
    Skeleton,
)

__all__ = ["LandmarkDataset", "detect_dataset"]

Measure = Literal["nme", "pckh", "oks"]

LABELS = {
    "faces or COCO": ("val.json", "test.json"),
    "WFLW": (
        *(f"{above}list_98pt_rect_attr_test.txt" for above in ("", "*/", "*/*/")),
        *("WFLW/test.txt", "wflw/test.txt"),  # as H3R's program has it
    ),
    "COFW": tuple(f"{above}COFW_test_color.mat" for above in ("", "*/")),
    "AFLW": tuple(
        f"{above}{name}" for name in ("AFLWinfo_release.mat", "face_landmarks_aflw_test.csv") for above in ("", "*/")
    ),
    "MPII": ("annot/valid.json", "valid.json"),
    "COCO": ("annotations/person_keypoints_val2017.json", "person_keypoints_val2017.json"),
    "CrowdPose": ("json/crowdpose_test.json", "crowdpose_test.json"),
}
"""Where the part of a set lies that is measured, in the folder or below."""


@dataclass(frozen=True, eq=False)
class LandmarkDataset:
    """A set of labelled faces or bodies, not read yet.

    Attributes:
        title: its human-readable name.
        skeleton: of its labels.
        measure: how it is measured: "nme" for faces, "pckh" for MPII, "oks" for COCO.
        norm: what its papers divide errors of faces by.
        labels: the file or the folder of its labels.
        images: the folder of its photos; that of the labels where these hold the photos or lie beside them.
        read: reads its examples; raises DatasetError, which names the file and the line.
        tight: whether it gives no boxes of its own, so that those around its points are taken.
    """

    title: str
    skeleton: Skeleton
    measure: Measure
    norm: Norm
    labels: Path
    images: Path
    read: Callable[[], list[LandmarkAnnotation]]
    tight: bool = False


def detect_dataset(
    folder: Path, annotations: Path | None = None, *, skeleton: Skeleton | None = None
) -> LandmarkDataset:
    """The set in a folder, that is the part of it that is measured.

    Args:
        folder: as its owners pack it, or a folder above or below; of `annotations` that of the photos.
        annotations: the file of the labels, where it is another than the usual one; looked up in the folder too.
        skeleton: what faces JSON and COCO keypoints are of where they have as many points; otherwise the known layout
            of that number.

    Raises:
        DatasetError: there is no such folder or file, no set is known in it, or several are.
    """
    if not os.path.isdir(folder):
        raise DatasetError(f"{folder} is not a folder: give the one that the set was unpacked into")
    if annotations is not None:
        return _of_file(annotations if os.path.exists(annotations) else folder / annotations, folder, skeleton)
    found = [_of_file(file, folder, skeleton) for file in _label_files(folder)]
    found += [_lapa(place) for place in (folder, folder / "test") if _is_lapa(place)]
    if not found and next(folder.rglob("*.pts"), None) is not None:
        found = [_w300(folder)]
    if not found and len(only := list(folder.glob("*.json"))) == 1:
        found = [_of_file(only[0], folder, skeleton)]
    if not found:
        names = {title: dict.fromkeys(each.rpartition("*/")[2] for each in LABELS[title]) for title in LABELS}
        looked = ", ".join(f"{' or '.join(files)} ({title})" for title, files in names.items())
        raise DatasetError(
            f"{folder} holds no set that is known; looked for {looked}, landmarks/ and images/ (LaPa), .pts files "
            "(300-W) and a single .json file: correct --data, or name the file of the labels with --annotations"
        )
    if len(found) > 1:
        several = " and ".join(f"{each.labels.relative_to(folder)} ({each.title})" for each in found)
        raise DatasetError(f"{folder} holds several sets, {several}: name the file of one with --annotations")
    return found[0]


def _label_files(folder: Path) -> Iterator[Path]:
    """Of every kind the first file that there is."""
    for patterns in LABELS.values():
        found = (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file())
        if (first := next(found, None)) is not None:
            yield first


def _of_file(labels: Path, folder: Path, skeleton: Skeleton | None) -> LandmarkDataset:
    readers: dict[str, Callable[[Path, Path], LandmarkDataset]] = {
        ".txt": _wflw,
        ".mat": _matlab,
        ".csv": _aflw_csv,
        ".json": lambda labels, folder: _json(labels, folder, skeleton),
    }
    if not os.path.isfile(labels):
        raise DatasetError(f"there are no annotations at {labels}: correct --annotations")
    if (reader := readers.get(labels.suffix.lower())) is None:
        raise DatasetError(f"{labels} is of no known kind: labels end in {', '.join(readers)}; give another file")
    return reader(labels, folder)


def _wflw(labels: Path, folder: Path) -> LandmarkDataset:
    images = _beside(labels, folder, ["WFLW_images", "images"])
    read = partial(read_wflw, labels, images)
    tight = not gives_boxes(labels)
    return LandmarkDataset("WFLW", WFLW_98, "nme", "inter-ocular", labels, images, read, tight=tight)


def _matlab(labels: Path, folder: Path) -> LandmarkDataset:
    names = mat_names(labels)
    if "nameList" in names:
        images = _beside(labels, folder, ["flickr", "data/flickr", "aflw/data/flickr", "images"])
        return LandmarkDataset("AFLW", AFLW_19, "nme", "box", labels, images, lambda: read_aflw(labels, images, "test"))
    part: Literal["train", "test"] = "train" if "IsTr" in names else "test"
    if "IsTr" in names or "IsT" in names:
        return LandmarkDataset(
            "COFW", COFW_29, "nme", "inter-ocular", labels, labels.parent, lambda: read_cofw(labels, part)
        )
    if "RELEASE" in names:
        images = _beside(labels, folder, ["images"])
        return LandmarkDataset(
            "MPII, training", MPII_16, "pckh", "box", labels, images, lambda: read_mpii_release(labels, images)
        )
    raise DatasetError(
        f"{labels} holds neither COFW's IsT, AFLW's nameList nor MPII's RELEASE: give the file that the set's owners "
        "publish"
    )


def _aflw_csv(labels: Path, folder: Path) -> LandmarkDataset:
    images = _beside(labels, folder, ["images", "flickr", "data/flickr", "aflw/data/flickr"])
    return LandmarkDataset("AFLW", AFLW_19, "nme", "box", labels, images, lambda: read_aflw_csv(labels, images))


def _json(labels: Path, folder: Path, expected: Skeleton | None) -> LandmarkDataset:
    content = read_json(labels, dict, list)
    if isinstance(content, list):
        images = _beside(labels, folder, ["images"])
        heads = labels.with_name(f"gt_{labels.stem}.mat")
        return LandmarkDataset("MPII", MPII_16, "pckh", "box", labels, images, lambda: read_mpii(labels, images, heads))
    if "num_points" in content:
        skeleton = _with_points(content["num_points"], labels, expected)
        return LandmarkDataset(
            "faces",
            skeleton,
            "nme",
            "inter-ocular" if skeleton.name in SKELETONS else "box",
            labels,
            folder,
            lambda: read_faces(labels, skeleton, images=folder),
        )
    if "annotations" not in content:
        raise DatasetError(f"{labels} holds neither faces (num_points) nor COCO keypoints (annotations): give another")
    part = labels.stem.rpartition("_")[2]
    images = _beside(labels, folder, [labels.stem, part, f"images/{part}", "images"])
    skeleton = _of_coco(content, labels, expected)
    return LandmarkDataset("COCO", skeleton, "oks", "box", labels, images, lambda: read_coco(labels, images, skeleton))


def _is_lapa(folder: Path) -> bool:
    return (folder / "landmarks").is_dir() and (folder / "images").is_dir()


def _lapa(folder: Path) -> LandmarkDataset:
    return LandmarkDataset(
        "LaPa", LAPA_106, "nme", "inter-ocular", folder, folder, lambda: read_lapa(folder), tight=True
    )


def _w300(folder: Path) -> LandmarkDataset:
    # A folder above the set's own would mix training and test.
    inside = {above for file in folder.rglob("*.pts") for above in file.parents if folder in above.parents}
    folder = next((each for each in (folder, *sorted(inside)) if has_usual_test(each)), folder)
    usual = has_usual_test(folder)
    title = "300-W, full test" if usual else "300-W"
    part: Literal["test", "all"] = "test" if usual else "all"
    read = partial(read_300w, folder, part)
    return LandmarkDataset(title, W300_68, "nme", "inter-ocular", folder, folder, read, tight=True)


def _beside(labels: Path, folder: Path, names: Sequence[str]) -> Path:
    """The first of the folders of photos that there is, in the folder or above the labels; else the folder."""
    above = [parent for parent in labels.parents if folder in (parent, *parent.parents)]
    places = (place / name for place in (folder, *above, folder.parent) for name in names)
    return next((place for place in places if place.is_dir()), folder)


def _with_points(count: object, labels: Path, expected: Skeleton | None) -> Skeleton:
    if expected is not None and expected.num_keypoints == count:
        return expected
    for skeleton in (W300_68, WFLW_98, LAPA_106, COFW_29, AFLW_19):
        if skeleton.num_keypoints == count:
            return skeleton
    raise DatasetError(f"{labels}: no layout of a face has num_points {count!r}: it is one of 19, 29, 68, 98, 106")


def _keypoints(entries: object) -> Iterator[list[Any]]:
    """The lists of keypoints of categories or annotations, whatever else there is in their place."""
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("keypoints"), list) and entry["keypoints"]:
            yield entry["keypoints"]


def _of_coco(content: dict[str, Any], labels: Path, expected: Skeleton | None) -> Skeleton:
    """The expected one if it has as many keypoints; CrowdPose's has 14. The reader reports what is wrong in the file.

    Raises:
        DatasetError: these are faces.
    """
    named = {len(names) for names in _keypoints(content.get("categories"))}
    counts = {*named, len(next(_keypoints(content["annotations"]), ())) // 3}
    if expected is not None and expected.num_keypoints in counts:
        return expected
    for skeleton in (W300_68, WFLW_98, LAPA_106, COFW_29, AFLW_19):
        if skeleton.num_keypoints in counts:
            raise DatasetError(
                f"{labels} labels {skeleton.num_keypoints} landmarks of faces in COCO's layout, which is not read: "
                "give the own files of the set they are from, or a .json file of faces (docs/training.md)"
            )
    return CROWDPOSE_14 if CROWDPOSE_14.num_keypoints in counts else COCO_17
