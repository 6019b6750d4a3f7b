"""A ReLU head on a plane and along a line: cut neuron by neuron into pieces on which it is affine. Exact, no grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from robustkit.latent.heads import ReLUHead
from robustkit.latent.polygons import Boundary, Region, clip, polygon_area

# What is thinner than this, relative to the largest value in a piece, is rounding and not a piece of its own.
_THIN = 1e-12


@dataclass(frozen=True, eq=False)
class Cell:
    """A convex piece of the plane on which the logits are affine.

    Attributes:
        vertices: Corners counter-clockwise, shape (V, 2).
        constant: Logits at (0, 0), if the piece reached there, shape (K,).
        slopes: Their change along each axis, shape (K, 2).
    """

    vertices: np.ndarray
    constant: np.ndarray
    slopes: np.ndarray


def relu_cells(head: ReLUHead, base: np.ndarray, axes: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[Cell]:
    """The cells of a ReLU head on the points base + axes @ (x, y) of a box.

    Args:
        head: The head.
        base: The latent at (0, 0), shape (D,).
        axes: The directions of x and y, shape (D, 2).
        low: Lower corner of the box, shape (2,).
        high: Upper corner, shape (2,).

    Source: the arrangement of neurons as in Humayun et al. 2023 (SplineCam), arXiv:2302.12828.
    """
    box = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]], dtype=np.float64)
    constant, slopes = head.weights[0] @ base + head.biases[0], head.weights[0] @ axes
    cells = [Cell(box, constant, slopes)]
    for weight, bias in zip(head.weights[1:], head.biases[1:], strict=True):
        cells = [
            Cell(polygon, weight @ (on * cell.constant) + bias, weight @ (on[:, None] * cell.slopes))
            for cell in cells
            for polygon, on in _cut(cell)
        ]
    return cells


def cell_regions(cells: list[Cell], whole: float) -> tuple[Region, ...]:
    """Where each class wins: at least one convex polygon a cell.

    Args:
        cells: The cells.
        whole: The area that counts as 1.
    """
    found = []
    for cell in cells:
        labels = _labels(cell)
        if len(labels) == 1:
            found.append(Region(labels[0], cell.vertices, polygon_area(cell.vertices) / whole))
            continue
        for label in labels:
            polygon = _winning(cell, label)
            area = polygon_area(polygon) / whole
            if area > 0:
                found.append(Region(label, polygon, area))
    return tuple(found)


def cell_boundaries(cells: list[Cell]) -> tuple[Boundary, ...]:
    """The segments on which two classes tie and win; each cell that they cross has its own."""
    found = []
    for cell in cells:
        labels = _labels(cell)
        if len(labels) == 1:
            continue
        for i in labels:
            polygon = _winning(cell, i)
            values = polygon @ cell.slopes.T + cell.constant
            tie = np.abs(values - values[:, i : i + 1]) <= 1e-9 * max(float(np.abs(values).max(initial=0)), 1e-12)
            for j in (label for label in labels if label > i):
                for v in range(len(polygon)):
                    after = (v + 1) % len(polygon)
                    if tie[v, j] and tie[after, j]:
                        found.append(Boundary((i, j), np.stack([polygon[v], polygon[after]])))
    return tuple(found)


def relu_crossing(head: ReLUHead, base: np.ndarray, direction: np.ndarray) -> tuple[float, int]:
    """First change of class along base + t direction for t > 0, exact.

    Args:
        head: The head.
        base: Shape (D,).
        direction: Shape (D,).

    Returns:
        t, inf where the class never changes, and the class entered there, that of the start where none is.
    """
    pieces = [(0.0, np.inf, head.weights[0] @ base + head.biases[0], head.weights[0] @ direction)]
    for weight, bias in zip(head.weights[1:], head.biases[1:], strict=True):
        pieces = [
            (start, end, weight @ (on * constant) + bias, weight @ (on * slope))
            for first, last, constant, slope in pieces
            for start, end, on in _stretches(first, last, constant, slope)
        ]
    predicted = int(pieces[0][2].argmax())
    for start, end, constant, slope in pieces:
        lead, gain = constant[predicted] - constant, slope - slope[predicted]
        t = np.divide(lead, gain, out=np.full_like(lead, np.inf), where=gain > 0)
        rival = int(t.argmin())
        if t[rival] <= end:
            return max(float(t[rival]), start), rival
    return np.inf, predicted


def _stretches(
    first: float, last: float, constant: np.ndarray, slope: np.ndarray
) -> list[tuple[float, float, np.ndarray]]:
    """A stretch of the line, cut where a neuron changes its sign."""
    with np.errstate(divide="ignore", invalid="ignore"):
        zeros = -constant / slope
    cuts = [first, *np.unique(zeros[(zeros > first) & (zeros < last)]).tolist(), last]
    found = []
    for start, end in pairwise(cuts):
        middle = (start + end) / 2 if np.isfinite(end) else start + max(1.0, abs(start))
        found.append((start, end, constant + middle * slope > 0))
    return found


def _cut(cell: Cell) -> list[tuple[np.ndarray, np.ndarray]]:
    """A cell cut along each of its neurons' lines: polygons, and which neurons are on there."""
    done: list[tuple[np.ndarray, np.ndarray]] = []
    waiting = [(cell.vertices, np.arange(len(cell.constant)))]
    while waiting:
        polygon, neurons = waiting.pop()
        values = polygon @ cell.slopes[neurons].T + cell.constant[neurons]  # (V, number of neurons)
        thin = _THIN * np.maximum(np.abs(values).max(axis=0), 1e-300)
        crossing = neurons[(values.min(axis=0) < -thin) & (values.max(axis=0) > thin)]
        if not len(crossing):
            done.append((polygon, polygon.mean(axis=0) @ cell.slopes.T + cell.constant > 0))
            continue
        normal, offset = cell.slopes[crossing[0]], float(cell.constant[crossing[0]])
        for sign in (1.0, -1.0):
            part = clip(polygon, sign * normal, sign * offset)
            if len(part) >= 3:
                waiting.append((part, crossing[1:]))
    return done


def _labels(cell: Cell) -> list[int]:
    """The classes that may win in a cell: one that wins at every corner, otherwise any."""
    values = cell.vertices @ cell.slopes.T + cell.constant  # (V, K)
    best = np.unique(values.argmax(axis=1))
    if len(best) == 1:
        return best.tolist()  # affine and the largest at every corner of a convex piece: the largest everywhere
    return list(range(values.shape[1]))


def _winning(cell: Cell, label: int) -> np.ndarray:
    """The part of a cell in which a class wins; of equal classes the first."""
    polygon = cell.vertices
    for other in range(len(cell.constant)):
        if other == label:
            continue
        normal, offset = cell.slopes[label] - cell.slopes[other], cell.constant[label] - cell.constant[other]
        if normal.any():
            polygon = clip(polygon, normal, offset)
        elif offset < 0 or (offset == 0 and other < label):
            return polygon[:0]
        if len(polygon) < 3:
            return polygon[:0]
    return polygon
