"""Learning from a teacher: another network's heatmaps and tags in place of labels, or beside them.

A teacher says something of everybody: of bystanders whom nobody labelled and of joints that a set never labels. And it
may look at a window in several sizes, of which the student sees one: small people are found in large pictures and
large people in small ones, so the mean of its maps is better than any of them (the multi-scale test of Cheng et al.
2020, sec. 3.4, made once and for all).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatstream.models.networks.output import SwahrOutput
from heatstream.models.pose.criterion import Criterion
from heatstream.models.settings import TeacherSettings
from heatstream.models.torch_import import F, Tensor, nn, torch

if TYPE_CHECKING:
    from heatstream.models.pose.dataset import Sample

__all__ = ["DistillationCriterion", "Teacher", "TeacherMaps"]


@dataclass(frozen=True, eq=False)
class TeacherMaps:
    """What a teacher makes of a batch, in the sizes of the student's maps.

    Attributes:
        heatmaps: (B, K, H/4, W/4) and (B, K, H/2, W/2) float32 in 0..1.
        tags: (B, K, H/4, W/4) float32.
    """

    heatmaps: tuple[Tensor, Tensor]
    tags: Tensor


SEEN = 0.1
"""Heatmap value from which a teacher's tags count: elsewhere they are nobody's."""


class Teacher:
    """A network that looks at windows in several sizes.

    Args:
        network: with its weights; it is put into evaluation mode.
        sizes: sides in px; its tags are those of the size nearest to the window's.
    """

    def __init__(self, network: nn.Module, sizes: tuple[int, ...]) -> None:
        movable: Any = network.eval().requires_grad_(False)
        self._network: nn.Module = movable.to(memory_format=torch.channels_last)
        self._sizes = sizes

    def __call__(self, images: Tensor) -> TeacherMaps:
        """Return its maps of (B, 3, S, S) normalised images, on their device."""
        self._network.to(images.device)
        side = images.shape[-1]
        nearest = min(self._sizes, key=lambda size: abs(size - side))
        total, tags = images.new_zeros(()), images
        with torch.no_grad():
            for size in self._sizes:
                output: SwahrOutput = self._network(_resized(images, size))
                half = _resized(output.heatmaps[1].float(), side // 2)
                total = total + (_resized(output.heatmaps[0].float(), side // 2) + half) / 2
                if size == nearest:
                    tags = _resized(output.tags.float(), side // 4) * (side / size)
            mean = (total / len(self._sizes)).clamp(0, 1)
            return TeacherMaps((F.avg_pool2d(mean, 2), mean), tags)


class DistillationCriterion:
    """A criterion and, added to it, the distance to a teacher.

    Args:
        criterion: of the labels.
        teacher: of everything.
        settings: what each of its maps weighs.
    """

    def __init__(self, criterion: Criterion, teacher: Teacher, settings: TeacherSettings) -> None:
        self._criterion, self._teacher, self._settings = criterion, teacher, settings

    def output(self, network: nn.Module, images: Tensor) -> tuple[SwahrOutput, TeacherMaps]:
        """The network's maps of a batch, and the teacher's."""
        return self._criterion.output(network, images), self._teacher(images)

    def __call__(self, output: tuple[SwahrOutput, TeacherMaps], batch: Sample, *, first: int = 0) -> dict[str, Tensor]:
        """The criterion's terms, and "teacher4", "teacher2" and, where tags weigh anything, "teacher tags"."""
        student, teacher = output
        terms = self._criterion(student, batch, first=first)
        with torch.autocast(student.tags.device.type, enabled=False):
            for name, maps, wanted in zip(("4", "2"), student.heatmaps, teacher.heatmaps, strict=True):
                terms[f"teacher{name}"] = self._settings.heatmaps * self._difference(maps.float(), wanted)
            if self._settings.tags:
                seen = (teacher.heatmaps[0] > SEEN).float()
                squares = (student.tags.float() - teacher.tags).square() * seen
                terms["teacher tags"] = self._settings.tags * squares.sum() / seen.sum().clamp_min(1)
        return terms

    def _difference(self, maps: Tensor, wanted: Tensor) -> Tensor:
        """Mean over all pixels; least where both are equal."""
        if self._settings.loss == "cross-entropy":
            return F.binary_cross_entropy(maps, wanted)
        return F.mse_loss(maps, wanted)


def _resized(maps: Tensor, side: int) -> Tensor:
    """(B, C, side, side), bilinear with pixel centres at +0.5; smoothed where it shrinks."""
    if maps.shape[-1] == side:
        return maps
    shrinks = side < maps.shape[-1]
    return F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False, antialias=shrinks)
