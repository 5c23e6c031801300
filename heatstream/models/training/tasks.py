"""What a training of poses and one of landmarks differ in: the samples, the criterion, and what counts as better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from heatstream import skeletons
from heatstream.models.checkpoints import load_checkpoint
from heatstream.models.data.loader import Samples
from heatstream.models.landmarks.criterion import LandmarkCriterion
from heatstream.models.landmarks.dataset import load_landmark_set
from heatstream.models.landmarks.preview import draw_landmarks
from heatstream.models.networks.registry import create
from heatstream.models.networks.swahr_small import FRONT, SwahrSmall
from heatstream.models.pose.criterion import Criterion
from heatstream.models.pose.dataset import load_training_set
from heatstream.models.pose.distillation import DistillationCriterion, Teacher
from heatstream.models.pose.preview import draw_batch
from heatstream.models.settings import AnyRecipe, LandmarkRecipe
from heatstream.models.torch_import import Tensor, nn

__all__ = ["AnyCriterion", "Score", "draw_samples", "load_samples", "make_criterion", "score_of"]


class AnyCriterion(Protocol):
    """Runs a network on a batch and compares what it gives with the batch's labels."""

    def output(self, network: nn.Module, images: Tensor, /) -> Any:
        """What the network gives for a batch of images."""

    def __call__(self, output: Any, batch: Any, *, first: int) -> dict[str, Tensor]:
        """Scalars whose sum is minimised; `first` is the global number of the batch's first sample."""


@dataclass(frozen=True)
class Score:
    """The number of a validation that decides which weights are the best.

    Attributes:
        name: of the number.
        higher_is_better: AP; of an error, the lower.
    """

    name: str
    higher_is_better: bool

    def better(self, new: float, old: float) -> bool:
        """Whether `new` is."""
        return new > old if self.higher_is_better else new < old


AP = Score("AP", higher_is_better=True)
NME = Score("NME", higher_is_better=False)


def score_of(recipe: AnyRecipe) -> Score:
    """What weights are chosen by."""
    return NME if isinstance(recipe, LandmarkRecipe) else AP


def make_criterion(recipe: AnyRecipe) -> AnyCriterion:
    """What is minimised.

    Raises:
        CheckpointError: the teacher's checkpoint does not fit its network.
    """
    if isinstance(recipe, LandmarkRecipe):
        return LandmarkCriterion(recipe.loss, seed=recipe.train.seed)
    criterion, settings = Criterion(recipe.loss), recipe.teacher
    if settings is None:
        return criterion
    network = create(settings.network, skeleton=recipe.model.skeleton)
    load_checkpoint(network, settings.checkpoint)
    model = recipe.model
    shared = (
        isinstance(network, SwahrSmall)
        and (model.name, model.init) == (settings.network, settings.checkpoint)
        and set(FRONT) <= set(model.frozen)
        and not model.fresh_heads
    )
    return DistillationCriterion(criterion, Teacher(network, settings.sizes), settings, shared=shared)


def load_samples(recipe: AnyRecipe, progress: Progress | None = None) -> Samples:
    """The training set with its photos read ahead; start workers only afterwards.

    Raises:
        DatasetError: labels or photos are missing or wrong.
    """
    skeleton, seed = skeletons.get(recipe.model.skeleton), recipe.train.seed
    if isinstance(recipe, LandmarkRecipe):
        return load_landmark_set(recipe.data, recipe.augment, skeleton, seed=seed, progress=progress)
    return load_training_set(
        recipe.data, recipe.augment, skeleton, seed=seed, batch=recipe.train.batch, progress=progress
    )


def draw_samples(recipe: AnyRecipe, batch: Any) -> NDArray[np.uint8]:
    """The first samples of a batch as a human-readable picture, (height, width, 3) uint8 BGR."""
    skeleton = skeletons.get(recipe.model.skeleton)
    return draw_landmarks(batch, skeleton) if isinstance(recipe, LandmarkRecipe) else draw_batch(batch, skeleton)
