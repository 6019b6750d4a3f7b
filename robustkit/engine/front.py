"""Candidates through a front end: each is repaired on a small window, and what is left goes to the network behind.

A changed pixel changes the repaired image within the radius of the front end and nowhere else. Candidates whose
repaired image is the clean one to the last bit have its logits; equal ones are scored once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustkit.engine.batching import Batches
from robustkit.engine.candidates import Candidates
from robustkit.models import AuditedClassifier
from robustkit.models.fronts.base import FrontEnd, without_class

if TYPE_CHECKING:
    from robustkit.engine import Evaluator

# Numbers in the windows that are repaired at a time: they should stay in the caches.
_NUMBERS = 1 << 20
# Rows or columns between the pixels of a candidate whose windows are repaired; others go through the whole front end.
_FARTHEST = 4
# Images that are repaired at a time.
_IMAGES = 64


class FrontEvaluator:
    """Scores candidates of a classifier behind a front end.

    Args:
        classifier: The classifier, with its front end.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        front: Its front end.
        make: Makes the evaluator of the network behind, of the repaired images.
        plain: Makes the plain evaluator of the whole, for candidates of several pixels far apart.

    Attributes:
        tolerance: That of the evaluator behind: what the front end does is the same to the last bit.
        flagged: Which of the last candidates the front end flags, shape (M, P), bool: their answers are not a number,
            and exactly so.
    """

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        front: FrontEnd,
        make: Callable[[Tensor], Evaluator],
        plain: Callable[[], Evaluator],
    ) -> None:
        self.classifier, self.images, self.front = classifier, images, front
        front.check(images.shape[1:])
        with torch.inference_mode():
            self.repaired = torch.cat([front(part) for part in images.split(_IMAGES)])
        self.rest = make(self.repaired)
        self.tolerance = self.rest.tolerance
        self._make_plain = plain
        self._plain: Evaluator | None = None
        self._clean: Tensor | None = None
        self._boxes = {0: _Box(self, 0)}  # by how far apart the pixels of a candidate lie
        self.flagged: Tensor | None = None
        self._seen, self._count = None, images.new_zeros(len(images), dtype=torch.int64)
        if front.flags:
            with torch.inference_mode():
                self._seen = torch.cat([front.seen(part) for part in images.split(_IMAGES)])[:, None]
            self._count = self._seen.flatten(1).sum(1)

    @property
    def name(self) -> str:
        """The way in which the network behind is scored."""
        return self.rest.name

    @property
    def reason(self) -> str:
        """How candidates are scored, for a summary."""
        height, width = self._boxes[0].window
        return f"through the front end, on windows of {height} x {width}; then {self.rest.reason}"

    @property
    def why_not_faster(self) -> str:
        """Why the network behind is not scored faster."""
        return self.rest.why_not_faster

    @torch.inference_mode()
    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        if self._clean is None:
            self._clean = without_class(self.rest.clean(), None if self._seen is None else self._count > 0)
        return self._clean

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K).

        Raises:
            InputError: If a pixel lies outside the images.
        """
        m, p, pixels = candidates.row.shape
        self.flagged = None
        if len(candidates) == 0 or pixels == 0:
            return self.rest(candidates)
        candidates.check_places(self.images)
        span = 0 if pixels == 1 else int(max(_span(candidates.row), _span(candidates.column)))
        if span > _FARTHEST:
            self._plain = self._plain or self._make_plain()
            return self._plain(candidates)
        if span not in self._boxes:
            self._boxes[span] = _Box(self, span)
        box = self._boxes[span]
        image = candidates.image.repeat_interleave(p)
        row, column, value = (part.flatten(0, 1) for part in (candidates.row, candidates.column, candidates.value))
        logits = self.rest.clean()[image]  # (B, K)
        boxes = box.batches.run(lambda a, b: box.repair(image[a:b], row[a:b], column[a:b], value[a:b]), m * p)
        top, left = box.place(row.amin(1), column.amin(1))
        changed = (boxes != _cut(self.repaired, box.size, image, top, left)).flatten(1).any(1)
        flags = None
        if self._seen is not None:
            near = box.batches.run(lambda a, b: box.seen(image[a:b], row[a:b], column[a:b], value[a:b]), m * p)
            elsewhere = self._count[image] > _cut(self._seen, box.size, image, top, left).flatten(1).sum(1)
            flags = near | elsewhere
            changed &= ~flags
            self.flagged = flags.view(m, p)
        some = changed.nonzero().squeeze(1)
        if len(some):
            image, top, left, boxes = image[some], top[some], left[some], boxes[some]
            first, of = _merged(torch.stack([image, top, left], 1), boxes.flatten(1))
            logits[some] = self.rest(box.candidates(image[first], top[first], left[first], boxes[first]))[:, 0][of]
            self.tolerance = self.rest.tolerance
        return without_class(logits, flags).unflatten(0, (m, p))


