"""What a recipe may hold: the settings of every section, checked when they are made, and the two recipes they make up.

A field's type says which values it takes, so that a new field is one line here:
:mod:`heatstream.models.training.recipe` reads recipes by these classes, says what is wrong with one in its own words,
and writes the JSON Schema that editors complete and check recipes with.

The network's task decides what may stand in ``[data]``, ``[augment]`` and ``[loss]``: :class:`Recipe` is one of poses,
:class:`LandmarkRecipe` one of landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from heatstream import catalog, skeletons
from heatstream.errors import UnknownNameError
from heatstream.model_info import SIZE_MULTIPLE
from heatstream.skeleton_tables import skeleton_from_table
from heatstream.skeletons import Skeleton

__all__ = [
    "AnyRecipe",
    "AugmentSettings",
    "DataSettings",
    "Format",
    "LandmarkAugmentSettings",
    "LandmarkDataSettings",
    "LandmarkLossSettings",
    "LandmarkRecipe",
    "LandmarkSetSettings",
    "LandmarkValidationSettings",
    "LossSettings",
    "ModelSettings",
    "Norm",
    "Recipe",
    "SetSettings",
    "SkeletonSettings",
    "TeacherSettings",
    "TrainSettings",
    "ValidationSettings",
]

CHECKED = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
"""Numbers are not read from text, 1 is not true, and unknown keys are refused."""

Settings = TypeVar("Settings")


def _network(name: str) -> str:
    return _among(catalog.networks(), "network", name)


def _skeleton(name: str) -> str:
    return _among(skeletons.known(), "skeleton", name) if name else ""


def _among(known: Iterable[str], kind: str, name: str) -> str:
    if name not in known:
        message = str(UnknownNameError.among(known, kind=kind, name=name))
        raise PydanticCustomError("unknown_name", "{message}", {"message": message})
    return name


def _device(name: str) -> str:
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise ValueError("auto, cpu, cuda or cuda:1")
    return name


def _sets(sets: tuple[Settings, ...]) -> tuple[Settings, ...]:
    if not sets:
        raise ValueError("one [[data.sets]] section or more, each with annotations and images")
    return sets


def _span(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 < span[0] <= span[1]:
        raise ValueError("two numbers above 0, the smaller first")
    return span


def _weights(weights: tuple[float, float]) -> tuple[float, float]:
    if min(weights) < 0:
        raise ValueError("0 or more")
    return weights


def _rising(shares: tuple[float, ...]) -> tuple[float, ...]:
    if not all(0 < share < 1 for share in shares) or list(shares) != sorted(shares):
        raise ValueError("rising shares between 0 and 1")
    return shares


WHOLE_LIMIT = 2**63
"""TOML's whole numbers have 64 bits; Python reads longer ones, which nothing else takes."""

