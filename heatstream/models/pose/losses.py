"""SWAHR training losses: scale-adaptive, weight-adaptive heatmap regression and associative embedding.

Luo et al., "Rethinking the Heatmap Regression for Bottom-up Human Pose Estimation", CVPR 2021, write the
target of a joint with a predicted scale s as h ** s (sec. 3.2, SAHR) and weight the squared error so that easy
background does not drown the joints (sec. 3.3, WAHR). The `scale` maps here are the network's raw output
x = s - 1 (up to the paper's reparametrisation), so a network that knows nothing outputs about zero, i.e. h itself.

Every function returns one value per image; the trainer chooses how to weight and average them.
"""

from __future__ import annotations

from typing import Literal

from heatstream.models.torch_import import F, Tensor, torch

WEIGHT_GAMMA = 0.01
"""Exponent of the soft foreground weight; Luo et al. 2021, sec. 3.3."""


def scaled_target(target: Tensor, scale: Tensor, *, exact: bool = False) -> Tensor:
    """Return `target ** (1 + scale)`, in its second-order Taylor form unless `exact` (Luo et al. 2021, sec. 3.2).

    The polynomial h * (1 + t + t^2 / 2), t = scale * log h, keeps the gradient bounded where h is nearly 0.
    Where `target` is exactly 0 the result is 0 and no gradient reaches `scale`.

    Args:
        target: (..., H, W) float, unscaled Gaussian heatmaps in 0..1.
        scale: same shape, float, raw scale maps.
        exact: the power itself, h * e^t.

    Returns:
        Same shape and dtype as `scale`.
    """
    background = target <= 0
    exponent = scale * target.masked_fill(background, 1.0).log()
    return target * (exponent.exp() if exact else 1.0 + exponent + 0.5 * exponent.square())


def heatmap_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    scale: Tensor | None,
    *,
    weighted: bool = True,
    exact: bool = False,
) -> Tensor:
    """Return the scale- and weight-adaptive squared error of heatmaps (Luo et al. 2021, sec. 3.2 and 3.3).

    Each pixel weighs |1 - p| where its target h is foreground and |p| where it is background, softly:
    w = h^gamma |1 - p| + (1 - h^gamma) |p|, with h before scaling as in the official code, where the gradient
    flows through the weight too.

    Args:
        prediction: (B, K, H, W) float, predicted heatmaps p.
        target: (B, K, H, W) float, unscaled Gaussians in 0..1.
        mask: (B, H, W) or (B, K, H, W), any dtype, 1 where the loss counts and 0 where it does not.
        scale: (B, K, H, W) float, raw scale maps; None (or zeros, slower) leaves the target as it is.
        weighted: False weighs all pixels alike: squared error without WAHR.
        exact: the exact power of SAHR instead of its Taylor form, see `scaled_target`.

    Returns:
        (B,) float, the mean over joints and pixels (masked pixels count as zero loss).
    """
    # Most pixels have a target of 0, where the weight is |p| and no scale matters. Powers and logarithms are taken
    # only at the others, and both sums are made of whole maps in memory order, whichever that is.
    blob, counts = target > 0, _per_joint(mask)
    background = (counts & ~blob).to(prediction.dtype)
    total = (prediction.abs().pow(3 if weighted else 2) * background).sum(dim=(1, 2, 3))

    order = _memory_order(prediction)
    where = blob.permute(order).reshape(-1).nonzero()[:, 0]

    def at_blobs(maps: Tensor) -> Tensor:
        return maps.expand_as(target).permute(order).reshape(-1).index_select(0, where)

    p, h = at_blobs(prediction), at_blobs(target)
    scaled = h if scale is None else scaled_target(h, at_blobs(scale), exact=exact)
    loss = (p - scaled).square() * at_blobs(counts).to(p.dtype)
    if weighted:
        foreground = h.pow(WEIGHT_GAMMA)
        loss = loss * (foreground * (1.0 - p).abs() + (1.0 - foreground) * p.abs())
    image = where.div(prediction[0].numel(), rounding_mode="floor")
    return total.to(loss.dtype).index_add(0, image, loss) / prediction[0].numel()


def scale_loss(mask: Tensor, scale: Tensor) -> Tensor:
    """Return the regulariser that keeps the scales near 1 (Luo et al. 2021, sec. 3.2).

    Args:
        mask: (B, H, W) or (B, K, H, W), any dtype, 1 where the regulariser counts.
        scale: (B, K, H, W) float, raw scale maps.

    Returns:
        (B,) float, the mean over joints and pixels of scale ** 2.
    """
    return _mean_per_image(scale.square() * _per_joint(mask).to(scale.dtype))


