"""`robustkit attack`."""

from __future__ import annotations

from robustkit.cli.finding_command import measured_command
from robustkit.findings.attack.record import AttackRequest

command = measured_command(
    "attack",
    AttackRequest,
    "robustkit.findings.threats.measure:run_attack_or_threat",
    "Searches for single pixels, or for the parameters of a physical fault (--threat), that change a classifier's "
    "prediction, and proves each one.",
)
