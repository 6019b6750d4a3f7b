"""`robustkit hazard`."""

from __future__ import annotations

from robustkit.cli.finding_command import measured_command
from robustkit.findings.hazard.record import HazardRequest

command = measured_command(
    "hazard",
    HazardRequest,
    "robustkit.findings.hazard.measure:run_hazard",
    "Says how many of a million objects change class because of the detector, and which faults do it.",
)
