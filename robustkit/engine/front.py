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
from robustkit.models.fronts.base import FrontEnd

if TYPE_CHECKING:
    from robustkit.engine import Evaluator

# Numbers in the windows that are repaired at a time: they should stay in the caches.
_NUMBERS = 1 << 20
# Images that are repaired at a time.
_IMAGES = 64


class FrontEvaluator:
    """Scores candidates of a classifier behind a front end.

    Args:
        classifier: The classifier, with its front end.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        front: Its front end.
        make: Makes the evaluator of the network behind, of the repaired images.
        plain: Makes the plain evaluator of the whole, for candidates of several pixels.

    Attributes:
        tolerance: That of the evaluator behind: what the front end does is the same to the last bit.
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
        sizes = images.shape[2:]
        # What lies within twice the radius decides what can change, which lies within the radius.
        self._window = tuple(min(4 * front.radius + 1, size) for size in sizes)
        self._box = tuple(min(2 * front.radius + 1, size) for size in sizes)
        self._clean: Tensor | None = None
        numbers = images.shape[1] * self._window[0] * self._window[1]
        self._batches = Batches(_NUMBERS // numbers)

    @property
    def name(self) -> str:
        """The way in which the network behind is scored."""
        return self.rest.name

    @property
    def reason(self) -> str:
        """How candidates are scored, for a summary."""
        return f"through the front end, on windows of {self._window[0]} x {self._window[1]}; then {self.rest.reason}"

    @property
    def why_not_faster(self) -> str:
        """Why the network behind is not scored faster."""
        return self.rest.why_not_faster

    @torch.inference_mode()
    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        if self._clean is None:
            self._clean = self.rest.clean()
        return self._clean

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K).

        Raises:
            InputError: If a pixel lies outside the images.
        """
        m, p, pixels = candidates.row.shape
        if len(candidates) == 0 or pixels == 0:
            return self.rest(candidates)
        candidates.check_places(self.images)
        if pixels > 1:
            self._plain = self._plain or self._make_plain()
            return self._plain(candidates)
        image = candidates.image.repeat_interleave(p)
        row, column, value = candidates.row.flatten(), candidates.column.flatten(), candidates.value.flatten(0, 2)
        logits = self.clean()[image]  # (B, K)
        boxes = self._batches.run(lambda a, b: self._repair(image[a:b], row[a:b], column[a:b], value[a:b]), m * p)
        top, left = self._corner(row, column, self._box, self.front.radius)
        changed = (boxes != _cut(self.repaired, self._box, image, top, left)).flatten(1).any(1)
        some = changed.nonzero().squeeze(1)
        if len(some):
            image, top, left, boxes = image[some], top[some], left[some], boxes[some]
            first, of = _merged(torch.stack([image, top, left], 1), boxes.flatten(1))
            logits[some] = self.rest(self._boxed(image[first], top[first], left[first], boxes[first]))[:, 0][of]
            self.tolerance = self.rest.tolerance
        return logits.unflatten(0, (m, p))

    def _repair(self, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """What the front end makes of the box around each changed pixel, shape (B, C, box, box)."""
        radius = self.front.radius
        top, left = self._corner(row, column, self._window, 2 * radius)
        windows = _cut(self.images, self._window, image, top, left)
        each = torch.arange(len(image), device=image.device)
        windows[each, :, row - top, column - left] = value
        first, second = self._corner(row, column, self._box, radius)
        return _cut(self.front(windows), self._box, each, first - top, second - left)

    def _corner(self, row: Tensor, column: Tensor, sizes: tuple[int, ...], before: int) -> tuple[Tensor, Tensor]:
        """Where windows begin that reach so far before a pixel, and never leave the image."""
        height, width = self.images.shape[2:]
        return (row - before).clamp(0, height - sizes[0]), (column - before).clamp(0, width - sizes[1])

    def _boxed(self, image: Tensor, top: Tensor, left: Tensor, boxes: Tensor) -> Candidates:
        """Candidates of the repaired images that overwrite whole boxes."""
        height, width = self._box
        cells = torch.arange(height * width, device=image.device)
        row, column = top[:, None] + cells // width, left[:, None] + cells % width  # (B, L)
        return Candidates(image, row[:, None], column[:, None], boxes.flatten(2).transpose(1, 2)[:, None])


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
