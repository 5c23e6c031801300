"""Learning from another network's maps."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from heatstream.models.networks.output import SwahrOutput  # noqa: E402
from heatstream.models.pose.distillation import DistillationCriterion, Teacher  # noqa: E402
from heatstream.models.settings import TeacherSettings  # noqa: E402


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
    return TeacherSettings("swahr-mobile", "swahr-mobile", **changes)


class Nothing:
    """A criterion of no labels."""

    def output(self, network: Any, images: Any) -> Any:
        return network(images)

    def __call__(self, output: Any, batch: Any, *, first: int = 0) -> dict[str, Any]:
        return {"push": output.tags.sum() * 0}


def _terms(student: Any, images: Any, settings: TeacherSettings) -> dict[str, Any]:
    criterion = DistillationCriterion(Nothing(), Teacher(Brightness(), settings.sizes), settings)  # type: ignore[arg-type]
    return criterion(criterion.output(student, images), None)  # type: ignore[arg-type]


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
