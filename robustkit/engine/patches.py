"""Patches of any size and place, scored exactly: for occlusion maps and counterfactuals of a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from robustkit.engine.candidates import Candidates
from robustkit.errors import InputError

if TYPE_CHECKING:
    from robustkit.engine import Evaluator

# Pixels of all patches at once: a bound of memory that changes no answer.
_PIXELS = 1 << 19

Values = float | np.ndarray | Tensor
Places = int | Sequence[int] | np.ndarray | Tensor


class PatchEvaluator:
    """Scores images with one patch written over, by recomputing only what the patch touches.

    Args:
        evaluator: Scores candidates; see `robustkit.engine.make_evaluator`.

    Attributes:
        images: The clean images, network input, shape (N, C, H, W).
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.images = evaluator.images

    @property
    def reason(self) -> str:
        """How patches are scored and why, in one line."""
        return self.evaluator.reason

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self.evaluator.clean()

    @torch.inference_mode()
    def __call__(self, image: Places, row: Places, column: Places, patch: Values) -> Tensor:
        """Logits of P images, each with a patch written over.

        Args:
            image: Which of the clean images, shape (P,) or one number for all.
            row: Row of the patch's upper left pixel, shape (P,) or one number.
            column: Its column, likewise.
            patch: New values, network input: shape (P, C, h, w), or (C, h, w) for all places. A patch that reaches
                beyond an edge is cut there.

        Returns:
            Shape (P, K), on the device of the images.

        Raises:
            InputError: If the shapes do not fit, or a place lies outside the images.
        """
        places = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, dtype=np.int64)) for one in (image, row, column)))
        values = torch.as_tensor(patch, dtype=self.images.dtype).to(self.images.device)
        bands = self.images.shape[1]
        if places[0].ndim != 1 or values.ndim not in (3, 4) or values.shape[-3] != bands:
            raise InputError(
                f"expected places of shape (P,) and a patch of shape ({bands}, h, w) or (P, {bands}, h, w), got "
                f"{places[0].shape} and {tuple(values.shape)}"
            )
        if values.ndim == 4 and len(values) != len(places[0]):
            raise InputError(f"expected a patch for each of {len(places[0])} places, got {len(values)}")
        height, width = values.shape[-2:]
        step = max(1, _PIXELS // (height * width))
        where = [torch.from_numpy(np.ascontiguousarray(one)).to(self.images.device) for one in places]
        found = []
        for start in range(0, len(where[0]), step):
            part = slice(start, start + step)
            these = values[part] if values.ndim == 4 else values
            found.append(self._some(where[0][part], where[1][part], where[2][part], these))
        return torch.cat(found) if found else self.images.new_zeros(0, self.clean().shape[1])

    def occlusion(self, size: int | tuple[int, int], *, stride: int = 1, value: Values = 0.0) -> Tensor:
        """Logits with a patch of one colour at every place of a grid: an occlusion map before anything is subtracted.

        Args:
            size: Height and width of the patch, pixels.
            stride: Steps of its upper left pixel; only patches that lie within the image are taken.
            value: What it is filled with, network input: one number, or one for each band, shape (C,).

        Returns:
            Shape (N, rows, columns, K).

        Raises:
            InputError: If the patch is larger than the images, or the stride below 1.

        Source: Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53.
        """
        n, bands, tall, wide = self.images.shape
        height, width = (size, size) if isinstance(size, int) else size
        if not (1 <= height <= tall and 1 <= width <= wide) or stride < 1:
            raise InputError(
                f"expected a patch of 1 to {tall} x {wide} pixels and a stride of at least 1, got {height} x {width} "
                f"and {stride}"
            )
        colour = torch.as_tensor(value, dtype=self.images.dtype).expand(bands)
        rows, columns = np.arange(0, tall - height + 1, stride), np.arange(0, wide - width + 1, stride)
        image, row, column = (axis.ravel() for axis in np.meshgrid(np.arange(n), rows, columns, indexing="ij"))
        logits = self(image, row, column, colour[:, None, None].expand(bands, height, width))
        return logits.view(n, len(rows), len(columns), -1)

    def _some(self, image: Tensor, row: Tensor, column: Tensor, values: Tensor) -> Tensor:
        height, width = values.shape[-2:]
        grid = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        down, right = (axis.flatten().to(row.device) for axis in grid)
        tall, wide = self.images.shape[2:]
        limits = ((image, len(self.images)), (row, tall), (column, wide))
        outside = torch.stack([(at < 0) | (at >= most) for at, most in limits])
        if bool(outside.any()):
            raise InputError(
                f"a patch begins outside the {len(self.images)} images of {tall} x {wide} pixels; count image, row and "
                "column from 0"
            )
        rows, columns = row[:, None] + down, column[:, None] + right  # (P, h w)
        inside = (rows < tall) & (columns < wide)
        # What is cut off writes the first pixel again, which lies inside.
        pixel = torch.where(inside, torch.arange(height * width, device=row.device), 0)
        rows, columns = (torch.where(inside, at, at[:, :1]) for at in (rows, columns))
        spread = values.flatten(-2).movedim(-2, -1).expand(len(row), -1, -1)  # (P, h w, C)
        value = spread.gather(1, pixel[..., None].expand(-1, -1, spread.shape[2]))
        return self.evaluator(Candidates(image, rows[:, None], columns[:, None], value[:, None]))[:, 0]
