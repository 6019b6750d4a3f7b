"""What physical perturbations must know of a set of images: sky, visits, noise, calibration, band by band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.data import ImageSet

INVERTED = "inverted stretch"
_PLAIN = "use --suite plain, which needs no units"


@dataclass(frozen=True, eq=False)
class Conditions:
    """How images were taken. Arrays have one value a band, shape (C,), float64.

    Attributes:
        bands: The C bands.
        scale: Stored value of one electron.
        sky: Sky electrons per pixel in the whole exposure, already subtracted.
        visits: How many visits make the exposure.
        read_noise: Electrons per pixel and visit.
        exposure: Seconds, all visits together.
        zero_point: Electrons per second from a source of AB magnitude 24.
        seeing: FWHM of point sources, arcsec.
        full_well: Electrons that a pixel holds in one visit.
        pixel_scale: Arcsec per pixel.
        origin: `declared` or `inverted stretch`.
    """

    bands: tuple[str, ...]
    scale: np.ndarray
    sky: np.ndarray
    visits: np.ndarray
    read_noise: np.ndarray
    exposure: np.ndarray
    zero_point: np.ndarray
    seeing: np.ndarray
    full_well: np.ndarray
    pixel_scale: float
    origin: str = "declared"

    def __post_init__(self) -> None:
        for name in ("scale", "sky", "visits", "exposure", "zero_point", "seeing", "full_well", "read_noise"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (len(self.bands),) or not np.isfinite(values).all() or (values < 0).any():
                raise InputError(f"expected {name} as one number of at least 0 for each band, got {values.tolist()}")
            if name not in ("sky", "read_noise") and not (values > 0).all():
                raise InputError(f"expected {name} above 0 in every band, got {values.tolist()}")
            object.__setattr__(self, name, values)
        if not (np.isfinite(self.pixel_scale) and self.pixel_scale > 0):
            raise InputError(f"expected a pixel scale above 0 arcsec, got {self.pixel_scale}")

    @property
    def background(self) -> np.ndarray:
        """Variance of an empty pixel, electrons squared, shape (C,): sky and read noise of all visits."""
        return self.sky + self.visits * self.read_noise**2

    def like(self, values: np.ndarray, images: Tensor) -> Tensor:
        """Values of each band as (C, 1, 1), of the kind and on the device of the images."""
        return torch.as_tensor(values, dtype=images.dtype, device=images.device)[:, None, None]

    def exposed(self, fraction: float | np.ndarray) -> Conditions:
        """The conditions after a part of the exposure, one for all bands or one per band, on the same flux scale."""
        return replace(
            self,
            scale=self.scale / fraction,
            sky=self.sky * fraction,
            visits=self.visits * fraction,
            exposure=self.exposure * fraction,
        )

    def to_json(self) -> dict[str, Any]:
        """The conditions as JSON values."""
        found = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(self).items()}
        return {**found, "bands": list(self.bands)}  # as it is read back, so that shards are seen to agree


def conditions_of(images: ImageSet, instead: str = _PLAIN) -> Conditions:
    """Reads the conditions that an image set declares.

    Args:
        images: A set in electrons, whose `meta` is that of `robustkit.data.survey.Depth.meta`. One that was stretched
            is marked `inverted stretch`, because pixels that were clipped are lost.
        instead: What else a user can do where they are not declared, for the refusal.

    Raises:
        InputError: If the units are not electrons, or something is not declared.
    """
    if images.units != "electron":
        raise InputError(
            f"a perturbation in physical units needs images in electrons, and the units of these are {images.units}; "
            f"declare the units and the survey of the image set, or {instead}"
        )
    meta = images.meta
    seeing = "psf_fwhm" if "psf_fwhm" in meta else "seeing_fwhm"
    keys = ("scale", "sky_electron", "visits", "read_noise", "exposure_s", "zero_point", seeing, "full_well")
    missing = [key for key in (*keys, "pixel_scale") if key not in meta]
    if missing:
        raise InputError(
            f"the image set does not declare {', '.join(missing)}, which perturbations in physical units need; add "
            f"them to its meta, as `robustkit simulate` does, or {instead}"
        )
    values = [_by_band(meta[key], key, images.bands) for key in keys]
    origin = "declared" if images.stretch is None and INVERTED not in images.notes else INVERTED
    return Conditions(images.bands, *values, pixel_scale=float(meta["pixel_scale"]), origin=origin)


def calibrated(images: ImageSet) -> ImageSet:
    """The set before its stretch, in memory; one that was stretched is marked `inverted stretch`.

    Raises:
        InputError: If the stretch cannot be inverted.
    """
    if images.stretch is None:
        return images
    values = np.asarray(images.stretch.inverse(images.images), dtype=np.float32)
    return replace(images, images=values, stretch=None, notes=(*images.notes, INVERTED))


def _by_band(value: Any, key: str, bands: tuple[str, ...]) -> np.ndarray:
    try:
        chosen = [value[band] for band in bands] if isinstance(value, dict) else [value] * len(bands)
        return np.array([float(number) for number in chosen])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"expected {key} in the meta as a number, or one for each of {', '.join(bands)}") from error
