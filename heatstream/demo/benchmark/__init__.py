"""What ``heatstream bench`` is made of.

::

    feeds ── frames ──> ways (engine, frame, stream, camera) ── slices ──> turns ──> record ──> table, chart, JSON
                                                                  meters ──┘            └──> compare (an older record)
"""
