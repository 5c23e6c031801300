"""Learning from a teacher: another network's heatmaps and tags in place of labels, or beside them.

A teacher says something of everybody: of bystanders whom nobody labelled and of joints that a set never labels. And it
may look at a window in several sizes, of which the student sees one: small people are found in large pictures and
large people in small ones, so the mean of its maps is better than any of them (the multi-scale test of Cheng et al.
2020, sec. 3.4, made once and for all).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatstream.models.networks.output import SwahrOutput
from heatstream.models.pose.criterion import Criterion
from heatstream.models.settings import TeacherSettings
from heatstream.models.torch_import import F, Tensor, nn, torch

if TYPE_CHECKING:
    from heatstream.models.networks.swahr_small import Look
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

    def at(self, side: int) -> TeacherMaps:
        """The same of windows of another side in px; tags are as far apart as people are in px."""
        window = 2 * self.heatmaps[1].shape[-1]
        if side == window:
            return self
        half = _resized(self.heatmaps[1], side // 2)
        return TeacherMaps((F.avg_pool2d(half, 2), half), _resized(self.tags, side // 4) * (side / window))


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
        self.sizes = sizes

    def looks(self, images: Tensor, sides: Iterable[int]) -> dict[int, Look]:
        """What its pretrained modules see in (B, 3, S, S) normalised images, in each of its sizes and of these sides.

        Only of networks with a `look`, such as :class:`~heatstream.models.networks.swahr_small.SwahrSmall`.
        """
        network: Any = self._network.to(images.device)
        return {size: network.look(_resized(images, size)) for size in {*self.sizes, *sides}}

    def __call__(self, images: Tensor, looks: Mapping[int, Look] | None = None) -> TeacherMaps:
        """Return its maps of (B, 3, S, S) normalised images, on their device; `looks` spares it what they hold."""
        self._network.to(images.device)
        side = images.shape[-1]
        nearest = min(self.sizes, key=lambda size: abs(size - side))
        total, tags = images.new_zeros(()), images
        with torch.no_grad():
            for size in self.sizes:
                seen = {} if looks is None else {"seen": looks[size]}
                output: SwahrOutput = self._network(_resized(images, size), **seen)
                half = _resized(output.heatmaps[1].float(), side // 2)
                total = total + (_resized(output.heatmaps[0].float(), side // 2) + half) / 2
                if size == nearest:
                    tags = _resized(output.tags.float(), side // 4) * (side / size)
            mean = (total / len(self.sizes)).clamp(0, 1)
            return TeacherMaps((F.avg_pool2d(mean, 2), mean), tags)


class DistillationCriterion:
    """A criterion and, added to it, the distance to a teacher.

    Args:
        criterion: of the labels.
        teacher: of everything.
        settings: what each of its maps weighs.
        shared: the pretrained modules of teacher and student are the same and frozen, so what they see is computed
            once for both: that is most of the work of a step.
    """

    def __init__(
        self, criterion: Criterion, teacher: Teacher, settings: TeacherSettings, *, shared: bool = False
    ) -> None:
        self._criterion, self._teacher, self._settings, self.shared = criterion, teacher, settings, shared

    def output(self, network: nn.Module, images: Tensor) -> dict[int, tuple[SwahrOutput, TeacherMaps]]:
        """The network's maps of a batch, and the teacher's, by the sides at which the network learns."""
        sides = self._teacher.sizes if self._settings.every_size else (images.shape[-1],)
        looks = self._teacher.looks(images, sides) if self.shared else None
        wanted = self._teacher(images, looks)
        found = {}
        for size in sides:
            seen = {} if looks is None else {"seen": looks[size]}
            found[size] = self._criterion.output(network, _resized(images, size), **seen), wanted.at(size)
        return found

    def __call__(
        self, output: Mapping[int, tuple[SwahrOutput, TeacherMaps]], batch: Sample, *, first: int = 0
    ) -> dict[str, Tensor]:
        """The criterion's terms, and "teacher4", "teacher2" and, where tags weigh anything, "teacher tags".

        Each is the mean over the sides.
        """
        total: dict[str, Tensor] = {}
        for side, (student, teacher) in output.items():
            terms = self._criterion(student, at_side(batch, side), first=first)
            with torch.autocast(student.tags.device.type, enabled=False):
                for name, maps, wanted in zip(("4", "2"), student.heatmaps, teacher.heatmaps, strict=True):
                    terms[f"teacher{name}"] = self._settings.heatmaps * self._difference(maps.float(), wanted)
                if self._settings.tags:
                    seen = (teacher.heatmaps[0] > SEEN).float()
                    squares = (student.tags.float() - teacher.tags).square() * seen
                    terms["teacher tags"] = self._settings.tags * squares.sum() / seen.sum().clamp_min(1)
            for name, term in terms.items():
                total[name] = total.get(name, 0) + term / len(output)
        return total

    def _difference(self, maps: Tensor, wanted: Tensor) -> Tensor:
        """Mean over all pixels; least where both are equal."""
        if self._settings.loss == "cross-entropy":
            return F.binary_cross_entropy(maps, wanted)
        return F.mse_loss(maps, wanted)


def at_side(batch: Sample, side: int) -> Sample:
    """The labels of a collated batch as they are in windows of another side in px; its images stay as they are."""
    tensors: Any = batch
    window = 2 * tensors.region.shape[-1]
    if side == window:
        return batch
    ratio = side / window
    index, visible = tensors.joints.unbind(-1)
    before, after = window // 4, side // 4
    joint, row, column = index // before**2, index // before % before, index % before
    row, column = (((place + 0.5) * ratio).long() for place in (row, column))
    joints = torch.stack(((joint * after + row) * after + column, visible), dim=-1)
    region = F.interpolate(tensors.region[:, None], size=(side // 2, side // 2), mode="nearest")[:, 0]
    scaled: Sample = tensors._replace(
        people=tensors.people * tensors.people.new_tensor((ratio, ratio, 1.0)),
        extents=tensors.extents * ratio,
        joints=joints,
        region=region,
    )
    return scaled


def _resized(maps: Tensor, side: int) -> Tensor:
    """(B, C, side, side), bilinear with pixel centres at +0.5; smoothed where it shrinks."""
    if maps.shape[-1] == side:
        return maps
    shrinks = side < maps.shape[-1]
    return F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False, antialias=shrinks)
