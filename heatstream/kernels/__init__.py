"""From network outputs to people: the CPU form of every step, and the specification of its CUDA form."""

from heatstream.kernels.geometry import Geometry
from heatstream.kernels.reference.aggregate import aggregate, merge_flipped, merge_scales
from heatstream.kernels.reference.decode import decode_poses
from heatstream.kernels.reference.landmarks import decode_landmarks
from heatstream.kernels.reference.letterbox import letterbox
from heatstream.kernels.settings import DecodeSettings

__all__ = [
    "DecodeSettings",
    "Geometry",
    "aggregate",
    "decode_landmarks",
    "decode_poses",
    "letterbox",
    "merge_flipped",
    "merge_scales",
]
