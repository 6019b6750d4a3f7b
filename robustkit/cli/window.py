"""`robustkit window`."""

from __future__ import annotations

from robustkit.cli.finding_command import latent_command
from robustkit.findings.windows.record import WindowRequest

command = latent_command(
    "window",
    WindowRequest,
    "robustkit.findings.windows.measure:run_window",
    "Draws the classes around attacked images: church windows, and the plane that the head decides on.",
)
