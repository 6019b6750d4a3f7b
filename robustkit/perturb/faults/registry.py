"""The perturbations by name."""

from __future__ import annotations

import importlib

from robustkit.errors import InputError
from robustkit.perturb.faults.bad_line import BadColumn, BadRow
from robustkit.perturb.faults.bands import BandDrop, BandSwap
from robustkit.perturb.faults.calibration import FlatError, ZeroPoint
from robustkit.perturb.faults.cosmic_ray import CosmicRay
from robustkit.perturb.faults.cti import ChargeTransfer
from robustkit.perturb.faults.dead_pixel import DeadPixel
from robustkit.perturb.faults.distance import Distance
from robustkit.perturb.faults.exposure import Exposure
from robustkit.perturb.faults.fits_compression import HCompress, Rice
from robustkit.perturb.faults.ghost import Ghost
from robustkit.perturb.faults.hot_pixel import HotPixel
from robustkit.perturb.faults.jpeg import Jpeg
from robustkit.perturb.faults.plain_noise import GaussianNoise, PoissonNoise
from robustkit.perturb.faults.psf import PSFBlur
from robustkit.perturb.faults.read_noise import ReadNoise
from robustkit.perturb.faults.registration import Rotation, Shift
from robustkit.perturb.faults.satellite import Satellite
from robustkit.perturb.faults.saturation import Saturation
from robustkit.perturb.faults.sky import SkyGradient, SkyOffset
from robustkit.perturb.perturbation import LEVEL_NAMES, Perturbation

PERTURBATIONS: dict[str, type[Perturbation]] = {
    kind.name: kind
    for kind in (
        Exposure,
        ReadNoise,
        PSFBlur,
        HotPixel,
        DeadPixel,
        BadColumn,
        BadRow,
        CosmicRay,
        Satellite,
        SkyOffset,
        SkyGradient,
        FlatError,
        ZeroPoint,
        Saturation,
        BandDrop,
        BandSwap,
        Shift,
        Rotation,
        Distance,
        ChargeTransfer,
        Ghost,
        Jpeg,
        Rice,
        HCompress,
        GaussianNoise,
        PoissonNoise,
    )
}


def perturbation_kind(name: str) -> type[Perturbation]:
    """The perturbation of this name, or the class `package.module:Class` that the user names, which is then imported.

    Raises:
        InputError: If there is none, or the class is no perturbation.
    """
    if name in PERTURBATIONS:
        return PERTURBATIONS[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise InputError(
            f"unknown perturbation {name!r}; known are {', '.join(PERTURBATIONS)}, or your own as package.module:Class"
        )
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot import the perturbation {name!r}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Perturbation)):
        raise InputError(f"{name} is no subclass of robustkit.perturb.perturbation.Perturbation; derive it from that")
    return kind


def make_perturbation(name: str, level: float | str) -> Perturbation:
    """A perturbation at a level, in its own unit or by the name of the level.

    Args:
        name: A name in `PERTURBATIONS`, or `package.module:Class`.
        level: A number, or `s1` to `s5`.

    Raises:
        InputError: If one of them is not known, or the level is out of range.

    Example:
        >>> make_perturbation("exposure", "s3")
        Exposure(level=0.1)
    """
    kind = perturbation_kind(name)
    if isinstance(level, str):
        if level not in LEVEL_NAMES:
            raise InputError(f"unknown level {level!r}; expected a number or one of {', '.join(LEVEL_NAMES)}")
        level = kind.levels[LEVEL_NAMES.index(level)]
    return kind(float(level))
