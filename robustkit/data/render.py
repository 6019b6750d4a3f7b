"""Renders galaxies as a telescope would count them without noise.

The sum is made in Fourier space: smooth profiles have analytic transforms (GalSim's), drawn maps are transformed once
at twice the pixel resolution, and atmosphere, telescope and pixel multiply. Nothing is convolved in real space, and
the cusps of steep profiles need no oversampling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import fft

from robustkit.data.light import POINTS_PER_PIXEL, Galaxy, Map, Plane, Profile
from robustkit.data.survey import BANDS, Survey
from robustkit.extras import require


class Renderer:
    """Draws galaxies as one survey sees them.

    Args:
        survey: The survey.
        size: Height and width of the stamps, pixels.

    Attributes:
        plane: Where the maps of its galaxies are drawn.

    Raises:
        MissingExtra: If GalSim is not installed.
    """

    def __init__(self, survey: Survey, size: int) -> None:
        self.galsim = require("galsim", extra="sim", purpose="simulate galaxies")
        self.survey, self.size = survey, size
        self.plane = Plane(size, survey.pixel_scale)
        # Light that leaves one side of a Fourier period comes back on the other, so the period is wider than the stamp.
        half = size
        self._period = 2 * half
        ky = 2 * np.pi * fft.fftfreq(self._period, survey.pixel_scale)[:, None]
        kx = np.abs(ky[: half + 1].T)
        self._step = 2 * np.pi / (self._period * survey.pixel_scale)
        self._k_squared = kx**2 + ky**2
        # The centre of the stamp, seen from the first pixel of the period and from the first point of the plane.
        edge = (self._period - size) // 2
        self._centre = np.exp(-1j * (edge + (size - 1) / 2) * survey.pixel_scale * (kx + ky))
        # The highest frequency has no sign, so it is left out.
        self._centre[half] = self._centre[:, half] = 0
        self._plane_centre = np.exp(1j * self.plane.half * (kx + ky))
        self._stamp = slice(edge, edge + size)

    def __call__(self, galaxy: Galaxy) -> np.ndarray:
        """Electrons per second from a galaxy and its neighbours.

        Returns:
            Rates, shape (C, H, W), float64, not below 0.
        """
        bands = self.survey.bands
        spectrum = np.zeros((len(bands), *self._centre.shape), dtype=np.complex128)
        for part in (*galaxy.parts, *galaxy.neighbours):
            light = self._profile(part) if isinstance(part, Profile) else self._map(part)
            for c, band in enumerate(bands):
                spectrum[c] += part.flux[BANDS.index(band.name)] * light
        pixel = self.galsim.Pixel(self.survey.pixel_scale)
        for c, band in enumerate(bands):
            psf = self.psf(band.name, galaxy.seeing).shear(g1=galaxy.shear[0], g2=galaxy.shear[1])
            psf = self.galsim.Convolve(psf, pixel)
            spectrum[c] *= band.zero_point * self._centre * self._transform(psf)
        images = fft.irfft2(spectrum, s=(self._period, self._period))
        return np.maximum(images[:, self._stamp, self._stamp], 0)

    def psf(self, band: str, seeing: float = 1.0) -> Any:
        """The survey's atmosphere and telescope (an obscured circular mirror), a GalSim profile without the pixel.

        Args:
            band: Name of the band.
            seeing: Seeing over the survey's mean.
        """
        constants = next(value for value in self.survey.bands if value.name == band)
        fwhm = self.survey.seeing(constants) * seeing
        if self.survey.atmosphere == "kolmogorov":
            atmosphere = self.galsim.Kolmogorov(fwhm=fwhm)
        elif self.survey.atmosphere == "moffat":
            atmosphere = self.galsim.Moffat(beta=3.0, fwhm=fwhm)
        else:
            atmosphere = self.galsim.Gaussian(fwhm=fwhm)
        telescope = self.galsim.Airy(
            lam=constants.wavelength, diam=self.survey.mirror_diameter, obscuration=self.survey.obscuration
        )
        return self.galsim.Convolve(atmosphere, telescope)

    def _transform(self, profile: Any) -> np.ndarray:
        """The Fourier transform of a GalSim profile, in the layout of `numpy.fft.rfft2`."""
        half = self._period // 2
        image = self.galsim.ImageCD(self.galsim.BoundsI(0, half, -half, half - 1), scale=self._step)
        return fft.ifftshift(profile.drawKImage(image=image, recenter=False).array, axes=0)

    def _profile(self, part: Profile) -> np.ndarray:
        if part.radius == 0:
            profile = self.galsim.DeltaFunction()
        else:
            profile = self.galsim.Sersic(part.index, half_light_radius=part.radius)
            profile = profile.shear(q=part.axis_ratio, beta=part.angle * self.galsim.radians)
        return self._transform(profile.shift(part.x, part.y))

    def _map(self, part: Map) -> np.ndarray:
        half = self._period // 2
        light = (part.light / part.light.sum(dtype=np.float64)).astype(np.float32)
        spectrum = fft.rfft2(light, s=(self._period * POINTS_PER_PIXEL,) * 2)
        # The pixels of the stamp hold no frequency above these.
        spectrum = np.concatenate([spectrum[:half], spectrum[-half:]])[:, : half + 1] * self._plane_centre
        return spectrum * np.exp(-0.5 * part.blur**2 * self._k_squared) if part.blur else spectrum
