"""Which axis of an array is which: found where the shape leaves one answer, refused where it leaves two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from robustkit.data.readers.axes import arranged, fitted, in_words
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
        order: What each axis is, as `--axes` says it; empty where the fields above say all.
    """

    channels: Channels
    single: bool
    note: str
    lead: int = 0
    order: str = ""

    @property
    def whole(self) -> bool:
        """Whether the array has to be read whole, because its first axis does not count images."""
        return self.single or self.order[:1] not in ("", "N")

    def count(self, shape: tuple[int, ...]) -> int:
        """How many images an array of this shape holds."""
        if self.order:
            return shape[self.order.index("N")] if "N" in self.order else 1
        return 1 if self.single else shape[0]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The array, or some of its rows, as a view of shape (n, C, H, W)."""
        if self.order:
            return arranged(array, self.order)
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
    order = options.axes or _last_images(shape, options, labelled)
    if order:
        order = fitted(order, shape, name)
        return Layout("first", False, in_words(order, shape), order=order)
    if len(shape) > 4 and (shape[0] != 1 or set(shape[:-3]) != {1}):
        return _more_axes(shape, options, name, labelled)
    if len(shape) == 4 and options.channels != "none":
        return _layout(shape[1:], options, f"{name} of shape {shape}", shape)
    if len(shape) == 3 and shape[0] == 1 and options.channels != "last":  # one image of one band, either way
        return Layout("none", False, f"channel axis: none in {shape}; one band")
    if len(shape) > 4 and set(shape[:-4]) == {1} and shape[-4] == 1:
        lead = len(shape) - 4
        inside = set_layout(shape[lead:], options, name, labelled=labelled)
        return replace(inside, lead=lead, note=f"{lead} axes of length 1 in {shape} left out; {inside.note}")
    if len(shape) == 3:
        if options.channels is None and labelled != shape[0] and shape[0] == shape[1] != shape[2] > MOST_BANDS:
            raise InputError(
                f"{name} has shape {shape}, which may be {shape[2]} images of {shape[0]}x{shape[1]} along its last "
                f"axis or {shape[0]} images of {shape[1]}x{shape[2]}; give --axes HWN or --axes NHW"
            )
        bands = len(options.bands) if options.bands else None
        if options.channels in ("first", "last") or (options.channels is None and bands and bands > 1):
            return image_layout(shape, options, name)
        if options.channels is None and bands is None and labelled != shape[0] and _small(shape):
            raise InputError(
                f"{name} has shape {shape}, which may be one image with bands or several of one band; give "
                "--channels first or last for one image, --channels none for several"
            )
        return Layout("none", False, f"channel axis: none in {shape}; one band")
    if len(shape) == 2:
        raise InputError(
            f"{name} has shape {shape}: one image, which --axes HW says, or {shape[0]} images whose {shape[1]} pixels "
            "stand in a row, to be written as (N, C, H, W) first"
        )
    raise InputError(
        f"{name} has shape {shape}; expected (N, C, H, W), (N, H, W, C), (N, H, W) with --channels none, or a letter "
        "for each axis with --axes"
    )


def _last_images(shape: tuple[int, ...], options: Options, labelled: int | None) -> str:
    """The axes of an array that counts images along its last axis, as the labels say; empty for any other."""
    if labelled is None or labelled != shape[-1] or labelled == shape[0] or options.channels not in (None, "none"):
        return ""
    if len(shape) == 3:
        return "HWN" if shape[0] == shape[1] else ""
    able = _fitting(shape[:3], len(options.bands)) if options.bands else _small(shape[:3])
    if len(shape) != 4 or len(able) != 1:
        return ""
    return "CHWN" if able[0] == "first" else "HWCN"


def _more_axes(shape: tuple[int, ...], options: Options, name: str, labelled: int | None) -> Layout:
    """The layout of an array of five axes or more: those of length 1 say nothing, and visits have to be named."""
    extra = len(shape) - 4
    ones = [axis for axis, size in enumerate(shape) if axis and size == 1][:extra]
    if len(ones) == extra:
        inside = set_layout(tuple(size for axis, size in enumerate(shape) if axis not in ones), options, name,
                            labelled=labelled)  # fmt: skip
        rest = iter(inside.order or ("NHWC" if inside.channels == "last" else "NCHW"))
        order = "".join("0" if axis in ones else next(rest) for axis in range(len(shape)))
        return Layout("first", False, f"{extra} axes of length 1 in {shape} left out; {inside.note}", order=order)
    if len(shape) == 5:
        able = _fitting(shape[2:], len(options.bands)) if options.bands else _small(shape[2:])
        order = "HWC" if options.channels == "last" or able == ["last"] else "CHW"
        raise InputError(
            f"{name} has shape {shape}, five axes: if they are {shape[0]} images of {shape[1]} visits each, give "
            f"--axes NV{order} for the mean of the visits, or --axes N0{order} for the first of them"
        )
    raise InputError(f"{name} has shape {shape}, {len(shape)} axes; say which is which with --axes, such as NVCHW")


def image_layout(shape: tuple[int, ...], options: Options, name: str) -> Layout:
    """The layout of an array that holds one image: (H, W), (C, H, W) or (H, W, C).

    Raises:
        InputError: If the shape can be read in two ways, or in none.
    """
    if options.axes:
        order = fitted(options.axes, shape, name)
        if "N" in order:
            raise InputError(f"--axes {order} counts images, and {name} is one image; give a digit for that axis, or 0")
        return Layout("first", True, in_words(order, shape), order=order)
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
                f"cannot tell which axis of {name} holds the bands; give --channels first or --channels last, or, "
                "where images do not stand along the first axis, a letter for each, such as --axes HWCN"
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
