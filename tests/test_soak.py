"""A short soak of every run of the suite; ``python -m tests.soak`` is the long one."""

from __future__ import annotations

from tests.soak import KINDS, soak


def test_faults_leave_nothing_behind_and_nothing_in_disorder() -> None:
    frames = 300
    report = soak(frames)
    assert set(report.faults) == set(KINDS)
    assert report.disorder == 0
    # Each failure may take along what was on its way behind it.
    assert report.given >= frames - 4 * 4
    assert max(report.threads[1:]) <= report.threads[0] + 1  # a reader may be through already
    assert max(report.files[1:]) <= report.files[0] + 2
