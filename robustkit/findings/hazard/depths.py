"""Exposures that accidents are asked about: that of the images, and shallower ones that are made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from robustkit.errors import InputError
from robustkit.findings.hazard.record import VISIT
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.faults.exposure import thinned
from robustkit.seeds import Streams

OWN = "own"


@dataclass(frozen=True, eq=False)
class DepthOfHazard:
    """One exposure.

    Attributes:
        name: `Y1`, `visit`, or what the images are.
        share: Of the exposure of the images, by band, shape (C,).
        conditions: How images of it are taken.
    """

    name: str
    share: np.ndarray
    conditions: Conditions

    def images(self, stored: Tensor, whole: Conditions, streams: Streams) -> Tensor:
        """The images as they are at this exposure.

        Args:
            stored: Calibrated values, shape (N, C, H, W).
            whole: Their conditions.
            streams: Of the noise that a shorter exposure adds.
        """
        return stored if (self.share == 1).all() else thinned(stored, whole, self.share, streams)


def depths_of(asked: Sequence[str], meta: Mapping[str, Any], conditions: Conditions) -> list[DepthOfHazard]:
    """The exposures that were asked for, that of the images first.

    Args:
        asked: `own`, `visit` or years as in `Y1`; empty for the first, one year and one visit, where these are
            shallower.
        meta: Of the image set.
        conditions: Of its images.

    Raises:
        InputError: If one is not understood, or the images are not that deep.
    """
    own, bands = str(meta.get("depth", "depth unknown")), len(conditions.bands)
    years = float(meta.get("years") or math.nan)
    found = [DepthOfHazard(own, np.ones(bands), conditions)]
    names = [name for name in asked if name not in (OWN, own)]
    if not asked:
        names = ["Y1"] if years > 1 else []
        names += [VISIT] if (conditions.visits > 1).all() else []
    for name in dict.fromkeys(names):
        share = 1 / conditions.visits if name == VISIT else np.full(bands, _years(name) / years)
        if not np.isfinite(share).all():
            raise InputError(
                f"--depth {name} is a part of the years that the images were exposed, which they do not declare; add "
                f"years to their meta, or give --depth {VISIT}"
            )
        if (share > 1).any():
            raise InputError(f"--depth {name} is deeper than the images, {own}; give shallower ones, or deeper images")
        found.append(DepthOfHazard(name, share, conditions.exposed(share)))
    return found


def _years(name: str) -> float:
    try:
        years = float(name[1:]) if name.startswith("Y") else math.nan
    except ValueError:
        years = math.nan
    if not (math.isfinite(years) and years > 0):
        raise InputError(f"expected --depth as {OWN}, {VISIT} or years such as Y1, got {name!r}")
    return years
