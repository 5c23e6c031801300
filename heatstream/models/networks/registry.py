"""How every network of :mod:`heatstream.catalog` is made. A further network is a file, an entry there and one here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from heatstream import catalog, skeletons
from heatstream.extras import require

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "create"]


def create(name: str, *, skeleton: str | None = None) -> nn.Module:
    """A network with fresh weights, in training mode, on the CPU.

    Args:
        name: one of :func:`heatstream.catalog.networks`.
        skeleton: name of the keypoint layout that it shall learn; the network's usual one when left out.

    Returns:
        A module that takes (B, 3, H, W) float32 images, RGB, (x / 255 - mean) / std, H and W multiples of 32.
        Those for poses give a :class:`heatstream.models.SwahrOutput`, with scale maps for
        ``module(images, scales=True)``; those for landmarks give (B, 2, L, H/4, W/4) logits of two classes, and
        ``module.landmarks(images)`` only the second class.

    Raises:
        UnknownNameError: there is no such network or skeleton; the message names the nearest.
        MissingExtraError: torch is not installed.
    """
    layout = skeletons.get(skeleton or catalog.get(name).skeleton)
    require("torch", extra="train", purpose=f"making the network {name}")
    build = NETWORKS.get(name) or catalog.plugins()[name].build
    network: nn.Module = build(layout.num_keypoints)
    return network


def _hrnet(num_joints: int, *, width: int) -> nn.Module:
    from heatstream.models.networks.hrnet import SwahrHRNet

    return SwahrHRNet(num_joints, width=width)


def _one_stage(num_joints: int, *, width: int) -> nn.Module:
    from heatstream.models.networks.hrnet import HRNetAE

    return HRNetAE(num_joints, width=width)


def _small(num_joints: int, *, width: float, looks: int) -> nn.Module:
    from heatstream.models.networks.swahr_small import SwahrSmall

    return SwahrSmall(num_joints, width=width, looks=looks)


def _h3r(num_landmarks: int, *, width: int | None) -> nn.Module:
    from heatstream.models.networks.h3r import H3R

    return H3R(num_landmarks, width=width)


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {
        "swahr-small": partial(_small, width=1.5, looks=2),
        "swahr-tiny": partial(_small, width=1.0, looks=1),
        "swahr-w32": partial(_hrnet, width=32),
        "swahr-w48": partial(_hrnet, width=48),
        "swahr-w48-crowdpose": partial(_hrnet, width=48),
        "higherhrnet-w32": partial(_hrnet, width=32),
        "higherhrnet-w32-640": partial(_hrnet, width=32),
        "higherhrnet-w32-official": partial(_hrnet, width=32),
        "higherhrnet-w48": partial(_hrnet, width=48),
        "higherhrnet-w32-crowdpose": partial(_hrnet, width=32),
        "hrnet-w32-ae": partial(_one_stage, width=32),
        "hrnet-w48-ae": partial(_one_stage, width=48),
        "h3r-mobile-68": partial(_h3r, width=None),
        "h3r-mobile-wflw98": partial(_h3r, width=None),
        "h3r-mobile-300w68": partial(_h3r, width=None),
        "h3r-w18-wflw98": partial(_h3r, width=18),
        "h3r-w18-300w68": partial(_h3r, width=18),
        "h3r-w18-cofw29": partial(_h3r, width=18),
        "h3r-w18-aflw19": partial(_h3r, width=18),
        "h3r-w18-lapa106": partial(_h3r, width=18),
        "h3r-w32-coco17": partial(_h3r, width=32),
        "h3r-w32-mpii16": partial(_h3r, width=32),
    }
)
"""Makes the network of a name in the catalogue for a number of keypoints, with fresh weights."""
