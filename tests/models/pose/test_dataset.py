"""Training samples: pure functions of seed and number, whose parts agree with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.models.data.root import find_root
from heatstream.models.pose.dataset import MAX_PEOPLE, TrainingSet, load_training_set
from heatstream.models.settings import AugmentSettings, DataSettings, SetSettings
from heatstream.skeletons import COCO_17
from tests.fakes.coco_sets import PLAIN, annotation, made_photo, person, random_set, write_set

EVERYTHING = AugmentSettings(
    zoom_people=0.5, colour=0.5, grey=0.2, blur=0.3, jpeg=0.3, cutout=0.3, mosaic=0.5
)  # fmt: skip


@pytest.mark.parametrize("augment", [PLAIN, AugmentSettings(), EVERYTHING], ids=["plain", "paper", "everything"])
def test_a_sample_has_the_stated_shapes(tmp_path: Path, augment: AugmentSettings) -> None:
    training_set = random_set(tmp_path, augment=augment)
    for number in range(8):
        sample = training_set[number]
        shapes = {name: (value.shape, str(value.dtype)) for name, value in sample._asdict().items()}
        assert shapes == {
            "image": ((64, 64, 3), "uint8"),
            "people": ((30, 17, 3), "float32"),
            "extents": ((30,), "float32"),
            "joints": ((30, 17, 2), "int32"),
            "region": ((32, 32), "uint8"),
            "labelled": ((17,), "uint8"),
            "index": ((), "int64"),
        }
        present = sample.people[:, :, 2].any(axis=1)
        assert ((sample.extents > 0) == present).all()
        assert ((sample.joints[:, :, 1].sum(axis=1)) == (sample.people[:, :, 2] > 0).sum(axis=1)).all()
        seen = sample.people[sample.people[:, :, 2] > 0, :2]
        assert ((seen >= 0) & (seen < 64)).all()
        assert training_set.photo_name(int(sample.index)).endswith(".png")


def test_a_sample_is_a_function_of_seed_and_number(tmp_path: Path) -> None:
    first = random_set(tmp_path, augment=EVERYTHING)
    forward = [first[number] for number in range(12)]
    again = random_set(tmp_path, augment=EVERYTHING)
    again.frames.preload(1.0)  # cached or not
    for number in (7, 0, 11, 3, 3):  # in any order
        for one, other in zip(forward[number], again[number], strict=True):
            np.testing.assert_array_equal(one, other)
    other_seed = random_set(tmp_path, augment=EVERYTHING, seed=1)
    assert all((forward[number].image != other_seed[number].image).any() for number in range(12))


def test_the_cache_is_not_written_to(tmp_path: Path) -> None:
    training_set = random_set(tmp_path, augment=replace(EVERYTHING, cutout=1))
    training_set.frames.preload(1.0)
    before = [training_set.frames.frame(number).copy() for number in range(6)]
    for number in range(24):
        training_set[number]
    for number in range(6):
        np.testing.assert_array_equal(training_set.frames.frame(number), before[number])


def test_joints_are_where_the_people_are(tmp_path: Path) -> None:
    sample = random_set(tmp_path)[0]
    for points, joints in zip(sample.people, sample.joints, strict=True):
        labelled = np.flatnonzero(points[:, 2])
        cells = (points[labelled, :2] // 4).astype(int)
        assert joints[: len(labelled), 0].tolist() == (labelled * 256 + cells[:, 1] * 16 + cells[:, 0]).tolist()


def test_a_mosaic_shows_four_photos_of_one_set(tmp_path: Path) -> None:
    """Photos of one value each: the window's quarters are theirs, and nobody reaches over a seam."""
    training_set = random_set(tmp_path, augment=replace(PLAIN, mosaic=1.0))
    for number in range(6):
        people = training_set[number].people
        assert 1 < people[:, :, 2].any(axis=1).sum() <= 8
    counts = Counter(int(training_set[number].index) for number in range(12))
    assert set(counts.values()) == {2}


