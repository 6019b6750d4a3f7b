"""Stretches: the fixed map from calibrated pixel values to what a network sees.

A stretch is fitted once, on source training images, and then applied unchanged to every other set. (Refitted on a
noisier set, as in published code, it rescales that set by its own extremes and hides part of the noise.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch

from robustkit.errors import InputError

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def _like(values: tuple[float, ...], images: Array) -> Array:
    """Per-band constants as (C, 1, 1), of the kind, dtype and device of `images`."""
    if isinstance(images, torch.Tensor):
        return images.new_tensor(values)[:, None, None]
    return np.asarray(values, dtype=images.dtype)[:, None, None]


def _map(images: Array, torch_function: Callable[..., torch.Tensor], numpy_function: Callable[..., Any]) -> Array:
    return torch_function(images) if isinstance(images, torch.Tensor) else numpy_function(images)


def _clip(images: Array, low: tuple[float, ...], high: tuple[float, ...]) -> Array:
    if isinstance(images, torch.Tensor):
        return torch.clamp(images, _like(low, images), _like(high, images))
    return np.clip(images, _like(low, images), _like(high, images))


def percentiles(images: np.ndarray, q: tuple[float, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two percentiles of each band over all images and pixels.

    Args:
        images: Shape (N, C, H, W).
        q: The two percentages, in [0, 100].
    """
    per_band = [np.percentile(images[:, band], q) for band in range(images.shape[1])]
    return tuple(float(low) for low, _ in per_band), tuple(float(high) for _, high in per_band)


class Stretch:
    """Base of the stretches: images in, images out, NumPy arrays or tensors of shape (..., C, H, W).

    Attributes:
        name: The name on the command line and in checkpoints.
        invertible: Whether `inverse` recovers the pixels that were not clipped.
    """

    name: ClassVar[str]
    invertible: ClassVar[bool] = True

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
        fields = asdict(self)  # type: ignore[call-overload]
        return {"name": self.name} | {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}


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
        value = _map(_clip(images, self.low, self.high) * self.c, torch.asinh, np.arcsinh)
        return (value + 1) / 2 if self.unit else value

    def inverse(self, images: Array) -> Array:
        """Network input to calibrated values, exact where nothing was clipped."""
        return _map(images * 2 - 1 if self.unit else images, torch.sinh, np.sinh) / self.c


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
        original = _map(mean * self.softening, torch.sinh, np.sinh) * (self.stretch / self.softening)
        return images / self._factor(original) + _like(self.minimum, images)

    def _factor(self, mean: Array) -> Array:
        """The scale factor at a mean intensity: arcsinh(Q I / w) / (Q I), with its limit 1 / w at 0."""
        x = mean * (self.softening / self.stretch)
        if isinstance(x, torch.Tensor):
            safe = torch.where(x.abs() < 1e-4, torch.ones_like(x), x)
            ratio = torch.where(x.abs() < 1e-4, torch.ones_like(x), torch.asinh(safe) / safe)
        else:
            safe = np.where(np.abs(x) < 1e-4, np.ones_like(x), x)
            ratio = np.where(np.abs(x) < 1e-4, np.ones_like(x), np.arcsinh(safe) / safe)
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
        if len(self.mean) != len(self.std) or not all(value > 0 for value in self.std):
            raise InputError(f"expected one mean and one std above 0 for each band, came {self.mean} and {self.std}")

    @classmethod
    def fit(cls, images: np.ndarray) -> Self:
        """Takes mean and standard deviation from training images, shape (N, C, H, W)."""
        axes = (0, 2, 3)
        mean = images.mean(axes, dtype=np.float64)
        return cls(mean=tuple(map(float, mean)), std=tuple(map(float, images.std(axes, dtype=np.float64))))

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
        if isinstance(images, torch.Tensor):
            low, high = images.amin((-3, -2, -1), keepdim=True), images.amax((-3, -2, -1), keepdim=True)
            return (images - low) / torch.where(high > low, high - low, torch.ones_like(low))
        low, high = images.min((-3, -2, -1), keepdims=True), images.max((-3, -2, -1), keepdims=True)
        return (images - low) / np.where(high > low, high - low, np.ones_like(low))

    def inverse(self, images: Array) -> Array:
        """Refused: the image's own extremes are gone."""
        raise InputError("a per-image min-max stretch cannot be inverted; give the images before the stretch")


@dataclass(frozen=True)
class IdentityStretch(Stretch):
    """The images are what the network sees."""

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


def stretch_from_json(value: dict[str, Any]) -> Stretch:
    """Rebuilds a stretch from `Stretch.to_json`.

    Raises:
        InputError: If the name or the constants are not known.
    """
    fields = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items() if key != "name"}
    name = value.get("name")
    if name not in STRETCHES:
        raise InputError(f"unknown stretch {name!r}; known are {', '.join(STRETCHES)}")
    try:
        return STRETCHES[name](**fields)
    except TypeError as error:
        raise InputError(f"the constants of the {name} stretch do not fit: {error}") from error
