"""Which window of a map a changed pixel reaches, and how such windows are cut out of many maps at once.

Along each axis the reach is a table with one entry for every position of the changed pixel: strides, padding, borders
and the alignment of pools are all in the tables, so that the same few lines of index arithmetic serve every layer.
Windows of one batch have one size and each its own place; they never leave the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Table = NDArray[np.int64]
Box = tuple[int, int]  # height and width of pixels that change


@dataclass(frozen=True)
class Slide:
    """How a layer slides along one axis, in cells of its input.

    Attributes:
        kernel: How many cells one output cell reads.
        stride: Cells from one output cell to the next.
        padding: Cells before the first.
        dilation: Cells from one cell that is read to the next.
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Cells from the first that an output cell reads to the last."""
        return (self.kernel - 1) * self.dilation

    def cells(self, outputs: int) -> int:
        """How many cells neighbouring outputs read together."""
        return (outputs - 1) * self.stride + self.reach + 1


@dataclass(frozen=True, eq=False)
class Reach:
    """The cells of one axis of a map that a change can alter.

    Attributes:
        size: How many cells there are.
        first: The first that can change, for each of Y positions of the changed pixels, shape (Y,).
        last: The last that can change, not before the first; shape (Y,).
    """

    size: int
    first: Table
    last: Table

    @classmethod
    def of_pixels(cls, size: int, box: int) -> Reach:
        """Of the image itself: `box` neighbouring pixels at each of size - box + 1 positions."""
        first = np.arange(size - box + 1, dtype=np.int64)
        return cls(size, first, first + box - 1)

    def slide(self, slide: Slide, size: int) -> Reach:
        """Of the output of a layer, `size` cells long."""
        first = -((slide.reach - self.first - slide.padding) // slide.stride)  # rounded up
        last = (self.last + slide.padding) // slide.stride
        first = first.clip(0, size - 1)
        # Where no output cell reads the change, any cell will do: it comes out as it was.
        return Reach(size, first, np.maximum(first, last.clip(0, size - 1)))

    def union(self, other: Reach) -> Reach:
        """Of the two together, on one map."""
        return Reach(self.size, np.minimum(self.first, other.first), np.maximum(self.last, other.last))

    def extent(self, band: slice) -> int:
        """The longest change among some positions."""
        return int((self.last[band] - self.first[band]).max()) + 1

    def place(self, band: slice) -> Place:
        """Windows of one length, inside the map, that hold the change at each of some positions."""
        extent = self.extent(band)
        return Place(self.size, self.first.clip(0, self.size - extent), extent)


@dataclass(frozen=True, eq=False)
class Place:
    """Where windows lie along one axis of a map.

    Attributes:
        size: Cells of the map.
        start: First cell of the window, for each position of the changed pixels, shape (Y,).
        extent: Cells of the window.
    """

    size: int
    start: Table
    extent: int

    def read_by(self, slide: Slide, size: int) -> Place:
        """What windows of a layer's output read of an input of `size` cells; it may lie outside, in the padding."""
        return Place(size, self.start * slide.stride - slide.padding, slide.cells(self.extent))


@dataclass(frozen=True, eq=False)
class Maps:
    """Clean maps of many images, with a margin, laid out so that each cell is one row.

    Attributes:
        rows: Shape (S x height x width, C) for S images.
        height: Cells down, margin included.
        width: Cells across, margin included.
        top: Cells of margin above.
        left: Cells of margin at the left.
    """

    rows: Tensor
    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class Where:
    """Which image each of B candidates belongs to and where its changed pixels are.

    Attributes:
        slot: Number of the image in the maps, shape (B,).
        row: Shape (B,).
        column: Shape (B,).
    """

    slot: Tensor
    row: Tensor
    column: Tensor


