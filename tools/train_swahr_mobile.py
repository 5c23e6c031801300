"""Train swahr-mobile from scratch on COCO keypoint sets, on a CPU, inside a fixed time.

The schedule follows the wall clock, not a step count: learning rate, image size and data mix are functions of
the elapsed fraction of --minutes, so a busy machine costs steps but never the end of the schedule.

    python tools/train_swahr_mobile.py --data coco_people --data lspet --out runs/a --minutes 90
    torchrun --nproc-per-node 2 tools/train_swahr_mobile.py --threads 1 ...

Under torchrun every process takes its share of the batch and gradients are averaged once a step. On a CPU with
other work on it, two processes of one thread wait far less than one process of two threads.

--out receives latest.pt (averaged weights, for use), stage<n>.pt (the same at each stage's end) and resume.pt
(everything; starting again with the same --out continues there).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from heatstream.models.losses import heatmap_loss, scale_loss, tag_loss
from heatstream.models.mobile import SwahrMobile
from heatstream.models.people_data import Photo, Sample, draw_sample, load_photos

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LOSS_SCALE = 1000.0
"""The reference's losses times 1000 (heatmap means are tiny); its tag weight of 0.001 would become 1."""

TAG_WEIGHT = 3.0
"""A short training has to learn tags before the heatmap loss is small, so they weigh more than in the reference."""


HEATMAP_WEIGHTS = (1.0, 2.0)
"""Of 1/4 and 1/2: the same sigma covers a quarter of the area at 1/2, so its mean is some four times smaller."""


TAG_MARGIN = 2.0
"""Tags of two people are pushed this far apart, twice the decoder's tag threshold. A hinge, because the gradient
of exp(-d^2) vanishes where a young network starts, at equal tags for everyone."""


@dataclass(frozen=True)
class Stage:
    """A part of the schedule, until `until` (fraction of the time) is reached."""

    until: float
    size: int
    short_side: float
    batch: int
    crops: float
    """Share of samples drawn from single-person crops."""
    by_person: float
    """Share of photos scaled by one of their people instead of by their short side."""
    scales: bool
    """Whether SAHR's scale maps are trained; off, targets keep their own size."""


STAGES = (
    Stage(until=0.15, size=128, short_side=160, batch=32, crops=0.35, by_person=0.6, scales=False),
    Stage(until=0.58, size=128, short_side=168, batch=32, crops=0.22, by_person=0.65, scales=False),
    Stage(until=0.73, size=160, short_side=224, batch=32, crops=0.10, by_person=0.25, scales=False),
    Stage(until=0.92, size=192, short_side=256, batch=32, crops=0.06, by_person=0.12, scales=False),
    Stage(until=1.00, size=224, short_side=256, batch=32, crops=0.04, by_person=0.10, scales=True),
)
"""Small windows first, where a second shows more people; the last ones look like the frames of use."""


class SampleStream(IterableDataset[Sample]):
    """Endless augmented samples of one stage; every worker draws its own."""

    def __init__(self, photos: list[Photo], crops: list[Photo], stage: Stage, seed: int) -> None:
        self.photos, self.crops, self.stage, self.seed = photos, crops, stage, seed

    def __iter__(self) -> Iterator[Sample]:
        """Yield samples forever."""
        info = get_worker_info()
        rng = np.random.default_rng((self.seed, info.id if info else 0))
        while True:
            source = self.crops if self.crops and (not self.photos or rng.random() < self.stage.crops) else self.photos
            photo, stage = source[rng.integers(len(source))], self.stage
            yield draw_sample(photo, stage.size, stage.short_side, rng, by_person=stage.by_person)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, metavar="DIR",
                        help="a COCO keypoint set: DIR/train.json and DIR/train/; repeat for more sets")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where checkpoints go")
    parser.add_argument("--minutes", type=float, default=90.0, help="the whole schedule's wall-clock time")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate of AdamW")
    parser.add_argument("--limit", type=int, help="photos per set; a handful shows whether the chain can overfit")
    parser.add_argument("--only-stage", type=int, help="train in this stage's setting (0-4) all the time")
    parser.add_argument("--threads", type=int, default=2, help="threads of the network")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    Trainer(options).run()
    if dist.is_initialized():
        dist.destroy_process_group()


