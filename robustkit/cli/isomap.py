"""`robustkit isomap`."""

from __future__ import annotations

from robustkit.cli.finding_command import latent_command
from robustkit.findings.maps.record import IsomapRequest

command = latent_command(
    "isomap",
    IsomapRequest,
    "robustkit.findings.maps.measure:run_isomap",
    "Maps the latents of clean and noisy images in two and three dimensions, and places the flips on them.",
)
