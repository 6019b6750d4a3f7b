"""Published relations between luminosity, distance, size, colour and shape of galaxies, with their scatter.

Absolute magnitudes are AB, in r, at redshift 0; the universe is flat with H0 = 70 km/s/Mpc and a matter density of 0.3.
Relations have their published form; their constants are rounded and approximate. A source has its DOI where that could
be looked up:

| relation | source |
|---|---|
| luminosity functions by type | Nakamura et al. 2003 |
| size against luminosity, by type | Shen et al. 2003, doi:10.1046/j.1365-8711.2003.06740.x, its fits to Sersic radii |
| sizes at higher redshift | van der Wel et al. 2014, doi:10.1088/0004-637X/788/1/28 |
| red sequence, and spirals on it | Masters et al. 2010a |
| blue cloud, and how red galaxies become common with luminosity | Baldry et al. 2004, doi:10.1086/380092 |
| blue early types | Schawinski et al. 2009 |
| green valley | Schawinski et al. 2014, doi:10.1093/mnras/stu327 |
| colours of mergers | Darg et al. 2010 |
| colours against redshift | Fukugita et al. 1995 |
| reddening of inclined discs | Masters et al. 2010b |
| Sersic index against luminosity | Graham & Guzman 2003 |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

POPULATIONS = ("red", "green", "blue")
_HUBBLE_DISTANCE = 299_792.458 / 70  # Mpc
_MATTER = 0.3
_ARCSEC = math.pi / (180 * 3600)


@cache
def _distances() -> tuple[np.ndarray, np.ndarray]:
    """Redshifts and comoving distances in Mpc, by the trapezoidal rule."""
    z = np.linspace(0, 4, 8001)
    inverse = 1 / np.sqrt(_MATTER * (1 + z) ** 3 + 1 - _MATTER)
    steps = (inverse[1:] + inverse[:-1]) / 2 * (z[1] - z[0])
    return z, _HUBBLE_DISTANCE * np.concatenate([[0.0], np.cumsum(steps)])


def comoving_distance(z: np.ndarray | float) -> np.ndarray:
    """Mpc, for redshifts up to 4."""
    return np.asarray(np.interp(z, *_distances()))


def distance_modulus(z: np.ndarray | float) -> np.ndarray:
    """Apparent minus absolute magnitude, without the K correction."""
    return 25 + 5 * np.log10((1 + np.asarray(z)) * comoving_distance(z))


def kpc_per_arcsec(z: float) -> float:
    """Kiloparsecs across the line of sight that one arcsec spans."""
    return float(1000 * comoving_distance(z) / (1 + z) * _ARCSEC)


@dataclass(frozen=True)
class Sizes:
    """Median half-light radius against luminosity, its change with redshift, and its scatter.

    log10(R / kpc) = -0.4 faint M + (bright - faint) log10(1 + 10**(-0.4 (M - M0))) + zero, times (1 + z)**growth.

    Attributes:
        faint: Slope below the knee.
        bright: Slope above it.
        zero: Zero point.
        knee: M0.
        growth: Power of 1 + z.
    """

    faint: float
    bright: float
    zero: float
    knee: float = -20.91
    growth: float = 0.0

    def median(self, magnitude: float, z: float = 0.0) -> float:
        """Median half-light radius, circularised, kpc."""
        knee = math.log10(1 + 10 ** (-0.4 * (magnitude - self.knee)))
        size = 10 ** (-0.4 * self.faint * magnitude + (self.bright - self.faint) * knee + self.zero)
        return size * (1 + z) ** self.growth

    def scatter(self, magnitude: float) -> float:
        """Standard deviation of the natural logarithm of the radius: 0.45 for dwarfs, 0.27 for giants."""
        return 0.27 + 0.18 / (1 + 10 ** (-0.8 * (magnitude - self.knee)))


@dataclass(frozen=True)
class Kind:
    """A class of galaxies: how many there are, and what they are like.

    Attributes:
        knee: Characteristic magnitude of its Schechter function.
        slope: Faint-end slope of it.
        sizes: Its sizes.
        red: Share on the red sequence at M = -21, and its gain per magnitude of luminosity.
        green: Share in the green valley; the rest is in the blue cloud.
    """

    knee: float
    slope: float
    sizes: Sizes
    red: tuple[float, float]
    green: float

    def share_red(self, magnitude: float) -> float:
        """Share on the red sequence at an absolute magnitude."""
        return min(max(self.red[0] + self.red[1] * (-21 - magnitude), 0.0), 1 - self.green)


@dataclass(frozen=True)
class Sample:
    """Where galaxies are chosen.

    Attributes:
        magnitudes: Apparent magnitude in r, bright and faint limit.
        redshifts: Nearest and furthest.
        smallest: Least half-light radius, arcsec.
        luminosities: Absolute magnitude in r, bright and faint limit.
    """

    magnitudes: tuple[float, float]
    redshifts: tuple[float, float]
    smallest: float = 0.0
    luminosities: tuple[float, float] = (-23.5, -19.5)


@cache
def _joint(kind: Kind, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luminosities, redshifts and the cumulated number of galaxies on a grid of both."""
    m = np.linspace(*sample.luminosities, 161)[:, None]
    z = np.linspace(*sample.redshifts, 241)[None]
    light = 10 ** (-0.4 * (m - kind.knee))
    count = light ** (kind.slope + 1) * np.exp(-light)  # per magnitude
    volume = comoving_distance(z) ** 2 / np.sqrt(_MATTER * (1 + z) ** 3 + 1 - _MATTER)
    apparent = m + distance_modulus(z) + k_correction(0.7, z)
    chosen = (apparent >= sample.magnitudes[0]) & (apparent <= sample.magnitudes[1])
    return m[:, 0], z[0], np.cumsum(count * volume * chosen)


