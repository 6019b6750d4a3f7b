"""The clean activations of some images, laid out so that a window of them is a few long runs of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robustkit.engine.chain_plan import StagePlan
from robustkit.engine.chain_stages import Chain, Stage

# What stands outside the map. Any change is lost in it by rounding, so that a cell outside never differs from its clean
# self, whatever functions follow; infinities would not do, as inf - inf is NaN.
OUTSIDE = -1e30

_IMAGES_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class CleanCache:
    """Clean activations of some images, float32.

    Attributes:
        images: Shape (images, C, H, W).
        before: Per stage, the convolution's outputs by pooling cell, with margins: shape (images, rows, columns,
            pool height, pool width, C).
        after: Per stage, the stage's outputs with margins, shape (images, rows, columns, C).
        head: The affine map of the last feature map, shape (images, D).
    """

    images: Tensor
    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]
    head: Tensor


def image_bytes(plan: Sequence[StagePlan]) -> int:
    """What `CleanCache` takes of memory for one image."""
    return 4 * sum(stage.cached for stage in plan)


@torch.inference_mode()
def make_cache(chain: Chain, plan: Sequence[StagePlan], images: Tensor) -> CleanCache:
    """Runs clean images, shape (N, C, H, W), through a chain in float32 and keeps what windows will need."""
    n = len(images)
    shapes = [(n, at.y.total, at.x.total, at.y.pool, at.x.pool, at.channels) for at in plan]
    before = tuple(images.new_empty(shape) for shape in shapes)
    after = tuple(images.new_empty(*shape[:3], shape[-1]) for shape in shapes)
    head = images.new_empty(n, len(chain.bias))
    for start in range(0, n, _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        x = images[part]
        for stage, at, all_before, all_after in zip(chain.stages, plan, before, after, strict=True):
            cells = _by_cell(F.conv2d(x, stage.weight, stage.bias, padding=stage.padding), stage, at)
            finished = stage.finish(cells.flatten(3, 4).flatten(0, 2)).unflatten(0, cells.shape[:3])
            all_before[part], all_after[part] = cells, finished
            inside = finished[:, at.y.margin : at.y.margin + at.y.out, at.x.margin : at.x.margin + at.x.out]
            x = inside.permute(0, 3, 1, 2)
        head[part] = F.linear(x.flatten(1), chain.weight, chain.bias)
    return CleanCache(images.contiguous(), before, after, head)


def _by_cell(maps: Tensor, stage: Stage, at: StagePlan) -> Tensor:
    """Convolution outputs (N, C, H, W) by pooling cell, with margins, channels last."""
    (high, wide), n = stage.window, len(maps)
    framed = maps.new_full((n, at.y.total * high, at.x.total * wide, at.channels), OUTSIDE)
    rows, columns = at.y.out * high, at.x.out * wide  # a pool drops what does not fill a cell
    top, left = at.y.margin * high, at.x.margin * wide
    framed[:, top : top + rows, left : left + columns] = maps[:, :, :rows, :columns].permute(0, 2, 3, 1)
    cells = framed.view(n, at.y.total, high, at.x.total, wide, at.channels)
    return cells.permute(0, 1, 3, 2, 4, 5).contiguous()
