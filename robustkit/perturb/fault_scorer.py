"""Logits of one image hit by a fault at many points: windows where the fault is small, whole images elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustkit.engine import Candidates, Evaluator
from robustkit.engine.incremental import box_sizes
from robustkit.models import AuditedClassifier
from robustkit.perturb.faults.space import Chosen, FaultSpace, Floats
from robustkit.perturb.perturbation import Perturbation

# Points that are made at a time, and numbers of a band of their cuts, which stay in the cache of a processor; numbers
# of a band in windows of one size that wait for more of them; whole images that are run at a time.
_POINTS, _NUMBERS, _WAITING, _IMAGES = 2048, 1 << 19, 1 << 21, 64


class _Windows(NamedTuple):
    """What points change, in windows of one size: their numbers, first rows and columns, and values (R, cells, C)."""

    rows: Tensor
    top: Tensor
    left: Tensor
    values: Tensor


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
        waiting: dict[tuple[int, int], list[_Windows]] = {}
        for rows, fault in self.space.groups(points):
            cut = self._cut(fault)
            if cut is None:
                made[rows] = self._whole(fault, points[rows]).cpu()
                continue
            made[rows] = self.evaluator.clean()[0].cpu()  # what changes nothing
            most = max(64, min(_POINTS, _NUMBERS // math.prod(cut)))
            for some in np.array_split(rows, -(-len(rows) // most)):
                for size, windows in self._windows(fault, cut, points[some], torch.from_numpy(some)):
                    waiting.setdefault(size, []).append(windows)
                    if sum(len(one.rows) for one in waiting[size]) * math.prod(size) >= _WAITING:
                        self._score(size, waiting.pop(size), made)
        for size, windows in waiting.items():
            self._score(size, windows, made)
        return made

    @torch.inference_mode()
    def alone(self, point: Floats) -> tuple[Tensor, Tensor]:
        """The image hit at one point, network input (C, H, W), and its logits by the network, alone, shape (K,)."""
        seen = self.space.stretch(self.space.hit(self.stored, point[None]))
        return seen[0], self.classifier(seen)[0].cpu()

    def _cut(self, fault: Perturbation) -> tuple[int, int] | None:
        """The size of the cuts that hold all that a fault does; None where only whole images will do."""
        known = self.space.draws[:2] == ["row", "column"] or self.space.draws[:1] == ["pixel"]
        if fault.reach is None or not known or not self.by_pixel:
            return None
        height, width = self.space.size
        return min(2 * fault.reach + 3, height), min(2 * fault.reach + 3, width)

    def _windows(
        self, fault: Perturbation, cut: tuple[int, int], points: Floats, rows: Tensor
    ) -> Iterator[tuple[tuple[int, int], _Windows]]:
        """What some points change, by the size of the box that it is followed in."""
        reach, draws = fault.reach, self.space.draws
        assert reach is not None
        (height, width), (tall, wide) = self.space.size, cut
        drawn = points[:, len(self.space.ranges) :].copy()
        if draws[0] == "pixel":
            place = np.minimum(np.floor(drawn[:, 0] * height * width), height * width - 1)
            row, column = place // width, place % width
        else:
            # As the fault will see them, rounded to single precision.
            row, column = (drawn[:, i].astype(np.float32).astype(np.float64) * n for i, n in enumerate((height, width)))
        top = np.clip(np.floor(row) - reach - 1, 0, height - tall).astype(np.int64)
        left = np.clip(np.floor(column) - reach - 1, 0, width - wide).astype(np.int64)
        if draws[0] == "pixel":
            drawn[:, 0] = ((row - top) * wide + column - left + 0.5) / (tall * wide)
        else:
            drawn[:, 0], drawn[:, 1] = (row - top) / tall, (column - left) / wide
        down, across = torch.from_numpy(top), torch.from_numpy(left)
        stored, clean = (_cuts(image, cut)[down, across] for image in (self.stored, self.seen))
        hit = self.space.stretch(fault(stored, conditions=self.space.conditions, streams=Chosen(drawn)))
        touched, hit = (hit != clean).any(1).cpu(), hit.cpu()  # many small steps, which a GPU would only wait for
        ends = [_ends(touched.any(2 - axis)) for axis in (0, 1)]
        sizes = torch.stack([last - first + 1 for first, last in ends], 1)  # (P, 2)
        changed = (sizes > 0).all(1)
        sizes = torch.minimum(box_sizes(sizes.clamp_min(1), self.space.size), torch.tensor(cut))
        kinds, which = torch.unique(sizes[:, 0] * width + sizes[:, 1] - 1, return_inverse=True)
        for kind, number in enumerate(kinds.tolist()):
            box = number // width, number % width + 1
            some = ((which == kind) & changed).nonzero().squeeze(1)
            if len(some) == 0:
                continue
            y, x = (one[some].clamp(max=side - n) for (one, _), side, n in zip(ends, cut, box, strict=True))
            down_in, across_in = (at[:, None] + torch.arange(n) for at, n in zip((y, x), box, strict=True))
            values = hit[some[:, None, None], :, down_in[:, :, None], across_in[:, None, :]]  # (R, tall, wide, C)
            yield box, _Windows(rows[some], down[some] + y, across[some] + x, values.flatten(1, 2))

    def _score(self, box: tuple[int, int], windows: list[_Windows], made: Tensor) -> None:
        """Puts the logits of windows of one size where they belong."""
        rows, top, left, values = (torch.cat(parts) for parts in zip(*windows, strict=True))
        down, across = (axis.flatten() for axis in torch.meshgrid(*(torch.arange(n) for n in box), indexing="ij"))
        pixels = (top[:, None] + down)[:, None], (left[:, None] + across)[:, None], values[:, None]
        device = self.evaluator.images.device
        image = torch.zeros(len(rows), dtype=torch.int64, device=device)
        made[rows] = self.evaluator(Candidates(image, *(part.to(device) for part in pixels)))[:, 0].cpu()

    def _whole(self, fault: Perturbation, points: Floats) -> Tensor:
        made: list[Tensor] = []
        for start in range(0, len(points), _IMAGES):
            some = points[start : start + _IMAGES]
            streams = Chosen(some[:, len(self.space.ranges) :])
            hit = fault(self.stored.expand(len(some), -1, -1, -1), conditions=self.space.conditions, streams=streams)
            made.append(self.classifier(self.space.stretch(hit)))
        return torch.cat(made)


def _cuts(image: Tensor, size: tuple[int, int]) -> Tensor:
    """All cuts of one image (1, C, H, W) as a view, shape (rows, columns, C, *size)."""
    return image[0].unfold(1, size[0], 1).unfold(2, size[1], 1).permute(1, 2, 0, 3, 4)


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
