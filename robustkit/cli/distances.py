"""`robustkit distances`."""

from __future__ import annotations

from robustkit.cli.finding_command import latent_command
from robustkit.findings.distances.record import DistancesRequest

command = latent_command(
    "distances",
    DistancesRequest,
    "robustkit.findings.distances.measure:run_distances",
    "Measures how far noise and single pixels move latents, in units that two models can be compared by.",
)