MOST_PROCESSES = 1024
"""More threads than any machine has cores crash OpenMP."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Angle = Annotated[float, Field(ge=0, le=180)]
"""Degrees to either side."""
Count = Annotated[int, Field(gt=0, lt=WHOLE_LIMIT)]
Whole = Annotated[int, Field(ge=0, lt=WHOLE_LIMIT)]
Processes = Annotated[int, Field(ge=0, le=MOST_PROCESSES)]
Side = Annotated[int, Field(ge=64, lt=WHOLE_LIMIT, multiple_of=SIZE_MULTIPLE)]
"""Px; networks halve their input five times."""
Span = Annotated[tuple[float, float], AfterValidator(_span)]
Weights = Annotated[tuple[float, float], AfterValidator(_weights)]
Sets = Annotated[tuple[Settings, ...], AfterValidator(_sets)]
Device = Annotated[str, AfterValidator(_device)]
NetworkName = Annotated[str, AfterValidator(_network)]
SkeletonName = Annotated[str, AfterValidator(_skeleton)]

Format = Literal["faces", "wflw", "300w", "cofw", "aflw", "lapa", "mpii", "coco"]
"""The readers of landmarks, see :mod:`heatstream.models.landmarks.readers`."""

Norm = Literal["inter-ocular", "inter-pupil", "box"]
"""What an error of landmarks is divided by."""


@dataclass(frozen=True, config=CHECKED)
class SetSettings:
    """One set of a training; relative paths hang under `DataSettings.root`.

    Attributes:
        annotations: COCO keypoint JSON.
        images: folder that the JSON's `file_name` entries are relative to; that of the JSON when left out.
        weight: how often each photo of this set is seen, relative to those of a set with weight 1.
        single_person: photos are crops around one person, and windows are scaled by that person.
        partial_labels: a joint without a label may be in view, so nothing is learned about it in that image.
    """

    annotations: str
    images: str = ""
    weight: Positive = 1.0
    single_person: bool = False
    partial_labels: bool = False

    @property
    def folder(self) -> str:
        """Of the photos."""
        return self.images or str(Path(self.annotations).parent)


@dataclass(frozen=True, config=CHECKED)
class ValidationSettings:
    """What a training is validated on; relative paths hang under `DataSettings.root`.

    Attributes:
        annotations: COCO keypoint JSON.
        images: folder of its photos; that of the JSON when left out.
        limit: use the first so many images; 0 uses all.
    """

    annotations: str
    images: str = ""
    limit: Whole = 0

    @property
    def folder(self) -> str:
        """Of the photos."""
        return self.images or str(Path(self.annotations).parent)


@dataclass(frozen=True, config=CHECKED)
class DataSettings:
    """What a training sees.

    Attributes:
        sets: what it learns from.
        root: folder of the sets; a relative one is looked for in the current folder and every folder above.
        size: side S of the training windows in input px, a multiple of 32.
        more_sizes: further sides, which batches have in turn with `size`: a network that shall serve several sizes
            has to see people as large as they are in each.
        workers: processes that make samples; 0 makes them in the training process.
        cache_gb: memory for decoded photos in 1e9 bytes; the rest is decoded whenever it is shown.
        validation: what it is measured on; None measures nothing.
    """

    sets: Sets[SetSettings]
    root: str = "data"
    size: Side = 256
    more_sizes: tuple[Side, ...] = ()
    workers: Processes = 2
    cache_gb: NotNegative = 4.0
    validation: ValidationSettings | None = None


@dataclass(frozen=True, config=CHECKED)
class AugmentSettings:
    """How far training windows differ from their photos.

    Attributes:
        rotation: degrees to either side, uniform.
        scale: the source window's side over the photo's short side, uniform between the two.
        translation: to either side, uniform, in two-hundredths of the window's side: the reference's 40 moves it by
            up to a fifth.
        flip: probability of a left-right flip.
        zoom_people: probability that the window is scaled by and placed around one of its people instead.
        colour: probability of other light: gamma, contrast, brightness and colour cast.
        grey: probability of a picture without colour.
        blur: probability of a Gaussian blur.
        jpeg: probability of JPEG artefacts.
        cutout: probability of covering one to three rectangles; joints beneath stay labelled.
        mosaic: probability of a window of four photos.
        tag_jitter: how far from a joint its tag may be read, in px of the 1/4 maps to either side, uniform: decoding
            reads tags at peaks, which are not always where the joint is.
    """

    rotation: Angle = 30.0
    scale: Span = (0.75, 1.5)
    translation: NotNegative = 40.0
    flip: Probability = 0.5
    zoom_people: Probability = 0.0
    colour: Probability = 0.0
    grey: Probability = 0.0
    blur: Probability = 0.0
    jpeg: Probability = 0.0
    cutout: Probability = 0.0
    mosaic: Probability = 0.0
    tag_jitter: NotNegative = 0.0


@dataclass(frozen=True, config=CHECKED)
class LossSettings:
    """Which losses, and what each weighs; the defaults are the paper's.

    Attributes:
        scale_adaptive: SAHR: targets are raised to the predicted scale (sec. 3.2).
        weight_adaptive: WAHR: pixels are weighted by how wrong they are (sec. 3.3); False is plain squared error.
        sigma: standard deviation of a target in map pixels, at both resolutions.
        person_sigma: a target's sigma follows its person: sigma * longer side / 256 input px, at least 0.5 map px,
            not rounded to whole pixels. The scale-aware variant of HigherHRNet, at its defaults, but by the person's
            size in the network's input, where the reference takes the size in the photo.
        exact_power: h ** (1 + s) itself instead of its second-order Taylor form.
        tag_kind: how tags of two people repel: "exp" by exp(-d^2), "max" by the hinge max(0, 1 - |d|).
        tag_margin: tags are divided by it before their loss, so the hinge asks for tags that far apart.
        push, pull: weights of the two tag losses.
        heatmap_weights: weights of the heatmap losses and scale regularisers at 1/4 and at 1/2; 0 leaves them out.
        scale_weight: further weight of the scale regularisers.
    """

    scale_adaptive: bool = True
    weight_adaptive: bool = True
    sigma: Positive = 2.0
    person_sigma: bool = False
    exact_power: bool = False
    tag_kind: Literal["exp", "max"] = "exp"
    tag_margin: Positive = 1.0
    push: NotNegative = 0.001
    pull: NotNegative = 0.001
    heatmap_weights: Weights = (1.0, 1.0)
    scale_weight: NotNegative = 1.0


@dataclass(frozen=True, config=CHECKED)
class LandmarkSetSettings:
    """One set, in the files of its owners; relative paths hang under `LandmarkDataSettings.root`.

    Attributes:
        format: which reader of :mod:`heatstream.models.landmarks.readers` it takes.
        annotations: the file with the labels; for "300w" and "lapa" the folder that holds them beside the photos.
        images: folder of the photos, for the formats that keep them apart: "wflw", "aflw", "mpii", "coco".
        part: of a file or folder that holds both: "train" or "test", for "300w", "cofw" and "aflw".
        weight: how often each face of this set is seen, relative to those of a set with weight 1.
    """

    format: Format
    annotations: str
    images: str = ""
    part: Literal["train", "test"] = "train"
    weight: Positive = 1.0


@dataclass(frozen=True, config=CHECKED)
class LandmarkValidationSettings:
    """What a training is validated on; relative paths hang under `LandmarkDataSettings.root`.

    Attributes:
        format: as of :class:`LandmarkSetSettings`, like the next three.
        annotations: as of :class:`LandmarkSetSettings`.
        images: as of :class:`LandmarkSetSettings`.
        part: as of :class:`LandmarkSetSettings`.
        norm: what errors are divided by.
        limit: use the first so many faces; 0 uses all.
    """

    format: Format
    annotations: str
    images: str = ""
    part: Literal["train", "test"] = "test"
    norm: Norm = "inter-ocular"
    limit: Whole = 0


@dataclass(frozen=True, config=CHECKED)
class LandmarkDataSettings:
    """What a training of landmarks sees.

    Attributes:
        sets: what it learns from.
        root: folder of the sets; a relative one is looked for in the current folder and every folder above.
        size: (height, width) of the network's input in px, multiples of 32.
        workers: processes that make samples; 0 makes them in the training process.
        cache_gb: memory for faces cut out of their photos in 1e9 bytes; the rest is read whenever it is shown.
        validation: what it is measured on; None measures nothing.
    """

    sets: Sets[LandmarkSetSettings]
    root: str = "data"
    size: tuple[Side, Side] = (256, 256)
    workers: Processes = 2
    cache_gb: NotNegative = 4.0
    validation: LandmarkValidationSettings | None = None


@dataclass(frozen=True, config=CHECKED)
class LandmarkAugmentSettings:
    """How far training windows differ from the windows that are looked at later.

    Attributes:
        rotation: degrees to either side, uniform.
        scale: the window's side over that of :func:`heatstream.kernels.reference.crops.crop_rectangles`, uniform in its
            logarithm between the two.
        translation: to either side, uniform, as a share of the window's sides.
        flip: probability of a left-right flip.
        colour: probability of other light: gamma, contrast, brightness and colour cast.
        grey: probability of a picture without colour.
        blur: probability of a Gaussian blur.
        jpeg: probability of JPEG artefacts.
        cutout: probability of covering one to three rectangles; landmarks beneath stay labelled.
    """

    rotation: Angle = 30.0
    scale: Span = (0.75, 1.25)
    translation: NotNegative = 0.0
    flip: Probability = 0.5
    colour: Probability = 0.0
    grey: Probability = 0.0
    blur: Probability = 0.0
    jpeg: Probability = 0.0
    cutout: Probability = 0.0


@dataclass(frozen=True, config=CHECKED)
class LandmarkLossSettings:
    """How the maps to learn are made of coordinates.

    Attributes:
        rounding: "random", H3R's: up with the probability of the coordinate's fraction; "nearest", the baseline of
            the paper: to the nearest cell; "soft": the four cells with their probabilities, the mean of "random".
    """

    rounding: Literal["random", "nearest", "soft"] = "random"


@dataclass(frozen=True, config=CHECKED)
class ModelSettings:
    """Which network.

    Attributes:
        name: one of :func:`heatstream.catalog.networks`.
        skeleton: name of the keypoint layout that it learns; empty for that of the section `skeleton`, else that which
            the first set's COCO keypoint JSON describes, else the network's usual one.
        init: a checkpoint to start from (ours, official SWAHR or HigherHRNet, an HRNet backbone), relative to the
            current folder, or "swahr-tiny" for the weights that come with the package; empty for random weights.
        fresh_heads: leave the heads of `init` out, as is done anyway where they are of another skeleton.
        frozen: modules of the network that keep their weights, by the beginning of their names: "backbone" for all of
            it, "backbone.blocks.0" for a part.
    """

    name: NetworkName
    skeleton: SkeletonName = ""
    init: str = ""
    fresh_heads: bool = False
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True, config=CHECKED)
class SkeletonSettings:
    """A keypoint layout of one's own; keypoints are named, see :mod:`heatstream.skeleton_tables`.

    Attributes:
        name: how model files and results call it.
        keypoints: their names, in the order of the labels.
        limbs: pairs of keypoints to draw a line between.
        flip_pairs: pairs that change places in a mirrored image; by left and right in the names when left out.
        sigmas: of the annotators, for OKS; when left out COCO's for keypoints of its names, else 0.079.
        grouping_order: the order in which grouping takes the keypoints; as they stand when left out.
        colors: blue, green, red of every keypoint, 0 to 255; by side when left out.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...] = ()
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    sigmas: tuple[float, ...] | None = None
    grouping_order: tuple[str, ...] | None = None
    colors: tuple[tuple[int, int, int], ...] | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> SkeletonSettings:
        self.layout()
        return self

    def layout(self) -> Skeleton:
        """The skeleton.

        Raises:
            InputError: a value cannot be.
        """
        return skeleton_from_table({key: value for key, value in asdict(self).items() if value is not None})


