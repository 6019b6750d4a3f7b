"""Through the flattening: the change of the last feature map, times the columns of the dense layer that it meets."""

from __future__ import annotations

import torch
from torch import Tensor

from robustkit.engine.chain_plan import StagePlan
from robustkit.engine.chain_stages import Chain


class ChainHead:
    """The affine map of the last feature map, as an update of what it gave for the clean images.

    Args:
        chain: The chain in float32, on the device.
        plan: Window arithmetic of its last stage.
    """

    def __init__(self, chain: Chain, plan: StagePlan) -> None:
        self._plan = plan
        weight = chain.weight.view(-1, plan.channels, plan.y.out, plan.x.out)
        # Columns by cell, with margins of zeros: (rows, columns, C, D).
        self.columns = weight.new_zeros(plan.y.total, plan.x.total, plan.channels, len(weight))
        inside = self.columns[plan.y.margin :, plan.x.margin :][: plan.y.out, : plan.x.out]
        inside.copy_(weight.permute(2, 3, 1, 0))

    def __call__(self, clean: Tensor, row: Tensor, column: Tensor, change: Tensor) -> Tensor:
        """The map of changed feature maps.

        Args:
            clean: The map of the clean images, shape (M, D).
            row: First row of cells of each changed window, which may lie in the margin, shape (M,), int64.
            column: First column, shape (M,).
            change: Shape (M, rows x columns x C).

        Returns:
            Shape (M, D).
        """
        plan = self._plan
        order, sizes = grouped(
            (row + plan.y.margin) * plan.x.total + column + plan.x.margin, plan.y.total * plan.x.total
        )
        change, updated = change[order], clean[order]
        start = 0
        for place, size in enumerate(sizes):
            if size:
                y, x = divmod(place, plan.x.total)
                met = self.columns[y : y + plan.y.cells, x : x + plan.x.cells].reshape(change.shape[1], -1)
                updated[start : start + size].addmm_(change[start : start + size], met)
                start += size
        result = torch.empty_like(updated)
        result[order] = updated
        return result


def grouped(key: Tensor, n: int) -> tuple[Tensor, list[int]]:
    """The order that sorts whole numbers in 0..n-1, shape (M,), and how many there are of each."""
    if n == 1:
        return torch.arange(len(key), device=key.device), [len(key)]
    return key.argsort(stable=True), torch.bincount(key, minlength=n).tolist()