def test_more_people_than_fit_are_left_out_of_the_loss(tmp_path: Path) -> None:
    """40 noses in a row; the 10 for whom there is no room are taken out of the region."""
    write_set(tmp_path, [], size=(64, 64))
    noses = [person({0: (2 + 1.5 * i, 32, 2), 1: (2 + 1.5 * i, 40, 2)}) for i in range(40)]
    photo = made_photo(noses, path=tmp_path / "photos" / "1.png")
    training_set = TrainingSet([(SetSettings("", ""), [photo])], size=64, augment=PLAIN, skeleton=COCO_17, seed=0)
    sample = training_set[0]
    kept = set(sample.people[:, 0, 0].tolist())
    assert len(kept) == MAX_PEOPLE
    for nose in noses:
        x = int(nose[0, 0] / 2)
        if nose[0, 0] not in kept:
            assert not sample.region[16:21, x].any()
    assert sample.region[10].all()


def test_people_come_in_random_order(tmp_path: Path) -> None:
    write_set(tmp_path, [], size=(64, 64))
    photo = made_photo(
        [person({0: (x, 10, 2), 1: (x, 20, 2)}) for x in range(5, 60, 5)], path=tmp_path / "photos" / "1.png"
    )
    training_set = TrainingSet([(SetSettings("", ""), [photo])], size=64, augment=PLAIN, skeleton=COCO_17, seed=0)
    orders = {tuple(training_set[number].people[:11, 0, 0].tolist()) for number in range(5)}
    assert len(orders) == 5
    assert len({tuple(sorted(order)) for order in orders}) == 1


def test_weights_of_sets_are_honoured(tmp_path: Path) -> None:
    sets = []
    for name, weight in (("a", 1.0), ("b", 3.0)):
        found = [annotation(person({0: (5, 5, 2)}), image_id=number) for number in (1, 2, 3)]
        write_set(tmp_path / name, found, photos=3)
        sets.append(SetSettings(f"{name}/labels.json", f"{name}/photos", weight=weight))
    settings = DataSettings(sets=tuple(sets), root=str(tmp_path), size=64)
    training_set = load_training_set(settings, PLAIN, COCO_17, seed=0)
    assert len(training_set.frames) == 6
    names = [training_set.photo_name(int(training_set[number].index)) for number in range(24)]
    assert Counter(Path(name).parent.parent.name for name in names) == {"a": 6, "b": 18}
    assert set(Counter(names).values()) == {2, 6}


def test_the_root_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept" / "sets").mkdir(parents=True)
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")
    assert find_root("kept/sets") == tmp_path / "kept" / "sets"
    assert find_root(str(tmp_path / "kept")) == tmp_path / "kept"
    with pytest.raises(DatasetError, match="no folder lost"):
        find_root("lost")


def test_real_windows_show_labelled_bodies(shared_data: Callable[[str], Path]) -> None:
    root = shared_data("coco_people/train.json").parent.parent
    sets = (
        SetSettings("coco_people_more/train.json", "coco_people_more/train"),
        SetSettings("lspet/train.json", "lspet/train", weight=0.05, single_person=True, partial_labels=True),
    )
    settings = DataSettings(sets=sets, root=str(root), size=128, cache_gb=0)
    training_set = load_training_set(settings, EVERYTHING, COCO_17, seed=0)
    faceless = 0
    for number in range(40):
        sample = training_set[number]
        assert sample.image.std() > 0
        if not sample.labelled[:5].any():
            assert "lspet" in training_set.photo_name(int(sample.index))
            faceless += 1
    assert faceless > 5


def test_batches_have_their_sides_in_turn(tmp_path: Path) -> None:
    write_set(tmp_path, [], size=(64, 64))
    photo = made_photo([person({0: (32, 32, 2)})], path=tmp_path / "photos" / "1.png")
    sets = [(SetSettings("", ""), [photo])]
    training_set = TrainingSet(sets, size=64, more_sizes=(96,), batch=2, augment=PLAIN, skeleton=COCO_17, seed=0)
    assert [len(training_set[number].image) for number in range(6)] == [64, 64, 96, 96, 64, 64]
    assert training_set[2].region.shape == (48, 48)


def test_tags_are_read_beside_the_joint(tmp_path: Path) -> None:
    write_set(tmp_path, [], size=(64, 64))
    photo = made_photo([person({0: (32, 32, 2)})], path=tmp_path / "photos" / "1.png")
    sets = [(SetSettings("", ""), [photo])]
    jittered = TrainingSet(sets, size=64, augment=replace(PLAIN, tag_jitter=1.5), skeleton=COCO_17, seed=0)
    places = {divmod(int(jittered[number].joints[0, 0, 0]), 16) for number in range(30)}
    assert len(places) > 4
    assert all(6 <= row <= 9 and 6 <= column <= 9 for row, column in places)