@dataclass(frozen=True, config=CHECKED)
class TrainSettings:
    """How the network learns.

    Attributes:
        steps: optimiser steps of the whole training.
        batch: images per step, over all processes.
        rate: highest learning rate.
        slow_modules: modules of the network that learn at `slow_factor` of the rate, by the beginning of their names:
            a pretrained backbone beside fresh heads.
        slow_factor: their share of the rate.
        optimiser: "adam", or "adamw", which spares biases and norms the weight decay.
        weight_decay: per step and rate.
        schedule: what the rate does after the warm-up: "cosine" to a hundredth, "linear" to zero, "step" to a tenth
            at every milestone, or "constant".
        milestones: of the step schedule, as shares of `steps`.
        warmup_steps: during which the rate rises linearly.
        clip: highest norm of the gradient; 0 for any.
        ema: how much of their old value the averaged weights keep per step; 0 averages nothing.
        precision: what the network computes in; weights and losses are always float32.
        sync_norms: whether batch norms see the whole batch when several processes share it. False is a third quicker
            between CPUs; then every process normalises its own share.
        seed: of initial weights, order and augmentation.
        out: folder of the run.
        checkpoint_seconds: how often everything is saved.
        validate_every: steps between validations; 0 validates only after the last step.
        log_every: steps between two lines of numbers.
        device: "auto", "cpu", "cuda" or "cuda:1".
        threads: CPU threads of the network; 0 for torch's choice.
    """

    steps: Count
    batch: Count
    rate: Positive
    slow_modules: tuple[str, ...] = ()
    slow_factor: Positive = 0.1
    optimiser: Literal["adam", "adamw"] = "adamw"
    weight_decay: NotNegative = 0.0
    schedule: Literal["cosine", "linear", "step", "constant"] = "cosine"
    milestones: Annotated[tuple[float, ...], AfterValidator(_rising)] = ()
    warmup_steps: Whole = 0
    clip: NotNegative = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sync_norms: bool = True
    seed: Whole = 0
    out: str = ""
    checkpoint_seconds: NotNegative = 30.0
    validate_every: Whole = 0
    log_every: Count = 50
    device: Device = "auto"
    threads: Processes = 0

    @model_validator(mode="after")
    def _steps_need_milestones(self) -> TrainSettings:
        if self.schedule == "step" and not self.milestones:
            raise ValueError('schedule = "step" needs milestones, shares of the steps such as [0.7, 0.9]')
        return self