class Crop:
    """Cuts a region of one size out of each candidate's map: the clean map, with the changed window laid over it.

    Args:
        rows: The region's place, down.
        columns: The region's place, across.
        window: The window's places, down and across.
        bands: The positions of the changed pixels that are asked for, down and across.
        device: Where the maps are.
    """

    def __init__(
        self,
        rows: Place,
        columns: Place,
        *,
        window: tuple[Place, Place],
        bands: tuple[slice, slice],
        device: torch.device,
    ) -> None:
        self.height, self.width = rows.extent, columns.extent
        self._starts = tuple(torch.from_numpy(place.start).to(device) for place in (rows, columns))
        self._cells = (torch.arange(rows.extent, device=device), torch.arange(columns.extent, device=device))
        pairs = list(zip(window, (rows, columns), bands, strict=True))
        offsets = [inner.start - outer.start for inner, outer, _ in pairs]
        within = [offset[band] for offset, (_, _, band) in zip(offsets, pairs, strict=True)]
        # One offset for every candidate makes laying over a plain copy.
        self._fixed = all((offset == offset[0]).all() for offset in within)
        self._slices = tuple(
            _overlap(int(offset[0]), inner.extent, outer.extent)
            for offset, (inner, outer, _) in zip(within, pairs, strict=True)
        )
        self._inside = all(
            (o >= 0).all() and (o + inner.extent <= outer.extent).all()
            for o, (inner, outer, _) in zip(within, pairs, strict=True)
        )
        self._offsets = tuple(torch.from_numpy(offset).to(device) for offset in offsets)
        self._window = tuple(torch.arange(inner.extent, device=device) for inner, _, _ in pairs)

    def clean(self, maps: Maps, where: Where, *, spare: bool = False) -> Tensor:
        """The region of the clean maps, one cell a row: shape (B x height x width, C), and one spare row if wanted."""
        row = self._starts[0].index_select(0, where.row) + maps.top
        column = self._starts[1].index_select(0, where.column) + maps.left
        corner = (where.slot * maps.height + row) * maps.width + column  # (B,)
        cells = (self._cells[0][:, None] * maps.width + self._cells[1]).flatten()
        index = (corner[:, None] + cells).flatten()
        if spare:
            index = torch.cat([index, index.new_zeros(1)])
        return maps.rows.index_select(0, index)

    def __call__(self, maps: Maps, window: Tensor, where: Where) -> Tensor:
        """The region of each candidate.

        Args:
            maps: The clean maps.
            window: The changed windows, shape (B, C, h, w).
            where: The candidates.

        Returns:
            Shape (B, C, height, width), a new tensor, channels last.
        """
        shape = (len(window), self.height, self.width, window.shape[1])
        cells = window.permute(0, 2, 3, 1)  # (B, h, w, C)
        if self._fixed:
            region = self.clean(maps, where).view(shape)
            (rows, from_row), (columns, from_column) = self._slices
            region[:, rows, columns] = cells[:, from_row, from_column]
            return region.permute(0, 3, 1, 2)
        region = self.clean(maps, where, spare=not self._inside)
        region.index_copy_(0, self._targets(where), cells.reshape(-1, shape[3]))
        return region[: shape[0] * shape[1] * shape[2]].view(shape).permute(0, 3, 1, 2)

    def _targets(self, where: Where) -> Tensor:
        """The row of each window cell among the region's rows, shape (B x h x w,); outside, the spare row."""
        rows = self._offsets[0].index_select(0, where.row)[:, None] + self._window[0]  # (B, h)
        columns = self._offsets[1].index_select(0, where.column)[:, None] + self._window[1]  # (B, w)
        candidate = torch.arange(len(rows), device=rows.device)[:, None]
        target = ((candidate * self.height + rows) * self.width)[:, :, None] + columns[:, None, :]  # (B, h, w)
        if not self._inside:
            seen_rows = (rows >= 0) & (rows < self.height)
            seen = seen_rows[:, :, None] & ((columns >= 0) & (columns < self.width))[:, None, :]
            target = target.masked_fill(~seen, len(rows) * self.height * self.width)
        return target.flatten()


def _overlap(offset: int, inner: int, outer: int) -> tuple[slice, slice]:
    """What `inner` cells at an offset share with `outer` cells, counted in the outer and in the inner ones."""
    start, stop = max(0, offset), min(outer, offset + inner)
    stop = max(start, stop)
    return slice(start, stop), slice(start - offset, stop - offset)
