"""Losses against the reference's values and gradients, and the properties they must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream.models.pose.losses import heatmap_loss, location_loss, scale_loss, scaled_target, tag_loss  # noqa: E402

GoldenFile = Callable[[str], Any]

FILES = ("loss_people_0_1.npz", "loss_people_2_5.npz")

ROUNDING = {"rtol": 1e-5, "atol": 1e-8}
"""Both sides are float32; sums run over 17 x 32 x 32 terms in another order."""


def close(actual: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, **ROUNDING)


def quarter_maps(arrays: Any) -> tuple[Any, Any, Any]:
    """Scale maps, heatmaps and tags of the 32x32 stage, in the reference's channel order."""
    maps = torch.from_numpy(arrays["out0"].astype(np.float32))
    return tuple(part.clone().requires_grad_() for part in maps.split(17, dim=1))


@pytest.mark.parametrize("name", FILES)
def test_heatmap_loss_equals_the_reference(golden: GoldenFile, name: str) -> None:
    arrays = golden(name)
    scale, prediction, _ = quarter_maps(arrays)
    loss = heatmap_loss(prediction, torch.from_numpy(arrays["gt0"]), torch.from_numpy(arrays["mask0"]), scale)
    close(loss, arrays["heatmap_loss"])
    loss.sum().backward()
    close(prediction.grad, arrays["heatmap_grad_pred"])
    close(scale.grad, arrays["heatmap_grad_scale"])


@pytest.mark.parametrize(("maps", "labels"), [("float32", "float64"), ("float64", "float32"), ("float16", "float32")])
def test_maps_and_targets_may_differ_in_dtype(maps: str, labels: str) -> None:
    target, prediction, scale = torch.rand(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    target = target * (target > 0.5)
    mask = torch.ones(2, 8, 8)
    kind = getattr(torch, maps)
    found = heatmap_loss(prediction.to(kind), target.to(getattr(torch, labels)), mask, scale.to(kind))
    torch.testing.assert_close(found.float(), heatmap_loss(prediction, target, mask, scale), rtol=5e-3, atol=0)


@pytest.mark.parametrize("name", FILES)
def test_scale_loss_equals_the_reference(golden: GoldenFile, name: str) -> None:
    arrays = golden(name)
    scale, _, _ = quarter_maps(arrays)
    loss = scale_loss(torch.from_numpy(arrays["mask0"]), scale)
    close(loss, arrays["scale_loss"])
    loss.sum().backward()
    close(scale.grad, arrays["scale_grad"])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["exp", "max"])
def test_tag_loss_equals_the_reference(golden: GoldenFile, name: str, kind: Any) -> None:
    arrays = golden(name)
    _, _, tags = quarter_maps(arrays)
    push, pull = tag_loss(tags, torch.from_numpy(arrays["joints0"]), kind)
    close(push, arrays[f"ae_{kind}_push"])
    close(pull, arrays[f"ae_{kind}_pull"])
    (push + 2 * pull).sum().backward()
    close(tags.grad, arrays[f"ae_{kind}_grad_1push_2pull"])


def test_a_scale_of_zero_is_no_scale() -> None:
    torch.manual_seed(0)
    prediction, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    mask = torch.ones(2, 4, 4, dtype=torch.uint8)
    torch.testing.assert_close(
        heatmap_loss(prediction, target, mask, torch.zeros_like(target)),
        heatmap_loss(prediction, target, mask, None),
    )


def test_scaling_is_a_power_for_small_exponents() -> None:
    target = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    scale = torch.full((5,), 0.1)
    # The third-order term of h ** 0.1 that Taylor's form leaves out is largest at h = 0.1: 0.1 * 0.23^3 / 6.
    torch.testing.assert_close(scaled_target(target, scale), target**1.1, rtol=0, atol=3e-4)


def test_background_sends_no_gradient_to_the_scale() -> None:
    scale = torch.full((1, 1, 2, 2), 0.3, requires_grad=True)
    heatmap_loss(torch.rand(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2), scale).sum().backward()
    assert not scale.grad.any()


