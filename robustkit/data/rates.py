"""How often accidents happen to a pixel and how strong they are, as published; what nobody publishes is not here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Per = Literal["second and pixel", "visit and pixel"]


@dataclass(frozen=True)
class Rate:
    """How often a fault happens, before anything is found and left out.

    Attributes:
        survey: Whose detector it is of.
        fault: The perturbation's name.
        events: Events per unit.
        per: The unit.
        source: Where the number stands.
        year: When it was published or read.
    """

    survey: str
    fault: str
    events: float
    per: Per
    source: str
    year: int

    def expected(self, size: tuple[int, int], exposure: np.ndarray, visits: np.ndarray) -> np.ndarray:
        """Expected events per image in each band, shape (C,).

        Args:
            size: Height and width of the image.
            exposure: Seconds of each band, all visits together, shape (C,).
            visits: Visits of each band, shape (C,).
        """
        return self.events * size[0] * size[1] * (exposure if self.per == "second and pixel" else visits)


RATES = (
    Rate("lsst", "cosmic-ray", 0.2 / (4072 * 4000), "second and pixel", "LSSTDESC/imSim: 0.2 per second and CCD", 2026),
    Rate("lsst", "hot-pixel", 1e-5, "visit and pixel", "SITCOMTN-148: defects are about 0.001 % of the pixels", 2025),
    Rate("lsst", "dead-pixel", 1e-5, "visit and pixel", "SITCOMTN-148: defects are about 0.001 % of the pixels", 2025),
)


def rate_of(survey: str, fault: str) -> Rate | None:
    """The rate of a fault, or `None` where nobody publishes it."""
    return next((rate for rate in RATES if (rate.survey, rate.fault) == (survey, fault)), None)


@dataclass(frozen=True)
class Severity:
    """A distribution of a positive number by its quantiles, between them straight in log value against normal score.

    Attributes:
        shares: Shares of events, rising, from 0 to 1.
        values: Below which they lie.
        source: Where they stand.
    """

    shares: tuple[float, ...]
    values: tuple[float, ...]
    source: str

    def at(self, share: np.ndarray) -> np.ndarray:
        """The value below which a share of the events lies.

        Args:
            share: In (0, 1).
        """
        return np.exp(np.interp(share, self.shares, np.log(self.values)))


# Footprints of three pixels and more in imSim's catalogue of LSST dark frames (cosmic_rays_itl_2017).
_FOOTPRINTS = "footprints of imSim's catalogue of LSST dark frames"
SEVERITIES = {
    "cosmic-ray": Severity((0, 0.16, 0.5, 0.84, 0.95, 0.99, 1), (3, 3.6, 8.5, 20.8, 39, 75, 182), _FOOTPRINTS),
}
