"""What ``heatstream bench`` is made of.

::

    feeds ─ frames ──> scenarios (engine, frame, stream, camera) ── windows ──> turns ──> record ──> table, chart, JSON
                                                                    meters ──┘            └──> compare (an older record)
"""
