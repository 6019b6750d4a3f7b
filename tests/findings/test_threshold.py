"""The level that costs 5 points, in words that differ from those of a survey's levels where the levels differ."""

from types import SimpleNamespace

import numpy as np
import pytest

from robustkit.findings.sweep.threshold import threshold_of
from robustkit.perturb.faults.calibration import ZeroPoint
from robustkit.perturb.faults.psf import PSFBlur
from robustkit.perturb.faults.sky import SkyOffset


def found(kind, drop):
    """Accuracy falls by `drop` at the second level and by 20 points at the third."""
    record = SimpleNamespace(
        steps=lambda name: np.arange(5),
        strength=np.array([kind(level).strength() for level in kind.levels]),
        level=np.array(kind.levels),
    )
    here = np.array([0.9, 0.9, 0.9 - drop, 0.7, 0.7, 0.7])
    return threshold_of(record, kind.name, kind, here[None], here)


@pytest.mark.parametrize("kind", [PSFBlur, SkyOffset, ZeroPoint])
def test_a_level_a_hair_beyond_what_is_typical_reads_otherwise(kind):
    one = found(kind, 0.0499)
    assert one.at not in (one.typical, one.poor)
    assert one.met == "poor"


def test_the_level_itself_reads_the_same():
    one = found(PSFBlur, 0.05)
    assert (one.at, one.met) == (one.typical, "typical")
