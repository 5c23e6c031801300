"""The whole criterion against the reference's totals and gradients, and on batches at the edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream.errors import TrainingError  # noqa: E402
from heatstream.models.networks.output import SwahrOutput  # noqa: E402
from heatstream.models.pose.criterion import Criterion, draw_mask, loss_terms, person_sigmas  # noqa: E402
from heatstream.models.pose.dataset import Sample  # noqa: E402
from heatstream.models.pose.targets import gaussian_heatmaps, joint_indices  # noqa: E402
from heatstream.models.settings import LossSettings  # noqa: E402

GoldenFile = Callable[[str], Any]

SIZE, JOINTS, PEOPLE = 64, 5, 30

RELATIVE = 1e-5
"""Of float32 sums in another order."""


@pytest.mark.parametrize("name", ["loss_people_0_1.npz", "loss_people_2_5.npz"])
@pytest.mark.parametrize("kind", ["exp", "max"])
def test_totals_and_gradients_equal_the_reference(golden: GoldenFile, name: str, kind: Any) -> None:
    arrays = golden(name)
    quarter, half = (torch.from_numpy(arrays[f"out{i}"].astype(np.float32)).requires_grad_() for i in range(2))
    targets, masks = ([torch.from_numpy(arrays[f"{part}{i}"]) for i in range(2)] for part in ("gt", "mask"))
    output = SwahrOutput(
        heatmaps=(quarter[:, 17:34], half[:, 17:]), tags=quarter[:, 34:], scales=(quarter[:, :17], half[:, :17])
    )
    joints = torch.from_numpy(arrays["joints0"])
    terms = loss_terms(output, targets, masks, joints, LossSettings(tag_kind=kind))
    expected = {
        "heatmap4": "heatmap0", "scale4": "scale0", "heatmap2": "heatmap1", "scale2": "scale1",
        "push": "push0", "pull": "pull0",
    }  # fmt: skip
    assert set(terms) == set(expected)
    for term, key in expected.items():
        assert float(terms[term].detach()) == pytest.approx(arrays[f"multi_{kind}_{key}"].mean(), rel=RELATIVE), term
    total = sum(terms.values())
    assert float(total.detach()) == pytest.approx(float(arrays[f"multi_{kind}_total"]), rel=RELATIVE)
    total.backward()
    if kind == "exp":
        for maps, key in ((quarter, "grad0"), (half, "grad1")):
            np.testing.assert_allclose(maps.grad.numpy(), arrays[f"multi_exp_{key}"], rtol=RELATIVE, atol=1e-10)
    else:
        tags = quarter.grad[:, 34:].numpy()
        np.testing.assert_allclose(tags, arrays["multi_max_grad0_tags"], rtol=RELATIVE, atol=1e-10)


def make_batch(people: int, images: int = 2, seed: int = 0) -> Any:
    """A collated batch with `people` people in every image."""
    rng = np.random.default_rng(seed)
    points = np.zeros((images, PEOPLE, JOINTS, 3), np.float32)
    points[:, :people, :, :2] = rng.uniform(0, SIZE, (images, people, JOINTS, 2))
    points[:, :people, :, 2] = rng.integers(1, 3, (images, people, JOINTS))
    extents = np.zeros((images, PEOPLE), np.float32)
    extents[:, :people] = rng.uniform(8, 2 * SIZE, (images, people))
    quarter = points * (0.25, 0.25, 1)
    joints = np.stack([joint_indices(image, (SIZE // 4, SIZE // 4), PEOPLE, True) for image in quarter])
    return Sample(
        image=torch.zeros(images, SIZE, SIZE, 3, dtype=torch.uint8),
        people=torch.from_numpy(points),
        extents=torch.from_numpy(extents),
        joints=torch.from_numpy(joints),
        region=torch.ones(images, SIZE // 2, SIZE // 2, dtype=torch.uint8),
        labelled=torch.ones(images, JOINTS, dtype=torch.uint8),
        index=torch.arange(images),
    )  # fmt: skip


def make_output(images: int = 2, dtype: Any = None, seed: int = 0) -> Any:
    """Random leaf maps, channels last in memory as a network's are."""
    generator = torch.Generator().manual_seed(seed)

    def maps(side: int) -> Any:
        values = torch.randn(images, side, side, JOINTS, generator=generator).permute(0, 3, 1, 2)
        return values.to(dtype or torch.float32).requires_grad_()

    quarter, half = SIZE // 4, SIZE // 2
    return SwahrOutput((maps(quarter), maps(half)), maps(quarter), (maps(quarter), maps(half)))


def total(terms: dict[str, Any]) -> Any:
    return torch.stack(list(terms.values())).sum()


def leaves(output: Any) -> list[Any]:
    return [*output.heatmaps, output.tags, *output.scales]


