"""Engines that are measured under other conditions than their model file's: another size, a crowd in view."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels.synthetic import make_scene
from heatstream.model_info import ModelInfo
from heatstream.runtime.engines.base import Engine

__all__ = ["ResizedEngine", "StubPeopleEngine"]

SCENES = 3
"""Made-up crowds that take turns, so that no decode finds the same peaks in the cache every time."""

Maps = dict[str, NDArray[np.float32]]


class ResizedEngine:
    """An engine of any size, held to one.

    Args:
        engine: whose network takes images of any size.
        size: (height, width) px that every frame is brought to.

    Raises:
        InputError: the network takes only images of another size.
    """

    def __init__(self, engine: Engine, size: tuple[int, int]) -> None:
        if not engine.info.any_size and engine.info.input_size != size:
            height, width = engine.info.input_size
            raise InputError(
                f"{engine.info.name} takes images of {height}x{width} px only: leave --size out, or export it with "
                "`--size any`"
            )
        self._engine = engine
        self._size = size
        self.info: ModelInfo = replace(engine.info, any_size=False, input_size=size)
        self.name = engine.name
        self.parallel_runs = engine.parallel_runs

    def for_throughput(self) -> Engine:
        """As that of the engine."""
        return ResizedEngine(self._engine.for_throughput(), self._size)

    def run(self, images: NDArray[np.float32]) -> Maps:
        """As that of the engine."""
        return self._engine.run(images)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class StubPeopleEngine:
    """Runs the network, then gives the maps of a made-up crowd instead of what it found.

    A network takes the same time whatever it sees, while everything after it depends on how many people there are.

    Args:
        engine: of a pose network.
        people: in every frame.
    """

    def __init__(self, engine: Engine, people: int) -> None:
        self._engine = engine
        self._people = people
        self._scenes: dict[tuple[int, ...], list[Maps]] = {}
        self._numbers = count()
        self.info = engine.info
        self.name = engine.name
        self.parallel_runs = engine.parallel_runs

    def for_throughput(self) -> Engine:
        """As that of the engine, with the same crowd."""
        return StubPeopleEngine(self._engine.for_throughput(), self._people)

    def run(self, images: NDArray[np.float32]) -> Maps:
        """The crowd's maps; the caller's own memory, and so a copy, as an engine gives it."""
        maps = self._engine.run(images)
        shapes = {name: values.shape for name, values in maps.items()}
        del maps
        size = (images.shape[2], images.shape[3])
        if size not in self._scenes:
            self._scenes[size] = [self._scene(seed, size) for seed in range(SCENES)]
        scene = self._scenes[size][next(self._numbers) % SCENES]
        return {name: np.broadcast_to(scene[name], shape).copy() for name, shape in shapes.items()}

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _scene(self, seed: int, size: tuple[int, int]) -> Maps:
        scene = make_scene(
            np.random.default_rng(seed),
            self._people,
            joints=self.info.num_keypoints,
            size=(size[0] // 2, size[1] // 2),
            tag_size=1,
        )
        quarter = np.ascontiguousarray(scene.heatmaps[:, ::2, ::2])
        tags = np.ascontiguousarray(scene.tags[:, ::2, ::2, 0])
        return {"heatmaps_quarter": quarter, "heatmaps_half": scene.heatmaps, "tags": tags}
