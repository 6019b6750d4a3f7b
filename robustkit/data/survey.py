"""Survey constants, and what a survey gathers in some years: electrons, visits, noise.

A *depth* is what a survey has gathered after some years. Counts of different depths differ by a factor, so a stretch
that was frozen on ten-year images would see one-year images ten times fainter, which no pipeline does: coadds are
calibrated to one zero point. Images of all depths are therefore stored on one scale, the electrons of the *reference*
(deepest) exposure: stored = scale * electrons, scale = reference exposure / exposure. A shallower image is then as
bright and noisier. For a stored value n, the electrons that arrived are n / scale and

    variance(n) = scale**2 * (max(n, 0) / scale + sky + visits * read_noise**2).

Every image set carries scale, sky, visits and read noise in its `meta` (see `Depth.meta`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from robustkit.errors import InputError
from robustkit.words import no_such

BANDS = ("g", "r", "i")
Atmosphere = Literal["kolmogorov", "moffat", "gaussian"]


@dataclass(frozen=True)
class BandSurvey:
    """What a survey does in one band.

    Attributes:
        name: The band.
        wavelength: Central wavelength, nm.
        zero_point: Electrons per second from a source of AB magnitude 24.
        sky: Sky brightness, AB magnitudes per square arcsecond.
        seeing: FWHM of the atmosphere at zenith, arcsec.
        exposure: Exposure of the whole survey, seconds.
        visit: Exposure of one visit, seconds.
    """

    name: str
    wavelength: float
    zero_point: float
    sky: float
    seeing: float
    exposure: float
    visit: float


@dataclass(frozen=True)
class Survey:
    """A telescope, its camera and its plan.

    Attributes:
        name: The name on the command line.
        pixel_scale: Arcsec per pixel.
        mirror_diameter: Metres.
        effective_area: Collecting area, square metres; what is missing from the disc is the central obscuration.
        airmass: Airmass at which `BandSurvey.seeing` is observed.
        years: Years after which `BandSurvey.exposure` is complete.
        read_noise: Electrons per pixel and visit.
        full_well: Electrons that a pixel holds in one visit.
        bands: Any of g, r and i.
        atmosphere: The PSF family beside the telescope's own: `kolmogorov` for coadds from the ground, `moffat`
            (exponent 3) for single exposures, `gaussian` for pointing and charge diffusion in
            space. `seeing` is its FWHM.
    """

    name: str
    pixel_scale: float
    mirror_diameter: float
    effective_area: float
    airmass: float
    years: float
    read_noise: float
    full_well: float
    bands: tuple[BandSurvey, ...]
    atmosphere: Atmosphere = "kolmogorov"

    def __post_init__(self) -> None:
        names = [band.name for band in self.bands]
        if not names or len(set(names)) < len(names) or not set(names) <= set(BANDS):
            raise InputError(f"expected bands among {', '.join(BANDS)}, each once, got {', '.join(names) or 'none'}")

    @property
    def obscuration(self) -> float:
        """Linear central obscuration of the mirror, in [0, 1)."""
        return math.sqrt(1 - self.effective_area / (math.pi * self.mirror_diameter**2 / 4))

    def seeing(self, band: BandSurvey) -> float:
        """FWHM of the atmosphere at the survey's airmass X, arcsec: zenith value times X**0.6."""
        return band.seeing * self.airmass**0.6

    def sky_rate(self, band: BandSurvey) -> float:
        """Sky electrons per second and pixel."""
        return band.zero_point * 10 ** (-0.4 * (band.sky - 24)) * self.pixel_scale**2


# Telescope, exposures, sky, zenith seeing and zero points: LSSTDESC/WeakLensingDeblending, descwl/survey.py (LSST:
# Ivezic et al. 2008, arXiv:0805.2366v4, Table 2; DES: CTIO pages and arXiv:1407.3801; HSC: arXiv:1702.08449). For DES
# and HSC the seeing is the delivered one, so the airmass is 1. Wavelengths: LSSTDESC/surveycodex.
LSST = Survey(
    name="lsst",
    pixel_scale=0.2,
    mirror_diameter=8.36,
    effective_area=32.4,
    airmass=1.2,
    years=10,
    read_noise=5.4,  # median of the e2v sensors, SITCOMTN-148; so is the full well
    full_well=103_000,
    bands=(
        BandSurvey("g", 486.4, 50.70, 22.3, 0.73, 2400, 30),
        BandSurvey("r", 625.0, 43.70, 21.2, 0.70, 5520, 30),
        BandSurvey("i", 756.5, 32.36, 20.5, 0.67, 5520, 30),
    ),
)
DES = Survey(
    name="des",
    pixel_scale=0.263,
    mirror_diameter=3.934,
    effective_area=10.014,
    airmass=1.0,
    years=6,
    read_noise=7.0,  # NOIRLab, DECam characteristics; so is the level below which the response is linear
    full_well=100_000,
    bands=(
        BandSurvey("g", 489.0, 12.29, 22.3, 1.24, 800, 90),
        BandSurvey("r", 647.0, 15.65, 21.4, 1.03, 800, 90),
        BandSurvey("i", 784.8, 13.94, 20.5, 0.96, 1000, 90),
    ),
)
HSC = Survey(
    name="hsc",
    pixel_scale=0.168,
    mirror_diameter=8.2,
    effective_area=51.68,  # the mirror minus a hole of 1.2 m
    airmass=1.0,
    years=6,
    read_noise=4.5,  # Subaru, HSC instrument parameters; so is the saturation level
    full_well=150_000,
    bands=(
        BandSurvey("g", 484.4, 91.11, 21.4, 0.72, 600, 150),
        BandSurvey("r", 625.9, 87.74, 20.6, 0.67, 600, 150),
        BandSurvey("i", 773.0, 69.80, 19.7, 0.56, 1200, 200),
    ),
)
# Sloan Digital Sky Survey: York et al. 2000, doi:10.1086/301513; zero points and sky from the photometric equations and
# medians of Stoughton et al. 2002, doi:10.1086/324741, at an airmass of 1.2 and 4.7 electrons per count.
SDSS = Survey(
    name="sdss",
    pixel_scale=0.396,
    mirror_diameter=2.5,
    effective_area=3.8,
    airmass=1.0,
    years=1,
    read_noise=5.0,
    full_well=300_000,
    bands=(
        BandSurvey("g", 477.0, 4.8, 21.9, 1.44, 53.9, 53.9),
        BandSurvey("r", 623.1, 4.5, 20.9, 1.32, 53.9, 53.9),
        BandSurvey("i", 762.5, 3.5, 20.3, 1.26, 53.9, 53.9),
    ),
    atmosphere="moffat",
)
# Advanced Camera for Surveys on Hubble, F475W, F606W and F814W in the places of g, r and i, exposed as for COSMOS
# (Koekemoer et al. 2007, doi:10.1086/520086). Zero points, sky, read noise and full well: ACS Instrument Handbook. The
# seeing is what pointing and charge diffusion blur.
HST = Survey(
    name="hst",
    pixel_scale=0.05,
    mirror_diameter=2.4,
    effective_area=4.0,
    airmass=1.0,
    years=1,
    read_noise=5.0,
    full_well=84_000,
    bands=(
        BandSurvey("g", 474.6, 6.7, 22.4, 0.10, 2028, 507),
        BandSurvey("r", 590.7, 10.0, 22.2, 0.10, 2028, 507),
        BandSurvey("i", 805.7, 6.0, 21.9, 0.10, 2028, 507),
    ),
    atmosphere="gaussian",
)
SURVEYS: dict[str, Survey] = {survey.name: survey for survey in (LSST, DES, HSC, SDSS, HST)}


