"""Threat models by name: read from the command line, refused where they make no sense, and said in the data's units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from robustkit.data import Stretch
from robustkit.errors import InputError
from robustkit.perturb.defects import Defect
from robustkit.perturb.values import Corners, Grid, SingleBand, Together, ValueSet
from robustkit.words import no_such

ValueRange = Literal["data", "paper"]
VALUE_NAMES = (
    "corners",
    "paper",
    "single-band",
    "together",
    "together:M",
    "grid:M",
    "hot",
    "hot:CHARGE",
    "dead",
    "dead:LEVEL",
)


def make_values(
    name: str,
    *,
    input_range: Sequence[tuple[float, float]],
    value_range: ValueRange | None = None,
    stretch: Stretch | None = None,
    units: str = "unknown",
    bounds: tuple[float, float] | None = None,
    device: torch.device | str = "cpu",
) -> ValueSet:
    """What a pixel may become, from its name.

    Args:
        name: `corners` (each band at its lowest or highest value), `paper` (the same, from 0 to 1), `single-band`
            (one band at its lowest or highest value), `together` (all bands at their lowest or highest value),
            `together:M` (or at M levels between), `grid:M` (M values of each band), `hot` (the pixel saturates),
            `hot:CHARGE` (it gains so many electrons), `dead` (it shows the sky) or `dead:LEVEL` (it shows so many
            electrons above the sky); hot and dead in all bands or in one.
        input_range: Lowest and highest network input of each band in the training data, C pairs.
        value_range: `data` for that range, the default, or `paper` for [0, 1] in network input.
        stretch: From calibrated values to network input; needed by `hot` and `dead`.
        units: Of the calibrated values, as an image set says it.
        bounds: Lowest and highest calibrated value that a pixel can take; `hot` is the highest.
        device: Where the images will be.

    Raises:
        InputError: If the name is unknown, or the set has no meaning for these data.
    """
    kind, _, argument = name.partition(":")
    if kind == "line":
        raise InputError(
            f"the values {name!r} are not finite, so only robustkit certify follows them; use --values hot"
        )
    if value_range not in (None, *get_args(ValueRange)):
        raise InputError(no_such("range", value_range, get_args(ValueRange)))
    clean_range = _range(input_range, device)
    if kind in ("hot", "dead"):
        if value_range is not None:
            raise InputError(f"--range has no meaning for {kind}, whose values come from electrons; omit --range")
        return _defect(name, clean_range, stretch, units, bounds)
    if kind == "grid":
        low, high = _ends(clean_range, value_range == "paper")
        return Grid(low, high, _levels(argument))
    if kind == "together":
        low, high = _ends(clean_range, value_range == "paper")
        return Together(low, high, _levels(argument) if argument else 2)
    if argument or kind not in VALUE_NAMES:
        raise InputError(no_such("values", name, VALUE_NAMES))
    if kind == "paper" and value_range == "data":
        raise InputError("the values 'paper' are the range [0, 1]; use --values corners for the range of the data")
    low, high = _ends(clean_range, kind == "paper" or value_range == "paper")
    if kind == "single-band":
        return SingleBand(low, high)
    return Corners(low, high, name="paper" if value_range == "paper" else kind)


def describe_values(values: ValueSet, *, bands: Sequence[str], stretch: Stretch | None, units: str) -> str:
    """One line for the terminal: what a pixel may become, in network input and in calibrated units.

    Args:
        values: The value set.
        bands: The C bands.
        stretch: From calibrated values to network input, or `None` when nobody knows.
        units: Of the calibrated values.
    """
    low, high = values.low.cpu(), values.high.cpu()
    ranges = ", ".join(
        f"{band} {a:.4g} to {b:.4g}" for band, a, b in zip(bands, low.tolist(), high.tolist(), strict=True)
    )
    options = f"{values.size} option{'s' if values.size > 1 else ''} a pixel"
    if isinstance(values, Defect):
        options = f"{options} ({values.words()}); network input"
    text = f"{values.name}: {options}, network input {ranges}"
    if stretch is None or not stretch.invertible:
        return f"{text} (the stretch cannot be inverted, so no calibrated values)"
    a, b = (stretch.inverse(end[:, None, None])[:, 0, 0].tolist() for end in (low, high))
    unit = "calibrated units" if units == "unknown" else units
    return f"{text}; in {unit} {', '.join(f'{n} {x:.4g} to {y:.4g}' for n, x, y in zip(bands, a, b, strict=True))}"


def _range(input_range: Sequence[tuple[float, float]], device: torch.device | str) -> Tensor:
    clean_range = torch.tensor(list(input_range), dtype=torch.float32, device=device)  # (C, 2)
    if clean_range.ndim != 2 or clean_range.shape[1] != 2:
        raise InputError(f"expected a lowest and a highest value for each band, got {list(input_range)}")
    if not bool(clean_range.isfinite().all()) or not bool((clean_range[:, 0] <= clean_range[:, 1]).all()):
        raise InputError(f"the range of a band must be finite and rise; got {list(input_range)}")
    return clean_range.T.contiguous()


def _ends(clean_range: Tensor, paper: bool) -> tuple[Tensor, Tensor]:
    low, high = clean_range
    return (torch.zeros_like(low), torch.ones_like(high)) if paper else (low, high)


def _levels(argument: str) -> int:
    if not argument.isdecimal() or int(argument) < 2:
        raise InputError(f"a grid needs at least 2 values per band, as in grid:3; got {argument or 'nothing'!r}")
    return int(argument)


def _defect(
    name: str, clean_range: Tensor, stretch: Stretch | None, units: str, bounds: tuple[float, float] | None
) -> Defect:
    kind, colon, argument = name.partition(":")
    instead = "use --values corners, which needs no units"
    if units != "electron":
        raise InputError(f"a {kind} pixel is given in electrons, but the units of the images are {units}; {instead}")
    if stretch is None or not stretch.invertible:
        which = "the stretch is not known" if stretch is None else f"the stretch {stretch.name} cannot be inverted"
        raise InputError(f"a {kind} pixel is made before the stretch, but {which}; {instead}")
    number = _number(name, argument) if colon else None
    if kind == "dead":
        return Defect(name, stretch, 0.0, number or 0.0, clean_range)
    if number is not None:
        if number <= 0:
            raise InputError(f"a hot pixel gains a charge above 0 electrons; got {argument}")
        return Defect(name, stretch, number, None, clean_range)
    if bounds is None or not math.isfinite(bounds[1]):
        raise InputError(
            "the image set does not say at which charge a pixel saturates; give the charge, as in hot:50000"
        )
    return Defect(name, stretch, 0.0, float(bounds[1]), clean_range)


def _number(name: str, argument: str) -> float:
    try:
        number = float(argument)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"expected a number of electrons after the colon in {name!r}, as in hot:5000 or dead:-40")
    return number
