"""A torch checkpoint made a model file of any size, in a process of its own.

``python -m heatstream.demo.checkpoint_to_model CHECKPOINT MODEL``; what does not work is its last line on the standard
error stream. :func:`heatstream.load` runs it, so that torch is not loaded by what looks at a camera all day.
"""

from __future__ import annotations

import sys
from pathlib import Path

from heatstream.errors import HeatstreamError
from heatstream.model_info import sized

__all__ = ["make_model"]


def make_model(checkpoint: Path, output: Path) -> None:
    """Write the model file.

    Raises:
        CheckpointError: the checkpoint cannot be read, or does not say which network it is of.
        MissingExtraError: torch or onnx is not installed.
        SinkError: the file cannot be written.
    """
    from heatstream.engine_builder.export.model import export_model
    from heatstream.models.checkpoint_network import open_network

    network, info = open_network(None, checkpoint)
    export_model(network, sized(info, "any") if info.task == "pose" else info, output)


if __name__ == "__main__":
    try:
        make_model(Path(sys.argv[1]), Path(sys.argv[2]))
    except HeatstreamError as failure:
        sys.exit(str(failure))
