"""From network outputs to people: the CPU form of every step, and the specification of its CUDA form."""

from heatstream.kernels.dispatch import crop_rotated, decode_landmarks, decode_poses, letterbox
from heatstream.kernels.geometry import Geometry
from heatstream.kernels.reference.aggregate import aggregate, merge_flipped, merge_scales
from heatstream.kernels.settings import DecodeSettings

__all__ = [
    "DecodeSettings",
    "Geometry",
    "aggregate",
    "crop_rotated",
    "decode_landmarks",
    "decode_poses",
    "letterbox",
    "merge_flipped",
    "merge_scales",
]
