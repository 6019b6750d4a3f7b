"""Church windows of heads of dense layers with ReLU: exact, by cutting the plane along every neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.latent.cells import cell_boundaries, cell_regions, relu_cells, relu_crossing
from robustkit.latent.directions import check_base, check_directions, check_extent
from robustkit.latent.discs import disc_shares
from robustkit.latent.heads import ReLUHead
from robustkit.latent.polygons import Boundary
from robustkit.latent.windows import Window, class_areas


@dataclass(frozen=True, eq=False)
class ReLUWindow(Window):
    """The window of a ReLU head: convex polygons, one or more a cell. `plane_margin` looks within the window alone.

    Attributes:
        cells: Into how many pieces the neurons cut the window.
    """

    cells: int


def relu_window(
    head: ReLUHead,
    base: ArrayLike,
    along: ArrayLike,
    across: ArrayLike,
    *,
    extent: float = 1.1,
    orthogonal: bool = False,
) -> ReLUWindow:
    """The church window of one latent and two directions, exact up to float64.

    Args:
        head: The dense layers.
        base: The clean latent, shape (D,).
        along: The direction of x, shape (D,).
        across: The direction of y, shape (D,).
        extent: How far the axes go, in lengths of the directions.
        orthogonal: Whether y is turned to a right angle with x.

    Raises:
        InputError: As `church_window`.
    """
    check_extent(extent)
    a, n, cosine = check_directions(along, across, orthogonal=orthogonal)
    z = check_base(base, a)
    if len(z) != head.weights[0].shape[1]:
        raise InputError(f"the latent has {len(z)} dimensions; the head takes {head.weights[0].shape[1]}")
    axes, box = np.stack([a, n], axis=1), np.full(2, extent)
    cells = relu_cells(head, z, axes, -box, box)
    regions, boundaries = cell_regions(cells, float(4 * extent**2)), cell_boundaries(cells)
    frame, scale = np.linalg.qr(axes)  # (x, y) is at scale @ (x, y) in coordinates at right angles and to scale
    lengths, classes = np.array([np.linalg.norm(a), np.linalg.norm(n)]), len(head.biases[-1])
    reach = np.full(2, lengths[0])
    disc = cell_regions(relu_cells(head, z, frame, -reach, reach), float(4 * lengths[0] ** 2))
    crossings = [relu_crossing(head, z, direction) for direction in (a, n)]
    return ReLUWindow(
        predicted=int(head(z).argmax()),
        regions=regions,
        boundaries=boundaries,
        areas=class_areas(regions, classes),
        disc=disc_shares(disc, lengths[0], classes),
        extent=float(extent),
        lengths=lengths,
        cosine=cosine,
        crossing=np.array([t for t, _ in crossings]),
        crossing_to=np.array([to for _, to in crossings]),
        plane_margin=_nearest(boundaries, scale),
        true_margin=np.nan,
        cells=len(cells),
    )


def _nearest(boundaries: tuple[Boundary, ...], scale: np.ndarray) -> float:
    """Distance from the origin to the nearest segment, in latent units."""
    if not boundaries:
        return np.inf
    ends = np.stack([boundary.ends for boundary in boundaries]) @ scale.T  # (B, 2, 2)
    start, edge = ends[:, 0], ends[:, 1] - ends[:, 0]
    length = (edge**2).sum(axis=1)
    t = np.divide(-(start * edge).sum(axis=1), length, out=np.zeros_like(length), where=length > 0)
    return float(np.linalg.norm(start + np.clip(t, 0, 1)[:, None] * edge, axis=1).min())
