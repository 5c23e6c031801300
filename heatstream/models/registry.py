"""Every network by name. A further network is a further file and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from heatstream import skeletons
from heatstream.errors import UnknownNameError
from heatstream.extras import require

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "create"]


def create(name: str) -> nn.Module:
    """A network with fresh weights, in training mode, on the CPU.

    Args:
        name: one of :data:`NETWORKS`.

    Returns:
        A module that takes (B, 3, H, W) float32 images, RGB, (x / 255 - mean) / std, H and W multiples of 32,
        and gives a :class:`heatstream.models.SwahrOutput`; ``module(images, scales=True)`` adds scale maps.

    Raises:
        UnknownNameError: there is no such network; the message names the nearest.
        MissingExtraError: torch is not installed.
    """
    try:
        build = NETWORKS[name]
    except KeyError:
        raise UnknownNameError.among(NETWORKS, kind="network", name=name) from None
    require("torch", extra="train", purpose=f"making the network {name}")
    return build()


def _hrnet(*, width: int, skeleton: str) -> nn.Module:
    from heatstream.models.hrnet import SwahrHRNet

    return SwahrHRNet(skeletons.get(skeleton).num_keypoints, width=width)


def _mobile() -> nn.Module:
    from heatstream.models.mobile import SwahrMobile

    return SwahrMobile(skeletons.COCO_17.num_keypoints)


NETWORKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "swahr-mobile": _mobile,
        "swahr-w32": lambda: _hrnet(width=32, skeleton="coco-17"),
        "swahr-w48": lambda: _hrnet(width=48, skeleton="coco-17"),
        "swahr-w48-crowdpose": lambda: _hrnet(width=48, skeleton="crowdpose-14"),
    }
)
"""Network names and what builds them."""
