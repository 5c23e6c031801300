"""The times that TensorRT measured while it built, kept for its next build on the same GPU."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from heatstream.errors import SinkError
from heatstream.files import replacing

__all__ = ["load_timings", "save_timings"]


def load_timings(config: Any, path: Path) -> None:
    """Hand the kept times to a builder config; a file that is missing, damaged or of another GPU starts anew."""
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    cache = config.create_timing_cache(kept)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def save_timings(config: Any, path: Path) -> None:
    """Keep what a builder config knows after a build, where the folder can be written.

    The times only make the next build quicker, so that no engine is lost over them.
    """
    cache = config.get_timing_cache()
    if cache is not None:
        with suppress(SinkError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(bytes(cache.serialize()))