def test_a_mask_per_joint_silences_that_joint() -> None:
    mask = torch.ones(1, 2, 4, 4, dtype=torch.uint8)
    mask[:, 1] = 0
    prediction = torch.rand(1, 2, 4, 4, requires_grad=True)
    heatmap_loss(prediction, torch.zeros(1, 2, 4, 4), mask, None).sum().backward()
    assert prediction.grad[:, 0].any()
    assert not prediction.grad[:, 1].any()


def test_order_of_people_does_not_matter() -> None:
    torch.manual_seed(0)
    tags = torch.randn(1, 3, 4, 4)
    joints = torch.stack((torch.randint(0, 48, (1, 5, 3)), torch.randint(0, 2, (1, 5, 3))), dim=-1)
    for kind in ("exp", "max"):
        shuffled = tag_loss(tags, joints[:, [3, 1, 4, 0, 2]], kind)
        torch.testing.assert_close(tag_loss(tags, joints, kind), shuffled)


def test_nobody_costs_nothing() -> None:
    tags = torch.randn(2, 3, 4, 4, requires_grad=True)
    push, pull = tag_loss(tags, torch.zeros(2, 5, 3, 2, dtype=torch.int32))
    (push + pull).sum().backward()
    assert not push.any()
    assert not pull.any()
    assert not tags.grad.any()


def test_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'exp' or 'max', got 'min'"):
        tag_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 2, dtype=torch.int64), "min")  # type: ignore[arg-type]


def test_the_exact_power_is_a_power() -> None:
    target, scale = torch.rand(50), torch.randn(50)
    torch.testing.assert_close(scaled_target(target, scale, exact=True), target ** (1 + scale))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("exact", [True, False])
def test_heatmap_loss_is_its_formula_in_any_memory_order(weighted: bool, exact: bool) -> None:
    torch.manual_seed(0)
    target = (2 * torch.rand(2, 3, 6, 5) - 1).clamp_min(0)  # half of it background
    scale, mask = torch.randn(2, 3, 6, 5), torch.randint(0, 2, (2, 3, 6, 5))
    results = []
    for order in (torch.contiguous_format, torch.channels_last):
        prediction = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1)).to(memory_format=order)
        prediction.requires_grad_()
        loss = heatmap_loss(prediction, target, mask, scale, weighted=weighted, exact=exact)
        loss.sum().backward()
        results.append((loss.detach(), prediction.grad))

        p, soft = prediction.detach(), target**0.01
        weight = soft * (1 - p).abs() + (1 - soft) * p.abs() if weighted else 1.0
        expected = (p - scaled_target(target, scale, exact=exact)) ** 2 * weight * mask
        torch.testing.assert_close(loss.detach(), expected.mean(dim=(1, 2, 3)))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second)


def test_location_loss_is_two_class_cross_entropy_at_every_location() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, 5, requires_grad=True)
    target = torch.nn.functional.one_hot(torch.randint(0, 20, (2, 3)), 20).reshape(2, 3, 4, 5)
    expected = torch.nn.functional.cross_entropy(logits, target, reduction="none").sum(dim=(2, 3)).mean(dim=1)
    loss = location_loss(logits, target.float())
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    (wanted,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(gradient, wanted)


def test_location_loss_is_least_at_the_cells_own_probabilities() -> None:
    target = torch.tensor([0.0, 0.7, 0.3, 0.0]).reshape(1, 1, 1, 4)
    best = torch.stack(((1 - target).log(), target.log())).clamp_min(-30).reshape(1, 2, 1, 1, 4).requires_grad_()
    location_loss(best, target).sum().backward()
    torch.testing.assert_close(best.grad, torch.zeros_like(best))


def test_location_loss_passes_over_empty_maps() -> None:
    logits = torch.randn(2, 2, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    target = torch.zeros(2, 3, 4, 4)
    target[0, 1, 2, 2] = 1
    loss = location_loss(logits, target)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss[1] == 0
    assert logits.grad[0, :, 1].any()
    assert not logits.grad[0, :, [0, 2]].any()
    assert not logits.grad[1].any()
    torch.testing.assert_close(loss[0], location_loss(logits[:1, :, 1:2], target[:1, 1:2])[0])
