"""Universes: where galaxies are chosen, what they are like there, and by which camera they are seen.

A style is more than a survey: it has its own sample, relations and PSF family, so that two styles differ by more than
noise. Images of every style are stored on one zero point in r, that of ten years of LSST, as calibrated surveys are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from robustkit.data.relations import Kind, Sample, Sizes
from robustkit.data.survey import HST, LSST, SDSS, Survey
from robustkit.errors import InputError
from robustkit.words import no_such

# Sersic radii: log R = -0.4 a M + b with a = 0.65 and b = -5.06 for early types, so one slope throughout.
EARLY_SIZES = Sizes(faint=0.65, bright=0.65, zero=-5.06)
LATE_SIZES = Sizes(faint=0.26, bright=0.51, zero=-1.71)


@dataclass(frozen=True)
class Style:
    """A universe and the camera that sees it.

    Attributes:
        name: The name on the command line.
        survey: The camera.
        years: The depths that are made unless others are requested, deepest first.
        sample: Where galaxies are chosen.
        kinds: Spirals, ellipticals and mergers.
        clumps: Share of a spiral's light in star-forming knots, over that of nearby ones: distant discs that form stars
            are mostly clumpy (Guo et al. 2015).
        field: Density of other sources in a stamp, over that of the sky down to r = 25.
    """

    name: str
    survey: Survey
    years: tuple[float, ...]
    sample: Sample
    kinds: tuple[Kind, Kind, Kind]
    clumps: float = 1.0
    field: float = 1.0

    @property
    def unit(self) -> float:
        """Stored value of an electron of the deepest exposure: images of all styles share LSST's zero point in r."""
        return _counts(LSST) / _counts(self.survey)


def _counts(survey: Survey) -> float:
    """Electrons from a source of AB magnitude 24 in r, in the whole survey."""
    band = next(band for band in survey.bands if band.name == "r")
    return band.zero_point * band.exposure


# Knees for h = 1: -20.75 (E and S0), -20.30 (Sa to Sd), and 5 log10(0.7) = -0.77 more here. The shares of red and green
# galaxies are those of bright galaxies drawn towards each other, so that shape, not colour, has to tell the classes.
_NEAR = (
    Kind(-21.1, -1.0, LATE_SIZES, red=(0.44, 0.06), green=0.22),
    Kind(-21.5, -0.83, EARLY_SIZES, red=(0.53, 0.06), green=0.22),
    Kind(-21.4, -1.0, LATE_SIZES, red=(0.44, 0.06), green=0.24),
)


def _far(kind: Kind, growth: float) -> Kind:
    """At half the age of the universe: a magnitude of evolution at redshift 1, smaller, bluer."""
    return replace(
        kind,
        knee=kind.knee - 0.5,
        sizes=replace(kind.sizes, growth=growth),
        red=(kind.red[0] * 0.75, kind.red[1]),
    )


STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style("lsst", LSST, (10, 1), Sample((18.0, 21.5), (0.04, 0.25), smallest=0.7), _NEAR),
        Style("sdss", SDSS, (1,), Sample((14.5, 17.0), (0.015, 0.12), smallest=1.6), _NEAR, field=0.25),
        Style(
            "hst",
            HST,
            (1,),
            Sample((18.5, 22.0), (0.2, 0.7), smallest=0.2),
            (_far(_NEAR[0], -0.75), _far(_NEAR[1], -1.48), _far(_NEAR[2], -0.75)),
            clumps=2.5,
        ),
    )
}


def open_style(name: str | Style) -> Style:
    """A style by its name.

    Raises:
        InputError: If no style has that name.
    """
    if isinstance(name, Style):
        return name
    if name not in STYLES:
        raise InputError(no_such("style", name, STYLES))
    return STYLES[name]
