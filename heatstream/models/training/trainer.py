"""The training loop.

::

    batch -> device -> network (autocast) -> criterion -> gradients -> guard -> clip -> optimiser -> average
             every so often: numbers, a checkpoint, a validation of the averaged weights

A step depends only on the weights, the optimiser's state and the step's number; the number gives the samples, the
rate and the averaging. So a run that is killed and started again ends with the weights of an unbroken one: bit for
bit on a CPU, and up to what GPU kernels add up in no fixed order there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any, Protocol

from heatstream.errors import RecipeError, TrainingError
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD
from heatstream.models.checkpoints import origin_config
from heatstream.models.data.loader import Samples, loader
from heatstream.models.settings import AnyRecipe
from heatstream.models.torch_import import Tensor, nn, torch
from heatstream.models.training.build import build_optimiser, check_precision
from heatstream.models.training.distributed import Processes
from heatstream.models.training.ema import WeightEma
from heatstream.models.training.finite_guard import FiniteCheck
from heatstream.models.training.recipe import write_recipe
from heatstream.models.training.run_folder import RunFolder
from heatstream.models.training.schedule import average_decay, learning_rate
from heatstream.models.training.tasks import make_criterion, score_of

__all__ = ["Observer", "StoppedError", "TrainMetrics", "TrainResult", "Trainer", "Validate"]

NO_LIMIT = float("inf")
MOST_FILES = 64
"""How many files of a bad batch an error names."""

Validate = Callable[[nn.Module], Mapping[str, float]]
"""Measures a network in evaluation mode, in per cent; the task's score decides which weights are the best."""


class StoppedError(Exception):
    """What `Validate` raises when the training was asked to stop meanwhile."""


@dataclass(frozen=True)
class TrainMetrics:
    """What the steps since the last numbers came to.

    Attributes:
        step: steps done.
        terms: the means of the criterion's terms.
        norm: of the last gradient, before clipping.
        rate: the last learning rate.
        images_per_second: over all processes, validations and checkpoints left out.
    """

    step: int
    terms: Mapping[str, float]
    norm: float
    rate: float
    images_per_second: float

    @property
    def loss(self) -> float:
        """The sum of the terms, which is what is minimised."""
        return sum(self.terms.values())


@dataclass(frozen=True)
class TrainResult:
    """How far a training came.

    Attributes:
        step: steps done.
        finished: whether these were all.
        best: the task's score in per cent and step of `best.pt`; None without a validation.
    """

    step: int
    finished: bool
    best: tuple[float, int] | None


class Observer(Protocol):
    """Receives the progress of a training, in process 0 only."""

    def stepped(self, step: int) -> None:
        """So many steps are done."""

    def measured(self, numbers: TrainMetrics) -> None:
        """There are new numbers."""

    def validated(self, step: int, scores: Mapping[str, float], *, best: bool) -> None:
        """The averaged weights were measured; `best` if they are now `best.pt`."""


