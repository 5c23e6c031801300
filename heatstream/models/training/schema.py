"""What a recipe may hold: the settings of its sections, and the two recipes they make up.

The network's task decides what may stand in ``[data]``, ``[augment]`` and ``[loss]``: :class:`Recipe` is one of poses,
:class:`LandmarkRecipe` one of landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from heatstream.models.landmarks.criterion import LandmarkLossSettings
from heatstream.models.landmarks.settings import LandmarkAugmentSettings, LandmarkDataSettings
from heatstream.models.pose.augment import AugmentSettings
from heatstream.models.pose.criterion import LossSettings
from heatstream.models.pose.dataset import DataSettings

__all__ = ["AnyRecipe", "LandmarkRecipe", "ModelSettings", "Recipe", "TrainSettings"]


@dataclass(frozen=True)
class ModelSettings:
    """Which network.

    Attributes:
        name: one of :data:`heatstream.models.NETWORKS`.
        skeleton: name of the keypoint layout that it learns; empty for the network's usual one.
        init: a checkpoint to start from (ours, official SWAHR or HigherHRNet, an HRNet backbone), relative to the
            current folder, or "swahr-mobile" for the weights that come with the package; empty for random weights.
        fresh_heads: leave the heads of `init` out, as for another skeleton.
    """

    name: str
    skeleton: str = ""
    init: str = ""
    fresh_heads: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """How the network learns.

    Attributes:
        steps: optimiser steps of the whole training.
        batch: images per step, over all processes.
        rate: highest learning rate.
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
        validate_every: steps between validations; 0 validates after the last step alone.
        log_every: steps between two lines of numbers.
        device: "auto", "cpu", "cuda" or "cuda:1".
        threads: CPU threads of the network; 0 for torch's choice.
    """

    steps: int
    batch: int
    rate: float
    optimiser: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = 0.0
    schedule: Literal["cosine", "linear", "step", "constant"] = "cosine"
    milestones: tuple[float, ...] = ()
    warmup_steps: int = 0
    clip: float = 0.0
    ema: float = 0.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sync_norms: bool = True
    seed: int = 0
    out: str = ""
    checkpoint_seconds: float = 30.0
    validate_every: int = 0
    log_every: int = 50
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Recipe:
    """A whole training of poses; see the settings of each part."""

    model: ModelSettings
    data: DataSettings
    train: TrainSettings
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)


@dataclass(frozen=True)
class LandmarkRecipe:
    """A whole training of landmarks in boxes; see the settings of each part."""

    model: ModelSettings
    data: LandmarkDataSettings
    train: TrainSettings
    augment: LandmarkAugmentSettings = field(default_factory=LandmarkAugmentSettings)
    loss: LandmarkLossSettings = field(default_factory=LandmarkLossSettings)


AnyRecipe = Recipe | LandmarkRecipe
