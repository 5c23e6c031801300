"""What measures a network in the middle of its training, as `heatstream eval` measures its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heatstream.models.settings import AnyRecipe, LandmarkRecipe, Recipe

if TYPE_CHECKING:
    from torch import nn

    from heatstream.model_info import ModelInfo
    from heatstream.models.training.trainer import Validate

__all__ = ["make_validation"]


def make_validation(
    recipe: AnyRecipe,
    device: str,
    checked: Callable[[int, int], None],
    drawn: Callable[[NDArray[np.uint8]], object] | None = None,
) -> Validate | None:
    """The validation that a recipe asks for; None without one. Its labels are checked at once.

    Args:
        recipe: of the training.
        device: where the network is, such as "cuda:0".
        checked: called after every image with the number done and the number of all.
        drawn: called with a picture of the worst and the best, (H, W, 3) uint8 BGR; nothing is drawn without it.

    Raises:
        DatasetError: the labels are wrong.
        InputError: the skeleton cannot be measured.
    """
    if isinstance(recipe, LandmarkRecipe):
        return _of_landmarks(recipe, device, checked, drawn)
    return _of_poses(recipe, device, checked, drawn)


def _of_poses(
    recipe: Recipe,
    device: str,
    checked: Callable[[int, int], None],
    drawn: Callable[[NDArray[np.uint8]], object] | None,
) -> Validate | None:
    settings = recipe.data.validation
    if settings is None:
        return None
    from heatstream.demo.drawing.contact_sheet import contact_sheet
    from heatstream.models.data.root import find_root
    from heatstream.models.pose.evaluation import check_labels, evaluate
    from heatstream.runtime.engines.torch_engine import TorchEngine
    from heatstream.runtime.pipelines.pose import CpuPosePipeline

    root = find_root(recipe.data.root)
    labels, images = root / settings.annotations, root / settings.folder
    check_labels(labels, images, skeleton=recipe.model.skeleton, limit=settings.limit)
    info = _info(recipe, (recipe.data.size, recipe.data.size))

    def validate(network: nn.Module) -> Mapping[str, float]:
        pipeline = CpuPosePipeline(TorchEngine(network, info, device=device))
        found = evaluate(
            lambda frame: pipeline(frame).poses,
            labels,
            images,
            skeleton=recipe.model.skeleton,
            limit=settings.limit,
            progress=checked,
        )
        if drawn is not None:
            drawn(contact_sheet(found.images, rows=1))
        return found.metrics

    return validate


def _of_landmarks(
    recipe: LandmarkRecipe,
    device: str,
    checked: Callable[[int, int], None],
    drawn: Callable[[NDArray[np.uint8]], object] | None,
) -> Validate | None:
    settings = recipe.data.validation
    if settings is None:
        return None
    from heatstream import skeletons
    from heatstream.demo.drawing.contact_sheet import landmark_sheet
    from heatstream.models.data.root import find_root
    from heatstream.models.landmarks.evaluation import evaluate_landmarks
    from heatstream.models.landmarks.readers.formats import read_examples
    from heatstream.runtime.engines.torch_engine import TorchEngine
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

    skeleton = skeletons.get(recipe.model.skeleton)
    examples = read_examples(settings, find_root(recipe.data.root), skeleton)[: settings.limit or None]
    info = _info(recipe, recipe.data.size)

    def validate(network: nn.Module) -> Mapping[str, float]:
        pipeline = LandmarkPipeline(TorchEngine(network, info, device=device))
        measured = evaluate_landmarks(
            lambda frame, boxes: pipeline(frame, boxes + 0.5).landmarks - 0.5,  # labels count pixel centres from 0
            examples,
            skeleton,
            norm=settings.norm,
            progress=checked,
        )
        if drawn is not None:
            drawn(landmark_sheet(measured.faces, skeleton, "NME", rows=1))
        found = measured.scores
        failures = {f"FR{100 * limit:.0f}": rate for limit, rate in found.failure_rate.items()}
        return {"NME": found.nme, **failures, **{f"AUC{100 * limit:.0f}": area for limit, area in found.auc.items()}}

    return validate


def _info(recipe: AnyRecipe, size: tuple[int, int]) -> ModelInfo:
    """What an export of the recipe's network would say of itself."""
    from heatstream import catalog

    return replace(catalog.get(recipe.model.name).info(), skeleton=recipe.model.skeleton, input_size=size)
