"""Logits of one image hit by a fault at many points: windows where the fault is small, whole images elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustkit.engine import Candidates, Evaluator
from robustkit.models import AuditedClassifier
from robustkit.perturb.faults.space import Chosen, FaultSpace, Floats
from robustkit.perturb.perturbation import Perturbation

# Points that are made at a time, and numbers of a band of their cuts; whole images that are run at a time.
_POINTS, _NUMBERS, _IMAGES = 2048, 1 << 21, 64
# Windows of one size that go through the network as they are; of fewer, the sides are rounded up to a multiple.
_MANY, _MULTIPLE = 256, 8


class FaultScorer:
    """Scores points of a fault's space on one image.

    A fault that says how far it reaches is applied to a small cut round its place, and only the window that it changed
    is followed through the network, as wide as it is. Whatever else happens to an image is run whole.

    Args:
        classifier: The network itself.
        evaluator: Scores candidates of this image alone.
        space: The fault.
        stored: The image before the stretch, shape (1, C, H, W).
    """

    def __init__(self, classifier: AuditedClassifier, evaluator: Evaluator, space: FaultSpace, stored: Tensor) -> None:
        self.classifier, self.evaluator, self.space, self.stored = classifier, evaluator, space, stored
        self.seen = space.stretch(stored)
        cut = (slice(None), slice(None), slice(0, 4), slice(0, 4))
        # A stretch that looks at more than a pixel cannot be applied to a cut.
        self.by_pixel = torch.equal(space.stretch(stored[cut]), self.seen[cut])

    @torch.inference_mode()
    def __call__(self, points: Floats) -> Tensor:
        """Logits, shape (P, K), on the CPU; points as for `FaultSpace.hit`."""
        made = torch.empty(len(points), self.classifier.classes)
        for rows, fault in self.space.groups(points):
            side = 1 if fault.reach is None else 2 * fault.reach + 3
            most = max(64, min(_POINTS, _NUMBERS // side**2))
            for some in np.array_split(rows, -(-len(rows) // most)):
                made[some] = self._group(fault, points[some]).cpu()
        return made

    @torch.inference_mode()
    def alone(self, point: Floats) -> tuple[Tensor, Tensor]:
        """The image hit at one point, network input (C, H, W), and its logits by the network, alone, shape (K,)."""
        seen = self.space.stretch(self.space.hit(self.stored, point[None]))
        return seen[0], self.classifier(seen)[0].cpu()

    def _group(self, fault: Perturbation, points: Floats) -> Tensor:
        reach, draws = fault.reach, self.space.draws
        height, width = self.space.size
        side = None if reach is None else 2 * reach + 3
        known = draws[:2] == ["row", "column"] or draws[:1] == ["pixel"]
        if side is None or not known or not self.by_pixel or side >= min(height, width):
            return self._whole(fault, points)
        drawn = points[:, len(self.space.ranges) :].copy()
        if draws[0] == "pixel":
            place = np.minimum(np.floor(drawn[:, 0] * height * width), height * width - 1)
            row, column = place // width, place % width
        else:
            # As the fault will see them, rounded to single precision.
            row, column = (drawn[:, i].astype(np.float32).astype(np.float64) * n for i, n in enumerate((height, width)))
        top = np.clip(np.floor(row) - reach - 1, 0, height - side).astype(np.int64)
        left = np.clip(np.floor(column) - reach - 1, 0, width - side).astype(np.int64)
        if draws[0] == "pixel":
            drawn[:, 0] = ((row - top) * side + column - left + 0.5) / side**2
        else:
            drawn[:, 0], drawn[:, 1] = (row - top) / side, (column - left) / side
        over = torch.arange(side)
        down, across = torch.from_numpy(top)[:, None] + over, torch.from_numpy(left)[:, None] + over  # (P, side)
        cut = self.stored[0][:, down[:, :, None], across[:, None, :]].permute(1, 0, 2, 3)
        clean = self.seen[0][:, down[:, :, None], across[:, None, :]].permute(1, 0, 2, 3)
        hit = self.space.stretch(fault(cut.contiguous(), conditions=self.space.conditions, streams=Chosen(drawn)))
        return self._windows(hit, hit != clean, down, across)

    def _windows(self, hit: Tensor, changed: Tensor, down: Tensor, across: Tensor) -> Tensor:
        """Logits of cuts by the window that changed in each."""
        side, touched = hit.shape[-1], changed.any(1)
        ends = [_ends(touched.any(2 - axis)) for axis in (0, 1)]
        sizes = torch.stack([(last - first + 1).clamp(min=0) for first, last in ends], 1)  # (P, 2)
        made = self.evaluator.clean().to(hit.device)[:1].repeat(len(hit), 1)  # what changed nothing
        _, which, count = torch.unique(sizes, dim=0, return_inverse=True, return_counts=True)
        up = (-(-sizes // _MULTIPLE) * _MULTIPLE).clamp(max=side)
        sizes = torch.where((count[which] < _MANY)[:, None] & (sizes > 0), up, sizes)
        kinds, which = torch.unique(sizes, dim=0, return_inverse=True)
        for kind, (tall, wide) in enumerate(kinds.tolist()):
            if tall == 0 or wide == 0:
                continue
            rows = (which == kind).nonzero().squeeze(1)
            corner = [first[rows].clamp(max=side - size) for (first, _), size in zip(ends, (tall, wide), strict=True)]
            y, x = (one[:, None] + torch.arange(size) for one, size in zip(corner, (tall, wide), strict=True))
            values = hit[rows[:, None, None], :, y[:, :, None], x[:, None, :]]  # (R, tall, wide, C)
            at = [
                torch.gather(down[rows], 1, y)[:, :, None].expand(-1, -1, wide),
                torch.gather(across[rows], 1, x)[:, None, :].expand(-1, tall, -1),
            ]
            one = torch.zeros(len(rows), dtype=torch.int64, device=hit.device)
            y_at, x_at = (place.flatten(1)[:, None] for place in at)
            found = Candidates(one, y_at, x_at, values.flatten(1, 2)[:, None])
            made[rows] = self.evaluator(found)[:, 0].to(made)
        return made

    def _whole(self, fault: Perturbation, points: Floats) -> Tensor:
        made: list[Tensor] = []
        for start in range(0, len(points), _IMAGES):
            some = points[start : start + _IMAGES]
            streams = Chosen(some[:, len(self.space.ranges) :])
            hit = fault(self.stored.expand(len(some), -1, -1, -1), conditions=self.space.conditions, streams=streams)
            made.append(self.classifier(self.space.stretch(hit)))
        return torch.cat(made)


def _ends(touched: Tensor) -> tuple[Tensor, Tensor]:
    """The first and last true place of each row, shape (P,); an empty row ends before it begins."""
    index = torch.arange(touched.shape[1])
    first = torch.where(touched, index, touched.shape[1]).amin(1)
    return first, torch.where(touched, index, -1).amax(1)


def every_point(space: FaultSpace, footprint: Floats) -> NDArray[np.float64]:
    """All points of a space that share everything but the place with one.

    Args:
        space: The fault.
        footprint: A point, shape (len(space),).
    """
    places = space.places
    grid = np.meshgrid(*(space.steps(place) for place in places), indexing="ij")
    points = np.repeat(footprint[None], grid[0].size if grid else 1, 0)
    for place, steps in zip(places, grid, strict=True):
        points[:, place] = steps.ravel()
    return points
