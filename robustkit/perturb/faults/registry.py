"""The perturbations by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from robustkit.perturb.perturbation import Perturbation

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

# The suites of `robustkit sweep`: names as `robustkit.perturb.faults.naming` reads them.
SUITES: dict[str, tuple[str, ...]] = {
    "lsst": (*PERTURBATIONS, "psf,restore_noise=false"),
    "plain": tuple(name for name, kind in PERTURBATIONS.items() if not kind.physical),
}