def test_targets_are_drawn_at_both_resolutions() -> None:
    batch, output = make_batch(3), make_output()
    terms = Criterion(LossSettings())(output, batch)
    targets = []
    for side in (SIZE // 4, SIZE // 2):
        points = batch.people.numpy() * (side / SIZE, side / SIZE, 1)
        targets.append(torch.from_numpy(np.stack([gaussian_heatmaps(image, (side, side), 2.0) for image in points])))
    masks = [torch.ones(2, SIZE // 4, SIZE // 4), torch.ones(2, SIZE // 2, SIZE // 2)]
    expected = loss_terms(output, targets, masks, batch.joints, LossSettings())
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


@pytest.mark.parametrize("people", [0, 1, 30])
@pytest.mark.parametrize("person_sigma", [False, True])
def test_any_number_of_people(people: int, person_sigma: bool) -> None:
    output = make_output()
    terms = Criterion(LossSettings(person_sigma=person_sigma))(output, make_batch(people))
    total(terms).backward()
    assert all(torch.isfinite(maps.grad).all() for maps in leaves(output))
    assert output.heatmaps[0].grad.any()
    assert output.scales[0].grad.any() == (people > 0)
    assert output.tags.grad.any() == (people > 0)


def test_people_without_visible_joints_count_for_nothing() -> None:
    output, batch = make_output(), make_batch(0)
    unlabelled = make_batch(4)
    unlabelled.people[..., 2] = 0
    unlabelled.joints.zero_()
    for settings in (LossSettings(), LossSettings(person_sigma=True)):
        nobody, nothing = (Criterion(settings)(output, b) for b in (batch, unlabelled))
        for name, value in nobody.items():
            torch.testing.assert_close(nothing[name], value)


def test_an_ignored_window_still_teaches_its_labelled_joints() -> None:
    output, batch = make_output(), make_batch(2)
    batch.region.zero_()
    total(Criterion(LossSettings())(output, batch)).backward()
    assert output.heatmaps[1].grad.any()
    share = (output.heatmaps[1].grad != 0).float().mean()
    assert 0 < share < 0.5


def test_joints_without_labels_teach_no_heatmap() -> None:
    output, batch = make_output(), make_batch(2)
    batch.labelled[:, 1] = 0
    total(Criterion(LossSettings())(output, batch)).backward()
    for maps in (*output.heatmaps, *output.scales):
        assert not maps.grad[:, 1].any()
        assert maps.grad[:, 0].any()


def test_everything_masked_costs_nothing() -> None:
    output, batch = make_output(), make_batch(0)
    batch.region.zero_()
    value = total(Criterion(LossSettings())(output, batch))
    value.backward()
    assert float(value.detach()) == 0
    assert not any(maps.grad.any() for maps in leaves(output))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_are_computed_with_in_float32(dtype: Any) -> None:
    batch, output = make_batch(3), make_output(dtype=dtype)
    wide = SwahrOutput(
        tuple(m.detach().float() for m in output.heatmaps),  # type: ignore[arg-type]
        output.tags.detach().float(),
        tuple(m.detach().float() for m in output.scales),  # type: ignore[arg-type]
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = Criterion(LossSettings())(output, batch)
    for name, value in Criterion(LossSettings())(wide, batch).items():
        assert terms[name].dtype == torch.float32
        torch.testing.assert_close(terms[name], value)
    total(terms).backward()
    assert all(maps.grad.dtype == dtype for maps in leaves(output))


def test_every_setting_is_obeyed() -> None:
    batch, output = make_batch(3), make_output()
    official = Criterion(LossSettings())(output, batch)
    changed = {
        "scale_weight": (LossSettings(scale_weight=3.0), {"scale4": 3.0, "scale2": 3.0}),
        "heatmap_weights": (
            LossSettings(heatmap_weights=(2.0, 5.0)),
            {"heatmap4": 2.0, "scale4": 2.0, "heatmap2": 5.0, "scale2": 5.0},
        ),
        "push, pull": (LossSettings(push=0.004, pull=0.01), {"push": 4.0, "pull": 10.0}),
    }
    for settings, factors in changed.values():
        terms = Criterion(settings)(output, batch)
        for name, value in official.items():
            torch.testing.assert_close(terms[name], value * factors.get(name, 1.0))
    for settings in (
        LossSettings(weight_adaptive=False),
        LossSettings(exact_power=True),
        LossSettings(sigma=3.0),
        LossSettings(person_sigma=True),
    ):
        assert not torch.isclose(Criterion(settings)(output, batch)["heatmap2"], official["heatmap2"])
    margin = Criterion(LossSettings(tag_margin=2.0))(output, batch)
    torch.testing.assert_close(margin["pull"], official["pull"] / 4)


def test_without_scales_only_the_targets_change() -> None:
    batch, output = make_batch(3), make_output()
    bare = SwahrOutput(output.heatmaps, output.tags)
    terms = Criterion(LossSettings(scale_adaptive=False))(bare, batch)
    assert set(terms) == {"heatmap4", "heatmap2", "push", "pull"}
    with pytest.raises(TrainingError, match="scales=True"):
        Criterion(LossSettings())(bare, batch)


def test_sigma_follows_the_person() -> None:
    people = torch.ones(1, 3, JOINTS, 3)
    sigmas = person_sigmas(torch.tensor([[256.0, 128.0, 10.0]]), people, LossSettings(person_sigma=True))
    assert isinstance(sigmas, torch.Tensor)
    assert sigmas.shape == (1, 3, JOINTS)
    assert sigmas[0, :, 0].tolist() == [2.0, 1.0, 0.5]
    assert person_sigmas(torch.ones(1, 3), people, LossSettings(sigma=1.5)) == 1.5


def test_masks_stay_channels_last() -> None:
    target = torch.zeros(2, 16, 16, JOINTS).permute(0, 3, 1, 2)
    mask = draw_mask(target, torch.ones(2, 32, 32, dtype=torch.uint8), torch.ones(2, JOINTS, dtype=torch.uint8))
    assert mask.stride() == target.stride()