def open_survey(name: str | Survey) -> Survey:
    """A survey by its name.

    Raises:
        InputError: If no survey has that name.
    """
    if isinstance(name, Survey):
        return name
    if name not in SURVEYS:
        raise InputError(no_such("survey", name, SURVEYS))
    return SURVEYS[name]


@dataclass(frozen=True)
class Depth:
    """What a survey has after some years, and on which scale it is stored.

    Attributes:
        years: Above 0; its exposure is years / survey.years of the whole one.
        reference_years: The depth in whose electrons images are stored.
        unit: Stored value of one electron of that depth: 1, unless the images shall lie on another survey's scale.
    """

    survey: Survey
    years: float
    reference_years: float
    unit: float = 1.0

    @property
    def name(self) -> str:
        """`Y10` for ten years."""
        return f"Y{self.years:g}"

    @property
    def scale(self) -> float:
        """Stored value of one electron."""
        return self.unit * self.reference_years / self.years

    def exposure(self, band: BandSurvey) -> float:
        """Seconds."""
        return band.exposure * self.years / self.survey.years

    def visits(self, band: BandSurvey) -> float:
        """How many visits make the exposure; the mean over the sky, so not a whole number."""
        return self.exposure(band) / band.visit

    def sky(self, band: BandSurvey) -> float:
        """Sky electrons per pixel in the exposure, before they are subtracted."""
        return self.survey.sky_rate(band) * self.exposure(band)

    def background(self, band: BandSurvey) -> float:
        """Variance of an empty pixel, electrons squared: sky and read noise of all visits."""
        return self.sky(band) + self.visits(band) * self.survey.read_noise**2

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest stored value that a pixel of any band can take: no electron, every visit at full well."""
        skies = [self.sky(band) for band in self.survey.bands]
        wells = [self.survey.full_well * self.visits(band) for band in self.survey.bands]
        return -self.scale * max(skies), self.scale * max(well - sky for well, sky in zip(wells, skies, strict=True))

    def meta(self) -> dict[str, Any]:
        """Metadata of an image set of this depth; dicts are keyed by band.

        Keys: `survey`, `depth`, `years`, `reference_years`, `pixel_scale` (arcsec), `scale` (stored value of one
        electron), `read_noise` (electrons per visit), `full_well` (electrons per visit) and by band `exposure_s`,
        `visits`, `sky_electron` (per pixel, already subtracted), `background_electron2` (variance of an empty pixel),
        `noise_sigma` (its root, in stored units), `zero_point` (electrons per second at AB 24), `zero_point_mag` (AB
        magnitude of a source whose stored values add to 1), `sky_mag` (per square arcsec) and `seeing_fwhm` (arcsec,
        atmosphere only).
        """
        survey, bands = self.survey, self.survey.bands
        return {
            "survey": survey.name,
            "depth": self.name,
            "years": self.years,
            "reference_years": self.reference_years,
            "pixel_scale": survey.pixel_scale,
            "scale": self.scale,
            "read_noise": survey.read_noise,
            "full_well": survey.full_well,
            "exposure_s": {band.name: self.exposure(band) for band in bands},
            "visits": {band.name: self.visits(band) for band in bands},
            "sky_electron": {band.name: self.sky(band) for band in bands},
            "background_electron2": {band.name: self.background(band) for band in bands},
            "noise_sigma": {band.name: self.scale * math.sqrt(self.background(band)) for band in bands},
            "zero_point": {band.name: band.zero_point for band in bands},
            "zero_point_mag": {
                band.name: 24 + 2.5 * math.log10(band.zero_point * self.exposure(band) * self.scale) for band in bands
            },
            "sky_mag": {band.name: band.sky for band in bands},
            "seeing_fwhm": {band.name: survey.seeing(band) for band in bands},
        }
