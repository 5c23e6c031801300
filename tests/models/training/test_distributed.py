"""Several processes: the weights that one process alone would reach, and none that outlives another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from tests.fakes.patience import HANG_SECONDS  # noqa: E402
from tests.fakes.tiny_recipe import write_recipe_file  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_process_is_left")

REPOSITORY = Path(__file__).resolve().parents[3]

STEPS = ["train.steps=4", "train.clip=1e-3", "train.validate_every=2"]
"""Few, since rounding grows from step to step; clipped, so that the norm of the gradient counts too."""


def start(recipe: Path, out: Path, *changes: str, processes: int) -> subprocess.Popen[str]:
    """Start a training under torchrun."""
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    sets = [part for change in changes for part in ("--set", change)]
    return subprocess.Popen(
        [sys.executable, "-m", *torchrun, "heatstream", "train", str(recipe), *sets, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def weights(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "resume.pt", weights_only=True)
    return {**{f"network.{k}": v for k, v in state["network"].items()}, **state["average"]}


@pytest.mark.slow
def test_two_processes_with_half_the_batch_reach_the_weights_of_one(tmp_path: Path) -> None:
    recipe = write_recipe_file(tmp_path / "data")
    # Adam divides by the gradient's size, so that where there is next to none rounding would decide the step.
    running = [start(recipe, tmp_path / str(n), *STEPS, "train.rate=1e-4", processes=n) for n in (1, 2)]
    for process in running:
        out, err = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, err
        assert out.count("best.pt: AP") == 1  # one process speaks
    alone, together = weights(tmp_path / "1"), weights(tmp_path / "2")
    start_weights = weights_before(recipe)
    assert list(alone) == list(together)
    moved = difference = 0.0
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=2e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}")
        if name.startswith("network.") and name.removeprefix("network.") in start_weights:
            moved += float((value - start_weights[name.removeprefix("network.")]).square().sum())
            difference += float((value - together[name]).square().sum())
    assert difference < 1e-4 * moved  # and the steps themselves are the same, not only small


def weights_before(recipe: Path) -> dict[str, Any]:
    """The trained parameters before the first step."""
    from heatstream.models.training.build import build_network
    from heatstream.models.training.recipe import read_recipe

    network, _ = build_network(read_recipe(recipe))
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


@pytest.mark.slow
def test_a_process_that_dies_ends_all(tmp_path: Path) -> None:
    recipe = write_recipe_file(tmp_path / "data")
    process = start(recipe, tmp_path / "run", "train.steps=100000", "train.log_every=1", processes=2)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 2/"):
            break
    (victim,) = [pid for pid in children(process.pid) if environment(pid).get("RANK") == "1"]
    subprocess.run(["kill", "-9", str(victim)], check=True)
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode != 0
    assert children(process.pid) == []


def children(parent: int) -> list[int]:
    """The processes started by a process, and living."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
