"""What the decode may be told, in one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from heatstream import skeletons
from heatstream.errors import InputError

__all__ = ["Adjust", "DecodeSettings", "Plateaus"]

Adjust = Literal["quarter", "h3r", "none"]
Plateaus = Literal["first", "all"]

MOST_PEOPLE = 512
"""Their assignment to detections takes time with the cube of their number."""

LARGEST_NMS_KERNEL = 63
"""In map px: a larger one would leave a joint of one person in all of a map."""

LARGEST_THRESHOLD = 1e6
LONGEST_SHOWN = 60


@dataclass(frozen=True)
class DecodeSettings(skeletons.OfSkeleton):
    """How peaks become people. The defaults are those of the official SWAHR configuration.

    Attributes:
        max_people: how many people a joint's detections are matched against, and how many detections are taken
            per joint, strongest first. Detections that match nobody start people of their own beyond this number,
            as in the official parser.
        nms_kernel: side of the square in map px in which a detection must be the maximum; odd.
        detection_threshold: a detection's heatmap value must exceed this.
        tag_threshold: a detection joins a person if its tag is nearer than this to the mean tag of that person.
        use_detection_score: let the tag distance, rounded to integers, decide first and the detection's score
            second, as the official parser does; otherwise only the plain tag distance decides.
        person_threshold: people whose score, the mean over all joints before refinement, is below this are left out;
            the official parser keeps everybody.
        adjust: sub-pixel position: ``"quarter"`` moves a quarter pixel towards the larger neighbour (SWAHR),
            ``"h3r"`` takes the expectation over the strongest pixels around the peak (H3R), ``"none"`` keeps the
            pixel's index.
        plateaus: of equal neighbours in a map, as saturated and half-precision maps have them, ``"first"`` takes the
            first in reading order, and ``"all"`` every one, as the official parser does, so that one place becomes
            several people.
        refine: look for the joints that a person lacks where heatmap and tag fit best.
        skeleton: name of the keypoint layout; when left out it follows from the number of maps.

    Raises:
        InputError: a value is out of its range.
    """

    max_people: int = 30
    nms_kernel: int = 5
    detection_threshold: float = 0.1
    tag_threshold: float = 1.0
    use_detection_score: bool = True
    person_threshold: float = 0.0
    adjust: Adjust = "quarter"
    plateaus: Plateaus = "first"
    refine: bool = True
    skeleton: str | None = None

    def __post_init__(self) -> None:
        for name, most in (("max_people", MOST_PEOPLE), ("nms_kernel", LARGEST_NMS_KERNEL)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise InputError(f"{name} must be a whole number of 1 to {most}, got {_shown(value)}")
        if self.nms_kernel % 2 == 0:
            raise InputError(f"nms_kernel must be odd, got {self.nms_kernel}")
        for name in ("detection_threshold", "tag_threshold", "person_threshold"):
            value = getattr(self, name)
            # With the sign a comparison would notice it in; NaN compares with nothing.
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float | np.floating)
                or not abs(value) <= LARGEST_THRESHOLD
            ):
                raise InputError(f"{name} must be a number up to {LARGEST_THRESHOLD:g}, got {_shown(value)}")
            object.__setattr__(self, name, float(value))  # of NumPy's numbers too, which no JSON takes
        for name in ("use_detection_score", "refine"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {_shown(getattr(self, name))}")
        for name, words in (("adjust", get_args(Adjust)), ("plateaus", get_args(Plateaus))):
            if getattr(self, name) not in words:
                raise InputError(f"{name} must be one of {', '.join(words)}, got {_shown(getattr(self, name))}")
        if self.skeleton is not None and not isinstance(self.skeleton, str):
            raise InputError(f"skeleton must be a name, got {_shown(self.skeleton)}")
        if self.skeleton is not None:
            skeletons.get(self.skeleton)

    def skeleton_of(self, num_maps: int) -> skeletons.Skeleton:
        """The skeleton of ``num_maps`` heatmaps.

        Raises:
            InputError: the chosen skeleton has another number of keypoints, or no skeleton has this number.
        """
        if self.skeleton is not None:
            skeleton = skeletons.get(self.skeleton)
            if skeleton.num_keypoints != num_maps:
                raise InputError(f"{skeleton.name} has {skeleton.num_keypoints} keypoints, got {num_maps} heatmaps")
            return skeleton
        for skeleton in skeletons.SKELETONS.values():
            if skeleton.num_keypoints == num_maps:
                return skeleton
        known = ", ".join(skeletons.SKELETONS)
        raise InputError(
            f"no skeleton has {num_maps} keypoints; the known ones are {known}: register one of yours and name it "
            "in the settings"
        )


def _shown(value: object) -> str:
    """A value as a message shows it: short, on one line."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
