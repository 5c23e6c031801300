"""Following people from result to result: ids, then smoothing; the last step of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from heatstream.results import Gap, Result
from heatstream.runtime.smoothing import Smoother, ZeroPhaseSmoother
from heatstream.runtime.tracking import Tracker

__all__ = ["follow"]


def follow(results: Iterator[Result | Gap], *, live: bool, smooth: bool) -> Iterator[Result | Gap]:
    """The same results, their people with ids, and smooth if that is wanted.

    Pictures pass as they are: one has nothing to do with the next. So do gaps: ids live on as long as time allows.

    Args:
        results: of one source, in order.
        live: whether results must not wait for later ones; otherwise smoothing keeps them back for a second.
        smooth: whether to smooth keypoints.

    Raises:
        Exception: what ``results`` raises, after all results before it.
    """
    tracker = Tracker()
    smoother = Smoother() if smooth and live else None
    zero_phase = ZeroPhaseSmoother() if smooth and not live else None
    failure = None
    try:
        for result in results:
            if isinstance(result, Gap) or result.picture is not None:
                yield result
                continue
            poses = tracker(result.poses, result.capture_time)
            if smoother is not None:
                poses = smoother(poses, result.capture_time)
            result = replace(result, poses=poses)
            if zero_phase is None:
                yield result
            else:
                yield from zero_phase.add(result)
    except Exception as error:  # results that are kept back come first
        failure = error
    if zero_phase is not None:
        yield from zero_phase.finish()
    if failure is not None:
        raise failure
