"""The networks that heatstream knows by name: what each is for, how large it is, and where weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from heatstream.errors import ModelFileError, UnknownNameError
from heatstream.model_info import OUTPUTS, ModelInfo, Task

__all__ = ["CATALOG", "CatalogEntry", "bundled_path", "get"]

OWN_WEIGHTS = "bring a checkpoint; its authors' terms hold"

TOP_K = 9
"""How many pixels of a landmark's map are read, as in the official H3R code."""

H3R_BACKBONES: Mapping[str, tuple[str, tuple[int, int]]] = MappingProxyType(
    {
        "mobile": ("MobileNetV2", (128, 128)),
        "w18": ("HRNet-W18", (256, 256)),
        "w32": ("HRNet-W32", (256, 192)),
    }
)
"""What the second part of a landmark network's name stands for, and the (height, width) of its input in px, as the
official detectors of WFLW and 300-W have them."""


@dataclass(frozen=True)
class CatalogEntry:
    """One network.

    Attributes:
        name: how it is asked for.
        description: one line for a user.
        skeleton: name of its keypoint layout.
        input_size: (height, width) in px that it is exported at unless told otherwise.
        parameters: number of trained values, with what only training needs: scale heads, the background class.
        weights: where trained weights come from, for a user.
        task: what it finds.
        licence: of the weights.
        bundled: a model file with trained weights comes with the package.
        other_sizes: (height, width) in px that there are official checkpoints of too. Such a checkpoint does not say
            what it was trained at; one of ours does.
        project: resample the maps to the input's size before they are decoded, as the official evaluation does.
        decode: decode settings that differ from the official ones, by name.
        calibration: of the scores that the weights in the package give, see :class:`heatstream.model_info.ModelInfo`.
    """

    name: str
    description: str
    skeleton: str
    input_size: tuple[int, int]
    parameters: int
    weights: str
    task: Task = "pose"
    licence: str = OWN_WEIGHTS
    bundled: bool = False
    other_sizes: tuple[tuple[int, int], ...] = ()
    project: bool = True
    decode: Mapping[str, Any] = field(default_factory=dict)
    calibration: tuple[tuple[float, float], ...] = ()

    def info(self, *, weights: str = "random", licence: str | None = None) -> ModelInfo:
        """What an export of this network starts from.

        Args:
            weights: where the weights of this export came from, for a user.
            licence: of the weights; the one in the catalogue when left out.
        """
        return ModelInfo(
            name=self.name,
            skeleton=self.skeleton,
            input_size=self.input_size,
            task=self.task,
            outputs=dict(OUTPUTS[self.task]),
            weights=weights,
            licence=self.licence if licence is None else licence,
            project=self.project,
            decode=self.decode,
            calibration=self.calibration,
        )


OURS = "in the package, trained by us"
ON_MOVENET = "in the package, on MoveNet's trunk, trained by us"
SWAHR_CHECKPOINTS = "official SWAHR or HigherHRNet checkpoints"
H3R_CHECKPOINTS = "official H3R checkpoints"
RECIPE = "your own: there is a recipe"


def _landmarks(name: str, subject: str, skeleton: str, parameters: int, weights: str) -> CatalogEntry:
    backbone, input_size = H3R_BACKBONES[name.split("-")[1]]
    return CatalogEntry(
        name=name,
        description=f"H3R with {backbone}: landmarks of {subject}",
        skeleton=skeleton,
        input_size=input_size,
        parameters=parameters,
        weights=weights,
        task="landmarks",
        project=False,
        decode={"topk": TOP_K},
    )


