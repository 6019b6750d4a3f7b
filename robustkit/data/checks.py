"""What must hold, or be known, before images are audited: every pixel finite, and which images are the same."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.data.pixels import blocks
from robustkit.errors import InputError
from robustkit.progress import progress

SHOWN = 3


@dataclass(frozen=True)
class Scan:
    """What one pass over the pixels shows.

    Attributes:
        nonfinite: How many pixels are NaN or infinite.
        places: The first of them, each (image, band, row, column).
        duplicates: Groups of images that are equal in every pixel, by position.
    """

    nonfinite: int
    places: tuple[tuple[int, int, int, int], ...]
    duplicates: tuple[tuple[int, ...], ...]


def scan_images(images: np.ndarray) -> Scan:
    """Looks for pixels that are not finite and for equal images, in one pass and bounded memory.

    Args:
        images: Shape (N, C, H, W), float32; may be memory-mapped.
    """
    nonfinite, start = 0, 0
    places: list[tuple[int, int, int, int]] = []
    by_sum: dict[float, list[int]] = defaultdict(list)
    with progress(total=len(images), label="checking images", unit="images") as bar:
        for block in blocks(images):
            with np.errstate(invalid="ignore"):
                sums = block.sum((1, 2, 3), dtype=np.float64)  # finite where, and only where, all float32 pixels are
            for index in np.flatnonzero(~np.isfinite(sums)):
                bad = np.argwhere(~np.isfinite(block[index]))
                nonfinite += len(bad)
                for band, row, column in bad[: SHOWN - len(places)]:
                    places.append((start + int(index), int(band), int(row), int(column)))
            for index, value in enumerate(sums.tolist()):
                by_sum[value].append(start + index)
            start += len(block)
            bar.update(len(block))
    return Scan(nonfinite, tuple(places), _equal_images(images, by_sum))


def _equal_images(images: np.ndarray, by_sum: dict[float, list[int]]) -> tuple[tuple[int, ...], ...]:
    """Groups of equal images among those whose sums are equal."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for positions in by_sum.values():
        for position in positions if len(positions) > 1 else ():
            groups[hashlib.sha256(np.ascontiguousarray(images[position]).data).digest()].append(position)
    return tuple(sorted(tuple(group) for group in groups.values() if len(group) > 1))


def refuse_nonfinite(scan: Scan, ids: Sequence[str] | np.ndarray, bands: Sequence[str]) -> None:
    """Refuses images with NaN or infinite pixels, naming the first.

    Raises:
        InputError: If there are any.
    """
    if not scan.nonfinite:
        return
    first = "; ".join(
        f"{ids[image]!s} band {bands[band]} row {row} column {column}" for image, band, row, column in scan.places
    )
    pixels = "pixel is" if scan.nonfinite == 1 else "pixels are"
    raise InputError(
        f"{scan.nonfinite} {pixels} NaN or infinite, first: {first}; mask them first, or give --nan fill to replace "
        "them by the median of their image and band"
    )


def duplicate_note(scan: Scan, ids: Sequence[str] | np.ndarray, parts: Sequence[str] | None = None) -> str | None:
    """One sentence on images that are identical, or `None`.

    Args:
        scan: What one pass over the pixels showed.
        ids: Its ids.
        parts: The part of a given split that each image is in, to tell where a duplicate leaks.
    """
    if not scan.duplicates:
        return None
    extra = sum(len(group) - 1 for group in scan.duplicates)
    shown = "; ".join(" = ".join(str(ids[i]) for i in group[:SHOWN]) for group in scan.duplicates[:SHOWN])
    note = f"duplicates: {extra} of {len(ids)} images are identical to another in every pixel ({shown})"
    if parts is not None:
        leaking = sum(len({parts[i] for i in group}) > 1 for group in scan.duplicates)
        note += f"; {leaking} of these groups lie in more than one part of the split"
    return note
