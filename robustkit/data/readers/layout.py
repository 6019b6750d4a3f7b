"""Which axis of an array is which: found where the shape leaves one answer, refused where it leaves two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from robustkit.data.readers.found import Channels, Options
from robustkit.errors import InputError

MOST_BANDS = 16  # an axis longer than this is taken for the bands only when stated


@dataclass(frozen=True)
class Layout:
    """How to turn an array into (N, C, H, W).

    Attributes:
        channels: Where the bands are in one image; `none` for a single band without an axis.
        single: Whether the array is one image and lacks the first axis.
        note: What was found, in words.
        lead: How many first axes of length 1 are left out.
    """

    channels: Channels
    single: bool
    note: str
    lead: int = 0

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The array, or some of its rows, as a view of shape (n, C, H, W)."""
        array = array.reshape(array.shape[self.lead :]) if self.lead else array
        array = array[None] if self.single else array
        if self.channels == "none":
            return array[:, None]
        return np.moveaxis(array, -1, 1) if self.channels == "last" else array


def set_layout(shape: tuple[int, ...], options: Options, name: str, *, labelled: int | None = None) -> Layout:
    """The layout of an array that holds a set of images.

    Args:
        shape: The array's shape.
        options: `channels` and `bands` decide where the shape alone does not.
        name: What to call the array in an error.
        labelled: How many labels there are, where that is known.

    Raises:
        InputError: If the shape can be read in two ways, or in none.
    """
    if len(shape) == 4 and options.channels != "none":
        return _layout(shape[1:], options, f"{name} of shape {shape}", shape)
    if len(shape) == 3 and shape[0] == 1 and options.channels != "last":  # one image of one band, either way
        return Layout("none", False, f"channel axis: none in {shape}; one band")
    if len(shape) > 4 and set(shape[:-4]) == {1} and shape[-4] == 1:
        lead = len(shape) - 4
        inside = set_layout(shape[lead:], options, name, labelled=labelled)
        return replace(inside, lead=lead, note=f"{lead} axes of length 1 in {shape} left out; {inside.note}")
    if len(shape) == 3:
        bands = len(options.bands) if options.bands else None
        if options.channels in ("first", "last") or (options.channels is None and bands and bands > 1):
            return image_layout(shape, options, name)
        if options.channels is None and bands is None and labelled != shape[0] and _small(shape):
            raise InputError(
                f"{name} has shape {shape}, which may be one image with bands or several of one band; give "
                "--channels first or last for one image, --channels none for several"
            )
        return Layout("none", False, f"channel axis: none in {shape}; one band")
    raise InputError(
        f"{name} has shape {shape}; expected (N, C, H, W), (N, H, W, C), or (N, H, W) with --channels none"
    )


def image_layout(shape: tuple[int, ...], options: Options, name: str) -> Layout:
    """The layout of an array that holds one image: (H, W), (C, H, W) or (H, W, C).

    Raises:
        InputError: If the shape can be read in two ways, or in none.
    """
    lead = next((i for i, side in enumerate(shape) if side != 1), 0) if len(shape) > 2 else 0
    lead = min(lead, len(shape) - 2)
    if lead and (len(shape) - lead == 2 or len(shape) > 3):  # of radio images: frequency and Stokes
        plain = replace(options, channels=None) if len(shape) - lead == 2 else options
        inside = image_layout(shape[lead:], plain, name)
        return replace(inside, lead=lead, note=f"{lead} axes of length 1 in {shape} left out; {inside.note}")
    if len(shape) == 2 and options.channels in (None, "none"):
        return Layout("none", True, f"channel axis: none in {shape}; one band")
    if len(shape) == 3 and options.channels != "none":
        layout = _layout(shape, options, f"{name} of shape {shape}", shape)
        return Layout(layout.channels, True, layout.note)
    raise InputError(f"{name} has shape {shape}; expected one image of shape (H, W), (C, H, W) or (H, W, C)")


def _layout(sides: tuple[int, ...], options: Options, name: str, shape: tuple[int, ...]) -> Layout:
    """The layout of images of these three sides."""
    if options.channels is None:
        able = _fitting(sides, len(options.bands)) if options.bands else _small(sides)
        if len(able) != 1:
            raise InputError(
                f"cannot tell which axis of {name} holds the bands; give --channels first or --channels last"
            )
        channels = able[0]
    else:
        channels = options.channels
    moved = "; moved first" if channels == "last" else ""
    return Layout(channels, False, f"channel axis: {channels} in {shape}{moved}")


def _small(sides: tuple[int, ...]) -> list[Channels]:
    """The ends of three sides that are short enough for bands: at most 16 and shorter than both others."""
    first, middle, last = sides
    found: list[Channels] = []
    if first <= MOST_BANDS and first < min(middle, last):
        found.append("first")
    if last <= MOST_BANDS and last < min(first, middle):
        found.append("last")
    return found


def _fitting(sides: tuple[int, ...], bands: int) -> list[Channels]:
    """The ends of three sides that are as long as there are bands."""
    ends: tuple[tuple[Channels, int], ...] = (("first", sides[0]), ("last", sides[-1]))
    return [end for end, length in ends if length == bands]
