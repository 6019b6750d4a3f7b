"""Statistics of all pixels of an image set: exact, and in bounded memory, so that a mapped set may exceed it."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence

import numpy as np

BLOCK_BYTES = 32 << 20


def rows_per_block(shape: tuple[int, ...], itemsize: int = 4) -> int:
    """How many images of a set of this shape (N, ...) to hold at once."""
    return max(1, BLOCK_BYTES // max(1, math.prod(shape[1:]) * itemsize))


def blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive parts of a set along its first axis, each of about 32 MiB; views, not copies.

    The pages of a mapped set are given back after each, so that a pass over it does not fill the memory.
    """
    rows = rows_per_block(images.shape, images.dtype.itemsize)
    for start in range(0, len(images), rows):
        yield images[start : start + rows]
        release(images)


def picked(images: np.ndarray, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Some images of a set as an array in memory; of a mapped set nothing else stays there.

    Args:
        images: Shape (N, C, H, W); may be memory-mapped.
        rows: Positions of the images wanted, shape (M,), or a mask of shape (N,).
    """
    found = np.array(images[np.asarray(rows)])
    release(images)
    return found


def release(images: np.ndarray) -> None:
    """Lets the pages of a mapped file go that were read or written; the file keeps what they hold.

    Pages that were touched count as memory of this process until somebody else needs it, so a pass over a set would
    show its whole size, and is refused where a container bounds what a process may hold.

    Args:
        images: Any array; nothing happens unless it lies in a file that is mapped and shared.
    """
    source: object = images
    shared = False  # of a private map the changes are in its pages and nowhere else
    while isinstance(source, np.ndarray):
        shared |= isinstance(source, np.memmap) and source.mode in ("r", "r+", "w+")
        source = source.base
    if shared and isinstance(source, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)


def moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band over all images and pixels, in two passes of float64.

    Args:
        images: Shape (N, C, H, W).
    """
    count = len(images) * math.prod(images.shape[2:])
    mean, square = np.zeros((2, images.shape[1]))
    for block in blocks(images):
        mean += block.sum((0, 2, 3), dtype=np.float64) / count
    for block in blocks(images):
        square += ((block - mean[:, None, None]) ** 2).sum((0, 2, 3)) / count
    return tuple(map(float, mean)), tuple(map(float, np.sqrt(square)))


def percentiles(images: np.ndarray, q: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Percentiles of each band over all images and pixels, linear between the two nearest pixels.

    They are exact at any size: a float32 is a 32-bit key that sorts as the number does, so one pass counts the upper
    halves of the keys and a second pass counts the lower halves where the wanted ranks fall.

    Args:
        images: Shape (N, C, H, W), finite; read as float32.
        q: The percentages, in [0, 100].

    Returns:
        For each percentage, the value in each of the C bands.
    """
    count = len(images) * math.prod(images.shape[2:])
    position = np.asarray(q, dtype=np.float64) / 100 * (count - 1)
    ranks = np.stack([np.floor(position), np.ceil(position)]).astype(np.int64)  # (2, Q)
    per_band = [_order_statistics(images[:, band], ranks) for band in range(images.shape[1])]
    below, above = np.array(per_band).transpose(1, 2, 0)  # each (Q, C)
    values = below + (above - below) * (position % 1)[:, None]
    return tuple(tuple(map(float, row)) for row in values)


def _order_statistics(band: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The pixels at these ranks of all pixels in ascending order, of the shape of `ranks`, float64."""
    upper = np.zeros(1 << 16, dtype=np.int64)
    for block in blocks(band):
        upper += np.bincount(_keys(block) >> 16, minlength=1 << 16)
    ends = upper.cumsum()
    halves = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(1 << 16, dtype=np.int64) for half in np.unique(halves)}
    for block in blocks(band):
        keys = _keys(block)
        for half, counts in lower.items():
            counts += np.bincount(keys[keys >> 16 == half] & 0xFFFF, minlength=1 << 16)
    found = np.empty(ranks.shape, dtype=np.uint32)
    for place in np.ndindex(ranks.shape):
        half = int(halves[place])
        rank = ranks[place] - (ends[half] - upper[half])
        found[place] = half << 16 | int(np.searchsorted(lower[half].cumsum(), rank, side="right"))
    bits = np.where(found >> 31, found ^ np.uint32(1 << 31), ~found)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def _keys(values: np.ndarray) -> np.ndarray:
    """The values as uint32 that sort in the same order: all bits of a negative one flipped, else the sign alone."""
    bits = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    negative = (bits.view(np.int32) >> 31).view(np.uint32)  # all ones, or zero
    return bits ^ (negative | np.uint32(1 << 31))
