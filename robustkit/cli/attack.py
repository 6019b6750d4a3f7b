"""`robustkit attack`."""

from __future__ import annotations

from robustkit.cli.finding_command import measured_command
from robustkit.findings.attack.record import AttackRequest

command = measured_command(
    "attack",
    AttackRequest,
    "robustkit.findings.attack.measure:run_attack",
    "Searches for single pixels that change a classifier's prediction, and proves each one.",
)
