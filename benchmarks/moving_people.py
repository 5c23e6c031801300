"""Made-up people who walk, cross, hide each other and leave, with known truth: what trackers are measured on.

A body is COCO's 17 joints in units of its height, walking with a swing of arms and legs; the network's faults are
added: noise by joint, joints and people missed, left and right changed, doubtful scores where one is hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.results import Poses
from heatstream.skeletons import COCO_17

__all__ = ["SCENES", "STANDING", "Scene", "TrueFrame", "Walker", "record"]

WIDTH, HEIGHT = 1280, 720

# (x, y) of the joints in body heights, seen from the front, the head's top at 0; left is at larger x.
STANDING = np.array(
    [
        *([0.0, 0.09], [0.02, 0.07], [-0.02, 0.07], [0.045, 0.08], [-0.045, 0.08]),
        *([0.12, 0.2], [-0.12, 0.2], [0.15, 0.36], [-0.15, 0.36], [0.16, 0.5], [-0.16, 0.5]),
        *([0.075, 0.52], [-0.075, 0.52], [0.08, 0.74], [-0.08, 0.74], [0.08, 0.96], [-0.08, 0.96]),
    ]
)
_FLIPS = np.array(COCO_17.flip_indices)
_SIGMAS = np.array(COCO_17.sigmas)
STEPS_PER_HEIGHT = 1.2  # of a swing, for each body height walked


@dataclass(frozen=True)
class Walker:
    """One person.

    Attributes:
        path: gives (x, y) px of the feet at a time in seconds, or None while out of the scene.
        height: px.
        slimness: width against a standard body's.
        depth: who has less hides who has more.
        phase: of the steps.
    """

    path: Callable[[float], tuple[float, float] | None]
    height: float = 300.0
    slimness: float = 1.0
    depth: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Scene:
    """People, for some seconds, at some frames per second."""

    name: str
    walkers: tuple[Walker, ...]
    seconds: float
    fps: float = 25.0
    dropped: float = 0.0  # share of the frames that never come


@dataclass(frozen=True, eq=False)
class TrueFrame:
    """What a network would find, and who it is.

    Attributes:
        time: seconds.
        poses: N people.
        truth: (N,) which walker each of them is; -1 for a false one.
        present: walkers that can be seen.
        boxes: (P, 4) px, their true boxes.
    """

    time: float
    poses: Poses
    truth: NDArray[np.int64]
    present: NDArray[np.int64]
    boxes: NDArray[np.float64]


def record(
    scene: Scene, seed: int, *, noise: float = 0.012, missed: float = 0.02, flipped: float = 0.02
) -> list[TrueFrame]:
    """Everything found in a scene.

    Args:
        noise: standard deviation of a shoulder's position in body heights; other joints' by their sigmas.
        missed: share of people who are not found although in full view.
        flipped: share of people whose left and right are changed.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(int(scene.seconds * scene.fps)):
        drop = rng.random() < scene.dropped and index
        time = index / scene.fps
        people = [
            (number, body) for number, walker in enumerate(scene.walkers) if (body := _body(walker, time)) is not None
        ]
        if not drop:
            frames.append(_seen(scene, people, rng, time, noise=noise, missed=missed, flipped=flipped))
    return frames


def _body(walker: Walker, time: float) -> NDArray[np.float64] | None:
    """(17, 2) px."""
    place, later = walker.path(time), walker.path(time + 0.04)
    if place is None:
        return None
    step = 0.0 if later is None else (later[0] - place[0]) / 0.04 / walker.height  # body heights per second
    swing = (
        0.13 * np.tanh(abs(step) * 2) * np.sin(2 * np.pi * STEPS_PER_HEIGHT * place[0] / walker.height + walker.phase)
    )
    body = STANDING.copy()
    body[:, 0] *= walker.slimness * (0.45 if abs(step) > 0.15 else 1)  # who walks across is seen from the side
    for joint, share in ((9, -1.0), (10, 1.0), (7, -0.5), (8, 0.5), (13, 0.5), (14, -0.5), (15, 1.0), (16, -1.0)):
        body[joint, 0] += share * swing
    body[:, 1] -= 1
    return body * walker.height + place


