"""The stretch `unit`: the range of a pixel to 0 and 1, and what is said where nobody states that range."""

from __future__ import annotations

from robustkit.data.imageset import ImageSet
from robustkit.data.pixels import blocks
from robustkit.data.stretch import MeanStdStretch, Stretch
from robustkit.errors import InputError


def extremes(images: ImageSet) -> tuple[float, float]:
    """Lowest and highest value of all images."""
    ends = [(float(block.min()), float(block.max())) for block in blocks(images.images)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def likely_range(low: float, high: float) -> str:
    """What to type after --image-range, as far as the values show it."""
    if low >= 0:
        for white in (1, 255, 65535):
            if high <= white:
                return f" 0 {white}"
    return " LOW HIGH"


def unit_stretch(images: ImageSet | None, bands: int, notes: list[str]) -> Stretch:
    """The range of the images to 0 and 1, and no more.

    Args:
        images: The images, whose range counts.
        bands: C.
        notes: Receives what was done.

    Raises:
        InputError: If the images do not state their range and do not lie from 0 to 1.
    """
    if images is None:
        return MeanStdStretch((0.0,) * bands, (1.0,) * bands)
    bounds = images.bounds
    if bounds is None:
        low, high = extremes(images)
        if low < 0 or high > 1:
            raise InputError(
                f"--stretch unit brings the range of the images to 0 and 1, and they do not state theirs (their values "
                f"go from {low:g} to {high:g}); say it with --image-range{likely_range(low, high)}"
            )
        notes.append(f"stretch: the values go from {low:g} to {high:g} already, so --stretch unit has no effect")
        bounds = (0.0, 1.0)
    else:
        notes.append(f"stretch: {bounds[0]:g} to {bounds[1]:g} becomes 0 to 1")
    return MeanStdStretch((bounds[0],) * bands, (bounds[1] - bounds[0],) * bands)
