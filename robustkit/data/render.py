"""From the light of a galaxy to what a telescope would count without noise.

The sum is made in Fourier space: smooth profiles have analytic transforms (GalSim's), drawn maps are transformed once
at twice the pixel resolution, and atmosphere, telescope and pixel multiply. Nothing is convolved in real space, and
cusps of steep profiles need no oversampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import fft

from robustkit.data.survey import Survey
from robustkit.extras import require

# Maps are drawn at this many points a pixel, over this multiple of the stamp; Fourier space is this multiple wide.
_FINE = 2
_PATCH = 1.28
_PERIOD = 2


@dataclass(frozen=True)
class Profile:
    """A smooth component: an elliptical Sersic profile.

    Attributes:
        index: Sersic index, in [0.3, 6.2]; 1 is an exponential disc, 4 a de Vaucouleurs spheroid.
        radius: Half-light radius along the geometric mean of the axes, arcsec; 0 is a star.
        flux: In g, r, i, relative to AB magnitude 24.
        x: Position to the right of the centre of the stamp, arcsec.
        y: Position above it, arcsec.
        axis_ratio: Minor over major axis, in (0, 1].
        angle: Of the major axis, radians from the x axis.
    """

    index: float
    radius: float
    flux: tuple[float, float, float]
    x: float = 0.0
    y: float = 0.0
    axis_ratio: float = 1.0
    angle: float = 0.0


@dataclass(frozen=True, eq=False)
class Map:
    """A component that is drawn on the plane of a `Renderer`.

    Attributes:
        light: Surface brightness, shape (P, P), in any unit; only its shape matters.
        flux: In g, r, i, relative to AB magnitude 24.
        blur: Sigma of a Gaussian that smooths it, arcsec.
    """

    light: np.ndarray
    flux: tuple[float, float, float]
    blur: float = 0.0


@dataclass(frozen=True, eq=False)
class Galaxy:
    """A galaxy above the atmosphere, with what else is in its stamp.

    Attributes:
        id: Unique within its seed.
        label: Its class.
        parts: Its light.
        truth: Its catalogue row.
        seeing: The seeing at its place in the sky over the survey's mean.
    """

    id: str
    label: int
    parts: tuple[Profile | Map, ...]
    truth: dict[str, Any] = field(default_factory=dict)
    seeing: float = 1.0


class Plane:
    """Sky coordinates of the points at which maps are drawn.

    Args:
        size: Height and width of the stamp, pixels.
        pixel_scale: Arcsec per pixel.

    Attributes:
        x: Arcsec to the right of the centre, shape (1, P), float32.
        y: Arcsec above the centre, shape (P, 1), float32.
        step: Arcsec between points.
    """

    def __init__(self, size: int, pixel_scale: float) -> None:
        points = 2 * math.ceil(size * _FINE * _PATCH / 2)
        self.step = pixel_scale / _FINE
        line = ((np.arange(points) - (points - 1) / 2) * self.step).astype(np.float32)
        self.x, self.y = line[None, :], line[:, None]

    def __len__(self) -> int:
        return self.x.shape[1]


class Renderer:
    """Draws galaxies as one survey sees them.

    Args:
        survey: The survey.
        size: Height and width of the stamps, pixels.
    """

    def __init__(self, survey: Survey, size: int) -> None:
        self.galsim = require("galsim", extra="sim", purpose="simulate galaxies")
        self.survey, self.size = survey, size
        self.plane = Plane(size, survey.pixel_scale)
        # Whatever leaves one side of the period comes back on the other, so it is wider than the stamp.
        self._period = 2 * fft.next_fast_len(math.ceil(size * _PERIOD / 2), real=True)
        k = 2 * np.pi * fft.fftfreq(self._period, survey.pixel_scale)
        self._ky, self._kx = k[:, None], np.abs(k[None, : self._period // 2 + 1])
        self._step = 2 * np.pi / (self._period * survey.pixel_scale)
        self._centre = self._shift((self._period - 1) / 2 * survey.pixel_scale)
        self._patch_centre = self._shift(-(len(self.plane) - 1) / 2 * self.plane.step)

    def __call__(self, galaxy: Galaxy) -> np.ndarray:
        """Electrons per second from a galaxy.

        Returns:
            Rates, shape (C, H, W), float64, not below 0.
        """
        spectrum = np.zeros((len(self.survey.bands), *self._centre.shape), dtype=np.complex128)
        for part in galaxy.parts:
            light = self._profile(part) if isinstance(part, Profile) else self._map(part)
            for band, flux in enumerate(part.flux):
                spectrum[band] += flux * light
        for band, constants in enumerate(self.survey.bands):
            psf = self.galsim.Convolve(self.psf(band, galaxy.seeing), self.galsim.Pixel(self.survey.pixel_scale))
            spectrum[band] *= constants.zero_point * self._centre * self._transform(psf)
        images = fft.irfft2(spectrum, s=(self._period, self._period))
        edge = (self._period - self.size) // 2
        return np.maximum(images[:, edge : edge + self.size, edge : edge + self.size], 0)

    def psf(self, band: int, seeing: float = 1.0) -> Any:
        """Atmosphere (Kolmogorov) and telescope (an obscured circular mirror), a GalSim profile."""
        constants = self.survey.bands[band]
        atmosphere = self.galsim.Kolmogorov(fwhm=self.survey.seeing(constants) * seeing)
        telescope = self.galsim.Airy(
            lam=constants.wavelength, diam=self.survey.mirror_diameter, obscuration=self.survey.obscuration
        )
        return self.galsim.Convolve(atmosphere, telescope)

    def _shift(self, distance: float) -> np.ndarray:
        """The transform of a shift along both axes, with the ambiguous highest frequency left out."""
        phase = np.exp(-1j * distance * (self._kx + self._ky))
        phase[self._period // 2] = 0
        phase[:, -1] = 0
        return phase

    def _transform(self, profile: Any) -> np.ndarray:
        half = self._period // 2
        bounds = self.galsim.BoundsI(0, half, -half, half - 1)
        image = self.galsim.ImageCD(bounds, scale=self._step)
        return fft.ifftshift(profile.drawKImage(image=image, recenter=False).array, axes=0)

    def _profile(self, part: Profile) -> np.ndarray:
        if part.radius == 0:
            profile = self.galsim.DeltaFunction()
        else:
            profile = self.galsim.Sersic(part.index, half_light_radius=part.radius)
            profile = profile.shear(q=part.axis_ratio, beta=part.angle * self.galsim.radians)
        return self._transform(profile.shift(part.x, part.y))

    def _map(self, part: Map) -> np.ndarray:
        light = part.light / part.light.sum(dtype=np.float64)
        spectrum = fft.rfft2(light.astype(np.float32), s=(self._period * _FINE,) * 2)
        half = self._period // 2
        spectrum = np.concatenate([spectrum[:half], spectrum[-half:]])[:, : half + 1] * self._patch_centre
        if part.blur:
            spectrum = spectrum * np.exp(-0.5 * part.blur**2 * (self._kx**2 + self._ky**2))
        return spectrum


def flux_of(magnitudes: Sequence[float]) -> tuple[float, float, float]:
    """Fluxes relative to AB magnitude 24 from magnitudes in g, r, i."""
    g, r, i = (10 ** (-0.4 * (magnitude - 24)) for magnitude in magnitudes)
    return g, r, i