@dataclass(frozen=True, config=CHECKED)
class TeacherSettings:
    """Whom a training learns from besides the labels.

    Attributes:
        network: name of the teacher's network; of the student's skeleton.
        checkpoint: its weights: a file, relative to the current folder, or the name of weights that come with the
            package.
        sizes: sides in input px at which it looks at every window; its heatmaps are averaged. Multiples of 32.
        every_size: the network learns every window at all of these sides, not at the window's own: one that shares
            its frozen modules with the teacher has computed most of what that takes.
        heatmaps: weight of the difference of heatmaps, at both resolutions.
        loss: how heatmaps are compared: "cross-entropy" for a student whose heatmaps come from a sigmoid, "squared"
            for any.
        tags: weight of the squared difference of tags, where the teacher sees a joint.
    """

    network: NetworkName
    checkpoint: str
    sizes: Annotated[tuple[Side, ...], Field(min_length=1)] = (256,)
    every_size: bool = False
    heatmaps: NotNegative = 1.0
    loss: Literal["cross-entropy", "squared"] = "squared"
    tags: NotNegative = 0.0


@dataclass(frozen=True, config=CHECKED)
class Recipe:
    """A whole training of poses; see the settings of each part. Without a teacher it learns from labels alone."""

    model: ModelSettings
    data: DataSettings
    train: TrainSettings
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    teacher: TeacherSettings | None = None
    skeleton: SkeletonSettings | None = None

    @model_validator(mode="after")
    def _somebody_teaches_heatmaps(self) -> Recipe:
        if self.teacher is None and not self.model.frozen and max(self.loss.heatmap_weights) == 0:
            raise ValueError("loss.heatmap_weights are both 0 and there is no [teacher]: nothing would teach heatmaps")
        return self


@dataclass(frozen=True, config=CHECKED)
class LandmarkRecipe:
    """A whole training of landmarks in boxes; see the settings of each part."""

    model: ModelSettings
    data: LandmarkDataSettings
    train: TrainSettings
    augment: LandmarkAugmentSettings = field(default_factory=LandmarkAugmentSettings)
    loss: LandmarkLossSettings = field(default_factory=LandmarkLossSettings)
    skeleton: SkeletonSettings | None = None


AnyRecipe = Recipe | LandmarkRecipe
