"""Pictures that were stored as JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustkit.errors import InputError
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.perturbation import Perturbation, Stage, tensor
from robustkit.perturb.workers import encode
from robustkit.seeds import Streams


@dataclass(frozen=True)
class Jpeg(Perturbation):
    """Eight bits and JPEG (libjpeg through Pillow) of quality 100 - level, colours at half resolution.

    Three bands are stored as one colour picture, others as grey pictures. Levels: qualities 95, 90, 75, 50, 25, where
    ImageNet-C begins. Source: Hendrycks & Dietterich 2019, arXiv:1903.12261.

    Attributes:
        low: Network input that becomes black.
        high: Network input that becomes white; what lies outside is clipped.
    """

    name = "jpeg"
    unit = "100 less the quality"
    stage = Stage.STRETCHED
    levels = (5.0, 10.0, 25.0, 50.0, 75.0)
    valid = (0.0, 99.0)
    physical = False
    in_processes = True

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise InputError(f"expected black below white, came {self.low} and {self.high}")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Stores and reads every image."""
        values = images.detach().cpu().numpy().astype(np.float32)
        settings = {"codec": "jpeg", "quality": round(100 - self.level), "low": self.low, "high": self.high}
        return tensor(encode(values, [settings] * len(values)), images)
