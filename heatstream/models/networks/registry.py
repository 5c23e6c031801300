"""Every network by name. A further network is a further file and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from heatstream import skeletons
from heatstream.errors import UnknownNameError
from heatstream.extras import require

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "Network", "create"]


@dataclass(frozen=True)
class Network:
    """How one network is made.

    Attributes:
        build: makes it for a number of keypoints.
        skeleton: its usual layout.
        task: ``"pose"`` finds the people in a frame, ``"landmarks"`` the points of one face or body in a box.
    """

    build: Callable[[int], nn.Module]
    skeleton: str
    task: Literal["pose", "landmarks"] = "pose"


def create(name: str, *, skeleton: str | None = None) -> nn.Module:
    """A network with fresh weights, in training mode, on the CPU.

    Args:
        name: one of :data:`NETWORKS`.
        skeleton: name of the keypoint layout that it shall learn; the network's usual one when left out.

    Returns:
        A module that takes (B, 3, H, W) float32 images, RGB, (x / 255 - mean) / std, H and W multiples of 32.
        Those for poses give a :class:`heatstream.models.SwahrOutput`, with scale maps for
        ``module(images, scales=True)``; those for landmarks give (B, 2, L, H/4, W/4) logits of two classes, and
        ``module.landmarks(images)`` the second class alone.

    Raises:
        UnknownNameError: there is no such network or skeleton; the message names the nearest.
        MissingExtraError: torch is not installed.
    """
    try:
        network = NETWORKS[name]
    except KeyError:
        raise UnknownNameError.among(NETWORKS, kind="network", name=name) from None
    layout = skeletons.get(skeleton or network.skeleton)
    require("torch", extra="train", purpose=f"making the network {name}")
    return network.build(layout.num_keypoints)


def _hrnet(num_joints: int, *, width: int) -> nn.Module:
    from heatstream.models.networks.hrnet import SwahrHRNet

    return SwahrHRNet(num_joints, width=width)


def _mobile(num_joints: int) -> nn.Module:
    from heatstream.models.networks.swahr_mobile import SwahrMobile

    return SwahrMobile(num_joints)


def _small(num_joints: int) -> nn.Module:
    from heatstream.models.networks.swahr_small import SwahrSmall

    return SwahrSmall(num_joints)


def _h3r(num_landmarks: int, *, width: int | None) -> nn.Module:
    from heatstream.models.networks.h3r import H3R

    return H3R(num_landmarks, width=width)


def _landmarks(width: int | None, skeleton: str) -> Network:
    return Network(partial(_h3r, width=width), skeleton, "landmarks")


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        "swahr-mobile": Network(_mobile, "coco-17"),
        "swahr-small": Network(_small, "coco-17"),
        "swahr-w32": Network(partial(_hrnet, width=32), "coco-17"),
        "swahr-w48": Network(partial(_hrnet, width=48), "coco-17"),
        "swahr-w48-crowdpose": Network(partial(_hrnet, width=48), "crowdpose-14"),
        "h3r-mobile-68": _landmarks(None, "300w-68"),
        "h3r-mobile-wflw98": _landmarks(None, "wflw-98"),
        "h3r-mobile-300w68": _landmarks(None, "300w-68"),
        "h3r-w18-wflw98": _landmarks(18, "wflw-98"),
        "h3r-w18-300w68": _landmarks(18, "300w-68"),
        "h3r-w18-cofw29": _landmarks(18, "cofw-29"),
        "h3r-w18-aflw19": _landmarks(18, "aflw-19"),
        "h3r-w18-lapa106": _landmarks(18, "lapa-106"),
        "h3r-w32-coco17": _landmarks(32, "coco-17"),
        "h3r-w32-mpii16": _landmarks(32, "mpii-16"),
    }
)
"""Network names and how each is made."""