class Trainer:
    """Holds the network, its average, the optimiser and the clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        random.seed(options.seed)
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        loaded = [photo for root in options.data for photo in load_photos(root, options.limit)]
        self.photos = [p for p in loaded if not p.crop and len(p.people)]
        self.crops = [p for p in loaded if p.crop and len(p.people)]
        self._say(f"{len(self.photos)} photos, {len(self.crops)} single-person crops")

        self.network = SwahrMobile()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).eval()
        decayed = [p for p in self.network.parameters() if p.dim() > 1]
        plain = [p for p in self.network.parameters() if p.dim() <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0.0}],
            lr=options.rate, betas=(0.9, 0.99), fused=True,
        )  # fmt: skip
        # Compiling fuses some twenty passes over the 1/2 maps into a few; without scale maps eager is as fast.
        self._compiled_terms = torch.compile(heatmap_terms, dynamic=False)
        self.step, self.images, self.elapsed, self.peak = 0, 0, 0.0, 0.0
        self._resume()

    def run(self) -> None:
        """Train until the time is used up."""
        stage_column, step_column = TextColumn("stage {task.fields[stage]}"), TextColumn("{task.description}")
        columns = (stage_column, BarColumn(), TimeElapsedColumn(), step_column)
        with Progress(*columns, redirect_stdout=False, disable=self.rank > 0) as bar:
            task = bar.add_task("", total=1.0, stage=0)
            for number, stage in enumerate(STAGES):
                if self.options.only_stage is not None:
                    if number != self.options.only_stage:
                        continue
                    stage = replace(stage, until=1.0)
                if self.fraction < stage.until:
                    self._say(f"stage {number}: {stage}")
                    bar.update(task, stage=number)
                    self._run_stage(number, stage, bar, task)
                    self.save(self.out / f"stage{number}.pt")

    @property
    def fraction(self) -> float:
        """The share of the schedule that is over, 0..1."""
        return self.elapsed / float(self.options.minutes * 60)

    def _run_stage(self, number: int, stage: Stage, bar: Progress, task: Any) -> None:
        seed = (self.options.seed * 1000 + number + self.step) * self.world + self.rank
        stream = SampleStream(self.photos, self.crops, stage, seed)
        loader = iter(DataLoader(stream, stage.batch // self.world, num_workers=1, prefetch_factor=6))
        sums: dict[str, float] = {}
        last_log = self.step
        clock = last_save = time.monotonic()
        log_clock = clock
        while self.fraction < stage.until:
            terms = self._train_step(Sample(*next(loader)), stage)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            now = time.monotonic()
            self._agree_on_time(self.elapsed + now - clock)
            clock = now
            bar.update(task, completed=self.fraction, description=f"step {self.step}")
            if self.step - last_log >= 50:
                count = self.step - last_log
                speed = count * stage.batch / (now - log_clock)
                text = " ".join(f"{name} {value / count:.4f}" for name, value in sums.items())
                self._say(f"{self.elapsed / 60:6.1f} min step {self.step} {speed:5.1f} img/s {text}")
                sums, last_log, log_clock = {}, self.step, now
            if now - last_save > 240:
                self.save(self.out / "latest.pt")
                self._save_resume()
                last_save = now
        self.save(self.out / "latest.pt")
        self._save_resume()

    def _train_step(self, batch: Any, stage: Stage) -> dict[str, float]:
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        pixels = batch.image.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = self.network(pixels, scales=stage.scales)
        targets = [t.permute(0, 3, 1, 2) for t in (batch.heatmaps4, batch.heatmaps2)]
        masks = [m.permute(0, 3, 1, 2) for m in (batch.masks4, batch.masks2)]

        terms: dict[str, Tensor] = {}
        for name, index in (("heat4", 0), ("heat2", 1)):
            target, mask = targets[index], masks[index]
            scale = None if output.scales is None else output.scales[index]
            weight = LOSS_SCALE * HEATMAP_WEIGHTS[index]
            terms[name] = self._heatmap_terms(output.heatmaps[index], target, mask, scale) * weight
        push, pull = tag_loss(output.tags.float() / TAG_MARGIN, batch.joints, "max")
        terms["push"], terms["pull"] = push.mean() * TAG_WEIGHT, pull.mean() * TAG_WEIGHT
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 30.0)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.images += len(pixels) * self.world
        if self.rank == 0:
            self._update_average()
        if self.step % 50 == 0:
            joints = targets[1] > 0.95
            self.peak = float(output.heatmaps[1].detach()[joints].float().mean())
        values = {name: float(v.detach()) for name, v in terms.items()}
        return values | {"peak": self.peak, "norm": float(norm), "lr1000": rate * 1000}

    def _average_gradients(self) -> None:
        """Average the gradients of all processes; one message a step, however many tensors."""
        if self.world == 1:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])  # flatten keeps logical order in any memory format
        dist.all_reduce(flat)
        parts = torch.split(flat.div_(self.world), [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def _agree_on_time(self, elapsed: float) -> None:
        """Take over the first process's clock, so that all end a stage at the same step."""
        clock = torch.tensor(elapsed, dtype=torch.float64)
        if self.world > 1:
            dist.broadcast(clock, 0)
        self.elapsed = float(clock)

    def _say(self, text: str) -> None:
        if self.rank == 0:
            print(text, flush=True)

    def _heatmap_terms(self, prediction: Tensor, target: Tensor, mask: Tensor, scale: Tensor | None) -> Tensor:
        terms = heatmap_terms if scale is None else self._compiled_terms
        return terms(prediction, target, mask, scale)

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / 200)
        # A cosine that stays up longer: the later stages have the larger, slower images to learn from.
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.fraction**1.3)))
        return float(self.options.rate * warm * max(0.01, cosine))

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        mine = list(self.average.state_dict().values())
        theirs = list(self.network.state_dict().values())
        floats = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)

    def save(self, path: Path) -> None:
        """Write the averaged weights to `path`, all of them or none."""
        if self.rank:
            return
        write_atomically(path, {
            "model": {k: v.contiguous() for k, v in self.average.state_dict().items()},
            "config": {"name": "swahr-mobile", "num_joints": self.network.num_joints},
            "step": self.step, "images": self.images, "minutes": self.elapsed / 60,
        })  # fmt: skip

    def _save_resume(self) -> None:
        if self.rank:
            return
        write_atomically(self.out / "resume.pt", {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step, "images": self.images, "elapsed": self.elapsed,
        })  # fmt: skip

    def _resume(self) -> None:
        path = self.out / "resume.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.images, self.elapsed = state["step"], state["images"], state["elapsed"]
        self._say(f"continuing at step {self.step}, {self.elapsed / 60:.1f} min")


def heatmap_terms(prediction: Tensor, target: Tensor, mask: Tensor, scale: Tensor | None) -> Tensor:
    """Return the batch mean of the heatmap loss and, with scale maps, of their regulariser at the blobs."""
    if scale is None:
        return heatmap_loss(prediction.float(), target, mask, None).mean()
    raw = scale.float()
    regulariser = scale_loss(mask, raw * (target > 0)).mean()
    return heatmap_loss(prediction.float(), target, mask, raw).mean() + regulariser


def write_atomically(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint beside `path` and move it there, so that a reader never sees half of it."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


if __name__ == "__main__":
    main()
