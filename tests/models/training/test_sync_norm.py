"""Batch norm over several processes against torch's over the whole batch."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.models.training.sync_norm import SyncedBatchNorm2d, synchronise_norms  # noqa: E402
from tests.fakes.patience import HANG_SECONDS  # noqa: E402

PROCESSES = 2
CASES = [("float32", 1e-5), ("bfloat16", 2e-2)]


def batch(dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose mean is large against their spread, different in every image, and a gradient for the output."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(6, 5, 4, 7, generator=generator) * 0.5 + torch.arange(6.0).view(6, 1, 1, 1) + 20
    gradient = torch.randn(6, 5, 4, 7, generator=generator)
    kind = getattr(torch, dtype)
    return tuple(part.to(kind).to(memory_format=torch.channels_last) for part in (images, gradient))  # type: ignore[return-value]


def norm() -> torch.nn.BatchNorm2d:
    made = torch.nn.BatchNorm2d(5, momentum=0.3)
    with torch.no_grad():
        made.weight.copy_(torch.linspace(0.5, 2, 5))
        made.bias.copy_(torch.linspace(-1, 1, 5))
    return made


def run(network: torch.nn.Module, images: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
    images = images.detach().requires_grad_()
    output = network(images)
    output.backward(gradient)
    assert images.grad is not None
    return [output.detach(), images.grad, *(p.grad for p in network.parameters() if p.grad is not None)]


def one_process(rank: int, dtype: str, folder: Path) -> None:
    """Take this process's images through the synchronised norm, and write down what came of them."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(folder / "store"), PROCESSES)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    images, gradient = (part.chunk(PROCESSES)[rank] for part in batch(dtype))
    network = synchronise_norms(torch.nn.Sequential(norm()), cuda=False)
    assert type(network[0]) is SyncedBatchNorm2d
    results = run(network, images, gradient)
    torch.save({"results": results, "state": network.state_dict()}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("dtype", "tolerance"), CASES)
def test_it_is_torchs_norm_of_the_whole_batch(dtype: str, tolerance: float, tmp_path: Path) -> None:
    alone = torch.nn.Sequential(norm())
    output, grad_images, grad_weight, grad_bias = run(alone, *batch(dtype))

    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=one_process, args=(rank, dtype, tmp_path)) for rank in range(PROCESSES)]
    for process in started:
        process.start()
    for process in started:
        process.join(HANG_SECONDS)
        assert process.exitcode == 0
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]

    def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max()))

    close(torch.cat([part["results"][0] for part in parts]), output)
    close(torch.cat([part["results"][1] for part in parts]), grad_images)
    close(sum(part["results"][2] for part in parts), grad_weight)
    close(sum(part["results"][3] for part in parts), grad_bias)
    for part in parts:
        assert list(part["state"]) == list(alone.state_dict())
        for name, value in alone.state_dict().items():
            close(part["state"][name], value)


def test_parameters_and_statistics_are_shared_with_the_norm_it_replaces() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1), torch.nn.Sequential(norm()))
    before = {name: value.data_ptr() for name, value in network.state_dict().items()}
    synchronise_norms(network, cuda=False)
    assert {name: value.data_ptr() for name, value in network.state_dict().items()} == before
    images, _ = batch("float32")
    torch.testing.assert_close(network.eval()[1](images), norm().eval()(images))
