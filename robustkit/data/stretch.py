"""Stretches: the fixed map from calibrated pixel values to network input.

A stretch is fitted once, on source training images, and then applied unchanged to every other set. (Refitted on a
noisier set, as in published code, it rescales that set by its own extremes and hides part of the noise.)
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from robustkit.data.pixels import moments, percentiles
from robustkit.errors import InputError
from robustkit.words import no_such

if TYPE_CHECKING:  # images can be stretched as NumPy arrays before anyone needs torch
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")


def _library(images: Any) -> Any:
    """The library that the images belong to: both spell the functions below alike."""
    if isinstance(images, np.ndarray | np.generic):  # arithmetic on an array without axes gives a scalar
        return np
    import torch

    return torch


def _like(values: tuple[float, ...], images: Any) -> Any:
    """Per-band constants as (C, 1, 1), of the kind, dtype and device of `images`."""
    if images.ndim < 3 or images.shape[-3] != len(values):
        raise InputError(
            f"the stretch was fitted on {len(values)} bands and the images have shape {tuple(images.shape)}; "
            f"expected (..., {len(values)}, H, W)"
        )
    if isinstance(images, np.ndarray):
        return np.asarray(values, dtype=images.dtype)[:, None, None]
    return images.new_tensor(values)[:, None, None]


class Stretch:
    """Base of the stretches: images in, images out, NumPy arrays or tensors of shape (..., C, H, W).

    Attributes:
        name: The name on the command line and in checkpoints.
        invertible: Whether `inverse` recovers the pixels that were not clipped.
    """

    name: ClassVar[str]
    invertible: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            for number in value if isinstance(value, tuple) else (value,):
                if not isinstance(number, int | float) or not math.isfinite(number):
                    raise InputError(f"expected finite numbers for {key} of the {self.name} stretch, got {value!r}")

    @classmethod
    def fit(cls, images: np.ndarray) -> Self:
        """Takes the constants from training images, shape (N, C, H, W)."""
        raise NotImplementedError

    def __call__(self, images: Array) -> Array:
        """Calibrated values to network input."""
        raise NotImplementedError

    def inverse(self, images: Array) -> Array:
        """Network input to calibrated values, exact where nothing was clipped."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The stretch as JSON values; `stretch_from_json` reads them."""
        constants = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return {"name": self.name} | constants


@dataclass(frozen=True)
class ArcsinhStretch(Stretch):
    """Clip per band, then arcsinh(c x), then [-1, 1] to [0, 1], as in DeepAdversaries.

    Attributes:
        low: Lower clip of each band, in calibrated units.
        high: Upper clip of each band, in calibrated units.
        c: Softening, in one over calibrated units: `softening` / the largest clipped value of all bands.
        unit: Whether v becomes (v + 1) / 2 at the end, as the published code does.

    Source: Ciprijanovic et al. 2022, section 2.2, doi:10.1088/2632-2153/ac7f1a.
    """

    name: ClassVar[str] = "arcsinh"
    low: tuple[float, ...]
    high: tuple[float, ...]
    c: float
    unit: bool = True

    @classmethod
    def fit(cls, images: np.ndarray, *, softening: float = 0.85, q: tuple[float, float] = (0.1, 99.9)) -> Self:
        """Takes the clips and c from training images, shape (N, C, H, W)."""
        low, high = percentiles(images, q)
        top = max(high)
        if not top > 0:
            raise InputError(
                f"the arcsinh stretch needs pixels above zero, but the {q[1]} percentile of the brightest band is "
                f"{top:g}; check the units of the images or use another stretch"
            )
        return cls(low=low, high=high, c=softening / top)

    def __call__(self, images: Array) -> Array:
        """Calibrated values to network input."""
        library = _library(images)
        clipped = library.clip(images, _like(self.low, images), _like(self.high, images))
        value = library.arcsinh(clipped * self.c)
        return (value + 1) / 2 if self.unit else value

    def inverse(self, images: Array) -> Array:
        """Network input to calibrated values, exact where nothing was clipped."""
        return _library(images).sinh(images * 2 - 1 if self.unit else images) / self.c


