"""`robustkit sweep`."""

from __future__ import annotations

from robustkit.cli.finding_command import measured_command
from robustkit.findings.sweep.record import SweepRequest

command = measured_command(
    "sweep",
    SweepRequest,
    "robustkit.findings.sweep.measure:run_sweep",
    "Measures what accidents in physical units do to a classifier: exposure, seeing, defects, calibration.",
)
