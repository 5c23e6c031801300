"""The networks that heatstream knows by name: what each is for, how large it is, and where weights come from.

:data:`CATALOG` are its own. Another package adds networks by entry points of the group :data:`ENTRY_POINTS`, each of
which names a :class:`PluginNetwork`; :func:`networks` are all of them.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs

from heatstream.errors import ModelFileError, UnknownNameError
from heatstream.model_info import OUTPUTS, ModelInfo, Task

__all__ = [
    "CATALOG",
    "ENTRY_POINTS",
    "CatalogEntry",
    "PluginNetwork",
    "Weights",
    "bundled_path",
    "fetched_files",
    "get",
    "missing_weights",
    "networks",
    "plugins",
]

ENTRY_POINTS = "heatstream.networks"
"""The group of entry points by which other packages add networks."""

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


MMPOSE = "https://download.openmmlab.com/mmpose/bottom_up/"
COCO_TERMS = "trained on COCO, whose images stay under their owners' terms"


@dataclass(frozen=True)
class Weights:
    """A checkpoint that its authors give away at a plain address; nobody here has opened it.

    Attributes:
        url: its address.
        digest: ``"sha256:"`` or ``"sha384:"`` and the sum in hexadecimal as published, perhaps its beginning alone;
            empty where nobody published one.
        licence: under which it may be used, with what its data say.
        accuracy: as its authors publish it.
        colour: the order of channels and the scale that it was trained with; all of these are heatstream's own.
        size: in bytes; 0 where nobody says.
    """

    url: str
    digest: str
    licence: str
    accuracy: str
    colour: str = "RGB, x / 255, ImageNet's mean and deviation"
    size: int = 0

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


def _mmpose(file: str, accuracy: str, terms: str = COCO_TERMS) -> Weights:
    """A file of MMPose 0.x; the eight digits before the date are the beginning of its SHA-256."""
    digest = file.rsplit("-", 1)[1].split("_")[0]
    return Weights(MMPOSE + file, f"sha256:{digest}", f"Apache-2.0 (MMPose); {terms}", accuracy)


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
        fetched: trained weights that ``heatstream fetch`` gets; None where nobody gives any at a plain address.
        page: where its authors name their weights, for those who get them by hand.
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
    fetched: Weights | None = None
    page: str = ""

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


@dataclass(frozen=True)
class PluginNetwork:
    """A network of another package.

    Attributes:
        entry: what the catalogue says of it.
        build: makes it for a number of keypoints, with fresh weights; see :func:`heatstream.models.create`.
    """

    entry: CatalogEntry
    build: Callable[[int], Any]


OURS = "in the package, trained by us"
ON_MOVENET = "in the package, on MoveNet's trunk, trained by us"
SWAHR_CHECKPOINTS = "official SWAHR or HigherHRNet checkpoints"
H3R_CHECKPOINTS = "official H3R checkpoints"
SWAHR_PAGE = "https://github.com/greatlog/SWAHR-HumanPose"
HIGHERHRNET_PAGE = "https://github.com/HRNet/HigherHRNet-Human-Pose-Estimation"
MMPOSE_PAGE = "https://github.com/open-mmlab/mmpose"
H3R_PAGE = "https://github.com/baoshengyu/H3R"
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
        page=H3R_PAGE if weights == H3R_CHECKPOINTS else "",
    )


def _fetched(
    name: str, description: str, side: int, parameters: int, fetched: Weights, *, skeleton: str = "coco-17", page: str
) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        description=description,
        skeleton=skeleton,
        input_size=(side, side),
        parameters=parameters,
        weights=f"`heatstream fetch {name}`: {fetched.accuracy}",
        licence=fetched.licence,
        fetched=fetched,
        page=page,
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
                weights=f"{SWAHR_CHECKPOINTS}, or `heatstream fetch swahr-w32`: COCO val AP 68.9",
                fetched=Weights(
                    "https://paddledet.bj.bcebos.com/models/keypoint/higherhrnet_hrnet_w32_512_swahr.pdparams",
                    "",
                    f"Apache-2.0 (PaddleDetection); {COCO_TERMS}",
                    "COCO val AP 68.9",
                ),
                page=SWAHR_PAGE,
            ),
            CatalogEntry(
                name="swahr-w48",
                description="SWAHR with HRNet-W48, the most accurate official network for COCO",
                skeleton="coco-17",
                input_size=(640, 640),
                parameters=63_831_661,
                weights=SWAHR_CHECKPOINTS,
                page=SWAHR_PAGE,
            ),
            CatalogEntry(
                name="swahr-w48-crowdpose",
                description="SWAHR with HRNet-W48, the official network for crowds (CrowdPose)",
                skeleton="crowdpose-14",
                input_size=(640, 640),
                parameters=63_825_814,
                weights=SWAHR_CHECKPOINTS,
                page=SWAHR_PAGE,
            ),
            _fetched(
                "higherhrnet-w32",
                "HigherHRNet with HRNet-W32, trained by MMPose on COCO",
                512,
                28_649_309,
                _mmpose("higher_hrnet32_coco_512x512-8ae85183_20200713.pth", "COCO val AP 67.7"),
                page=MMPOSE_PAGE,
            ),
            _fetched(
                "higherhrnet-w32-640",
                "the same, trained at 640 px",
                640,
                28_649_309,
                _mmpose("higher_hrnet32_coco_640x640-a22fe938_20200712.pth", "COCO val AP 68.6"),
                page=MMPOSE_PAGE,
            ),
            _fetched(
                "higherhrnet-w32-official",
                "HigherHRNet with HRNet-W32, its authors' own weights",
                512,
                28_649_309,
                Weights(
                    "https://storage.openvinotoolkit.org/repositories/open_model_zoo/public/2022.1/"
                    "higher-hrnet-w32-human-pose-estimation/ckpt/pose_higher_hrnet_w32_512.pth",
                    "sha384:d344fcc4e426308139397bd708be1c59500e038a540ea0979b6a10556b5f3530701d86c0cab276fc5710419f91879e3d",
                    f"MIT (HigherHRNet); {COCO_TERMS}",
                    "COCO val AP 67.1",
                    size=115_172_215,
                ),
                page=HIGHERHRNET_PAGE,
            ),
            _fetched(
                "higherhrnet-w48",
                "HigherHRNet with HRNet-W48, trained by MMPose on COCO",
                512,
                63_831_661,
                _mmpose("higher_hrnet48_coco_512x512-60fedcbc_20200712.pth", "COCO val AP 68.6"),
                page=MMPOSE_PAGE,
            ),
            _fetched(
                "higherhrnet-w32-crowdpose",
                "HigherHRNet with HRNet-W32 for crowds, trained by MMPose on CrowdPose",
                512,
                28_645_238,
                _mmpose(
                    "higher_hrnet32_crowdpose_512x512-1aa4a132_20201017.pth",
                    "CrowdPose test AP 65.5",
                    "trained on CrowdPose, whose owners state no licence",
                ),
                skeleton="crowdpose-14",
                page=MMPOSE_PAGE,
            ),
            _fetched(
                "hrnet-w32-ae",
                "HRNet-W32 with tags and maps at 1/4 alone, trained by MMPose on COCO",
                512,
                28_536_674,
                _mmpose("hrnet_w32_coco_512x512-bcb8c247_20200816.pth", "COCO val AP 65.4"),
                page=MMPOSE_PAGE,
            ),
            _fetched(
                "hrnet-w48-ae",
                "the same with HRNet-W48",
                512,
                63_596_578,
                _mmpose("hrnet_w48_coco_512x512-cf72fcdf_20200816.pth", "COCO val AP 66.5"),
                page=MMPOSE_PAGE,
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


@functools.cache
def plugins() -> Mapping[str, PluginNetwork]:
    """The networks of other installed packages, by name; one that cannot be used is left out, with a warning."""
    found: dict[str, PluginNetwork] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            network = point.load()
        except Exception as error:  # whatever another package raises
            warnings.warn(f"the network {point.name} ({point.value}) cannot be loaded: {error}", stacklevel=2)
            continue
        if not isinstance(network, PluginNetwork):
            warnings.warn(f"{point.value} is no PluginNetwork, so there is no network {point.name}", stacklevel=2)
        elif network.entry.name in CATALOG or network.entry.name in found:
            warnings.warn(
                f"there is a network {network.entry.name} already; that of {point.value} is left out", stacklevel=2
            )
        else:
            found[network.entry.name] = network
    return MappingProxyType(found)


def networks() -> Mapping[str, CatalogEntry]:
    """Every network by name: heatstream's own, and those of other packages behind them."""
    return {**CATALOG, **{name: network.entry for name, network in plugins().items()}}


