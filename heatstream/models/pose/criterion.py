"""What SWAHR training minimises: targets and masks of a batch, drawn on its device, and the losses weighted together.

:func:`loss_terms` is the sum of the paper (Luo et al. 2021, sec. 3) over both resolutions; :class:`Criterion` draws
what it compares the network's output with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heatstream.errors import TrainingError
from heatstream.models.networks.output import SwahrOutput
from heatstream.models.pose.losses import heatmap_loss, scale_loss, tag_loss
from heatstream.models.pose.targets import draw_heatmaps
from heatstream.models.settings import LossSettings
from heatstream.models.torch_import import Tensor, nn, torch

if TYPE_CHECKING:
    from heatstream.models.pose.dataset import Sample

PERSON_SIZE = 256.0
"""Longer side in input pixels of the person whose sigma is `LossSettings.sigma`; HigherHRNet's base size."""

SMALLEST_SIGMA = 0.5
"""In map pixels: below it a blob has no pixel of height near 1."""

TARGET_VISIBLE = 0.01
"""A pixel whose target exceeds this is always trained on, even inside an ignored region."""


class Criterion:
    """Compares a network's output with a batch of samples."""

    def __init__(self, settings: LossSettings) -> None:
        self.settings = settings

    def output(self, network: nn.Module, images: Tensor, **seen: Any) -> SwahrOutput:
        """The network's maps of a batch, with scale maps where the settings need them; `seen` goes to the network."""
        found: SwahrOutput = network(images, scales=self.settings.scale_adaptive, **seen)
        return found

    def __call__(self, output: SwahrOutput, batch: Sample, *, first: int = 0) -> dict[str, Tensor]:
        """Return the weighted batch means of :func:`loss_terms` for a batch.

        Args:
            output: maps of B images, float32, float16 or bfloat16.
            batch: a collated `Sample`: its fields are tensors with a batch axis, on the device of `output`.
            first: global number of the batch's first sample; nothing here depends on it.

        Raises:
            TrainingError: when the settings need scale maps and `output` holds none.
        """
        tensors: Any = batch  # collated: the fields hold tensors
        size = 2 * tensors.region.shape[-1]
        sigmas = person_sigmas(tensors.extents, tensors.people, self.settings)
        targets, masks = [], []
        for maps in output.heatmaps:
            height, width = maps.shape[-2:]
            points = tensors.people * tensors.people.new_tensor((width / size, width / size, 1.0))
            target = draw_heatmaps(points, sigmas, (height, width))
            targets.append(target)
            masks.append(draw_mask(target, tensors.region, tensors.labelled))
        return loss_terms(output, targets, masks, tensors.joints, self.settings)


def loss_terms(
    output: SwahrOutput, targets: Sequence[Tensor], masks: Sequence[Tensor], joints: Tensor, settings: LossSettings
) -> dict[str, Tensor]:
    """Return the batch means of all losses, each times its weight; what is minimised is their sum.

    Args:
        output: maps of B images; computed with in float32, whatever their dtype and the caller's autocast.
        targets: heatmaps (B, K, h, w) float32 at 1/4 and at 1/2.
        masks: (B, h, w) or (B, K, h, w), any dtype, 1 where the heatmap losses count.
        joints: (B, P, K, 2) integer, see `tag_loss`.
        settings: the weights.

    Returns:
        Scalars "heatmap4", "heatmap2", "push", "pull" and, with SAHR, "scale4" and "scale2", of what weighs anything.

    Raises:
        TrainingError: when the settings need scale maps and `output` holds none.
    """
    if settings.scale_adaptive and output.scales is None:
        raise TrainingError("SAHR needs the network's scale maps and got none: call the network with scales=True")
    terms: dict[str, Tensor] = {}
    with torch.autocast(output.tags.device.type, enabled=False):
        for index, (name, weight) in enumerate(zip(("4", "2"), settings.heatmap_weights, strict=True)):
            if not weight:
                continue
            target, mask = targets[index], masks[index]
            scale = output.scales[index].float() if settings.scale_adaptive and output.scales is not None else None
            prediction = output.heatmaps[index].float()
            options = {"weighted": settings.weight_adaptive, "exact": settings.exact_power}
            terms[f"heatmap{name}"] = weight * heatmap_loss(prediction, target, mask, scale, **options).mean()
            if scale is not None:
                at_blobs = scale_loss(_at(target > 0, mask), scale).mean()  # elsewhere a scale changes nothing
                terms[f"scale{name}"] = weight * settings.scale_weight * at_blobs
        push, pull = tag_loss(output.tags.float() / settings.tag_margin, joints, settings.tag_kind)
        terms["push"], terms["pull"] = settings.push * push.mean(), settings.pull * pull.mean()
    return terms


def person_sigmas(extents: Tensor, people: Tensor, settings: LossSettings) -> Tensor | float:
    """Return the standard deviation of each joint's target in map pixels, (B, P, K), or one for all.

    Args:
        extents: (B, P) float, longer side of each person's box in input pixels.
        people: (B, P, K, 3), for its shape.
        settings: which of the two.
    """
    if not settings.person_sigma:
        return settings.sigma
    sigmas = (settings.sigma * extents / PERSON_SIZE).clamp_min(SMALLEST_SIGMA)
    return sigmas[..., None].expand(people.shape[:3])


def draw_mask(target: Tensor, region: Tensor, labelled: Tensor) -> Tensor:
    """Return (B, K, h, w) bool, True where the heatmap loss counts, channels last in memory as `target` is.

    Args:
        target: (B, K, h, w) float, heatmaps.
        region: (B, H, W) uint8 at a multiple of the target's size, 1 where the labels say what is there.
        labelled: (B, K) uint8, 0 for joints whose labels an image lacks.
    """
    step = region.shape[-1] // target.shape[-1]
    known = region[:, None, ::step, ::step].bool()
    return (known | (target > TARGET_VISIBLE)) & labelled.bool()[:, :, None, None]


def _at(blobs: Tensor, mask: Tensor) -> Tensor:
    """Return (B, K, h, w) bool, `mask` where `blobs` are."""
    return blobs & (mask[:, None] if mask.dim() == 3 else mask).bool()