@dataclass(frozen=True)
class LuptonStretch(Stretch):
    """The colour-preserving arcsinh: bands are scaled by one factor that depends on their mean.

    Attributes:
        minimum: The value of each band that becomes 0.
        softening: Q: how strongly bright pixels are compressed, above 0.
        stretch: The mean intensity, in calibrated units, up to which the map is nearly linear.

    Source: Lupton et al. 2004, doi:10.1086/382245.
    """

    name: ClassVar[str] = "lupton"
    minimum: tuple[float, ...]
    softening: float
    stretch: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.softening > 0 and self.stretch > 0):
            raise InputError(f"expected softening and stretch above 0, got {self.softening} and {self.stretch}")

    @classmethod
    def fit(cls, images: np.ndarray, *, softening: float = 8.0) -> Self:
        """Takes the minimum (the median) and the linear range (99.5 percentile) from images (N, C, H, W)."""
        minimum, high = percentiles(images, (50.0, 99.5))
        width = float(np.mean(np.subtract(high, minimum)))
        if not width > 0:
            raise InputError("the Lupton stretch needs images that are not constant; use another stretch")
        return cls(minimum=minimum, softening=softening, stretch=width)

    def __call__(self, images: Array) -> Array:
        """Calibrated values to network input."""
        shifted = images - _like(self.minimum, images)
        mean = shifted.mean(-3)[..., None, :, :]
        return shifted * self._factor(mean)

    def inverse(self, images: Array) -> Array:
        """Network input to calibrated values."""
        mean = images.mean(-3)[..., None, :, :]
        original = _library(images).sinh(mean * self.softening) * (self.stretch / self.softening)
        return images / self._factor(original) + _like(self.minimum, images)

    def _factor(self, mean: Any) -> Any:
        """The scale factor at a mean intensity: arcsinh(Q I / w) / (Q I), with its limit 1 / w at 0."""
        library = _library(mean)
        x = mean * (self.softening / self.stretch)
        small = library.abs(x) < 1e-4
        safe = library.where(small, library.ones_like(x), x)
        ratio = library.where(small, library.ones_like(x), library.arcsinh(safe) / safe)
        return ratio / self.stretch


@dataclass(frozen=True)
class MeanStdStretch(Stretch):
    """Subtract each band's mean and divide by its standard deviation.

    Attributes:
        mean: Mean of each band over the training pixels.
        std: Standard deviation of each band over the training pixels, above 0.
    """

    name: ClassVar[str] = "meanstd"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) != len(self.std) or not all(value > 0 for value in self.std):
            raise InputError(f"expected one mean and one std above 0 for each band, got {self.mean} and {self.std}")

    @classmethod
    def fit(cls, images: np.ndarray) -> Self:
        """Takes mean and standard deviation from training images, shape (N, C, H, W)."""
        mean, std = moments(images)
        return cls(mean=mean, std=std)

    def __call__(self, images: Array) -> Array:
        """Calibrated values to network input."""
        return (images - _like(self.mean, images)) / _like(self.std, images)

    def inverse(self, images: Array) -> Array:
        """Network input to calibrated values."""
        return images * _like(self.std, images) + _like(self.mean, images)


@dataclass(frozen=True)
class MinMaxStretch(Stretch):
    """Map every image's own minimum and maximum to 0 and 1. It cannot be undone, and one hot pixel rescales all."""

    name: ClassVar[str] = "minmax"
    invertible: ClassVar[bool] = False

    @classmethod
    def fit(cls, images: np.ndarray) -> Self:
        """Nothing is learned."""
        return cls()

    def __call__(self, images: Array) -> Array:
        """Calibrated values to network input; a constant image becomes 0."""
        library = _library(images)
        low = library.amin(images, axis=(-3, -2, -1), keepdims=True)
        high = library.amax(images, axis=(-3, -2, -1), keepdims=True)
        return (images - low) / library.where(high > low, high - low, library.ones_like(low))

    def inverse(self, images: Array) -> Array:
        """Refused: the image's own extremes are gone."""
        raise InputError("a per-image min-max stretch cannot be inverted; give the images before the stretch")


@dataclass(frozen=True)
class IdentityStretch(Stretch):
    """The images are network input already."""

    name: ClassVar[str] = "none"

    @classmethod
    def fit(cls, images: np.ndarray) -> Self:
        """Nothing is learned."""
        return cls()

    def __call__(self, images: Array) -> Array:
        """The images, unchanged."""
        return images

    def inverse(self, images: Array) -> Array:
        """The images, unchanged."""
        return images


STRETCHES: dict[str, type[Stretch]] = {
    kind.name: kind for kind in (ArcsinhStretch, LuptonStretch, MeanStdStretch, MinMaxStretch, IdentityStretch)
}


def fit_stretch(name: str, images: np.ndarray, **settings: Any) -> Stretch:
    """Fits the stretch of this name on training images.

    Args:
        name: A name in `STRETCHES`.
        images: Shape (N, C, H, W); may be memory-mapped and larger than memory.
        settings: Settings of that stretch, such as `softening`.

    Raises:
        InputError: If the name or a setting is not known.
    """
    kind = _kind(name)
    known = list(inspect.signature(kind.fit).parameters)[1:]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(
            f"the {name} stretch has no setting {', '.join(unknown)}; its settings are {', '.join(known) or 'none'}"
        )
    return kind.fit(images, **settings)


def stretch_from_json(value: dict[str, Any]) -> Stretch:
    """Rebuilds a stretch from `Stretch.to_json`.

    Raises:
        InputError: If the name or the constants are not known.
    """
    if not isinstance(value, dict):
        raise InputError(f"expected a stretch as a JSON object with a name, got {value!r}")
    constants = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items() if key != "name"}
    kind = _kind(value.get("name"))
    try:
        return kind(**constants)
    except TypeError as error:
        raise InputError(f"the constants of the {kind.name} stretch do not fit: {error}") from error


def _kind(name: Any) -> type[Stretch]:
    if not isinstance(name, str) or name not in STRETCHES:
        raise InputError(no_such("stretch", name, STRETCHES))
    return STRETCHES[name]
