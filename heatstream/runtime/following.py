"""Following people from result to result: ids, then smoothing; the last step of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from heatstream.results import Result
from heatstream.runtime.smoothing import Smoother, ZeroPhaseSmoother
from heatstream.runtime.tracking import Tracker

__all__ = ["Follower", "follow"]


class Follower:
    """Gives the people of one source ids, and smooth keypoints if that is wanted: ``add`` results in their order.

    Pictures pass as they are: one has nothing to do with the next.

    Args:
        live: whether results must not wait for later ones; otherwise smoothing keeps them back for a second.
        smooth: whether to smooth keypoints.
    """

    def __init__(self, *, live: bool, smooth: bool) -> None:
        self._tracker = Tracker()
        self._smoother = Smoother() if smooth and live else None
        self._zero_phase = ZeroPhaseSmoother() if smooth and not live else None

    def add(self, result: Result) -> list[Result]:
        """Take the next result; gives those that are ready, in order."""
        if result.picture is not None:
            return [result]
        poses = self._tracker(result.poses, result.capture_time)
        if self._smoother is not None:
            poses = self._smoother(poses, result.capture_time)
        result = replace(result, poses=poses)
        return [result] if self._zero_phase is None else self._zero_phase.add(result)

    def finish(self) -> list[Result]:
        """What was kept back, when no further result comes."""
        return [] if self._zero_phase is None else self._zero_phase.finish()


def follow(results: Iterable[Result], *, live: bool, smooth: bool) -> Iterator[Result]:
    """One source's results through a :class:`Follower`, to their end."""
    follower = Follower(live=live, smooth=smooth)
    for result in results:
        yield from follower.add(result)
    yield from follower.finish()
