"""`robustkit certify`."""

from __future__ import annotations

from robustkit.cli.finding_command import measured_command
from robustkit.findings.certify.record import CertifyRequest

command = measured_command(
    "certify",
    CertifyRequest,
    "robustkit.findings.amplitudes.measure:run_values",
    "Tries every pixel with every value of a declared set, or with every real value (--values line): which images can "
    "be flipped at all, and where.",
)