def tag_loss(tags: Tensor, joints: Tensor, kind: Literal["exp", "max"] = "exp") -> tuple[Tensor, Tensor]:
    """Return the associative-embedding push and pull losses (Newell et al. 2017, sec. 3.2).

    Pull draws the tags of one person's visible joints to their mean; push drives the means of two people apart.
    No loop runs over people: everybody is gathered at once and absent people weigh nothing.

    Args:
        tags: (B, K, H, W) or (B, K * H * W) float, the tag maps.
        joints: (B, P, K, 2) integer, [flat index into one image's tags, 1 if visible else 0] per joint.
        kind: "exp" pushes with exp(-d^2), "max" with the hinge max(0, 1 - |d|); d is a difference of means.

    Returns:
        push and pull, each (B,) float; both 0 for an image without visible joints, push 0 for a single person.
    """
    flat = tags.flatten(1)
    batch, people, num_joints, _ = joints.shape
    visible = (joints[..., 1] > 0).to(flat.dtype)
    index = joints[..., 0].long().reshape(batch, -1)
    values = flat.gather(1, index).reshape(batch, people, num_joints)

    count = visible.sum(dim=2)
    present = (count > 0).to(flat.dtype)
    persons = present.sum(dim=1)
    mean = (values * visible).sum(dim=2) / count.clamp_min(1)
    spread = ((values - mean[..., None]).square() * visible).sum(dim=2) / count.clamp_min(1)
    pull = spread.sum(dim=1) / persons.clamp_min(1)

    difference = mean[:, :, None] - mean[:, None, :]
    if kind == "exp":
        closeness = torch.exp(-difference.square())
    elif kind == "max":
        closeness = (1.0 - difference.abs()).clamp_min(0)
    else:
        raise ValueError(f"tag_loss: expected kind 'exp' or 'max', got {kind!r}; choose one of the two")
    pairs = present[:, :, None] * present[:, None, :]
    total = (closeness * pairs).sum(dim=(1, 2)) - persons  # a person's distance to itself is 0, its closeness 1
    push = 0.5 * total / (persons * (persons - 1)).clamp_min(1)
    return push, pull


def location_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return H3R's cross-entropy over the locations of a map (Yu & Tao, TPAMI 2021; binary heatmaps).

    Every location x of a landmark's map is either background (class 0) or the landmark (class 1). With
    q_c(x) = softmax over the two classes of the logits z_c(x), and t(x) the encoded coordinate,

        loss = -sum over x of [ t(x) log q_1(x) + (1 - t(x)) log q_0(x) ],

    averaged over an image's landmarks. Under randomized rounding q_1(x) tends to the probability of cell x, so that
    the fraction of a coordinate is learnt; soft targets have the same gradient in expectation.

    Args:
        logits: (N, 2, L, H, W) float, background and landmark; computed with in float32.
        target: (N, L, H, W) in 0..1, from `randomized_rounding` or `soft_rounding`. An empty map stands for a
            landmark that is unlabelled or out of view, and weighs nothing.

    Returns:
        (N,) float32; 0 for an image without landmarks.
    """
    margin = logits[:, 1].float() - logits[:, 0].float()  # log q_1 = -softplus(-margin), log q_0 = -softplus(margin)
    wanted = target.float()
    per_map = F.binary_cross_entropy_with_logits(margin, wanted, reduction="none").sum(dim=(2, 3))
    present = (wanted.sum(dim=(2, 3)) > 0).float()
    return (per_map * present).sum(dim=1) / present.sum(dim=1).clamp_min(1)


def _mean_per_image(values: Tensor) -> Tensor:
    """Return the (B,) means of (B, K, H, W).

    Summed first, divided after: the gradient of `mean` is a new contiguous tensor, and every product of it with
    channels-last maps is then some ten times slower than it need be.
    """
    return values.sum(dim=(1, 2, 3)) / values[0].numel()


def _per_joint(mask: Tensor) -> Tensor:
    """Return `mask` as a bool tensor that broadcasts over (B, K, H, W)."""
    return (mask[:, None] if mask.dim() == 3 else mask).bool()


def _memory_order(maps: Tensor) -> tuple[int, int, int, int]:
    """Return the axes of (B, K, H, W) in the order in which they lie in memory, so that flattening copies nothing."""
    return (0, 2, 3, 1) if maps.is_contiguous(memory_format=torch.channels_last) else (0, 1, 2, 3)