class Trainer:
    """Holds the network, its average and the optimiser, and moves them on.

    Args:
        recipe: what to do.
        network: with its first weights; see :func:`heatstream.models.training.build.build_network`.
        training_set: its frames preloaded.
        folder: where everything is kept.
        state: of an earlier part of this training, from :meth:`RunFolder.load`.
        processes: the processes that share the work, entered.
        validate: measures the averaged weights; None measures nothing, and then there is no `best.pt`.
        observers: receive the progress.
        asked_to_stop: asked after every step, and before the first.

    Raises:
        RecipeError: the batch cannot be shared equally, or the device cannot compute in the precision.
    """

    def __init__(
        self,
        recipe: AnyRecipe,
        network: nn.Module,
        training_set: Samples,
        *,
        folder: RunFolder,
        state: Mapping[str, Any] | None = None,
        processes: Processes,
        validate: Validate | None = None,
        observers: Sequence[Observer] = (),
        asked_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        settings = recipe.train
        check_precision(settings, processes.device)
        if settings.batch % processes.world:
            raise RecipeError(f"train.batch = {settings.batch} cannot be shared equally by {processes.world} processes")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._recipe, self._training_set = recipe, training_set
        self._folder, self._processes = folder, processes
        self._validate, self._observers, self._asked_to_stop = validate, observers, asked_to_stop

        device = processes.device
        movable: Any = network  # torch's types do not know that a device and a memory format go together
        self._network: nn.Module = movable.to(device, memory_format=torch.channels_last).train()
        self._average = WeightEma(self._network)
        self._wrapped = processes.wrap(self._network, sync_norms=settings.sync_norms)
        self._optimiser = build_optimiser(self._network, settings)
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
        self._criterion, self._score = make_criterion(recipe), score_of(recipe)
        self._guard = FiniteCheck(device)
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        torch.backends.cudnn.benchmark = True  # every batch has the same shape

        self.step = 0
        self._validated = -1
        self._best: tuple[float, int] | None = None
        self._unchecked: deque[tuple[int, Tensor]] = deque()
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self._norm = torch.zeros(())
        self._seconds = 0.0
        if state is not None:
            self._restore(state)

    def run(self) -> TrainResult:
        """Train until the last step, or until asked to stop; everything is saved either way.

        Raises:
            TrainingError: a loss is not finite, a checkpoint cannot be written, or a process of the loader was killed.
            DatasetError: a photo cannot be read.
        """
        try:
            with closing(self._batches()) as batches:
                return self._run(batches)
        except RuntimeError as error:  # torch raises it wherever the program is when such a process dies
            if not str(error).startswith("DataLoader worker"):
                raise
            raise TrainingError(
                "a process that makes samples was killed, perhaps for memory: lower data.cache_gb or data.workers, "
                "and run the same command again"
            ) from error

    def _run(self, batches: Iterator[Any]) -> TrainResult:
        settings = self._recipe.train
        self._saved_at = time.monotonic()
        while True:
            if self._processes.any(self._asked_to_stop()) or not self._validate_if_due():
                self._save()
                return TrainResult(self.step, False, self._best)
            if self.step >= settings.steps:
                return TrainResult(self.step, True, self._best)
            begun = time.perf_counter()
            self._train_step(next(batches))
            if self.step % settings.log_every == 0 or self.step == settings.steps:
                self._check()
                self._measure(begun)
            else:
                self._seconds += time.perf_counter() - begun
            if self._processes.first:
                for observer in self._observers:
                    observer.stepped(self.step)
                if time.monotonic() - self._saved_at >= settings.checkpoint_seconds and not self._validation_due():
                    self._save()

    def _batches(self) -> Generator[Any, None, None]:
        settings, processes = self._recipe.train, self._processes
        return loader(
            self._training_set,
            batch=settings.batch,
            start_step=self.step,
            steps=settings.steps,
            rank=processes.rank,
            world=processes.world,
            workers=self._recipe.data.workers,
        )

    def _train_step(self, batch: Any) -> None:
        settings, device = self._recipe.train, self._processes.device
        rate = learning_rate(self.step, settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate_factor"]
        self._unchecked.append((self.step, batch.index))
        batch = batch._make(part.to(device, non_blocking=True) for part in batch)
        images = batch.image.permute(0, 3, 1, 2).float().div_(255).sub_(self._mean).div_(self._std)
        with self._autocast():
            output = self._criterion.output(self._wrapped, images)
        terms = self._criterion(output, batch, first=self.step * settings.batch + self._processes.rank * len(images))
        total = torch.stack(list(terms.values())).sum()
        self._scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        limit = settings.clip or NO_LIMIT
        self._norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), limit, foreach=True)
        self._update(total)
        self._optimiser.zero_grad(set_to_none=True)
        if self._processes.first:
            self._average.follow(self._network, average_decay(self.step, settings.ema))
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()
        self._summed += 1
        self.step += 1

    def _update(self, total: Tensor) -> None:
        """Move the weights, unless the step is bad."""
        if self._scaler.is_enabled():
            # Its gradients may overflow now and then: it skips such a step and scales less. A bad loss is bad.
            self._guard.watch(self.step, total)
            self._scaler.step(self._optimiser)
            self._scaler.update()
            return
        self._guard.watch(self.step, total, self._norm)
        if self._processes.device.type == "cpu":
            self._check()
        else:
            self._optimiser.found_inf = self._guard.tripped  # type: ignore[attr-defined]
        self._optimiser.step()

    def _autocast(self) -> AbstractContextManager[Any]:
        precision = self._recipe.train.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self._processes.device.type, dtype, enabled=precision != "fp32")

    def _check(self) -> None:
        """Stop if a step since the last check was not finite; on a GPU this waits for it."""
        bad = self._guard.first_bad_step()
        # A bad image is in the share of one process; all must end together, and name it.
        if not self._processes.any(bad is not None):
            self._unchecked.clear()
            return
        step = min(found for found in self._processes.gather(bad) if found is not None)
        mine = [self._training_set.photo_name(int(i)) for s, index in self._unchecked if s == step for i in index]
        names = list(dict.fromkeys(name for part in self._processes.gather(mine) for name in part))
        rest = f" and {len(names) - MOST_FILES} more" if len(names) > MOST_FILES else ""
        raise TrainingError(
            f"the loss of step {step + 1} is not finite; no weight was changed by it and the checkpoints in "
            f"{self._folder.path} are sound: lower train.rate, or look at the batch's files "
            f"{', '.join(names[:MOST_FILES])}{rest}"
        )

    def _measure(self, begun: float) -> None:
        """Tell the numbers since the last time; on a GPU this waits for it."""
        names = list(self._sums)
        means = (torch.stack([self._sums[name] for name in names]) / self._summed).tolist()
        self._seconds += time.perf_counter() - begun
        settings = self._recipe.train
        numbers = TrainMetrics(
            step=self.step,
            terms=dict(zip(names, means, strict=True)),
            norm=float(self._norm),
            rate=learning_rate(self.step - 1, settings),
            images_per_second=self._summed * settings.batch / self._seconds,
        )
        self._sums, self._summed, self._seconds = {}, 0, 0.0
        if self._processes.first:
            for observer in self._observers:
                observer.measured(numbers)

    def _validation_due(self) -> bool:
        if self._validate is None or self._validated == self.step or self.step == 0:
            return False
        every = self._recipe.train.validate_every
        return self.step == self._recipe.train.steps or bool(every and self.step % every == 0)

    def _validate_if_due(self) -> bool:
        """Measure the averaged weights and keep them if they are the best; False if asked to stop meanwhile."""
        if not self._validation_due():
            if self.step == self._recipe.train.steps and self._validated != self.step:
                self._validated = self.step
                self._save()
            return True
        self._check()
        scores: Mapping[str, float] | None = None
        if self._processes.first:
            assert self._validate is not None
            try:
                scores = dict(self._validate(self._average.network))
            except StoppedError:
                scores = None
        scores = self._processes.share(scores)
        if scores is None:
            return False
        self._validated = self.step
        value = scores[self._score.name]
        better = self._best is None or self._score.better(value, self._best[0])
        if better:
            self._best = value, self.step
        if self._processes.first:
            if better:
                self._folder.save(self._folder.best, self._weights())
            self._save()
            for observer in self._observers:
                observer.validated(self.step, scores, best=better)
        return True

    def _save(self) -> None:
        """Write the averaged weights and everything that the next step depends on."""
        if not self._processes.first:
            return
        if self._guard.first_bad_step() is not None:
            return  # the next check tells, and the checkpoint before is the one to keep
        self._folder.save(self._folder.last, self._weights())
        self._folder.save(
            self._folder.resume,
            {
                "recipe": write_recipe(self._recipe),
                "step": self.step,
                "validated": self._validated,
                "best": self._best,
                "network": self._network.state_dict(),
                "average": self._average.network.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "scaler": self._scaler.state_dict(),
                "rng": torch.get_rng_state(),
                "rng_cuda": torch.cuda.get_rng_state_all(),
            },
        )
        self._saved_at = time.monotonic()

    def _weights(self) -> dict[str, Any]:
        """A checkpoint for use."""
        recipe = self._recipe
        weights = self._average.network.state_dict()
        return {
            "model": {name: value.cpu().contiguous() for name, value in weights.items()},
            "config": origin_config(recipe.model.name, recipe.model.skeleton, recipe.data.size),
            "step": self.step,
            "recipe": write_recipe(recipe),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        self._average.network.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"])
        if len(state["rng_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["rng_cuda"])
        self.step, self._validated = state["step"], state["validated"]
        self._best = None if state["best"] is None else tuple(state["best"])
