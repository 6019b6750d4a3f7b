"""What `flag` is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from robustkit.catalogues.request import ObjectsRequest
from robustkit.errors import InputError
from robustkit.options import option
from robustkit.words import no_such

SUITES = ("lsst", "plain")
SEVERITIES = ("s1", "s2", "s3", "s4", "s5")


@dataclass(frozen=True, kw_only=True)
class FlagRequest(ObjectsRequest):
    """What `flag` is asked for.

    Attributes:
        perturbations: Faults by name, each at its named level.
        suite: `lsst` for every fault, `plain` for those that need no units; by default what the units allow.
        severity: The named level of the faults, s1 to s5.
        reference: Images to compare latents with, for a model that does not say what it was trained on.
        conformal: The folder of `robustkit certify --conformal`, for prediction sets.
        least_change: Whether the least change that changes the class is looked for.
        seed: Of the random numbers of the faults.
    """

    perturbations: Sequence[str] = option(
        (), "Faults that an answer must survive: exposure, cosmic-ray ...", flag="--perturb", shown="a suite",
        click={"multiple": True},
    )  # fmt: skip
    suite: str | None = option(None, "lsst: every fault; plain: those that need no units.", shown="what units allow")
    severity: str = option("s3", "How severe the faults are, s1 to s5.")
    reference: str | os.PathLike[str] | None = option(
        None, "Images to compare latents with.", shown="those of the training", click={"type": str}
    )
    conformal: str | os.PathLike[str] | None = option(
        None, "The folder of `robustkit certify --conformal`, for prediction sets.", click={"type": str}
    )
    least_change: bool = option(
        True, "Whether to look for the least change that changes the class; it takes about half of the time.",
        flag="--least-change/--no-least-change",
    )  # fmt: skip
    seed: int = option(0, "Of the random numbers of the faults.")
    group: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.suite is not None and self.suite not in SUITES:
            raise InputError(no_such("suite", self.suite, SUITES))
        if self.suite is not None and self.perturbations:
            raise InputError("name faults with --perturb or a suite with --suite, and not both")
        if self.severity not in SEVERITIES:
            raise InputError(no_such("severity", self.severity, SEVERITIES))
