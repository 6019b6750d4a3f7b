"""Storage as JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.perturbation import tensor
from robustkit.perturb.workers import encode

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class Jpeg(OnInput):
    """Eight bits from black to white, clipped outside, then JPEG (libjpeg) of quality 100 - level.

    Three bands are stored as one colour picture with colours at half resolution, others as grey pictures. Levels:
    qualities 95, 90, 75, 50, 25, where ImageNet-C begins. Source: Hendrycks & Dietterich 2019, arXiv:1903.12261.
    """

    name = "jpeg"
    unit = "below quality 100"
    levels = (5.0, 10.0, 25.0, 50.0, 75.0)
    valid = (0.0, 99.0)
    in_processes = True

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Encodes and decodes every image."""
        values = images.detach().cpu().numpy().astype(np.float32)
        settings = {"codec": "jpeg", "quality": round(100 - self.level), "low": self.low, "high": self.high}
        return tensor(encode(values, [settings] * len(values)), images)