CATALOG: Mapping[str, CatalogEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            CatalogEntry(
                name="swahr-small",
                description="the default: on a pose-pretrained MobileNetV2, for CPUs and small boards",
                skeleton="coco-17",
                input_size=(256, 256),
                weights=ON_MOVENET,
                parameters=4_843_944,
                licence="Apache-2.0",
                bundled=True,
                project=False,  # four times the pixels to decode would cost more than the network
                decode={"detection_threshold": 0.2, "person_threshold": 0.03, "adjust": "h3r"},
                # How many of a score were right (OKS of 0.5 or more) in 300 training photographs, at 256 and 384 px.
                calibration=(
                    *((0.0, 0.0), (0.028, 0.069), (0.042, 0.07), (0.06, 0.134), (0.086, 0.192), (0.116, 0.289)),
                    *((0.156, 0.395), (0.203, 0.558), (0.247, 0.808), (0.297, 0.873), (0.394, 0.971), (0.557, 0.988)),
                    (1.0, 1.0),
                ),
            ),
            CatalogEntry(
                name="swahr-tiny",
                description="the same on a narrower trunk, for the smallest boards",
                skeleton="coco-17",
                input_size=(256, 256),
                weights=ON_MOVENET,
                parameters=2_387_231,
                licence="Apache-2.0",
                bundled=True,
                project=False,  # four times the pixels to decode would cost more than the network
                decode={"detection_threshold": 0.3, "person_threshold": 0.03, "adjust": "h3r"},
                calibration=(  # as swahr-small's, by experiments/score_calibration.py
                    *((0.0, 0.0), (0.039, 0.13), (0.055, 0.21), (0.082, 0.29), (0.118, 0.4), (0.164, 0.59)),
                    *((0.204, 0.68), (0.246, 0.83), (0.292, 0.905), (0.398, 0.94), (0.469, 0.98), (0.617, 0.99)),
                    (1.0, 1.0),
                ),
            ),
            replace(
                _landmarks(
                    "h3r-mobile-68", "a face, trained here, for CPUs and small boards", "300w-68", 586_608, OURS
                ),
                licence="non-commercial research, as the 300-W annotations it was trained on",
                bundled=True,
                decode={"topk": 7},  # chosen on training faces, where 6 to 12 differ by 0.3 % of the error
            ),
            CatalogEntry(
                name="swahr-w32",
                description="SWAHR with HRNet-W32, the official network for COCO",
                skeleton="coco-17",
                input_size=(512, 512),
                parameters=28_649_309,
                weights=SWAHR_CHECKPOINTS,
            ),
            CatalogEntry(
                name="swahr-w48",
                description="SWAHR with HRNet-W48, the most accurate official network for COCO",
                skeleton="coco-17",
                input_size=(640, 640),
                parameters=63_831_661,
                weights=SWAHR_CHECKPOINTS,
            ),
            CatalogEntry(
                name="swahr-w48-crowdpose",
                description="SWAHR with HRNet-W48, the official network for crowds (CrowdPose)",
                skeleton="crowdpose-14",
                input_size=(640, 640),
                parameters=63_825_814,
                weights=SWAHR_CHECKPOINTS,
            ),
            replace(
                _landmarks("h3r-mobile-wflw98", "a face (WFLW)", "wflw-98", 595_728, H3R_CHECKPOINTS),
                other_sizes=((160, 160), (256, 256)),
            ),
            _landmarks("h3r-mobile-300w68", "a face (300-W)", "300w-68", 586_608, H3R_CHECKPOINTS),
            _landmarks("h3r-w18-wflw98", "a face (WFLW)", "wflw-98", 9_688_620, H3R_CHECKPOINTS),
            _landmarks("h3r-w18-300w68", "a face (300-W)", "300w-68", 9_672_420, H3R_CHECKPOINTS),
            _landmarks("h3r-w18-cofw29", "a face (COFW)", "cofw-29", 9_651_360, RECIPE),
            _landmarks("h3r-w18-aflw19", "a face (AFLW)", "aflw-19", 9_645_960, RECIPE),
            _landmarks("h3r-w18-lapa106", "a face (LaPa)", "lapa-106", 9_692_940, H3R_CHECKPOINTS),
            _landmarks("h3r-w32-coco17", "a body (COCO)", "coco-17", 29_553_216, RECIPE),
            _landmarks("h3r-w32-mpii16", "a body (MPII)", "mpii-16", 29_552_256, RECIPE),
        )
    }
)
"""Every network by name, the default first."""


def get(name: str) -> CatalogEntry:
    """The network of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    try:
        return CATALOG[name]
    except KeyError:
        raise UnknownNameError.among(CATALOG, kind="model", name=name) from None


def bundled_path(name: str) -> Path:
    """The model file with trained weights that comes with the package.

    Raises:
        UnknownNameError: there is no network of that name.
        ModelFileError: no weights come with it, or its file is missing from the installation.
    """
    if not get(name).bundled:
        raise ModelFileError(
            f"{name} comes without weights: export it with `heatstream export {name} --checkpoint FILE -o "
            f"{name}.onnx` and give that file"
        )
    path = Path(str(files("heatstream") / "weights" / f"{name}.onnx"))
    if not path.is_file():
        raise ModelFileError(f"the weights of {name} are missing at {path}: install heatstream again")
    return path
