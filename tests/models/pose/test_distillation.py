"""Learning from another network's maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream.models.networks.output import SwahrOutput  # noqa: E402
from heatstream.models.networks.swahr_small import FRONT, SwahrSmall  # noqa: E402
from heatstream.models.pose.criterion import Criterion  # noqa: E402
from heatstream.models.pose.dataset import MAX_PEOPLE, Sample  # noqa: E402
from heatstream.models.pose.distillation import DistillationCriterion, Teacher, at_side  # noqa: E402
from heatstream.models.pose.targets import joint_indices  # noqa: E402
from heatstream.models.settings import LossSettings, TeacherSettings  # noqa: E402


class Brightness(torch.nn.Module):  # type: ignore[misc, name-defined]
    """One joint whose heatmap is the picture's first channel; its tags are columns in steps of 32 input px."""

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[int] = []

    def forward(self, images: Any, scales: bool = False) -> SwahrOutput:
        self.sides.append(images.shape[-1])
        half = torch.nn.functional.avg_pool2d(images[:, :1], 2)
        quarter = torch.nn.functional.avg_pool2d(half, 2)
        tags = torch.arange(quarter.shape[-1]).float().expand_as(quarter) / 8
        return SwahrOutput((quarter, half), tags)


def _settings(**changes: Any) -> TeacherSettings:
    return TeacherSettings("swahr-tiny", "swahr-tiny", **changes)


class Nothing:
    """A criterion of no labels."""

    def output(self, network: Any, images: Any) -> Any:
        return network(images)

    def __call__(self, output: Any, batch: Any, *, first: int = 0) -> dict[str, Any]:
        return {"push": output.tags.sum() * 0}


def _terms(student: Any, images: Any, settings: TeacherSettings) -> dict[str, Any]:
    criterion = DistillationCriterion(Nothing(), Teacher(Brightness(), settings.sizes), settings)  # type: ignore[arg-type]
    return criterion(criterion.output(student, images), _batch(images.shape[-1]))


def _batch(side: int, people: Any = None) -> Sample:
    """A collated batch of one window, of the (30, 17, 3) people in it."""
    points = np.zeros((MAX_PEOPLE, 17, 3), np.float32) if people is None else people
    joints = joint_indices(points * (0.25, 0.25, 1), (side // 4, side // 4), MAX_PEOPLE, True)
    sample = Sample(
        image=np.zeros((side, side, 3), np.uint8),
        people=points,
        extents=np.full(MAX_PEOPLE, side / 2, np.float32),
        joints=joints,
        region=np.ones((side // 2, side // 2), np.uint8),
        labelled=np.ones(17, np.uint8),
        index=np.int64(0),
    )
    collated: Sample = torch.utils.data.default_collate([sample])
    return collated


def test_a_teacher_looks_in_every_size_and_answers_in_the_windows() -> None:
    network = Brightness()
    images = torch.zeros(2, 3, 64, 64)
    images[:, :, 16:32, 16:32] = 1
    maps = Teacher(network, (64, 128))(images)
    assert network.sides == [64, 128]
    assert [tuple(m.shape) for m in (*maps.heatmaps, maps.tags)] == [(2, 1, 16, 16), (2, 1, 32, 32), (2, 1, 16, 16)]
    assert maps.heatmaps[1][0, 0, 12, 12] == pytest.approx(1)
    assert maps.heatmaps[1][0, 0, 24, 24] == pytest.approx(0)


def test_tags_of_another_size_are_as_far_apart_as_in_the_window() -> None:
    tags = Teacher(Brightness(), (128,))(torch.zeros(1, 3, 64, 64)).tags
    steps = (tags[..., 2:-1] - tags[..., 1:-2]).flatten()
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 8))


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_the_loss_is_least_where_the_student_is_the_teacher(loss: Any) -> None:
    images = torch.rand(2, 3, 64, 64) * 0.8 + 0.1
    same = _terms(Brightness(), images, _settings(sizes=(64,), loss=loss, tags=1.0))
    assert set(same) == {"push", "teacher4", "teacher2", "teacher tags"}
    assert float(same["teacher tags"]) == 0

    class Other(Brightness):
        def forward(self, images: Any, scales: bool = False) -> SwahrOutput:
            found = super().forward(images)
            return SwahrOutput((0.9 * found.heatmaps[0], 0.9 * found.heatmaps[1]), found.tags + 1)

    other = _terms(Other(), images, _settings(sizes=(64,), loss=loss, tags=1.0))
    assert float(other["teacher4"]) > float(same["teacher4"])
    assert float(other["teacher2"]) > float(same["teacher2"])
    assert float(other["teacher tags"]) == pytest.approx(1)


def test_a_teacher_does_not_learn() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1))
    Teacher(network, (64,))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


@pytest.mark.parametrize("side", [64, 192])
def test_labels_are_those_of_windows_of_another_side(side: int) -> None:
    """Two people in a window of 128 px; where a tag is read is right to a cell."""
    people = np.zeros((MAX_PEOPLE, 17, 3), np.float32)
    people[0, :5] = [[8 * k + 20, 12 * k + 36, 1] for k in range(5)]
    people[1, 9:] = [[100, 8 * k + 12, 1] for k in range(8)]
    found, wanted = at_side(_batch(128, people), side), _batch(side, people * (side / 128, side / 128, 1))
    for name in ("people", "extents", "region", "labelled"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), check_dtype=False)
    one, other = found.joints[found.joints[..., 1] > 0], wanted.joints[wanted.joints[..., 1] > 0]
    columns = side // 4
    assert len(one) == len(other) == 13
    torch.testing.assert_close(one[:, 0] // columns**2, other[:, 0].long() // columns**2)
    for apart in (one[:, 0] // columns - other[:, 0] // columns, one[:, 0] % columns - other[:, 0] % columns):
        assert apart.abs().max() <= 1  # half a cell of the window is most of one at a larger side


def test_what_teacher_and_student_both_see_is_computed_once() -> None:
    """Terms, gradients and sides are those of two networks by themselves."""
    torch.manual_seed(0)
    student, teacher = SwahrSmall(width=0.25), SwahrSmall(width=0.25)
    teacher.load_state_dict(student.state_dict())
    for name in FRONT:
        getattr(student, name).requires_grad_(False)
    people = np.zeros((MAX_PEOPLE, 17, 3), np.float32)
    people[:2] = np.random.default_rng(0).uniform(2, 62, (2, 17, 3))
    images, settings = torch.rand(1, 3, 64, 64), TeacherSettings("swahr-small", "", sizes=(64, 128), every_size=True)
    labels = Criterion(LossSettings(scale_adaptive=False, heatmap_weights=(0.0, 0.0), push=1.0, pull=1.0))
    results = []
    for shared in (False, True):
        calls: list[int] = []
        hook = teacher.backbone.register_forward_hook(
            lambda _, given, __, calls=calls: calls.append(given[0].shape[-1])
        )
        student.zero_grad()
        criterion = DistillationCriterion(labels, Teacher(teacher, settings.sizes), settings, shared=shared)
        output = criterion.output(student, images)
        assert list(output) == [64, 128]
        assert sorted(calls) == [32, 64, 64, 128]  # each side, and its half
        terms = criterion(output, _batch(64, people))
        sum(terms.values()).backward()
        results.append((terms, [p.grad for p in student.context_head.parameters()]))
        hook.remove()
    (terms, gradients), (others, other_gradients) = results
    assert set(terms) == {"push", "pull", "teacher4", "teacher2"}
    for name, value in terms.items():
        torch.testing.assert_close(others[name], value)
    torch.testing.assert_close(other_gradients, gradients)
