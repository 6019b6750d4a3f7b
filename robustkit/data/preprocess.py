"""What is done to images before any stretch: resize, crop, pad, grey, rgb, invert, each in torchvision's meaning.

A step is text, such as `resize 64 64`, in a model card, in Python and, with two dashes before it, on the command line.
Steps are taken in the order in which they are given. Pictures of 8 bits stay so, as with torchvision on PIL images,
and everything else is computed in float32, as with torchvision on tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from robustkit.errors import InputError

Bounds = tuple[float, float]
_GREY = (0.2989, 0.587, 0.114)  # of float images, as torchvision writes them; Pillow takes 0.299 for pictures


class ImageStep(Protocol):
    """One step, from images (N, C, H, W) to images (N, C', H', W')."""

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """The images after it; `bounds` is the range of a pixel where it is known."""
        ...

    @property
    def words(self) -> str:
        """What it does, for notes."""
        ...


@dataclass(frozen=True)
class Resize:
    """Bilinear and antialiased, as `torchvision.transforms.Resize`: to (H, W), or the shorter side to S."""

    size: tuple[int, ...]

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """Shape (N, C, *size), or of the same aspect."""
        height, width = self.sides(images.shape[2], images.shape[3])
        if images.shape[2:] == (height, width):
            return images
        exact = images.dtype == np.uint8
        planes = images if exact else images.astype(np.float32)
        out = np.empty((*images.shape[:2], height, width), dtype=planes.dtype)
        for place in np.ndindex(images.shape[:2]):
            plane = Image.fromarray(np.ascontiguousarray(planes[place]))
            out[place] = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
        return out

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after it."""
        if len(self.size) == 2:
            return self.size[0], self.size[1]
        short = self.size[0]
        if width <= height:
            return int(short * height / width), short
        return short, int(short * width / height)

    @property
    def words(self) -> str:
        """What it does."""
        to = f"to {self.size[0]}x{self.size[1]}" if len(self.size) == 2 else f"the shorter side to {self.size[0]}"
        return f"resize {to} (bilinear, antialiased)"


@dataclass(frozen=True)
class Crop:
    """About the centre, as `torchvision.transforms.CenterCrop`; what is smaller is padded with 0 first."""

    size: tuple[int, int]

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """Shape (N, C, *size)."""
        short = [max(0, wanted - side) for wanted, side in zip(self.size, images.shape[2:], strict=True)]
        if any(short):
            around = [(side // 2, (side + 1) // 2) for side in short]
            images = np.pad(images, [(0, 0), (0, 0), *around])
        starts = [round((side - wanted) / 2) for wanted, side in zip(self.size, images.shape[2:], strict=True)]
        rows, columns = (slice(a, a + wanted) for a, wanted in zip(starts, self.size, strict=True))
        return images[:, :, rows, columns]

    @property
    def words(self) -> str:
        """What it does."""
        return f"crop to {self.size[0]}x{self.size[1]} about the centre"


@dataclass(frozen=True)
class Pad:
    """With 0, as `torchvision.transforms.Pad`: left, top, right and bottom."""

    sides: tuple[int, int, int, int]

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """Shape (N, C, H + top + bottom, W + left + right)."""
        left, top, right, bottom = self.sides
        return np.pad(images, [(0, 0), (0, 0), (top, bottom), (left, right)])

    @property
    def words(self) -> str:
        """What it does."""
        return f"pad by {' '.join(map(str, self.sides))} (left, top, right, bottom) with 0"


@dataclass(frozen=True)
class Grey:
    """Three bands to one, or to three equal ones, as `torchvision.transforms.Grayscale`."""

    bands: int = 1

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """Shape (N, bands, H, W)."""
        count = images.shape[1]
        if count not in (1, 3):
            raise InputError(f"--grey makes one band of three, and the images have {count}; leave --grey out")
        if count == 3:
            images = _grey_picture(images) if images.dtype == np.uint8 else _grey_values(images)
        return np.repeat(images, self.bands, axis=1) if self.bands > 1 else images

    @property
    def words(self) -> str:
        """What it does."""
        to = "" if self.bands == 1 else ", as three equal bands"
        return f"grey = 0.299 R + 0.587 G + 0.114 B{to}"


@dataclass(frozen=True)
class Colour:
    """Grey images as three equal bands beside colours as they are, as `torchvision.transforms.v2.RGB`."""

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """Shape (N, 3, H, W)."""
        if images.shape[1] not in (1, 3):
            raise InputError(f"--rgb is for images of one band or three, and these have {images.shape[1]}; omit --rgb")
        return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images

    @property
    def words(self) -> str:
        """What it does."""
        return "rgb (grey as three equal bands)"


@dataclass(frozen=True)
class Invert:
    """The range of a pixel turned around, as `torchvision.transforms.functional.invert`: 255 - x for pictures."""

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """The same shape."""
        if images.dtype == np.uint8:
            return 255 - images
        if bounds is None:
            raise InputError(
                "--invert turns the range of a pixel around, and the images do not state theirs; say it with "
                "--image-range LOW HIGH"
            )
        return np.float32(bounds[0] + bounds[1]) - images.astype(np.float32)

    @property
    def words(self) -> str:
        """What it does."""
        return "invert (low + high - x)"


@dataclass(frozen=True)
class Fit:
    """Cut or padded about the centre, with the median of the border, to the size that a network takes."""

    size: tuple[int, int]

    def __call__(self, images: np.ndarray, bounds: Bounds | None) -> np.ndarray:
        """Shape (N, C, *size)."""
        if images.shape[2:] == self.size:
            return images
        rows, columns = (_overlap(old, new) for old, new in zip(images.shape[2:], self.size, strict=True))
        fitted = np.empty((*images.shape[:2], *self.size), dtype=np.float32)
        fitted[...] = _border_median(images)[:, :, None, None]
        fitted[:, :, rows[1], columns[1]] = images[:, :, rows[0], columns[0]]
        return fitted

    @property
    def words(self) -> str:
        """What it does."""
        return f"cut or pad to {self.size[0]}x{self.size[1]} about the centre, with the median of the border"


def parse_steps(texts: Sequence[str]) -> tuple[ImageStep, ...]:
    """Steps from their texts, such as `resize 64 64`.

    Args:
        texts: `resize H W` or `resize S`; `crop H W` or `crop S`; `pad N`, `pad X Y` or `pad LEFT TOP RIGHT BOTTOM`;
            `grey` or `grey 3`; `rgb`; `invert`; `fit H W`.

    Raises:
        InputError: If one is none of these.

    Examples:
        >>> parse_steps(["resize 64", "grey"])
        (Resize(size=(64,)), Grey(bands=1))
    """
    return tuple(_parse(text) for text in texts)


def _parse(text: str) -> ImageStep:
    name, *words = str(text).split() or [""]
    try:
        numbers = tuple(int(word) for word in words)
    except ValueError:
        numbers = (-1,)
    positive = all(0 < number <= 1 << 16 for number in numbers)
    if name == "resize" and len(numbers) in (1, 2) and positive:
        return Resize(numbers)
    if name in ("crop", "fit") and len(numbers) in (1, 2) and positive:
        return (Crop if name == "crop" else Fit)((numbers[0], numbers[-1]))
    if name == "pad" and len(numbers) in (1, 2, 4) and all(0 <= number <= 1 << 16 for number in numbers):
        return Pad((numbers * 4)[:4] if len(numbers) < 4 else numbers)  # type: ignore[arg-type]
    if name == "grey" and numbers in ((), (1,), (3,)):
        return Grey(*numbers)
    if name in ("rgb", "invert") and not numbers:
        return Colour() if name == "rgb" else Invert()
    raise InputError(
        f"expected one of --resize H W, --resize S, --crop H W, --pad PIXELS, --grey, --grey 3, --rgb and --invert, in "
        f"whole pixels, and got {text!r}"
    )


def acts(step: ImageStep, before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether a step did anything, by the shapes of the images before and after it."""
    return tuple(before) != tuple(after) or isinstance(step, Invert) or (isinstance(step, Grey) and before[1] == 3)


def kept_area(steps: Sequence[ImageStep], size: tuple[int, int]) -> float:
    """The share of an image's area that is left after all cutting, from 0 to 1."""
    kept, (height, width) = 1.0, size
    for step in steps:
        if isinstance(step, Resize):
            height, width = step.sides(height, width)
        elif isinstance(step, Pad):
            height, width = height + step.sides[1] + step.sides[3], width + step.sides[0] + step.sides[2]
        elif isinstance(step, Crop | Fit):
            kept *= min(1.0, step.size[0] / height) * min(1.0, step.size[1] / width)
            height, width = step.size
    return kept


def _grey_picture(images: np.ndarray) -> np.ndarray:
    """As Pillow converts RGB to L: weights of 16 bits, rounded."""
    red, green, blue = (images[:, band].astype(np.uint32) for band in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[:, None]


def _grey_values(images: np.ndarray) -> np.ndarray:
    values = images.astype(np.float32)
    return sum(np.float32(weight) * values[:, band : band + 1] for band, weight in enumerate(_GREY))  # type: ignore[return-value]


def _overlap(old: int, new: int) -> tuple[slice, slice]:
    """Where the pixels that stay are along one axis, before and after."""
    length = min(old, new)
    before, after = (old - length) // 2, (new - length) // 2
    return slice(before, before + length), slice(after, after + length)


def _border_median(images: np.ndarray) -> np.ndarray:
    """Median of the outermost pixels of each image and band, shape (N, C)."""
    inside = np.zeros(images.shape[2:], dtype=bool)
    inside[1:-1, 1:-1] = True
    return np.median(images[:, :, ~inside], axis=2)
