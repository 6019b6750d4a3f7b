"""Sinkhorn divergence: the cost of moving one domain's latents onto the other's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustkit.training.alignment.base import Alignment
from robustkit.training.alignment.mmd import squared_distances


def sinkhorn_divergence(x: Tensor, y: Tensor, *, blur: float, scaling: float = 0.9) -> Tensor:
    """Debiased entropic transport cost with cost |a - b|**2 / 2 between two uniform sets of points.

    Args:
        x: Shape (N, D).
        y: Shape (M, D).
        blur: Square root of the entropic regularisation, in units of the points, above 0.
        scaling: Ratio of successive blurs while it is lowered, in (0, 1); closer to 1 is slower and more accurate.

    Returns:
        A scalar; 0 for equal sets. For y = x + t it is |t|**2 / 2.

    Source: Feydy et al. 2019, arXiv:1810.08278, sections 3.1 and 3.2.
    """
    # Each cost gets its gradient through its rows alone, so that none is counted twice.
    costs = {
        "xy": squared_distances(x, y.detach()) / 2,
        "yx": squared_distances(y, x.detach()) / 2,
        "xx": squared_distances(x, x.detach()) / 2,
        "yy": squared_distances(y, y.detach()) / 2,
    }
    fixed = {name: cost.detach() for name, cost in costs.items()}
    start = math.sqrt(2 * float(max(cost.max() for cost in fixed.values())))
    steps = max(1, math.ceil(math.log(max(start / blur, 1)) / -math.log(scaling)))
    with torch.no_grad():
        f, g = x.new_zeros(len(x)), x.new_zeros(len(y))  # potentials of x against y, and of y against x
        p, q = x.new_zeros(len(x)), x.new_zeros(len(y))  # of x against itself, and of y against itself
        for step in range(steps + 1):
            epsilon = max(start * scaling**step, blur) ** 2
            f, g = (f + _soft_min(epsilon, fixed["xy"], g)) / 2, (g + _soft_min(epsilon, fixed["yx"], f)) / 2
            p, q = (p + _soft_min(epsilon, fixed["xx"], p)) / 2, (q + _soft_min(epsilon, fixed["yy"], q)) / 2
    # At the optimum the potentials do not contribute to the gradient, so one last step through the costs is enough.
    epsilon = blur**2
    last_f, last_g = _soft_min(epsilon, costs["xy"], g), _soft_min(epsilon, costs["yx"], f)
    last_p, last_q = _soft_min(epsilon, costs["xx"], p), _soft_min(epsilon, costs["yy"], q)
    return (last_f - last_p).mean() + (last_g - last_q).mean()


def _soft_min(epsilon: float, cost: Tensor, potential: Tensor) -> Tensor:
    """Smooth minimum over the columns of cost - potential, shape (N, M) to (N,)."""
    return -epsilon * (torch.logsumexp((potential - cost) / epsilon, 1) - math.log(len(potential)))


class Sinkhorn(Alignment):
    """Sinkhorn divergence of latents in units of their own spread, with a blur of a twentieth of the largest distance.

    The divergence is divided by the mean squared distance of the pooled latents, through which gradients flow: so
    shrinking all latents, the cheapest way to bring two sets together, gains nothing.

    Source: Feydy et al. 2019, arXiv:1810.08278; the blur is that of Pandya et al. 2025, arXiv:2501.14048.
    """

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The penalty; see the base class."""
        rows = torch.cat([source, target])
        spread = (rows - rows.mean(0)).square().sum(1).mean().clamp_min(torch.finfo(rows.dtype).tiny).sqrt()
        source, target = source / spread, target / spread
        largest = math.sqrt(float(squared_distances(source, target).max().detach()))
        return sinkhorn_divergence(source, target, blur=max(0.05 * largest, 0.01))