class _Box:
    """What candidates may change whose pixels lie so far apart, and the window around that decides it.

    Args:
        of: The evaluator.
        span: Rows or columns from the first to the last pixel of a candidate.
    """

    def __init__(self, of: FrontEvaluator, span: int) -> None:
        self.of, radius, sizes = of, of.front.radius, of.images.shape[2:]
        # What lies within twice the radius decides what can change, which lies within the radius. An odd side is what
        # compiled code follows.
        side = 2 * radius + 1 + span + span % 2
        self.window = tuple(min(side + 2 * radius, size) for size in sizes)
        self.size = tuple(min(side, size) for size in sizes)
        self.batches = Batches(_NUMBERS // (of.images.shape[1] * self.window[0] * self.window[1]))

    def repair(self, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """What the front end makes of the boxes of candidates, shape (B, C, box, box); rows and columns (B, L)."""
        windows, *at = self._painted(image, row, column, value)
        return _cut(self.of.front(windows), self.size, *at)

    def seen(self, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """Whether the front end flags something in the boxes of candidates, shape (B,); rows and columns (B, L)."""
        windows, *at = self._painted(image, row, column, value)
        return _cut(self.of.front.seen(windows)[:, None], self.size, *at).flatten(1).any(1)

    def _painted(self, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Windows around candidates with their pixels, (B, C, window, window), and where their boxes begin in them."""
        first, second = row.amin(1), column.amin(1)
        top, left = self._corner(first, second, self.window, 2 * self.of.front.radius)
        windows = _cut(self.of.images, self.window, image, top, left)
        each = torch.arange(len(image), device=image.device)
        for pixel in range(row.shape[1]):  # one after the other, so that the last of coinciding pixels holds
            windows[each, :, row[:, pixel] - top, column[:, pixel] - left] = value[:, pixel]
        first, second = self.place(first, second)
        return windows, each, first - top, second - left

    def place(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Where the boxes begin of candidates whose pixels begin there."""
        return self._corner(row, column, self.size, self.of.front.radius)

    def candidates(self, image: Tensor, top: Tensor, left: Tensor, boxes: Tensor) -> Candidates:
        """Candidates of the repaired images that overwrite whole boxes."""
        height, width = self.size
        cells = torch.arange(height * width, device=image.device)
        row, column = top[:, None] + cells // width, left[:, None] + cells % width  # (B, L)
        return Candidates(image, row[:, None], column[:, None], boxes.flatten(2).transpose(1, 2)[:, None])

    def _corner(self, row: Tensor, column: Tensor, sizes: tuple[int, ...], before: int) -> tuple[Tensor, Tensor]:
        """Where windows begin that reach so far before a pixel, and never leave the image."""
        height, width = self.of.images.shape[2:]
        return (row - before).clamp(0, height - sizes[0]), (column - before).clamp(0, width - sizes[1])


def _span(place: Tensor) -> Tensor:
    """How far apart the pixels of a candidate lie at most, in rows or columns, of (M, P, L)."""
    return (place.amax(2) - place.amin(2)).max()


def _cut(images: Tensor, sizes: tuple[int, ...], image: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Windows of images, shape (B, C, height, width), new."""
    return images.unfold(2, sizes[0], 1).unfold(3, sizes[1], 1)[image, :, top, left]


def _merged(places: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Which candidates stand for all equal ones, and for each candidate which of these it is.

    Rows that share a key are compared number for number: a key alone would prove nothing.

    Args:
        places: Image and place of each box, shape (B, 3).
        boxes: Its numbers, shape (B, L).
    """
    bits = torch.cat([places, boxes.contiguous().view(torch.int32).long()], 1)
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (bits.shape[1],), generator=generator).to(bits.device)
    _, of = torch.unique((bits * factors).sum(1), return_inverse=True)
    each = torch.arange(len(of), device=of.device)
    first = torch.zeros(int(of.max()) + 1, dtype=torch.int64, device=of.device).scatter_reduce(
        0, of, each, "amin", include_self=False
    )
    if bool((bits != bits[first[of]]).any()):
        return each, each
    return first, of
