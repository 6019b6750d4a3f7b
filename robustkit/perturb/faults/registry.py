"""The perturbations by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from robustkit.code_gate import refuse_names
from robustkit.lazy import Registry

if TYPE_CHECKING:
    from robustkit.perturb.perturbation import Perturbation

# Faults whose event is one hit at one place, in the order in which they are told.
HITS = ("cosmic-ray", "hot-pixel", "dead-pixel", "bad-column", "bad-row", "satellite", "saturation")

PERTURBATIONS: Registry[type[Perturbation]] = Registry(
    "robustkit.perturb.faults",
    {
        "exposure": "exposure:Exposure",
        "read-noise": "read_noise:ReadNoise",
        "psf": "psf:PSFBlur",
        "hot-pixel": "hot_pixel:HotPixel",
        "dead-pixel": "dead_pixel:DeadPixel",
        "bad-column": "bad_line:BadColumn",
        "bad-row": "bad_line:BadRow",
        "cosmic-ray": "cosmic_ray:CosmicRay",
        "satellite": "satellite:Satellite",
        "sky-offset": "sky:SkyOffset",
        "sky-gradient": "sky:SkyGradient",
        "flat": "calibration:FlatError",
        "zero-point": "calibration:ZeroPoint",
        "saturation": "saturation:Saturation",
        "band-drop": "bands:BandDrop",
        "band-swap": "bands:BandSwap",
        "shift": "registration:Shift",
        "rotation": "registration:Rotation",
        "distance": "distance:Distance",
        "cti": "cti:ChargeTransfer",
        "ghost": "ghost:Ghost",
        "jpeg": "jpeg:Jpeg",
        "rice": "fits_compression:Rice",
        "hcompress": "fits_compression:HCompress",
        "gaussian": "plain_noise:GaussianNoise",
        "poisson": "plain_noise:PoissonNoise",
    },
)
OWN = "your own as package.module:Class"
# Refuses what a file names and no person does; see `robustkit.code_gate.refuse_names`.
refuse_perturbations = partial(refuse_names, known=PERTURBATIONS, what="perturbation", own=OWN, option="--perturb")

# The suites of `robustkit sweep`: names as `robustkit.perturb.faults.naming` reads them. `plain` needs no units.
SUITES: dict[str, tuple[str, ...]] = {
    "lsst": (*PERTURBATIONS, "psf,restore_noise=false"),
    "plain": (
        "zero-point",
        "band-drop",
        "band-swap",
        "shift",
        "rotation",
        "cti",
        "jpeg",
        "rice",
        "hcompress",
        "gaussian",
        "poisson",
    ),
}