def _seen(
    scene: Scene,
    people: list[tuple[int, NDArray[np.float64]]],
    rng: np.random.Generator,
    time: float,
    *,
    noise: float,
    missed: float,
    flipped: float,
) -> TrueFrame:
    keypoints, joint_scores, scores, truth, present, boxes = [], [], [], [], [], []
    for number, body in people:
        walker = scene.walkers[number]
        box = np.concatenate([body.min(axis=0), body.max(axis=0)])
        inside = (body[:, 0] > 0) & (body[:, 0] < WIDTH) & (body[:, 1] > 0) & (body[:, 1] < HEIGHT)
        hidden = np.zeros(17, bool)
        for other, nearer in people:
            if other != number and scene.walkers[other].depth < walker.depth:
                low, high = nearer.min(axis=0), nearer.max(axis=0)
                hidden |= ((body > low) & (body < high)).all(axis=1)
        visible = inside & ~hidden
        if visible.sum() < 5:
            continue
        present.append(number)
        boxes.append(box)
        if rng.random() < missed:
            continue
        spread = noise * _SIGMAS / 0.079 * walker.height
        found = body + rng.normal(size=(17, 2)) * spread[:, None]
        sides = rng.random() < flipped
        if sides:
            found, visible = found[_FLIPS], visible[_FLIPS]
        score = np.where(visible, rng.uniform(0.5, 0.9, 17), rng.uniform(0.0, 0.15, 17))
        score[rng.random(17) < 0.04] = 0
        if not (score > 0).any():
            continue
        found[score == 0] = 0
        keypoints.append(found)
        joint_scores.append(score)
        scores.append(score.mean())
        truth.append(number)
    order = rng.permutation(len(truth))  # networks give people in no order
    count = len(order)
    poses = Poses(
        np.array(keypoints, np.float32).reshape(count, 17, 2)[order],
        np.array(joint_scores, np.float32).reshape(count, 17)[order],
        np.array(scores, np.float32)[order],
        "coco-17",
    )
    return TrueFrame(
        time,
        poses,
        np.array(truth, np.int64)[order],
        np.array(present, np.int64),
        np.array(boxes, float).reshape(-1, 4),
    )


def _walk(
    start: float, speed: float, y: float, *, begin: float = 0.0, end: float = 1e9
) -> Callable[[float], tuple[float, float] | None]:
    """Straight across, ``speed`` px/s from x = ``start``, there between two times."""
    return lambda time: (start + speed * (time - begin), y) if begin <= time < end else None


def _crossing() -> Scene:
    """Two cross, one hides the other for half a second."""
    return Scene(
        "crossing", (Walker(_walk(200, 150, 600), depth=1), Walker(_walk(1050, -150, 610), depth=0, phase=1.0)), 6.0
    )


def _occlusion() -> Scene:
    """Somebody walks behind another who stands, half a second out of sight; twice."""

    def there_and_back(time: float) -> tuple[float, float]:
        return (350 + 220 * time if time < 3 else 1010 - 220 * (time - 3), 600)

    return Scene(
        "occlusion 0.5 s",
        (Walker(there_and_back, depth=1), Walker(lambda _: (680, 620), height=320, slimness=1.3)),
        6.0,
    )


def _reentry() -> Scene:
    """Somebody leaves the picture and comes back 1.5 s later at the same side; another stays."""

    def out_and_in(time: float) -> tuple[float, float]:
        return (300 - 180 * time, 600) if time < 2.75 else (300 - 180 * (5.5 - time), 600)

    return Scene("exit and re-entry", (Walker(out_and_in), Walker(lambda time: (900 + 20 * np.sin(time), 620))), 6.0)


def _newcomer() -> Scene:
    """Somebody hides behind a pillar; another appears right beside, half a second later."""

    def gone(time: float) -> tuple[float, float] | None:
        return None if 2.0 <= time < 3.5 else (600.0, 600.0)

    return Scene(
        "newcomer beside",
        (Walker(gone), Walker(_walk(720, 5, 610, begin=2.3), height=285, slimness=1.1), Walker(lambda _: (300, 600))),
        6.0,
    )


def _crowd(count: int, *, dropped: float = 0.0, fps: float = 25.0, name: str = "") -> Scene:
    """So many people who walk to and fro at all depths."""
    rng = np.random.default_rng(count)
    walkers = []
    for _ in range(count):
        depth = rng.random()
        height = 300 - 170 * depth
        speed, start, phase = (
            rng.choice([-1, 1]) * rng.uniform(0.3, 0.9) * height,
            rng.uniform(0, WIDTH),
            rng.uniform(0, 6),
        )
        y = 680 - 330 * depth

        def path(time: float, speed: float = speed, start: float = start, y: float = y) -> tuple[float, float]:
            way = (start + speed * time) % (2 * (WIDTH - 120))
            return (60 + min(way, 2 * (WIDTH - 120) - way), y)

        walkers.append(Walker(path, height=height, slimness=rng.uniform(0.8, 1.2), depth=depth, phase=phase))
    return Scene(name or f"{count} people", tuple(walkers), 10.0, fps=fps, dropped=dropped)


SCENES: tuple[Scene, ...] = (
    _crossing(),
    _occlusion(),
    _reentry(),
    _newcomer(),
    _crowd(1),
    _crowd(5),
    _crowd(15),
    _crowd(30),
    _crowd(10, dropped=0.5, name="10 people, every 2nd frame dropped"),
    _crowd(10, fps=8, name="10 people, 8 frames per second"),
)
