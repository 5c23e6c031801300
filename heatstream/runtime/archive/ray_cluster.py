"""Workers of a Ray cluster: ``ray.data`` deals out the segments, and starts what died again.

A row is a video or a segment; an actor holds one finder and decodes what it looks at itself. Videos must have the same
paths on all machines, which must have the same heatstream installed.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from heatstream.errors import EngineError, first_line
from heatstream.extras import require
from heatstream.runtime.archive.finder import Finder, FinderSettings, Outcome
from heatstream.runtime.archive.plan import Segment, Video, plan_segments

__all__ = ["look_on_ray"]


def look_on_ray(
    tasks: Sequence[Video | Segment],
    settings: FinderSettings,
    *,
    address: str,
    workers: int | None,
    gpus: float,
    frames: int,
) -> Iterator[Outcome]:
    """Look at segments on a cluster.

    Args:
        tasks: segments, and videos that are still to be cut into some.
        settings: how people are found.
        address: of the cluster, or ``"local"`` for one on this machine's cores.
        workers: how many actors at most; as many as there is room for when None.
        gpus: how many GPUs each needs.
        frames: of a segment, as of :func:`plan_segments`.

    Yields:
        Outcomes as they come.

    Raises:
        MissingExtraError: ray is not installed.
        EngineError: the cluster cannot be reached, or the workers cannot be made ready.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    ray = require("ray", extra="ray", purpose="looking at videos on a Ray cluster")
    data = require("ray.data", extra="ray", purpose="looking at videos on a Ray cluster")
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="ERROR",
                **({"include_dashboard": False, "num_cpus": workers} if address == "local" else {}),
            )
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        rows = [{"task": pickle.dumps(task)} for task in tasks]
        found = (
            data.from_items(rows, override_num_blocks=len(rows))
            .flat_map(_plan, fn_kwargs={"frames": frames}, num_cpus=0.1)
            .repartition(target_num_rows_per_block=1)  # a row is a unit of work, and of what is done again
            .map(
                _Actor,
                fn_constructor_args=(settings,),
                compute=data.ActorPoolStrategy(min_size=1, max_size=workers),
                num_cpus=0 if gpus else 1,
                num_gpus=gpus,
            )
        )
        for row in found.iter_rows():
            yield pickle.loads(row["outcome"])
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(f"the Ray cluster {address} failed: {first_line(error)}") from error
    finally:
        if ours:
            ray.shutdown()


def _plan(row: dict[str, Any], frames: int) -> list[dict[str, Any]]:
    task = pickle.loads(row["task"])
    segments = plan_segments(task, frames) if isinstance(task, Video) else [task]
    return [{"task": pickle.dumps(segment)} for segment in segments]


class _Actor:
    """A finder, for Ray."""

    def __init__(self, settings: FinderSettings) -> None:
        self._finder = Finder(settings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": pickle.dumps(self._finder(pickle.loads(row["task"])))}
