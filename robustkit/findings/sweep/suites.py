"""Faults at one level each, and the sweep of a sample under them: for what looks at many faults at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.sweep.job import Rows, SweepJob
from robustkit.perturb.conditions import Conditions, conditions_of
from robustkit.perturb.faults.naming import Named, read_name
from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.faults.registry import SUITES
from robustkit.perturb.perturbation import Perturbation, Stage
from robustkit.runs.sample import Sample

SEVERITY = "s3"


def faults_of(
    sample: Sample, names: Sequence[str] = (), suite: str | None = None, severity: str = SEVERITY
) -> tuple[list[Perturbation], list[str]]:
    """The faults at a named level, and the names of those that need more bands than the images have.

    Args:
        sample: The model and its images.
        names: Of faults; by default a suite.
        suite: `lsst` or `plain`; by default what the units of the images allow.
        severity: `s1` to `s5`.

    Raises:
        InputError: If a name is not known, or every fault needs more bands.
    """
    card = sample.checkpoint.card
    lows, highs = zip(*card.input_range, strict=True)
    ends, found, left = {"low": min(lows), "high": max(highs)}, list[Perturbation](), list[str]()
    for name in names or SUITES[suite or ("plain" if known_conditions(sample) is None else "lsst")]:
        named = read_name(name)
        if named.kind.least_bands > len(card.bands):
            left.append(named.kind.name)
            continue
        fitted = ends if issubclass(named.kind, OnInput) else {}
        found.append(Named(named.kind, fitted | named.options).at(severity))
    if not found:
        raise InputError(f"every fault needs more bands than the {len(card.bands)} of these images; name others")
    return found, left


def job_of(sample: Sample, faults: Sequence[Perturbation], seed: int) -> SweepJob:
    """The sweep of all images of a sample, one draw of each fault; labels are 0 until they are set.

    Raises:
        InputError: If a fault needs conditions that the images do not declare.
    """
    whole = sample.whole
    conditions = conditions_of(whole) if any(fault.physical for fault in faults) else known_conditions(sample)
    # Calibrated values where a fault needs them.
    calibrated = whole.stretch is None or any(fault.stage != Stage.STRETCHED for fault in faults)
    return SweepJob(
        sample.checkpoint.classifier,
        Rows(whole.images, sample.rows, whole.stretch if calibrated else None),
        np.zeros(len(sample), np.int64),
        sample.ids,
        faults,
        stretch=sample.checkpoint.stretch if calibrated else None,
        conditions=conditions,
        bounds=whole.bounds if calibrated else None,
        seed=seed,
        draws=1,
        nearest=False,
    )


def known_conditions(sample: Sample) -> Conditions | None:
    """How the images were taken, where they say it."""
    try:
        return conditions_of(sample.whole)
    except InputError:
        return None
