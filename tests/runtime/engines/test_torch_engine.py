"""A torch network as the engine: the maps of the network itself, and everything that goes wrong as one error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from heatstream.errors import EngineError, InputError
from heatstream.model_info import ModelInfo
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from tests.fakes.runtime import SPOTS, FakeEngine, spot

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.runtime.engines.torch_engine import TorchEngine  # noqa: E402


class Maps(NamedTuple):
    heatmaps: tuple[Any, Any]
    tags: Any


class Spots(torch.nn.Module):  # type: ignore[misc]
    """The network of :class:`FakeEngine`; it notes in which mode and memory format it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(17, 1, 1, 1))
        self.called: list[tuple[bool, bool, bool]] = []

    def forward(self, images: Any) -> Maps:
        packed = images.is_contiguous(memory_format=torch.channels_last)
        self.called.append((self.training, packed, torch.is_grad_enabled()))
        self.tf32 = torch.backends.cudnn.allow_tf32
        bright = torch.nn.functional.conv2d(images.mean(dim=1, keepdim=True), self.gain)
        quarter = torch.nn.functional.avg_pool2d(bright, 4)
        return Maps((quarter, torch.nn.functional.avg_pool2d(bright, 2)), 0 * quarter)


def test_float32_is_not_tf32() -> None:
    """cuDNN's convolutions are in TF32 unless told otherwise; whoever had it so has it so again."""
    network = Spots()
    assert torch.backends.cudnn.allow_tf32
    TorchEngine(network, SPOTS).run(np.zeros((1, 3, 64, 128), np.float32))
    assert not network.tf32
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("batch", [1, 3])
def test_it_gives_the_maps_of_the_network(batch: int) -> None:
    network = Spots().train()
    engine = TorchEngine(network, replace(SPOTS, precision="fp16"))
    images = np.random.default_rng(0).random((batch, 3, 64, 128), np.float32)
    maps, expected = engine.run(images), FakeEngine().run(images)
    assert list(maps) == list(expected)
    for name, values in maps.items():
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        np.testing.assert_allclose(values, expected[name], atol=1e-6)
    assert network.called == [(False, True, False)]
    assert (engine.info.batch, engine.info.precision) == (None, "fp32")
    assert engine.name.startswith("PyTorch, CPU, ")


class Marks(torch.nn.Module):  # type: ignore[misc]
    """A network of the other task."""

    def landmarks(self, images: Any) -> Any:
        return torch.nn.functional.avg_pool2d(images, 4)[:, :1].expand(-1, 17, -1, -1)


def test_a_network_of_landmarks_gives_its_one_map_and_finds_no_people() -> None:
    info = replace(SPOTS, task="landmarks", outputs={"landmarks": 4})
    engine = TorchEngine(Marks(), info)
    maps = engine.run(np.ones((2, 3, 64, 128), np.float32))
    assert {name: values.shape for name, values in maps.items()} == {"landmarks": (2, 17, 16, 32)}
    with pytest.raises(InputError, match="finds landmarks in boxes, not people in frames: choose a pose model"):
        CpuPosePipeline(engine)


def test_a_frame_is_looked_at_once_for_both_sides_of_the_mirror() -> None:
    network = Spots()
    poses = CpuPosePipeline(TorchEngine(network, SPOTS), flip=True)(spot(64, 128, 90, 30)).poses
    assert len(network.called) == 1
    np.testing.assert_allclose(poses.keypoints[0, 0], (90, 30), atol=2.0)


def test_a_diverged_network_finds_nobody_and_says_so() -> None:
    network = Spots()
    torch.nn.init.constant_(network.gain, float("nan"))
    with pytest.warns(RuntimeWarning, match="NaN or infinite"):
        poses = CpuPosePipeline(TorchEngine(network, SPOTS))(spot(48, 64, 30, 20)).poses
    assert len(poses) == 0


def test_what_fails_inside_is_one_line() -> None:
    class Failing(Spots):
        def forward(self, images: Any) -> Maps:
            raise RuntimeError("out of memory\nand a page of advice")

    with pytest.raises(EngineError, match=r"torch failed on spots, cpu: out of memory$"):
        TorchEngine(Failing(), SPOTS).run(np.zeros((1, 3, 64, 64), np.float32))


@pytest.mark.parametrize("device", ["cuda:99", "sofa"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(EngineError, match=f"'{device}'") as caught:
        TorchEngine(Spots(), SPOTS, device=device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("info", "shape", "dtype"),
    [
        (SPOTS, (1, 3, 64, 100), np.float32),
        (SPOTS, (1, 3, 64, 64), np.float64),
        (replace(SPOTS, any_size=False), (1, 3, 64, 128), np.float32),
    ],
)
def test_images_that_do_not_fit_are_refused(info: ModelInfo, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(InputError, match="spots takes"):
        TorchEngine(Spots(), info).run(np.zeros(shape, dtype))


def test_a_closed_engine_says_so() -> None:
    engine = TorchEngine(Spots(), SPOTS)
    assert engine.for_throughput() is engine
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.run(np.zeros((1, 3, 64, 64), np.float32))
