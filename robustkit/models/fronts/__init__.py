"""Front ends: small repairs of the images in front of a network, saved with it and audited with it.

A front end changes each pixel by what lies within a few pixels of it, so that one bad pixel is drawn back to its
neighbours before the network gets it. It has no weights. `Repaired` is a front end and the network behind it as one.
"""

from __future__ import annotations

from robustkit.models.fronts.base import Detect, FrontEnd, Repaired
from robustkit.models.fronts.kinds import Across, Clip, FillNaN, Joint, Line, Median
from robustkit.models.fronts.registry import FRONTS, front_from_json, make_front, noise_constants

__all__ = [
    "FRONTS",
    "Across",
    "Clip",
    "Detect",
    "FillNaN",
    "FrontEnd",
    "Joint",
    "Line",
    "Median",
    "Repaired",
    "front_from_json",
    "make_front",
    "noise_constants",
]