def get(name: str) -> CatalogEntry:
    """The network of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    known = CATALOG if name in CATALOG else networks()
    if name not in known:
        raise UnknownNameError.among(known, kind="model", name=name)
    return known[name]


def missing_weights(name: str) -> str:
    """What to do where a file of ours is not installed: the default's model file alone comes with heatstream itself."""
    if get(name).task == "landmarks":
        return (
            f"the weights of {name} are not installed, they are for non-commercial research only: "
            "pip install 'heatstream[faces]'"
        )
    return f"the weights of {name} are not installed: pip install 'heatstream[weights]'"


def bundled_path(name: str) -> Path:
    """The model file with trained weights: our own, of a package of weights, or what ``heatstream fetch`` made.

    Those packages put their files beside those of heatstream.

    Raises:
        UnknownNameError: there is no network of that name.
        ModelFileError: no weights come with it and none were fetched, or its file is missing from the installation.
    """
    entry = get(name)
    if not entry.bundled:
        fetched = fetched_files(entry)[1]
        if fetched.is_file():
            return fetched
        by_hand = f"export it with `heatstream export {name} --checkpoint FILE -o {name}.onnx` and give that file"
        if entry.fetched is not None:
            raise ModelFileError(f"{name} comes without weights: get them with `heatstream fetch {name}`, or {by_hand}")
        page = f"; its authors name theirs at {entry.page}" if entry.page else ""
        raise ModelFileError(f"{name} comes without weights: {by_hand}{page}")
    path = Path(str(files("heatstream") / "weights" / f"{name}.onnx"))
    if not path.is_file():
        raise ModelFileError(missing_weights(name))
    return path


def fetched_files(entry: CatalogEntry) -> tuple[Path, Path]:
    """Where ``heatstream fetch`` puts the checkpoint and the model file that it makes of it; they need not exist."""
    folder = Path(platformdirs.user_cache_path("heatstream")) / "weights"
    checkpoint = entry.fetched.file_name if entry.fetched is not None else f"{entry.name}.pth"
    return folder / checkpoint, folder / f"{entry.name}.onnx"
