"""A recipe's network and optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heatstream import catalog
from heatstream.errors import RecipeError
from heatstream.models.checkpoints import SCALE_HEADS, LoadReport, load_checkpoint, read_origin
from heatstream.models.networks.registry import create
from heatstream.models.settings import AnyRecipe, Recipe, TrainSettings
from heatstream.models.torch_import import nn, torch

__all__ = ["build_network", "build_optimiser"]

MOMENTA = {"adam": (0.9, 0.999), "adamw": (0.9, 0.99)}
"""Adam's are torch's and the reference's; a shorter memory of squares suits short trainings with AdamW."""


EPSILON = {"adam": 1e-8, "adamw": 1e-11}
"""Adam's is torch's. The losses are means over maps that are nearly all background, so gradients are about a
thousandth of what is usual, and 1e-8 is not small against their squares' roots late in a training."""


def build_network(recipe: AnyRecipe) -> tuple[nn.Module, LoadReport | None]:
    """The network with its first weights, on the CPU, and what was loaded from `model.init`.

    Heads of another skeleton are left out, and learn even where the recipe would freeze them. Scale heads are frozen
    where the loss has no use for them.

    Raises:
        CheckpointError: `model.init` does not fit the network.
    """
    torch.manual_seed(recipe.train.seed)
    network = create(recipe.model.name, skeleton=recipe.model.skeleton)
    model = recipe.model
    report = load_checkpoint(network, model.init, heads=_takes_heads(recipe)) if model.init else None
    unused = isinstance(recipe, Recipe) and not recipe.loss.scale_adaptive
    fresh = () if report is None else tuple(key for key in report.missing if not key.endswith("batches_tracked"))
    kept = [f"{name}." for name in model.frozen if not any(key.startswith(f"{name}.") for key in fresh)]
    frozen = [*kept, *(SCALE_HEADS if unused else ())]
    _freeze(network, frozen)
    return network, report


def _takes_heads(recipe: AnyRecipe) -> bool | None:
    """Whether the heads of `model.init` are of this skeleton; None where only their shapes can tell."""
    model = recipe.model
    if model.fresh_heads:
        return False
    named = catalog.networks().get(model.init)
    if named is not None:
        return named.skeleton == model.skeleton
    origin = read_origin(model.init)
    return None if origin is None else origin.skeleton == model.skeleton


def _freeze(network: nn.Module, frozen: Sequence[str]) -> None:
    """Let the parameters keep their values whose names start so.

    Raises:
        RecipeError: none starts so, or none would be left to learn.
    """
    parameters = dict(network.named_parameters())
    for start in frozen:
        matching = [parameter for name, parameter in parameters.items() if name.startswith(start)]
        if not matching and start not in SCALE_HEADS:
            modules = sorted({name.split(".")[0] for name in parameters})
            raise RecipeError(f"model.frozen: there is no module {start[:-1]}; the network has {', '.join(modules)}")
        for parameter in matching:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise RecipeError("model.frozen leaves nothing to learn: take a module out of it")


def build_optimiser(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser of everything in `network` that learns; one fused call per step.

    Each group of parameters has a "rate_factor", its share of the learning rate.

    Raises:
        RecipeError: a slow module is not in the network, or is frozen.
    """
    starts = tuple(f"{name}." for name in settings.slow_modules)
    learning = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    for start in starts:
        if not any(name.startswith(start) for name in learning):
            modules = ", ".join(sorted({name.split(".")[0] for name in learning}))
            raise RecipeError(f"train.slow_modules: {start[:-1]} is no module that learns; those are {modules}")
    spares = settings.optimiser == "adamw"  # norms and biases have one dimension; pulling them to zero only hurts
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in learning.items():
        factor = settings.slow_factor if name.startswith(starts) else 1.0
        decay = 0.0 if spares and parameter.dim() <= 1 else settings.weight_decay
        groups.setdefault((factor, decay), []).append(parameter)
    kind: Any = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    optimiser: torch.optim.Optimizer = kind(
        [
            {"params": parameters, "weight_decay": decay, "rate_factor": factor}
            for (factor, decay), parameters in groups.items()
        ],
        lr=settings.rate,
        betas=MOMENTA[settings.optimiser],
        eps=EPSILON[settings.optimiser],
        fused=True,
    )
    return optimiser


def check_precision(settings: TrainSettings, device: torch.device) -> None:
    """Refuse what a device cannot compute in.

    Raises:
        RecipeError: FP16 on a CPU.
    """
    if settings.precision == "fp16" and device.type == "cpu":
        raise RecipeError('train.precision = "fp16" needs a GPU: give bf16 or fp32')