def draw_place(rng: np.random.Generator, kind: Kind, sample: Sample) -> tuple[float, float]:
    """Absolute magnitude and redshift of a galaxy of a flux-limited sample, drawn jointly.

    The density is the luminosity function times the comoving volume, where the apparent magnitude is within the limits.
    """
    m, z, total = _joint(kind, sample)
    row, column = divmod(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(z))
    m_step, z_step = m[1] - m[0], z[1] - z[0]
    jitter = rng.uniform(-0.5, 0.5, 2)
    return float(m[row] + jitter[0] * m_step), float(z[column] + jitter[1] * z_step)


def draw_population(rng: np.random.Generator, kind: Kind, magnitude: float) -> str:
    """Red sequence, green valley or blue cloud."""
    red, draw = kind.share_red(magnitude), rng.random()
    return "red" if draw < red else "green" if draw < red + kind.green else "blue"


def draw_colour(rng: np.random.Generator, population: str, magnitude: float) -> float:
    """Colour g - r at redshift 0, seen face-on.

    The red sequence lies at 0.73 - 0.02 (M + 20) with a scatter of 0.05, the blue cloud at 0.45 - 0.03 (M + 20) with
    0.12, the green valley between them with 0.07.
    """
    red, blue = 0.73 - 0.02 * (magnitude + 20), 0.45 - 0.03 * (magnitude + 20)
    centre, scatter = {"red": (red, 0.05), "green": ((red + blue) / 2, 0.07), "blue": (blue, 0.12)}[population]
    return float(rng.normal(centre, scatter))


def age_of(colour: float) -> float:
    """From 0 for the bluest galaxies (irregulars, g - r = 0.22) to 1 for the reddest (0.72), at redshift 0."""
    return (colour - 0.22) / 0.50


def k_correction(age: np.ndarray | float, z: np.ndarray | float) -> np.ndarray | float:
    """Magnitudes that redshift takes from r: per unit of redshift 0.4 of blue galaxies and 1.0 of red ones."""
    return (0.4 + 0.6 * age) * z


def observed_colours(colour: float, z: float) -> tuple[float, float]:
    """Colours g - r and r - i on the sky of a galaxy whose g - r would be `colour` at redshift 0.

    At redshift 0 r - i goes from 0.08 to 0.36 as g - r goes from 0.22 to 0.72; per unit of redshift blue galaxies
    redden by 0.6 and 0.15, red ones by 1.6 and 0.35, which holds to about 0.05 up to 0.3.
    """
    age = age_of(colour)
    return colour + (0.6 + 1.0 * age) * z, 0.08 + 0.28 * age + (0.15 + 0.2 * age) * z


def reddening(axis_ratio: float) -> float:
    """What the dust of an inclined disc adds to g - r and r - i: 0.1 from face-on to edge-on (axis ratio 0.2)."""
    return 0.1 * min(math.log(axis_ratio) / math.log(0.2), 1.0)


def sersic_index(rng: np.random.Generator, magnitude: float) -> float:
    """Sersic index of a spheroid, in steps of 0.5 from 2 to 6.

    M_B = -9.4 log10(n) - 14.3, with B - r = 1.3 for old stars, and a scatter of 0.1 in log10(n).
    """
    index = 10 ** (-(magnitude + 1.3 + 14.3) / 9.4 + float(rng.normal(0, 0.1)))
    return float(min(max(round(2 * index) / 2, 2.0), 6.0))
